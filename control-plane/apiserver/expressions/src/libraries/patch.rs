//! Patches that expressions make.

use cel::{Library, Type, Value};

use super::{text, traversal};

/// `jsonpatch.escapeKey`
pub(crate) fn patches() -> Library {
    Library::default()
        .global("jsonpatch.escapeKey", "string_jsonpatch_escapeKey_string", &[Type::String], Type::String, |args| {
            Ok(Value::string(text(&args[0])?.replace('~', "~0").replace('/', "~1")))
        })
        .costing(traversal)
}
