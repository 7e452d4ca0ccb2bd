//! Controller revisions: what a template was at some time.

use serde_json::Value;

use crate::field::{Errors, Path};
use crate::kinds::tree::{self, at, flag, list, text};
use crate::object::Object;
use crate::strategy::{Replacing, Strategy};
use crate::table;

/// The strategy.
#[derive(Debug)]
pub(in crate::kinds) struct ControllerRevision;

impl Strategy for ControllerRevision {
    fn validate(&self, object: &Object, errors: &mut Errors) {
        let revision = object.integer(&["revision"]).unwrap_or(0);
        if revision < 0 {
            errors.invalid(&Path::new("revision"), revision, "must be greater than or equal to 0");
        }
        if at(object, &["data"]).is_null() {
            errors.required(&Path::new("data"), "data is mandatory");
        }
    }

    fn validate_update(&self, new: &Object, replacing: Replacing<'_>, errors: &mut Errors) {
        self.validate(new, errors);
        tree::immutable(at(new, &["data"]), at(replacing.old, &["data"]), &Path::new("data"), errors);
    }

    fn cells_read(&self) -> &'static [&'static str] {
        &["metadata.ownerReferences", "revision"]
    }

    fn cells(&self, object: &Object, now: jiff::Timestamp) -> Vec<Value> {
        vec![
            object.name().unwrap_or_default().into(),
            controller(object).into(),
            object.integer(&["revision"]).unwrap_or(0).into(),
            table::age(object.creation_timestamp(), now).into(),
        ]
    }
}

/// `statefulset.apps/web`
fn controller(object: &Object) -> String {
    let owners = list(at(object, &["metadata"]), "ownerReferences");
    let Some(owner) = owners.iter().find(|owner| flag(owner, "controller")) else { return "<none>".into() };
    let kind = text(owner, "kind").to_lowercase();
    let group = text(owner, "apiVersion").split_once('/').map_or("", |(group, _)| group);
    let what = if group.is_empty() { kind } else { format!("{kind}.{group}") };
    format!("{what}/{}", text(owner, "name"))
}
