//! Claims to devices, and templates of claims.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::taint::validate_tolerations;
use super::{
    status, validate_each, validate_fully_qualified, validate_label, validate_opaque, validate_selectors,
    validate_unique,
};
use crate::field::{Errors, Path};
use crate::kinds::tree::{self, at, has, list, member, number, text};
use crate::names;
use crate::object::Object;
use crate::strategy::{Part, Replacing, Shape, Strategy};
use crate::table;

pub(super) const MOST_REQUESTS: usize = 32;
const MOST_ALTERNATIVES: usize = 8;
const MOST_CONSTRAINTS: usize = 32;
const MOST_CONFIGS: usize = 32;
const UNKNOWN: &str =
    "must be the name of a request in the claim or the name of a request and a subrequest separated by '/'";

/// The strategy of `ResourceClaim`.
#[derive(Debug)]
pub(in crate::kinds) struct ResourceClaim;

impl Strategy for ResourceClaim {
    fn shape(&self) -> Shape {
        Shape::Uncounted
    }

    fn default(&self, object: &mut Object) {
        default_claim(object.section("spec"));
    }

    fn validate(&self, object: &Object, errors: &mut Errors) {
        validate_claim(at(object, &["spec"]), &Path::new("spec"), errors);
    }

    fn validate_update(&self, new: &Object, replacing: Replacing<'_>, errors: &mut Errors) {
        let old = replacing.old;
        if replacing.part == Part::Status {
            status::validate(new, old, &Requests::of(at(new, &["spec", "devices"])), errors);
        } else {
            tree::immutable(at(new, &["spec"]), at(old, &["spec"]), &Path::new("spec"), errors);
        }
    }

    fn cells_read(&self) -> &'static [&'static str] {
        &["status.allocation.*", "status.reservedFor.*"]
    }

    fn cells(&self, object: &Object, now: jiff::Timestamp) -> Vec<Value> {
        let going = object.deletion_timestamp().is_some();
        let mut states = Vec::new();
        if going {
            states.push("deleted");
        }
        if has(at(object, &["status"]), "allocation") {
            states.push("allocated");
            if !object.list(&["status", "reservedFor"]).is_empty() {
                states.push("reserved");
            }
        } else if !going {
            states.push("pending");
        }
        vec![
            object.name().unwrap_or_default().into(),
            states.join(",").into(),
            table::age(object.creation_timestamp(), now).into(),
        ]
    }
}

/// The strategy of `ResourceClaimTemplate`.
#[derive(Debug)]
pub(in crate::kinds) struct ResourceClaimTemplate;

impl Strategy for ResourceClaimTemplate {
    fn default(&self, object: &mut Object) {
        if let Some(spec) = tree::section(object.section("spec"), "spec") {
            default_claim(spec);
        }
    }

    fn validate(&self, object: &Object, errors: &mut Errors) {
        let (spec, path) = (at(object, &["spec"]), Path::new("spec"));
        let metadata = member(spec, "metadata");
        names::check_labels(tree::pairs(metadata, "labels"), &path.child("metadata").child("labels"), errors);
        for (key, _) in tree::pairs(metadata, "annotations") {
            let at = path.child("metadata").child("annotations");
            tree::all(names::qualified_name(&key.to_lowercase()), key, &at, errors);
        }
        validate_claim(member(spec, "spec"), &path.child("spec"), errors);
    }

    fn validate_update(&self, new: &Object, replacing: Replacing<'_>, errors: &mut Errors) {
        tree::immutable(at(new, &["spec"]), at(replacing.old, &["spec"]), &Path::new("spec"), errors);
    }
}

fn default_claim(spec: &mut Map<String, Value>) {
    let requests = spec.get_mut("devices").and_then(|devices| devices.get_mut("requests"));
    for request in requests.and_then(Value::as_array_mut).into_iter().flatten() {
        if let Some(exactly) = request.get_mut("exactly") {
            default_request(exactly);
        }
        for one in request.get_mut("firstAvailable").and_then(Value::as_array_mut).into_iter().flatten() {
            default_request(one);
        }
    }
}

fn default_request(request: &mut Value) {
    let Some(request) = request.as_object_mut() else { return };
    tree::or_set(request, "allocationMode", "ExactCount");
    let exact = request.get("allocationMode").and_then(Value::as_str) == Some("ExactCount");
    if exact && request.get("count").is_none_or(|count| count.as_i64() == Some(0)) {
        request.insert("count".into(), 1.into());
    }
    for one in request.get_mut("tolerations").and_then(Value::as_array_mut).into_iter().flatten() {
        if let Some(one) = one.as_object_mut() {
            tree::or_set(one, "operator", "Equal");
        }
    }
}

/// The names of the requests of a claim, each with those of its alternatives.
pub(super) struct Requests<'a>(BTreeMap<&'a str, Vec<&'a str>>);

