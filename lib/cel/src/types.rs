//! Types, and which fits where.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use crate::value::Value;

/// A type.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Type {
    /// Known only when evaluated.
    Dyn,
    /// Of an expression that is wrong.
    Error,
    /// Of `null`.
    Null,
    /// `bool`
    Bool,
    /// `int`: 64 bits, signed.
    Int,
    /// `uint`: 64 bits, unsigned.
    Uint,
    /// `double`
    Double,
    /// `string`
    String,
    /// `bytes`
    Bytes,
    /// A point in time.
    Timestamp,
    /// A length of time.
    Duration,
    /// A list of one type.
    List(Arc<Type>),
    /// A map from one type to one type.
    Map(Arc<(Type, Type)>),
    /// A message, by its name.
    Object(Arc<str>),
    /// A type of a host, or `optional_type`.
    Opaque(Arc<str>, Arc<[Type]>),
    /// A type as a value.
    Type(Arc<Type>),
    /// A parameter in the declaration of a function.
    Param(&'static str),
    /// What a parameter stands for in one call.
    Var(u32),
}

impl Type {
    /// A list.
    pub fn list(element: Self) -> Self {
        Self::List(Arc::new(element))
    }

    /// A map.
    pub fn map(key: Self, value: Self) -> Self {
        Self::Map(Arc::new((key, value)))
    }

    /// A type of a host without parameters.
    pub fn opaque(name: &str) -> Self {
        Self::Opaque(name.into(), Arc::new([]))
    }

    /// A message.
    pub fn object(name: &str) -> Self {
        Self::Object(name.into())
    }

    /// An optional.
    pub fn optional(of: Self) -> Self {
        Self::Opaque("optional_type".into(), Arc::new([of]))
    }

    /// What an optional holds.
    pub(crate) fn in_optional(&self) -> Option<&Self> {
        match self {
            Self::Opaque(name, parameters) if &**name == "optional_type" => parameters.first(),
            _ => None,
        }
    }

    pub(crate) fn is_dyn_or_error(&self) -> bool {
        matches!(self, Self::Dyn | Self::Error)
    }

    /// Whether a value may be given for a parameter of this type, as far as its outside tells.
    pub(crate) fn admits(&self, value: &Value<'_>) -> bool {
        match self {
            Self::Dyn | Self::Error | Self::Param(_) | Self::Var(_) => true,
            Self::Null => matches!(value, Value::Null),
            Self::Bool => matches!(value, Value::Bool(_)),
            Self::Int => matches!(value, Value::Int(_)),
            Self::Uint => matches!(value, Value::Uint(_)),
            Self::Double => matches!(value, Value::Double(_)),
            Self::String => matches!(value, Value::String(_)),
            Self::Bytes => matches!(value, Value::Bytes(_)),
            Self::Timestamp => matches!(value, Value::Timestamp(_)),
            Self::Duration => matches!(value, Value::Duration(_)),
            Self::List(_) => matches!(value, Value::List(_)),
            Self::Map(_) => matches!(value, Value::Map(_)),
            Self::Type(_) => matches!(value, Value::Type(_)),
            Self::Object(name) | Self::Opaque(name, _) => match value {
                Value::Optional(_) => &**name == "optional_type",
                Value::Opaque(opaque) => opaque.type_name() == &**name,
                Value::Map(_) => matches!(self, Self::Object(_)),
                _ => false,
            },
        }
    }
}

impl fmt::Display for Type {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Dyn => out.write_str("dyn"),
            Self::Error => out.write_str("!error!"),
            Self::Null => out.write_str("null"),
            Self::Bool => out.write_str("bool"),
            Self::Int => out.write_str("int"),
            Self::Uint => out.write_str("uint"),
            Self::Double => out.write_str("double"),
            Self::String => out.write_str("string"),
            Self::Bytes => out.write_str("bytes"),
            Self::Timestamp => out.write_str("timestamp"),
            Self::Duration => out.write_str("duration"),
            Self::List(element) => write!(out, "list({element})"),
            Self::Map(pair) => write!(out, "map({}, {})", pair.0, pair.1),
            Self::Object(name) => out.write_str(name),
            Self::Opaque(name, parameters) => {
                out.write_str(name)?;
                for (index, parameter) in parameters.iter().enumerate() {
                    write!(out, "{}{parameter}", if index == 0 { "(" } else { ", " })?;
                }
                if parameters.is_empty() { Ok(()) } else { out.write_str(")") }
            }
            Self::Type(of) if **of == Self::Dyn => out.write_str("type"),
            Self::Type(of) => write!(out, "type({of})"),
            Self::Param(name) => out.write_str(name),
            Self::Var(number) => write!(out, "_var{number}"),
        }
    }
}

/// What type parameters stand for.
#[derive(Debug, Clone, Default)]
pub(crate) struct Bindings(HashMap<u32, Type>);

