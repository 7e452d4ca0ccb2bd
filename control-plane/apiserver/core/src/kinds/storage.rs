//! Volumes, claims to them, and the classes they are made by.

mod claim;
mod class;
mod driver;
mod volume;

pub(super) use claim::PersistentVolumeClaim;
pub(super) use class::{StorageClass, VolumeAttributesClass};
pub(super) use driver::{CsiDriver, CsiNode, CsiStorageCapacity, VolumeAttachment};
use serde_json::Value;
pub(super) use volume::PersistentVolume;

use super::tree;
use super::tree::{has, texts};
use crate::field::{Errors, Path};
use crate::names;

const ACCESS_MODES: [&str; 4] = ["ReadOnlyMany", "ReadWriteMany", "ReadWriteOnce", "ReadWriteOncePod"];

/// Checks the access modes of a volume or a claim.
fn validate_modes(spec: &Value, path: &Path, errors: &mut Errors) {
    let path = path.child("accessModes");
    for mode in texts(spec, "accessModes").filter(|mode| !ACCESS_MODES.contains(mode)) {
        errors.not_supported(&path, mode, &ACCESS_MODES);
    }
    let count = texts(spec, "accessModes").count();
    if count > 1 && texts(spec, "accessModes").any(|mode| mode == "ReadWriteOncePod") {
        errors.forbidden(&path, "may not use ReadWriteOncePod with other access modes");
    }
}

/// Checks the name of a driver.
fn validate_driver_name(name: &str, path: &Path, errors: &mut Errors) {
    const LENGTH: usize = 63;
    if name.is_empty() {
        return errors.required(path, "");
    }
    if name.len() > LENGTH {
        errors.too_long(path, LENGTH);
    }
    tree::all(names::dns_subdomain(&name.to_lowercase()), name, path, errors);
}

/// Access modes as a table shows them: `RWO,ROX,RWX,RWOP`, each once.
fn modes_shown(owner: &Value) -> String {
    [("ReadWriteOnce", "RWO"), ("ReadOnlyMany", "ROX"), ("ReadWriteMany", "RWX"), ("ReadWriteOncePod", "RWOP")]
        .iter()
        .filter(|(mode, _)| texts(owner, "accessModes").any(|one| one == *mode))
        .map(|(_, short)| *short)
        .collect::<Vec<_>>()
        .join(",")
}

/// What a member that need not be there shows in a table.
fn shown_or_unset(owner: &Value, name: &str) -> Value {
    if has(owner, name) { owner[name].clone() } else { "<unset>".into() }
}

#[cfg(test)]
mod tests;
