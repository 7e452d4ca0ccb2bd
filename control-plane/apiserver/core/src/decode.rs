//! From the bytes of a request body to a tree whose field types are right.

mod walk;

use std::fmt::Write as _;

use serde::de::DeserializeSeed as _;
use serde_json::Value;

use crate::object::Object;
use crate::resource::Resource;
use crate::status::Status;
use walk::{Node, Walk};

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
    let wanted = Wanted::of(resource, subresource);
    match format {
        Format::Json => {
            check_type(&wanted, body, |body| serde_json::from_slice(body).map_err(|error| error.to_string()))?;
            let mut input = serde_json::Deserializer::from_slice(body);
            let read = read_typed(&wanted, &mut input).map_err(|error| wanted.unreadable(body, &error.to_string()))?;
            input.end().map_err(|error| wanted.unreadable(body, &error.to_string()))?;
            wanted.finish(read, validation)
        }
        Format::Yaml => {
            let (value, duplicates) = yaml_tree(body).map_err(|error| wanted.unreadable(body, &error))?;
            check_type(&wanted, body, |_| serde_json::from_value(value.clone()).map_err(|error| error.to_string()))?;
            let mut read = read_typed(&wanted, value).map_err(|error| wanted.unreadable(body, &error.to_string()))?;
            read.strict.splice(0..0, duplicates);
            wanted.finish(read, validation)
        }
    }
}

/// Decodes a tree that was made from a stored object and a patch. `duplicates` are faults found in the patch itself.
///
/// # Errors
///
/// What is wrong, as text: a patch's answer says it about the patch, not about the object.
pub(crate) fn decode_patched(
    resource: &Resource,
    subresource: Option<&str>,
    value: &Value,
    duplicates: &[String],
    validation: FieldValidation,
) -> Result<Decoded, String> {
    let wanted = Wanted::of(resource, subresource);
    let says = |member: &str| value.get(member).and_then(Value::as_str).filter(|text| !text.is_empty());
    if says("kind").is_some_and(|kind| kind != wanted.kind)
        || says("apiVersion").is_some_and(|version| version != wanted.api_version)
    {
        return Err(format!("a patch cannot change apiVersion and kind from {} {}", wanted.api_version, wanted.kind));
    }
    let mut read = read_typed(&wanted, value).map_err(|error| error.to_string())?;
    read.strict.splice(0..0, duplicates.iter().cloned());
    wanted.finish_plain(read, validation)
}

/// Decodes a tree that was made from a stored object and a configuration that fits its schema.
///
/// # Errors
///
/// 500, as upstream, for values that their types do not take.
pub fn decode_applied(resource: &Resource, subresource: Option<&str>, value: &Value) -> Result<Decoded, Status> {
    decode_patched(resource, subresource, value, &[], FieldValidation::Ignore)
        .map_err(|why| Status::unclassified(format!("failed to convert new typed object to object: {why}")))
}

/// Reads JSON without a type, keeping note of keys that occur twice (the last wins).
pub(crate) fn read_untyped(body: &[u8]) -> Result<(Value, Vec<String>), String> {
    let mut walk = Walk::default();
    let mut input = serde_json::Deserializer::from_slice(body);
    let value = Node::untyped(&mut walk).deserialize(&mut input).map_err(|error| error.to_string())?;
    input.end().map_err(|error| error.to_string())?;
    Ok((value, walk.strict))
}

/// Reads a document without a type, in YAML or in JSON, keeping note of keys that occur twice.
pub(crate) fn read_configuration(body: &[u8]) -> Result<(Value, Vec<String>), String> {
    // JSON is YAML, and read much faster as what it is.
    match body.trim_ascii_start().first() {
        Some(b'{') => read_untyped(body).or_else(|_| yaml_tree(body)),
        Some(_) | None => yaml_tree(body),
    }
}

/// Reads YAML as a tree. Keys that occur twice are reported and the last one wins, as in JSON.
fn yaml_tree(body: &[u8]) -> Result<(Value, Vec<String>), String> {
    let text = std::str::from_utf8(body).map_err(|error| format!("yaml: {error}"))?;
    let lenient = serde_saphyr::options! { duplicate_keys: serde_saphyr::DuplicateKeyPolicy::LastWins };
    let value: Value = serde_saphyr::from_str_with_options(text, lenient)
        .map_err(|error| format!("error converting YAML to JSON: {error}"))?;
    let strict = serde_saphyr::options! { duplicate_keys: serde_saphyr::DuplicateKeyPolicy::Error };
    let duplicates = match serde_saphyr::from_str_with_options::<Value>(text, strict) {
        Ok(_) => Vec::new(),
        Err(error) => vec![error.to_string()],
    };
    Ok((value, duplicates))
}

