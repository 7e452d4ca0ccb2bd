//! Where the members of a metric are: in the form annotations have it in, and in the stored one.

use serde_json::{Map, Value};

use crate::kinds::tree::{self, text};
use crate::object::Object;

/// A source of a metric: its type, its member, and where the members of the annotation's form are in the stored one.
pub(super) type Source = (&'static str, &'static str, &'static [(&'static str, &'static [&'static str])]);

/// What is wanted, as the annotation has it and as it is stored.
pub(super) const WANTED: [Source; 5] = [
    (
        "Object",
        "object",
        &[
            ("target", &["describedObject"]),
            ("metricName", &["metric", "name"]),
            ("selector", &["metric", "selector"]),
            ("targetValue", &["target", "value"]),
            ("averageValue", &["target", "averageValue"]),
        ],
    ),
    (
        "Pods",
        "pods",
        &[
            ("metricName", &["metric", "name"]),
            ("selector", &["metric", "selector"]),
            ("targetAverageValue", &["target", "averageValue"]),
        ],
    ),
    (
        "Resource",
        "resource",
        &[
            ("name", &["name"]),
            ("targetAverageUtilization", &["target", "averageUtilization"]),
            ("targetAverageValue", &["target", "averageValue"]),
        ],
    ),
    (
        "ContainerResource",
        "containerResource",
        &[
            ("name", &["name"]),
            ("container", &["container"]),
            ("targetAverageUtilization", &["target", "averageUtilization"]),
            ("targetAverageValue", &["target", "averageValue"]),
        ],
    ),
    (
        "External",
        "external",
        &[
            ("metricName", &["metric", "name"]),
            ("metricSelector", &["metric", "selector"]),
            ("targetValue", &["target", "value"]),
            ("targetAverageValue", &["target", "averageValue"]),
        ],
    ),
];

/// What is seen.
pub(super) const SEEN: [Source; 5] = [
    (
        "Object",
        "object",
        &[
            ("target", &["describedObject"]),
            ("metricName", &["metric", "name"]),
            ("selector", &["metric", "selector"]),
            ("currentValue", &["current", "value"]),
            ("averageValue", &["current", "averageValue"]),
        ],
    ),
    (
        "Pods",
        "pods",
        &[
            ("metricName", &["metric", "name"]),
            ("selector", &["metric", "selector"]),
            ("currentAverageValue", &["current", "averageValue"]),
        ],
    ),
    (
        "Resource",
        "resource",
        &[
            ("name", &["name"]),
            ("currentAverageUtilization", &["current", "averageUtilization"]),
            ("currentAverageValue", &["current", "averageValue"]),
        ],
    ),
    (
        "ContainerResource",
        "containerResource",
        &[
            ("name", &["name"]),
            ("container", &["container"]),
            ("currentAverageUtilization", &["current", "averageUtilization"]),
            ("currentAverageValue", &["current", "averageValue"]),
        ],
    ),
    (
        "External",
        "external",
        &[
            ("metricName", &["metric", "name"]),
            ("metricSelector", &["metric", "selector"]),
            ("currentValue", &["current", "value"]),
            ("currentAverageValue", &["current", "averageValue"]),
        ],
    ),
];

fn source_of<'a>(metric: &Value, sources: &'a [Source]) -> Option<&'a Source> {
    sources.iter().find(|(kind, _, _)| *kind == text(metric, "type"))
}

/// A metric of an annotation in the stored form.
pub(super) fn to_stored_metric(metric: &Value, sources: &[Source]) -> Value {
    let Some((kind, name, pairs)) = source_of(metric, sources) else { return metric.clone() };
    let mut source = Object::default();
    for (from, to) in *pairs {
        if let Some(value) = metric[name].get(from).filter(|value| !value.is_null()) {
            source.set(to, value.clone());
        }
    }
    if let Some(target) = source.at(&["target"]).cloned() {
        let kind = if tree::has(&target, "averageUtilization") {
            "Utilization"
        } else if tree::has(&target, "averageValue") {
            "AverageValue"
        } else {
            "Value"
        };
        source.set(&["target", "type"], kind);
        // The old form cannot leave the value out.
        if kind == "AverageValue" && target.get("value").and_then(Value::as_str) == Some("0") {
            source.remove(&["target", "value"]);
        }
    }
    let mut metric = Map::new();
    metric.insert("type".into(), (*kind).into());
    metric.insert((*name).into(), source.into_value());
    metric.into()
}

/// The way back of [`to_stored_metric`].
pub(super) fn to_annotated_metric(metric: &Value, sources: &[Source]) -> Value {
    let Some((kind, name, pairs)) = source_of(metric, sources) else { return metric.clone() };
    let mut source = Map::new();
    for (to, from) in *pairs {
        let value = from.iter().try_fold(&metric[name], |value, name| value.get(name));
        match value.filter(|value| !value.is_null()) {
            Some(value) => {
                source.insert((*to).into(), value.clone());
            }
            None if *kind == "Object" && ["targetValue", "currentValue"].contains(to) => {
                source.insert((*to).into(), "0".into());
            }
            None => {}
        }
    }
    let mut metric = Map::new();
    metric.insert("type".into(), (*kind).into());
    metric.insert((*name).into(), source.into());
    metric.into()
}
