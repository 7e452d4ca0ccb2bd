//! From JSON to the wire. Fields go in the order of their numbers; what is absent or null is not written, and readers take it
//! for its zero. Values of another type than the schema's are left out: bodies were checked when they came in.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use kinds::wire::{self, Message, Slot};
use kinds::{Either, Schema};
use serde_json::{Map, Value};

pub(crate) const OBJECT_META: &str = "io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta";

pub(crate) const VARINT: u8 = 0;
pub(crate) const FIXED64: u8 = 1;
pub(crate) const LENGTH_DELIMITED: u8 = 2;

pub(crate) fn varint(mut value: u64, out: &mut Vec<u8>) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

pub(crate) fn tag(number: u32, wire_type: u8, out: &mut Vec<u8>) {
    varint(u64::from(number) << 3 | u64::from(wire_type), out);
}

pub(crate) fn bytes(number: u32, bytes: &[u8], out: &mut Vec<u8>) {
    tag(number, LENGTH_DELIMITED, out);
    varint(bytes.len() as u64, out);
    out.extend_from_slice(bytes);
}

pub(crate) fn text(number: u32, text: &str, out: &mut Vec<u8>) {
    bytes(number, text.as_bytes(), out);
}

pub(crate) fn number(number: u32, value: u64, out: &mut Vec<u8>) {
    tag(number, VARINT, out);
    varint(value, out);
}

/// A field that is a message. Its length is known behind it: a byte is kept free, and the message moved if that is too little.
pub(crate) fn nested(number: u32, out: &mut Vec<u8>, write: impl FnOnce(&mut Vec<u8>)) {
    tag(number, LENGTH_DELIMITED, out);
    let at = out.len();
    out.push(0);
    write(out);
    let length = out.len() - at - 1;
    if length < 0x80 {
        out[at] = length as u8;
    } else {
        let mut prefix = Vec::with_capacity(5);
        varint(length as u64, &mut prefix);
        out.splice(at..=at, prefix);
    }
}

/// Writes the message of a definition. A type newer than the table has no numbers: nothing of it is written.
pub(crate) fn structure(definition: &str, object: &Map<String, Value>, out: &mut Vec<u8>) {
    if let (Some(message), Some(schema)) = (wire::message(definition), kinds::schemas().get(definition)) {
        fields(message, schema, object, out);
    }
}

fn fields(message: &Message, schema: &kinds::Struct, object: &Map<String, Value>, out: &mut Vec<u8>) {
    for (number, slot) in &message.slots {
        match slot {
            Slot::Inline(inner) => {
                let before = out.len();
                nested(*number, out, |out| fields(inner, schema, object, out));
                // A message nobody sees in JSON is there when something in it is.
                if out.last() == Some(&0) && is_empty_field(&out[before..]) {
                    out.truncate(before);
                }
            }
            Slot::Field { name, .. } => {
                if let (Some(value), Some(field)) = (object.get(name), schema.fields.get(name)) {
                    member(*number, &field.schema, value, out);
                }
            }
        }
    }
}

/// Whether a field is a message without content: its tag and a zero.
fn is_empty_field(field: &[u8]) -> bool {
    let tag = field.iter().take_while(|byte| **byte & 0x80 != 0).count() + 1;
    field.len() == tag + 1
}

fn member(number: u32, schema: &Schema, value: &Value, out: &mut Vec<u8>) {
    match (schema, value) {
        (_, Value::Null) => {}
        (Schema::List(inner), Value::Array(list)) => list.iter().for_each(|value| element(number, inner, value, out)),
        (Schema::Map(inner), Value::Object(map)) => {
            for (key, value) in map {
                nested(number, out, |out| {
                    text(1, key, out);
                    element(2, inner, value, out);
                });
            }
        }
        (schema, value) => element(number, schema, value, out),
    }
}

/// Writes a value that stands alone: an element of a list, a value of a map, a scalar.
fn element(at: u32, schema: &Schema, value: &Value, out: &mut Vec<u8>) {
    match (schema, value) {
        (Schema::Struct(definition), Value::Object(object)) => {
            nested(at, out, |out| structure(definition, object, out));
        }
        (Schema::Text, Value::String(value)) => text(at, value, out),
        (Schema::Bytes, Value::String(value)) => {
            if let Ok(value) = STANDARD.decode(value) {
                bytes(at, &value, out);
            }
        }
        (Schema::Int32 | Schema::Int64, Value::Number(value)) => {
            if let Some(value) = value.as_i64() {
                number(at, value.cast_unsigned(), out);
            }
        }
        (Schema::Float, Value::Number(value)) => {
            if let Some(value) = value.as_f64() {
                tag(at, FIXED64, out);
                out.extend_from_slice(&value.to_bits().to_le_bytes());
            }
        }
        (Schema::Flag, Value::Bool(value)) => number(at, u64::from(*value), out),
        (Schema::Time, Value::String(value)) => instant(at, value, 1_000_000_000, out),
        (Schema::MicroTime, Value::String(value)) => instant(at, value, 1_000, out),
        (Schema::Quantity, Value::String(value)) => nested(at, out, |out| text(1, value, out)),
        (Schema::Quantity, Value::Number(value)) => nested(at, out, |out| text(1, &value.to_string(), out)),
        (Schema::IntOrString, Value::Number(value)) => {
            let value = value.as_i64().unwrap_or_default();
            nested(at, out, |out| {
                number(1, 0, out);
                number(2, value.cast_unsigned(), out);
                text(3, "", out);
            });
        }
        (Schema::IntOrString, Value::String(value)) => nested(at, out, |out| {
            number(1, 1, out);
            number(2, 0, out);
            text(3, value, out);
        }),
        (Schema::Any, value) => nested(at, out, |out| text(1, &value.to_string(), out)),
        (Schema::Either(either), value) => nested(at, out, |out| either_form(either, value, out)),
        // A list that is itself a value, such as the extra attributes of a user, is a message with the list in it.
        (Schema::List(inner), Value::Array(list)) => {
            nested(at, out, |out| list.iter().for_each(|value| element(1, inner, value, out)));
        }
        // Its place among the others must not be lost.
        (
            Schema::Struct(_) | Schema::Time | Schema::MicroTime | Schema::Quantity | Schema::Text | Schema::Bytes,
            Value::Null,
        ) => bytes(at, &[], out),
        (Schema::Int32 | Schema::Int64 | Schema::Flag, Value::Null) => number(at, 0, out),
        (_, _) => {}
    }
}

/// The message of a value of one of two forms. Where the other one is a flag, a struct stands for its being set.
fn either_form(either: &Either, value: &Value, out: &mut Vec<u8>) {
    if !value.is_object() {
        return member(either.other_number, &either.other, value, out);
    }
    if either.other == Schema::Flag {
        number(either.other_number, 1, out);
    }
    element(either.number, &Schema::Struct(either.definition.clone()), value, out);
}

/// A time, cut to whole multiples of `unit` nanoseconds.
fn instant(at: u32, value: &str, unit: i32, out: &mut Vec<u8>) {
    let Ok(time) = value.parse::<Timestamp>() else { return };
    let (seconds, nanos) =
        (time.as_nanosecond().div_euclid(1_000_000_000), time.as_nanosecond().rem_euclid(1_000_000_000));
    nested(at, out, |out| {
        number(1, (seconds as i64).cast_unsigned(), out);
        number(2, (nanos as u64 / unit as u64) * unit as u64, out);
    });
}
