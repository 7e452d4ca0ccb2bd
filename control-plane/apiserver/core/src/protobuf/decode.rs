//! From the wire to JSON.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use kinds::wire::{self, Message, Slot};
use kinds::{Either, Schema};
use serde_json::{Map, Value};

use super::MAGIC;
use crate::status::Status;
use crate::time;

/// Depth of nested messages. Only schemas of custom resources nest without an end of their own.
const MAX_DEPTH: u32 = 64;

/// Reads a body that holds an object with the given definition name, and returns it as JSON.
///
/// # Errors
///
/// 400 for bytes that are no such message.
pub fn to_json(definition: &str, body: &[u8]) -> Result<Vec<u8>, Status> {
    read(definition, body)
        .map(|value| value.to_string().into_bytes())
        .map_err(|why| Status::bad_request(format!("unable to decode the protobuf body: {why}")))
}

fn read(definition: &str, body: &[u8]) -> Result<Value, &'static str> {
    let rest = body.strip_prefix(MAGIC).ok_or("it does not begin with the mark of Kubernetes objects")?;
    let (mut api_version, mut kind, mut raw) = (String::new(), String::new(), &[][..]);
    for field in Fields(rest) {
        match field? {
            (1, Wire::Bytes(meta)) => {
                for field in Fields(meta) {
                    match field? {
                        (1, Wire::Bytes(text)) => api_version = utf8(text)?,
                        (2, Wire::Bytes(text)) => kind = utf8(text)?,
                        _ => {}
                    }
                }
            }
            (2, Wire::Bytes(bytes)) => raw = bytes,
            (3, Wire::Bytes(encoding)) if !encoding.is_empty() => return Err("it is encoded once more"),
            _ => {}
        }
    }
    let mut object = Map::new();
    structure(definition, raw, &mut object, MAX_DEPTH)?;
    for (name, value) in [("apiVersion", api_version), ("kind", kind)] {
        if !value.is_empty() {
            object.insert(name.to_owned(), value.into());
        }
    }
    Ok(Value::Object(object))
}

/// The first field of a message.
pub(super) fn first(message: &[u8]) -> Option<(u32, Wire<'_>)> {
    Fields(message).next()?.ok()
}

/// A value on the wire.
pub(super) enum Wire<'a> {
    Varint(u64),
    Fixed64(u64),
    Fixed32(u32),
    Bytes(&'a [u8]),
}

/// The fields of a message, in the order they come.
struct Fields<'a>(&'a [u8]);

impl<'a> Iterator for Fields<'a> {
    type Item = Result<(u32, Wire<'a>), &'static str>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.0.is_empty() {
            return None;
        }
        let field = self.field();
        if field.is_err() {
            self.0 = &[];
        }
        Some(field)
    }
}

impl<'a> Fields<'a> {
    fn field(&mut self) -> Result<(u32, Wire<'a>), &'static str> {
        let tag = varint(&mut self.0)?;
        let number = u32::try_from(tag >> 3).map_err(|_| "a field number is too large")?;
        if number == 0 {
            return Err("a field number is zero");
        }
        let wire = match tag & 7 {
            0 => Wire::Varint(varint(&mut self.0)?),
            1 => Wire::Fixed64(u64::from_le_bytes(self.fixed()?)),
            2 => {
                let length = usize::try_from(varint(&mut self.0)?).map_err(|_| "a length is too large")?;
                let (bytes, rest) = self.0.split_at_checked(length).ok_or("it ends in the middle of a field")?;
                self.0 = rest;
                Wire::Bytes(bytes)
            }
            5 => Wire::Fixed32(u32::from_le_bytes(self.fixed()?)),
            _ => return Err("a field has an unknown wire type"),
        };
        Ok((number, wire))
    }

    fn fixed<const N: usize>(&mut self) -> Result<[u8; N], &'static str> {
        let (bytes, rest) = self.0.split_first_chunk::<N>().ok_or("it ends in the middle of a field")?;
        self.0 = rest;
        Ok(*bytes)
    }
}

fn varint(bytes: &mut &[u8]) -> Result<u64, &'static str> {
    let mut value = 0_u64;
    for shift in (0..64).step_by(7) {
        let (first, rest) = bytes.split_first().ok_or("it ends in the middle of a number")?;
        *bytes = rest;
        value |= u64::from(first & 0x7f) << shift;
        if first & 0x80 == 0 {
            return Ok(value);
        }
    }
    Err("a number is too long")
}

fn utf8(bytes: &[u8]) -> Result<String, &'static str> {
    std::str::from_utf8(bytes).map(str::to_owned).map_err(|_| "a string is no UTF-8")
}

