//! A Kubernetes object as a JSON tree, with the accessors every kind shares.

use serde::Serialize;
use serde_json::{Map, Value, json};

/// A JSON object with (at least the intention of) `apiVersion`, `kind` and `metadata`.
///
/// Accessors of a field that is absent or of another type answer as if it were absent: types are checked once, when a body is
/// decoded, so that nothing after that has to be suspicious.
#[derive(Debug, Clone, PartialEq, Default, Serialize)]
#[serde(transparent)]
pub struct Object(Map<String, Value>);

impl Object {
    /// An object with only `apiVersion` and `kind`.
    pub fn new(api_version: &str, kind: &str) -> Self {
        let mut map = Map::new();
        map.insert("apiVersion".into(), api_version.into());
        map.insert("kind".into(), kind.into());
        Self(map)
    }

    /// Wraps a tree; `None` if it is not a JSON object.
    pub fn from_value(value: Value) -> Option<Self> {
        match value {
            Value::Object(map) => Some(Self(map)),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => None,
        }
    }

    /// Reads bytes this server wrote to the store.
    ///
    /// # Errors
    ///
    /// When the bytes are not one JSON object.
    pub fn from_stored(bytes: &[u8]) -> Result<Self, serde_json::Error> {
        serde_json::from_slice::<Map<String, Value>>(bytes).map(Self)
    }

    /// The bytes to store, and to send.
    pub fn to_bytes(&self) -> Vec<u8> {
        // A map of strings to values has no way to fail: keys are strings and the writer is memory.
        serde_json::to_vec(&self.0).unwrap_or_default()
    }

    /// The tree.
    pub fn into_value(self) -> Value {
        Value::Object(self.0)
    }

    /// The tree, borrowed.
    pub fn map(&self) -> &Map<String, Value> {
        &self.0
    }

    /// The tree, to change.
    pub fn map_mut(&mut self) -> &mut Map<String, Value> {
        &mut self.0
    }

    /// The value at a path of member names; `None` when any step is missing.
    pub fn at(&self, path: &[&str]) -> Option<&Value> {
        let (first, rest) = path.split_first()?;
        rest.iter().try_fold(self.0.get(*first)?, |value, name| value.get(*name))
    }

    /// The string at a path; `None` when absent, not a string, or empty.
    pub fn text(&self, path: &[&str]) -> Option<&str> {
        self.at(path).and_then(Value::as_str).filter(|text| !text.is_empty())
    }

    /// The integer at a path.
    pub fn integer(&self, path: &[&str]) -> Option<i64> {
        self.at(path).and_then(Value::as_i64)
    }

    /// The boolean at a path, `false` when absent.
    pub fn flag(&self, path: &[&str]) -> bool {
        self.at(path).and_then(Value::as_bool).unwrap_or(false)
    }

    /// The list at a path, empty when absent.
    pub fn list(&self, path: &[&str]) -> &[Value] {
        self.at(path).and_then(Value::as_array).map_or(&[], Vec::as_slice)
    }

    /// Sets the value at a path, making the objects on the way (and replacing what is in the way and is no object).
    pub fn set(&mut self, path: &[&str], value: impl Into<Value>) {
        let Some((last, parents)) = path.split_last() else { return };
        let mut here = &mut self.0;
        for name in parents {
            let slot = here.entry(*name).or_insert_with(|| json!({}));
            if !slot.is_object() {
                *slot = json!({});
            }
            let Value::Object(next) = slot else { return };
            here = next;
        }
        here.insert((*last).to_owned(), value.into());
    }

    /// Takes the value at a path out of the tree.
    pub fn remove(&mut self, path: &[&str]) -> Option<Value> {
        let (last, parents) = path.split_last()?;
        let mut here = &mut self.0;
        for name in parents {
            here = here.get_mut(*name)?.as_object_mut()?;
        }
        here.remove(*last)
    }

