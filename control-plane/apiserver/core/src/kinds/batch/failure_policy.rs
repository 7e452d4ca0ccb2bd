//! Policies for the failures of a job's pods.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::field::{Errors, Path};
use crate::kinds::tree::{self, has, list, member, text};
use crate::names;

const RULES: usize = 20;
const EXIT_CODES: usize = 255;
const PATTERNS: usize = 20;

/// Checks the policy of a job's spec.
pub(super) fn validate(spec: &Value, path: &Path, errors: &mut Errors) {
    let pod = member(member(spec, "template"), "spec");
    let containers: BTreeSet<&str> =
        ["containers", "initContainers"].iter().flat_map(|name| list(pod, name)).map(|one| text(one, "name")).collect();
    let rules = list(member(spec, "podFailurePolicy"), "rules");
    let path = path.child("rules");
    if rules.len() > RULES {
        errors.too_many(&path, rules.len(), RULES);
    }
    for (index, rule) in rules.iter().enumerate() {
        validate_rule(spec, rule, &containers, &path.index(index), errors);
    }
}

fn validate_rule(spec: &Value, rule: &Value, containers: &BTreeSet<&str>, path: &Path, errors: &mut Errors) {
    match text(rule, "action") {
        "" => errors.required(&path.child("action"), "valid values: \"Count\", \"FailIndex\", \"FailJob\", \"Ignore\""),
        "FailIndex" if !has(spec, "backoffLimitPerIndex") => {
            errors.invalid(&path.child("action"), "FailIndex", "requires the backoffLimitPerIndex to be set");
        }
        _ => tree::one_of_if_set(rule, "action", &["Count", "FailIndex", "FailJob", "Ignore"], path, errors),
    }
    let (codes, conditions) = (has(rule, "onExitCodes"), !list(rule, "onPodConditions").is_empty());
    match (codes, conditions) {
        (true, true) => {
            errors.invalid(path, rule.clone(), "specifying both OnExitCodes and OnPodConditions is not supported");
        }
        (false, false) => {
            errors.invalid(path, rule.clone(), "specifying one of OnExitCodes and OnPodConditions is required");
        }
        (true, false) | (false, true) => {}
    }
    if codes {
        validate_codes(member(rule, "onExitCodes"), containers, &path.child("onExitCodes"), errors);
    }
    let patterns = list(rule, "onPodConditions");
    if patterns.len() > PATTERNS {
        errors.too_many(&path.child("onPodConditions"), patterns.len(), PATTERNS);
    }
    for (index, pattern) in patterns.iter().enumerate() {
        let path = path.child("onPodConditions").index(index);
        tree::all(names::qualified_name(text(pattern, "type")), text(pattern, "type"), &path.child("type"), errors);
        tree::one_of(pattern, "status", &["False", "True", "Unknown"], &path, errors);
    }
}

fn validate_codes(rule: &Value, containers: &BTreeSet<&str>, path: &Path, errors: &mut Errors) {
    tree::one_of(rule, "operator", &["In", "NotIn"], path, errors);
    if let Some(name) = member(rule, "containerName").as_str()
        && !containers.contains(name)
    {
        errors.invalid(
            &path.child("containerName"),
            name,
            "must be one of the container or initContainer names in the pod template",
        );
    }
    let (values, path) = (list(rule, "values"), path.child("values"));
    if values.is_empty() {
        errors.invalid(&path, Value::Array(Vec::new()), "at least one value is required");
    }
    if values.len() > EXIT_CODES {
        errors.too_many(&path, values.len(), EXIT_CODES);
    }
    let mut seen = BTreeSet::new();
    let numbers: Vec<i64> = values.iter().map(|value| value.as_i64().unwrap_or(0)).collect();
    for (index, code) in numbers.iter().enumerate() {
        if text(rule, "operator") == "In" && *code == 0 {
            errors.invalid(&path.index(index), 0, "must not be 0 for the In operator");
        }
        if !seen.insert(code) {
            errors.duplicate(&path.index(index), *code);
        }
    }
    if !numbers.is_sorted() {
        errors.invalid(&path, Value::Array(values.to_vec()), "must be ordered");
    }
}
