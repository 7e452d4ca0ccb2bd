//! Admission policies: rules in CEL, and the bindings that put them in force.
//!
//! Expressions are kept as they are: nothing here compiles them, so that one with a mistake is found by whoever runs it.

use std::collections::BTreeSet;

use serde_json::Value;

use super::rules::{self, FAILURE_POLICIES, REINVOCATIONS};
use crate::field::{Errors, Path};
use crate::kinds::selectors;
use crate::kinds::tree::{self, at, has, list, member, text, texts};
use crate::names;
use crate::object::Object;
use crate::strategy::{Part, Replacing, Shape, Strategy};
use crate::table;

const REASONS: [&str; 3] = ["Forbidden", "Invalid", "RequestEntityTooLarge"];
const ACTIONS: [&str; 3] = ["Audit", "Deny", "Warn"];
const PATCHES: [&str; 2] = ["ApplyConfiguration", "JSONPatch"];
const MOST_ANNOTATIONS: usize = 20;
const LONGEST_ANNOTATION: usize = 5 * 1024;
const RESERVED: [&str; 21] = [
    "true",
    "false",
    "null",
    "in",
    "as",
    "break",
    "const",
    "continue",
    "else",
    "for",
    "function",
    "if",
    "import",
    "let",
    "loop",
    "package",
    "namespace",
    "return",
    "var",
    "void",
    "while",
];

/// The strategy of `ValidatingAdmissionPolicy`.
#[derive(Debug)]
pub(in crate::kinds) struct ValidatingAdmissionPolicy;

impl Strategy for ValidatingAdmissionPolicy {
    fn shape(&self) -> Shape {
        Shape::SpecAndStatus
    }

    fn default(&self, object: &mut Object) {
        default_policy(object);
    }

    fn validate(&self, object: &Object, errors: &mut Errors) {
        let (spec, path) = (at(object, &["spec"]), Path::new("spec"));
        validate_policy(spec, &path, errors);
        let (validations, annotations) = (list(spec, "validations"), list(spec, "auditAnnotations"));
        if validations.is_empty() && annotations.is_empty() {
            for name in ["validations", "auditAnnotations"] {
                let why = "validations or auditAnnotations must contain at least one item";
                errors.required(&path.child(name), why);
            }
        }
        for (index, validation) in validations.iter().enumerate() {
            validate_validation(validation, &path.child("validations").index(index), errors);
        }
        validate_annotations(object, annotations, &path.child("auditAnnotations"), errors);
    }

    fn validate_update(&self, new: &Object, replacing: Replacing<'_>, errors: &mut Errors) {
        if replacing.part != Part::Status {
            return self.validate(new, errors);
        }
        let path = Path::new("status");
        let warnings = list(at(new, &["status", "typeChecking"]), "expressionWarnings");
        for (index, warning) in warnings.iter().enumerate() {
            let path = path.child("typeChecking").child("expressionWarnings").index(index);
            for name in ["warning", "fieldRef"] {
                if text(warning, name).trim().is_empty() {
                    errors.required(&path.child(name), "");
                }
            }
        }
        tree::conditions::validate(list(at(new, &["status"]), "conditions"), &path.child("conditions"), errors);
    }

    fn cells_read(&self) -> &'static [&'static str] {
        &["spec.paramKind", "spec.validations.*"]
    }

    fn cells(&self, object: &Object, now: jiff::Timestamp) -> Vec<Value> {
        policy_cells(object, "validations", now)
    }
}

/// The strategy of `MutatingAdmissionPolicy`.
#[derive(Debug)]
pub(in crate::kinds) struct MutatingAdmissionPolicy;

impl Strategy for MutatingAdmissionPolicy {
    fn shape(&self) -> Shape {
        Shape::Spec
    }

    fn default(&self, object: &mut Object) {
        default_policy(object);
        tree::or_set(object.section("spec"), "reinvocationPolicy", "Never");
    }

