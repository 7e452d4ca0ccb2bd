//! In which order the elements of a merged list stand: those the patch names as the patch has them, the others where they were.

use std::collections::VecDeque;

use serde_json::Value;

use super::{DIRECTIVE, StrategicError};

/// Whether two elements are the same one: by key, or as scalars.
fn same(a: &Value, b: &Value, key: Option<&str>) -> bool {
    match key {
        Some(key) => a.get(key).is_some() && a.get(key) == b.get(key),
        None => a == b,
    }
}

fn place(list: &[Value], element: &Value, key: Option<&str>) -> Option<usize> {
    list.iter().position(|one| same(one, element, key))
}

/// Checks that a patch's list follows the order it asks for. Elements to delete need not be named.
pub(super) fn check(patch: &[Value], order: &[Value], key: Option<&str>) -> Result<(), StrategicError> {
    let mut last = 0;
    for element in patch.iter().filter(|one| one.get(DIRECTIVE).is_none()) {
        match place(order, element, key) {
            Some(at) if at >= last => last = at,
            Some(_) | None => {
                return Err(StrategicError::Order {
                    list: Value::Array(patch.to_vec()),
                    order: Value::Array(order.to_vec()),
                });
            }
        }
    }
    Ok(())
}

/// Orders merged elements. Those in `wanted` follow it; each other one goes before the first wanted one it stood before in `live`.
pub(super) fn arrange(merged: Vec<Value>, wanted: &[Value], live: &[Value], key: Option<&str>) -> Vec<Value> {
    let (mut named, mut others): (Vec<Value>, Vec<Value>) =
        merged.into_iter().partition(|element| place(wanted, element, key).is_some());
    // Stable: what has no place keeps its own.
    named.sort_by_key(|element| place(wanted, element, key));
    others.sort_by_key(|element| place(live, element, key).unwrap_or(usize::MAX));
    let (mut named, mut others) = (VecDeque::from(named), VecDeque::from(others));
    let mut arranged = Vec::with_capacity(named.len() + others.len());
    while let (Some(next), Some(other)) = (named.front(), others.front()) {
        let before = match (place(live, other, key), place(live, next, key)) {
            (Some(other), Some(next)) => other < next,
            (_, _) => false,
        };
        arranged.extend(if before { others.pop_front() } else { named.pop_front() });
    }
    arranged.extend(named);
    arranged.extend(others);
    arranged
}
