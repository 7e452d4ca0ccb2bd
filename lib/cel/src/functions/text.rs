//! Texts.

use super::{Given, format};
use crate::cost;
use crate::environment::Library;
use crate::error::Error;
use crate::regular;
use crate::types::Type;
use crate::value::{Text, Value};

/// No text that an expression makes is longer, in bytes: what costs little must not take all memory.
const LONGEST: usize = 32 << 20;

/// What every environment has.
pub(super) fn standard(library: Library) -> Library {
    use Type::{Bool, String};
    library
        .member("contains", "contains_string", &[String, String], Bool, |args| {
            test(args, |text, part| text.contains(part))
        })
        .costing(cost::search)
        .member("endsWith", "ends_with_string", &[String, String], Bool, |args| {
            test(args, |text, part| text.ends_with(part))
        })
        .costing(cost::traversal)
        .member("startsWith", "starts_with_string", &[String, String], Bool, |args| {
            test(args, |text, part| text.starts_with(part))
        })
        .costing(cost::traversal)
        .member("matches", "matches_string", &[String, String], Bool, matches)
        .costing(cost::pattern)
        .global("matches", "matches", &[String, String], Bool, matches)
        .costing(cost::pattern)
}

/// The extension for texts, in its second version.
pub fn strings() -> Library {
    use Type::{Int, String};
    let list = Type::list(String);
    Library::default()
        .member("charAt", "string_char_at_int", &[String, Int], String, char_at)
        .member("indexOf", "string_index_of_string", &[String, String], Int, index_of)
        .costing(cost::traversal)
        .member("indexOf", "string_index_of_string_int", &[String, String, Int], Int, index_of)
        .costing(cost::traversal)
        .member("lastIndexOf", "string_last_index_of_string", &[String, String], Int, last_index_of)
        .costing(cost::traversal)
        .member("lastIndexOf", "string_last_index_of_string_int", &[String, String, Int], Int, last_index_of)
        .costing(cost::traversal)
        .member("join", "list_join", std::slice::from_ref(&list), String, join)
        .costing(cost::result_twice)
        .member("join", "list_join_string", &[list.clone(), String], String, join)
        .costing(cost::result_twice)
        .member("lowerAscii", "string_lower_ascii", &[String], String, |args| map(args, str::to_ascii_lowercase))
        .costing(cost::traversal)
        .member("upperAscii", "string_upper_ascii", &[String], String, |args| map(args, str::to_ascii_uppercase))
        .costing(cost::traversal)
        .member("trim", "string_trim", &[String], String, |args| map(args, |text| text.trim().to_owned()))
        .costing(cost::traversal)
        .member("reverse", "string_reverse", &[String], String, |args| map(args, |text| text.chars().rev().collect()))
        .costing(cost::traversal)
        .member("replace", "string_replace_string_string", &[String, String, String], String, replace)
        .costing(cost::twice)
        .member("replace", "string_replace_string_string_int", &[String, String, String, Int], String, replace)
        .costing(cost::twice)
        .member("split", "string_split_string", &[String, String], list.clone(), split)
        .costing(cost::twice)
        .member("split", "string_split_string_int", &[String, String, Int], list, split)
        .costing(cost::twice)
        .member("substring", "string_substring_int", &[String, Int], String, substring)
        .costing(cost::traversal)
        .member("substring", "string_substring_int_int", &[String, Int, Int], String, substring)
        .costing(cost::traversal)
        .member("format", "string_format", &[String, Type::list(Type::Dyn)], String, format::apply)
        .costing(|args, result| cost::ceil_tenth(cost::size(&args[0]).max(cost::size(result))))
        .global("strings.quote", "strings_quote", &[String], String, |args| map(args, quote))
        .costing(cost::traversal)
}

fn text<'v>(value: &'v Value<'_>) -> Result<&'v str, Error> {
    value.as_str().ok_or(Error::no_such_overload())
}

fn test<'a>(args: &[Value<'a>], holds: fn(&str, &str) -> bool) -> Given<'a> {
    Ok(Value::Bool(holds(text(&args[0])?, text(&args[1])?)))
}

fn matches<'a>(args: &[Value<'a>]) -> Given<'a> {
    let pattern = regular::compile(text(&args[1])?).map_err(Error::new)?;
    Ok(Value::Bool(pattern.is_match(text(&args[0])?)))
}

fn map<'a>(args: &[Value<'a>], to: fn(&str) -> String) -> Given<'a> {
    Ok(Value::string(to(text(&args[0])?)))
}

fn out_of_range(at: i64) -> Error {
    Error::new(format!("index out of range: {at}"))
}

/// The byte at which a character begins; the end counts as one.
fn byte_at(text: &str, at: i64) -> Result<usize, Error> {
    let place = usize::try_from(at).map_err(|_| out_of_range(at))?;
    text.char_indices().map(|(byte, _)| byte).chain([text.len()]).nth(place).ok_or_else(|| out_of_range(at))
}