    fn validate(&self, object: &Object, errors: &mut Errors) {
        let (spec, path) = (at(object, &["spec"]), Path::new("spec"));
        validate_policy(spec, &path, errors);
        let mutations = list(spec, "mutations");
        if mutations.is_empty() {
            errors.required(&path.child("mutations"), "mutations must contain at least one item");
        }
        for (index, mutation) in mutations.iter().enumerate() {
            validate_mutation(mutation, &path.child("mutations").index(index), errors);
        }
        tree::one_of(spec, "reinvocationPolicy", &REINVOCATIONS, &path, errors);
    }

    fn cells_read(&self) -> &'static [&'static str] {
        &["spec.paramKind", "spec.mutations.*"]
    }

    fn cells(&self, object: &Object, now: jiff::Timestamp) -> Vec<Value> {
        policy_cells(object, "mutations", now)
    }
}

/// The strategy of the bindings of both kinds of policies.
#[derive(Debug)]
pub(in crate::kinds) struct Binding {
    /// Whether it says what becomes of what is found to be wrong.
    pub(in crate::kinds) validating: bool,
}

impl Strategy for Binding {
    fn shape(&self) -> Shape {
        Shape::Spec
    }

    fn default(&self, object: &mut Object) {
        if let Some(matching) = object.section("spec").get_mut("matchResources").and_then(Value::as_object_mut) {
            rules::default_matching(matching);
            rules::default_rules(matching, &["resourceRules", "excludeResourceRules"]);
        }
    }

    fn validate(&self, object: &Object, errors: &mut Errors) {
        let (spec, path) = (at(object, &["spec"]), Path::new("spec"));
        match text(spec, "policyName") {
            "" => errors.required(&path.child("policyName"), ""),
            name => tree::all(names::dns_subdomain(name), name, &path.child("policyName"), errors),
        }
        let parameters = member(spec, "paramRef");
        if !parameters.is_null() {
            validate_parameters(parameters, &path.child("paramRef"), errors);
        }
        let matching = member(spec, "matchResources");
        if !matching.is_null() {
            // The typing error is upstream's, and part of its answers.
            rules::validate_matching(matching, &path.child("matchResouces"), errors);
        }
        if self.validating {
            validate_actions(spec, &path.child("validationActions"), errors);
        }
    }

    fn cells_read(&self) -> &'static [&'static str] {
        &["spec.policyName", "spec.paramRef"]
    }

    fn cells(&self, object: &Object, now: jiff::Timestamp) -> Vec<Value> {
        let spec = at(object, &["spec"]);
        let parameters = member(spec, "paramRef");
        let shown = match (parameters.is_null(), text(parameters, "name"), text(parameters, "namespace")) {
            (true, _, _) => "<unset>".to_owned(),
            (false, "", _) => "*".to_owned(),
            (false, name, "") => format!("*/{name}"),
            (false, name, namespace) => format!("{namespace}/{name}"),
        };
        vec![
            object.name().unwrap_or_default().into(),
            text(spec, "policyName").into(),
            shown.into(),
            table::age(object.creation_timestamp(), now).into(),
        ]
    }
}

fn policy_cells(object: &Object, rules: &str, now: jiff::Timestamp) -> Vec<Value> {
    let kind = at(object, &["spec", "paramKind"]);
    let shown = if kind.is_null() {
        "<unset>".to_owned()
    } else {
        format!("{}/{}", text(kind, "apiVersion"), text(kind, "kind"))
    };
    vec![
        object.name().unwrap_or_default().into(),
        object.list(&["spec", rules]).len().into(),
        shown.into(),
        table::age(object.creation_timestamp(), now).into(),
    ]
}

fn default_policy(object: &mut Object) {
    let spec = object.section("spec");
    tree::or_set(spec, "failurePolicy", "Fail");
    if let Some(matching) = spec.get_mut("matchConstraints").and_then(Value::as_object_mut) {
        rules::default_matching(matching);
        rules::default_rules(matching, &["resourceRules", "excludeResourceRules"]);
    }
}

