//! POST, PUT and PATCH, except that a PATCH may be an [apply](super::apply).

use std::sync::Arc;

use apiserver_core::decode::{Decoded, decode_object};
use apiserver_core::engine::{Context, take_change};
use apiserver_core::options::{Write, WriteOptions};
use apiserver_core::patch::{Patch, PatchType};
use apiserver_core::{Object, Status, scale};
use http::StatusCode;

use super::object;
use crate::admission::{Admitted, Wishes};
use crate::app::App;
use crate::call::Call;
use crate::http::negotiate;
use crate::http::respond::Answer;
use crate::writes::{Writer, Written};

pub(super) fn answer(call: &Call, code: StatusCode, written: Written) -> Result<Answer, Status> {
    call.warn(written.warnings);
    object(call, code, written.json)
}

/// Reads the object in the body.
async fn decoded(call: &Call, options: &WriteOptions) -> Result<Object, Status> {
    let (format, body) = call.text(call.definition()).await?;
    let Decoded { object, warnings } =
        decode_object(&call.row, call.subresource(), format, &body, options.field_validation)?;
    call.warn(warnings);
    Ok(object)
}

/// POST on a collection.
pub(super) async fn create(app: &Arc<App>, call: &Call) -> Result<Answer, Status> {
    let options = WriteOptions::parse(Write::Create, &call.query)?;
    let new = decoded(call, &options).await?;
    let manager = call.manager(&options);
    let writer = writer(app, call, Wishes::Write(&options), Some(&manager), options.dry_run);
    let written = writer.create(call.namespace(), None, new).await?;
    answer(call, StatusCode::CREATED, written)
}

/// PUT of an object or a subresource.
pub(super) async fn update(app: &Arc<App>, call: &Call) -> Result<Answer, Status> {
    let options = WriteOptions::parse(Write::Update, &call.query)?;
    let new = decoded(call, &options).await?;
    same_name(call, &new)?;
    let manager = call.manager(&options);
    let writer = writer(app, call, Wishes::Write(&options), Some(&manager), options.dry_run);
    let absent = || Status::not_found(&call.row, &call.target.name);
    let changed =
        writer.change_admitted(&call.key(), absent, |old, context| take(call, old, new.clone(), context)).await;
    match changed {
        Err(status)
            if status.code == 404
                && call.row.create_on_update
                && call.subresource().is_none()
                && new.resource_version().is_none() =>
        {
            let written = writer.create(call.namespace(), Some(&call.target.name), new).await?;
            answer(call, StatusCode::CREATED, written)
        }
        changed => answer(call, StatusCode::OK, changed?),
    }
}

/// The writer of a request that passes admission.
pub(super) fn writer<'a>(
    app: &'a App,
    call: &'a Call,
    wishes: Wishes<'a>,
    manager: Option<&'a str>,
    dry_run: bool,
) -> Writer<'a> {
    let admitted = Some(Admitted { call, wishes });
    Writer { app, row: &call.row, user: &call.user, dry_run, manager, admitted }
}

/// Takes in what a body stands for: the object, unless the subresource has a form of its own.
pub(super) fn take(call: &Call, old: &Object, body: Object, context: &Context<'_>) -> Result<Object, Status> {
    if call.is_scale() {
        Ok(scale::take(&call.row, old, body, context))
    } else {
        take_change(&call.row, call.subresource(), old, body, context)
    }
}

/// The body and the path must name the same object.
pub(super) fn same_name(call: &Call, object: &Object) -> Result<(), Status> {
    let wanted = &call.target.name;
    match object.name() {
        None => Err(Status::bad_request("name must be provided")),
        Some(name) if name != wanted => Err(Status::bad_request(format!(
            "the name of the object ({name}) does not match the name on the URL ({wanted})"
        ))),
        Some(_) => match (call.namespace(), object.namespace()) {
            (Some(wanted), Some(namespace)) if namespace != wanted => Err(Status::bad_request(format!(
                "the namespace of the object ({namespace}) does not match the namespace on the URL ({wanted})"
            ))),
            (_, _) => Ok(()),
        },
    }
}

/// PATCH of an object or a subresource.
pub(super) async fn patch(app: &Arc<App>, call: &Call) -> Result<Answer, Status> {
    // The type goes first: what the options may be depends on it.
    let patch_type = PatchType::from_media_type(negotiate::media_type(&call.headers).unwrap_or_default())?;
    let options = WriteOptions::parse(Write::Patch, &call.query)?;
    let patch = Patch::parse(patch_type, &call.body().await?)?;
    let manager = call.manager(&options);
    let writer = writer(app, call, Wishes::Patch(&options), Some(&manager), options.dry_run);
    let absent = || Status::not_found(&call.row, &call.target.name);
    let written = writer
        .change_admitted(&call.key(), absent, |old, context| {
            let shown = call.is_scale().then(|| scale::of(old));
            let Decoded { object, warnings } =
                patch.apply(&call.row, call.subresource(), shown.as_ref().unwrap_or(old), options.field_validation)?;
            call.warn(warnings);
            same_name(call, &object)?;
            take(call, old, object, context)
        })
        .await?;
    answer(call, StatusCode::OK, written)
}
