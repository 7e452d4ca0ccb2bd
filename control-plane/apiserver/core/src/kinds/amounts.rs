//! Amounts of resources in objects that limit and count them.

use serde_json::Value;

use crate::field::{Errors, Path};
use crate::quantity::Quantity;

const NEGATIVE: &str = "must be greater than or equal to 0";

/// Resources that are counted: there is no half of one.
const COUNTED: [&str; 9] = [
    "pods",
    "resourcequotas",
    "services",
    "replicationcontrollers",
    "secrets",
    "configmaps",
    "persistentvolumeclaims",
    "services.nodeports",
    "services.loadbalancers",
];

/// The amount a text stands for; types were checked when the body was read.
pub(super) fn parse(value: &Value) -> Option<Quantity> {
    match value {
        Value::String(text) => Quantity::parse(text).ok(),
        Value::Number(number) => Quantity::parse(&number.to_string()).ok(),
        _ => None,
    }
}

/// The text of an amount.
pub(super) fn show(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

/// Checks an amount of a resource: not negative, and whole where the resource is counted.
pub(super) fn validate(resource: &str, value: &Value, path: &Path, errors: &mut Errors) {
    let Some(amount) = parse(value) else { return };
    if amount.is_negative() {
        errors.invalid(path, show(value), NEGATIVE);
    }
    let counted = COUNTED.contains(&resource) || resource.starts_with("count/");
    if (counted || is_extended(resource)) && !amount.is_whole() {
        errors.invalid(path, show(value), "must be an integer");
    }
}

/// Refuses nothing and less.
pub(super) fn validate_positive(value: &Value, path: &Path, errors: &mut Errors) {
    if parse(value).is_some_and(|amount| amount.is_negative() || amount.is_zero()) {
        errors.invalid(path, show(value), "must be greater than zero");
    }
}

/// Whether a resource is one of a domain of its own, such as a device.
fn is_extended(resource: &str) -> bool {
    resource.contains('/') && !resource.contains("kubernetes.io/") && !resource.starts_with("requests.")
}