/// Checks what both kinds of policies have.
fn validate_policy(spec: &Value, path: &Path, errors: &mut Errors) {
    tree::one_of(spec, "failurePolicy", &FAILURE_POLICIES, path, errors);
    let kind = member(spec, "paramKind");
    if !kind.is_null() {
        validate_parameter_kind(kind, &path.child("paramKind"), errors);
    }
    let (matching, at) = (member(spec, "matchConstraints"), path.child("matchConstraints"));
    if matching.is_null() {
        errors.required(&at, "");
    } else {
        rules::validate_matching(matching, &at, errors);
        if list(matching, "resourceRules").is_empty() {
            errors.required(&at.child("resourceRules"), "");
        }
    }
    rules::validate_conditions(spec, path, errors);
    let mut seen = BTreeSet::new();
    for (index, variable) in list(spec, "variables").iter().enumerate() {
        let (path, name) = (path.child("variables").index(index), text(variable, "name"));
        if name.trim().is_empty() {
            errors.required(&path.child("name"), "name is not specified");
        } else if !is_identifier(name) {
            errors.invalid(&path.child("name"), name, "name is not a valid CEL identifier");
        }
        if !name.is_empty() && !seen.insert(name) {
            errors.duplicate(&path.child("name"), name);
        }
        if text(variable, "expression").trim().is_empty() {
            errors.required(&path.child("expression"), "expression is not specified");
        }
    }
}

fn is_identifier(name: &str) -> bool {
    let mut letters = name.bytes();
    letters.next().is_some_and(|first| first == b'_' || first.is_ascii_alphabetic())
        && letters.all(|one| one == b'_' || one.is_ascii_alphanumeric())
        && !RESERVED.contains(&name)
}

fn validate_parameter_kind(reference: &Value, path: &Path, errors: &mut Errors) {
    let (api_version, at) = (text(reference, "apiVersion"), path.child("apiVersion"));
    match api_version.split('/').collect::<Vec<_>>()[..] {
        [""] => errors.required(&at, ""),
        [_, _, _, ..] => {
            errors.invalid(&at, api_version, &format!("unexpected GroupVersion string: {api_version}"));
        }
        ref parts => {
            let (group, version) = if let [group, version] = parts { (*group, *version) } else { ("", parts[0]) };
            let wrong = names::dns_subdomain(group);
            if !group.is_empty() && !wrong.is_empty() {
                errors.invalid(&at, group, &wrong.join(","));
            }
            let wrong = names::dns_1035_label(version);
            if version.is_empty() {
                errors.invalid(&at, api_version, "version must be specified");
            } else if !wrong.is_empty() {
                errors.invalid(&at, version, &wrong.join(","));
            }
        }
    }
    let kind = text(reference, "kind");
    let wrong = names::dns_1035_label(&kind.to_lowercase());
    if kind.is_empty() {
        errors.required(&path.child("kind"), "");
    } else if !wrong.is_empty() {
        let why = format!("may have mixed case, but should otherwise match: {}", wrong.join(","));
        errors.invalid(&path.child("kind"), kind, &why);
    }
}

fn validate_validation(validation: &Value, path: &Path, errors: &mut Errors) {
    if text(validation, "expression").trim().is_empty() {
        errors.required(&path.child("expression"), "expression is not specified");
    }
    let dynamic = text(validation, "messageExpression");
    if !dynamic.is_empty() && dynamic.trim().is_empty() {
        errors.invalid(&path.child("messageExpression"), dynamic, "must be non-empty if specified");
    }
    let message = text(validation, "message");
    if !message.is_empty() && message.trim().is_empty() {
        errors.invalid(&path.child("message"), message, "message must be non-empty if specified");
    } else if message.trim().contains(['\n', '\r']) {
        errors.invalid(&path.child("message"), message, "message must not contain line breaks");
    }
    tree::one_of_if_set(validation, "reason", &REASONS, path, errors);
}

