//! One object as the cache keeps it: the bytes clients get, and what selectors look at.

use std::borrow::Borrow;
use std::cmp::Ordering;
use std::sync::Arc;

use apiserver_core::{Object, Resource, protobuf};
use bytes::Bytes;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::kept::Kept;
use super::texts::Texts;

/// A stored value that is no object of the resource.
#[derive(Debug, thiserror::Error)]
#[error("the stored bytes are no object")]
pub(crate) struct Unreadable(#[from] serde_json::Error);

/// An object, encoded.
#[derive(Debug)]
pub(crate) struct CachedObject {
    /// Key in the store.
    pub(crate) key: Box<str>,
    /// Revision of its last change.
    pub(crate) revision: i64,
    /// The object in JSON, with its resource version.
    pub(crate) json: Bytes,
    /// What is where in `json`.
    places: Places,
    /// Each label's key and then its value.
    labels: Texts,
    /// Name, namespace and selectable fields, in the order of [`Resource::selectable_position`].
    fields: Texts,
    /// The object in protobuf, without its type.
    message: Kept,
}

impl CachedObject {
    /// Reads a stored value.
    ///
    /// # Errors
    ///
    /// When it is no object, or holds what no client could read.
    pub(crate) fn read(resource: &Resource, key: &str, value: &[u8], revision: i64) -> Result<Self, Unreadable> {
        let object = resource.outline.read(text(value)?.as_bytes())?;
        let (json, places) = splice(value, revision)?;
        Ok(Self {
            key: key.into(),
            revision,
            json,
            places,
            labels: object.labels().flat_map(|(key, value)| [key, value]).collect(),
            fields: resource.selectable_values(&object).collect(),
            message: Kept::default(),
        })
    }

    /// The object as a tree, with its resource version.
    pub(crate) fn tree(&self) -> Result<Object, Unreadable> {
        Ok(Object::from_stored(&self.json)?)
    }

    /// The object's message in protobuf, shared by all who ask. `definition` is that of the kind the JSON is of.
    pub(crate) fn message(&self, definition: &str) -> Bytes {
        self.message.get_or_make(|| message(definition, &self.json))
    }

    /// The same object under another resource version, for the event of its deletion.
    pub(crate) fn json_at(&self, revision: i64) -> Bytes {
        let (head, rest) = self.json.split_at(self.places.version as usize);
        let digits = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
        let mut json = Vec::with_capacity(self.json.len() + 20);
        json.extend_from_slice(head);
        json.extend_from_slice(revision.to_string().as_bytes());
        json.extend_from_slice(&rest[digits..]);
        json.into()
    }

    /// The object's metadata, as it is written in `json`.
    pub(crate) fn metadata(&self) -> &[u8] {
        &self.json[self.places.metadata.start as usize..self.places.metadata.end as usize]
    }

    /// The value of a label.
    pub(crate) fn label(&self, key: &str) -> Option<&str> {
        let at = (0..self.labels.len()).step_by(2).find(|&at| self.labels.get(at) == Some(key))?;
        self.labels.get(at + 1)
    }

    /// The value of a selectable field of a row whose objects are here.
    pub(crate) fn field(&self, row: &Resource, name: &str) -> Option<&str> {
        self.fields.get(row.selectable_position(name)?)
    }

    /// The same object in the form a row serves, for rows that store another.
    pub(crate) fn served(&self, row: &Resource) -> Result<Self, Unreadable> {
        let mut object = self.tree()?;
        object.remove(&["metadata", "resourceVersion"]);
        row.strategy.to_served(&mut object);
        let (json, places) = splice(&object.to_bytes(), self.revision)?;
        Ok(Self {
            key: self.key.clone(),
            revision: self.revision,
            json,
            places,
            labels: self.labels.clone(),
            fields: self.fields.clone(),
            message: Kept::default(),
        })
    }

    /// What it takes of memory, roughly.
    pub(crate) fn size(&self) -> usize {
        self.json.len() + self.key.len() + 128
    }
}

/// Bytes of a stored object, with its version or without, in the form a row serves.
pub(crate) fn served(row: &Resource, json: Bytes) -> Result<Bytes, Unreadable> {
    if !row.strategy.is_converted() {
        return Ok(json);
    }
    let mut object = Object::from_stored(&json)?;
    row.strategy.to_served(&mut object);
    Ok(object.to_bytes().into())
}

/// The protobuf message of an object in JSON.
pub(crate) fn message(definition: &str, json: &[u8]) -> Vec<u8> {
    match Object::from_stored(json) {
        Ok(object) => protobuf::message(definition, object.map()),
        Err(error) => {
            // Its JSON was looked through when it was read; what is left are numbers and depths that nobody writes.
            tracing::error!(%definition, %error, "a stored object has no protobuf form and is sent empty");
            Vec::new()
        }
    }
}

/// Stored bytes as text. Members that nobody looks at are skipped when an object is read, and must be sound all the same: they are
/// sent as they are.
fn text(stored: &[u8]) -> Result<&str, Unreadable> {
    let text = std::str::from_utf8(stored).map_err(<serde_json::Error as serde::de::Error>::custom)?;
    if text.contains("\\u") {
        // An escape may stand for half a character.
        Object::from_stored(stored)?;
    }
    Ok(text)
}

/// The metadata of an object in JSON, as it is written there.
pub(crate) fn metadata(json: &[u8]) -> &[u8] {
    outer(json).map_or(b"{}", |outer| outer.metadata.get().as_bytes())
}

/// Stored bytes with the resource version set to `revision`.
pub(crate) fn with_resource_version(stored: &[u8], revision: i64) -> Result<Bytes, Unreadable> {
    Ok(splice(text(stored)?.as_bytes(), revision)?.0)
}

/// Where parts of an object are in its bytes, of which there are far less than four billion.
#[derive(Debug, Clone)]
struct Places {
    /// The digits of the resource version.
    version: u32,
    metadata: std::ops::Range<u32>,
}

/// The outermost level of an object.
#[derive(Deserialize)]
struct Outer<'a> {
    #[serde(borrow)]
    metadata: &'a RawValue,
}

