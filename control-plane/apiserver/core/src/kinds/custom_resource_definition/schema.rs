//! What a schema of a resource may say.

use serde_json::{Value, json};

use super::{defaults, field_path, is_set, structural, topology};
use crate::field::{Errors, Path};
use crate::kinds::tree::{entries, flag, has, list, member, text};

const TYPES: [&str; 6] = ["array", "boolean", "integer", "number", "object", "string"];
const META: [&str; 3] = ["metadata", "kind", "apiVersion"];
const REASONS: [&str; 4] = ["FieldValueDuplicate", "FieldValueForbidden", "FieldValueInvalid", "FieldValueRequired"];
/// What the root of a schema may say beside its type where `status` is written apart, in JSON's words and in upstream's.
const ROOT: [(&str, &str); 22] = [
    ("description", "Description"),
    ("type", "Type"),
    ("format", "Format"),
    ("title", "Title"),
    ("maximum", "Maximum"),
    ("exclusiveMaximum", "ExclusiveMaximum"),
    ("minimum", "Minimum"),
    ("exclusiveMinimum", "ExclusiveMinimum"),
    ("maxLength", "MaxLength"),
    ("minLength", "MinLength"),
    ("pattern", "Pattern"),
    ("maxItems", "MaxItems"),
    ("minItems", "MinItems"),
    ("uniqueItems", "UniqueItems"),
    ("multipleOf", "MultipleOf"),
    ("required", "Required"),
    ("items", "Items"),
    ("properties", "Properties"),
    ("externalDocs", "ExternalDocs"),
    ("example", "Example"),
    ("x-kubernetes-preserve-unknown-fields", "XPreserveUnknownFields"),
    ("x-kubernetes-validations", "XValidations"),
];

/// What the schemas of a stored object do already, so that an update may go on doing it.
#[expect(clippy::struct_excessive_bools, reason = "each is another rule")]
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Leniency {
    pub(super) not_structural: bool,
    unpruned_defaults: bool,
    unknown_types: bool,
    sets_of_parts: bool,
    loose_keys: bool,
}

impl Leniency {
    pub(super) fn of(old: &Value) -> Self {
        let some = |wanted: fn(&Value) -> bool| roots(old).any(|root| any(root, &wanted));
        let faulty = |root: &Value| {
            let mut errors = Errors::new();
            structural::validate(root, &Path::default(), &mut errors);
            !errors.is_empty()
        };
        Self {
            not_structural: roots(old).any(faulty),
            unpruned_defaults: roots(old).any(defaults::are_unpruned),
            unknown_types: some(|schema| is_set(schema, "type") && !TYPES.contains(&text(schema, "type"))),
            sets_of_parts: some(|schema| {
                let mut errors = Errors::new();
                topology::validate_set(schema, &Path::default(), &mut errors);
                !errors.is_empty()
            }),
            loose_keys: some(|schema| {
                let mut errors = Errors::new();
                topology::validate_keys_are_there(schema, &Path::default(), &mut errors);
                !errors.is_empty()
            }),
        }
    }
}

/// The schemas of all versions.
pub(super) fn roots(spec: &Value) -> impl Iterator<Item = &Value> {
    let schemas = list(spec, "versions").iter().map(|version| member(member(version, "schema"), "openAPIV3Schema"));
    schemas.filter(|schema| schema.is_object())
}

/// The schemas that are parts of a schema.
fn parts(schema: &Value) -> impl Iterator<Item = &Value> {
    let lists = ["items", "allOf", "anyOf", "oneOf"].into_iter().flat_map(|name| list(schema, name));
    let single =
        ["items", "not", "additionalProperties", "additionalItems"].into_iter().map(|name| member(schema, name));
    let maps = ["properties", "patternProperties", "definitions", "dependencies"].into_iter();
    let maps = maps.flat_map(|name| entries(schema, name).map(|(_, schema)| schema));
    lists.chain(single).chain(maps).filter(|schema| schema.is_object())
}

/// Whether a schema or any part of it is so.
pub(super) fn any(schema: &Value, wanted: &impl Fn(&Value) -> bool) -> bool {
    wanted(schema) || parts(schema).any(|part| any(part, wanted))
}

/// Whether it says something only Kubernetes knows.
pub(super) fn is_extended(schema: &Value) -> bool {
    ["embedded-resource", "int-or-string", "list-map-keys", "validations"]
        .iter()
        .any(|name| is_set(schema, &format!("x-kubernetes-{name}")))
        || ["preserve-unknown-fields", "list-type"].iter().any(|name| has(schema, &format!("x-kubernetes-{name}")))
}

