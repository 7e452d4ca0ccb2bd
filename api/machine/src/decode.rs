//! From the tree to the raw document, collecting every field that does not fit.
//!
//! serde stops at the first error. So the tree is read again without the field that failed, until the rest fits: each
//! round removes one field, hence the number of rounds is bounded by [`MAX_PROBLEMS`].

use std::collections::HashSet;
use std::fmt;

use serde::de::value::StrDeserializer;
use serde::de::{self, DeserializeSeed, Deserializer, Expected, IntoDeserializer, MapAccess, SeqAccess, Unexpected};
use serde::de::{Deserialize, Visitor};
use serde::forward_to_deserialize_any;

use crate::Problem;
use crate::tree::{Key, Node, Value};

/// After this many wrong fields the rest is not looked at: the document is not a machine config at all.
const MAX_PROBLEMS: usize = 100;

/// Reads what fits, and lists what does not.
pub(crate) fn decode<'de, T: Deserialize<'de> + Default>(tree: &'de Node) -> (T, Vec<Problem>) {
    let mut problems = Vec::new();
    let mut left_out = HashSet::new();
    while problems.len() < MAX_PROBLEMS {
        match T::deserialize(At { node: tree, left_out: &left_out }) {
            Ok(document) => return (document, problems),
            Err(fault) => {
                let (path, line) = fault.place.unwrap_or_default();
                let stuck = path.is_empty() || !left_out.insert(path.clone());
                problems.push(Problem { line, path, message: fault.message });
                if stuck {
                    break;
                }
            }
        }
    }
    (T::default(), problems)
}

/// Why a field does not fit, and which one it is.
#[derive(Debug)]
struct Fault {
    message: String,
    place: Option<(String, u64)>,
}

impl Fault {
    /// Names the field, unless a field further inside is already named.
    fn at(mut self, path: impl FnOnce() -> String, line: u64) -> Self {
        if self.place.is_none() {
            self.place = Some((path(), line));
        }
        self
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Fault {}

impl de::Error for Fault {
    fn custom<T: fmt::Display>(message: T) -> Self {
        Self { message: message.to_string(), place: None }
    }

    fn invalid_type(unexpected: Unexpected<'_>, expected: &dyn Expected) -> Self {
        Self::custom(format!("must be {}, is {}", wording(expected), found(&unexpected)))
    }

    fn invalid_value(unexpected: Unexpected<'_>, expected: &dyn Expected) -> Self {
        Self::invalid_type(unexpected, expected)
    }

    fn unknown_field(_: &str, known: &'static [&'static str]) -> Self {
        Self::custom(format!("there is no such field (known are {})", known.join(", ")))
    }
}

fn wording(expected: &dyn Expected) -> String {
    match expected.to_string().as_str() {
        "u8" | "u16" | "u32" | "u64" => "a whole number in range".to_owned(),
        "a boolean" => "true or false".to_owned(),
        "a string" => "a text".to_owned(),
        "a sequence" => "a list".to_owned(),
        other => other.to_owned(),
    }
}

fn found(unexpected: &Unexpected<'_>) -> String {
    match unexpected {
        Unexpected::Str(text) => format!("the text {text:?}"),
        Unexpected::Unsigned(number) => format!("the number {number}"),
        Unexpected::Signed(number) => format!("the number {number}"),
        Unexpected::Float(number) => format!("the number {number}"),
        Unexpected::Bool(value) => value.to_string(),
        Unexpected::Seq => "a list".to_owned(),
        Unexpected::Map => "a section with fields".to_owned(),
        Unexpected::Unit | Unexpected::Option => "empty".to_owned(),
        other => other.to_string(),
    }
}

/// A place in the tree that serde reads from.
#[derive(Clone, Copy)]
struct At<'de, 'a> {
    node: &'de Node,
    left_out: &'a HashSet<String>,
}

impl<'de> At<'de, '_> {
    fn visit<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        match &self.node.value {
            Value::Null => visitor.visit_unit(),
            Value::Bool(value) => visitor.visit_bool(*value),
            Value::Unsigned(value) => visitor.visit_u64(*value),
            Value::Signed(value) => visitor.visit_i64(*value),
            Value::Float(value) => visitor.visit_f64(*value),
            Value::Text(value) => visitor.visit_borrowed_str(value),
            Value::List(items) => visitor.visit_seq(Items { rest: items.iter(), left_out: self.left_out }),
            Value::Map(fields) => {
                visitor.visit_map(Fields { rest: fields.iter(), value: None, left_out: self.left_out })
            }
        }
    }
}

impl<'de> Deserializer<'de> for At<'de, '_> {
    type Error = Fault;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        self.visit(visitor).map_err(|fault| fault.at(|| self.node.path.clone(), self.node.line))
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        match self.node.value {
            Value::Null => visitor.visit_none(),
            _ => visitor.visit_some(self),
        }
    }

    /// serde would also fill a struct from a list, by position; a config is not written that way.
    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Fault> {
        if matches!(self.node.value, Value::List(_)) {
            let fault: Fault = de::Error::invalid_type(Unexpected::Seq, &visitor);
            return Err(fault.at(|| self.node.path.clone(), self.node.line));
        }
        self.deserialize_any(visitor)
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf unit unit_struct
        newtype_struct seq tuple tuple_struct map enum identifier ignored_any
    }
}

struct Items<'de, 'a> {
    rest: std::slice::Iter<'de, Node>,
    left_out: &'a HashSet<String>,
}

impl<'de> SeqAccess<'de> for Items<'de, '_> {
    type Error = Fault;

    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, Fault> {
        match self.rest.by_ref().find(|node| !self.left_out.contains(&node.path)) {
            Some(node) => seed.deserialize(At { node, left_out: self.left_out }).map(Some),
            None => Ok(None),
        }
    }
}

struct Fields<'de, 'a> {
    rest: std::slice::Iter<'de, (Key, Node)>,
    value: Option<&'de Node>,
    left_out: &'a HashSet<String>,
}

impl<'de> MapAccess<'de> for Fields<'de, '_> {
    type Error = Fault;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, Fault> {
        let Some((key, node)) = self.rest.by_ref().find(|(_, node)| !self.left_out.contains(&node.path)) else {
            return Ok(None);
        };
        self.value = Some(node);
        let name: StrDeserializer<'_, Fault> = key.name.as_str().into_deserializer();
        seed.deserialize(name).map(Some).map_err(|fault| fault.at(|| node.path.clone(), key.line))
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, Fault> {
        let node = self.value.take().ok_or_else(|| de::Error::custom("a value was read before its name"))?;
        seed.deserialize(At { node, left_out: self.left_out })
    }
}
