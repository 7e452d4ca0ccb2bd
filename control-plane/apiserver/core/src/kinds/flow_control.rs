//! Priority and fairness: which requests belong together, and what share of the server each kind gets.

mod flow_schema;
mod priority_level;
mod system;

pub(super) use flow_schema::FlowSchema;
pub(super) use priority_level::PriorityLevelConfiguration;
pub use system::{flow_schemas, priority_levels};

use std::collections::BTreeSet;

use crate::field::{Errors, Path};
use crate::flow::{CATCH_ALL, EXEMPT};
use crate::kinds::tree::{at, list, text};
use crate::object::Object;

/// Checks the conditions in a status.
fn validate_status(object: &Object, errors: &mut Errors) {
    let path = Path::new("status.conditions");
    let mut seen = BTreeSet::new();
    for (index, condition) in list(at(object, &["status"]), "conditions").iter().enumerate() {
        let (path, kind) = (path.index(index).child("type"), text(condition, "type"));
        if !seen.insert(kind) {
            errors.duplicate(&path, kind);
        }
        if kind.is_empty() {
            errors.required(&path, "must not be empty");
        }
    }
}

/// Whether the object is one that every server needs as it is.
fn is_fixed(object: &Object, fixed: &str) -> bool {
    object.name() == Some(fixed)
}

#[cfg(test)]
mod tests;
