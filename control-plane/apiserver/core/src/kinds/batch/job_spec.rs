//! What a job is to do, as jobs and the templates of cron jobs say it.

use serde_json::{Map, Value, json};

use super::failure_policy;
use crate::field::{Errors, Path};
use crate::kinds::template;
use crate::kinds::tree::{self, has, member, not_negative, number, text};

/// Pods at once of a job whose completions are numbered.
const INDEXED_PARALLELISM: i64 = 100_000;
/// Completions of a job with failures counted for each number.
const INDEXED_COMPLETIONS: i64 = 1_000_000_000;

/// Fills in documented defaults.
pub(super) fn fill(spec: &mut Map<String, Value>) {
    template::fill(spec);
    if !spec.contains_key("completions") && !spec.contains_key("parallelism") {
        spec.insert("completions".into(), 1.into());
    }
    tree::or_set(spec, "parallelism", 1);
    let limit = if spec.contains_key("backoffLimitPerIndex") { i32::MAX } else { 6 };
    tree::or_set(spec, "backoffLimit", limit);
    tree::or_set(spec, "completionMode", "NonIndexed");
    tree::or_set(spec, "suspend", false);
    tree::or_set(spec, "manualSelector", false);
    let replaced = if spec.contains_key("podFailurePolicy") { "Failed" } else { "TerminatingOrFailed" };
    tree::or_set(spec, "podReplacementPolicy", replaced);
    let rules =
        spec.get_mut("podFailurePolicy").and_then(|policy| policy.get_mut("rules")).and_then(Value::as_array_mut);
    for rule in rules.into_iter().flatten() {
        for pattern in rule.get_mut("onPodConditions").and_then(Value::as_array_mut).into_iter().flatten() {
            if let Some(pattern) = pattern.as_object_mut() {
                tree::or_set(pattern, "status", "True");
            }
        }
    }
}

/// Checks everything but the selector, which templates of jobs do not have.
pub(super) fn validate(spec: &Value, path: &Path, errors: &mut Errors) {
    not_negative(
        spec,
        &[
            "parallelism",
            "completions",
            "activeDeadlineSeconds",
            "backoffLimit",
            "ttlSecondsAfterFinished",
            "backoffLimitPerIndex",
            "maxFailedIndexes",
        ],
        path,
        errors,
    );
    tree::one_of_if_set(spec, "completionMode", &["NonIndexed", "Indexed"], path, errors);
    let indexed = text(spec, "completionMode") == "Indexed";
    if indexed {
        validate_indexed(spec, path, errors);
    } else {
        for name in ["backoffLimitPerIndex", "maxFailedIndexes"] {
            if has(spec, name) {
                errors.required(
                    &path.child("completionMode"),
                    &format!("when {name} is specified: the completion mode must be Indexed"),
                );
            }
        }
    }
    if has(spec, "maxFailedIndexes") && !has(spec, "backoffLimitPerIndex") {
        errors.required(&path.child("backoffLimitPerIndex"), "when maxFailedIndexes is specified");
    }
    tree::one_of_if_set(spec, "podReplacementPolicy", &["Failed", "TerminatingOrFailed"], path, errors);
    if has(spec, "podFailurePolicy") {
        if text(spec, "podReplacementPolicy") == "TerminatingOrFailed" {
            errors.not_supported(&path.child("podReplacementPolicy"), "TerminatingOrFailed", &["Failed"]);
        }
        failure_policy::validate(spec, &path.child("podFailurePolicy"), errors);
    }
    if has(spec, "successPolicy") && !indexed {
        errors.invalid(
            &path.child("successPolicy"),
            member(spec, "successPolicy").clone(),
            "requires indexed completion mode",
        );
    }
    validate_manager(spec, path, errors);
    let template = path.child("template");
    template::validate(member(spec, "template"), &template, errors);
    validate_restarts(spec, &template.child("spec").child("restartPolicy"), errors);
}

