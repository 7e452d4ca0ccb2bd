//! Priority classes: names for how important pods are.

use serde_json::Value;

use super::tree::{self, at, number, text};
use crate::field::{Errors, Path};
use crate::object::Object;
use crate::strategy::{Replacing, Strategy};
use crate::table;

/// The greatest value a user may give.
const HIGHEST: i64 = 1_000_000_000;
/// The classes above that, which every cluster has.
const SYSTEM: [(&str, i64); 2] = [("system-node-critical", 2_000_001_000), ("system-cluster-critical", 2_000_000_000)];

/// The strategy.
#[derive(Debug)]
pub(super) struct PriorityClass;

impl Strategy for PriorityClass {
    fn default(&self, object: &mut Object) {
        tree::or_set(object.map_mut(), "preemptionPolicy", "PreemptLowerPriority");
    }

    fn generation_changes(&self, _: &Object, _: &Object) -> Option<bool> {
        Some(false)
    }

    fn validate(&self, object: &Object, errors: &mut Errors) {
        let (name, value) = (object.name().unwrap_or_default(), object.integer(&["value"]).unwrap_or(0));
        if name.starts_with("system-") {
            if let Some(why) = not_system(object, name, value) {
                errors.forbidden(
                    &Path::new("metadata.name"),
                    &format!(
                        "priority class names with 'system-' prefix are reserved for system use only. error: {why}"
                    ),
                );
            }
        } else if value > HIGHEST {
            errors.forbidden(
                &Path::new("value"),
                &format!("maximum allowed value of a user defined priority is {HIGHEST}"),
            );
        }
        let whole = object.clone().into_value();
        tree::one_of(&whole, "preemptionPolicy", &["Never", "PreemptLowerPriority"], &Path::default(), errors);
    }

    fn validate_update(&self, new: &Object, replacing: Replacing<'_>, errors: &mut Errors) {
        let old = replacing.old;
        if tree::changed(new, old, &["value"]) {
            errors.forbidden(&Path::new("value"), "may not be changed in an update.");
        }
        tree::immutable(
            at(new, &["preemptionPolicy"]),
            at(old, &["preemptionPolicy"]),
            &Path::new("preemptionPolicy"),
            errors,
        );
    }

    fn cells_read(&self) -> &'static [&'static str] {
        &["value", "globalDefault", "preemptionPolicy"]
    }

    fn cells(&self, object: &Object, now: jiff::Timestamp) -> Vec<Value> {
        let whole = object.clone().into_value();
        vec![
            object.name().unwrap_or_default().into(),
            number(&whole, "value").into(),
            object.flag(&["globalDefault"]).into(),
            table::age(object.creation_timestamp(), now).into(),
            text(&whole, "preemptionPolicy").into(),
        ]
    }
}

/// Why a class with such a name is none of the system's own.
fn not_system(object: &Object, name: &str, value: i64) -> Option<String> {
    match SYSTEM.iter().find(|(known, _)| *known == name) {
        None => Some(format!("{name} is not a known system priority class")),
        Some((_, right)) if *right != value => Some(format!("value of {name} PriorityClass must be {right}")),
        Some(_) if object.flag(&["globalDefault"]) => Some(format!("globalDefault of {name} must be false")),
        Some(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use crate::kinds::testing::{context, create, create_errors, row, update_errors};

    #[test]
    fn values_have_a_bound_that_only_the_system_passes() {
        let row = row("scheduling.k8s.io", "priorityclasses");
        assert_eq!(
            create_errors(&row, json!({ "value": 1_000_000_001 })),
            ["value: Forbidden: maximum allowed value of a user defined priority is 1000000000"]
        );
        let system = json!({ "metadata": { "name": "system-node-critical" }, "value": 2_000_001_000 });
        assert!(create_errors(&row, system).is_empty());
        assert_eq!(
            create_errors(&row, json!({ "metadata": { "name": "system-mine" }, "value": 1 })),
            [
                "metadata.name: Forbidden: priority class names with 'system-' prefix are reserved for system use only. error: system-mine is not a known system priority class"
            ]
        );
    }

    #[test]
    fn a_value_is_for_ever() {
        let row = row("scheduling.k8s.io", "priorityclasses");
        assert_eq!(
            update_errors(&row, None, json!({ "value": 1 }), json!({ "value": 2, "preemptionPolicy": "Never" })),
            [
                "value: Forbidden: may not be changed in an update.",
                "preemptionPolicy: Invalid value: \"Never\": field is immutable",
            ]
        );
        let made = create(&row, json!({ "value": 7 }));
        assert_eq!(
            row.strategy.cells(&made, context().now),
            [json!("a"), json!(7), json!(false), json!("0s"), json!("PreemptLowerPriority")]
        );
    }
}
