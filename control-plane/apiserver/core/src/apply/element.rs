//! One step of a path to a field.

use std::fmt;

use serde_json::{Map, Value};

/// A scalar that tells the elements of a list apart. In the order upstream gives them, numbers first.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Scalar {
    /// A whole number.
    Integer(i64),
    /// A string.
    Text(String),
    /// A boolean.
    Flag(bool),
    /// Anything else, as JSON. Our schemas have no such keys; what a client sends may.
    Other(String),
}

impl Scalar {
    /// The scalar in a tree.
    pub fn of(value: &Value) -> Self {
        match value {
            Value::String(text) => Self::Text(text.clone()),
            Value::Bool(flag) => Self::Flag(*flag),
            Value::Number(number) => number.as_i64().map_or_else(|| Self::Other(number.to_string()), Self::Integer),
            Value::Null | Value::Array(_) | Value::Object(_) => Self::Other(value.to_string()),
        }
    }

    fn to_json(&self) -> String {
        match self {
            Self::Integer(number) => number.to_string(),
            Self::Text(text) => Value::from(text.as_str()).to_string(),
            Self::Flag(flag) => flag.to_string(),
            Self::Other(json) => json.clone(),
        }
    }
}

/// One step: to a member of a map or struct, or to an element of a list. In upstream's order.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum PathElement {
    /// A member by name.
    Field(String),
    /// The element of a keyed list with these keys, ordered by name.
    Key(Vec<(String, Scalar)>),
    /// The element of a set with this value.
    Value(Scalar),
    /// The element at a place. Known on the wire; no list of ours is owned by place.
    Index(i64),
}

impl PathElement {
    /// A member by name.
    pub fn field(name: &str) -> Self {
        Self::Field(name.to_owned())
    }

    /// Whether a step of a path is this: the name of a member, or `*` for an element of a list.
    pub(super) fn fits(&self, step: &str) -> bool {
        match self {
            Self::Field(name) => step == name,
            Self::Key(_) | Self::Value(_) | Self::Index(_) => step == "*",
        }
    }

    /// Reads the form in `fieldsV1`: `f:name`, `k:{"name":"a"}`, `v:1`, `i:0`.
    ///
    /// # Errors
    ///
    /// What is wrong, as text.
    pub fn parse(text: &str) -> Result<Self, String> {
        let Some((kind, content)) = text.split_at_checked(2) else {
            return Err("key must be 2 characters long:".to_owned());
        };
        let json = || serde_json::from_str::<Value>(content).map_err(|error| error.to_string());
        match kind {
            "f:" => Ok(Self::field(content)),
            "k:" => {
                let keys: Map<String, Value> = serde_json::from_str(content).map_err(|error| error.to_string())?;
                let mut keys: Vec<(String, Scalar)> =
                    keys.iter().map(|(name, value)| (name.clone(), Scalar::of(value))).collect();
                keys.sort();
                Ok(Self::Key(keys))
            }
            "v:" => Ok(Self::Value(Scalar::of(&json()?))),
            "i:" => content.parse().map(Self::Index).map_err(|_| format!("no index: {content}")),
            _ if !kind.ends_with(':') => Err(format!("missing colon: {text}")),
            _ => Err("unknown path element type".to_owned()),
        }
    }

    /// The form in `fieldsV1`.
    pub fn to_text(&self) -> String {
        match self {
            Self::Field(name) => format!("f:{name}"),
            Self::Key(keys) => {
                let keys: Vec<String> = keys
                    .iter()
                    .map(|(name, value)| format!("{}:{}", Value::from(name.as_str()), value.to_json()))
                    .collect();
                format!("k:{{{}}}", keys.join(","))
            }
            Self::Value(value) => format!("v:{}", value.to_json()),
            Self::Index(at) => format!("i:{at}"),
        }
    }
}

/// As messages show it: `.spec`, `[name="a"]`, `[="x"]`, `[0]`.
impl fmt::Display for PathElement {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Field(name) => write!(out, ".{name}"),
            Self::Key(keys) => {
                let keys: Vec<String> =
                    keys.iter().map(|(name, value)| format!("{name}={}", value.to_json())).collect();
                write!(out, "[{}]", keys.join(","))
            }
            Self::Value(value) => write!(out, "[={}]", value.to_json()),
            Self::Index(at) => write!(out, "[{at}]"),
        }
    }
}

/// A whole path as messages show it: `.spec.containers[name="a"].image`.
pub(super) fn display(path: &[&PathElement]) -> String {
    path.iter().map(ToString::to_string).collect()
}
