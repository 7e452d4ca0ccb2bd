//! Kubernetes' own functions.

pub(crate) mod authorizer;
mod formats;
mod lists;
mod net;
mod patch;
mod patterns;
mod quantities;
mod urls;
mod versions;

use cel::{Environment, Error, Library, Macros, Value};

pub(crate) use patch::patches;

/// What a function gives.
type Given<'a> = Result<Value<'a>, Error>;

/// The environment that every expression in Kubernetes has, without variables.
pub(crate) fn base() -> Environment {
    let macros = Macros { optional: true, two_variables: true, bindings: false };
    [
        cel::standard(),
        cel::optional(),
        cel::strings(),
        cel::sets(),
        cel::two_variables(),
        lists::lists(),
        urls::urls(),
        patterns::patterns(),
        quantities::quantities(),
        net::addresses(),
        formats::formats(),
        versions::versions(),
        authorizer::library(),
    ]
    .into_iter()
    .fold(Environment::new(macros), Environment::with)
}

/// The text of an argument.
fn text<'v>(value: &'v Value<'_>) -> Result<&'v str, Error> {
    value.as_str().ok_or(Error::no_such_overload())
}

/// The host's value of an argument.
fn opaque<'v, T: cel::value::Opaque>(value: &'v Value<'_>) -> Result<&'v T, Error> {
    value.as_opaque().ok_or(Error::no_such_overload())
}

/// Implements what all values of Kubernetes have alike.
macro_rules! opaque_type {
    ($type:ty, $name:expr) => {
        impl cel::value::Opaque for $type {
            fn type_name(&self) -> &str {
                $name
            }

            fn equals(&self, other: &dyn cel::value::Opaque) -> bool {
                (other as &dyn std::any::Any).downcast_ref::<Self>().is_some_and(|other| self == other)
            }
        }
    };
}
use opaque_type;

/// A nominal cost.
fn nominal(_: &[Value<'_>], _: &Value<'_>) -> u64 {
    1
}

/// The first argument is gone through.
fn traversal(args: &[Value<'_>], _: &Value<'_>) -> u64 {
    cel::ceil_tenth(cel::size(&args[0]))
}

/// Adds to a library what each of some types has.
fn each<T>(library: Library, of: impl IntoIterator<Item = T>, add: impl Fn(Library, T) -> Library) -> Library {
    of.into_iter().fold(library, add)
}
