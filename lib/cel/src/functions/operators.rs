//! Arithmetic, comparison and membership.

#![allow(clippy::unnecessary_wraps, reason = "what is called by expressions has one signature")]

use std::cmp::Ordering;

use jiff::SignedDuration;

use super::{A, B, Given};
use crate::cost;
use crate::environment::Library;
use crate::error::Error;
use crate::types::Type;
use crate::value::{List, Value, compare, equal};

const INT: &str = "integer overflow";
const UINT: &str = "unsigned integer overflow";
const DURATION: &str = "duration overflow";
const TIMESTAMP: &str = "timestamp overflow";

pub(super) fn add(library: Library) -> Library {
    use Type::{Bool, Bytes, Double, Duration, Int, String, Timestamp, Uint};
    let list = Type::list(A);
    let mut library = library
        .global("_&&_", "logical_and", &[Bool, Bool], Bool, never)
        .global("_||_", "logical_or", &[Bool, Bool], Bool, never)
        .global("_?_:_", "conditional", &[Bool, A, A], A, never)
        .global("@not_strictly_false", "not_strictly_false", &[Bool], Bool, never)
        .global("!_", "logical_not", &[Bool], Bool, not)
        .global("_==_", "equals", &[A, A], Bool, never)
        .global("_!=_", "not_equals", &[A, A], Bool, never)
        .global("_[_]", "index_list", &[list.clone(), Int], A, never)
        .global("_[_]", "index_map", &[Type::map(A, B), A], B, never)
        .global("@in", "in_list", &[A, list.clone()], Bool, among)
        .costing(cost::membership)
        .global("@in", "in_map", &[A, Type::map(A, B)], Bool, among)
        .global("_+_", "add_bytes", &[Bytes, Bytes], Bytes, plus)
        .costing(cost::sum)
        .global("_+_", "add_double", &[Double, Double], Double, plus)
        .global("_+_", "add_duration_duration", &[Duration, Duration], Duration, plus)
        .global("_+_", "add_duration_timestamp", &[Duration, Timestamp], Timestamp, plus)
        .global("_+_", "add_timestamp_duration", &[Timestamp, Duration], Timestamp, plus)
        .global("_+_", "add_int64", &[Int, Int], Int, plus)
        .global("_+_", "add_list", &[list.clone(), list.clone()], list, plus)
        .global("_+_", "add_string", &[String, String], String, plus)
        .costing(cost::sum)
        .global("_+_", "add_uint64", &[Uint, Uint], Uint, plus)
        .global("_-_", "subtract_double", &[Double, Double], Double, minus)
        .global("_-_", "subtract_duration_duration", &[Duration, Duration], Duration, minus)
        .global("_-_", "subtract_int64", &[Int, Int], Int, minus)
        .global("_-_", "subtract_timestamp_duration", &[Timestamp, Duration], Timestamp, minus)
        .global("_-_", "subtract_timestamp_timestamp", &[Timestamp, Timestamp], Duration, minus)
        .global("_-_", "subtract_uint64", &[Uint, Uint], Uint, minus)
        .global("_*_", "multiply_double", &[Double, Double], Double, times)
        .global("_*_", "multiply_int64", &[Int, Int], Int, times)
        .global("_*_", "multiply_uint64", &[Uint, Uint], Uint, times)
        .global("_/_", "divide_double", &[Double, Double], Double, over)
        .global("_/_", "divide_int64", &[Int, Int], Int, over)
        .global("_/_", "divide_uint64", &[Uint, Uint], Uint, over)
        .global("_%_", "modulo_int64", &[Int, Int], Int, modulo)
        .global("_%_", "modulo_uint64", &[Uint, Uint], Uint, modulo)
        .global("-_", "negate_double", &[Double], Double, negate)
        .global("-_", "negate_int64", &[Int], Int, negate);
    macro_rules! comparison {
        ($name:literal, $id:literal, $apply:expr) => {
            library = library
                .global($name, concat!($id, "_bool"), &[Bool, Bool], Bool, $apply)
                .global($name, concat!($id, "_int64"), &[Int, Int], Bool, $apply)
                .global($name, concat!($id, "_int64_double"), &[Int, Double], Bool, $apply)
                .global($name, concat!($id, "_int64_uint64"), &[Int, Uint], Bool, $apply)
                .global($name, concat!($id, "_uint64"), &[Uint, Uint], Bool, $apply)
                .global($name, concat!($id, "_uint64_double"), &[Uint, Double], Bool, $apply)
                .global($name, concat!($id, "_uint64_int64"), &[Uint, Int], Bool, $apply)
                .global($name, concat!($id, "_double"), &[Double, Double], Bool, $apply)
                .global($name, concat!($id, "_double_int64"), &[Double, Int], Bool, $apply)
                .global($name, concat!($id, "_double_uint64"), &[Double, Uint], Bool, $apply)
                .global($name, concat!($id, "_string"), &[String, String], Bool, $apply)
                .costing(cost::shorter)
                .global($name, concat!($id, "_bytes"), &[Bytes, Bytes], Bool, $apply)
                .costing(cost::shorter)
                .global($name, concat!($id, "_timestamp"), &[Timestamp, Timestamp], Bool, $apply)
                .global($name, concat!($id, "_duration"), &[Duration, Duration], Bool, $apply);
        };
    }
    comparison!("_<_", "less", |args| ordered(args, Ordering::is_lt));
    comparison!("_<=_", "less_equals", |args| ordered(args, Ordering::is_le));
    comparison!("_>_", "greater", |args| ordered(args, Ordering::is_gt));
    comparison!("_>=_", "greater_equals", |args| ordered(args, Ordering::is_ge));
    library
        .global("size", "size_bytes", &[Bytes], Int, size)
        .member("size", "bytes_size", &[Bytes], Int, size)
        .global("size", "size_list", &[Type::list(A)], Int, size)
        .member("size", "list_size", &[Type::list(A)], Int, size)
        .global("size", "size_map", &[Type::map(A, B)], Int, size)
        .member("size", "map_size", &[Type::map(A, B)], Int, size)
        .global("size", "size_string", &[String], Int, size)
        .member("size", "string_size", &[String], Int, size)
}

