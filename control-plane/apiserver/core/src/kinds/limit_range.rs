//! Limit ranges: what one pod, container or claim may ask for.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value};

use super::amounts;
use super::tree::{entries, text};
use crate::field::{Errors, Path};
use crate::names;
use crate::object::Object;
use crate::quantity::Quantity;
use crate::strategy::Strategy;
use crate::table;

/// The strategy.
#[derive(Debug)]
pub(super) struct LimitRange;

impl Strategy for LimitRange {
    fn default(&self, object: &mut Object) {
        let limits = object.section("spec").get_mut("limits").and_then(Value::as_array_mut);
        for item in limits.into_iter().flatten().filter_map(Value::as_object_mut) {
            if item.get("type").and_then(Value::as_str) == Some("Container") {
                // Who says only the most a container may have says what it gets, too.
                inherit(item, "default", "max");
                inherit(item, "defaultRequest", "default");
                inherit(item, "defaultRequest", "min");
            }
        }
    }

    fn validate(&self, object: &Object, errors: &mut Errors) {
        let mut seen = BTreeSet::new();
        for (index, item) in object.list(&["spec", "limits"]).iter().enumerate() {
            let path = Path::new("spec.limits").index(index);
            let kind = text(item, "type");
            for message in names::qualified_name(kind) {
                errors.invalid(&path.child("type"), kind, &message);
            }
            if !["Container", "PersistentVolumeClaim", "Pod"].contains(&kind) && !kind.contains('/') {
                errors.invalid(&path.child("type"), kind, "must be a standard limit type or fully qualified");
            }
            if !seen.insert(kind) {
                errors.duplicate(&path.child("type"), kind);
            }
            validate_item(item, kind, &path, errors);
        }
    }

    fn cells(&self, object: &Object, _: jiff::Timestamp) -> Vec<Value> {
        table::name_and_creation(object)
    }
}

/// Fills in entries a map does not have from another.
fn inherit(item: &mut Map<String, Value>, name: &str, from: &str) {
    let Some(source) = item.get(from).and_then(Value::as_object).cloned() else { return };
    if let Some(target) = super::tree::section(item, name) {
        for (resource, amount) in source {
            target.entry(resource).or_insert(amount);
        }
    }
}

fn validate_item(item: &Value, kind: &str, path: &Path, errors: &mut Errors) {
    let mut bounds: BTreeMap<&str, BTreeMap<&str, (Quantity, String)>> = BTreeMap::new();
    for name in ["max", "min", "default", "defaultRequest", "maxLimitRequestRatio"] {
        for (resource, value) in entries(item, name) {
            for message in names::qualified_name(resource) {
                errors.invalid(&path.child(name).key(resource), resource, &message);
            }
            if let Some(amount) = amounts::parse(value) {
                bounds.entry(name).or_default().insert(resource, (amount, amounts::show(value)));
            }
        }
    }
    if kind == "Pod" {
        for name in ["default", "defaultRequest"] {
            if bounds.contains_key(name) {
                errors.forbidden(&path.child(name), "may not be specified when `type` is 'Pod'");
            }
        }
    }
    let of = |name: &str, resource: &str| bounds.get(name).and_then(|map| map.get(resource)).cloned();
    if kind == "PersistentVolumeClaim" && of("min", "storage").is_none() && of("max", "storage").is_none() {
        errors.required(
            &path.child("limits"),
            "either minimum or maximum storage value is required, but neither was provided",
        );
    }
    let resources: BTreeSet<&str> = bounds.values().flat_map(|map| map.keys().copied()).collect();
    for resource in resources {
        // What must not be greater than what, where that is said, and how.
        let rules = [
            ("min", "max", "min", "min value {} is greater than max value {}"),
            ("min", "defaultRequest", "defaultRequest", "min value {} is greater than default request value {}"),
            ("defaultRequest", "max", "defaultRequest", "default request value {} is greater than max value {}"),
            (
                "defaultRequest",
                "default",
                "defaultRequest",
                "default request value {} is greater than default limit value {}",
            ),
            ("min", "default", "default", "min value {} is greater than default value {}"),
            ("default", "max", "default", "default value {} is greater than max value {}"),
        ];
        for (small, great, place, words) in rules {
            let (Some((least, low)), Some((most, high))) = (of(small, resource), of(great, resource)) else { continue };
            if least > most {
                let shown = if place == great { &high } else { &low };
                let words = words.replacen("{}", &low, 1).replacen("{}", &high, 1);
                errors.invalid(&path.child(place).key(resource), shown.as_str(), &words);
            }
        }
        if let Some((ratio, shown)) = of("maxLimitRequestRatio", resource)
            && Quantity::parse("1").is_ok_and(|one| ratio < one)
        {
            errors.invalid(
                &path.child("maxLimitRequestRatio").key(resource),
                shown.as_str(),
                &format!("ratio {shown} is less than 1"),
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use crate::kinds::testing::{create, create_errors, row};

    #[test]
    fn the_most_is_the_default() {
        let made = create(
            &row("", "limitranges"),
            json!({ "spec": { "limits": [{ "type": "Container", "max": { "cpu": "2" }, "min": { "memory": "1Mi" } }] } }),
        );
        let item = &made.list(&["spec", "limits"])[0];
        assert_eq!(item["default"], json!({ "cpu": "2" }));
        assert_eq!(item["defaultRequest"], json!({ "cpu": "2", "memory": "1Mi" }));
    }

    #[test]
    fn bounds_must_fit_together() {
        assert_eq!(
            create_errors(
                &row("", "limitranges"),
                json!({ "spec": { "limits": [
                    { "type": "Pod", "min": { "cpu": "2" }, "max": { "cpu": "1" }, "default": {}, "maxLimitRequestRatio": { "cpu": "500m" } },
                    { "type": "Pod", "default": { "cpu": "1" } }, { "type": "Sack" }, { "type": "PersistentVolumeClaim" },
                ] } })
            ),
            [
                "spec.limits[0].min[cpu]: Invalid value: \"2\": min value 2 is greater than max value 1",
                "spec.limits[0].maxLimitRequestRatio[cpu]: Invalid value: \"500m\": ratio 500m is less than 1",
                "spec.limits[1].type: Duplicate value: \"Pod\"",
                "spec.limits[1].default: Forbidden: may not be specified when `type` is 'Pod'",
                "spec.limits[2].type: Invalid value: \"Sack\": must be a standard limit type or fully qualified",
                "spec.limits[3].limits: Required value: either minimum or maximum storage value is required, but neither was provided",
            ]
        );
    }
}
