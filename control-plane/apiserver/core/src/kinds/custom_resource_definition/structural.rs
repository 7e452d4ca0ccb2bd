//! Structural schemas: what a value is, is said once and outside of all that is only checked.

use regex::Regex;
use serde_json::{Value, json};

use super::is_set;
use crate::field::{Errors, Path};
use crate::kinds::tree::{NOTHING, entries, flag, has, list, member, text};

/// Where a schema stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Level {
    Root,
    Item,
    Field,
}

/// Whether it says only what such schemas can.
///
/// # Errors
///
/// The first thing they cannot, in upstream's words.
pub(super) fn is_convertible(schema: &Value) -> Result<(), String> {
    for name in ["id", "$schema", "$ref", "patternProperties", "dependencies", "additionalItems", "definitions"] {
        if is_set(schema, name) || name == "additionalItems" && has(schema, name) {
            let name = if name == "$schema" { "schema" } else { name };
            return Err(format!("OpenAPIV3Schema '{name}' is not supported"));
        }
    }
    if !list(schema, "items").is_empty() {
        return Err("OpenAPIV3Schema 'items' must be a schema, but is an array".to_owned());
    }
    if member(schema, "x-kubernetes-preserve-unknown-fields") == &json!(false) {
        return Err("internal error: 'x-kubernetes-preserve-unknown-fields' must be true or undefined".to_owned());
    }
    let single = ["items", "not", "additionalProperties"].into_iter().map(|name| member(schema, name));
    let lists = ["allOf", "anyOf", "oneOf"].into_iter().flat_map(|name| list(schema, name));
    let properties = entries(schema, "properties").map(|(_, property)| property);
    single.chain(lists).chain(properties).filter(|part| part.is_object()).try_for_each(is_convertible)
}

/// Checks that a schema is structural. What is wrong is sorted, as upstream has it.
pub(super) fn validate(schema: &Value, path: &Path, errors: &mut Errors) {
    let mut found = Errors::new();
    validate_invariants(schema, Level::Root, path, &mut found);
    validate_completeness(schema, schema, path, path, &mut found);
    found.sort();
    errors.extend(found);
}

fn validate_invariants(schema: &Value, level: Level, path: &Path, errors: &mut Errors) {
    let kind = text(schema, "type");
    let items = member(schema, "items");
    if kind == "array" && items.is_null() {
        errors.required(&path.child("items"), "must be specified");
    }
    if items.is_object() {
        validate_invariants(items, Level::Item, &path.child("items"), errors);
    }
    for (name, property) in entries(schema, "properties") {
        validate_invariants(property, Level::Field, &path.child("properties").key(name), errors);
    }
    let values = member(schema, "additionalProperties");
    if !values.is_null() && level == Level::Root {
        errors.forbidden(&path.child("additionalProperties"), "must not be used at the root");
    }
    if values.is_object() {
        validate_invariants(values, Level::Field, &path.child("additionalProperties"), errors);
    }
    let either = flag(schema, "x-kubernetes-int-or-string");
    for name in ["x-kubernetes-preserve-unknown-fields", "x-kubernetes-embedded-resource"] {
        if either && flag(schema, name) {
            errors.invalid(&path.child(name), true, "must be false if x-kubernetes-int-or-string is true");
        }
    }
    let first = list(schema, "allOf").first().unwrap_or(NOTHING);
    validate_checks(schema, is_int_or_string(schema), is_int_or_string(first), path, errors);
    validate_type(schema, level, path, errors);
    validate_meta(schema, level, path, errors);
}

fn validate_type(schema: &Value, level: Level, path: &Path, errors: &mut Errors) {
    let (kind, at) = (text(schema, "type"), path.child("type"));
    let preserves = flag(schema, "x-kubernetes-preserve-unknown-fields");
    if flag(schema, "x-kubernetes-embedded-resource") {
        let why = "must be object if x-kubernetes-embedded-resource is true";
        match kind {
            "object" => {}
            "" => errors.required(&at, why),
            _ => errors.invalid(&at, kind, why),
        }
        if has(schema, "additionalProperties") {
            let why = "must not be used if x-kubernetes-embedded-resource is set";
            errors.forbidden(&path.child("additionalProperties"), why);
        }
        if !preserves && entries(schema, "properties").next().is_none() {
            let why = "must not be empty if x-kubernetes-embedded-resource is true without x-kubernetes-preserve-unknown-fields";
            errors.required(&path.child("properties"), why);
        }
    } else if kind.is_empty() && !flag(schema, "x-kubernetes-int-or-string") && !preserves {
        let why = match level {
            Level::Root => "must not be empty at the root",
            Level::Item => "must not be empty for specified array items",
            Level::Field => "must not be empty for specified object fields",
        };
        errors.required(&at, why);
    }
    if level == Level::Root && !kind.is_empty() && kind != "object" {
        errors.invalid(&at, kind, "must be object at the root");
    }
}

