//! Configuration files of Kubernetes components: one document in YAML or JSON that names its kind and version, read strictly.
//!
//! A field nobody knows is an error that names its path: a typing error in a file that decides who may do what must not pass
//! as "not set".

use std::fmt;

use serde::de::DeserializeOwned;
use serde_ignored::Path;
use serde_json::Value;

/// What a document may be.
#[derive(Debug, Clone, Copy)]
pub struct Kind<'a> {
    /// The API group.
    pub group: &'a str,
    /// Versions of it that have the same fields.
    pub versions: &'a [&'a str],
    /// The kind.
    pub kind: &'a str,
}

/// Why a document was not read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Error {
    /// It is neither YAML nor JSON, or a key stands in it twice.
    Syntax(String),
    /// It does not say what it is: the member that is missing.
    Unnamed(&'static str),
    /// It is something else.
    Unknown {
        /// What it says it is.
        kind: String,
        /// In which version.
        api_version: String,
    },
    /// It has fields that nobody knows: their paths.
    Fields(Vec<String>),
    /// A field has the wrong type.
    Shape(String),
}

impl fmt::Display for Error {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Syntax(error) => write!(out, "error converting YAML to JSON: {error}"),
            Self::Unnamed(member) => write!(out, "Object '{member}' is missing"),
            Self::Unknown { kind, api_version } => {
                write!(out, "no kind {kind:?} is registered for version {api_version:?}")
            }
            Self::Fields(paths) => {
                let named: Vec<String> = paths.iter().map(|path| format!("unknown field {path:?}")).collect();
                write!(out, "strict decoding error: {}", named.join(", "))
            }
            Self::Shape(error) => out.write_str(error),
        }
    }
}

impl std::error::Error for Error {}

/// Reads a document. Members that are `null` are as good as absent.
///
/// `apiVersion` and `kind` are checked here; a type that does not have them does not make them unknown.
pub fn read<T: DeserializeOwned>(text: &str, wanted: Kind<'_>) -> Result<T, Error> {
    let options = serde_saphyr::options! { duplicate_keys: serde_saphyr::DuplicateKeyPolicy::Error };
    let value: Value =
        serde_saphyr::from_str_with_options(text, options).map_err(|error| Error::Syntax(error.to_string()))?;
    decode(value, wanted)
}

/// Reads a document that is a tree already, such as a part of another one.
pub fn decode<T: DeserializeOwned>(mut value: Value, wanted: Kind<'_>) -> Result<T, Error> {
    let member = |name: &'static str| match value.get(name).and_then(Value::as_str) {
        Some(text) if !text.is_empty() => Ok(text.to_owned()),
        Some(_) | None => Err(Error::Unnamed(name)),
    };
    let (kind, api_version) = (member("kind")?, member("apiVersion")?);
    let known = api_version
        .split_once('/')
        .is_some_and(|(group, version)| group == wanted.group && wanted.versions.contains(&version));
    if !known || kind != wanted.kind {
        return Err(Error::Unknown { kind, api_version });
    }
    drop_nulls(&mut value);
    let mut unknown = Vec::new();
    let read = serde_ignored::deserialize(value, |path| unknown.push(show(&path)))
        .map_err(|error: serde_json::Error| Error::Shape(error.to_string()))?;
    unknown.retain(|path| path != "kind" && path != "apiVersion");
    if unknown.is_empty() { Ok(read) } else { Err(Error::Fields(unknown)) }
}

fn drop_nulls(value: &mut Value) {
    match value {
        Value::Object(members) => {
            members.retain(|_, member| !member.is_null());
            members.values_mut().for_each(drop_nulls);
        }
        Value::Array(items) => items.iter_mut().for_each(drop_nulls),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// A path as Kubernetes writes it: `rules[0].verbs`.
fn show(path: &Path<'_>) -> String {
    match path {
        Path::Root => String::new(),
        Path::Seq { parent, index } => format!("{}[{index}]", show(parent)),
        Path::Map { parent, key } => {
            let parent = show(parent);
            if parent.is_empty() { key.clone() } else { format!("{parent}.{key}") }
        }
        Path::Some { parent } | Path::NewtypeStruct { parent } | Path::NewtypeVariant { parent } => show(parent),
    }
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    const KIND: Kind<'static> = Kind { group: "example.com", versions: &["v1", "v1beta1"], kind: "Sample" };

    #[derive(Debug, Default, PartialEq, Eq, Deserialize)]
    #[serde(default)]
    struct Sample {
        name: String,
        items: Vec<Item>,
        inner: Option<Item>,
    }

    #[derive(Debug, Default, PartialEq, Eq, Deserialize)]
    #[serde(default)]
    struct Item {
        size: u32,
    }

    fn sample(rest: &str) -> Result<Sample, Error> {
        read(&format!("apiVersion: example.com/v1\nkind: Sample\n{rest}"), KIND)
    }

    #[test]
    fn documents_are_read_in_both_notations() {
        let read = sample("name: a\nitems: [{size: 1}, {}]\ninner: null\n").expect("a good document");
        assert_eq!(read, Sample { name: "a".into(), items: vec![Item { size: 1 }, Item { size: 0 }], inner: None });
        let json = r#"{"apiVersion": "example.com/v1beta1", "kind": "Sample", "items": null}"#;
        assert_eq!(super::read::<Sample>(json, KIND), Ok(Sample::default()));
        assert_eq!(sample("inner: {}\n").map(|read| read.inner), Ok(Some(Item::default())), "empty is not absent");
    }

    #[test]
    fn unknown_fields_are_named_with_their_path() {
        let error = sample("items: [{}, {siez: 1}]\ninner: {also: 1}\nnmae: b\n").expect_err("three mistakes");
        assert_eq!(
            error.to_string(),
            "strict decoding error: unknown field \"inner.also\", unknown field \"items[1].siez\", unknown field \"nmae\""
        );
    }

    #[test]
    fn a_document_must_say_what_it_is() {
        for (text, expected) in [
            ("kind: Sample", "Object 'apiVersion' is missing"),
            ("apiVersion: example.com/v1", "Object 'kind' is missing"),
            ("{}", "Object 'kind' is missing"),
            ("[]", "Object 'kind' is missing"),
            (
                "apiVersion: example.com/v2\nkind: Sample",
                "no kind \"Sample\" is registered for version \"example.com/v2\"",
            ),
            (
                "apiVersion: example.com/v1\nkind: Other",
                "no kind \"Other\" is registered for version \"example.com/v1\"",
            ),
            ("apiVersion: v1\nkind: Sample", "no kind \"Sample\" is registered for version \"v1\""),
        ] {
            assert_eq!(
                read::<Sample>(text, KIND).map_err(|error| error.to_string()),
                Err(expected.to_owned()),
                "{text}"
            );
        }
    }

    #[test]
    fn what_is_no_document_is_refused() {
        for rest in ["name: a\nname: b\n", "name: [\n", "items: 1\n", "name: {}\n"] {
            let error = sample(rest).expect_err(rest);
            assert!(matches!(error, Error::Syntax(_) | Error::Shape(_)), "{rest}: {error:?}");
        }
    }
}
