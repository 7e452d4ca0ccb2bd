//! Horizontal pod autoscalers: sets that follow their load.

mod first;
mod metrics;

use serde_json::{Value, json};

pub(super) use first::FirstVersion;

use super::tree::{self, at, has, list, member, number, text};
use crate::field::{Errors, Path};
use crate::names;
use crate::object::Object;
use crate::strategy::{Part, Replacing, Shape, Strategy};
use crate::table;

/// How far back a scaling rule may look.
const WINDOW_SECONDS: i64 = 3600;
/// How long the period of a scaling policy may be.
const PERIOD_SECONDS: i64 = 1800;

/// The strategy.
#[derive(Debug)]
pub(super) struct HorizontalPodAutoscaler;

impl Strategy for HorizontalPodAutoscaler {
    fn shape(&self) -> Shape {
        Shape::Uncounted
    }

    fn default(&self, object: &mut Object) {
        let spec = object.section("spec");
        tree::or_set(spec, "minReplicas", 1);
        if spec.get("metrics").and_then(Value::as_array).is_none_or(Vec::is_empty) {
            let target = json!({ "type": "Utilization", "averageUtilization": 80 });
            spec.insert(
                "metrics".into(),
                json!([{ "type": "Resource", "resource": { "name": "cpu", "target": target } }]),
            );
        }
        let Some(behavior) = spec.get_mut("behavior").and_then(Value::as_object_mut) else { return };
        let whole = json!({ "type": "Percent", "value": 100, "periodSeconds": 15 });
        let four = json!({ "type": "Pods", "value": 4, "periodSeconds": 15 });
        // Whoever says something about one direction gets the usual rules for the other.
        for (direction, window, policies) in
            [("scaleUp", Some(0), json!([four, whole])), ("scaleDown", None, json!([whole]))]
        {
            let Some(rules) = tree::section(behavior, direction) else { continue };
            if let Some(window) = window {
                tree::or_set(rules, "stabilizationWindowSeconds", window);
            }
            tree::or_set(rules, "selectPolicy", "Max");
            tree::or_set(rules, "policies", policies);
        }
    }

    fn validate(&self, object: &Object, errors: &mut Errors) {
        let (spec, path) = (at(object, &["spec"]), &Path::new("spec"));
        let (least, most) = (number(spec, "minReplicas"), number(spec, "maxReplicas"));
        if has(spec, "minReplicas") && least < 1 {
            errors.invalid(&path.child("minReplicas"), least, "must be greater than or equal to 1");
        }
        if most < 1 {
            errors.invalid(&path.child("maxReplicas"), most, "must be greater than 0");
        }
        if has(spec, "minReplicas") && most < least {
            errors.invalid(&path.child("maxReplicas"), most, "must be greater than or equal to `minReplicas`");
        }
        validate_reference(member(spec, "scaleTargetRef"), &path.child("scaleTargetRef"), errors);
        for (index, metric) in list(spec, "metrics").iter().enumerate() {
            metrics::validate(metric, &path.child("metrics").index(index), errors);
        }
        for direction in ["scaleUp", "scaleDown"] {
            let rules = member(member(spec, "behavior"), direction);
            if !rules.is_null() {
                validate_rules(rules, &path.child("behavior").child(direction), errors);
            }
        }
    }

    fn validate_update(&self, new: &Object, replacing: Replacing<'_>, errors: &mut Errors) {
        match replacing.part {
            Part::Status => tree::not_negative(
                at(new, &["status"]),
                &["currentReplicas", "desiredReplicas"],
                &Path::new("status"),
                errors,
            ),
            Part::Main | Part::Other(_) => self.validate(new, errors),
        }
    }

    fn cells_read(&self) -> &'static [&'static str] {
        &[
            "spec.scaleTargetRef",
            "spec.metrics",
            "spec.minReplicas",
            "spec.maxReplicas",
            "status.currentMetrics",
            "status.currentReplicas",
        ]
    }

    fn cells(&self, object: &Object, now: jiff::Timestamp) -> Vec<Value> {
        let (spec, status) = (at(object, &["spec"]), at(object, &["status"]));
        let target = member(spec, "scaleTargetRef");
        let least =
            member(spec, "minReplicas").as_i64().map_or_else(|| "<unset>".to_owned(), |least| least.to_string());
        vec![
            object.name().unwrap_or_default().into(),
            format!("{}/{}", text(target, "kind"), text(target, "name")).into(),
            metrics::shown(list(spec, "metrics"), list(status, "currentMetrics")).into(),
            least.into(),
            number(spec, "maxReplicas").into(),
            number(status, "currentReplicas").into(),
            table::age(object.creation_timestamp(), now).into(),
        ]
    }
}

/// Checks a reference to an object of any kind.
fn validate_reference(reference: &Value, path: &Path, errors: &mut Errors) {
    for name in ["kind", "name"] {
        match text(reference, name) {
            "" => errors.required(&path.child(name), ""),
            value => tree::all(names::path_segment(value, false), value, &path.child(name), errors),
        }
    }
}

fn validate_rules(rules: &Value, path: &Path, errors: &mut Errors) {
    if let Some(window) = member(rules, "stabilizationWindowSeconds").as_i64() {
        let path = path.child("stabilizationWindowSeconds");
        if window < 0 {
            errors.invalid(&path, window, "must be greater than or equal to zero");
        }
        if window > WINDOW_SECONDS {
            errors.invalid(&path, window, &format!("must be less than or equal to {WINDOW_SECONDS}"));
        }
    }
    tree::one_of_if_set(rules, "selectPolicy", &["Disabled", "Max", "Min"], path, errors);
    let path = path.child("policies");
    if list(rules, "policies").is_empty() {
        errors.required(&path, "must specify at least one Policy");
    }
    for (index, policy) in list(rules, "policies").iter().enumerate() {
        let path = path.index(index);
        if !["Percent", "Pods"].contains(&text(policy, "type")) {
            errors.not_supported(&path.child("type"), text(policy, "type"), &["Percent", "Pods"]);
        }
        for name in ["value", "periodSeconds"] {
            if number(policy, name) <= 0 {
                errors.invalid(&path.child(name), number(policy, name), "must be greater than zero");
            }
        }
        if number(policy, "periodSeconds") > PERIOD_SECONDS {
            errors.invalid(
                &path.child("periodSeconds"),
                number(policy, "periodSeconds"),
                &format!("must be less than or equal to {PERIOD_SECONDS}"),
            );
        }
    }
}

#[cfg(test)]
mod tests;
