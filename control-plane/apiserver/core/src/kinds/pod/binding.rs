//! Binding: how a scheduler puts a pod on a node.

use serde_json::{Value, json};

use crate::engine::Context;
use crate::field::{Errors, Path};
use crate::object::Object;
use crate::resource::Resource;
use crate::status::Status;

/// The labels that say where a pod runs.
const TOPOLOGY: [&str; 2] = ["topology.kubernetes.io/zone", "topology.kubernetes.io/region"];

/// The pod after a `Binding` was posted to it.
pub(crate) fn bind(
    resource: &Resource,
    pod: &Object,
    binding: &Object,
    context: &Context<'_>,
) -> Result<Object, Status> {
    let name = pod.name().unwrap_or_default();
    let mut errors = Errors::new();
    let kind = binding.text(&["target", "kind"]).unwrap_or_default();
    if !kind.is_empty() && kind != "Node" {
        errors.not_supported(&Path::new("target.kind"), kind, &["Node", "<empty>"]);
    }
    if binding.text(&["target", "name"]).is_none() {
        errors.required(&Path::new("target.name"), "");
    }
    if !errors.is_empty() {
        return Err(Status::invalid("", "Binding", name, &errors));
    }
    let refuse = |why: &str| {
        let mut status = Status::conflict(resource, name, why);
        status.message = format!("Operation cannot be fulfilled on pods/binding {name:?}: {why}");
        if let Some(details) = &mut status.details {
            details.kind = "pods/binding".into();
        }
        Err(status)
    };
    if let (Some(wanted), Some(uid)) = (binding.uid(), pod.uid())
        && wanted != uid
    {
        return refuse(&format!("Precondition failed: UID in precondition: {wanted}, UID in object meta: {uid}"));
    }
    if pod.deletion_timestamp().is_some() {
        return refuse(&format!("pod {name} is being deleted, cannot be assigned to a host"));
    }
    if let Some(node) = pod.text(&["spec", "nodeName"]) {
        return refuse(&format!("pod {name} is already assigned to node {node:?}"));
    }
    if !pod.list(&["spec", "schedulingGates"]).is_empty() {
        return refuse(&format!("pod {name} has non-empty .spec.schedulingGates"));
    }
    let mut bound = pod.clone();
    bound.set(&["spec", "nodeName"], binding.text(&["target", "name"]).unwrap_or_default());
    for (key, value) in binding.annotations() {
        bound.set(&["metadata", "annotations", key], value);
    }
    for (key, value) in binding.labels() {
        // Where the pod runs is what its node says; all else is the author's.
        if TOPOLOGY.contains(&key) || pod.label(key).is_none() {
            bound.set(&["metadata", "labels", key], value);
        }
    }
    let mut conditions: Vec<Value> = bound
        .list(&["status", "conditions"])
        .iter()
        .filter(|one| one.get("type").and_then(Value::as_str) != Some("PodScheduled"))
        .cloned()
        .collect();
    conditions.push(json!({
        "type": "PodScheduled", "status": "True", "lastTransitionTime": crate::time::seconds(context.now),
    }));
    bound.set(&["status", "conditions"], conditions);
    Ok(bound)
}
