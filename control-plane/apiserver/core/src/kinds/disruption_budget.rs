//! Pod disruption budgets: how many pods of a set may be evicted at once.

use serde_json::Value;

use super::selectors;
use super::tree::{self, at, has, member, not_negative, number, share};
use crate::field::{Errors, Path};
use crate::object::Object;
use crate::strategy::{Part, Replacing, Shape, Strategy};
use crate::table;

/// The strategy.
#[derive(Debug)]
pub(super) struct PodDisruptionBudget;

impl Strategy for PodDisruptionBudget {
    fn shape(&self) -> Shape {
        Shape::SpecAndStatus
    }

    fn validate(&self, object: &Object, errors: &mut Errors) {
        let (spec, path) = (at(object, &["spec"]), Path::new("spec"));
        if has(spec, "minAvailable") && has(spec, "maxUnavailable") {
            errors.invalid(&path, spec.clone(), "minAvailable and maxUnavailable cannot be both set");
        }
        for name in ["minAvailable", "maxUnavailable"] {
            share::validate(member(spec, name), &path.child(name), errors);
            share::validate_at_most_all(member(spec, name), &path.child(name), errors);
        }
        selectors::validate(member(spec, "selector"), &path.child("selector"), errors);
        tree::one_of_if_set(spec, "unhealthyPodEvictionPolicy", &["AlwaysAllow", "IfHealthyBudget"], &path, errors);
    }

    fn validate_update(&self, new: &Object, replacing: Replacing<'_>, errors: &mut Errors) {
        match replacing.part {
            Part::Status => not_negative(
                at(new, &["status"]),
                &["disruptionsAllowed", "currentHealthy", "desiredHealthy", "expectedPods"],
                &Path::new("status"),
                errors,
            ),
            Part::Main | Part::Other(_) => self.validate(new, errors),
        }
    }

    fn cells_read(&self) -> &'static [&'static str] {
        &["spec.minAvailable", "spec.maxUnavailable", "status.disruptionsAllowed"]
    }

    fn cells(&self, object: &Object, now: jiff::Timestamp) -> Vec<Value> {
        let bound = |name: &str| match at(object, &["spec", name]) {
            Value::String(text) => text.clone(),
            Value::Number(number) => number.to_string(),
            _ => "N/A".to_owned(),
        };
        vec![
            object.name().unwrap_or_default().into(),
            bound("minAvailable").into(),
            bound("maxUnavailable").into(),
            number(at(object, &["status"]), "disruptionsAllowed").into(),
            table::age(object.creation_timestamp(), now).into(),
        ]
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use crate::kinds::testing::{context, create, create_errors, row};

    #[test]
    fn one_bound_is_given_and_shown() {
        let row = row("policy", "poddisruptionbudgets");
        assert_eq!(
            create_errors(&row, json!({ "spec": { "minAvailable": 1, "maxUnavailable": "120%" } })),
            [
                "spec: Invalid value: {\"maxUnavailable\":\"120%\",\"minAvailable\":1}: minAvailable and maxUnavailable cannot be both set",
                "spec.maxUnavailable: Invalid value: \"120%\": must not be greater than 100%",
            ]
        );
        let made = create(&row, json!({ "spec": { "minAvailable": "50%" }, "status": { "disruptionsAllowed": 3 } }));
        assert_eq!(
            row.strategy.cells(&made, context().now),
            [json!("a"), json!("50%"), json!("N/A"), json!(0), json!("0s")]
        );
    }
}
