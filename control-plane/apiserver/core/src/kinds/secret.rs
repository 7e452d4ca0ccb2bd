//! Secrets: bytes by key, with a type that demands some keys.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

use super::config_map::{DATA_LIMIT, check_immutable, count, decoded_length};
use crate::field::{Errors, Path};
use crate::names;
use crate::object::Object;
use crate::strategy::{Replacing, Strategy};
use crate::table;

/// The strategy.
#[derive(Debug)]
pub(super) struct Secret;

impl Strategy for Secret {
    fn default(&self, object: &mut Object) {
        // Text given for convenience becomes bytes, and is never stored as text.
        if let Some(Value::Object(texts)) = object.remove(&["stringData"]) {
            for (key, text) in texts {
                let bytes = STANDARD.encode(text.as_str().unwrap_or_default());
                object.set(&["data", &key], bytes);
            }
        }
        if object.text(&["type"]).is_none() {
            object.set(&["type"], "Opaque");
        }
    }

    fn validate(&self, object: &Object, errors: &mut Errors) {
        let path = Path::new("data");
        let mut size = 0;
        for (key, value) in object.at(&["data"]).and_then(Value::as_object).into_iter().flatten() {
            for message in names::config_key(key) {
                errors.invalid(&path.key(key), key.as_str(), &message);
            }
            size += decoded_length(value.as_str().unwrap_or_default());
        }
        if size > DATA_LIMIT {
            errors.too_long(&path, DATA_LIMIT);
        }
        validate_type(object, &path, errors);
    }

    fn validate_update(&self, new: &Object, replacing: Replacing<'_>, errors: &mut Errors) {
        if new.at(&["type"]) != replacing.old.at(&["type"]) {
            errors.invalid(&Path::new("type"), new.text(&["type"]).unwrap_or_default(), "field is immutable");
        }
        check_immutable(new, replacing.old, &["data"], errors);
        self.validate(new, errors);
    }

    fn cells_read(&self) -> &'static [&'static str] {
        &["type", "data.*"]
    }

    fn cells(&self, object: &Object, now: jiff::Timestamp) -> Vec<Value> {
        vec![
            object.name().unwrap_or_default().into(),
            object.text(&["type"]).unwrap_or_default().into(),
            count(object, "data").into(),
            table::age(object.creation_timestamp(), now).into(),
        ]
    }
}

fn validate_type(object: &Object, path: &Path, errors: &mut Errors) {
    let value = |key: &str| object.at(&["data", key]).and_then(Value::as_str);
    let mut require = |key: &str| {
        if value(key).is_none() {
            errors.required(&path.key(key), "");
        }
    };
    match object.text(&["type"]).unwrap_or_default() {
        "kubernetes.io/service-account-token" => {
            let account = "kubernetes.io/service-account.name";
            if object.text(&["metadata", "annotations", account]).is_none() {
                errors.required(&Path::new("metadata.annotations").key(account), "");
            }
        }
        "kubernetes.io/dockercfg" => require_json(value(".dockercfg"), &path.key(".dockercfg"), errors),
        "kubernetes.io/dockerconfigjson" => {
            require_json(value(".dockerconfigjson"), &path.key(".dockerconfigjson"), errors);
        }
        "kubernetes.io/basic-auth" if value("username").is_none() && value("password").is_none() => {
            require("username");
            require("password");
        }
        "kubernetes.io/ssh-auth" if value("ssh-privatekey").is_none_or(str::is_empty) => {
            errors.required(&path.key("ssh-privatekey"), "");
        }
        "kubernetes.io/tls" => {
            require("tls.crt");
            require("tls.key");
        }
        _ => {}
    }
}

fn require_json(value: Option<&str>, path: &Path, errors: &mut Errors) {
    let Some(value) = value else { return errors.required(path, "") };
    let bytes = STANDARD.decode(value).unwrap_or_default();
    if let Err(error) = serde_json::from_slice::<serde_json::Map<String, Value>>(&bytes) {
        errors.invalid(path, "<secret contents redacted>", &error.to_string());
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use crate::kinds::testing::{self, create, create_errors, update_errors};

    fn row() -> std::sync::Arc<crate::Resource> {
        testing::row("", "secrets")
    }

    #[test]
    fn text_becomes_bytes() {
        let secret = create(&row(), json!({ "stringData": { "a": "hi" } }));
        assert_eq!(secret.at(&["data", "a"]), Some(&json!("aGk=")));
        assert_eq!(secret.at(&["stringData"]), None);
        assert_eq!(secret.text(&["type"]), Some("Opaque"));
    }

    #[test]
    fn types_demand_their_keys() {
        assert_eq!(
            create_errors(&row(), json!({ "type": "kubernetes.io/tls" })),
            ["data[tls.crt]: Required value", "data[tls.key]: Required value"]
        );
        assert_eq!(
            create_errors(&row(), json!({ "type": "kubernetes.io/service-account-token" })),
            ["metadata.annotations[kubernetes.io/service-account.name]: Required value"]
        );
        assert!(
            create_errors(&row(), json!({ "type": "kubernetes.io/basic-auth", "data": { "username": "" } })).is_empty()
        );
    }

    #[test]
    fn the_type_cannot_change() {
        assert_eq!(
            update_errors(&row(), None, json!({ "type": "a/b" }), json!({ "type": "a/c" })),
            ["type: Invalid value: \"a/c\": field is immutable"]
        );
        // Leaving it out means `Opaque`, as upstream has it.
        assert_eq!(
            update_errors(&row(), None, json!({ "type": "a/b" }), json!({})),
            ["type: Invalid value: \"Opaque\": field is immutable"]
        );
    }
}