impl<'a> Requests<'a> {
    pub(super) fn of(devices: &'a Value) -> Self {
        let requests = list(devices, "requests").iter();
        Self(
            requests
                .map(|one| {
                    (text(one, "name"), list(one, "firstAvailable").iter().map(|one| text(one, "name")).collect())
                })
                .collect(),
        )
    }

    fn has(&self, name: &str) -> bool {
        match name.split('/').collect::<Vec<_>>()[..] {
            [name] => self.0.contains_key(name),
            [name, below] => self.0.get(name).is_some_and(|all| all.contains(&below)),
            _ => false,
        }
    }

    /// Checks the name of a request.
    pub(super) fn validate(&self, name: &str, path: &Path, errors: &mut Errors) {
        if name.split('/').count() > 2 {
            return errors.invalid(path, name, UNKNOWN);
        }
        for part in name.split('/') {
            validate_label(part, path, errors);
        }
        if !self.has(name) {
            errors.invalid(path, name, UNKNOWN);
        }
    }

    /// Checks a list of names of requests.
    pub(super) fn validate_list(&self, owner: &Value, path: &Path, errors: &mut Errors) {
        let (names, path) = (list(owner, "requests"), path.child("requests"));
        validate_each(names, MOST_REQUESTS, &path, errors, |name, path, errors| {
            self.validate(name.as_str().unwrap_or_default(), path, errors);
        });
        validate_unique(names, Value::clone, &path, errors);
    }
}

fn validate_claim(spec: &Value, path: &Path, errors: &mut Errors) {
    let (devices, path) = (member(spec, "devices"), path.child("devices"));
    let names = Requests::of(devices);
    let (requests, at) = (list(devices, "requests"), path.child("requests"));
    validate_each(requests, MOST_REQUESTS, &at, errors, validate_request);
    validate_unique(requests, |one| member(one, "name").clone(), &at, errors);
    let at = path.child("constraints");
    validate_each(list(devices, "constraints"), MOST_CONSTRAINTS, &at, errors, |one, path, errors| {
        names.validate_list(one, path, errors);
        match (has(one, "matchAttribute"), has(one, "distinctAttribute")) {
            (true, _) => {
                validate_fully_qualified(text(one, "matchAttribute"), &path.child("matchAttribute"), errors);
            }
            (false, true) => {
                validate_fully_qualified(text(one, "distinctAttribute"), &path.child("distinctAttribute"), errors);
            }
            (false, false) => {
                let why = "exactly one of \"matchAttribute\" or \"distinctAttribute\" is required, but multiple fields are set";
                errors.required(path, why);
            }
        }
    });
    let at = path.child("config");
    validate_each(list(devices, "config"), MOST_CONFIGS, &at, errors, |one, path, errors| {
        names.validate_list(one, path, errors);
        validate_opaque(one, path, errors);
    });
}

fn validate_request(request: &Value, path: &Path, errors: &mut Errors) {
    validate_label(text(request, "name"), &path.child("name"), errors);
    let alternatives = list(request, "firstAvailable");
    match (has(request, "exactly"), !alternatives.is_empty()) {
        (false, false) => errors.required(path, "exactly one of `exactly` or `firstAvailable` is required"),
        (true, true) => {
            let why = "exactly one of `exactly` or `firstAvailable` is required, but multiple fields are set";
            errors.invalid(path, Value::Null, why);
        }
        (true, false) => validate_wish(member(request, "exactly"), &path.child("exactly"), errors),
        (false, true) => {
            let path = path.child("firstAvailable");
            validate_each(alternatives, MOST_ALTERNATIVES, &path, errors, |one, path, errors| {
                validate_label(text(one, "name"), &path.child("name"), errors);
                validate_wish(one, path, errors);
            });
            validate_unique(alternatives, |one| member(one, "name").clone(), &path, errors);
        }
    }
}

fn validate_wish(wish: &Value, path: &Path, errors: &mut Errors) {
    match text(wish, "deviceClassName") {
        "" => errors.required(&path.child("deviceClassName"), ""),
        name => tree::all(names::dns_subdomain(name), name, &path.child("deviceClassName"), errors),
    }
    validate_selectors(wish, path, errors);
    let (mode, count) = (text(wish, "allocationMode"), number(wish, "count"));
    match mode {
        "All" if count != 0 => {
            errors.invalid(&path.child("count"), count, "must not be specified when allocationMode is 'All'");
        }
        "ExactCount" if count <= 0 => errors.invalid(&path.child("count"), count, "must be greater than zero"),
        "All" | "ExactCount" => {}
        other => errors.not_supported(&path.child("allocationMode"), other, &["All", "ExactCount"]),
    }
    validate_tolerations(wish, path, errors);
}
