//! Values under a structural schema: what of them it knows, and whether they fit it.

use regex::Regex;
use serde_json::Value;

use crate::field::{Errors, Path};
use crate::kinds::tree::{NOTHING, flag, has, list, member, text, texts};

/// A value without what its schema does not know.
pub(super) fn pruned(value: &Value, schema: &Value) -> Value {
    let keeps = flag(schema, "x-kubernetes-preserve-unknown-fields");
    match value {
        Value::Object(map) => {
            let embedded = flag(schema, "x-kubernetes-embedded-resource");
            let kept = map.iter().filter_map(|(name, value)| {
                let known = known(schema, name);
                match known {
                    Some(inner) if inner.is_object() => Some((name.clone(), pruned(value, inner))),
                    Some(_) => Some((name.clone(), value.clone())),
                    None if keeps => Some((name.clone(), value.clone())),
                    None if embedded && ["metadata", "kind", "apiVersion"].contains(&name.as_str()) => {
                        Some((name.clone(), value.clone()))
                    }
                    None => None,
                }
            });
            Value::Object(kept.collect())
        }
        Value::Array(values) => {
            let items = member(schema, "items");
            let inner = |value| if items.is_object() { pruned(value, items) } else { value.clone() };
            values.iter().map(inner).collect()
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => value.clone(),
    }
}

/// What a schema says of a member: a schema, `true` for anything, nothing when it does not know it.
fn known<'a>(schema: &'a Value, name: &str) -> Option<&'a Value> {
    let values = member(schema, "additionalProperties");
    let of_values = Some(values).filter(|values| values.is_object() || **values == Value::Bool(true));
    member(schema, "properties").get(name).or(of_values)
}

/// Checks a value.
pub(super) fn validate(value: &Value, schema: &Value, path: &Path, errors: &mut Errors) {
    Check { root: path.clone(), errors }.value(value, schema, "");
}

struct Check<'a> {
    root: Path,
    errors: &'a mut Errors,
}