impl Bindings {
    /// The type with all that is known put in; what is not known is dynamic at the end.
    pub(crate) fn substitute(&self, of: &Type, at_end: bool) -> Type {
        match of {
            Type::Var(number) => match self.0.get(number) {
                Some(known) => self.substitute(known, at_end),
                None if at_end => Type::Dyn,
                None => of.clone(),
            },
            Type::List(element) => Type::list(self.substitute(element, at_end)),
            Type::Map(pair) => Type::map(self.substitute(&pair.0, at_end), self.substitute(&pair.1, at_end)),
            Type::Opaque(name, parameters) => {
                let parameters = parameters.iter().map(|parameter| self.substitute(parameter, at_end)).collect();
                Type::Opaque(name.clone(), parameters)
            }
            Type::Type(of) => Type::Type(Arc::new(self.substitute(of, at_end))),
            _ => of.clone(),
        }
    }

    /// Whether all arguments fit; what that tells of parameters is kept only if they do.
    pub(crate) fn assign(&mut self, given: &[Type], wanted: &[Type]) -> bool {
        if given.len() != wanted.len() {
            return false;
        }
        let before = self.0.clone();
        let fits = given.iter().zip(wanted).all(|(given, wanted)| self.fits(given, wanted));
        if !fits {
            self.0 = before;
        }
        fits
    }

    fn fits(&mut self, given: &Type, wanted: &Type) -> bool {
        if let Type::Var(number) = wanted
            && let Some(fits) = self.stands_for(*number, given)
        {
            return fits;
        }
        if let Type::Var(number) = given {
            return self.stands_for(*number, wanted).unwrap_or(false);
        }
        if given.is_dyn_or_error() || wanted.is_dyn_or_error() {
            return true;
        }
        match (given, wanted) {
            (Type::Null, other) | (other, Type::Null) => {
                matches!(other, Type::Null | Type::Object(_) | Type::Opaque(..) | Type::Timestamp | Type::Duration)
            }
            (Type::List(given), Type::List(wanted)) => self.fits(given, wanted),
            (Type::Map(given), Type::Map(wanted)) => self.fits(&given.0, &wanted.0) && self.fits(&given.1, &wanted.1),
            (Type::Opaque(given, a), Type::Opaque(wanted, b)) => {
                given == wanted && a.len() == b.len() && a.iter().zip(b.iter()).all(|(a, b)| self.fits(a, b))
            }
            // Types as values fit each other: which they are is asked when they are compared.
            (Type::Type(_), Type::Type(_)) => true,
            (given, wanted) => given == wanted,
        }
    }

    /// Whether a parameter may stand for a type; nothing where it would stand for something that holds itself.
    fn stands_for(&mut self, number: u32, other: &Type) -> Option<bool> {
        if *other == Type::Var(number) {
            return Some(true);
        }
        if let Some(known) = self.0.get(&number).cloned() {
            if known == *other {
                return Some(true);
            }
            if self.fits(other, &known) {
                let general = general(other, &known);
                if !self.refers(&general, number) {
                    self.0.insert(number, general);
                }
                return Some(true);
            }
            return Some(false);
        }
        if self.refers(other, number) {
            return None;
        }
        self.0.insert(number, other.clone());
        Some(true)
    }

    fn refers(&self, of: &Type, number: u32) -> bool {
        match of {
            Type::Var(other) => *other == number || self.0.get(other).is_some_and(|known| self.refers(known, number)),
            Type::List(element) => self.refers(element, number),
            Type::Map(pair) => self.refers(&pair.0, number) || self.refers(&pair.1, number),
            Type::Opaque(_, parameters) => parameters.iter().any(|parameter| self.refers(parameter, number)),
            Type::Type(of) => self.refers(of, number),
            _ => false,
        }
    }
}

/// The less specific of two types of which one fits the other.
pub(crate) fn general(one: &Type, other: &Type) -> Type {
    if less_specific(one, other) { one.clone() } else { other.clone() }
}

#[allow(clippy::match_same_arms, reason = "the order of the arms matters")]
fn less_specific(one: &Type, other: &Type) -> bool {
    match (one, other) {
        (Type::Dyn | Type::Var(_), _) => true,
        (_, Type::Dyn | Type::Var(_)) => false,
        (Type::Null, other) => *other == Type::Null,
        (Type::List(one), Type::List(other)) => less_specific(one, other),
        (Type::Map(one), Type::Map(other)) => less_specific(&one.0, &other.0) && less_specific(&one.1, &other.1),
        (Type::Opaque(one, a), Type::Opaque(other, b)) => {
            one == other && a.len() == b.len() && a.iter().zip(b.iter()).all(|(a, b)| less_specific(a, b))
        }
        (Type::Type(_), Type::Type(_)) => true,
        (one, other) => one == other || *other == Type::Null,
    }
}
