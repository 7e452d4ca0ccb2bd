//! From one type to another.

#![allow(clippy::unnecessary_wraps, reason = "what is called by expressions has one signature")]

use jiff::Timestamp;

use super::{A, Given, time};
use crate::cost;
use crate::environment::Library;
use crate::error::Error;
use crate::types::Type;
use crate::value::{Text, Value, double_text, duration_text, timestamp_text};

pub(super) fn add(library: Library) -> Library {
    use Type::{Bool, Bytes, Double, Duration, Int, String, Timestamp, Uint};
    library
        .global("bool", "bool_to_bool", &[Bool], Bool, to_bool)
        .global("bool", "string_to_bool", &[String], Bool, to_bool)
        .global("bytes", "bytes_to_bytes", &[Bytes], Bytes, to_bytes)
        .global("bytes", "string_to_bytes", &[String], Bytes, to_bytes)
        .costing(cost::traversal)
        .global("double", "double_to_double", &[Double], Double, to_double)
        .global("double", "int64_to_double", &[Int], Double, to_double)
        .global("double", "string_to_double", &[String], Double, to_double)
        .global("double", "uint64_to_double", &[Uint], Double, to_double)
        .global("duration", "duration_to_duration", &[Duration], Duration, to_duration)
        .global("duration", "int64_to_duration", &[Int], Duration, to_duration)
        .global("duration", "string_to_duration", &[String], Duration, to_duration)
        .global("dyn", "to_dyn", &[A], Type::Dyn, same)
        .global("int", "int64_to_int64", &[Int], Int, to_int)
        .global("int", "double_to_int64", &[Double], Int, to_int)
        .global("int", "duration_to_int64", &[Duration], Int, to_int)
        .global("int", "string_to_int64", &[String], Int, to_int)
        .global("int", "timestamp_to_int64", &[Timestamp], Int, to_int)
        .global("int", "uint64_to_int64", &[Uint], Int, to_int)
        .global("string", "string_to_string", &[String], String, to_string)
        .global("string", "bool_to_string", &[Bool], String, to_string)
        .global("string", "bytes_to_string", &[Bytes], String, to_string)
        .costing(cost::traversal)
        .global("string", "double_to_string", &[Double], String, to_string)
        .global("string", "duration_to_string", &[Duration], String, to_string)
        .global("string", "int64_to_string", &[Int], String, to_string)
        .global("string", "timestamp_to_string", &[Timestamp], String, to_string)
        .global("string", "uint64_to_string", &[Uint], String, to_string)
        .global("timestamp", "timestamp_to_timestamp", &[Timestamp], Timestamp, to_timestamp)
        .global("timestamp", "int64_to_timestamp", &[Int], Timestamp, to_timestamp)
        .global("timestamp", "string_to_timestamp", &[String], Timestamp, to_timestamp)
        .global("type", "type", &[A], Type::Type(std::sync::Arc::new(A)), type_of)
        .global("uint", "uint64_to_uint64", &[Uint], Uint, to_uint)
        .global("uint", "double_to_uint64", &[Double], Uint, to_uint)
        .global("uint", "int64_to_uint64", &[Int], Uint, to_uint)
        .global("uint", "string_to_uint64", &[String], Uint, to_uint)
}

fn same<'a>(args: &[Value<'a>]) -> Given<'a> {
    Ok(args[0].clone())
}

fn type_of<'a>(args: &[Value<'a>]) -> Given<'a> {
    Ok(Value::Type(Text::Shared(args[0].type_name().into())))
}

fn to_bool<'a>(args: &[Value<'a>]) -> Given<'a> {
    match &args[0] {
        Value::String(text) => match &**text {
            "1" | "t" | "T" | "true" | "TRUE" | "True" => Ok(Value::Bool(true)),
            "0" | "f" | "F" | "false" | "FALSE" | "False" => Ok(Value::Bool(false)),
            other => Err(Error::new(format!("strconv.ParseBool: parsing \"{other}\": invalid syntax"))),
        },
        other => Ok(other.clone()),
    }
}

fn to_bytes<'a>(args: &[Value<'a>]) -> Given<'a> {
    match &args[0] {
        Value::String(text) => Ok(Value::Bytes(text.as_bytes().into())),
        other => Ok(other.clone()),
    }
}

