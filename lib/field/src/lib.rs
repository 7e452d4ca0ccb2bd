//! Field paths and the errors that name them, in the words every client of Kubernetes knows.

pub mod names;

use std::fmt;

use serde_json::Value;

/// Where in an object: `spec.containers[0].name`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Path(String);

impl Path {
    /// A path of one member. Dots in the text are taken as they are: `Path::new("spec.template")` is fine.
    pub fn new(text: &str) -> Self {
        Self(text.to_owned())
    }

    /// A member below.
    #[must_use]
    pub fn child(&self, name: &str) -> Self {
        if self.0.is_empty() { Self(name.to_owned()) } else { Self(format!("{}.{name}", self.0)) }
    }

    /// An element of this list.
    #[must_use]
    pub fn index(&self, index: usize) -> Self {
        Self(format!("{}[{index}]", self.0))
    }

    /// An entry of this map.
    #[must_use]
    pub fn key(&self, key: &str) -> Self {
        Self(format!("{}[{key}]", self.0))
    }
}

impl fmt::Display for Path {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(if self.0.is_empty() { "<nil>" } else { &self.0 })
    }
}

/// What is wrong with a field; the names are the `reason` of a Status cause.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// Something the field refers to does not exist.
    NotFound,
    /// The field is missing.
    Required,
    /// The value occurs twice where it must be unique.
    Duplicate,
    /// The value is malformed.
    Invalid,
    /// The value is not one of an enumeration.
    NotSupported,
    /// The value is well formed but not allowed here.
    Forbidden,
    /// The value is longer than allowed.
    TooLong,
    /// The list has more items than allowed.
    TooMany,
    /// The value has the wrong type.
    TypeInvalid,
}

impl Fault {
    /// The cause's reason.
    pub fn reason(self) -> &'static str {
        match self {
            Self::NotFound => "FieldValueNotFound",
            Self::Required => "FieldValueRequired",
            Self::Duplicate => "FieldValueDuplicate",
            Self::Invalid => "FieldValueInvalid",
            Self::NotSupported => "FieldValueNotSupported",
            Self::Forbidden => "FieldValueForbidden",
            Self::TooLong => "FieldValueTooLong",
            Self::TooMany => "FieldValueTooMany",
            Self::TypeInvalid => "FieldValueTypeInvalid",
        }
    }

    fn words(self) -> &'static str {
        match self {
            Self::NotFound => "Not found",
            Self::Required => "Required value",
            Self::Duplicate => "Duplicate value",
            Self::Invalid | Self::TypeInvalid => "Invalid value",
            Self::NotSupported => "Unsupported value",
            Self::Forbidden => "Forbidden",
            Self::TooLong => "Too long",
            Self::TooMany => "Too many",
        }
    }
}

/// One thing wrong with one field.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FieldError {
    /// What is wrong.
    pub fault: Fault,
    /// Where.
    pub path: Path,
    /// `Invalid value: "x": must be …`: everything after the path.
    pub body: String,
}

impl fmt::Display for FieldError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}: {}", self.path, self.body)
    }
}

/// All that is wrong with an object, in the order found.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Errors(Vec<FieldError>);

impl Errors {
    /// None found so far.
    pub fn new() -> Self {
        Self::default()
    }

    /// The errors, in order.
    pub fn as_slice(&self) -> &[FieldError] {
        &self.0
    }

    /// Whether nothing was found.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Puts them in the order of their texts.
    pub fn sort(&mut self) {
        self.0.sort_by_cached_key(ToString::to_string);
    }

    /// Adds all of `other`.
    pub fn extend(&mut self, other: Self) {
        self.0.extend(other.0);
    }

    /// A required field is missing; `detail` may be empty.
    pub fn required(&mut self, path: &Path, detail: &str) {
        self.push(Fault::Required, path, None, detail);
    }

    /// A malformed value.
    pub fn invalid(&mut self, path: &Path, value: impl Into<Value>, detail: &str) {
        self.push(Fault::Invalid, path, Some(&value.into()), detail);
    }

    /// A value of the wrong type.
    pub fn type_invalid(&mut self, path: &Path, value: impl Into<Value>, detail: &str) {
        self.push(Fault::TypeInvalid, path, Some(&value.into()), detail);
    }