/// Reads a message of a definition into `object`.
fn structure(definition: &str, bytes: &[u8], object: &mut Map<String, Value>, depth: u32) -> Result<(), &'static str> {
    let (Some(message), Some(schema)) = (wire::message(definition), kinds::schemas().get(definition)) else {
        // A type newer than the table: nothing of it is known.
        return Ok(());
    };
    fields(message, schema, bytes, object, depth)
}

fn fields(
    message: &Message,
    schema: &kinds::Struct,
    bytes: &[u8],
    object: &mut Map<String, Value>,
    depth: u32,
) -> Result<(), &'static str> {
    let depth = depth.checked_sub(1).ok_or("it nests too deep")?;
    for field in Fields(bytes) {
        let (number, wire) = field?;
        match (message.slots.get(&number), wire) {
            (None, _) => {}
            (Some(Slot::Inline(inner)), Wire::Bytes(bytes)) => fields(inner, schema, bytes, object, depth)?,
            (Some(Slot::Inline(_)), _) => return Err("a message has the wrong wire type"),
            (Some(Slot::Field { name, keeps_zero }), wire) => {
                if let Some(field) = schema.fields.get(name) {
                    member(name, &field.schema, *keeps_zero, wire, object, depth)?;
                }
            }
        }
    }
    Ok(())
}

/// Reads one occurrence of a field.
fn member(
    name: &str,
    schema: &Schema,
    keeps_zero: bool,
    wire: Wire<'_>,
    object: &mut Map<String, Value>,
    depth: u32,
) -> Result<(), &'static str> {
    match (schema, wire) {
        (Schema::List(inner), wire) => {
            let slot = object.entry(name).or_insert_with(|| Value::Array(Vec::new()));
            let Value::Array(list) = slot else { return Err("a list is none") };
            match (inner.as_ref(), wire) {
                (Schema::Int32 | Schema::Int64 | Schema::Flag, Wire::Bytes(mut packed)) => {
                    while !packed.is_empty() {
                        list.push(scalar(inner, Wire::Varint(varint(&mut packed)?))?);
                    }
                }
                (_, wire) => list.push(element(inner, wire, depth)?),
            }
        }
        (Schema::Map(inner), Wire::Bytes(entry)) => {
            let (mut key, mut value) = (String::new(), None);
            for field in Fields(entry) {
                match field? {
                    (1, Wire::Bytes(text)) => key = utf8(text)?,
                    (2, wire) => value = Some(element(inner, wire, depth)?),
                    _ => {}
                }
            }
            let value = match value {
                Some(value) => value,
                None => element(inner, Wire::Bytes(&[]), depth)?,
            };
            let slot = object.entry(name).or_insert_with(|| Value::Object(Map::new()));
            let Value::Object(map) = slot else { return Err("a map is none") };
            map.insert(key, value);
        }
        (Schema::Struct(definition), Wire::Bytes(bytes)) => {
            // A message that comes twice is one message in two parts.
            let slot = object.entry(name).or_insert_with(|| Value::Object(Map::new()));
            let Value::Object(inner) = slot else { return Err("a message is none") };
            structure(definition, bytes, inner, depth)?;
        }
        (schema, wire) => {
            let value = element(schema, wire, depth)?;
            let zero = match &value {
                Value::Null => true,
                Value::Bool(flag) => !flag && !keeps_zero,
                Value::Number(number) => number.as_f64() == Some(0.0) && !keeps_zero,
                Value::String(text) => text.is_empty() && !keeps_zero,
                Value::Array(_) | Value::Object(_) => false,
            };
            if zero {
                object.remove(name);
            } else {
                object.insert(name.to_owned(), value);
            }
        }
    }
    Ok(())
}

