//! The first version of autoscalers: a target for the processor, and all it cannot say in annotations.

mod sources;

use serde_json::{Map, Value, json};

use sources::{SEEN, WANTED, to_annotated_metric, to_stored_metric};

use super::HorizontalPodAutoscaler;
use crate::engine::Context;
use crate::field::Errors;
use crate::kinds::tree::{self, member, text};
use crate::object::Object;
use crate::status::Status;
use crate::strategy::{Part, Replacing, Shape, Strategy};

const METRICS: &str = "autoscaling.alpha.kubernetes.io/metrics";
const BEHAVIOR: &str = "autoscaling.alpha.kubernetes.io/behavior";
const CURRENT_METRICS: &str = "autoscaling.alpha.kubernetes.io/current-metrics";
const CONDITIONS: &str = "autoscaling.alpha.kubernetes.io/conditions";
/// Annotations that stand for something of the spec.
const OF_SPEC: [&str; 2] = [METRICS, BEHAVIOR];
/// Annotations that stand for something of the status.
const OF_STATUS: [&str; 2] = [CURRENT_METRICS, CONDITIONS];

/// The strategy of the first version. Objects are stored in the second.
#[derive(Debug)]
pub(in crate::kinds) struct FirstVersion;

impl Strategy for FirstVersion {
    fn shape(&self) -> Shape {
        Shape::Uncounted
    }

    fn default(&self, object: &mut Object) {
        tree::or_set(object.section("spec"), "minReplicas", 1);
    }

    fn is_converted(&self) -> bool {
        true
    }

    fn to_stored(&self, object: &mut Object) {
        to_second(object);
    }

    fn to_served(&self, object: &mut Object) {
        to_first(object);
    }

    fn prepare_create(&self, object: &mut Object, _: &Context<'_>) -> Result<(), Status> {
        object.set(&["status"], json!({ "currentReplicas": 0, "desiredReplicas": 0 }));
        for name in OF_STATUS {
            object.remove(&["metadata", "annotations", name]);
        }
        Ok(())
    }

    fn prepare_update(&self, new: &mut Object, replacing: Replacing<'_>, _: &Context<'_>) -> Result<(), Status> {
        // What an annotation stands for is written by those who may write that.
        let (section, names) = match replacing.part {
            Part::Status => ("spec", OF_SPEC),
            Part::Main | Part::Other(_) => ("status", OF_STATUS),
        };
        new.take_over(&[section], replacing.old);
        for name in names {
            take_over_annotation(new, replacing.old, name);
        }
        Ok(())
    }

    fn validate(&self, object: &Object, errors: &mut Errors) {
        HorizontalPodAutoscaler.validate(&stored(object), errors);
    }

    fn validate_update(&self, new: &Object, replacing: Replacing<'_>, errors: &mut Errors) {
        let old = stored(replacing.old);
        HorizontalPodAutoscaler.validate_update(&stored(new), Replacing { old: &old, ..replacing }, errors);
    }

    fn cells_read(&self) -> &'static [&'static str] {
        &["metadata.annotations", "spec", "status"]
    }

    fn cells(&self, object: &Object, now: jiff::Timestamp) -> Vec<Value> {
        HorizontalPodAutoscaler.cells(&stored(object), now)
    }
}

fn take_over_annotation(new: &mut Object, old: &Object, name: &str) {
    new.take_over(&["metadata", "annotations", name], old);
    if new.annotations().next().is_none() {
        new.remove(&["metadata", "annotations"]);
    }
}

fn stored(object: &Object) -> Object {
    let mut object = object.clone();
    to_second(&mut object);
    object
}

/// Whether a metric is the one that the first version has a member for.
fn is_processor(metric: &Value, values: &str) -> bool {
    let source = member(metric, "resource");
    text(metric, "type") == "Resource"
        && text(source, "name") == "cpu"
        && tree::has(member(source, values), "averageUtilization")
}

