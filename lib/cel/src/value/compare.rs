//! Which values are the same, and which comes first.

use std::any::Any;
use std::cell::Cell;
use std::cmp::Ordering;

use super::{Map, Value};

thread_local! {
    /// How many elements may still be compared: lists that hold a list twice are soon larger than any memory.
    static LEFT: Cell<u64> = const { Cell::new(u64::MAX) };
}

/// Runs with so many comparisons of elements left; when there are none, nothing is equal and [`exhausted`] says so.
pub(crate) fn with_comparisons<T>(most: u64, run: impl FnOnce() -> T) -> T {
    let before = LEFT.replace(most);
    let value = run();
    LEFT.set(before);
    value
}

/// Whether comparisons were given up.
pub(crate) fn exhausted() -> bool {
    LEFT.get() == 0
}

fn spend(elements: usize) -> bool {
    let left = LEFT.get().saturating_sub(elements as u64);
    LEFT.set(left);
    left > 0
}

/// Whether two values are the same. Numbers of different types are the same if they are the same number; other values of
/// different types never are.
pub fn equal(one: &Value<'_>, other: &Value<'_>) -> bool {
    match (one, other) {
        (Value::Null, Value::Null) => true,
        (Value::Bool(one), Value::Bool(other)) => one == other,
        (Value::String(one), Value::String(other)) | (Value::Type(one), Value::Type(other)) => one == other,
        (Value::Bytes(one), Value::Bytes(other)) => one == other,
        (Value::Timestamp(one), Value::Timestamp(other)) => one == other,
        (Value::Duration(one), Value::Duration(other)) => one == other,
        (Value::List(one), Value::List(other)) => {
            one.len() == other.len()
                && spend(one.len())
                && one.iter().zip(other.iter()).all(|(one, other)| equal(&one, &other))
        }
        (Value::Map(one), Value::Map(other)) => maps_equal(one, other),
        (Value::Optional(one), Value::Optional(other)) => match (one, other) {
            (Some(one), Some(other)) => equal(one, other),
            (one, other) => one.is_none() && other.is_none(),
        },
        (Value::Message(one), Value::Message(other)) => {
            one.type_name == other.type_name
                && one.fields.len() == other.fields.len()
                && one.fields.iter().zip(&other.fields).all(|(one, other)| one.0 == other.0 && equal(one.1, other.1))
        }
        (Value::Opaque(one), Value::Opaque(other)) => {
            (&**one as &dyn Any).type_id() == (&**other as &dyn Any).type_id() && one.equals(&**other)
        }
        (one, other) => numbers(one, other) == Some(Ordering::Equal),
    }
}

fn maps_equal(one: &Map<'_>, other: &Map<'_>) -> bool {
    one.len() == other.len()
        && spend(one.len())
        && one.entries().iter().all(|(key, value)| other.get(key).is_some_and(|found| equal(value, &found)))
}

/// Which number is greater. Nothing for what is no number, and for those that are not one.
fn numbers(one: &Value<'_>, other: &Value<'_>) -> Option<Ordering> {
    match (one, other) {
        (Value::Int(one), Value::Int(other)) => Some(one.cmp(other)),
        (Value::Uint(one), Value::Uint(other)) => Some(one.cmp(other)),
        (Value::Double(one), Value::Double(other)) => one.partial_cmp(other),
        (Value::Int(one), Value::Uint(other)) => Some(i128::from(*one).cmp(&i128::from(*other))),
        (Value::Uint(one), Value::Int(other)) => Some(i128::from(*one).cmp(&i128::from(*other))),
        (Value::Int(one), Value::Double(other)) => whole_and_double(i128::from(*one), *other),
        (Value::Uint(one), Value::Double(other)) => whole_and_double(i128::from(*one), *other),
        (Value::Double(one), Value::Int(other)) => whole_and_double(i128::from(*other), *one).map(Ordering::reverse),
        (Value::Double(one), Value::Uint(other)) => whole_and_double(i128::from(*other), *one).map(Ordering::reverse),
        _ => None,
    }
}

/// Exact: no whole number is made a floating one.
fn whole_and_double(whole: i128, double: f64) -> Option<Ordering> {
    if double.is_nan() {
        return None;
    }
    // Saturates, and all whole numbers of 64 bits are well inside.
    let truncated = double.trunc() as i128;
    Some(whole.cmp(&truncated).then_with(|| 0.0_f64.partial_cmp(&double.fract()).unwrap_or(Ordering::Equal)))
}

/// Which of two values comes first. The outer nothing: these cannot be compared; the inner one: neither comes first.
pub fn compare(one: &Value<'_>, other: &Value<'_>) -> Option<Option<Ordering>> {
    Some(Some(match (one, other) {
        (Value::Bool(one), Value::Bool(other)) => one.cmp(other),
        (Value::String(one), Value::String(other)) => (**one).cmp(&**other),
        (Value::Bytes(one), Value::Bytes(other)) => one.cmp(other),
        (Value::Timestamp(one), Value::Timestamp(other)) => one.cmp(other),
        (Value::Duration(one), Value::Duration(other)) => one.cmp(other),
        (Value::Int(_) | Value::Uint(_) | Value::Double(_), Value::Int(_) | Value::Uint(_) | Value::Double(_)) => {
            return Some(numbers(one, other));
        }
        _ => return None,
    }))
}