/// Evaluated by nodes of their own, which look at their operands one after the other.
fn never<'a>(_: &[Value<'a>]) -> Given<'a> {
    Err(Error::no_such_overload())
}

fn not<'a>(args: &[Value<'a>]) -> Given<'a> {
    match args {
        [Value::Bool(is)] => Ok(Value::Bool(!is)),
        _ => Err(Error::no_such_overload()),
    }
}

fn among<'a>(args: &[Value<'a>]) -> Given<'a> {
    match args {
        [element, Value::List(list)] => Ok(Value::Bool(list.iter().any(|other| equal(&other, element)))),
        [key, Value::Map(map)] => Ok(Value::Bool(map.get(key).is_some())),
        _ => Err(Error::no_such_overload()),
    }
}

fn ordered<'a>(args: &[Value<'a>], holds: fn(Ordering) -> bool) -> Given<'a> {
    match compare(&args[0], &args[1]) {
        Some(order) => Ok(Value::Bool(order.is_some_and(holds))),
        None => Err(Error::no_such_overload()),
    }
}

fn size<'a>(args: &[Value<'a>]) -> Given<'a> {
    Ok(Value::Int(cost::size(&args[0]) as i64))
}

fn moved<'a>(time: jiff::Timestamp, nanos: i128) -> Given<'a> {
    let nanos = i64::try_from(nanos).map_err(|_| Error::overflow(TIMESTAMP))?;
    let moved = time.checked_add(SignedDuration::from_nanos(nanos)).map_err(|_| Error::overflow(TIMESTAMP))?;
    if super::time::in_range(moved) { Ok(Value::Timestamp(moved)) } else { Err(Error::overflow(TIMESTAMP)) }
}

