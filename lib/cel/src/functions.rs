//! The functions of the language and of its extensions.

mod conversions;
mod format;
mod operators;
mod optionals;
mod set;
mod text;
mod time;

use crate::environment::Library;
use crate::error::Error;
use crate::types::Type;
use crate::value::Value;

pub use optionals::optional;
pub use set::sets;
pub use text::strings;

pub(crate) use time::is_time;

/// What a function gives.
pub(crate) type Given<'a> = Result<Value<'a>, Error>;

pub(crate) const A: Type = Type::Param("A");
pub(crate) const B: Type = Type::Param("B");

/// The functions and types that every environment has.
pub fn standard() -> Library {
    let library = operators::add(Library::default());
    let library = conversions::add(library);
    let library = time::add(library);
    text::standard(library)
        .named_type("bool", Type::Bool)
        .named_type("bytes", Type::Bytes)
        .named_type("double", Type::Double)
        .named_type("int", Type::Int)
        .named_type("list", Type::list(Type::Dyn))
        .named_type("map", Type::map(Type::Dyn, Type::Dyn))
        .named_type("null_type", Type::Null)
        .named_type("string", Type::String)
        .named_type("type", Type::Type(std::sync::Arc::new(Type::Dyn)))
        .named_type("uint", Type::Uint)
        .named_type("google.protobuf.Timestamp", Type::Timestamp)
        .named_type("google.protobuf.Duration", Type::Duration)
}

/// What comprehensions of two variables stand on.
pub fn two_variables() -> Library {
    fn never<'a>(_: &[Value<'a>]) -> Given<'a> {
        // Inserting is done in place by the evaluator, where only macros can put it.
        Err(Error::no_such_overload())
    }
    let map = Type::map(A, B);
    Library::default()
        .global("cel.@mapInsert", "@mapInsert_map_key_value", &[map.clone(), A, B], map.clone(), never)
        .global("cel.@mapInsert", "@mapInsert_map_map", &[map.clone(), map.clone()], map, never)
}

/// `base64.encode` and `base64.decode`.
pub fn encoders() -> Library {
    use base64::Engine as _;
    use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};

    fn encode<'a>(args: &[Value<'a>]) -> Given<'a> {
        let [Value::Bytes(bytes)] = args else { return Err(Error::no_such_overload()) };
        Ok(Value::string(STANDARD.encode(bytes)))
    }
    fn decode<'a>(args: &[Value<'a>]) -> Given<'a> {
        let [Value::String(text)] = args else { return Err(Error::no_such_overload()) };
        let bytes = STANDARD.decode(text.as_bytes()).or_else(|_| STANDARD_NO_PAD.decode(text.as_bytes()));
        bytes.map(|bytes| Value::Bytes(bytes.into())).map_err(|wrong| Error::new(wrong.to_string()))
    }
    Library::default().global("base64.decode", "base64_decode_string", &[Type::String], Type::Bytes, decode).global(
        "base64.encode",
        "base64_encode_bytes",
        &[Type::Bytes],
        Type::String,
        encode,
    )
}

/// Every library of this crate together.
pub fn all_known() -> Vec<Library> {
    vec![standard(), optional(), strings(), sets(), two_variables(), encoders()]
}