fn to_second(object: &mut Object) {
    object.set(&["apiVersion"], "autoscaling/v2");
    let annotation = |object: &Object, name: &str| -> Option<Value> {
        serde_json::from_str(object.text(&["metadata", "annotations", name])?).ok()
    };
    let mut metrics = Vec::new();
    if let Some(percent) = object.remove(&["spec", "targetCPUUtilizationPercentage"]) {
        let target = json!({ "type": "Utilization", "averageUtilization": percent });
        metrics.push(json!({ "type": "Resource", "resource": { "name": "cpu", "target": target } }));
    }
    if let Some(Value::Array(others)) = annotation(object, METRICS) {
        metrics.extend(others.iter().map(|metric| to_stored_metric(metric, &WANTED)));
    }
    if metrics.is_empty() {
        let target = json!({ "type": "Utilization", "averageUtilization": 80 });
        metrics.push(json!({ "type": "Resource", "resource": { "name": "cpu", "target": target } }));
    }
    object.set(&["spec", "metrics"], metrics);
    if let Some(behavior) = annotation(object, BEHAVIOR).filter(Value::is_object) {
        object.set(&["spec", "behavior"], renamed(behavior, &|name| first_letter(name, char::to_ascii_lowercase)));
    }

    let mut seen = Vec::new();
    if let Some(percent) = object.remove(&["status", "currentCPUUtilizationPercentage"]) {
        let current = json!({ "averageUtilization": percent });
        seen.push(json!({ "type": "Resource", "resource": { "name": "cpu", "current": current } }));
    }
    // The annotation says the same, and more.
    if let Some(Value::Array(all)) = annotation(object, CURRENT_METRICS) {
        seen = all.iter().map(|metric| to_stored_metric(metric, &SEEN)).collect();
    }
    if !seen.is_empty() {
        object.set(&["status", "currentMetrics"], seen);
    }
    if let Some(conditions) = annotation(object, CONDITIONS).filter(Value::is_array) {
        object.set(&["status", "conditions"], conditions);
    }
    for name in OF_SPEC.into_iter().chain(OF_STATUS) {
        object.remove(&["metadata", "annotations", name]);
    }
    if object.annotations().next().is_none() {
        object.remove(&["metadata", "annotations"]);
    }
}

fn to_first(object: &mut Object) {
    object.set(&["apiVersion"], "autoscaling/v1");
    let metrics = object.remove(&["spec", "metrics"]).unwrap_or_default();
    let metrics = metrics.as_array().map_or(&[][..], Vec::as_slice);
    if let Some(processor) = metrics.iter().find(|metric| is_processor(metric, "target")) {
        let percent = processor["resource"]["target"]["averageUtilization"].clone();
        object.set(&["spec", "targetCPUUtilizationPercentage"], percent);
    }
    let others: Vec<Value> = metrics
        .iter()
        .filter(|metric| !is_processor(metric, "target"))
        .map(|metric| to_annotated_metric(metric, &WANTED))
        .collect();
    if !others.is_empty() {
        annotate(object, METRICS, &others.into());
    }
    if let Some(behavior) = object.remove(&["spec", "behavior"]).filter(|behavior| !behavior.is_null()) {
        annotate(object, BEHAVIOR, &renamed(behavior, &|name| first_letter(name, char::to_ascii_uppercase)));
    }
    let seen = object.remove(&["status", "currentMetrics"]).unwrap_or_default();
    let seen = seen.as_array().map_or(&[][..], Vec::as_slice);
    if let Some(processor) = seen.iter().find(|metric| is_processor(metric, "current")) {
        let percent = processor["resource"]["current"]["averageUtilization"].clone();
        object.set(&["status", "currentCPUUtilizationPercentage"], percent);
    }
    if !seen.is_empty() {
        let all: Vec<Value> = seen.iter().map(|metric| to_annotated_metric(metric, &SEEN)).collect();
        annotate(object, CURRENT_METRICS, &all.into());
    }
    if let Some(conditions) =
        object.remove(&["status", "conditions"]).filter(|all| all.as_array().is_some_and(|all| !all.is_empty()))
    {
        annotate(object, CONDITIONS, &conditions);
    }
    // Both are always there in this version.
    let status = object.section("status");
    tree::or_set(status, "currentReplicas", 0);
    tree::or_set(status, "desiredReplicas", 0);
}

fn annotate(object: &mut Object, name: &str, value: &Value) {
    object.set(&["metadata", "annotations", name], value.to_string());
}

/// The tree with other names of all members.
fn renamed(value: Value, rename: &dyn Fn(&str) -> String) -> Value {
    match value {
        Value::Object(map) => {
            map.into_iter().map(|(name, value)| (rename(&name), renamed(value, rename))).collect::<Map<_, _>>().into()
        }
        Value::Array(list) => list.into_iter().map(|value| renamed(value, rename)).collect::<Vec<_>>().into(),
        other => other,
    }
}

fn first_letter(name: &str, case: fn(&char) -> char) -> String {
    let mut letters = name.chars();
    letters.next().map_or_else(String::new, |first| case(&first).to_string() + letters.as_str())
}

#[cfg(test)]
mod tests;