fn outer(json: &[u8]) -> Result<Outer<'_>, serde_json::Error> {
    serde_json::from_slice(json)
}

/// Writes `"resourceVersion":"<revision>"` into the metadata of stored bytes, which carry none. Returns where things are
/// then, too. Nothing but the outermost level is parsed.
fn splice(stored: &[u8], revision: i64) -> Result<(Bytes, Places), serde_json::Error> {
    const MEMBER: &str = "\"resourceVersion\":\"";
    let outer = outer(stored)?;
    let metadata = outer.metadata.get();
    let Some(inner) = metadata.strip_prefix('{') else {
        return Err(serde::de::Error::custom("metadata is no object"));
    };
    // The borrowed text lies inside `stored`, so the difference of the addresses is its offset.
    let start = metadata.as_ptr() as usize - stored.as_ptr() as usize;
    let at = start + 1;
    let empty = inner.trim_start().starts_with('}');
    let digits = revision.to_string();
    let close: &[u8] = if empty { b"\"" } else { b"\"," };
    // Exactly as long as it will be: this stays in memory as long as the object lives.
    let mut json = Vec::with_capacity(stored.len() + MEMBER.len() + digits.len() + close.len());
    json.extend_from_slice(&stored[..at]);
    json.extend_from_slice(MEMBER.as_bytes());
    let version = json.len() as u32;
    json.extend_from_slice(digits.as_bytes());
    json.extend_from_slice(close);
    json.extend_from_slice(&stored[at..]);
    let end = start + metadata.len() + json.len() - stored.len();
    Ok((json.into(), Places { version, metadata: start as u32..end as u32 }))
}

/// An object in the ordered set, compared by key.
#[derive(Debug, Clone)]
pub(crate) struct Entry(pub(crate) Arc<CachedObject>);

impl Borrow<str> for Entry {
    fn borrow(&self) -> &str {
        &self.0.key
    }
}

impl PartialEq for Entry {
    fn eq(&self, other: &Self) -> bool {
        self.0.key == other.0.key
    }
}

impl Eq for Entry {}

impl PartialOrd for Entry {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Entry {
    fn cmp(&self, other: &Self) -> Ordering {
        self.0.key.cmp(&other.0.key)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_resource_version_is_written_into_the_metadata_and_nothing_else_changes() {
        let stored = br#"{"data":{"metadata":"{}"},"kind":"ConfigMap","metadata":{"name":"a"}}"#;
        let json = with_resource_version(stored, 42).unwrap();
        assert_eq!(
            std::str::from_utf8(&json).unwrap(),
            r#"{"data":{"metadata":"{}"},"kind":"ConfigMap","metadata":{"resourceVersion":"42","name":"a"}}"#
        );
        assert_eq!(
            with_resource_version(br#"{"metadata":{ }}"#, 7).unwrap(),
            r#"{"metadata":{"resourceVersion":"7" }}"#
        );
        assert!(with_resource_version(b"{}", 1).is_err());
        assert!(with_resource_version(br#"{"metadata":[]}"#, 1).is_err());
        assert!(with_resource_version(b"k8s\0", 1).is_err());
    }

    #[test]
    fn what_no_client_could_read_is_not_taken() {
        let registry = apiserver_core::Registry::built_in();
        let row = registry.lookup("", "v1", "configmaps").unwrap();
        let read = |data: &[u8]| {
            let value = [br#"{"data":{"k":""#, data, br#""},"metadata":{"name":"a"}}"#].concat();
            assert_eq!(with_resource_version(&value, 7).is_ok(), CachedObject::read(row, "k", &value, 7).is_ok());
            CachedObject::read(row, "k", &value, 7).map(|object| message(&row.schema, &object.json).is_empty())
        };
        for sound in [&b"v"[..], "ünï".as_bytes(), br"\u00fc", br"\ud83d\ude00", br"\\ud800"] {
            assert!(matches!(read(sound), Ok(false)), "{}", String::from_utf8_lossy(sound));
        }
        for broken in [&b"\xff"[..], b"\xc3", br"\ud800", br"\ud800x", br"\x", b"\""] {
            assert!(read(broken).is_err(), "{}", String::from_utf8_lossy(broken));
        }
    }

    #[test]
    fn a_deleted_object_gets_the_version_of_its_deletion() {
        let (json, places) = splice(br#"{"metadata":{"name":"a"}}"#, 99).unwrap();
        let object = CachedObject {
            key: "k".into(),
            revision: 99,
            json,
            places,
            labels: Texts::default(),
            fields: Texts::default(),
            message: Kept::default(),
        };
        assert_eq!(object.json_at(100), r#"{"metadata":{"resourceVersion":"100","name":"a"}}"#);
    }
}