    /// Makes the value at a path what it is in another object, absent if it is absent there.
    pub fn take_over(&mut self, path: &[&str], from: &Self) {
        match from.at(path).cloned() {
            Some(value) => self.set(path, value),
            None => {
                self.remove(path);
            }
        }
    }

    /// The object at a path, made if absent (and put in the place of what is no object).
    pub fn section(&mut self, name: &str) -> &mut Map<String, Value> {
        let slot = self.0.entry(name).or_insert_with(|| json!({}));
        if !slot.is_object() {
            *slot = json!({});
        }
        match slot {
            Value::Object(map) => map,
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => {
                unreachable!("made an object above")
            }
        }
    }

    /// `apiVersion`.
    pub fn api_version(&self) -> Option<&str> {
        self.text(&["apiVersion"])
    }

    /// `kind`.
    pub fn kind(&self) -> Option<&str> {
        self.text(&["kind"])
    }

    /// `metadata.name`.
    pub fn name(&self) -> Option<&str> {
        self.text(&["metadata", "name"])
    }

    /// `metadata.generateName`.
    pub fn generate_name(&self) -> Option<&str> {
        self.text(&["metadata", "generateName"])
    }

    /// `metadata.namespace`.
    pub fn namespace(&self) -> Option<&str> {
        self.text(&["metadata", "namespace"])
    }

    /// `metadata.uid`.
    pub fn uid(&self) -> Option<&str> {
        self.text(&["metadata", "uid"])
    }

    /// `metadata.resourceVersion`.
    pub fn resource_version(&self) -> Option<&str> {
        self.text(&["metadata", "resourceVersion"])
    }

    /// Sets `metadata.resourceVersion`: the store's revision of the last write.
    pub fn set_resource_version(&mut self, revision: i64) {
        self.set(&["metadata", "resourceVersion"], revision.to_string());
    }

    /// `metadata.generation`.
    pub fn generation(&self) -> Option<i64> {
        self.integer(&["metadata", "generation"])
    }

    /// `metadata.creationTimestamp` as sent.
    pub fn creation_timestamp(&self) -> Option<&str> {
        self.text(&["metadata", "creationTimestamp"])
    }

    /// `metadata.deletionTimestamp` as sent.
    pub fn deletion_timestamp(&self) -> Option<&str> {
        self.text(&["metadata", "deletionTimestamp"])
    }

    /// `metadata.labels` as pairs, in key order.
    pub fn labels(&self) -> impl Iterator<Item = (&str, &str)> {
        self.pairs("labels")
    }

    /// One label.
    pub fn label(&self, key: &str) -> Option<&str> {
        self.at(&["metadata", "labels", key]).and_then(Value::as_str)
    }

    /// `metadata.annotations` as pairs, in key order.
    pub fn annotations(&self) -> impl Iterator<Item = (&str, &str)> {
        self.pairs("annotations")
    }

    /// `metadata.finalizers`.
    pub fn finalizers(&self) -> impl Iterator<Item = &str> {
        self.list(&["metadata", "finalizers"]).iter().filter_map(Value::as_str)
    }

    fn pairs(&self, member: &str) -> impl Iterator<Item = (&str, &str)> {
        self.at(&["metadata", member])
            .and_then(Value::as_object)
            .into_iter()
            .flatten()
            .filter_map(|(key, value)| value.as_str().map(|value| (key.as_str(), value)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_made_when_set_and_gone_when_removed() {
        let mut object = Object::new("v1", "Pod");
        object.set(&["metadata", "labels", "a"], "b");
        assert_eq!(object.label("a"), Some("b"));
        assert_eq!(object.remove(&["metadata", "labels", "a"]), Some("b".into()));
        assert_eq!(object.label("a"), None);
        assert_eq!(object.remove(&["spec", "x"]), None);
    }

    #[test]
    fn bytes_round_trip() {
        let mut object = Object::new("v1", "Pod");
        object.set_resource_version(7);
        assert_eq!(Object::from_stored(&object.to_bytes()).ok(), Some(object));
        assert!(Object::from_stored(b"[]").is_err());
    }
}
