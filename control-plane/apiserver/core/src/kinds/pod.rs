//! Pods.

mod binding;
mod cells;
mod containers;
mod defaults;
mod quality;
mod update;
mod validation;
mod volumes;

use serde_json::{Value, json};

pub(crate) use binding::bind;

use super::columns;
use crate::engine::Context;
use crate::field::Errors;
use crate::object::Object;
use crate::options::DeleteOptions;
use crate::resource::{Resource, Scope, SelectableField, Subresource, Verb};
use crate::status::Status;
use crate::strategy::{Part, Replacing, Strategy};

/// The lists of containers a pod has.
const CONTAINER_LISTS: [&str; 3] = ["initContainers", "containers", "ephemeralContainers"];

/// The row.
pub(super) fn row() -> Resource {
    let mut row = super::row("io.k8s.api.core.v1.Pod", "pods", Scope::Namespaced, Pod);
    row.short_names = vec!["po".into()];
    row.categories = vec!["all".into()];
    row.returns_deleted = true;
    row.subresources = vec![
        Subresource {
            name: "binding".into(),
            group: String::new(),
            version: "v1".into(),
            kind: "Binding".into(),
            schema: "io.k8s.api.core.v1.Binding".into(),
            verbs: vec![Verb::Create],
        },
        super::status(&row),
    ];
    row.selectable = vec![
        SelectableField::plain("spec.nodeName"),
        SelectableField::plain("spec.restartPolicy"),
        SelectableField::plain("spec.schedulerName"),
        SelectableField::plain("spec.serviceAccountName"),
        SelectableField::with_default("spec.hostNetwork", "false"),
        SelectableField::plain("status.phase"),
        SelectableField::plain("status.podIP"),
        SelectableField::plain("status.nominatedNodeName"),
    ];
    row.columns = vec![
        columns::name(),
        columns::text("Ready", "The aggregate readiness state of this pod for accepting traffic."),
        columns::text("Status", "The aggregate status of the containers in this pod."),
        columns::text(
            "Restarts",
            "The number of times the containers in this pod have been restarted and when the last container in this pod has restarted.",
        ),
        columns::age(),
        columns::wide(
            "IP",
            "podIP address allocated to the pod. Routable at least within the cluster. Empty if not yet allocated.",
        ),
        columns::wide("Node", "NodeName indicates in which node this pod is scheduled."),
        columns::wide(
            "Nominated Node",
            "nominatedNodeName is set only when this pod preempts other pods on the node, but it cannot be scheduled right away.",
        ),
        columns::wide("Readiness Gates", "If specified, all readiness gates will be evaluated for pod readiness."),
    ];
    row
}

#[derive(Debug)]
struct Pod;

fn text<'a>(value: &'a Value, member: &str) -> &'a str {
    value.get(member).and_then(Value::as_str).unwrap_or_default()
}

fn list<'a>(value: &'a Value, member: &str) -> &'a [Value] {
    value.get(member).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

impl Strategy for Pod {
    fn default(&self, object: &mut Object) {
        defaults::fill(object);
    }

    fn prepare_create(&self, object: &mut Object, context: &Context<'_>) -> Result<(), Status> {
        object.set(&["status"], json!({ "phase": "Pending", "qosClass": quality::class(object) }));
        if !object.list(&["spec", "schedulingGates"]).is_empty() {
            let condition = json!({
                "type": "PodScheduled", "status": "False", "reason": "SchedulingGated",
                "message": "Scheduling is blocked due to non-empty scheduling gates",
                "lastTransitionTime": crate::time::seconds(context.now), "observedGeneration": 1,
            });
            object.set(&["status", "conditions"], vec![condition]);
        }
        Ok(())
    }

    fn prepare_update(&self, new: &mut Object, replacing: Replacing<'_>, _: &Context<'_>) -> Result<(), Status> {
        let old = replacing.old;
        let put_back = |new: &mut Object, path: &[&str]| match old.at(path).cloned() {
            Some(value) => new.set(path, value),
            None => {
                new.remove(path);
            }
        };
        match replacing.part {
            Part::Status => {
                for path in [&["spec"][..], &["metadata", "ownerReferences"], &["status", "qosClass"]] {
                    put_back(new, path);
                }
            }
            // What a binding may change has been decided by `bind`.
            Part::Other("binding") => {}
            Part::Main | Part::Other(_) => put_back(new, &["status"]),
        }
        Ok(())
    }

    fn validate(&self, object: &Object, errors: &mut Errors) {
        validation::validate(object, errors);
    }

    fn validate_update(&self, new: &Object, replacing: Replacing<'_>, errors: &mut Errors) {
        match replacing.part {
            Part::Status => update::validate_status(new, replacing.old, errors),
            Part::Other("binding") => {}
            Part::Main | Part::Other(_) => update::validate(new, replacing.old, errors),
        }
    }

    fn warnings(&self, new: &Object, old: Option<&Object>) -> Vec<String> {
        validation::warnings(new, old)
    }

    fn generation_changes(&self, new: &Object, old: &Object) -> Option<bool> {
        Some(new.at(&["spec"]) != old.at(&["spec"]))
    }

    fn grace_period(&self, object: &Object, options: &DeleteOptions) -> Option<i64> {
        let asked = options
            .grace_period_seconds
            .or_else(|| object.integer(&["spec", "terminationGracePeriodSeconds"]))
            .unwrap_or(0);
        let over = matches!(object.text(&["status", "phase"]), Some("Failed" | "Succeeded"));
        let nowhere = object.text(&["spec", "nodeName"]).is_none();
        Some(match asked {
            _ if over || nowhere => 0,
            ..0 => 1,
            0.. => asked,
        })
    }

    fn cells(&self, object: &Object, now: jiff::Timestamp) -> Vec<Value> {
        cells::cells(object, now)
    }
}

#[cfg(test)]
mod tests;
