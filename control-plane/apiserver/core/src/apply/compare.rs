//! What differs between two trees of one shape, as sets of fields.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use kinds::{Field, Schema};
use serde_json::{Map, Value};

use super::element::PathElement;
use super::set::FieldSet;
use super::shape::Shape;

/// A struct nobody wrote anything into.
static EMPTY: LazyLock<Value> = LazyLock::new(|| Value::Object(Map::new()));
/// A list nobody wrote.
static NULL: Value = Value::Null;

/// What differs.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Changes {
    /// Fields that are new or have another value.
    pub(super) taken: FieldSet,
    /// Fields that are gone.
    pub(super) removed: FieldSet,
}

/// What became of one value itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mark {
    Same,
    Taken,
    Removed,
}

impl Changes {
    /// Notes what became of a value and of what is below it; `element` is asked only if that is something.
    fn put(&mut self, element: impl Fn() -> PathElement, (mark, below): (Mark, Self)) {
        if mark == Mark::Taken || !below.taken.is_empty() {
            self.taken.put(element(), mark == Mark::Taken, below.taken);
        }
        if mark == Mark::Removed || !below.removed.is_empty() {
            self.removed.put(element(), mark == Mark::Removed, below.removed);
        }
    }

    fn mark(&mut self, element: &PathElement, mark: Mark) {
        self.put(|| element.clone(), (mark, Self::default()));
    }
}

/// Compares two objects.
pub(super) fn compare(old: &Map<String, Value>, new: &Map<String, Value>, shape: Shape) -> Changes {
    members(Some(old), Some(new), shape)
}

/// Compares two values, of which one at least is there.
fn node(old: Option<&Value>, new: Option<&Value>, shape: Shape) -> (Mark, Changes) {
    let presence = match (old, new) {
        (None, _) => Mark::Taken,
        (Some(_), None) => Mark::Removed,
        (Some(_), Some(_)) => Mark::Same,
    };
    let changes = match shape {
        Shape::Leaf(_) => None,
        Shape::Struct(_) | Shape::Map(_) => {
            let (before, after) = (old.and_then(Value::as_object), new.and_then(Value::as_object));
            let filled = [before, after].into_iter().flatten().any(|map| !map.is_empty());
            filled.then(|| members(before, after, shape))
        }
        Shape::Set(_) | Shape::Keyed { .. } => {
            let (before, after) = (old.and_then(Value::as_array), new.and_then(Value::as_array));
            let filled = [before, after].into_iter().flatten().any(|list| !list.is_empty());
            filled.then(|| items(before, after, shape))
        }
    };
    match changes {
        Some(changes) => (presence, changes),
        // Nothing below: the value is a leaf, and its content counts.
        None if presence == Mark::Same && old != new => (Mark::Taken, Changes::default()),
        None => (presence, Changes::default()),
    }
}

fn members(old: Option<&Map<String, Value>>, new: Option<&Map<String, Value>>, shape: Shape) -> Changes {
    let mut changes = Changes::default();
    let mut visit = |name: &str, below: Shape, before: Option<&Value>, after: Option<&Value>| {
        changes.put(|| PathElement::field(name), node(before, after, below));
    };
    let names = old.into_iter().flat_map(Map::keys);
    let more = new.into_iter().flat_map(Map::keys).filter(|name| old.is_none_or(|old| !old.contains_key(*name)));
    for name in names.chain(more) {
        let (below, implied) = match shape {
            Shape::Struct(owner) => match owner.fields.get(name) {
                Some(field) => (Shape::of_field(field), implied(field)),
                None => (shape.member(name), None),
            },
            Shape::Map(_) | Shape::Leaf(_) | Shape::Set(_) | Shape::Keyed { .. } => (shape.member(name), None),
        };
        let before = old.and_then(|map| map.get(name).or(implied));
        let after = new.and_then(|map| map.get(name).or(implied));
        visit(name, below, before, after);
    }
    // Parts that nobody wrote are there where their owner is, and come and go with it.
    if let (Shape::Struct(owner), true) = (shape, old.is_none() != new.is_none()) {
        let there = old.or(new);
        for (name, field) in owner.fields.iter().filter(|(_, field)| field.always) {
            if there.is_some_and(|map| map.contains_key(name)) {
                continue;
            }
            let implied = implied(field);
            visit(name, Shape::of_field(field), old.and(implied), new.and(implied));
        }
    }
    changes
}

/// What a field holds when nobody wrote it, where that is something.
fn implied(field: &Field) -> Option<&'static Value> {
    let empty = if matches!(field.schema, Schema::Struct(_)) { &*EMPTY } else { &NULL };
    field.always.then_some(empty)
}

fn items(old: Option<&Vec<Value>>, new: Option<&Vec<Value>>, shape: Shape) -> Changes {
    let (before, after) = (index(old, shape), index(new, shape));
    let mut changes = Changes::default();
    let more = after.keys().filter(|element| !before.contains_key(*element));
    for element in before.keys().chain(more) {
        let left = before.get(element).map_or(&[][..], Vec::as_slice);
        let right = after.get(element).map_or(&[][..], Vec::as_slice);
        let below = shape.step(element);
        match (left, right) {
            ([] | [_], [] | [_]) => {
                changes.put(|| element.clone(), node(left.first().copied(), right.first().copied(), below));
            }
            // Elements that cannot be told apart are one thing, changed as a whole.
            ([_, _, ..], [_, _, ..]) => {
                if left != right {
                    changes.mark(element, Mark::Taken);
                }
            }
            ([_, _, ..], _) => {
                if let Some(only) = right.first() {
                    changes.put(|| element.clone(), node(None, Some(only), below));
                }
                changes.mark(element, Mark::Removed);
            }
            (_, [_, _, ..]) => {
                if let Some(only) = left.first() {
                    changes.put(|| element.clone(), node(Some(only), None, below));
                }
                changes.mark(element, Mark::Taken);
            }
        }
    }
    changes
}

/// The elements of a list by what tells them apart. What nothing tells apart belongs to nobody.
fn index(list: Option<&Vec<Value>>, shape: Shape) -> BTreeMap<PathElement, Vec<&Value>> {
    let mut index: BTreeMap<PathElement, Vec<&Value>> = BTreeMap::new();
    for item in list.into_iter().flatten() {
        if let Ok(element) = shape.element(item) {
            index.entry(element).or_default().push(item);
        }
    }
    index
}