/// What a body must be.
struct Wanted<'a> {
    kind: &'a str,
    api_version: String,
    version: &'a str,
    schema: &'a str,
}

/// What was read.
struct Read {
    value: Value,
    strict: Vec<String>,
    fault: Option<String>,
}

#[derive(serde::Deserialize)]
struct TypeMeta {
    #[serde(rename = "apiVersion", default)]
    api_version: Option<String>,
    #[serde(default)]
    kind: Option<String>,
}

/// Finds out what a body says it is, before anything else is looked at.
fn check_type(
    wanted: &Wanted<'_>,
    body: &[u8],
    read: impl Fn(&[u8]) -> Result<TypeMeta, String>,
) -> Result<(), Status> {
    let found = read(body).map_err(|error| wanted.unreadable(body, &error))?;
    let kind = found.kind.filter(|kind| !kind.is_empty());
    let api_version = found.api_version.filter(|version| !version.is_empty());
    let (kind, api_version) =
        (kind.as_deref().unwrap_or(wanted.kind), api_version.as_deref().unwrap_or(&wanted.api_version));
    if kind == wanted.kind && api_version == wanted.api_version {
        return Ok(());
    }
    if kind == wanted.kind {
        return Err(Status::bad_request(format!(
            "the API version in the data ({api_version}) does not match the expected API version ({})",
            wanted.api_version
        )));
    }
    let version = api_version.rsplit('/').next().unwrap_or(api_version);
    Err(Status::bad_request(format!(
        "{kind} in version {version:?} cannot be handled as a {}: no kind {kind:?} is registered for version {api_version:?} here",
        wanted.kind
    )))
}

fn read_typed<'de, D: serde::Deserializer<'de>>(wanted: &Wanted<'_>, input: D) -> Result<Read, D::Error> {
    let mut walk = Walk::default();
    let schema = kinds::Schema::named(wanted.schema);
    let value = Node::typed(&mut walk, &schema).deserialize(input)?;
    Ok(Read { value, strict: walk.strict, fault: walk.fault })
}

impl<'a> Wanted<'a> {
    fn of(resource: &'a Resource, subresource: Option<&str>) -> Self {
        match subresource.and_then(|name| resource.subresource(name)) {
            Some(sub) if sub.kind != resource.kind => Self {
                kind: &sub.kind,
                api_version: if sub.group.is_empty() {
                    sub.version.clone()
                } else {
                    format!("{}/{}", sub.group, sub.version)
                },
                version: &sub.version,
                schema: &sub.schema,
            },
            Some(_) | None => Self {
                kind: &resource.kind,
                api_version: resource.api_version(),
                version: &resource.version,
                schema: &resource.schema,
            },
        }
    }

    /// 400 for bytes that are no document at all.
    fn unreadable(&self, body: &[u8], error: &str) -> Status {
        Status::bad_request(format!(
            "the object provided is unrecognized (must be of type {}): couldn't get version/kind; json parse error: {error} ({})",
            self.kind,
            summary(body)
        ))
    }

    fn refuse(&self, why: &str) -> Status {
        Status::bad_request(format!(
            "{} in version {:?} cannot be handled as a {}: {why}",
            self.kind, self.version, self.kind
        ))
    }

    fn finish(&self, read: Read, validation: FieldValidation) -> Result<Decoded, Status> {
        self.finish_plain(read, validation).map_err(|why| self.refuse(&why))
    }

    fn finish_plain(&self, read: Read, validation: FieldValidation) -> Result<Decoded, String> {
        if let Some(fault) = read.fault {
            return Err(fault);
        }
        let Some(mut object) = Object::from_value(read.value) else {
            return Err("the document is not an object".to_owned());
        };
        object.set(&["apiVersion"], self.api_version.as_str());
        object.set(&["kind"], self.kind);
        let warnings = match validation {
            FieldValidation::Ignore => Vec::new(),
            FieldValidation::Warn => read.strict,
            FieldValidation::Strict if read.strict.is_empty() => Vec::new(),
            FieldValidation::Strict => return Err(format!("strict decoding error: {}", read.strict.join(", "))),
        };
        Ok(Decoded { object, warnings })
    }
}

/// The beginning of a body for a message: text if it may be JSON, hexadecimal otherwise.
fn summary(body: &[u8]) -> String {
    const LENGTH: usize = 30;
    let (start, more) = body.split_at(body.len().min(LENGTH));
    let dots = if more.is_empty() { "" } else { " ..." };
    match start.first() {
        None => "<empty>".into(),
        Some(b'{') => format!("{}{dots}", String::from_utf8_lossy(start)),
        Some(_) => {
            let mut text = String::new();
            for byte in start {
                // Writing to a String cannot fail.
                let _ = write!(text, "{byte:02x}");
            }
            text + dots
        }
    }
}

#[cfg(test)]
mod tests;
