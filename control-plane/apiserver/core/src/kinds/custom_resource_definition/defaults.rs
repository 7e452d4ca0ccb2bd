//! Defaults must fit the schema they are in, and hold nothing it does not know.

use serde_json::Value;

use super::values;
use crate::field::{Errors, Path};
use crate::kinds::tree::{entries, flag, has, member};

const META: [&str; 3] = ["metadata", "kind", "apiVersion"];

/// Checks the defaults of a structural schema. Those of what all objects have in common are refused elsewhere.
pub(super) fn validate(schema: &Value, pruned: bool, path: &Path, errors: &mut Errors) {
    below(
        schema,
        true,
        &mut |default, schema, path, errors| {
            if pruned && values::pruned(default, schema) != *default {
                errors.invalid(path, default.clone(), "must not have unknown fields");
            }
            values::validate(default, schema, path, errors);
        },
        path,
        errors,
    );
}

/// Whether a default holds something its schema does not know.
pub(super) fn are_unpruned(schema: &Value) -> bool {
    let mut found = false;
    let mut look = |default: &Value, schema: &Value, _: &Path, _: &mut Errors| {
        found |= values::pruned(default, schema) != *default;
    };
    below(schema, true, &mut look, &Path::default(), &mut Errors::new());
    found
}

/// Calls `visit` with every default and the schema it is in.
fn below(
    schema: &Value,
    is_object: bool,
    visit: &mut impl FnMut(&Value, &Value, &Path, &mut Errors),
    path: &Path,
    errors: &mut Errors,
) {
    if has(schema, "default") {
        visit(member(schema, "default"), schema, &path.child("default"), errors);
    }
    let embedded = |schema: &Value| flag(schema, "x-kubernetes-embedded-resource");
    let items = member(schema, "items");
    if items.is_object() {
        below(items, embedded(items), visit, &path.child("items"), errors);
    }
    for (name, property) in entries(schema, "properties") {
        if !(is_object && META.contains(&name)) {
            below(property, embedded(property), visit, &path.child("properties").key(name), errors);
        }
    }
}
