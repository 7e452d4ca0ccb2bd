//! Values that may be absent.

#![allow(clippy::unnecessary_wraps, reason = "what is called by expressions has one signature")]

use super::{A, B, Given};
use crate::environment::Library;
use crate::error::Error;
use crate::types::Type;
use crate::value::Value;

/// Optional types: `optional.of`, `orValue`, `a[?b]` and the like.
pub fn optional() -> Library {
    let of = Type::optional(A);
    let (list, map) = (Type::list(A), Type::map(A, B));
    Library::default()
        .named_type("optional_type", Type::optional(Type::Dyn))
        .global("optional.of", "optional_of", &[A], of.clone(), some)
        .global("optional.ofNonZeroValue", "optional_ofNonZeroValue", &[A], of.clone(), some_non_zero)
        .global("optional.none", "optional_none", &[], of.clone(), none)
        .global("optional.unwrap", "optional_unwrap", &[Type::list(of.clone())], list.clone(), unwrap)
        .member("unwrapOpt", "optional_unwrapOpt", &[Type::list(of.clone())], list.clone(), unwrap)
        .member("value", "optional_value", std::slice::from_ref(&of), A, value)
        .member("hasValue", "optional_hasValue", std::slice::from_ref(&of), Type::Bool, has_value)
        .member("or", "optional_or_optional", &[of.clone(), of.clone()], of.clone(), or)
        .member("orValue", "optional_orValue_value", &[of.clone(), A], A, or_value)
        .global("_[?_]", "list_optindex_optional_int", &[list.clone(), Type::Int], of.clone(), never)
        .global(
            "_[?_]",
            "optional_list_optindex_optional_int",
            &[Type::optional(list.clone()), Type::Int],
            of.clone(),
            never,
        )
        .global("_[?_]", "map_optindex_optional_value", &[map.clone(), A], Type::optional(B), never)
        .global(
            "_[?_]",
            "optional_map_optindex_optional_value",
            &[Type::optional(map.clone()), A],
            Type::optional(B),
            never,
        )
        .global("_[_]", "optional_list_index_int", &[Type::optional(list.clone()), Type::Int], of.clone(), never)
        .global("_[_]", "optional_map_index_value", &[Type::optional(map), A], Type::optional(B), never)
        .member("first", "list_first", std::slice::from_ref(&list), of.clone(), first)
        .member("last", "list_last", &[list], of, last)
}

/// Evaluated by nodes of their own.
fn never<'a>(_: &[Value<'a>]) -> Given<'a> {
    Err(Error::no_such_overload())
}

fn some<'a>(args: &[Value<'a>]) -> Given<'a> {
    Ok(args[0].clone().some())
}

fn some_non_zero<'a>(args: &[Value<'a>]) -> Given<'a> {
    let zero = match &args[0] {
        Value::Null
        | Value::Bool(false)
        | Value::Int(0)
        | Value::Uint(0)
        | Value::Duration(0)
        | Value::Optional(None) => true,
        Value::Double(number) => *number == 0.0,
        Value::String(text) => text.is_empty(),
        Value::Bytes(bytes) => bytes.is_empty(),
        Value::List(list) => list.is_empty(),
        Value::Map(map) => map.is_empty(),
        Value::Message(message) => message.fields.is_empty(),
        _ => false,
    };
    if zero { none(&[]) } else { some(args) }
}

fn none<'a>(_: &[Value<'a>]) -> Given<'a> {
    Ok(Value::Optional(None))
}

fn unwrap<'a>(args: &[Value<'a>]) -> Given<'a> {
    let [Value::List(list)] = args else { return Err(Error::no_such_overload()) };
    let mut present = Vec::new();
    for element in list.iter() {
        match element {
            Value::Optional(Some(value)) => present.push((*value).clone()),
            Value::Optional(None) => {}
            _ => return Err(Error::no_such_overload()),
        }
    }
    Ok(Value::list(present))
}

fn value<'a>(args: &[Value<'a>]) -> Given<'a> {
    match args {
        [Value::Optional(Some(value))] => Ok((**value).clone()),
        [Value::Optional(None)] => Err(Error::new("optional.none() dereference")),
        _ => Err(Error::no_such_overload()),
    }
}

fn has_value<'a>(args: &[Value<'a>]) -> Given<'a> {
    match args {
        [Value::Optional(value)] => Ok(Value::Bool(value.is_some())),
        _ => Err(Error::no_such_overload()),
    }
}

fn or<'a>(args: &[Value<'a>]) -> Given<'a> {
    match args {
        [Value::Optional(None), other] => Ok(other.clone()),
        [one, _] => Ok(one.clone()),
        _ => Err(Error::no_such_overload()),
    }
}

fn or_value<'a>(args: &[Value<'a>]) -> Given<'a> {
    match args {
        [Value::Optional(Some(value)), _] => Ok((**value).clone()),
        [Value::Optional(None), other] => Ok(other.clone()),
        _ => Err(Error::no_such_overload()),
    }
}

fn first<'a>(args: &[Value<'a>]) -> Given<'a> {
    let [Value::List(list)] = args else { return Err(Error::no_such_overload()) };
    Ok(Value::Optional(list.get(0).map(std::sync::Arc::new)))
}

fn last<'a>(args: &[Value<'a>]) -> Given<'a> {
    let [Value::List(list)] = args else { return Err(Error::no_such_overload()) };
    Ok(Value::Optional(list.len().checked_sub(1).and_then(|at| list.get(at)).map(std::sync::Arc::new)))
}

#[cfg(test)]
#[test]
fn what_is_empty_is_zero() {
    use crate::value::{List, Map};

    let json = serde_json::json!([[], {}]);
    let serde_json::Value::Array(parts) = &json else { panic!("a list was written") };
    for part in parts {
        let value = Value::from(part);
        assert!(matches!(value, Value::List(List::Json(_)) | Value::Map(Map::Json(_))));
        assert!(matches!(some_non_zero(&[value]), Ok(Value::Optional(None))));
    }
}