fn validate_indexed(spec: &Value, path: &Path, errors: &mut Errors) {
    if !has(spec, "completions") {
        errors.required(&path.child("completions"), "when completion mode is Indexed");
    }
    let parallelism = number(spec, "parallelism");
    if parallelism > INDEXED_PARALLELISM {
        errors.invalid(
            &path.child("parallelism"),
            parallelism,
            &format!("must be less than or equal to {INDEXED_PARALLELISM} when completion mode is Indexed"),
        );
    }
    let completions = number(spec, "completions");
    if has(spec, "backoffLimitPerIndex") && completions > INDEXED_COMPLETIONS {
        errors.invalid(
            &path.child("completions"),
            completions,
            &format!("must be less than or equal to {INDEXED_COMPLETIONS}"),
        );
    }
    let failed = number(spec, "maxFailedIndexes");
    if has(spec, "completions") && failed > completions {
        errors.invalid(&path.child("maxFailedIndexes"), failed, "must be less than or equal to completions");
    }
}

fn validate_manager(spec: &Value, path: &Path, errors: &mut Errors) {
    let Some(manager) = member(spec, "managedBy").as_str() else { return };
    let path = path.child("managedBy");
    let parts = manager.split_once('/');
    if parts.is_none_or(|(domain, name)| domain.is_empty() || name.is_empty()) {
        errors.invalid(&path, manager, "must be a domain-prefixed path (such as \"acme.io/foo\")");
    } else {
        tree::all(crate::names::qualified_name(manager), manager, &path, errors);
    }
}

/// Pods of a job end: one that would always be started again never does.
fn validate_restarts(spec: &Value, path: &Path, errors: &mut Errors) {
    let policy = text(member(member(spec, "template"), "spec"), "restartPolicy");
    match policy {
        // The default of pods, and so most often what nobody chose.
        "Always" => errors.required(path, "valid values: \"OnFailure\", \"Never\""),
        "OnFailure" | "Never" => {
            if policy == "OnFailure" && has(spec, "podFailurePolicy") {
                errors.invalid(path, policy, "only \"Never\" is supported when podFailurePolicy is specified");
            }
        }
        other => errors.not_supported(path, other, &["OnFailure", "Never"]),
    }
}

/// Completions are fixed, except that an indexed job may grow and shrink together with its parallelism.
pub(super) fn validate_completions(spec: &Value, old: &Value, path: &Path, errors: &mut Errors) {
    let (now, before) = (member(spec, "completions"), member(old, "completions"));
    if now == before {
        return;
    }
    let path = path.child("completions");
    if text(spec, "completionMode") != "Indexed" || now.is_null() || before.is_null() {
        return tree::immutable(now, before, &path, errors);
    }
    if member(spec, "parallelism") != now || member(old, "parallelism") != before {
        errors.invalid(&path, now.clone(), "can only be modified in tandem with spec.parallelism");
    }
}

/// A template without what may still change before a suspended job starts: where its pods may go, and what they get.
pub(super) fn without_placement(template: &Value) -> Value {
    let mut plain = template.clone();
    if let Some(metadata) = plain.get_mut("metadata").and_then(Value::as_object_mut) {
        metadata.remove("annotations");
        metadata.remove("labels");
    }
    if let Some(spec) = plain.get_mut("spec").and_then(Value::as_object_mut) {
        if let Some(affinity) = spec.get_mut("affinity").and_then(Value::as_object_mut) {
            affinity.remove("nodeAffinity");
        }
        if spec.get("affinity") == Some(&json!({})) {
            spec.remove("affinity");
        }
        for name in ["nodeSelector", "tolerations", "schedulingGates"] {
            spec.remove(name);
        }
        for list in ["containers", "initContainers"] {
            for container in spec.get_mut(list).and_then(Value::as_array_mut).into_iter().flatten() {
                if let Some(container) = container.as_object_mut() {
                    container.remove("resources");
                }
            }
        }
    }
    plain
}
