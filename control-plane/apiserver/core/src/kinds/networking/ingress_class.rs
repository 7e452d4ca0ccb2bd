//! Ingress classes: who serves ingresses.

use serde_json::Value;

use crate::field::{Errors, Path};
use crate::kinds::tree::{self, at, has, member, text};
use crate::names;
use crate::object::Object;
use crate::strategy::{Replacing, Shape, Strategy};
use crate::table;

const CONTROLLER_LENGTH: usize = 250;

/// The strategy.
#[derive(Debug)]
pub(in crate::kinds) struct IngressClass;

impl Strategy for IngressClass {
    fn shape(&self) -> Shape {
        Shape::Spec
    }

    fn default(&self, object: &mut Object) {
        if let Some(parameters) = object.section("spec").get_mut("parameters").and_then(Value::as_object_mut) {
            tree::or_set(parameters, "scope", "Cluster");
        }
    }

    fn validate(&self, object: &Object, errors: &mut Errors) {
        let (spec, path) = (at(object, &["spec"]), Path::new("spec"));
        let (controller, at_controller) = (text(spec, "controller"), path.child("controller"));
        if controller.len() > CONTROLLER_LENGTH {
            errors.too_long(&at_controller, CONTROLLER_LENGTH);
        }
        validate_domain_path(controller, &at_controller, errors);
        if has(spec, "parameters") {
            validate_parameters(member(spec, "parameters"), &path.child("parameters"), errors);
        }
    }

    fn validate_update(&self, new: &Object, replacing: Replacing<'_>, errors: &mut Errors) {
        let path = ["spec", "controller"];
        let (now, before) = (at(new, &path), at(replacing.old, &path));
        tree::immutable(now, before, &Path::new("spec.controller"), errors);
        self.validate(new, errors);
    }

    fn cells_read(&self) -> &'static [&'static str] {
        &["spec.controller", "spec.parameters"]
    }

    fn cells(&self, object: &Object, now: jiff::Timestamp) -> Vec<Value> {
        let spec = at(object, &["spec"]);
        let parameters = member(spec, "parameters");
        let shown = if parameters.is_null() {
            "<none>".to_owned()
        } else {
            let kind = text(parameters, "kind");
            match text(parameters, "apiGroup") {
                "" => format!("{kind}/{}", text(parameters, "name")),
                group => format!("{kind}.{group}/{}", text(parameters, "name")),
            }
        };
        vec![
            object.name().unwrap_or_default().into(),
            text(spec, "controller").into(),
            shown.into(),
            table::age(object.creation_timestamp(), now).into(),
        ]
    }
}

/// `example.com/name`: a domain, then a path.
fn validate_domain_path(text: &str, path: &Path, errors: &mut Errors) {
    if text.is_empty() {
        return errors.required(path, "");
    }
    let Some((domain, rest)) = text.split_once('/').filter(|(domain, rest)| !domain.is_empty() && !rest.is_empty())
    else {
        return errors.invalid(path, text, "must be a domain-prefixed path (such as \"acme.io/foo\")");
    };
    tree::all(names::dns_subdomain(domain), domain, path, errors);
    let plain = |c: char| c.is_ascii_alphanumeric() || "/%:?#[]@!$&'()*+,;=-._~".contains(c);
    if !rest.chars().all(plain) {
        errors.invalid(path, rest, "Invalid path (regex used for validation is '[A-Za-z0-9/\\-._~%!$&'()*+,;=:]+')");
    }
}

fn validate_parameters(parameters: &Value, path: &Path, errors: &mut Errors) {
    if let Some(group) = member(parameters, "apiGroup").as_str() {
        tree::all(names::dns_subdomain(group), group, &path.child("apiGroup"), errors);
    }
    for name in ["kind", "name"] {
        match text(parameters, name) {
            "" => errors.required(&path.child(name), ""),
            value => tree::all(names::path_segment(value, false), value, &path.child(name), errors),
        }
    }
    let namespace = path.child("namespace");
    match text(parameters, "scope") {
        "" => errors.required(&path.child("scope"), ""),
        "Cluster" => {
            if has(parameters, "namespace") {
                errors.forbidden(&namespace, "`parameters.scope` is set to 'Cluster'");
            }
        }
        "Namespace" => match member(parameters, "namespace").as_str() {
            None => errors.required(&namespace, "`parameters.scope` is set to 'Namespace'"),
            Some(name) => tree::all(names::dns_label(name), name, &namespace, errors),
        },
        other => errors.not_supported(&path.child("scope"), other, &["Cluster", "Namespace"]),
    }
}
