//! What an applied configuration says: whether it fits its schema, and which fields it names.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use kinds::Schema;
use serde_json::{Map, Value};

use super::element::PathElement;
use super::set::FieldSet;
use super::shape::Shape;

/// More faults than this are not listed: the answer must stay an answer.
const FAULT_LIMIT: usize = 100;

/// What does not fit, each with where it is.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Faults(Vec<String>);

impl Faults {
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    fn note(&mut self, path: &str, what: impl fmt::Display) {
        if self.0.len() < FAULT_LIMIT {
            self.0.push(if path.is_empty() { what.to_string() } else { format!("{path}: {what}") });
        }
    }
}

impl fmt::Display for Faults {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.as_slice() {
            [one] => out.write_str(one),
            many => {
                out.write_str("errors:")?;
                many.iter().try_for_each(|one| write!(out, "\n  {one}"))
            }
        }
    }
}

/// Checks a configuration: every field known, every value of its type, no element of a list twice.
pub(super) fn check(value: &Value, shape: Shape) -> Faults {
    let mut faults = Faults::default();
    check_value(value, shape, "", &mut faults);
    faults
}

fn check_value(value: &Value, shape: Shape, path: &str, faults: &mut Faults) {
    if value.is_null() {
        return;
    }
    match (shape, value) {
        (Shape::Leaf(schema), value) => check_leaf(value, schema, path, faults),
        (Shape::Struct(_) | Shape::Map(_), Value::Object(map)) => check_members(map, shape, path, faults),
        (Shape::Struct(_) | Shape::Map(_), other) => faults.note(path, format!("expected map, got &{{{}}}", Go(other))),
        (Shape::Set(items) | Shape::Keyed { items, .. }, Value::Array(list)) => {
            let mut seen = BTreeSet::new();
            for (at, item) in list.iter().enumerate() {
                let element = match shape.element(item) {
                    Ok(element) => element,
                    Err(why) => {
                        faults.note(path, format!("element {at}: {why}"));
                        return;
                    }
                };
                if seen.contains(&element) {
                    faults.note(path, format!("duplicate entries for key {element}"));
                }
                check_value(item, Shape::of(items), &format!("{path}{element}"), faults);
                seen.insert(element);
            }
        }
        (Shape::Set(_) | Shape::Keyed { .. }, other) => {
            faults.note(path, format!("expected list, got &{{{}}}", Go(other)));
        }
    }
}

fn check_members(map: &Map<String, Value>, shape: Shape, path: &str, faults: &mut Faults) {
    for (name, value) in map {
        let path = format!("{path}.{name}");
        if matches!(shape, Shape::Struct(_)) && !shape.names(&PathElement::field(name)) {
            faults.note(&path, "field not declared in schema");
            return;
        }
        check_value(value, shape.member(name), &path, faults);
    }
}

/// Checks what is changed as a whole, inside too.
fn check_leaf(value: &Value, schema: &'static Schema, path: &str, faults: &mut Faults) {
    let wrong = match (schema, value) {
        (Schema::List(items), Value::Array(list)) => {
            for (at, item) in list.iter().enumerate() {
                check_value(item, Shape::of(items), &format!("{path}[{at}]"), faults);
            }
            None
        }
        (Schema::Map(_), Value::Object(map)) => {
            check_members(map, Shape::of(schema), path, faults);
            None
        }
        (Schema::Struct(name), Value::Object(map)) => {
            check_members(map, Shape::of_definition(name), path, faults);
            None
        }
        (Schema::List(_), other) => Some(format!("expected list, got &{{{}}}", Go(other))),
        (Schema::Map(_) | Schema::Struct(_), other) => Some(format!("expected map, got &{{{}}}", Go(other))),
        (Schema::Any | Schema::Either(_), _) => None,
        (Schema::Text | Schema::Bytes | Schema::Time | Schema::MicroTime, other) => (!other.is_string())
            .then(|| format!("expected string, got &value.valueUnstructured{{Value:{}}}", Go(other))),
        (Schema::Int32 | Schema::Int64 | Schema::Float, other) => {
            (!other.is_number()).then(|| format!("expected numeric (int or float), got {}", go_type(other)))
        }
        (Schema::Flag, other) => (!other.is_boolean()).then(|| format!("expected boolean, got &{{{}}}", Go(other))),
        (Schema::Quantity | Schema::IntOrString, other) => {
            let scalar = other.is_string() || other.is_number() || other.is_boolean();
            (!scalar).then(|| format!("expected any scalar, got &{{{}}}", Go(other)))
        }
    };
    if let Some(wrong) = wrong {
        faults.note(path, wrong);
    }
}

/// A value as upstream's messages print it.
struct Go<'a>(&'a Value);

impl fmt::Display for Go<'_> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Value::Null => out.write_str("<nil>"),
            Value::String(text) => out.write_str(text),
            Value::Bool(_) | Value::Number(_) => write!(out, "{}", self.0),
            Value::Array(list) => {
                let items: Vec<String> = list.iter().map(|one| Go(one).to_string()).collect();
                write!(out, "[{}]", items.join(" "))
            }
            Value::Object(map) => {
                let members: Vec<String> = map.iter().map(|(name, one)| format!("{name}:{}", Go(one))).collect();
                write!(out, "map[{}]", members.join(" "))
            }
        }
    }
}

fn go_type(value: &Value) -> &'static str {
    match value {
        Value::Null => "<nil>",
        Value::String(_) => "string",
        Value::Bool(_) => "bool",
        Value::Number(number) if number.is_f64() => "float64",
        Value::Number(_) => "int64",
        Value::Array(_) => "[]interface {}",
        Value::Object(_) => "map[string]interface {}",
    }
}

/// The fields a tree names.
pub(super) fn fields(value: &Value, shape: Shape) -> FieldSet {
    below(value, shape).1
}

/// Whether the value itself is a member, and what is below it.
fn below(value: &Value, shape: Shape) -> (bool, FieldSet) {
    let mut set = FieldSet::default();
    match (shape, value) {
        (Shape::Leaf(_), _) => return (true, set),
        (Shape::Struct(_) | Shape::Map(_), Value::Object(map)) => {
            for (name, value) in map {
                let element = PathElement::field(name);
                let (leaf, below) = below(value, shape.member(name));
                let hollow = value.is_null() || value.as_object().is_some_and(Map::is_empty);
                let member = leaf || hollow || !shape.names(&element);
                set.put(element, member, below);
            }
        }
        (Shape::Set(_) | Shape::Keyed { .. }, Value::Array(list)) => {
            let mut found: BTreeMap<PathElement, Vec<&Value>> = BTreeMap::new();
            for item in list {
                if let Ok(element) = shape.element(item) {
                    found.entry(element).or_default().push(item);
                }
            }
            for (element, items) in found {
                match items.as_slice() {
                    [only] => {
                        let inner = below(only, shape.step(&element)).1;
                        set.put(element, true, inner);
                    }
                    _ => set.put(element, true, FieldSet::default()),
                }
            }
        }
        (Shape::Struct(_) | Shape::Map(_) | Shape::Set(_) | Shape::Keyed { .. }, _) => {}
    }
    (false, set)
}