    /// A value that occurs twice.
    pub fn duplicate(&mut self, path: &Path, value: impl Into<Value>) {
        self.push(Fault::Duplicate, path, Some(&value.into()), "");
    }

    /// A value that occurs twice, with the rule it breaks.
    pub fn duplicate_because(&mut self, path: &Path, value: impl Into<Value>, detail: &str) {
        self.push(Fault::Duplicate, path, Some(&value.into()), detail);
    }

    /// A reference to something that is not there.
    pub fn not_found(&mut self, path: &Path, value: impl Into<Value>) {
        self.push(Fault::NotFound, path, Some(&value.into()), "");
    }

    /// A value outside its enumeration. `valid` is quoted in the order given: sort it where upstream sorts.
    pub fn not_supported(&mut self, path: &Path, value: impl Into<Value>, valid: &[&str]) {
        let detail = if valid.is_empty() {
            String::new()
        } else {
            let quoted: Vec<String> = valid.iter().map(|one| format!("{one:?}")).collect();
            format!("supported values: {}", quoted.join(", "))
        };
        self.push(Fault::NotSupported, path, Some(&value.into()), &detail);
    }

    /// A value that may not be set here.
    pub fn forbidden(&mut self, path: &Path, detail: &str) {
        self.push(Fault::Forbidden, path, None, detail);
    }

    /// A value longer than `limit` bytes.
    pub fn too_long(&mut self, path: &Path, limit: usize) {
        self.push(Fault::TooLong, path, None, &format!("may not be more than {limit} bytes"));
    }

    /// A list of `actual` items where at most `limit` are allowed.
    pub fn too_many(&mut self, path: &Path, actual: usize, limit: usize) {
        let detail = format!("must have at most {limit} {}", if limit == 1 { "item" } else { "items" });
        self.push(Fault::TooMany, path, Some(&Value::from(actual)), &detail);
    }

    fn push(&mut self, fault: Fault, path: &Path, value: Option<&Value>, detail: &str) {
        let mut body = fault.words().to_owned();
        if let Some(value) = value {
            body.push_str(": ");
            body.push_str(&show(value));
        }
        if !detail.is_empty() {
            body.push_str(": ");
            body.push_str(detail);
        }
        self.0.push(FieldError { fault, path: path.clone(), body });
    }
}

/// All on one line: one error as it is, several in brackets; what is said twice is written once.
impl fmt::Display for Errors {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut texts: Vec<String> = Vec::with_capacity(self.0.len());
        for text in self.0.iter().map(ToString::to_string) {
            if !texts.contains(&text) {
                texts.push(text);
            }
        }
        match texts.as_slice() {
            [one] => out.write_str(one),
            many => write!(out, "[{}]", many.join(", ")),
        }
    }
}

impl std::error::Error for Errors {}

/// A value as it stands in a message: strings quoted, numbers bare, structures as JSON.
fn show(value: &Value) -> String {
    value.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn several_errors_stand_in_brackets() {
        let mut errors = Errors::new();
        errors.required(&Path::new("a"), "");
        assert_eq!(errors.to_string(), "a: Required value");
        errors.duplicate(&Path::new("b"), 1);
        errors.required(&Path::new("a"), "");
        assert_eq!(errors.to_string(), "[a: Required value, b: Duplicate value: 1]");
    }

    #[test]
    fn errors_read_as_clients_expect() {
        let mut errors = Errors::new();
        let path = Path::new("spec").child("ports").index(0);
        errors.required(&path.child("port"), "");
        errors.invalid(&path.child("port"), 70000, "must be between 1 and 65535, inclusive");
        errors.not_supported(&path.child("protocol"), "X", &["SCTP", "TCP"]);
        errors.duplicate(&path.child("name"), "a");
        errors.forbidden(&Path::new("data").key("k"), "no");
        errors.too_long(&Path::new("data"), 10);
        let texts: Vec<String> = errors.as_slice().iter().map(ToString::to_string).collect();
        assert_eq!(
            texts,
            [
                "spec.ports[0].port: Required value",
                "spec.ports[0].port: Invalid value: 70000: must be between 1 and 65535, inclusive",
                "spec.ports[0].protocol: Unsupported value: \"X\": supported values: \"SCTP\", \"TCP\"",
                "spec.ports[0].name: Duplicate value: \"a\"",
                "data[k]: Forbidden: no",
                "data: Too long: may not be more than 10 bytes",
            ]
        );
    }
}
