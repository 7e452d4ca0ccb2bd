//! Namespaces: they outlive their deletion until their content is gone.
//!
//! A namespace is deleted in two steps: DELETE marks it `Terminating`; when a controller has emptied it and taken its mark out of
//! `spec.finalizers` through the `finalize` subresource, it goes.

use serde_json::{Value, json};

use crate::engine::Context;
use crate::field::{Errors, Path};
use crate::metadata::validate_finalizer;
use crate::object::Object;
use crate::resource::Resource;
use crate::status::Status;
use crate::strategy::{NameRule, Part, Reach, Replacing, Strategy};
use crate::table;

/// Namespaces nobody may delete.
const IMMORTAL: [&str; 3] = ["default", "kube-system", "kube-public"];
/// The label that tells a namespace's name to selectors.
const NAME_LABEL: &str = "kubernetes.io/metadata.name";

/// The strategy.
#[derive(Debug)]
pub(super) struct Namespace;

impl Strategy for Namespace {
    fn name_rule(&self) -> NameRule {
        NameRule::DnsLabel
    }

    fn default(&self, object: &mut Object) {
        if let Some(name) = object.name().map(str::to_owned) {
            object.set(&["metadata", "labels", NAME_LABEL], name);
        }
    }

    fn prepare_create(&self, object: &mut Object, _: &Context<'_>) -> Result<(), Status> {
        // A generated name is known only now.
        Strategy::default(self, object);
        object.set(&["status"], json!({ "phase": "Active" }));
        let mut finalizers: Vec<Value> = object.list(&["spec", "finalizers"]).to_vec();
        if !finalizers.iter().any(|one| one == "kubernetes") {
            finalizers.push("kubernetes".into());
        }
        object.set(&["spec", "finalizers"], finalizers);
        Ok(())
    }

    fn prepare_update(&self, new: &mut Object, replacing: Replacing<'_>, _: &Context<'_>) -> Result<(), Status> {
        let keep: &[&str] = match replacing.part {
            Part::Status => &["spec"],
            Part::Other(_) => &["status"],
            Part::Main => &["spec", "status"],
        };
        for member in keep {
            match replacing.old.at(&[member]).cloned() {
                Some(value) => new.set(&[member], value),
                None => {
                    new.remove(&[member]);
                }
            }
        }
        Ok(())
    }

    fn reach(&self, part: Part<'_>) -> Reach {
        match part {
            Part::Status => Reach::KNOWLEDGE,
            Part::Main | Part::Other(_) => Reach::WISHES,
        }
    }

    fn validate(&self, object: &Object, errors: &mut Errors) {
        for (index, finalizer) in object.list(&["spec", "finalizers"]).iter().enumerate() {
            validate_finalizer(
                finalizer.as_str().unwrap_or_default(),
                &Path::new("spec.finalizers").index(index),
                errors,
            );
        }
    }

    fn validate_update(&self, new: &Object, replacing: Replacing<'_>, errors: &mut Errors) {
        if replacing.part == Part::Status {
            let phase = new.text(&["status", "phase"]).unwrap_or_default();
            let path = Path::new("status.Phase");
            match (new.deletion_timestamp().is_some(), phase) {
                (false, "Active") | (true, "Terminating") => {}
                (false, phase) => {
                    errors.invalid(&path, phase, "may only be 'Active' if `deletionTimestamp` is empty");
                }
                (true, phase) => {
                    errors.invalid(&path, phase, "may only be 'Terminating' if `deletionTimestamp` is not empty");
                }
            }
        }
        self.validate(new, errors);
    }

    fn check_delete(&self, resource: &Resource, object: &Object) -> Result<(), Status> {
        match object.name() {
            Some(name) if IMMORTAL.contains(&name) => {
                Err(Status::forbidden(resource, name, "this namespace may not be deleted"))
            }
            Some(_) | None => Ok(()),
        }
    }

    fn holds_back(&self, object: &Object) -> bool {
        // Even an empty list holds back the first deletion, as upstream has it: content is looked for at least once.
        !object.list(&["spec", "finalizers"]).is_empty() || object.deletion_timestamp().is_none()
    }

    fn mark_terminating(&self, object: &mut Object) {
        object.set(&["status", "phase"], "Terminating");
        object.remove(&["metadata", "deletionGracePeriodSeconds"]);
    }

    fn cells_read(&self) -> &'static [&'static str] {
        &["status.phase"]
    }

    fn cells(&self, object: &Object, now: jiff::Timestamp) -> Vec<Value> {
        vec![
            object.name().unwrap_or_default().into(),
            object.text(&["status", "phase"]).unwrap_or_default().into(),
            table::age(object.creation_timestamp(), now).into(),
        ]
    }
}

#[cfg(test)]
mod tests;
