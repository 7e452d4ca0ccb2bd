//! What requests a webhook or a policy is about.

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};

use crate::field::{Errors, Path};
use crate::kinds::selectors;
use crate::kinds::tree::{self, has, list, member, text, texts};
use crate::names;

pub(super) const FAILURE_POLICIES: [&str; 2] = ["Fail", "Ignore"];
pub(super) const MATCH_POLICIES: [&str; 2] = ["Equivalent", "Exact"];
pub(super) const REINVOCATIONS: [&str; 2] = ["IfNeeded", "Never"];
const OPERATIONS: [&str; 5] = ["*", "CONNECT", "CREATE", "DELETE", "UPDATE"];
const SCOPES: [&str; 3] = ["*", "Cluster", "Namespaced"];
const MOST_CONDITIONS: usize = 64;

/// Fills in what rules do not say.
pub(super) fn default_rules(owner: &mut Map<String, Value>, names: &[&str]) {
    for name in names {
        for rule in owner.get_mut(*name).and_then(Value::as_array_mut).into_iter().flatten() {
            if let Some(rule) = rule.as_object_mut() {
                tree::or_set(rule, "scope", "*");
            }
        }
    }
}

/// Fills in what a matcher does not say: selectors that take everything, and equivalent versions too.
pub(super) fn default_matching(owner: &mut Map<String, Value>) {
    tree::or_set(owner, "matchPolicy", "Equivalent");
    for name in ["namespaceSelector", "objectSelector"] {
        tree::or_set(owner, name, json!({}));
    }
}

/// Checks an operation rule.
pub(super) fn validate_rule(rule: &Value, path: &Path, errors: &mut Errors) {
    let operations: Vec<&str> = texts(rule, "operations").collect();
    let at = path.child("operations");
    if operations.is_empty() {
        errors.required(&at, "");
    }
    if operations.len() > 1 && operations.contains(&"*") {
        errors.invalid(&at, operations.clone(), "if '*' is present, must not specify other operations");
    }
    for (index, operation) in operations.iter().enumerate().filter(|(_, one)| !OPERATIONS.contains(one)) {
        errors.not_supported(&at.index(index), *operation, &OPERATIONS);
    }
    for (name, many) in [
        ("apiGroups", "if '*' is present, must not specify other API groups"),
        ("apiVersions", "if '*' is present, must not specify other API versions"),
    ] {
        let (values, at): (Vec<&str>, _) = (texts(rule, name).collect(), path.child(name));
        if values.is_empty() {
            errors.required(&at, "");
        }
        if values.len() > 1 && values.contains(&"*") {
            errors.invalid(&at, values.clone(), many);
        }
        // An empty group is the core one; a version has a name.
        if name == "apiVersions" {
            for (index, _) in values.iter().enumerate().filter(|(_, one)| one.is_empty()) {
                errors.required(&at.index(index), "");
            }
        }
    }
    validate_resources(rule, &path.child("resources"), errors);
    tree::one_of_if_set(rule, "scope", &SCOPES, path, errors);
}

fn validate_resources(rule: &Value, path: &Path, errors: &mut Errors) {
    let resources: Vec<&str> = texts(rule, "resources").collect();
    if resources.is_empty() {
        errors.required(path, "");
    }
    let (mut whole, mut below): (BTreeSet<&str>, BTreeSet<&str>) = (BTreeSet::new(), BTreeSet::new());
    let mut plain = false;
    for (index, both) in resources.iter().enumerate() {
        if both.is_empty() {
            errors.required(&path.index(index), "");
            continue;
        }
        let Some((resource, subresource)) = both.split_once('/') else {
            plain = *both != "*";
            continue;
        };
        if whole.contains(resource) {
            let why = format!("if '{resource}/*' is present, must not specify {both}");
            errors.invalid(&path.index(index), *both, &why);
        }
        if below.contains(subresource) {
            let why = format!("if '*/{subresource}' is present, must not specify {both}");
            errors.invalid(&path.index(index), *both, &why);
        }
        if subresource == "*" {
            whole.insert(resource);
        }
        if resource == "*" {
            below.insert(subresource);
        }
    }
    if resources.len() > 1 && resources.contains(&"*/*") {
        errors.invalid(path, resources.clone(), "if '*/*' is present, must not specify other resources");
    }
    if resources.contains(&"*") && plain {
        let why = "if '*' is present, must not specify other resources without subresources";
        errors.invalid(path, resources, why);
    }
}

/// Checks a matcher of policies and bindings.
pub(super) fn validate_matching(matching: &Value, path: &Path, errors: &mut Errors) {
    tree::one_of(matching, "matchPolicy", &MATCH_POLICIES, path, errors);
    for name in ["namespaceSelector", "objectSelector"] {
        if has(matching, name) {
            selectors::validate(member(matching, name), &path.child(name), errors);
        } else {
            errors.required(&path.child(name), "");
        }
    }
    for name in ["resourceRules", "excludeResourceRules"] {
        for (index, rule) in list(matching, name).iter().enumerate() {
            let path = path.child(name).index(index);
            let mut seen = BTreeSet::new();
            for (index, name) in texts(rule, "resourceNames").enumerate() {
                let path = path.child("resourceNames").index(index);
                tree::all(names::path_segment(name, false), name, &path, errors);
                if !seen.insert(name) {
                    errors.duplicate(&path, name);
                }
            }
            validate_rule(rule, &path, errors);
        }
    }
}

/// Checks the names of conditions, and that they say something.
pub(super) fn validate_conditions(owner: &Value, path: &Path, errors: &mut Errors) {
    let (conditions, path) = (list(owner, "matchConditions"), path.child("matchConditions"));
    if conditions.len() > MOST_CONDITIONS {
        errors.too_many(&path, conditions.len(), MOST_CONDITIONS);
    }
    let mut seen = BTreeSet::new();
    for (index, condition) in conditions.iter().enumerate() {
        let path = path.index(index);
        if text(condition, "expression").trim().is_empty() {
            errors.required(&path.child("expression"), "");
        }
        match text(condition, "name") {
            "" => errors.required(&path.child("name"), ""),
            name => {
                tree::all(names::qualified_name(name), name, &path.child("name"), errors);
                if !seen.insert(name) {
                    errors.duplicate(&path.child("name"), name);
                }
            }
        }
    }
}
