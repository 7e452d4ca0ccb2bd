//! Lays a configuration over what is there, and takes fields out of a tree.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value};

use super::element::PathElement;
use super::set::FieldSet;
use super::shape::Shape;

/// What is there with the configuration over it. The configuration has been checked.
pub(super) fn merge(old: &Value, new: &Value, shape: Shape) -> Value {
    node(Some(old), Some(new), shape).unwrap_or(Value::Null)
}

fn node(old: Option<&Value>, new: Option<&Value>, shape: Shape) -> Option<Value> {
    let later = || new.or(old).cloned();
    match shape {
        Shape::Leaf(_) => later(),
        Shape::Struct(_) | Shape::Map(_) => {
            let (before, after) = (old.and_then(Value::as_object), new.and_then(Value::as_object));
            let filled = [before, after].into_iter().flatten().any(|map| !map.is_empty());
            if filled { members(before, after, shape) } else { later() }
        }
        Shape::Set(_) | Shape::Keyed { .. } => {
            let (before, after) = (old.and_then(Value::as_array), new.and_then(Value::as_array));
            let filled = [before, after].into_iter().flatten().any(|list| !list.is_empty());
            if filled { items(before, after, shape) } else { later() }
        }
    }
}

fn members(old: Option<&Map<String, Value>>, new: Option<&Map<String, Value>>, shape: Shape) -> Option<Value> {
    let mut out = Map::new();
    for (name, before) in old.into_iter().flatten() {
        if let Some(merged) = node(Some(before), new.and_then(|new| new.get(name)), shape.member(name)) {
            out.insert(name.clone(), merged);
        }
    }
    for (name, after) in new.into_iter().flatten() {
        if old.is_none_or(|old| !old.contains_key(name))
            && let Some(merged) = node(None, Some(after), shape.member(name))
        {
            out.insert(name.clone(), merged);
        }
    }
    (!out.is_empty()).then_some(Value::Object(out))
}

/// One side of a list: its elements in order, and each by what tells it apart (`None` for one that is there twice).
struct Side<'a> {
    order: Vec<(PathElement, &'a Value)>,
    found: BTreeMap<PathElement, Option<&'a Value>>,
}

impl<'a> Side<'a> {
    fn of(list: Option<&'a Vec<Value>>, shape: Shape) -> Self {
        let mut side = Self { order: Vec::new(), found: BTreeMap::new() };
        for item in list.into_iter().flatten() {
            if let Ok(element) = shape.element(item) {
                side.found.entry(element.clone()).and_modify(|one| *one = None).or_insert(Some(item));
                side.order.push((element, item));
            }
        }
        side
    }
}

/// Merges two lists. Elements both have are in the order of the new one; those only one has keep their place among them.
fn items(old: Option<&Vec<Value>>, new: Option<&Vec<Value>>, shape: Shape) -> Option<Value> {
    let (before, after) = (Side::of(old, shape), Side::of(new, shape));
    let merged = |element: &PathElement, left: Option<&Value>, right: Option<&Value>| {
        let below = shape.step(element);
        if left.is_none() && right.is_none() { None } else { node(left, right, below) }
    };
    let mut shared = after.order.iter().map(|(element, _)| element).filter(|one| before.found.contains_key(*one));
    let mut next_shared = shared.next();
    let mut done: BTreeSet<&PathElement> = BTreeSet::new();
    let mut out = Vec::new();
    let (mut left, mut right) = (before.order.iter().peekable(), after.order.iter().peekable());
    while left.peek().is_some() || right.peek().is_some() {
        if let Some((element, item)) = left.peek().copied() {
            let wanted = right.peek().map(|(element, _)| element);
            let is_shared = after.found.contains_key(element);
            if !is_shared {
                out.extend(merged(element, Some(item), None));
                left.next();
                continue;
            }
            // A shared element comes at its place in the new list; what is passed over here comes then.
            let passed = wanted.is_some() && wanted != Some(element) && next_shared.is_some_and(|next| next != element);
            if passed {
                left.next();
                continue;
            }
            if wanted == Some(element) || done.contains(element) {
                left.next();
            }
        }
        let Some((element, item)) = right.next() else { continue };
        done.insert(element);
        out.extend(merged(element, before.found.get(element).copied().flatten(), Some(item)));
        if next_shared == Some(element) {
            next_shared = shared.next();
        }
    }
    (!out.is_empty()).then_some(Value::Array(out))
}

/// The tree without these fields. What is left empty becomes `null`, which decoding drops.
pub(super) fn remove(value: &Value, gone: &FieldSet, shape: Shape) -> Value {
    match (shape, value) {
        (Shape::Leaf(schema), _) => match schema {
            // A part of something atomic cannot go without the rest.
            kinds::Schema::List(_) | kinds::Schema::Map(_) | kinds::Schema::Struct(_) => Value::Null,
            _ => value.clone(),
        },
        (Shape::Struct(_) | Shape::Map(_), Value::Object(map)) => {
            let mut out = Map::new();
            for (name, value) in map {
                let element = PathElement::field(name);
                if gone.has(&element) {
                    continue;
                }
                let kept = match gone.below(&element) {
                    Some(below) => remove(value, below, shape.member(name)),
                    None => value.clone(),
                };
                out.insert(name.clone(), kept);
            }
            if out.is_empty() { Value::Null } else { Value::Object(out) }
        }
        (Shape::Set(_) | Shape::Keyed { .. }, Value::Array(list)) => {
            let mut out = Vec::new();
            for item in list {
                let kept = match shape.element(item) {
                    Ok(element) if gone.has(&element) => continue,
                    Ok(element) => gone.below(&element).map(|below| remove(item, below, shape.step(&element))),
                    Err(_) => None,
                };
                out.push(kept.unwrap_or_else(|| item.clone()));
            }
            if out.is_empty() { Value::Null } else { Value::Array(out) }
        }
        (Shape::Struct(_) | Shape::Map(_) | Shape::Set(_) | Shape::Keyed { .. }, _) => Value::Null,
    }
}

/// The set with the named fields that lead to its members as members, too: to remove what they hold is to remove them.
pub(super) fn with_named_fields(set: &FieldSet, shape: Shape) -> FieldSet {
    let mut all = FieldSet::default();
    for (element, member, below) in set.entries() {
        let named = !below.is_empty() && shape.names(element);
        all.put(element.clone(), member || named, with_named_fields(below, shape.step(element)));
    }
    all
}
