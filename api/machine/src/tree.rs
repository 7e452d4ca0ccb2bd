//! A YAML document as a tree in which every node knows its path and its line.

use std::fmt;

use serde::de::{self, Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_saphyr::Spanned;

use crate::{MAX_BYTES, Problem};

/// One value of the document.
#[derive(Debug, Clone)]
pub(crate) struct Node {
    pub(crate) path: String,
    pub(crate) line: u64,
    pub(crate) value: Value,
}

/// What a node holds.
#[derive(Debug, Clone)]
pub(crate) enum Value {
    Null,
    Bool(bool),
    Unsigned(u64),
    Signed(i64),
    Float(f64),
    Text(String),
    List(Vec<Node>),
    Map(Vec<(Key, Node)>),
}

/// The name of a field.
#[derive(Debug, Clone)]
pub(crate) struct Key {
    pub(crate) name: String,
    pub(crate) line: u64,
}

impl Node {
    /// Reads a document. A syntax error is the only problem that hides others: after it nothing is known.
    pub(crate) fn parse(text: &str) -> Result<Self, Problem> {
        let problem = |line, message| Problem { line, path: String::new(), message };
        if text.len() > MAX_BYTES {
            return Err(problem(0, format!("the document is larger than {MAX_BYTES} bytes")));
        }
        if text.trim().is_empty() {
            return Err(problem(0, "the document is empty".to_owned()));
        }
        let parsed: Spanned<Parsed> = serde_saphyr::from_str(text).map_err(|error| {
            let line = error.location().map_or(0, |location| location.line());
            let message = error.without_snippet().to_string();
            problem(line, message.lines().next().unwrap_or("not YAML").to_owned())
        })?;
        Ok(Self::place(parsed, String::new()))
    }

    /// The line of the field at `path`, or of the nearest section above it that exists.
    pub(crate) fn line_of(&self, path: &str) -> u64 {
        let inside = |node: &Self| {
            node.path.is_empty()
                || path == node.path
                || path.strip_prefix(&node.path).is_some_and(|rest| rest.starts_with(['.', '[']))
        };
        let child = match &self.value {
            Value::List(items) => items.iter().find(|item| inside(item)),
            Value::Map(fields) => fields.iter().map(|(_, node)| node).find(|node| inside(node)),
            Value::Null | Value::Bool(_) | Value::Unsigned(_) | Value::Signed(_) | Value::Float(_) | Value::Text(_) => {
                None
            }
        };
        child.map_or(self.line, |child| child.line_of(path))
    }

    fn place(parsed: Spanned<Parsed>, path: String) -> Self {
        let line = parsed.referenced.line();
        let value = match parsed.value {
            Parsed::Null => Value::Null,
            Parsed::Bool(value) => Value::Bool(value),
            Parsed::Unsigned(value) => Value::Unsigned(value),
            Parsed::Signed(value) => Value::Signed(value),
            Parsed::Float(value) => Value::Float(value),
            Parsed::Text(value) => Value::Text(value),
            Parsed::List(items) => Value::List(
                items
                    .into_iter()
                    .enumerate()
                    .map(|(index, item)| Self::place(item, format!("{path}[{index}]")))
                    .collect(),
            ),
            Parsed::Map(fields) => Value::Map(
                fields
                    .into_iter()
                    .map(|(key, node)| {
                        let inner = if path.is_empty() { key.value.clone() } else { format!("{path}.{}", key.value) };
                        let key = Key { name: key.value, line: key.referenced.line() };
                        // A section starts at its name, not at its first field a line below.
                        let mut node = Self::place(node, inner);
                        node.line = key.line;
                        (key, node)
                    })
                    .collect(),
            ),
        };
        Self { path, line, value }
    }
}

/// The tree as the YAML parser gives it, before paths are known.
enum Parsed {
    Null,
    Bool(bool),
    Unsigned(u64),
    Signed(i64),
    Float(f64),
    Text(String),
    List(Vec<Spanned<Parsed>>),
    Map(Vec<(Spanned<String>, Spanned<Parsed>)>),
}

impl<'de> Deserialize<'de> for Parsed {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ParsedVisitor)
    }
}

struct ParsedVisitor;

impl<'de> Visitor<'de> for ParsedVisitor {
    type Value = Parsed;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a YAML value")
    }

    fn visit_unit<E: de::Error>(self) -> Result<Parsed, E> {
        Ok(Parsed::Null)
    }

    fn visit_none<E: de::Error>(self) -> Result<Parsed, E> {
        Ok(Parsed::Null)
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Parsed, D::Error> {
        Parsed::deserialize(deserializer)
    }

    fn visit_bool<E: de::Error>(self, value: bool) -> Result<Parsed, E> {
        Ok(Parsed::Bool(value))
    }

    fn visit_u64<E: de::Error>(self, value: u64) -> Result<Parsed, E> {
        Ok(Parsed::Unsigned(value))
    }

    fn visit_i64<E: de::Error>(self, value: i64) -> Result<Parsed, E> {
        Ok(u64::try_from(value).map_or(Parsed::Signed(value), Parsed::Unsigned))
    }

    fn visit_f64<E: de::Error>(self, value: f64) -> Result<Parsed, E> {
        Ok(Parsed::Float(value))
    }

    fn visit_str<E: de::Error>(self, value: &str) -> Result<Parsed, E> {
        Ok(Parsed::Text(value.to_owned()))
    }

    fn visit_string<E: de::Error>(self, value: String) -> Result<Parsed, E> {
        Ok(Parsed::Text(value))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut access: A) -> Result<Parsed, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = access.next_element()? {
            items.push(item);
        }
        Ok(Parsed::List(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Parsed, A::Error> {
        let mut fields = Vec::new();
        while let Some(field) = access.next_entry()? {
            fields.push(field);
        }
        Ok(Parsed::Map(fields))
    }
}
