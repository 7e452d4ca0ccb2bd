//! What the volumes of a pod must be.

use std::collections::BTreeSet;

use serde_json::Value;

use super::{list, text};
use crate::field::{Errors, Path};
use crate::kinds::certificates::validate_signer;
use crate::names;
use crate::quantity::Quantity;

const HOST_PATH_TYPES: [&str; 7] =
    ["BlockDevice", "CharDevice", "Directory", "DirectoryOrCreate", "File", "FileOrCreate", "Socket"];

/// Checks volumes; the names that mounts may use.
pub(super) fn validate(volumes: &[Value], path: &Path, errors: &mut Errors) -> BTreeSet<String> {
    let mut seen = BTreeSet::new();
    for (index, volume) in volumes.iter().enumerate() {
        let path = path.index(index);
        let name = text(volume, "name");
        if name.is_empty() {
            errors.required(&path.child("name"), "");
        } else {
            for message in names::dns_label(name) {
                errors.invalid(&path.child("name"), name, &message);
            }
            if !seen.insert(name.to_owned()) {
                errors.duplicate(&path.child("name"), name);
            }
        }
        validate_source(volume, &path, errors);
    }
    seen
}

fn validate_source(volume: &Value, path: &Path, errors: &mut Errors) {
    let mut sources = volume.as_object().into_iter().flatten().filter(|(member, _)| *member != "name");
    let Some((kind, source)) = sources.next() else {
        errors.required(path, "must specify a volume type");
        return;
    };
    for (more, _) in sources {
        errors.forbidden(&path.child(more), "may not specify more than 1 volume type");
    }
    let path = path.child(kind);
    let require = |member: &str, errors: &mut Errors| {
        if text(source, member).is_empty() {
            errors.required(&path.child(member), "");
        }
    };
    match kind.as_str() {
        "hostPath" => {
            require("path", errors);
            refuse_climbing(text(source, "path"), &path.child("path"), errors);
            let kind = text(source, "type");
            if !kind.is_empty() && !HOST_PATH_TYPES.contains(&kind) {
                errors.not_supported(&path.child("type"), kind, &HOST_PATH_TYPES);
            }
        }
        "emptyDir" => {
            if let Some(limit) = source.get("sizeLimit").and_then(Value::as_str)
                && Quantity::parse(limit).is_ok_and(|limit| limit.is_negative())
            {
                errors.forbidden(&path.child("sizeLimit"), "SizeLimit field must be a valid resource quantity");
            }
        }
        "secret" => {
            require("secretName", errors);
            validate_items(source, &path, errors);
        }
        "configMap" => {
            require("name", errors);
            validate_items(source, &path, errors);
        }
        "persistentVolumeClaim" => require("claimName", errors),
        "nfs" => {
            require("server", errors);
            require("path", errors);
        }
        "csi" => require("driver", errors),
        "projected" => {
            for (index, source) in list(source, "sources").iter().enumerate() {
                validate_projection(source, &path.child("sources").index(index), errors);
            }
        }
        "downwardAPI" => validate_mode(source.get("defaultMode"), &path.child("defaultMode"), errors),
        // Volumes of drivers that are gone or rare are the kubelet's to refuse.
        _ => {}
    }
}

fn validate_items(source: &Value, path: &Path, errors: &mut Errors) {
    validate_mode(source.get("defaultMode"), &path.child("defaultMode"), errors);
    for (index, item) in list(source, "items").iter().enumerate() {
        let path = path.child("items").index(index);
        for member in ["key", "path"] {
            if text(item, member).is_empty() {
                errors.required(&path.child(member), "");
            }
        }
        let target = text(item, "path");
        if target.starts_with('/') {
            errors.invalid(&path.child("path"), target, "must be a relative path");
        }
        refuse_climbing(target, &path.child("path"), errors);
        if target.starts_with("..") && !target.starts_with("../") && target != ".." {
            errors.invalid(&path.child("path"), target, "must not start with '..'");
        }
        validate_mode(item.get("mode"), &path.child("mode"), errors);
    }
}

fn validate_projection(source: &Value, path: &Path, errors: &mut Errors) {
    let mut kinds = source.as_object().into_iter().flatten();
    let Some((kind, projected)) = kinds.next() else {
        errors.required(path, "must specify a volume projection source");
        return;
    };
    for (more, _) in kinds {
        errors.forbidden(&path.child(more), "may not specify more than 1 volume type");
    }
    let path = path.child(kind);
    match kind.as_str() {
        "secret" | "configMap" => {
            if text(projected, "name").is_empty() {
                errors.required(&path.child("name"), "");
            }
            validate_items(projected, &path, errors);
        }
        "serviceAccountToken" => {
            let seconds = projected.get("expirationSeconds").and_then(Value::as_i64).unwrap_or(0);
            if seconds < 600 {
                errors.invalid(
                    &path.child("expirationSeconds"),
                    seconds,
                    "may not specify a duration less than 10 minutes",
                );
            }
            if seconds > 1 << 32 {
                errors.invalid(
                    &path.child("expirationSeconds"),
                    seconds,
                    "may not specify a duration larger than 2^32 seconds",
                );
            }
            if text(projected, "path").is_empty() {
                errors.required(&path.child("path"), "");
            }
        }
        "podCertificate" => validate_certificate(projected, &path, errors),
        _ => {}
    }
}

fn validate_certificate(projected: &Value, path: &Path, errors: &mut Errors) {
    const KEYS: [&str; 6] = ["ECDSAP256", "ECDSAP384", "ECDSAP521", "ED25519", "RSA3072", "RSA4096"];
    /// An hour and 91 days.
    const SECONDS: (i64, i64) = (3600, 7_862_400);
    validate_signer(text(projected, "signerName"), &path.child("signerName"), errors);
    let key = text(projected, "keyType");
    if !KEYS.contains(&key) {
        errors.not_supported(&path.child("keyType"), key, &KEYS);
    }
    if let Some(seconds) = projected.get("maxExpirationSeconds").and_then(Value::as_i64) {
        let path = path.child("maxExpirationSeconds");
        if seconds < SECONDS.0 {
            errors.invalid(&path, seconds, &format!("if provided, maxExpirationSeconds must be >= {}", SECONDS.0));
        }
        if seconds > SECONDS.1 {
            errors.invalid(&path, seconds, &format!("if provided, maxExpirationSeconds must be <= {}", SECONDS.1));
        }
    }
}

fn validate_mode(mode: Option<&Value>, path: &Path, errors: &mut Errors) {
    if let Some(mode) = mode.and_then(Value::as_i64)
        && !(0..=0o777).contains(&mode)
    {
        errors.invalid(path, mode, "must be a number between 0 and 0777 (octal), both inclusive");
    }
}

fn refuse_climbing(target: &str, path: &Path, errors: &mut Errors) {
    if target.split('/').any(|step| step == "..") {
        errors.invalid(path, target, "must not contain '..'");
    }
}