/// As Go says that a text is no number.
fn not_a_number(function: &str, text: &str, range: bool) -> Error {
    let why = if range { "value out of range" } else { "invalid syntax" };
    Error::new(format!("strconv.{function}: parsing \"{text}\": {why}"))
}

fn to_double<'a>(args: &[Value<'a>]) -> Given<'a> {
    Ok(Value::Double(match &args[0] {
        Value::Int(number) => *number as f64,
        Value::Uint(number) => *number as f64,
        Value::String(text) => {
            let number: f64 = text.parse().map_err(|_| not_a_number("ParseFloat", text, false))?;
            if number.is_infinite() && text.contains(|c: char| c.is_ascii_digit()) {
                return Err(not_a_number("ParseFloat", text, true));
            }
            number
        }
        other => return Ok(other.clone()),
    }))
}

fn to_int<'a>(args: &[Value<'a>]) -> Given<'a> {
    const RANGE: Error = Error::overflow("integer overflow");
    Ok(Value::Int(match &args[0] {
        Value::Uint(number) => i64::try_from(*number).map_err(|_| RANGE)?,
        Value::Double(number) if *number > i64::MIN as f64 && *number < i64::MAX as f64 => *number as i64,
        Value::Double(_) => return Err(RANGE),
        Value::Duration(nanos) => *nanos,
        Value::Timestamp(time) => time.as_second(),
        Value::String(text) => text
            .parse()
            .map_err(|wrong: std::num::ParseIntError| not_a_number("ParseInt", text, out_of_range(&wrong)))?,
        other => return Ok(other.clone()),
    }))
}

fn out_of_range(wrong: &std::num::ParseIntError) -> bool {
    matches!(wrong.kind(), std::num::IntErrorKind::PosOverflow | std::num::IntErrorKind::NegOverflow)
}

fn to_uint<'a>(args: &[Value<'a>]) -> Given<'a> {
    const RANGE: Error = Error::overflow("unsigned integer overflow");
    Ok(Value::Uint(match &args[0] {
        Value::Int(number) => u64::try_from(*number).map_err(|_| RANGE)?,
        Value::Double(number) if *number >= 0.0 && *number < u64::MAX as f64 => *number as u64,
        Value::Double(_) => return Err(RANGE),
        Value::String(text) => text
            .parse()
            .map_err(|wrong: std::num::ParseIntError| not_a_number("ParseUint", text, out_of_range(&wrong)))?,
        other => return Ok(other.clone()),
    }))
}

fn to_string<'a>(args: &[Value<'a>]) -> Given<'a> {
    Ok(Value::string(match &args[0] {
        Value::Bool(is) => is.to_string(),
        Value::Int(number) => number.to_string(),
        Value::Uint(number) => number.to_string(),
        Value::Double(number) => double_text(*number),
        Value::Duration(nanos) => duration_text(*nanos),
        Value::Timestamp(time) => timestamp_text(*time),
        Value::Bytes(bytes) => std::str::from_utf8(bytes)
            .map_err(|_| Error::new("invalid UTF-8 in bytes, cannot convert to string"))?
            .to_owned(),
        other => return Ok(other.clone()),
    }))
}

fn to_duration<'a>(args: &[Value<'a>]) -> Given<'a> {
    Ok(Value::Duration(match &args[0] {
        Value::Int(nanos) => *nanos,
        Value::String(text) => time::duration(text)
            .ok_or_else(|| Error::new(format!("time: invalid duration \"{}\"", text.escape_debug())))?,
        other => return Ok(other.clone()),
    }))
}

fn to_timestamp<'a>(args: &[Value<'a>]) -> Given<'a> {
    Ok(Value::Timestamp(match &args[0] {
        Value::Int(seconds) => Timestamp::from_second(*seconds)
            .ok()
            .filter(|time| time::in_range(*time))
            .ok_or(Error::overflow("timestamp overflow"))?,
        Value::String(text) => time::timestamp(text).ok_or_else(|| {
            Error::new(format!("parsing time \"{text}\" as \"2006-01-02T15:04:05Z07:00\": cannot parse it"))
        })?,
        other => return Ok(other.clone()),
    }))
}
