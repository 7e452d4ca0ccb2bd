//! Values, borrowed from the data they come from where that is possible.

mod compare;
mod key;
mod text;

use std::any::Any;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use jiff::Timestamp;
use serde_json::Value as Json;

pub use compare::{compare, equal};
pub(crate) use compare::{exhausted, with_comparisons};
pub use key::Key;
pub use text::{Text, double_text, duration_text, timestamp_text};

/// No value of more parts is made into JSON.
const LARGEST: u32 = 1 << 20;

/// A value. Cheap to clone: what is large is borrowed or shared.
#[derive(Debug, Clone)]
pub enum Value<'a> {
    /// `null`
    Null,
    /// `true`, `false`
    Bool(bool),
    /// A signed number.
    Int(i64),
    /// An unsigned number.
    Uint(u64),
    /// A floating number.
    Double(f64),
    /// Text.
    String(Text<'a>),
    /// Bytes.
    Bytes(Arc<[u8]>),
    /// A list.
    List(List<'a>),
    /// A map.
    Map(Map<'a>),
    /// A point in time.
    Timestamp(Timestamp),
    /// A length of time, in nanoseconds.
    Duration(i64),
    /// A type, by its name.
    Type(Text<'a>),
    /// A value or none.
    Optional(Option<Arc<Value<'a>>>),
    /// A message that an expression made.
    Message(Arc<Message<'a>>),
    /// A value of a host.
    Opaque(Arc<dyn Opaque>),
}

/// A value of a host, such as an address or an amount.
pub trait Opaque: Any + fmt::Debug + Send + Sync {
    /// The name of its type.
    fn type_name(&self) -> &str;
    /// Whether it is the same as another of its type.
    fn equals(&self, other: &dyn Opaque) -> bool;
    /// How large it counts for costs.
    fn size(&self) -> u64 {
        1
    }
}

/// A message that an expression made.
#[derive(Debug, Clone)]
pub struct Message<'a> {
    /// The name of its type.
    pub type_name: Arc<str>,
    /// The fields that are set.
    pub fields: BTreeMap<Arc<str>, Value<'a>>,
}

/// A list.
#[derive(Debug, Clone)]
pub enum List<'a> {
    /// Elements as they lie in JSON.
    Json(&'a [Json]),
    /// Elements of its own.
    Shared(Arc<Vec<Value<'a>>>),
}

/// A map.
#[derive(Debug, Clone)]
pub enum Map<'a> {
    /// Members as they lie in JSON.
    Json(&'a serde_json::Map<String, Json>),
    /// Entries of its own.
    Shared(Arc<BTreeMap<Key<'a>, Value<'a>>>),
}

impl<'a> From<&'a Json> for Value<'a> {
    fn from(json: &'a Json) -> Self {
        match json {
            Json::Null => Self::Null,
            Json::Bool(is) => Self::Bool(*is),
            Json::Number(number) => match number.as_i64() {
                Some(whole) => Self::Int(whole),
                None => Self::Double(number.as_f64().unwrap_or(f64::NAN)),
            },
            Json::String(text) => Self::String(Text::Borrowed(text)),
            Json::Array(elements) => Self::List(List::Json(elements)),
            Json::Object(members) => Self::Map(Map::Json(members)),
        }
    }
}

impl<'a> Value<'a> {
    /// Text of its own.
    pub fn string(text: impl Into<Arc<str>>) -> Self {
        Self::String(Text::Shared(text.into()))
    }

    /// A list of its own.
    pub fn list(elements: Vec<Self>) -> Self {
        Self::List(List::Shared(Arc::new(elements)))
    }

    /// A map of its own.
    pub fn map(entries: BTreeMap<Key<'a>, Self>) -> Self {
        Self::Map(Map::Shared(Arc::new(entries)))
    }

    /// An optional that holds this.
    #[must_use]
    pub fn some(self) -> Self {
        Self::Optional(Some(Arc::new(self)))
    }

    /// A value of a host.
    pub fn opaque(value: impl Opaque) -> Self {
        Self::Opaque(Arc::new(value))
    }

    /// Its text, if it is one.
    pub fn as_str(&self) -> Option<&str> {
        match self {
            Self::String(text) => Some(text),
            _ => None,
        }
    }

    /// The host's value of a type, if it is one.
    pub fn as_opaque<T: Opaque>(&self) -> Option<&T> {
        match self {
            Self::Opaque(value) => (&**value as &dyn Any).downcast_ref(),
            _ => None,
        }
    }

    /// The name of its type.
    pub fn type_name(&self) -> &str {
        match self {
            Self::Null => "null_type",
            Self::Bool(_) => "bool",
            Self::Int(_) => "int",
            Self::Uint(_) => "uint",
            Self::Double(_) => "double",
            Self::String(_) => "string",
            Self::Bytes(_) => "bytes",
            Self::List(_) => "list",
            Self::Map(_) => "map",
            Self::Timestamp(_) => "google.protobuf.Timestamp",
            Self::Duration(_) => "google.protobuf.Duration",
            Self::Type(_) => "type",
            Self::Optional(_) => "optional_type",
            Self::Message(message) => &message.type_name,
            Self::Opaque(opaque) => opaque.type_name(),
        }
    }

    /// As JSON. Nothing for what JSON cannot say, such as a type, and for what is larger than any object.
    pub fn to_json(&self) -> Option<Json> {
        let mut left = LARGEST;
        self.json_within(&mut left)
    }

    fn json_within(&self, left: &mut u32) -> Option<Json> {
        *left = left.checked_sub(1)?;
        Some(match self {
            Self::Null => Json::Null,
            Self::Bool(is) => Json::Bool(*is),
            Self::Int(number) => Json::from(*number),
            Self::Uint(number) => Json::from(*number),
            Self::Double(number) => Json::Number(serde_json::Number::from_f64(*number)?),
            Self::String(text) => Json::String(text.to_string()),
            Self::Bytes(bytes) => {
                use base64::Engine as _;
                Json::String(base64::engine::general_purpose::STANDARD.encode(bytes))
            }
            Self::Timestamp(time) => Json::String(timestamp_text(*time)),
            Self::Duration(nanos) => Json::String(duration_text(*nanos)),
            Self::List(list) => {
                Json::Array(list.iter().map(|element| element.json_within(left)).collect::<Option<_>>()?)
            }
            Self::Map(Map::Json(members)) => Json::Object((*members).clone()),
            Self::Map(Map::Shared(entries)) => {
                let entries = entries.iter().map(|(key, value)| Some((key.to_string(), value.json_within(left)?)));
                Json::Object(entries.collect::<Option<_>>()?)
            }
            Self::Message(message) => {
                let fields =
                    message.fields.iter().map(|(name, value)| Some((name.to_string(), value.json_within(left)?)));
                Json::Object(fields.collect::<Option<_>>()?)
            }
            Self::Optional(Some(value)) => value.json_within(left)?,
            Self::Optional(None) | Self::Type(_) | Self::Opaque(_) => return None,
        })
    }
}

impl<'a> List<'a> {
    /// How many elements.
    pub fn len(&self) -> usize {
        match self {
            Self::Json(elements) => elements.len(),
            Self::Shared(elements) => elements.len(),
        }
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The element at an index.
    pub fn get(&self, index: usize) -> Option<Value<'a>> {
        match self {
            Self::Json(elements) => elements.get(index).map(Value::from),
            Self::Shared(elements) => elements.get(index).cloned(),
        }
    }

    /// All elements, in order.
    pub fn iter(&self) -> impl Iterator<Item = Value<'a>> + '_ {
        (0..self.len()).filter_map(|index| self.get(index))
    }
}

impl<'a> Map<'a> {
    /// How many entries.
    pub fn len(&self) -> usize {
        match self {
            Self::Json(members) => members.len(),
            Self::Shared(entries) => entries.len(),
        }
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The value of a field.
    pub fn field(&self, name: &str) -> Option<Value<'a>> {
        match self {
            Self::Json(members) => members.get(name).map(Value::from),
            Self::Shared(entries) => entries.get(&Key::String(Text::Borrowed(name))).cloned(),
        }
    }

    /// The value of a key; numbers of any type find each other.
    pub fn get(&self, key: &Value<'_>) -> Option<Value<'a>> {
        match (self, key) {
            (_, Value::String(name)) => self.field(name),
            (Self::Json(_), _) => None,
            (Self::Shared(entries), key) => entries.get(&Key::of(key.clone())?).cloned(),
        }
    }

    /// All entries.
    pub fn entries(&self) -> Vec<(Value<'a>, Value<'a>)> {
        match self {
            Self::Json(members) => {
                members.iter().map(|(name, value)| (Value::String(Text::Borrowed(name)), Value::from(value))).collect()
            }
            Self::Shared(entries) => {
                entries.iter().map(|(key, value)| (key.clone().into_value(), value.clone())).collect()
            }
        }
    }
}