/// Formats that nobody checks, in the order they are met.
pub(super) fn unknown_formats(spec: &Value) -> Vec<String> {
    const KNOWN: &str = "bsonobjectid uri email hostname ipv4 ipv6 cidr mac uuid uuid3 uuid4 uuid5 isbn isbn10 isbn13 creditcard ssn \
         hexcolor rgbcolor byte password date duration datetime quantity k8sshortname k8slongname";
    fn collect(schema: &Value, found: &mut Vec<String>) {
        let format = text(schema, "format");
        let plain = format.replace('-', "");
        let known = match text(schema, "type") {
            "" | "string" => KNOWN,
            "integer" => "int32 int64",
            "number" => "float double",
            _ => "",
        };
        if !format.is_empty() && !known.split_whitespace().any(|known| known == plain) {
            found.push(format.to_owned());
        }
        parts(schema).for_each(|part| collect(part, found));
    }
    let mut found = Vec::new();
    roots(spec).for_each(|root| collect(root, &mut found));
    found
}

/// Checks `validation` (or `schema`), a section with the schema in it.
pub(super) fn validate(section: &Value, has_status: bool, lenient: Leniency, path: &Path, errors: &mut Errors) {
    let (schema, path) = (member(section, "openAPIV3Schema"), path.child("openAPIV3Schema"));
    if schema.is_null() {
        return;
    }
    if has_status {
        validate_root(schema, &path, errors);
    }
    if flag(schema, "nullable") {
        errors.forbidden(&path.child("nullable"), "nullable cannot be true at the root");
    }
    let convertible = structural::is_convertible(schema);
    if !lenient.not_structural && convertible.is_ok() {
        let mut found = Errors::new();
        structural::validate(schema, &path, &mut found);
        if found.is_empty() {
            defaults::validate(schema, !lenient.unpruned_defaults, &path, &mut found);
        }
        errors.extend(found);
    }
    let before = errors.as_slice().len();
    let rules = Rules { lenient, no_defaults: None, in_meta: false };
    rules.validate(schema, true, &path, errors);
    if !lenient.not_structural
        && let (Err(why), true) = (convertible, errors.as_slice().len() == before)
    {
        errors.invalid(&path, "", &why);
    }
}

/// Where `status` is checked by itself, the root must not say more than its parts do.
fn validate_root(schema: &Value, path: &Path, errors: &mut Errors) {
    for (name, _) in schema.as_object().into_iter().flatten() {
        if name == "type" && text(schema, name) != "object" {
            let why =
                "only \"object\" is allowed as the type at the root of the schema if the status subresource is enabled";
            return errors.invalid(&path.child("type"), text(schema, name), why);
        }
        if !ROOT.iter().any(|(known, _)| known == name) {
            let names: Vec<&str> = ROOT.iter().map(|(_, name)| *name).collect();
            let why = format!(
                "only [{}] fields are allowed at the root of the schema if the status subresource is enabled",
                names.join(" ")
            );
            return errors.invalid(path, schema.clone(), &why);
        }
    }
}

/// What holds where a schema stands.
#[derive(Clone)]
struct Rules {
    lenient: Leniency,
    /// Why there must be no defaults, if so.
    no_defaults: Option<String>,
    /// Within what all objects have in common.
    in_meta: bool,
}

impl Rules {
    fn validate(&self, schema: &Value, is_root: bool, path: &Path, errors: &mut Errors) {
        if !schema.is_object() {
            return;
        }
        self.validate_words(schema, path, errors);
        if flag(schema, "uniqueItems") {
            let why = "uniqueItems cannot be set to true since the runtime complexity becomes quadratic";
            errors.forbidden(&path.child("uniqueItems"), why);
        }
        self.validate_values(schema, path, errors);
        for (name, property) in entries(schema, "properties") {
            let mut rules = self.clone();
            if (is_root || flag(schema, "x-kubernetes-embedded-resource")) && META.contains(&name) {
                rules.in_meta = true;
                if is_root {
                    rules.no_defaults = Some(format!("in top-level {name}"));
                }
            }
            rules.validate(property, false, &path.child("properties").key(name), errors);
        }
        self.validate(member(schema, "not"), false, &path.child("not"), errors);
        for name in ["allOf", "oneOf", "anyOf"] {
            for (index, part) in list(schema, name).iter().enumerate() {
                self.validate(part, false, &path.child(name).index(index), errors);
            }
        }
        for name in ["definitions", "dependencies"] {
            for (key, part) in entries(schema, name) {
                self.validate(part, false, &path.child(name).key(key), errors);
            }
        }
        self.validate(member(schema, "items"), false, &path.child("items"), errors);
        for (index, part) in list(schema, "items").iter().enumerate() {
            self.validate(part, false, &path.child("items").index(index), errors);
        }
        if member(schema, "x-kubernetes-preserve-unknown-fields") == &json!(false) {
            let at = path.child("x-kubernetes-preserve-unknown-fields");
            errors.invalid(&at, false, "must be true or undefined");
        }
        topology::validate(schema, self.lenient.sets_of_parts, self.lenient.loose_keys, path, errors);
        validate_rules(schema, &path.child("x-kubernetes-validations"), errors);
    }

