//! Storage version migrations: all objects of a resource are to be written anew.

use serde_json::Value;

use super::tree::{self, at, list, text};
use crate::field::{Errors, Path};
use crate::object::Object;
use crate::strategy::{Part, Replacing, Shape, Strategy};
use crate::table;

/// The strategy.
#[derive(Debug)]
pub(super) struct StorageVersionMigration;

impl Strategy for StorageVersionMigration {
    fn shape(&self) -> Shape {
        Shape::SpecAndStatus
    }

    fn validate(&self, object: &Object, errors: &mut Errors) {
        if object.text(&["spec", "resource", "resource"]).is_none() {
            errors.required(&Path::new("spec.resource.resource"), "resource is required");
        }
    }

    fn validate_update(&self, new: &Object, replacing: Replacing<'_>, errors: &mut Errors) {
        let old = replacing.old;
        if replacing.part == Part::Status {
            return validate_status(new, old, errors);
        }
        self.validate(new, errors);
        for name in ["group", "resource"] {
            let path = ["spec", "resource", name];
            tree::immutable(at(new, &path), at(old, &path), &Path::new("spec.resource").child(name), errors);
        }
    }

    fn cells(&self, object: &Object, _: jiff::Timestamp) -> Vec<Value> {
        table::name_and_creation(object)
    }
}

fn is(object: &Object, kind: &str) -> bool {
    object.list(&["status", "conditions"]).iter().any(|one| text(one, "type") == kind && text(one, "status") == "True")
}

fn validate_status(new: &Object, old: &Object, errors: &mut Errors) {
    let path = Path::new("status.resourceVersion");
    let version = |object: &Object| object.text(&["status", "resourceVersion"]).unwrap_or_default().to_owned();
    let (before, after) = (version(old), version(new));
    if !after.is_empty() && after.parse::<u64>().is_err() {
        let why = format!("strconv.ParseInt: parsing {after:?}: invalid syntax");
        errors.invalid(&path, after.as_str(), &why);
    }
    if !before.is_empty() && before != after {
        errors.invalid(&path, after, "field is immutable");
    }
    let path = Path::new("status.conditions");
    let conditions = list(at(new, &["status"]), "conditions");
    tree::conditions::validate(conditions, &path, errors);
    let refuse = |errors: &mut Errors, why: &str| errors.invalid(&path, conditions.to_vec(), why);
    let (succeeded, failed) = (is(new, "Succeeded"), is(new, "Failed"));
    if succeeded && failed {
        refuse(errors, "Both success and failed conditions cannot be true at the same time");
    }
    if (succeeded || failed) && is(new, "Running") {
        refuse(errors, "Running condition cannot be true when success or failed conditions are true");
    }
    if is(old, "Succeeded") && !succeeded {
        refuse(errors, "Success condition cannot be set to false once it is true");
    }
    if is(old, "Failed") && !failed {
        refuse(errors, "Failed condition cannot be set to false once it is true");
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::engine::{Updated, prepare_update};
    use crate::kinds::testing::{self, context, create, create_errors, stored, update_errors};

    fn row() -> std::sync::Arc<crate::Resource> {
        testing::row("storagemigration.k8s.io", "storageversionmigrations")
    }

    fn of(resource: &str) -> Value {
        json!({ "spec": { "resource": { "group": "apps", "resource": resource } } })
    }

    #[test]
    fn what_is_migrated_is_named_once() {
        assert_eq!(
            create_errors(&row(), json!({ "spec": {} })),
            ["spec.resource.resource: Required value: resource is required"]
        );
        assert_eq!(
            update_errors(&row(), None, of("deployments"), of("daemonsets")),
            ["spec.resource.resource: Invalid value: \"daemonsets\": field is immutable"]
        );
    }

    #[test]
    fn what_is_done_is_done() {
        let condition = |kind: &str, status: &str| json!({ "type": kind, "status": status, "reason": "Done", "lastTransitionTime": "2026-08-01T10:00:00Z" });
        let old = stored(create(&row(), of("deployments")));
        let write = |old: &Object, conditions: Vec<Value>| {
            let mut new = old.clone();
            new.set(&["status", "conditions"], conditions);
            prepare_update(&row(), Some("status"), old, new, &context())
        };
        let Ok(Updated::Store(done)) = write(&old, vec![condition("Succeeded", "True")]) else { panic!("refused") };
        let refused =
            write(&stored(done.object), vec![condition("Succeeded", "False")]).map_err(|status| status.message);
        assert!(refused.expect_err("refused").contains("Success condition cannot be set to false once it is true"));
        assert!(write(&old, vec![condition("Succeeded", "True"), condition("Running", "True")]).is_err());
    }
}