/// What all objects have may be narrowed, and not described.
fn validate_meta(schema: &Value, level: Level, path: &Path, errors: &mut Errors) {
    let is_object = level == Level::Root || flag(schema, "x-kubernetes-embedded-resource");
    let properties = member(schema, "properties");
    for name in ["kind", "apiVersion"] {
        if let (true, Some(property)) = (is_object, properties.get(name))
            && text(property, "type") != "string"
        {
            let at = path.child("properties").key(name).child("type");
            errors.invalid(&at, text(property, "type"), "must be string");
        }
    }
    let Some(metadata) = properties.get("metadata") else { return };
    let at = path.child("properties").key("metadata");
    if is_object && text(metadata, "type") != "object" {
        errors.invalid(&at.child("type"), text(metadata, "type"), "must be object");
    }
    if level != Level::Root {
        return;
    }
    let narrowed = entries(metadata, "properties").all(|(name, _)| ["name", "generateName"].contains(&name));
    let silent = |(name, _): (&String, &Value)| {
        ["type", "default", "externalDocs", "example"].contains(&name.as_str())
            || name == "properties" && narrowed
            || !is_set(metadata, name) && !has(metadata, name)
    };
    if !metadata.as_object().into_iter().flatten().all(silent) {
        let why = "must not specify anything other than name and generateName, but metadata is implicitly specified";
        errors.forbidden(&at, why);
    }
}

/// The one way in which a type may be named among what is only checked.
fn is_int_or_string(schema: &Value) -> bool {
    member(schema, "anyOf") == &json!([{ "type": "integer" }, { "type": "string" }])
}

fn validate_checks(schema: &Value, skip_any: bool, skip_first: bool, path: &Path, errors: &mut Errors) {
    for name in ["anyOf", "allOf", "oneOf"] {
        for (index, part) in list(schema, name).iter().enumerate() {
            let path = path.child(name).index(index);
            match (name, index) {
                ("anyOf", _) if skip_any => {}
                ("allOf", 0) => validate_nested(part, skip_first, &path, errors),
                _ => validate_nested(part, false, &path, errors),
            }
        }
    }
    if has(schema, "not") {
        validate_nested(member(schema, "not"), false, &path.child("not"), errors);
    }
    let pattern = text(schema, "pattern");
    if let Err(error) = Regex::new(pattern) {
        let why = format!("must be a valid regular expression, but isn't: {error}");
        errors.invalid(&path.child("pattern"), pattern, &why);
    }
}

/// Checks a schema that only checks.
fn validate_nested(schema: &Value, skip_any: bool, path: &Path, errors: &mut Errors) {
    validate_checks(schema, skip_any, false, path, errors);
    if member(schema, "items").is_object() {
        validate_nested(member(schema, "items"), false, &path.child("items"), errors);
    }
    for (name, property) in entries(schema, "properties") {
        validate_nested(property, false, &path.child("properties").key(name), errors);
    }
    for (name, why) in [
        ("type", "must be empty to be structural"),
        ("additionalProperties", "must be undefined to be structural"),
        ("default", "must be undefined to be structural"),
        ("title", "must be empty to be structural"),
        ("description", "must be empty to be structural"),
        ("nullable", "must be false to be structural"),
        ("x-kubernetes-preserve-unknown-fields", "must be false to be structural"),
        ("x-kubernetes-embedded-resource", "must be false to be structural"),
        ("x-kubernetes-int-or-string", "must be false to be structural"),
        ("x-kubernetes-list-map-keys", "must be empty to be structural"),
        ("x-kubernetes-list-type", "must be undefined to be structural"),
        ("x-kubernetes-map-type", "must be undefined to be structural"),
        ("x-kubernetes-validations", "must be empty to be structural"),
    ] {
        if is_set(schema, name) || why == "must be undefined to be structural" && has(schema, name) {
            errors.forbidden(&path.child(name), why);
        }
    }
    if member(schema, "properties").get("metadata").is_some() {
        let at = path.child("properties").key("metadata");
        errors.forbidden(&at, "must not be specified in a nested context");
    }
}

/// What is checked must be there to be checked.
fn validate_completeness(checks: &Value, schema: &Value, path: &Path, checked: &Path, errors: &mut Errors) {
    let not = Some(member(checks, "not")).filter(|not| not.is_object()).map(|not| (not, checked.child("not")));
    let lists = ["allOf", "anyOf", "oneOf"].into_iter().flat_map(|name| {
        list(checks, name).iter().enumerate().map(move |(index, part)| (part, checked.child(name).index(index)))
    });
    for (part, checked) in not.into_iter().chain(lists) {
        validate_nested_completeness(part, schema, path, &checked, errors);
    }
}

fn validate_nested_completeness(checks: &Value, schema: &Value, path: &Path, checked: &Path, errors: &mut Errors) {
    if !schema.is_object() {
        return errors.required(path, &format!("because it is defined in {checked}"));
    }
    validate_completeness(checks, schema, path, checked, errors);
    let items = member(checks, "items");
    if items.is_object() {
        let (path, checked) = (path.child("items"), checked.child("items"));
        validate_nested_completeness(items, member(schema, "items"), &path, &checked, errors);
    }
    for (name, property) in entries(checks, "properties") {
        let (path, checked) = (path.child("properties").key(name), checked.child("properties").key(name));
        let known = member(schema, "properties").get(name).unwrap_or(NOTHING);
        validate_nested_completeness(property, known, &path, &checked, errors);
    }
}
