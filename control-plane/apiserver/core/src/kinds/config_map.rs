//! `ConfigMap`s: text and bytes by key.

use serde_json::Value;

use crate::field::{Errors, Path};
use crate::names;
use crate::object::Object;
use crate::strategy::{Replacing, Strategy};
use crate::table;

/// All values of a `ConfigMap` or Secret together, in bytes.
pub(super) const DATA_LIMIT: usize = 1024 * 1024;

/// The strategy.
#[derive(Debug)]
pub(super) struct ConfigMap;

impl Strategy for ConfigMap {
    fn validate(&self, object: &Object, errors: &mut Errors) {
        let binary = object.at(&["binaryData"]).and_then(Value::as_object);
        let mut size = 0;
        for (member, map) in [("data", object.at(&["data"]).and_then(Value::as_object)), ("binaryData", binary)] {
            for (key, value) in map.into_iter().flatten() {
                let path = Path::new(member).key(key);
                for message in names::config_key(key) {
                    errors.invalid(&path, key.as_str(), &message);
                }
                if member == "data" && binary.is_some_and(|binary| binary.contains_key(key)) {
                    errors.invalid(&path, key.as_str(), "duplicate of key present in binaryData");
                }
                let text = value.as_str().unwrap_or_default();
                size += if member == "data" { text.len() } else { decoded_length(text) };
            }
        }
        if size > DATA_LIMIT {
            errors.too_long(&Path::new(""), DATA_LIMIT);
        }
    }

    fn validate_update(&self, new: &Object, replacing: Replacing<'_>, errors: &mut Errors) {
        check_immutable(new, replacing.old, &["data", "binaryData"], errors);
        self.validate(new, errors);
    }

    fn cells_read(&self) -> &'static [&'static str] {
        &["data.*", "binaryData.*"]
    }

    fn cells(&self, object: &Object, now: jiff::Timestamp) -> Vec<Value> {
        let count = count(object, "data") + count(object, "binaryData");
        vec![
            object.name().unwrap_or_default().into(),
            count.into(),
            table::age(object.creation_timestamp(), now).into(),
        ]
    }
}

/// Number of entries of a map.
pub(super) fn count(object: &Object, member: &str) -> usize {
    object.at(&[member]).and_then(Value::as_object).map_or(0, serde_json::Map::len)
}

/// How many bytes base64 text stands for.
pub(super) fn decoded_length(text: &str) -> usize {
    let padding = text.bytes().rev().take_while(|byte| *byte == b'=').count();
    (text.len() / 4 * 3).saturating_sub(padding)
}

/// Refuses changes of an object that is marked immutable.
pub(super) fn check_immutable(new: &Object, old: &Object, members: &[&str], errors: &mut Errors) {
    const WHY: &str = "field is immutable when `immutable` is set";
    if !old.flag(&["immutable"]) {
        return;
    }
    if !new.flag(&["immutable"]) {
        errors.forbidden(&Path::new("immutable"), WHY);
    }
    for member in members {
        if new.at(&[member]) != old.at(&[member]) {
            errors.forbidden(&Path::new(member), WHY);
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::kinds::testing::{self, create_errors, update_errors};

    fn row() -> std::sync::Arc<crate::Resource> {
        testing::row("", "configmaps")
    }

    #[test]
    fn keys_and_size_are_checked() {
        assert_eq!(
            create_errors(&row(), json!({ "data": { "a b": "x", "k": "1" }, "binaryData": { "k": "AAAA" } })),
            [
                "data[a b]: Invalid value: \"a b\": a valid config key must consist of alphanumeric characters, '-', '_' or '.' (e.g. 'key.name',  or 'KEY_NAME',  or 'key-name', regex used for validation is '[-._a-zA-Z0-9]+')",
                "data[k]: Invalid value: \"k\": duplicate of key present in binaryData",
            ]
        );
        let big = "x".repeat(DATA_LIMIT + 1);
        assert_eq!(
            create_errors(&row(), json!({ "data": { "k": big } })),
            ["<nil>: Too long: may not be more than 1048576 bytes"]
        );
    }

    #[test]
    fn an_immutable_one_stays_as_it_is() {
        let old = json!({ "data": { "k": "1" }, "immutable": true });
        assert_eq!(
            update_errors(&row(), None, old.clone(), json!({ "data": { "k": "2" } })),
            [
                "immutable: Forbidden: field is immutable when `immutable` is set",
                "data: Forbidden: field is immutable when `immutable` is set",
            ]
        );
        assert!(update_errors(&row(), None, old.clone(), old).is_empty());
    }
}
