//! Keys of maps.

use std::cmp::Ordering;
use std::fmt;

use super::{Text, Value};

/// A key of a map. Numbers of different types are the same key if they are the same number.
#[derive(Debug, Clone)]
pub enum Key<'a> {
    /// `true`, `false`
    Bool(bool),
    /// A signed number.
    Int(i64),
    /// An unsigned number.
    Uint(u64),
    /// Text.
    String(Text<'a>),
}

impl<'a> Key<'a> {
    /// The value as a key, if it may be one.
    pub fn of(value: Value<'a>) -> Option<Self> {
        Some(match value {
            Value::Bool(is) => Self::Bool(is),
            Value::Int(number) => Self::Int(number),
            Value::Uint(number) => Self::Uint(number),
            Value::String(text) => Self::String(text),
            Value::Double(number) if number.fract() == 0.0 && number.abs() < 9.3e18 => {
                let whole = number as i128;
                i64::try_from(whole).map(Self::Int).or_else(|_| u64::try_from(whole).map(Self::Uint)).ok()?
            }
            _ => return None,
        })
    }

    /// The key as a value.
    pub fn into_value(self) -> Value<'a> {
        match self {
            Self::Bool(is) => Value::Bool(is),
            Self::Int(number) => Value::Int(number),
            Self::Uint(number) => Value::Uint(number),
            Self::String(text) => Value::String(text),
        }
    }

    fn number(&self) -> Option<i128> {
        match self {
            Self::Int(number) => Some(i128::from(*number)),
            Self::Uint(number) => Some(i128::from(*number)),
            Self::Bool(_) | Self::String(_) => None,
        }
    }
}

impl Ord for Key<'_> {
    fn cmp(&self, other: &Self) -> Ordering {
        match (self, other) {
            (Self::Bool(one), Self::Bool(other)) => one.cmp(other),
            (Self::String(one), Self::String(other)) => (**one).cmp(&**other),
            (Self::Bool(_), _) | (_, Self::String(_)) => Ordering::Less,
            (_, Self::Bool(_)) | (Self::String(_), _) => Ordering::Greater,
            (one, other) => one.number().cmp(&other.number()),
        }
    }
}

impl PartialOrd for Key<'_> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Key<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Key<'_> {}

impl fmt::Display for Key<'_> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bool(is) => is.fmt(out),
            Self::Int(number) => number.fmt(out),
            Self::Uint(number) => number.fmt(out),
            Self::String(text) => text.fmt(out),
        }
    }
}
