//! Pods.

mod binding;
mod cells;
mod containers;
mod defaults;
mod ephemeral;
mod quality;
mod resize;
mod sysctls;
mod update;
mod validation;
mod volumes;

use serde_json::{Value, json};

pub(crate) use binding::bind;
pub(super) use defaults::fill_spec;
pub(super) use validation::{validate_spec, validate_tolerations};

use crate::engine::Context;
use crate::field::Errors;
use crate::object::Object;
use crate::options::DeleteOptions;
use crate::status::Status;
use crate::strategy::{Part, Reach, Replacing, Strategy};

/// The lists of containers a pod has.
const CONTAINER_LISTS: [&str; 3] = ["initContainers", "containers", "ephemeralContainers"];

/// Marks the shadow of a pod that a node runs from a file of its own.
const MIRROR: &str = "kubernetes.io/config.mirror";
/// What a write of a subresource leaves as it is, besides the status.
const OWN_METADATA: [&str; 4] = ["labels", "annotations", "finalizers", "ownerReferences"];

/// The strategy.
#[derive(Debug)]
pub(super) struct Pod;

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
        match replacing.part {
            Part::Status => {
                for path in [&["spec"][..], &["metadata", "ownerReferences"], &["status", "qosClass"]] {
                    new.take_over(path, old);
                }
            }
            // What a binding may change has been decided by `bind`.
            Part::Other("binding") => {}
            Part::Other(part @ ("ephemeralcontainers" | "resize")) => {
                new.take_over(&["status"], old);
                for member in OWN_METADATA {
                    new.take_over(&["metadata", member], old);
                }
                if part == "resize" { resize::prepare(new, old) } else { ephemeral::prepare(new, old) }
            }
            Part::Main | Part::Other(_) => new.take_over(&["status"], old),
        }
        Ok(())
    }

    fn reach(&self, part: Part<'_>) -> Reach {
        match part {
            Part::Status => {
                Reach::But(&[&["spec"], &["metadata", "deletionTimestamp"], &["metadata", "ownerReferences"]])
            }
            Part::Other("ephemeralcontainers") => Reach::Only(&[&["spec", "ephemeralContainers"]]),
            Part::Other("resize") => Reach::Only(&[
                &["spec", "containers", "*", "resources"],
                &["spec", "containers", "*", "resizePolicy"],
                &["spec", "initContainers", "*", "resources"],
                &["spec", "initContainers", "*", "resizePolicy"],
            ]),
            Part::Main | Part::Other(_) => Reach::WISHES,
        }
    }

    fn validate(&self, object: &Object, errors: &mut Errors) {
        validation::validate(object, errors);
    }

    fn validate_update(&self, new: &Object, replacing: Replacing<'_>, errors: &mut Errors) {
        match replacing.part {
            Part::Status => update::validate_status(new, replacing.old, errors),
            Part::Other("binding") => {}
            Part::Other("ephemeralcontainers") => ephemeral::validate(new, replacing.old, errors),
            Part::Other("resize") => resize::validate(new, replacing.old, errors),
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

    fn cells_read(&self) -> &'static [&'static str] {
        cells::READ
    }

    fn cells(&self, object: &Object, now: jiff::Timestamp) -> Vec<Value> {
        cells::cells(object, now)
    }
}

#[cfg(test)]
mod tests;