impl Check<'_> {
    fn at(&self, name: &str) -> Path {
        if name.is_empty() { self.root.clone() } else { self.root.child(name) }
    }

    fn wrong(&mut self, value: &Value, name: &str, why: &str) {
        let path = self.at(name);
        self.errors.invalid(&path, value.clone(), &format!("{name} in body {why}"));
    }

    fn value(&mut self, value: &Value, schema: &Value, name: &str) {
        if value.is_null() && flag(schema, "nullable") {
            return;
        }
        if !has_type(value, schema) {
            let kind = if flag(schema, "x-kubernetes-int-or-string") { "integer,string" } else { text(schema, "type") };
            let (path, found) = (self.at(name), type_of(value));
            self.errors.type_invalid(&path, found, &format!("{name} in body must be of type {kind}: {found:?}"));
            return;
        }
        let valid = list(schema, "enum");
        if !valid.is_empty() && !valid.contains(value) {
            let texts: Vec<String> =
                valid.iter().map(|one| one.as_str().map_or_else(|| one.to_string(), str::to_owned)).collect();
            let path = self.at(name);
            self.errors.not_supported(&path, value.clone(), &texts.iter().map(String::as_str).collect::<Vec<_>>());
        }
        match value {
            Value::Number(number) => self.number(number.as_f64().unwrap_or_default(), value, schema, name),
            Value::String(given) => self.text(given, value, schema, name),
            Value::Array(items) => {
                self.count(items.len(), value, schema, ("minItems", "maxItems", "have", "items"), name);
                for (index, item) in items.iter().enumerate() {
                    self.value(item, item_schema(schema), &format!("{name}[{index}]"));
                }
            }
            Value::Object(map) => {
                let words = ("minProperties", "maxProperties", "have", "properties");
                self.count(map.len(), value, schema, words, name);
                let below = |member: &str| if name.is_empty() { member.to_owned() } else { format!("{name}.{member}") };
                for required in texts(schema, "required").filter(|required| !map.contains_key(*required)) {
                    let path = self.at(&below(required));
                    self.errors.required(&path, "");
                }
                for (member, value) in map {
                    if let Some(inner) = known(schema, member).filter(|inner| inner.is_object()) {
                        self.value(value, inner, &below(member));
                    }
                }
            }
            Value::Null | Value::Bool(_) => {}
        }
        self.junctions(value, schema, name);
    }

    fn number(&mut self, number: f64, value: &Value, schema: &Value, name: &str) {
        let bound = |word: &str| member(schema, word).as_f64();
        if let Some(most) = bound("maximum") {
            let open = flag(schema, "exclusiveMaximum");
            if number > most || open && number >= most {
                self.wrong(
                    value,
                    name,
                    &format!("should be less than {}{most}", if open { "" } else { "or equal to " }),
                );
            }
        }
        if let Some(least) = bound("minimum") {
            let open = flag(schema, "exclusiveMinimum");
            if number < least || open && number <= least {
                let word = if open { "" } else { "or equal to " };
                self.wrong(value, name, &format!("should be greater than {word}{least}"));
            }
        }
        if let Some(unit) = bound("multipleOf").filter(|unit| *unit > 0.0)
            && (number / unit).fract() != 0.0
        {
            self.wrong(value, name, &format!("should be a multiple of {unit}"));
        }
    }

    fn text(&mut self, given: &str, value: &Value, schema: &Value, name: &str) {
        self.count(given.chars().count(), value, schema, ("minLength", "maxLength", "be", "chars long"), name);
        let pattern = text(schema, "pattern");
        if !pattern.is_empty() && Regex::new(pattern).is_ok_and(|pattern| !pattern.is_match(given)) {
            self.wrong(value, name, &format!("should match '{pattern}'"));
        }
    }

    fn count(&mut self, count: usize, value: &Value, schema: &Value, words: (&str, &str, &str, &str), name: &str) {
        let (least, most, verb, what) = words;
        let bound = |word: &str| member(schema, word).as_u64();
        if let Some(most) = bound(most).filter(|most| count as u64 > *most) {
            self.wrong(value, name, &format!("should {verb} at most {most} {what}"));
        }
        if let Some(least) = bound(least).filter(|least| (count as u64) < *least) {
            self.wrong(value, name, &format!("should {verb} at least {least} {what}"));
        }
    }

    fn junctions(&mut self, value: &Value, schema: &Value, name: &str) {
        let fitting = |word: &str| list(schema, word).iter().filter(|part| fits(value, part)).count();
        let has_some = |word: &str| !list(schema, word).is_empty();
        if has_some("anyOf") && fitting("anyOf") == 0 {
            self.junction(value, name, "must validate at least one schema (anyOf)");
        }
        match fitting("oneOf") {
            1 => {}
            _ if !has_some("oneOf") => {}
            0 => self.junction(value, name, "must validate one and only one schema (oneOf). Found none valid"),
            many => {
                let why = format!("must validate one and only one schema (oneOf). Found {many} valid alternatives");
                self.junction(value, name, &why);
            }
        }
        if fitting("allOf") < list(schema, "allOf").len() {
            self.junction(value, name, "must validate all the schemas (allOf)");
        }
        if has(schema, "not") && fits(value, member(schema, "not")) {
            self.junction(value, name, "must not validate the schema (not)");
        }
    }

    fn junction(&mut self, value: &Value, name: &str, why: &str) {
        let path = self.at(name);
        self.errors.invalid(&path, value.clone(), &format!("{name:?} {why}"));
    }
}

fn item_schema(schema: &Value) -> &Value {
    Some(member(schema, "items")).filter(|items| items.is_object()).unwrap_or(NOTHING)
}

fn fits(value: &Value, schema: &Value) -> bool {
    let mut errors = Errors::new();
    validate(value, schema, &Path::default(), &mut errors);
    errors.is_empty()
}

fn has_type(value: &Value, schema: &Value) -> bool {
    let whole = |value: &Value| value.as_f64().is_some_and(|number| number.fract() == 0.0);
    if flag(schema, "x-kubernetes-int-or-string") {
        return value.is_string() || whole(value);
    }
    match text(schema, "type") {
        "array" => value.is_array(),
        "boolean" => value.is_boolean(),
        "integer" => whole(value),
        "number" => value.is_number(),
        "object" => value.is_object(),
        "string" => value.is_string(),
        _ => true,
    }
}

fn type_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(number) if number.is_f64() => "number",
        Value::Number(_) => "integer",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}
