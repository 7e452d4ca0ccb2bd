//! Lists whose elements have an order.

use std::cmp::Ordering;

use cel::value::{compare, equal};
use cel::{Error, Library, Type, Value};

use super::Given;

pub(super) fn lists() -> Library {
    use Type::{Bool, Bytes, Double, Duration, Int, String, Timestamp, Uint};
    let mut library = Library::default();
    macro_rules! ordered {
        ($id:literal, $of:expr) => {
            let list = Type::list($of);
            library = library
                .member(
                    "isSorted",
                    concat!("list_", $id, "_is_sorted_bool"),
                    std::slice::from_ref(&list),
                    Bool,
                    is_sorted,
                )
                .costing(traversal)
                .member("min", concat!("list_", $id, "_min_", $id), std::slice::from_ref(&list), $of, |args| {
                    extreme(args, "min", Ordering::Less)
                })
                .costing(traversal)
                .member("max", concat!("list_", $id, "_max_", $id), &[list], $of, |args| {
                    extreme(args, "max", Ordering::Greater)
                })
                .costing(traversal);
        };
    }
    ordered!("int", Int);
    ordered!("uint", Uint);
    ordered!("double", Double);
    ordered!("bool", Bool);
    ordered!("duration", Duration);
    ordered!("timestamp", Timestamp);
    ordered!("string", String);
    ordered!("bytes", Bytes);
    let any = Type::list(Type::Param("A"));
    library
        .member("sum", "list_int_sum_int", &[Type::list(Int)], Int, sum)
        .costing(traversal)
        .member("sum", "list_uint_sum_uint", &[Type::list(Uint)], Uint, sum)
        .costing(traversal)
        .member("sum", "list_double_sum_double", &[Type::list(Double)], Double, sum)
        .costing(traversal)
        .member("sum", "list_duration_sum_duration", &[Type::list(Duration)], Duration, sum)
        .costing(traversal)
        .member("indexOf", "list_a_index_of_int", &[any.clone(), Type::Param("A")], Int, index_of)
        .costing(traversal)
        .member("lastIndexOf", "list_a_last_index_of_int", &[any, Type::Param("A")], Int, last_index_of)
        .costing(traversal)
}

/// One for each element, and what going through texts costs.
fn traversal(args: &[Value<'_>], _: &Value<'_>) -> u64 {
    match &args[0] {
        Value::List(list) => list
            .iter()
            .map(|element| match element {
                Value::String(_) | Value::Bytes(_) => cel::ceil_tenth(cel::size(&element)),
                _ => 1,
            })
            .sum(),
        other => cel::ceil_tenth(cel::size(other)),
    }
}

fn is_sorted<'a>(args: &[Value<'a>]) -> Given<'a> {
    let [Value::List(list)] = args else { return Err(Error::no_such_overload()) };
    let mut before: Option<Value<'a>> = None;
    for element in list.iter() {
        if let Some(before) = &before {
            let order = compare(before, &element).ok_or(Error::no_such_overload())?;
            if order == Some(Ordering::Greater) {
                return Ok(Value::Bool(false));
            }
        }
        before = Some(element);
    }
    Ok(Value::Bool(true))
}

fn extreme<'a>(args: &[Value<'a>], name: &str, wanted: Ordering) -> Given<'a> {
    let [Value::List(list)] = args else { return Err(Error::no_such_overload()) };
    let mut elements = list.iter();
    let first = elements.next().ok_or_else(|| Error::new(format!("{name} called on empty list")))?;
    elements.try_fold(first, |best, element| {
        let order = compare(&element, &best).ok_or(Error::no_such_overload())?;
        Ok(if order == Some(wanted) { element } else { best })
    })
}

fn sum<'a>(args: &[Value<'a>]) -> Given<'a> {
    const OVER: Error = Error::overflow("integer overflow");
    let [Value::List(list)] = args else { return Err(Error::no_such_overload()) };
    let mut elements = list.iter();
    // What an empty list of no known type sums up to: the first form it fits.
    let Some(first) = elements.next() else { return Ok(Value::Int(0)) };
    elements.try_fold(first, |sum, element| {
        Ok(match (sum, element) {
            (Value::Int(one), Value::Int(other)) => Value::Int(one.checked_add(other).ok_or(OVER)?),
            (Value::Uint(one), Value::Uint(other)) => Value::Uint(one.checked_add(other).ok_or(OVER)?),
            (Value::Double(one), Value::Double(other)) => Value::Double(one + other),
            (Value::Duration(one), Value::Duration(other)) => Value::Duration(one.checked_add(other).ok_or(OVER)?),
            _ => return Err(Error::no_such_overload()),
        })
    })
}

fn index_of<'a>(args: &[Value<'a>]) -> Given<'a> {
    let [Value::List(list), wanted] = args else { return Err(Error::no_such_overload()) };
    Ok(Value::Int(list.iter().position(|element| equal(&element, wanted)).map_or(-1, |at| at as i64)))
}

fn last_index_of<'a>(args: &[Value<'a>]) -> Given<'a> {
    let [Value::List(list), wanted] = args else { return Err(Error::no_such_overload()) };
    let found = (0..list.len()).rev().find(|at| list.get(*at).is_some_and(|element| equal(&element, wanted)));
    Ok(Value::Int(found.map_or(-1, |at| at as i64)))
}
