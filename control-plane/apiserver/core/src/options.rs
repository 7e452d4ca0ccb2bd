//! Options of requests: query parameters, and the body of a delete.

mod delete;
mod list;
mod write;

pub use delete::{DeleteOptions, Propagation};
pub use list::{GetOptions, ListOptions, VersionMatch};
pub use write::{Write, WriteOptions};

use crate::status::Status;

/// What a Table's rows carry besides their cells.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum IncludeObject {
    /// Rows carry no object.
    None,
    /// Rows carry metadata only.
    #[default]
    Metadata,
    /// Rows carry the whole object.
    Object,
}

impl IncludeObject {
    /// Reads decoded query parameters.
    ///
    /// # Errors
    ///
    /// 400 as upstream.
    pub fn parse(query: &[(String, String)]) -> Result<Self, Status> {
        match last(query, "includeObject") {
            None | Some("" | "Metadata") => Ok(Self::Metadata),
            Some("None") => Ok(Self::None),
            Some("Object") => Ok(Self::Object),
            Some(other) => Err(Status::bad_request(format!(
                "Invalid value: {other:?}: must be 'Metadata', 'Object', 'None', or empty"
            ))),
        }
    }
}

/// The value of a parameter. Of several the first counts, as upstream's decoder has it.
fn last<'a>(query: &'a [(String, String)], name: &str) -> Option<&'a str> {
    query.iter().find(|(one, _)| one == name).map(|(_, value)| value.as_str())
}

/// A boolean parameter: present without a value means true; only `false` and `0` mean false.
fn flag(query: &[(String, String)], name: &str) -> Option<bool> {
    last(query, name).map(|value| !matches!(value.to_ascii_lowercase().as_str(), "false" | "0"))
}

/// A whole-number parameter.
fn integer(query: &[(String, String)], name: &str) -> Result<Option<i64>, Status> {
    let Some(text) = last(query, name) else { return Ok(None) };
    if text.is_empty() {
        return Ok(None);
    }
    text.parse().map(Some).map_err(|error: std::num::ParseIntError| {
        let why = match error.kind() {
            std::num::IntErrorKind::PosOverflow | std::num::IntErrorKind::NegOverflow => "value out of range",
            _ => "invalid syntax",
        };
        Status::bad_request(format!("strconv.ParseInt: parsing {text:?}: {why}"))
    })
}

/// A resource version parameter: a number, or absent.
fn resource_version(text: Option<&str>) -> Result<Option<u64>, String> {
    match text {
        None | Some("") => Ok(None),
        Some(text) => {
            text.parse().map(Some).map_err(|_| format!("strconv.ParseUint: parsing {text:?}: invalid syntax"))
        }
    }
}
