//! `'%s is %d'.format([a, b])`

use super::Given;
use crate::error::Error;
use crate::value::{Value, double_text, duration_text, timestamp_text};

/// No number is written with more digits after its point.
const FINEST: usize = 1000;

pub(super) fn apply<'a>(args: &[Value<'a>]) -> Given<'a> {
    let [Value::String(pattern), Value::List(given)] = args else { return Err(Error::no_such_overload()) };
    let mut out = String::with_capacity(pattern.len());
    let mut rest = &**pattern;
    let mut next = 0;
    while let Some(at) = rest.find('%') {
        out.push_str(&rest[..at]);
        rest = &rest[at + 1..];
        if let Some(after) = rest.strip_prefix('%') {
            out.push('%');
            rest = after;
            continue;
        }
        let value = given.get(next).ok_or_else(|| Error::new(format!("index {next} out of range")))?;
        next += 1;
        let mut precision = None;
        if let Some(after) = rest.strip_prefix('.') {
            let end = after.find(|c: char| !c.is_ascii_digit()).unwrap_or(after.len());
            let digits = after[..end].parse::<usize>().ok().filter(|digits| *digits <= FINEST);
            precision = Some(digits.ok_or_else(|| Error::new("error while parsing precision"))?);
            rest = &after[end..];
        }
        let Some(verb) = rest.chars().next() else { return Err(Error::new("unexpected end of string")) };
        rest = &rest[verb.len_utf8()..];
        out.push_str(&written(verb, precision, &value)?);
        if out.len() > 32 << 20 {
            return Err(Error::CostLimit);
        }
    }
    out.push_str(rest);
    Ok(Value::string(out))
}

#[allow(clippy::match_same_arms, reason = "a table, row by row")]
fn written(verb: char, precision: Option<usize>, value: &Value<'_>) -> Result<String, Error> {
    let wrong = |allowed: &str| {
        Error::new(format!(
            "error during formatting: {allowed} clause can only be used on {}, was given {}",
            match allowed {
                "decimal" => "integers",
                "hex" => "integers, byte buffers, and strings",
                "octal" => "integers",
                "binary" => "integers and bools",
                _ => "doubles",
            },
            value.type_name()
        ))
    };
    Ok(match (verb, value) {
        ('s', value) => shown(value)?,
        ('d', Value::Int(number)) => number.to_string(),
        ('d', Value::Uint(number)) => number.to_string(),
        ('d' | 'f', Value::Double(number)) if !number.is_finite() => infinite(*number),
        ('d', _) => return Err(wrong("decimal")),
        ('f', Value::Double(number)) => format!("{number:.*}", precision.unwrap_or(6)),
        ('f', _) => return Err(wrong("fixed-point")),
        ('e', Value::Double(number)) if !number.is_finite() => infinite(*number),
        ('e', Value::Double(number)) => scientific(*number, precision.unwrap_or(6)),
        ('e', _) => return Err(wrong("scientific")),
        ('b', Value::Bool(is)) => u8::from(*is).to_string(),
        ('b', Value::Int(number)) => based(*number, |size| format!("{size:b}")),
        ('b', Value::Uint(number)) => format!("{number:b}"),
        ('b', _) => return Err(wrong("binary")),
        ('o', Value::Int(number)) => based(*number, |size| format!("{size:o}")),
        ('o', Value::Uint(number)) => format!("{number:o}"),
        ('o', _) => return Err(wrong("octal")),
        ('x' | 'X', value) => {
            let text = match value {
                Value::Int(number) => based(*number, |size| format!("{size:x}")),
                Value::Uint(number) => format!("{number:x}"),
                Value::String(text) => hex(text.as_bytes()),
                Value::Bytes(bytes) => hex(bytes),
                _ => return Err(wrong("hex")),
            };
            if verb == 'X' { text.to_ascii_uppercase() } else { text }
        }
        (other, _) => {
            return Err(Error::new(format!(
                "could not parse formatting clause: unrecognized formatting clause \"{other}\""
            )));
        }
    })
}

fn infinite(number: f64) -> String {
    if number.is_nan() {
        "NaN"
    } else if number > 0.0 {
        "Infinity"
    } else {
        "-Infinity"
    }
    .to_owned()
}

fn scientific(number: f64, precision: usize) -> String {
    let text = format!("{number:.precision$e}");
    let (digits, exponent) = text.split_once('e').unwrap_or((&text, "0"));
    let (sign, exponent) = match exponent.strip_prefix('-') {
        Some(exponent) => ('-', exponent),
        None => ('+', exponent),
    };
    format!("{digits}e{sign}{exponent:0>2}")
}

fn based(number: i64, write: fn(u64) -> String) -> String {
    let size = write(number.unsigned_abs());
    if number < 0 { format!("-{size}") } else { size }
}

fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut out, byte| {
        let _ = write!(out, "{byte:02x}");
        out
    })
}

/// Lists that hold a list twice are soon larger than any memory.
fn within(text: String) -> Result<String, Error> {
    if text.len() > 32 << 20 { Err(Error::CostLimit) } else { Ok(text) }
}

#[allow(clippy::match_same_arms, reason = "a table, row by row")]
fn shown(value: &Value<'_>) -> Result<String, Error> {
    Ok(match value {
        Value::Null => "null".to_owned(),
        Value::Bool(is) => is.to_string(),
        Value::Int(number) => number.to_string(),
        Value::Uint(number) => number.to_string(),
        Value::Double(number) if !number.is_finite() => infinite(*number),
        Value::Double(number) => double_text(*number),
        Value::String(text) | Value::Type(text) => text.to_string(),
        Value::Bytes(bytes) => String::from_utf8_lossy(bytes).into_owned(),
        Value::Timestamp(time) => timestamp_text(*time),
        Value::Duration(nanos) => duration_text(*nanos),
        Value::List(list) => {
            let parts = list.iter().map(|element| shown(&element)).collect::<Result<Vec<_>, _>>()?;
            within(format!("[{}]", parts.join(", ")))?
        }
        Value::Map(map) => {
            let mut parts = map
                .entries()
                .iter()
                .map(|(key, value)| Ok(format!("{}: {}", shown(key)?, shown(value)?)))
                .collect::<Result<Vec<_>, Error>>()?;
            parts.sort();
            within(format!("{{{}}}", parts.join(", ")))?
        }
        Value::Optional(_) | Value::Message(_) | Value::Opaque(_) => {
            return Err(Error::new(format!(
                "error during formatting: string clause can only be used on strings, bools, bytes, ints, doubles, maps, \
                 lists, types, durations, and timestamps, was given {}",
                value.type_name()
            )));
        }
    })
}
