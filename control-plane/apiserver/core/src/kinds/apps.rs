//! The kinds of `apps`: sets of pods, and the history of their templates.

mod controller_revision;
mod daemon_set;
mod deployment;
mod replica_set;
mod stateful_set;

pub(super) use controller_revision::ControllerRevision;
pub(super) use daemon_set::DaemonSet;
pub(super) use deployment::Deployment;
pub(super) use replica_set::{ReplicaSet, count_cells, validate_status as validate_replica_status};
use serde_json::{Map, Value, json};
pub(super) use stateful_set::StatefulSet;

use super::tree::{self, at, has, member};
use super::{selectors, template};
use crate::field::{Errors, Path};
use crate::object::Object;

const SELECTOR: [&str; 2] = ["spec", "selector"];

/// Checks the selector of a set: there, well formed, and not for everything. Whether it can select.
fn validate_selector(spec: &Value, empty: &str, path: &Path, errors: &mut Errors) -> bool {
    let path = path.child("selector");
    if !has(spec, "selector") {
        errors.required(&path, "");
        return false;
    }
    let selector = member(spec, "selector");
    let before = errors.as_slice().len();
    selectors::validate(selector, &path, errors);
    if errors.as_slice().len() > before {
        errors.invalid(&path, selector.clone(), "invalid label selector");
        return false;
    }
    if selectors::is_empty(selector) {
        errors.invalid(&path, selector.clone(), empty);
    }
    true
}

/// Checks that the selector is the one from the creation.
fn validate_same_selector(new: &Object, old: &Object, errors: &mut Errors) {
    tree::immutable(at(new, &SELECTOR), at(old, &SELECTOR), &Path::new("spec.selector"), errors);
}

/// Checks the template of a set whose pods last, and that the set would find them.
fn validate_template(spec: &Value, owner: &str, path: &Path, errors: &mut Errors) {
    let (template, path) = (member(spec, "template"), path.child("template"));
    let selector = member(spec, "selector");
    let selected = selectors::is_empty(selector) || selectors::matches(selector, template::labels(template));
    template::validate_selected(selected, template, &path, errors);
    template::validate(template, &path, errors);
    template::validate_lasting(template, owner, &path, errors);
}

/// Fills in the spec of a set with what all sets have.
fn fill_set(spec: &mut Map<String, Value>, replicas: bool, history: bool) {
    template::fill(spec);
    if replicas {
        tree::or_set(spec, "replicas", 1);
    }
    if history {
        tree::or_set(spec, "revisionHistoryLimit", 10);
    }
}

/// Fills in an update strategy, and what a rolling one rolls by.
fn fill_strategy(spec: &mut Map<String, Value>, name: &str, rolling: &[(&str, Value)]) {
    let Some(strategy) = tree::section(spec, name) else { return };
    tree::or_set(strategy, "type", "RollingUpdate");
    if strategy.get("type").and_then(Value::as_str) != Some("RollingUpdate") {
        return;
    }
    if let Some(rules) = tree::section(strategy, "rollingUpdate") {
        for (name, value) in rolling {
            tree::or_set(rules, name, value.clone());
        }
    }
}

/// The spec of an object, an empty one if it has none.
fn spec_of(object: &Object) -> Value {
    object.at(&["spec"]).filter(|spec| spec.is_object()).cloned().unwrap_or_else(|| json!({}))
}

#[cfg(test)]
mod tests;
