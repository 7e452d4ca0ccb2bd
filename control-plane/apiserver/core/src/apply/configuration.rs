//! The body of an apply: all that a manager wants of an object.

use serde_json::Value;

use crate::decode::{FieldValidation, read_configuration};
use crate::object::Object;
use crate::status::Status;

/// A parsed body, to be applied as often as other writers demand.
#[derive(Debug, Clone)]
pub struct Configuration {
    object: Object,
    /// Keys that occur twice.
    duplicates: Vec<String>,
}

impl Configuration {
    /// Parses a body in YAML, which JSON is too.
    ///
    /// # Errors
    ///
    /// 400 for what is no such document.
    pub fn parse(body: &[u8]) -> Result<Self, Status> {
        let refuse = |why: String| Status::bad_request(format!("error decoding YAML: {why}"));
        let (value, duplicates) = read_configuration(body).map_err(refuse)?;
        let object = match value {
            Value::Null => Object::default(),
            value => Object::from_value(value).ok_or_else(|| refuse("the document is no object".to_owned()))?,
        };
        Ok(Self { object, duplicates })
    }

    /// What is wanted.
    pub fn object(&self) -> &Object {
        &self.object
    }

    /// Warnings about keys that occur twice.
    ///
    /// # Errors
    ///
    /// 400 when the client wants to be strict about them.
    pub fn warnings(&self, validation: FieldValidation) -> Result<Vec<String>, Status> {
        match validation {
            FieldValidation::Ignore => Ok(Vec::new()),
            FieldValidation::Strict if !self.duplicates.is_empty() => {
                Err(Status::bad_request(format!("error strict decoding YAML: {}", self.duplicates.join(", "))))
            }
            FieldValidation::Warn | FieldValidation::Strict => Ok(self.duplicates.clone()),
        }
    }

    /// The kind with its version, as upstream's messages print it.
    fn kind(&self) -> String {
        let api_version = self.object.api_version().unwrap_or_default();
        let api_version = if api_version.contains('/') { api_version.to_owned() } else { format!("/{api_version}") };
        format!("{api_version}, Kind={}", self.object.kind().unwrap_or_default())
    }

    /// What it is about, as upstream's messages print it.
    pub(super) fn described(&self) -> String {
        let text = |path: &[&str]| self.object.text(path).unwrap_or_default().to_owned();
        format!("{}/{}; {}", text(&["metadata", "namespace"]), text(&["metadata", "name"]), self.kind())
    }

    /// Refuses another kind or version.
    pub(super) fn check_kind(&self, api_version: &str, kind: &str) -> Result<(), Status> {
        if self.object.api_version() == Some(api_version) && self.object.kind() == Some(kind) {
            Ok(())
        } else {
            Err(Status::bad_request(format!("invalid object type: {}", self.kind())))
        }
    }
}