/// Reads a value that stands alone: an element of a list, a value of a map, a scalar. Null means that it is not set.
fn element(schema: &Schema, wire: Wire<'_>, depth: u32) -> Result<Value, &'static str> {
    match (schema, wire) {
        (Schema::Struct(definition), Wire::Bytes(bytes)) => {
            let mut object = Map::new();
            structure(definition, bytes, &mut object, depth)?;
            Ok(Value::Object(object))
        }
        (Schema::Time, Wire::Bytes(bytes)) => instant(bytes, time::seconds),
        (Schema::MicroTime, Wire::Bytes(bytes)) => instant(bytes, time::micros),
        (Schema::Quantity, Wire::Bytes(bytes)) => {
            let mut text = String::new();
            for field in Fields(bytes) {
                if let (1, Wire::Bytes(bytes)) = field? {
                    text = utf8(bytes)?;
                }
            }
            Ok(if text.is_empty() { "0".into() } else { text.into() })
        }
        (Schema::IntOrString, Wire::Bytes(bytes)) => {
            let (mut is_text, mut number, mut text) = (false, 0_i64, String::new());
            for field in Fields(bytes) {
                match field? {
                    (1, Wire::Varint(kind)) => is_text = kind == 1,
                    (2, Wire::Varint(value)) => number = value.cast_signed(),
                    (3, Wire::Bytes(bytes)) => text = utf8(bytes)?,
                    _ => {}
                }
            }
            Ok(if is_text { text.into() } else { number.into() })
        }
        (Schema::Any, Wire::Bytes(bytes)) => {
            for field in Fields(bytes) {
                if let (1, Wire::Bytes(json)) = field? {
                    return serde_json::from_slice(json).map_err(|_| "an embedded tree is no JSON");
                }
            }
            Ok(Value::Null)
        }
        (Schema::Either(either), Wire::Bytes(bytes)) => either_form(either, bytes, depth),
        // A list that is itself a value is a message with the list in it.
        (Schema::List(inner), Wire::Bytes(bytes)) => {
            let depth = depth.checked_sub(1).ok_or("it nests too deep")?;
            let mut list = Vec::new();
            for field in Fields(bytes) {
                if let (1, wire) = field? {
                    list.push(element(inner, wire, depth)?);
                }
            }
            Ok(Value::Array(list))
        }
        (schema, wire) => scalar(schema, wire),
    }
}

/// Reads a value of one of two forms: a list wins over a struct, which wins over a flag.
fn either_form(either: &Either, bytes: &[u8], depth: u32) -> Result<Value, &'static str> {
    let (mut object, mut other) = (None, Map::new());
    for field in Fields(bytes) {
        match field? {
            (number, Wire::Bytes(bytes)) if number == either.number => {
                structure(&either.definition, bytes, object.get_or_insert_default(), depth)?;
            }
            (number, wire) if number == either.other_number => {
                member("", &either.other, true, wire, &mut other, depth)?;
            }
            _ => {}
        }
    }
    Ok(match (object, other.remove(""), &either.other) {
        (None, Some(other), _) | (Some(_), Some(other @ Value::Array(_)), _) => other,
        (Some(object), _, _) => Value::Object(object),
        (None, None, Schema::Flag) => false.into(),
        (None, None, _) => Value::Null,
    })
}

fn scalar(schema: &Schema, wire: Wire<'_>) -> Result<Value, &'static str> {
    match (schema, wire) {
        (Schema::Text, Wire::Bytes(bytes)) => utf8(bytes).map(Value::from),
        (Schema::Bytes, Wire::Bytes(bytes)) => Ok(STANDARD.encode(bytes).into()),
        (Schema::Int32 | Schema::Int64, Wire::Varint(value)) => Ok(value.cast_signed().into()),
        (Schema::Flag, Wire::Varint(value)) => Ok((value != 0).into()),
        (Schema::Float, Wire::Fixed64(bits)) => Ok(float(f64::from_bits(bits))),
        (Schema::Float, Wire::Fixed32(bits)) => Ok(float(f32::from_bits(bits).into())),
        // The value of a map entry that was left out.
        (Schema::Int32 | Schema::Int64 | Schema::Float, Wire::Bytes([])) => Ok(0.into()),
        (Schema::Flag, Wire::Bytes([])) => Ok(false.into()),
        (_, _) => Err("a field has the wrong wire type"),
    }
}

/// A float as Go writes it: a whole number has no point.
fn float(value: f64) -> Value {
    /// All whole numbers up to here are floats, too.
    const EXACT: f64 = 9_007_199_254_740_992.0;
    if value.fract() == 0.0 && value.abs() <= EXACT { (value as i64).into() } else { value.into() }
}

/// Reads a time; none and the zero of Go's are null.
fn instant(bytes: &[u8], write: impl Fn(Timestamp) -> String) -> Result<Value, &'static str> {
    /// The year 1, with which Go says "no time".
    const ZERO: i64 = -62_135_596_800;
    let (mut seconds, mut nanos) = (None, 0);
    for field in Fields(bytes) {
        match field? {
            (1, Wire::Varint(value)) => seconds = Some(value.cast_signed()),
            (2, Wire::Varint(value)) => nanos = i32::try_from(value).map_err(|_| "a time is out of range")?,
            _ => {}
        }
    }
    match seconds {
        None | Some(ZERO) => Ok(Value::Null),
        Some(seconds) => {
            Timestamp::new(seconds, nanos).map(|time| write(time).into()).map_err(|_| "a time is out of range")
        }
    }
}
