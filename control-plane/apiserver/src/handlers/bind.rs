//! POST of a Binding: puts a pod on a node.

use std::sync::Arc;

use admission::Operation;
use apiserver_core::decode::decode_object;
use apiserver_core::engine::{bind_pod, prepare_update};
use apiserver_core::options::{Write, WriteOptions};
use apiserver_core::{Object, Resource, Status};
use http::StatusCode;
use serde_json::json;

use crate::admission::{Admitted, Wishes};
use crate::app::App;
use crate::call::Call;
use crate::http::respond::{self, Answer};
use crate::writes::Writer;

/// Binds the pod the path names to the node the body names.
pub(super) async fn bind(app: &Arc<App>, call: &Call) -> Result<Answer, Status> {
    let (binding, options) = decoded(call).await?;
    let pod = call.target.name.as_str();
    if let Some(name) = binding.name().filter(|name| *name != pod) {
        return Err(Status::bad_request(format!(
            "the name of the object ({name}) does not match the name on the URL ({pod})"
        )));
    }
    put_on_node(app, call, &call.row, pod, binding.clone(), &options).await
}

/// Binds the pod the body names: the way there was before pods had a subresource for it.
pub(super) async fn bind_by_name(app: &Arc<App>, call: &Call) -> Result<Answer, Status> {
    let (binding, options) = decoded(call).await?;
    let row = app.core_row("pods").ok_or_else(Status::no_such_path)?;
    let pod = binding.name().ok_or_else(|| Status::bad_request("Name parameter required."))?;
    if binding.namespace().is_some_and(|namespace| Some(namespace) != call.namespace()) {
        return Err(Status::bad_request(
            "the namespace of the provided object does not match the namespace sent on the request",
        ));
    }
    put_on_node(app, call, row, pod, binding.clone(), &options).await
}

async fn decoded(call: &Call) -> Result<(Object, WriteOptions), Status> {
    let options = WriteOptions::parse(Write::Create, &call.query)?;
    let (format, body) = call.text(call.definition()).await?;
    let decoded = decode_object(&call.row, call.subresource(), format, &body, options.field_validation)?;
    call.warn(decoded.warnings);
    Ok((decoded.object, options))
}

async fn put_on_node(
    app: &App,
    call: &Call,
    row: &Resource,
    pod: &str,
    mut binding: Object,
    options: &WriteOptions,
) -> Result<Answer, Status> {
    let admitted = Admitted { call, wishes: Wishes::Write(options) };
    admitted.mutate(app, Operation::Create, &mut binding, None).await?;
    admitted.validate(app, Operation::Create, Some(&binding), None).await?;
    let dry_run = options.dry_run;
    let writer = Writer { app, row, user: &call.user, dry_run, manager: None, admitted: None };
    let written = writer
        .change(
            &row.key(call.namespace(), pod),
            || Status::not_found(row, pod),
            |old, context| {
                let bound = bind_pod(row, old, &binding, context)?;
                prepare_update(row, Some("binding"), old, bound, context)
            },
        )
        .await?;
    call.warn(written.warnings);
    let status = json!({ "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "code": 201 });
    Ok(respond::status(StatusCode::CREATED, &status, call.form))
}
