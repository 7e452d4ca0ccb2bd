//! The three patch forms that say what to change, applied to a tree. The fourth says what to be: [`crate::apply`].

mod json;
mod strategic;

use serde_json::Value;

use crate::decode::{Decoded, FieldValidation, decode_patched, read_untyped};
use crate::field::{Errors, Path};
use crate::object::Object;
use crate::resource::Resource;
use crate::status::Status;

/// How a patch is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PatchType {
    /// RFC 6902
    Json,
    /// RFC 7386
    Merge,
    /// Kubernetes' strategic merge
    Strategic,
}

/// Media types of patches, as 415 lists them.
pub const PATCH_MEDIA_TYPES: [&str; 4] = [
    "application/json-patch+json",
    "application/merge-patch+json",
    "application/strategic-merge-patch+json",
    crate::apply::MEDIA_TYPE,
];

impl PatchType {
    /// From a content type without parameters.
    ///
    /// # Errors
    ///
    /// 415 for any other type.
    pub fn from_media_type(media_type: &str) -> Result<Self, Status> {
        match media_type {
            "application/json-patch+json" => Ok(Self::Json),
            "application/merge-patch+json" => Ok(Self::Merge),
            "application/strategic-merge-patch+json" => Ok(Self::Strategic),
            _ => Err(Status::unsupported_media_type(&PATCH_MEDIA_TYPES)),
        }
    }
}

/// A parsed patch, to be applied as often as conflicts demand.
#[derive(Debug, Clone)]
pub struct Patch {
    form: Form,
    /// Fields that occur twice in the patch itself.
    duplicates: Vec<String>,
}

#[derive(Debug, Clone)]
enum Form {
    Json(json::Operations),
    Merge(Value),
    Strategic(serde_json::Map<String, Value>),
}

impl Patch {
    /// Parses a patch body.
    ///
    /// # Errors
    ///
    /// 400 for what is no such patch, 413 for one with too many operations.
    pub fn parse(patch_type: PatchType, body: &[u8]) -> Result<Self, Status> {
        let (value, duplicates) =
            read_untyped(body).map_err(|error| Status::bad_request(format!("error decoding patch: {error}")))?;
        let form = match patch_type {
            PatchType::Json => Form::Json(json::Operations::parse(value)?),
            PatchType::Merge => Form::Merge(require_object(value, "merge").map(Value::Object)?),
            PatchType::Strategic => Form::Strategic(require_object(value, "strategic merge")?),
        };
        Ok(Self { form, duplicates })
    }

    /// Applies the patch to the object as stored and decodes the outcome as if it had been sent by PUT.
    ///
    /// # Errors
    ///
    /// 400 and 422 as upstream.
    pub fn apply(
        &self,
        resource: &Resource,
        subresource: Option<&str>,
        current: &Object,
        validation: FieldValidation,
    ) -> Result<Decoded, Status> {
        let schema =
            subresource.and_then(|name| resource.subresource(name)).map_or(&resource.schema, |sub| &sub.schema);
        let patched = match &self.form {
            Form::Json(operations) => operations.apply(current.clone().into_value())?,
            Form::Merge(patch) => {
                let mut value = current.clone().into_value();
                json_patch::merge(&mut value, patch);
                value
            }
            Form::Strategic(patch) => {
                let merged = strategic::merge(schema, current.map().clone(), patch.clone())
                    .map_err(|error| Status::bad_request(error.to_string()))?;
                Value::Object(merged)
            }
        };
        let shown = || patched.to_string();
        decode_patched(resource, subresource, &patched, &self.duplicates, validation).map_err(|why| {
            let mut errors = Errors::new();
            errors.invalid(&Path::new("patch"), shown(), &why);
            Status::invalid("", "", "", &errors)
        })
    }
}

fn require_object(value: Value, what: &str) -> Result<serde_json::Map<String, Value>, Status> {
    match value {
        Value::Object(map) => Ok(map),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => {
            Err(Status::bad_request(format!("error decoding patch: a {what} patch must be a JSON object")))
        }
    }
}

#[cfg(test)]
mod tests;