fn validate_annotations(object: &Object, annotations: &[Value], path: &Path, errors: &mut Errors) {
    if annotations.len() > MOST_ANNOTATIONS {
        let why = format!("must not have more than {MOST_ANNOTATIONS} auditAnnotations");
        errors.invalid(path, annotations.to_vec(), &why);
    }
    let mut seen = BTreeSet::new();
    for (index, annotation) in annotations.iter().enumerate() {
        let (path, key) = (path.index(index), text(annotation, "key"));
        let full = format!("{}/{key}", object.name().unwrap_or_default());
        tree::all(names::qualified_name(&full), &full, &path.child("key"), errors);
        let (value, at) = (text(annotation, "valueExpression").trim(), path.child("valueExpression"));
        if value.is_empty() {
            errors.required(&at, "valueExpression is not specified");
        } else if value.len() > LONGEST_ANNOTATION {
            errors.required(&at, &format!("must not exceed {LONGEST_ANNOTATION} bytes in length"));
        }
        if !seen.insert(key) {
            errors.duplicate(&path.child("key"), key);
        }
    }
}

fn validate_mutation(mutation: &Value, path: &Path, errors: &mut Errors) {
    let kind = text(mutation, "patchType");
    let own = match kind {
        "" => return errors.required(&path.child("patchType"), ""),
        "ApplyConfiguration" => "applyConfiguration",
        "JSONPatch" => "jsonPatch",
        other => return errors.not_supported(&path.child("patchType"), other, &PATCHES),
    };
    let other = if own == "jsonPatch" { "applyConfiguration" } else { "jsonPatch" };
    let value = member(mutation, own);
    if value.is_null() {
        errors.required(&path.child(own), &format!("must be specified when patchType is {kind}"));
    } else if text(value, "expression").trim().is_empty() {
        errors.required(&path.child(own).child("expression"), "expression is not specified");
    }
    if has(mutation, other) {
        errors.invalid(&path.child(other), "{}", &format!("may not be specified when patchType is {kind}"));
    }
}

fn validate_parameters(parameters: &Value, path: &Path, errors: &mut Errors) {
    const EITHER: &str = "name and selector are mutually exclusive";
    let (name, selector) = (text(parameters, "name"), member(parameters, "selector"));
    if !name.is_empty() {
        tree::all(names::path_segment(name, false), name, &path.child("name"), errors);
        if !selector.is_null() {
            errors.forbidden(&path.child("name"), EITHER);
        }
    }
    if !selector.is_null() {
        selectors::validate(selector, &path.child("selector"), errors);
        if !name.is_empty() {
            errors.forbidden(&path.child("selector"), EITHER);
        }
    }
    if name.is_empty() && selector.is_null() {
        errors.required(path, "one of name or selector must be specified");
    }
    tree::one_of(parameters, "parameterNotFoundAction", &["Deny", "Allow"], path, errors);
}

fn validate_actions(spec: &Value, path: &Path, errors: &mut Errors) {
    let actions: Vec<&str> = texts(spec, "validationActions").collect();
    let mut seen = BTreeSet::new();
    for (index, action) in actions.iter().enumerate() {
        if !ACTIONS.contains(action) {
            errors.not_supported(&path.index(index), *action, &ACTIONS);
        }
        if !seen.insert(*action) {
            errors.duplicate(&path.index(index), *action);
        }
    }
    if seen.contains("Deny") && seen.contains("Warn") {
        let why = "must not contain both Deny and Warn (repeating the same validation failure information in the API response and \
                   headers serves no purpose)";
        errors.invalid(path, actions.clone(), why);
    }
    if seen.is_empty() {
        errors.required(path, "at least one validation action is required");
    }
}