    /// Words that are no part of schemas here.
    fn validate_words(&self, schema: &Value, path: &Path, errors: &mut Errors) {
        let kind = text(schema, "type");
        if !self.lenient.unknown_types && !kind.is_empty() && !TYPES.contains(&kind) {
            errors.not_supported(&path.child("type"), kind, &TYPES);
        }
        if let (true, Some(why)) = (has(schema, "default"), &self.no_defaults) {
            errors.forbidden(&path.child("default"), &format!("must not be set {why}"));
        }
        for name in ["id", "additionalItems", "patternProperties", "definitions", "dependencies", "$ref"] {
            if has(schema, name) {
                errors.forbidden(&path.child(name), &format!("{name} is not supported"));
            }
        }
        if kind == "null" {
            errors.forbidden(&path.child("type"), "type cannot be set to null, use nullable as an alternative");
        }
        if !list(schema, "items").is_empty() {
            errors.forbidden(&path.child("items"), "items must be a schema object and not an array");
        }
        if self.in_meta && flag(schema, "x-kubernetes-embedded-resource") {
            let at = path.child("x-kubernetes-embedded-resource");
            errors.forbidden(&at, "must not be used inside of resource meta");
        }
    }

    /// The schema of a map's values.
    fn validate_values(&self, schema: &Value, path: &Path, errors: &mut Errors) {
        let (values, path) = (member(schema, "additionalProperties"), path.child("additionalProperties"));
        if is_set(schema, "properties")
            && !values.is_null()
            && values != &json!(true)
            && entries(schema, "properties").next().is_some()
        {
            errors.forbidden(&path, "additionalProperties and properties are mutual exclusive");
        }
        let mut rules = self.clone();
        if self.in_meta {
            rules.no_defaults = Some("inside additionalProperties applying to object metadata".to_owned());
        }
        rules.validate(values, false, &path, errors);
    }
}

/// Rules in the expression language, as far as they can be told without it.
fn validate_rules(schema: &Value, path: &Path, errors: &mut Errors) {
    const BREAKS: [char; 2] = ['\n', '\r'];
    for (index, rule) in list(schema, "x-kubernetes-validations").iter().enumerate() {
        let path = path.index(index);
        let (given, message) = (text(rule, "rule").trim(), text(rule, "message"));
        let at = path.child("message");
        if given.is_empty() {
            errors.required(&path.child("rule"), "rule is not specified");
        } else if !message.is_empty() && message.trim().is_empty() {
            errors.invalid(&at, message, "must be non-empty if specified");
        } else if message.trim().contains(BREAKS) {
            errors.invalid(&at, message, "must not contain line breaks");
        } else if given.contains(BREAKS) && message.trim().is_empty() {
            errors.required(&at, "message must be specified if rule contains line breaks");
        }
        let expression = text(rule, "messageExpression");
        if !expression.is_empty() && expression.trim().is_empty() {
            errors.required(&path.child("messageExpression"), "messageExpression must be non-empty if specified");
        }
        if let Some(reason) = member(rule, "reason").as_str().filter(|reason| !REASONS.contains(reason)) {
            errors.not_supported(&path.child("reason"), reason, &REASONS);
        }
        let (field, at) = (text(rule, "fieldPath"), path.child("fieldPath"));
        if field.is_empty() {
            continue;
        }
        if field.trim().is_empty() {
            errors.invalid(&at, field, "must be non-empty if specified");
        }
        if field.contains(BREAKS) {
            errors.invalid(&at, field, "must not contain line breaks");
        }
        if structural::is_convertible(schema).is_ok() && field_path::resolve(field, schema, true).is_err() {
            errors.invalid(&at, field, "must be a valid path");
        }
    }
}
