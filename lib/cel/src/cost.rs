//! What evaluations cost, in units of about one step each: the same figures as cel-go's.

use crate::value::{List, Map, Value};

/// Making a list.
pub(crate) const LIST: u64 = 10;
/// Making a map.
pub(crate) const MAP: u64 = 30;
/// Making a message.
pub(crate) const MESSAGE: u64 = 40;

/// A tenth, rounded up: what going through so many characters costs.
pub const fn ceil_tenth(size: u64) -> u64 {
    size.div_ceil(10)
}

/// How large a value counts: characters, bytes, elements or entries; one for what has no size.
pub fn size(value: &Value<'_>) -> u64 {
    match value {
        Value::String(text) => text.chars().count() as u64,
        Value::Bytes(bytes) => bytes.len() as u64,
        Value::List(List::Json(elements)) => elements.len() as u64,
        Value::List(List::Shared(elements)) => elements.len() as u64,
        Value::Map(Map::Json(members)) => members.len() as u64,
        Value::Map(Map::Shared(entries)) => entries.len() as u64,
        Value::Optional(Some(value)) => size(value),
        Value::Opaque(opaque) => opaque.size(),
        _ => 1,
    }
}

/// Both are looked at as long as the shorter lasts.
pub(crate) fn shorter(args: &[Value<'_>], _: &Value<'_>) -> u64 {
    ceil_tenth(size(&args[0]).min(size(&args[1])))
}

/// The first is gone through.
pub(crate) fn traversal(args: &[Value<'_>], _: &Value<'_>) -> u64 {
    ceil_tenth(size(&args[0]))
}

/// The first is gone through, and something like it made.
pub(crate) fn twice(args: &[Value<'_>], _: &Value<'_>) -> u64 {
    ceil_tenth(size(&args[0]) * 2)
}

/// The result is made from parts.
pub(crate) fn result_twice(_: &[Value<'_>], result: &Value<'_>) -> u64 {
    ceil_tenth(size(result) * 2)
}

/// Both are copied.
pub(crate) fn sum(args: &[Value<'_>], _: &Value<'_>) -> u64 {
    ceil_tenth(size(&args[0]) + size(&args[1]))
}

/// Each element of the second is compared.
pub(crate) fn membership(args: &[Value<'_>], _: &Value<'_>) -> u64 {
    size(&args[1])
}

/// One is looked for in the other.
pub(crate) fn search(args: &[Value<'_>], _: &Value<'_>) -> u64 {
    ceil_tenth(size(&args[0])).saturating_mul(ceil_tenth(size(&args[1])))
}

/// A pattern is tried on a text: of about four characters a part.
pub(crate) fn pattern(args: &[Value<'_>], _: &Value<'_>) -> u64 {
    ceil_tenth(size(&args[0]) + 1).saturating_mul(size(&args[1]).div_ceil(4))
}

/// Each element of one list is looked for in the other.
pub(crate) fn product(args: &[Value<'_>], _: &Value<'_>) -> u64 {
    1 + size(&args[0]).saturating_mul(size(&args[1]))
}

/// Both ways.
pub(crate) fn product_twice(args: &[Value<'_>], _: &Value<'_>) -> u64 {
    1 + size(&args[0]).saturating_mul(size(&args[1])).saturating_mul(2)
}
