//! POST of a `TokenRequest`: a token for a service account.

use std::sync::Arc;

use apiserver_core::decode::decode_object;
use apiserver_core::options::{Write, WriteOptions};
use apiserver_core::{Object, Status};
use authentication::token_request;
use http::StatusCode;

use crate::app::App;
use crate::call::Call;
use crate::http::negotiate::{self, Allowed};
use crate::http::respond::{self, Answer};
use crate::writes::Writer;

/// Answers with the request and a token in it.
pub(super) async fn request(app: &Arc<App>, call: &Call) -> Result<Answer, Status> {
    let form = negotiate::answer(&call.headers, &call.query, Allowed::Plain)?;
    let options = WriteOptions::parse(Write::Create, &call.query)?;
    let (format, body) = call.text(call.definition()).await?;
    let decoded = decode_object(&call.row, call.subresource(), format, &body, options.field_validation)?;
    call.warn(decoded.warnings);
    let accounts = app.authentication.service_accounts.as_ref().ok_or_else(Status::no_such_path)?;
    let account = live(app, call, &call.row.plural, call.namespace(), &call.target.name).await?;
    let account = account.ok_or_else(|| Status::not_found(&call.row, &call.target.name))?;
    let now = jiff::Timestamp::now();
    let mut checked = token_request::check(decoded.object, &account, &accounts.policy, now)?;
    let (mut object, mut node) = (None, None);
    if let Some(bound) = checked.bound() {
        let plural = bound.kind.plural();
        let absent = || Status::not_found_named("", plural, &bound.name);
        let found = live(app, call, plural, call.namespace(), &bound.name).await?.ok_or_else(absent)?;
        if let Some(name) = checked.node_of(&found) {
            node = live(app, call, "nodes", None, &name).await?;
        }
        object = Some(found);
    }
    let relic = checked.relic(&account, object.as_ref(), node.as_ref())?;
    let (wish, warning) = checked.wish(&accounts.policy);
    call.warn(warning);
    let token = accounts.sign(&relic, &wish, now)?;
    let answered = checked.answered(&token, now);
    Ok(respond::json(StatusCode::CREATED, call.definition(), answered.to_bytes().into(), form))
}

async fn live(
    app: &App,
    call: &Call,
    plural: &str,
    namespace: Option<&str>,
    name: &str,
) -> Result<Option<Object>, Status> {
    let Some(row) = app.core_row(plural) else { return Ok(None) };
    let writer = Writer { app, row, user: &call.user, dry_run: false, manager: None, admitted: None };
    let namespace = namespace.filter(|_| row.is_namespaced());
    Ok(writer.live(&row.key(namespace, name), "get").await?.map(|current| current.object))
}
