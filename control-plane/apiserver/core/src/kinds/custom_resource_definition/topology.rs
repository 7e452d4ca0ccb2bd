//! How the maps and lists of a schema merge.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::field::{Errors, Path};
use crate::kinds::tree::{flag, has, member, text, texts};

const SET: &str = "must be atomic as item of a list with x-kubernetes-list-type=set";

/// Checks what a schema says of it. An update may leave sets of what has parts, and keys that need not be there, where they were.
pub(super) fn validate(schema: &Value, sets_of_parts: bool, loose_keys: bool, path: &Path, errors: &mut Errors) {
    let kind = text(schema, "type");
    let of_type = |name: &str, wanted: &str, errors: &mut Errors| {
        let why = format!("must be {wanted} if {name} is specified");
        match kind {
            _ if !has(schema, name) || kind == wanted => return true,
            "" => errors.required(&path.child("type"), &why),
            _ => errors.invalid(&path.child("type"), kind, &why),
        }
        false
    };
    let one_of = |name: &str, valid: &[&str], errors: &mut Errors| match member(schema, name).as_str() {
        Some(given) if !valid.contains(&given) => errors.not_supported(&path.child(name), given, valid),
        Some(_) | None => {}
    };
    of_type("x-kubernetes-map-type", "object", errors);
    one_of("x-kubernetes-map-type", &["atomic", "granular"], errors);
    if of_type("x-kubernetes-list-type", "array", errors) && !sets_of_parts {
        validate_set(schema, path, errors);
    }
    one_of("x-kubernetes-list-type", &["atomic", "set", "map"], errors);
    validate_keys(schema, path, errors);
    if !loose_keys {
        validate_keys_are_there(schema, path, errors);
    }
}

fn list_type(schema: &Value) -> &str {
    text(schema, "x-kubernetes-list-type")
}

/// The elements of a set are compared as wholes.
pub(super) fn validate_set(schema: &Value, path: &Path, errors: &mut Errors) {
    let (items, path) = (member(schema, "items"), path.child("items"));
    if list_type(schema) != "set" || !items.is_object() {
        return;
    }
    let (list_type, map_type) = ("x-kubernetes-list-type", "x-kubernetes-map-type");
    match text(items, "type") {
        "array" if has(items, list_type) && text(items, list_type) != "atomic" => {
            errors.invalid(&path.child(list_type), text(items, list_type), SET);
        }
        "object" if text(items, map_type) != "atomic" => {
            errors.invalid(&path.child(map_type), member(items, list_type).clone(), SET);
        }
        _ => {}
    }
}

/// The keys of a list of type `map`.
fn validate_keys(schema: &Value, path: &Path, errors: &mut Errors) {
    const TYPE: &str = "x-kubernetes-list-type";
    const KEYS: &str = "x-kubernetes-list-map-keys";
    let keys: Vec<&str> = texts(schema, KEYS).collect();
    if !keys.is_empty() && list_type(schema) != "map" {
        let why = "must be map if x-kubernetes-list-map-keys is non-empty";
        match member(schema, TYPE) {
            Value::Null => errors.required(&path.child(TYPE), why),
            given => errors.invalid(&path.child(TYPE), given.clone(), why),
        }
    }
    if list_type(schema) != "map" {
        return;
    }
    if keys.is_empty() {
        errors.required(&path.child(KEYS), "must not be empty if x-kubernetes-list-type is map");
    }
    let (items, at) = (member(schema, "items"), path.child("items"));
    if items.is_null() {
        return errors.required(&at, "must have a schema if x-kubernetes-list-type is map");
    }
    if !items.is_object() {
        let why = "must only have a single schema if x-kubernetes-list-type is map";
        return errors.invalid(&at, items.clone(), why);
    }
    let kind = text(items, "type");
    if kind != "object" {
        let why = "must be object if parent array's x-kubernetes-list-type is map";
        return errors.invalid(&at.child("type"), kind, why);
    }
    let mut seen = BTreeSet::new();
    for key in &keys {
        match member(items, "properties").get(*key) {
            Some(property) if ["array", "object"].contains(&text(property, "type")) => {
                let at = at.child("properties").key(key).child("type");
                errors.invalid(&at, kind, "must be a scalar type if parent array's x-kubernetes-list-type is map");
            }
            Some(_) => {}
            None => errors.invalid(&path.child(KEYS), keys.clone(), "entries must all be names of item properties"),
        }
        if !seen.insert(key) {
            errors.invalid(&path.child(KEYS), keys.clone(), "must not contain duplicate entries");
        }
    }
}

/// Elements that are told apart must have what tells them apart.
pub(super) fn validate_keys_are_there(schema: &Value, path: &Path, errors: &mut Errors) {
    let (items, path) = (member(schema, "items"), path.child("items"));
    if !items.is_object() || !["set", "map"].contains(&list_type(schema)) {
        return;
    }
    if flag(items, "nullable") {
        let why = format!("cannot be nullable when x-kubernetes-list-type is {}", list_type(schema));
        errors.forbidden(&path.child("nullable"), &why);
    }
    if list_type(schema) != "map" {
        return;
    }
    for key in texts(schema, "x-kubernetes-list-map-keys") {
        let Some(property) = member(items, "properties").get(key) else { continue };
        let path = path.child("properties").key(key);
        if !texts(items, "required").any(|required| required == key) && !has(property, "default") {
            let why =
                "this property is in x-kubernetes-list-map-keys, so it must have a default or be a required property";
            errors.required(&path.child("default"), why);
        }
        if flag(property, "nullable") {
            let why = "this property is in x-kubernetes-list-map-keys, so it cannot be nullable";
            errors.forbidden(&path.child("nullable"), why);
        }
    }
}
