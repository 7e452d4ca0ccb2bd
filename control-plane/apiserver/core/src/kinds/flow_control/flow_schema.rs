//! Flow schemas: which requests are one flow, and of which priority level.

use serde_json::Value;

use super::{CATCH_ALL, EXEMPT, is_fixed, validate_status};
use crate::field::{Errors, Path};
use crate::kinds::tree::{self, at, flag, has, list, member, number, text, texts};
use crate::names;
use crate::object::Object;
use crate::strategy::{Part, Replacing, Shape, Strategy};
use crate::table;

const DEFAULT_PRECEDENCE: i64 = 1000;
const LAST_PRECEDENCE: i64 = 10000;
const METHODS: [&str; 2] = ["ByNamespace", "ByUser"];
const SUBJECTS: [(&str, &str); 3] = [("Group", "group"), ("ServiceAccount", "serviceAccount"), ("User", "user")];
const VERBS: [&str; 9] = ["create", "delete", "deletecollection", "get", "list", "patch", "proxy", "update", "watch"];

/// The strategy.
#[derive(Debug)]
pub(in crate::kinds) struct FlowSchema;

impl Strategy for FlowSchema {
    fn shape(&self) -> Shape {
        Shape::SpecAndStatus
    }

    fn default(&self, object: &mut Object) {
        let spec = object.section("spec");
        if spec.get("matchingPrecedence").is_none_or(|value| value.as_i64().unwrap_or(0) == 0) {
            spec.insert("matchingPrecedence".into(), DEFAULT_PRECEDENCE.into());
        }
    }

    fn validate(&self, object: &Object, errors: &mut Errors) {
        let (spec, path) = (at(object, &["spec"]), Path::new("spec"));
        validate_precedence(object, number(spec, "matchingPrecedence"), &path.child("matchingPrecedence"), errors);
        let method = member(spec, "distinguisherMethod");
        if !method.is_null() && !METHODS.contains(&text(method, "type")) {
            errors.not_supported(&path.child("distinguisherMethod").child("type"), method.clone(), &METHODS);
        }
        let level = path.child("priorityLevelConfiguration").child("name");
        match text(member(spec, "priorityLevelConfiguration"), "name") {
            "" => errors.required(&level, "must reference a priority level"),
            name => tree::all(names::dns_subdomain(name), name, &level, errors),
        }
        for (index, rule) in list(spec, "rules").iter().enumerate() {
            validate_rule(rule, &path.child("rules").index(index), errors);
        }
        for name in [EXEMPT, CATCH_ALL].into_iter().filter(|name| is_fixed(object, name)) {
            let fixed = super::flow_schemas().into_iter().find(|one| one["metadata"]["name"] == name);
            if fixed.is_some_and(|fixed| fixed["spec"] != *spec) {
                errors.invalid(&path, spec.clone(), &format!("spec of '{name}' must equal the fixed value"));
            }
        }
        validate_status(object, errors);
    }

    fn validate_update(&self, new: &Object, replacing: Replacing<'_>, errors: &mut Errors) {
        match replacing.part {
            Part::Status => validate_status(new, errors),
            Part::Main | Part::Other(_) => self.validate(new, errors),
        }
    }

    fn cells_read(&self) -> &'static [&'static str] {
        &[
            "spec.priorityLevelConfiguration.name",
            "spec.matchingPrecedence",
            "spec.distinguisherMethod",
            "status.conditions.type",
            "status.conditions.status",
        ]
    }

    fn cells(&self, object: &Object, now: jiff::Timestamp) -> Vec<Value> {
        let spec = at(object, &["spec"]);
        let method = member(spec, "distinguisherMethod");
        let dangling = object.list(&["status", "conditions"]).iter().find(|one| text(one, "type") == "Dangling");
        vec![
            object.name().unwrap_or_default().into(),
            text(member(spec, "priorityLevelConfiguration"), "name").into(),
            number(spec, "matchingPrecedence").into(),
            if method.is_null() { "<none>" } else { text(method, "type") }.into(),
            table::age(object.creation_timestamp(), now).into(),
            dangling.map_or("?", |one| text(one, "status")).into(),
        ]
    }
}

fn validate_precedence(object: &Object, precedence: i64, path: &Path, errors: &mut Errors) {
    if precedence <= 0 {
        errors.invalid(path, precedence, "must be a positive value");
    }
    if precedence > LAST_PRECEDENCE {
        errors.invalid(path, precedence, &format!("must not be greater than {LAST_PRECEDENCE}"));
    }
    if precedence == 1 && object.name() != Some(EXEMPT) {
        errors.invalid(path, precedence, "only the schema named 'exempt' may have matchingPrecedence 1");
    }
}

