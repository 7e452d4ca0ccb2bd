//! Fields, elements and entries.

use std::collections::BTreeMap;

use crate::error::Error;
use crate::value::{Key, Value};

type Found<'a> = Result<Value<'a>, Error>;

/// `operand.name`
pub(super) fn field<'a>(operand: &Value<'a>, name: &str) -> Found<'a> {
    if let Value::Optional(_) = operand {
        return optional_field(operand, name);
    }
    lookup(operand, name)?.ok_or_else(|| Error::no_such_key(name))
}

fn lookup<'a>(operand: &Value<'a>, name: &str) -> Result<Option<Value<'a>>, Error> {
    match operand {
        Value::Map(map) => Ok(map.field(name)),
        Value::Message(message) => Ok(message.fields.get(name).cloned()),
        _ => Err(Error::no_such_overload()),
    }
}

/// `has(operand.name)`
pub(super) fn has<'a>(operand: &Value<'a>, name: &str) -> Found<'a> {
    Ok(Value::Bool(match operand {
        Value::Optional(None) => false,
        Value::Optional(Some(inner)) => lookup(inner, name)?.is_some(),
        operand => lookup(operand, name)?.is_some(),
    }))
}

/// `operand.?name`
pub(super) fn optional_field<'a>(operand: &Value<'a>, name: &str) -> Found<'a> {
    Ok(match operand {
        Value::Optional(None) => Value::Optional(None),
        Value::Optional(Some(inner)) => lookup(inner, name)?.map_or(Value::Optional(None), Value::some),
        operand => lookup(operand, name)?.map_or(Value::Optional(None), Value::some),
    })
}

/// `operand[index]`
pub(super) fn index<'a>(operand: &Value<'a>, index: &Value<'a>) -> Found<'a> {
    match operand {
        Value::Optional(_) => optional_index(operand, index),
        Value::List(list) => {
            let at = place(index)?;
            usize::try_from(at)
                .ok()
                .and_then(|at| list.get(at))
                .ok_or_else(|| Error::new(format!("index out of bounds: {at}")))
        }
        Value::Map(map) => map.get(index).ok_or_else(|| match Key::of(index.clone()) {
            Some(key) => Error::no_such_key(key),
            None => Error::no_such_overload(),
        }),
        _ => Err(Error::no_such_overload()),
    }
}

/// `operand[?index]`
pub(super) fn optional_index<'a>(operand: &Value<'a>, index: &Value<'a>) -> Found<'a> {
    Ok(match operand {
        Value::Optional(None) => Value::Optional(None),
        Value::Optional(Some(inner)) => return optional_index(inner, index),
        Value::List(list) => {
            usize::try_from(place(index)?).ok().and_then(|at| list.get(at)).map_or(Value::Optional(None), Value::some)
        }
        Value::Map(map) => map.get(index).map_or(Value::Optional(None), Value::some),
        _ => return Err(Error::no_such_overload()),
    })
}

fn place(index: &Value<'_>) -> Result<i64, Error> {
    match Key::of(index.clone()) {
        Some(Key::Int(at)) => Ok(at),
        Some(Key::Uint(at)) => Ok(i64::try_from(at).unwrap_or(i64::MAX)),
        _ => Err(Error::new(format!("unsupported index type '{}' in list", index.type_name()))),
    }
}

/// What stands in a list, map or message: an optional that holds nothing leaves it out.
pub(super) fn given(value: Value<'_>, optional: bool) -> Result<Option<Value<'_>>, Error> {
    match value {
        Value::Optional(inner) if optional => Ok(inner.map(|inner| (*inner).clone())),
        _ if optional => Err(Error::no_such_overload()),
        value => Ok(Some(value)),
    }
}

/// Puts in an entry whose key is new.
pub(super) fn insert<'a>(
    map: &mut BTreeMap<Key<'a>, Value<'a>>,
    key: Value<'a>,
    value: Value<'a>,
) -> Result<(), Error> {
    let kind = key.type_name().to_owned();
    let key = Key::of(key).ok_or_else(|| Error::new(format!("unsupported key type: {kind}")))?;
    if map.contains_key(&key) {
        return Err(Error::new(format!("insert failed: key {key} already exists")));
    }
    map.insert(key, value);
    Ok(())
}
