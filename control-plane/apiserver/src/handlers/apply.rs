//! PATCH with a configuration: server-side apply.

use std::sync::Arc;

use apiserver_core::apply::{self, Configuration, MEDIA_TYPE};
use apiserver_core::decode::{Decoded, decode_applied};
use apiserver_core::options::{Write, WriteOptions};
use apiserver_core::status::Reason;
use apiserver_core::{Object, Status, scale};
use http::StatusCode;

use super::write::{answer, same_name, take, writer};
use crate::admission::Wishes;
use crate::app::App;
use crate::call::Call;
use crate::http::negotiate;
use crate::http::respond::Answer;
use crate::writes::{Writer, Written};

/// How often an object that is made and deleted by others meanwhile is tried again. Each round means that somebody else made
/// progress; the deadline of the request usually comes first.
const TRIES: u32 = 16;

/// Whether a PATCH is an apply.
pub(super) fn is_wanted(call: &Call) -> bool {
    negotiate::media_type(&call.headers) == Some(MEDIA_TYPE)
}

/// One apply, as often as it is tried.
struct Apply<'a> {
    call: &'a Call,
    configuration: Configuration,
    options: WriteOptions,
}

/// Applies the configuration in the body to what the path names.
pub(super) async fn apply(app: &Arc<App>, call: &Call) -> Result<Answer, Status> {
    let options = WriteOptions::parse(Write::Apply, &call.query)?;
    let configuration = Configuration::parse(&call.body().await?)?;
    let this = Apply { call, configuration, options };
    let writer = writer(app, call, Wishes::Patch(&this.options), None, this.options.dry_run);
    for _ in 0..TRIES {
        match this.change(&writer).await {
            Err(status) if status.code == 404 && call.subresource().is_none() => {}
            changed => return answer(call, StatusCode::OK, changed?),
        }
        match this.create(&writer).await {
            // Somebody else was faster: there is something to apply to.
            Err(status) if status.reason == Reason::AlreadyExists && !this.options.dry_run => {}
            created => return answer(call, StatusCode::CREATED, created?),
        }
    }
    Err(Status::timeout("the object is changed by too many at once", 1))
}

impl Apply<'_> {
    async fn change(&self, writer: &Writer<'_>) -> Result<Written, Status> {
        let call = self.call;
        let absent = || Status::not_found(&call.row, &call.target.name);
        writer
            .change_admitted(&call.key(), absent, |old, context| {
                let shown = call.is_scale().then(|| scale::owned(old));
                let object = self.merged(Some(shown.as_ref().unwrap_or(old)), context.now)?;
                same_name(call, &object)?;
                take(call, old, object, context)
            })
            .await
    }

    async fn create(&self, writer: &Writer<'_>) -> Result<Written, Status> {
        let call = self.call;
        let name = &call.target.name;
        let object = writer.with_context(|context| self.merged(None, context.now))?;
        if let Some(uid) = object.uid() {
            let why =
                format!("uid mismatch: the provided object specified uid {uid}, and no existing object was found");
            return Err(Status::conflict(&call.row, name, &why));
        }
        if object.name().is_none() {
            return Err(Status::bad_request(format!(
                "the name of the object ({name} based on URL) was undeterminable: name must be provided"
            )));
        }
        same_name(call, &object)?;
        writer.create(call.namespace(), Some(name), object).await
    }

    /// What the configuration makes of an object, decoded.
    fn merged(&self, live: Option<&Object>, now: jiff::Timestamp) -> Result<Object, Status> {
        let (call, options) = (self.call, &self.options);
        let manager = options.field_manager.as_deref().unwrap_or_default();
        let force = options.force.unwrap_or(false);
        let subresource = call.subresource();
        let merged = apply::apply(&call.row, subresource, live, &self.configuration, manager, force, now)?;
        call.warn(self.configuration.warnings(options.field_validation)?);
        let Decoded { object, .. } = decode_applied(&call.row, subresource, &merged)?;
        Ok(object)
    }
}