fn validate_rule(rule: &Value, path: &Path, errors: &mut Errors) {
    for (index, subject) in list(rule, "subjects").iter().enumerate() {
        validate_subject(subject, &path.child("subjects").index(index), errors);
    }
    if list(rule, "subjects").is_empty() {
        errors.required(&path.child("subjects"), "subjects must contain at least one value");
    }
    let (resources, paths) = (list(rule, "resourceRules"), list(rule, "nonResourceRules"));
    if resources.is_empty() && paths.is_empty() {
        errors.required(path, "at least one of resourceRules and nonResourceRules has to be non-empty");
    }
    for (index, rule) in resources.iter().enumerate() {
        validate_resource_rule(rule, &path.child("resourceRules").index(index), errors);
    }
    for (index, rule) in paths.iter().enumerate() {
        validate_path_rule(rule, &path.child("nonResourceRules").index(index), errors);
    }
}

fn validate_subject(subject: &Value, path: &Path, errors: &mut Errors) {
    let kind = text(subject, "kind");
    let Some((_, own)) = SUBJECTS.iter().find(|(name, _)| *name == kind) else {
        let kinds = SUBJECTS.map(|(name, _)| name);
        return errors.not_supported(&path.child("kind"), kind, &kinds);
    };
    let (value, at) = (member(subject, own), path.child(own));
    if value.is_null() {
        errors.required(&at, &format!("{own} is required when subject kind is '{kind}'"));
    } else {
        let name = text(value, "name");
        if name.is_empty() {
            errors.required(&at.child("name"), "");
        } else if kind == "ServiceAccount" && name != "*" {
            tree::all(names::dns_subdomain(name), name, &at.child("name"), errors);
        }
        if kind == "ServiceAccount" {
            match text(value, "namespace") {
                "" => errors.required(&at.child("namespace"), "must specify namespace for service account"),
                namespace => tree::all(names::dns_label(namespace), namespace, &at.child("namespace"), errors),
            }
        }
    }
    for (other, name) in SUBJECTS.iter().filter(|(other, name)| *other != kind && has(subject, name)) {
        errors.forbidden(&path.child(name), &format!("{name} is forbidden when subject kind is not '{other}'"));
    }
}

fn validate_verbs(rule: &Value, path: &Path, errors: &mut Errors) {
    let verbs: Vec<&str> = texts(rule, "verbs").collect();
    let path = path.child("verbs");
    if verbs.is_empty() {
        errors.required(&path, "verbs must contain at least one value");
    } else if verbs.contains(&"*") {
        if verbs.len() > 1 {
            errors.invalid(&path, verbs, "if '*' is present, must not specify other verbs");
        }
    } else if verbs.iter().any(|verb| !VERBS.contains(verb)) {
        errors.not_supported(&path, verbs, &VERBS);
    }
}

fn validate_resource_rule(rule: &Value, path: &Path, errors: &mut Errors) {
    validate_verbs(rule, path, errors);
    for (name, missing, many) in [
        (
            "apiGroups",
            "resource rules must supply at least one api group",
            "if '*' is present, must not specify other api groups",
        ),
        (
            "resources",
            "resource rules must supply at least one resource",
            "if '*' is present, must not specify other resources",
        ),
    ] {
        let values: Vec<&str> = texts(rule, name).collect();
        if values.is_empty() {
            errors.required(&path.child(name), missing);
        } else if values.len() > 1 && values.contains(&"*") {
            errors.invalid(&path.child(name), values, many);
        }
    }
    let namespaces: Vec<&str> = texts(rule, "namespaces").collect();
    let path = path.child("namespaces");
    if namespaces.is_empty() && !flag(rule, "clusterScope") {
        errors.required(&path, "resource rules that are not cluster scoped must supply at least one namespace");
    } else if namespaces.contains(&"*") {
        if namespaces.len() > 1 {
            errors.invalid(&path, namespaces, "if '*' is present, must not specify other namespaces");
        }
    } else {
        for (index, namespace) in namespaces.iter().enumerate() {
            for message in names::dns_label(namespace) {
                let message = format!("each member of this list must be '*' or a DNS-1123 label; {message}");
                errors.invalid(&path.index(index), *namespace, &message);
            }
        }
    }
}

fn validate_path_rule(rule: &Value, path: &Path, errors: &mut Errors) {
    validate_verbs(rule, path, errors);
    let urls: Vec<&str> = texts(rule, "nonResourceURLs").collect();
    let path = path.child("nonResourceURLs");
    if urls.is_empty() {
        errors.required(&path, "nonResourceURLs must contain at least one value");
    } else if urls.contains(&"*") {
        if urls.len() > 1 {
            errors.invalid(&path, urls, "if '*' is present, must not specify other non-resource URLs");
        }
    } else {
        for (index, url) in urls.iter().enumerate() {
            if let Some(message) = url_message(url) {
                errors.invalid(&path.index(index), *url, message);
            }
        }
    }
}

fn url_message(url: &str) -> Option<&'static str> {
    let stars = url.matches('*').count();
    match url {
        "" => Some("must not be empty"),
        "/" => None,
        _ if !url.starts_with('/') => Some("must start with slash"),
        _ if url.contains(' ') => Some("must not contain white-space"),
        _ if url.contains("//") => Some("must not contain double slash"),
        _ if stars > 1 || (stars == 1 && !url.ends_with("/*")) => Some("wildcard can only do suffix matching"),
        _ => None,
    }
}
