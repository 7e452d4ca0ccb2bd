//! What an autoscaler looks at, and what it wants to see there.

use serde_json::Value;

use super::validate_reference;
use crate::field::{Errors, Path};
use crate::kinds::tree::{self, has, member, number, text};
use crate::kinds::{amounts, selectors};
use crate::names;

/// The types of metrics, and the member each has its source in.
const TYPES: [(&str, &str); 5] = [
    ("ContainerResource", "containerResource"),
    ("External", "external"),
    ("Object", "object"),
    ("Pods", "pods"),
    ("Resource", "resource"),
];
/// Metrics shown in a table before the rest is only counted.
const SHOWN: usize = 2;

/// Checks one metric: of one type, with the source of that type and no other.
pub(super) fn validate(metric: &Value, path: &Path, errors: &mut Errors) {
    let kind = text(metric, "type");
    let expected = TYPES.iter().find(|(name, _)| *name == kind).map(|(_, source)| *source);
    match (kind, expected) {
        ("", _) => errors.required(&path.child("type"), "must specify a metric source type"),
        (other, None) => {
            let names: Vec<&str> = TYPES.iter().map(|(name, _)| *name).collect();
            errors.not_supported(&path.child("type"), other, &names);
        }
        (_, Some(source)) if !has(metric, source) => {
            errors.required(&path.child(source), "must populate information for the given metric source");
        }
        (_, Some(source)) => validate_source(kind, member(metric, source), &path.child(source), errors),
    }
    for (_, source) in TYPES {
        if Some(source) != expected && has(metric, source) {
            errors.forbidden(&path.child(source), "must populate the given metric source only");
        }
    }
}

fn validate_source(kind: &str, source: &Value, path: &Path, errors: &mut Errors) {
    let (target, at) = (member(source, "target"), path.child("target"));
    let (value, average, utilization) =
        (has(target, "value"), has(target, "averageValue"), has(target, "averageUtilization"));
    match kind {
        "Resource" | "ContainerResource" => {
            if text(source, "name").is_empty() {
                errors.required(&path.child("name"), "must specify a resource name");
            }
            if kind == "ContainerResource" && text(source, "container").is_empty() {
                errors.required(&path.child("container"), "must specify a container");
            }
            validate_target(target, &at, errors);
            match (utilization, average) {
                (false, false) => errors.required(
                    &at.child("averageUtilization"),
                    "must set either a target raw value or a target utilization",
                ),
                (true, true) => errors.forbidden(
                    &at.child("averageValue"),
                    "may not set both a target raw value and a target utilization",
                ),
                (true, false) | (false, true) => {}
            }
        }
        "Pods" => {
            validate_identifier(member(source, "metric"), &path.child("metric"), errors);
            validate_target(target, &at, errors);
            if !average {
                errors.required(&at.child("averageValue"), "must specify a positive target averageValue");
            }
        }
        "Object" => {
            validate_reference(member(source, "describedObject"), &path.child("describedObject"), errors);
            validate_identifier(member(source, "metric"), &path.child("metric"), errors);
            validate_target(target, &at, errors);
            if !value && !average {
                errors.required(&at.child("averageValue"), "must set either a target value or averageValue");
            }
        }
        _ => {
            validate_identifier(member(source, "metric"), &path.child("metric"), errors);
            validate_target(target, &at, errors);
            match (value, average) {
                (false, false) => errors.required(
                    &at.child("averageValue"),
                    "must set either a target value for metric or a per-pod target",
                ),
                (true, true) => errors
                    .forbidden(&at.child("value"), "may not set both a target value for metric and a per-pod target"),
                (true, false) | (false, true) => {}
            }
        }
    }
}

fn validate_identifier(metric: &Value, path: &Path, errors: &mut Errors) {
    match text(metric, "name") {
        "" => errors.required(&path.child("name"), "must specify a metric name"),
        name => tree::all(names::path_segment(name, false), name, &path.child("name"), errors),
    }
    if has(metric, "selector") {
        selectors::validate(member(metric, "selector"), &path.child("selector"), errors);
    }
}

fn validate_target(target: &Value, path: &Path, errors: &mut Errors) {
    match text(target, "type") {
        "" => errors.required(&path.child("type"), "must specify a metric target type"),
        "Utilization" | "Value" | "AverageValue" => {}
        other => errors.invalid(&path.child("type"), other, "must be either Utilization, Value, or AverageValue"),
    }
    for name in ["value", "averageValue"] {
        let amount = member(target, name);
        if amounts::parse(amount).is_some_and(|amount| amount.is_zero() || amount.is_negative()) {
            errors.invalid(&path.child(name), amounts::show(amount), "must be positive");
        }
    }
    if has(target, "averageUtilization") && number(target, "averageUtilization") < 1 {
        let path = path.child("averageUtilization");
        errors.invalid(&path, number(target, "averageUtilization"), "must be greater than 0");
    }
}

/// `cpu: 10%/80%`, and so on for a few.
pub(super) fn shown(metrics: &[Value], current: &[Value]) -> String {
    if metrics.is_empty() {
        return "<none>".into();
    }
    let mut parts: Vec<String> = metrics
        .iter()
        .enumerate()
        .take(SHOWN)
        .map(|(index, metric)| one_shown(metric, current.get(index).unwrap_or(&Value::Null)))
        .collect();
    if metrics.len() > SHOWN {
        parts.truncate(SHOWN);
        return format!("{} + {} more...", parts.join(", "), metrics.len() - SHOWN);
    }
    parts.join(", ")
}

fn one_shown(metric: &Value, current: &Value) -> String {
    let kind = text(metric, "type");
    let Some((_, source)) = TYPES.iter().find(|(name, _)| *name == kind) else { return "<unknown type>".into() };
    let spec = member(metric, source);
    let (target, now) = (member(spec, "target"), member(member(current, source), "current"));
    let unknown = || "<unknown>".to_owned();
    let amount =
        |value: &Value, name: &str| if has(value, name) { amounts::show(member(value, name)) } else { unknown() };
    let by_average = has(target, "averageValue");
    let pair = match kind {
        "Resource" | "ContainerResource" if by_average => {
            format!("{}/{}", amount(now, "averageValue"), amount(target, "averageValue"))
        }
        "Resource" | "ContainerResource" => {
            let percent = |value: &Value| {
                member(value, "averageUtilization").as_i64().map_or_else(unknown, |percent| format!("{percent}%"))
            };
            let wanted = member(target, "averageUtilization")
                .as_i64()
                .map_or_else(|| "<auto>".to_owned(), |wanted| format!("{wanted}%"));
            format!("{}/{wanted}", percent(now))
        }
        "Pods" => format!("{}/{}", amount(now, "averageValue"), amount(target, "averageValue")),
        _ if by_average => {
            format!("{}/{} (avg)", amount(now, "averageValue"), amount(target, "averageValue"))
        }
        _ => format!("{}/{}", amount(now, "value"), amount(target, "value")),
    };
    match kind {
        "Resource" | "ContainerResource" => format!("{}: {pair}", text(spec, "name")),
        _ => pair,
    }
}