fn plus<'a>(args: &[Value<'a>]) -> Given<'a> {
    Ok(match args {
        [Value::Int(one), Value::Int(other)] => Value::Int(one.checked_add(*other).ok_or(Error::overflow(INT))?),
        [Value::Uint(one), Value::Uint(other)] => Value::Uint(one.checked_add(*other).ok_or(Error::overflow(UINT))?),
        [Value::Double(one), Value::Double(other)] => Value::Double(one + other),
        [Value::String(one), Value::String(other)] => {
            let mut text = String::with_capacity(one.len() + other.len());
            text.push_str(one);
            text.push_str(other);
            Value::string(text)
        }
        [Value::Bytes(one), Value::Bytes(other)] => Value::Bytes([&**one, &**other].concat().into()),
        [Value::List(one), Value::List(other)] => match (one, other) {
            (one, other) if other.is_empty() => Value::List(one.clone()),
            (List::Shared(one), _) if one.is_empty() => Value::List(other.clone()),
            _ => Value::list(one.iter().chain(other.iter()).collect()),
        },
        [Value::Duration(one), Value::Duration(other)] => {
            Value::Duration(one.checked_add(*other).ok_or(Error::overflow(DURATION))?)
        }
        [Value::Timestamp(time), Value::Duration(nanos)] | [Value::Duration(nanos), Value::Timestamp(time)] => {
            return moved(*time, i128::from(*nanos));
        }
        _ => return Err(Error::no_such_overload()),
    })
}

fn minus<'a>(args: &[Value<'a>]) -> Given<'a> {
    Ok(match args {
        [Value::Int(one), Value::Int(other)] => Value::Int(one.checked_sub(*other).ok_or(Error::overflow(INT))?),
        [Value::Uint(one), Value::Uint(other)] => Value::Uint(one.checked_sub(*other).ok_or(Error::overflow(UINT))?),
        [Value::Double(one), Value::Double(other)] => Value::Double(one - other),
        [Value::Duration(one), Value::Duration(other)] => {
            Value::Duration(one.checked_sub(*other).ok_or(Error::overflow(DURATION))?)
        }
        [Value::Timestamp(time), Value::Duration(nanos)] => return moved(*time, -i128::from(*nanos)),
        [Value::Timestamp(one), Value::Timestamp(other)] => {
            let nanos = one.as_nanosecond() - other.as_nanosecond();
            Value::Duration(i64::try_from(nanos).map_err(|_| Error::overflow(DURATION))?)
        }
        _ => return Err(Error::no_such_overload()),
    })
}

fn times<'a>(args: &[Value<'a>]) -> Given<'a> {
    Ok(match args {
        [Value::Int(one), Value::Int(other)] => Value::Int(one.checked_mul(*other).ok_or(Error::overflow(INT))?),
        [Value::Uint(one), Value::Uint(other)] => Value::Uint(one.checked_mul(*other).ok_or(Error::overflow(UINT))?),
        [Value::Double(one), Value::Double(other)] => Value::Double(one * other),
        _ => return Err(Error::no_such_overload()),
    })
}

fn over<'a>(args: &[Value<'a>]) -> Given<'a> {
    const NOUGHT: Error = Error::Failed(std::borrow::Cow::Borrowed("division by zero"));
    Ok(match args {
        [Value::Int(_), Value::Int(0)] | [Value::Uint(_), Value::Uint(0)] => return Err(NOUGHT),
        [Value::Int(one), Value::Int(other)] => Value::Int(one.checked_div(*other).ok_or(Error::overflow(INT))?),
        [Value::Uint(one), Value::Uint(other)] => Value::Uint(one / other),
        [Value::Double(one), Value::Double(other)] => Value::Double(one / other),
        _ => return Err(Error::no_such_overload()),
    })
}

fn modulo<'a>(args: &[Value<'a>]) -> Given<'a> {
    const NOUGHT: Error = Error::Failed(std::borrow::Cow::Borrowed("modulus by zero"));
    Ok(match args {
        [Value::Int(_), Value::Int(0)] | [Value::Uint(_), Value::Uint(0)] => return Err(NOUGHT),
        [Value::Int(one), Value::Int(other)] => Value::Int(one.checked_rem(*other).ok_or(Error::overflow(INT))?),
        [Value::Uint(one), Value::Uint(other)] => Value::Uint(one % other),
        _ => return Err(Error::no_such_overload()),
    })
}

fn negate<'a>(args: &[Value<'a>]) -> Given<'a> {
    Ok(match args {
        [Value::Int(number)] => Value::Int(number.checked_neg().ok_or(Error::overflow(INT))?),
        [Value::Double(number)] => Value::Double(-number),
        _ => return Err(Error::no_such_overload()),
    })
}