fn char_at<'a>(args: &[Value<'a>]) -> Given<'a> {
    let (text, Value::Int(at)) = (text(&args[0])?, &args[1]) else { return Err(Error::no_such_overload()) };
    let byte = byte_at(text, *at)?;
    Ok(Value::string(text[byte..].chars().next().map(String::from).unwrap_or_default()))
}

fn characters(text: &str, until: Option<usize>) -> Value<'static> {
    Value::Int(until.map_or(-1, |until| text[..until].chars().count() as i64))
}

fn index_of<'a>(args: &[Value<'a>]) -> Given<'a> {
    let (text, part) = (text(&args[0])?, text(&args[1])?);
    let from = match args.get(2) {
        Some(Value::Int(at)) if part.is_empty() && byte_at(text, *at).is_ok() => return Ok(Value::Int(*at)),
        Some(Value::Int(at)) => byte_at(text, *at)?,
        _ => 0,
    };
    Ok(characters(text, text[from..].find(part).map(|at| from + at)))
}

fn last_index_of<'a>(args: &[Value<'a>]) -> Given<'a> {
    let (text, part) = (text(&args[0])?, text(&args[1])?);
    let Some(Value::Int(at)) = args.get(2) else { return Ok(characters(text, text.rfind(part))) };
    // It must begin there or before.
    let last = byte_at(text, *at)?;
    let end = (last + part.len()).min(text.len());
    let end = (end..=text.len()).find(|end| text.is_char_boundary(*end)).unwrap_or(text.len());
    let found = text[..end].rmatch_indices(part).map(|(at, _)| at).find(|at| *at <= last);
    Ok(characters(text, found))
}

fn join<'a>(args: &[Value<'a>]) -> Given<'a> {
    let [Value::List(list), rest @ ..] = args else { return Err(Error::no_such_overload()) };
    let separator = rest.first().map(text).transpose()?.unwrap_or_default();
    let mut joined = String::new();
    for (index, element) in list.iter().enumerate() {
        if index > 0 {
            joined.push_str(separator);
        }
        joined.push_str(
            element.as_str().ok_or_else(|| Error::new(format!("join: invalid input: {}", element.type_name())))?,
        );
        if joined.len() > LONGEST {
            return Err(Error::CostLimit);
        }
    }
    Ok(Value::string(joined))
}

fn replace<'a>(args: &[Value<'a>]) -> Given<'a> {
    let (text, from, to) = (text(&args[0])?, text(&args[1])?, text(&args[2])?);
    let most = match args.get(3) {
        Some(Value::Int(most)) => usize::try_from(*most).unwrap_or(usize::MAX),
        _ => usize::MAX,
    };
    let count = text.matches(from).take(most).count();
    if text.len().saturating_add(count.saturating_mul(to.len())) > LONGEST {
        return Err(Error::CostLimit);
    }
    Ok(Value::string(text.replacen(from, to, most)))
}

fn split<'a>(args: &[Value<'a>]) -> Given<'a> {
    let (text, separator) = (text(&args[0])?, text(&args[1])?);
    let most = match args.get(2) {
        Some(Value::Int(0)) => return Ok(Value::list(Vec::new())),
        Some(Value::Int(most)) => usize::try_from(*most).unwrap_or(usize::MAX),
        _ => usize::MAX,
    };
    let part = |text: &str| Value::String(Text::Shared(text.into()));
    let parts = if separator.is_empty() {
        let mut parts = Vec::new();
        let mut rest = text;
        while let Some(character) = rest.chars().next() {
            if parts.len() + 1 >= most {
                parts.push(part(rest));
                break;
            }
            parts.push(part(&rest[..character.len_utf8()]));
            rest = &rest[character.len_utf8()..];
        }
        parts
    } else {
        text.splitn(most, separator).map(part).collect()
    };
    Ok(Value::list(parts))
}

fn substring<'a>(args: &[Value<'a>]) -> Given<'a> {
    let (text, Value::Int(from)) = (text(&args[0])?, &args[1]) else { return Err(Error::no_such_overload()) };
    let start = byte_at(text, *from)?;
    let end = match args.get(2) {
        Some(Value::Int(to)) => {
            let end = byte_at(text, *to)?;
            if to < from {
                return Err(Error::new(format!("invalid substring range. start: {from}, end: {to}")));
            }
            end
        }
        _ => text.len(),
    };
    Ok(Value::string(&text[start..end]))
}

fn quote(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len() + 2);
    quoted.push('"');
    for character in text.chars() {
        match character {
            '\u{7}' => quoted.push_str("\\a"),
            '\u{8}' => quoted.push_str("\\b"),
            '\u{c}' => quoted.push_str("\\f"),
            '\n' => quoted.push_str("\\n"),
            '\r' => quoted.push_str("\\r"),
            '\t' => quoted.push_str("\\t"),
            '\u{b}' => quoted.push_str("\\v"),
            '\\' => quoted.push_str("\\\\"),
            '"' => quoted.push_str("\\\""),
            other => quoted.push(other),
        }
    }
    quoted.push('"');
    quoted
}
