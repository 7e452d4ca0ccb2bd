//! POST of a Binding: puts a pod on a node.

use std::sync::Arc;

use apiserver_core::Status;
use apiserver_core::decode::decode_object;
use apiserver_core::engine::{bind_pod, prepare_update};
use apiserver_core::options::{Write, WriteOptions};
use http::StatusCode;
use serde_json::json;

use crate::app::App;
use crate::call::Call;
use crate::http::negotiate::{Negotiated, Transform};
use crate::http::respond::{self, Answer};
use crate::writes::Writer;

/// Binds the pod the path names to the node the body names.
pub(super) async fn bind(app: &Arc<App>, call: &Call) -> Result<Answer, Status> {
    let options = WriteOptions::parse(Write::Create, &call.query)?;
    let (format, body) = call.text(call.definition()).await?;
    let decoded = decode_object(&call.row, call.subresource(), format, &body, options.field_validation)?;
    call.warn(decoded.warnings);
    let binding = decoded.object;
    let pod = call.target.name.as_str();
    if let Some(name) = binding.name().filter(|name| *name != pod) {
        return Err(Status::bad_request(format!(
            "the name of the object ({name}) does not match the name on the URL ({pod})"
        )));
    }
    let writer = Writer { app, row: &call.row, user: &call.user, dry_run: options.dry_run, manager: None };
    let written = writer
        .change(
            &call.key(),
            || Status::not_found(&call.row, pod),
            |old, context| {
                let bound = bind_pod(&call.row, old, &binding, context)?;
                prepare_update(&call.row, Some("binding"), old, bound, context)
            },
        )
        .await?;
    call.warn(written.warnings);
    let form = Negotiated { transform: Transform::None, ..call.form };
    let status = json!({ "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "code": 201 });
    Ok(respond::value(StatusCode::CREATED, &status, form))
}
