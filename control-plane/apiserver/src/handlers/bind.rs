//! POST of a Binding: puts a pod on a node.

use std::sync::Arc;

use apiserver_core::decode::decode_object;
use apiserver_core::engine::prepare_update;
use apiserver_core::options::{Write, WriteOptions};
use apiserver_core::{Object, Resource, Status};
use http::StatusCode;
use serde_json::{Value, json};

use crate::app::App;
use crate::call::Call;
use crate::http::negotiate::{self, Negotiated, Transform};
use crate::http::respond::{self, Answer};
use crate::writes::Writer;

/// Binds the pod the path names to the node the body names.
pub(super) async fn bind(app: &Arc<App>, call: &Call) -> Result<Answer, Status> {
    let options = WriteOptions::parse(Write::Create, &call.query)?;
    let format = negotiate::body(&call.headers)?;
    let decoded = decode_object(&call.row, call.subresource(), format, &call.body().await?, options.field_validation)?;
    call.warn(decoded.warnings);
    let binding = decoded.object;
    let pod = call.target.name.as_str();
    if binding.name().is_some_and(|name| name != pod) {
        let name = binding.name().unwrap_or_default();
        return Err(Status::bad_request(format!(
            "the name of the object ({name}) does not match the name on the URL ({pod})"
        )));
    }
    let node = target(&binding)?;
    let writer = Writer { app, row: &call.row, user: &call.user, dry_run: options.dry_run };
    // Conflicts name the subresource.
    let binding_row = Resource { plural: format!("{}/binding", call.row.plural), ..Resource::clone(&call.row) };
    let written = writer
        .change(
            &call.key(),
            || Status::not_found(&call.row, pod),
            |old, context| {
                let mut bound = assigned(old, pod, &node).map_err(|why| Status::conflict(&binding_row, pod, &why))?;
                for (key, value) in binding.annotations() {
                    bound.set(&["metadata", "annotations", key], value);
                }
                prepare_update(&call.row, Some("binding"), old, bound, context)
            },
        )
        .await?;
    call.warn(written.warnings);
    let form = Negotiated { transform: Transform::None, ..call.form };
    let status = json!({ "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "code": 201 });
    Ok(respond::value(StatusCode::CREATED, &status, form))
}

fn target(binding: &Object) -> Result<String, Status> {
    if let Some(kind) = binding.text(&["target", "kind"])
        && kind != "Node"
    {
        let mut errors = apiserver_core::field::Errors::new();
        let path = apiserver_core::field::Path::new("target").child("kind");
        errors.not_supported(&path, kind, &["Node"]);
        return Err(Status::invalid("", "Binding", binding.name().unwrap_or_default(), &errors));
    }
    binding.text(&["target", "name"]).map(str::to_owned).ok_or_else(|| {
        let mut errors = apiserver_core::field::Errors::new();
        errors.required(&apiserver_core::field::Path::new("target").child("name"), "");
        Status::invalid("", "Binding", binding.name().unwrap_or_default(), &errors)
    })
}

/// The pod on the node, or why it cannot be put there.
fn assigned(pod: &Object, name: &str, node: &str) -> Result<Object, String> {
    if pod.deletion_timestamp().is_some() {
        return Err(format!("pod {name} is being deleted, cannot be assigned to a host"));
    }
    if let Some(taken) = pod.text(&["spec", "nodeName"]) {
        return Err(format!("pod {name} is already assigned to node {taken:?}"));
    }
    if !pod.list(&["spec", "schedulingGates"]).is_empty() {
        return Err(format!("pod {name} has non-empty .spec.schedulingGates"));
    }
    let mut bound = pod.clone();
    bound.set(&["spec", "nodeName"], node);
    let mut conditions: Vec<Value> = bound
        .list(&["status", "conditions"])
        .iter()
        .filter(|condition| condition.get("type").and_then(Value::as_str) != Some("PodScheduled"))
        .cloned()
        .collect();
    let now = jiff::Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
    conditions
        .push(json!({ "type": "PodScheduled", "status": "True", "lastProbeTime": null, "lastTransitionTime": now }));
    bound.set(&["status", "conditions"], conditions);
    Ok(bound)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pod_is_put_on_a_node_once() {
        let pod = Object::from_value(json!({ "metadata": { "name": "p" }, "spec": {}, "status": {} })).unwrap();
        let bound = assigned(&pod, "p", "n1").unwrap();
        assert_eq!(bound.text(&["spec", "nodeName"]), Some("n1"));
        assert_eq!(bound.list(&["status", "conditions"])[0]["type"], "PodScheduled");
        assert_eq!(assigned(&bound, "p", "n2").unwrap_err(), "pod p is already assigned to node \"n1\"");
    }
}
