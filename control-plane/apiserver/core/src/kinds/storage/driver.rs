//! CSI drivers: what the drivers of volumes can do, and where they run.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::validate_driver_name;
use crate::field::{Errors, Path};
use crate::kinds::amounts;
use crate::kinds::selectors;
use crate::kinds::tree::{self, at, flag, has, list, member, not_negative, number, text, texts};
use crate::names;
use crate::object::Object;
use crate::strategy::{Replacing, Strategy};
use crate::table;

const NODE_ID_LENGTH: usize = 256;

/// The strategy of `CSIDriver`.
#[derive(Debug)]
pub(in crate::kinds) struct CsiDriver;

impl Strategy for CsiDriver {
    fn default(&self, object: &mut Object) {
        let spec = object.section("spec");
        tree::or_set(spec, "attachRequired", true);
        for name in ["podInfoOnMount", "storageCapacity", "requiresRepublish", "seLinuxMount"] {
            tree::or_set(spec, name, false);
        }
        tree::or_set(spec, "fsGroupPolicy", "ReadWriteOnceWithFSType");
        if spec.get("volumeLifecycleModes").and_then(Value::as_array).is_none_or(Vec::is_empty) {
            spec.insert("volumeLifecycleModes".into(), json!(["Persistent"]));
        }
    }

    fn validate(&self, object: &Object, errors: &mut Errors) {
        let name = object.name().unwrap_or_default();
        validate_driver_name(name, &Path::new("metadata.name"), errors);
        let (spec, path) = (at(object, &["spec"]), Path::new("spec"));
        for name in ["attachRequired", "podInfoOnMount", "storageCapacity"] {
            if !has(spec, name) {
                errors.required(&path.child(name), "");
            }
        }
        tree::one_of_if_set(spec, "fsGroupPolicy", &["File", "None", "ReadWriteOnceWithFSType"], &path, errors);
        let mut audiences = BTreeSet::new();
        for (index, request) in list(spec, "tokenRequests").iter().enumerate() {
            let path = path.child("tokenRequests").index(index);
            if !audiences.insert(text(request, "audience")) {
                errors.duplicate(&path.child("audience"), text(request, "audience"));
            }
            if let Some(seconds) = member(request, "expirationSeconds").as_i64() {
                let path = path.child("expirationSeconds");
                if seconds < 600 {
                    errors.invalid(&path, seconds, "may not specify a duration less than 10 minutes");
                }
                if seconds > 1 << 32 {
                    errors.invalid(&path, seconds, "may not specify a duration larger than 2^32 seconds");
                }
            }
        }
        for (index, mode) in texts(spec, "volumeLifecycleModes").enumerate() {
            if !["Ephemeral", "Persistent"].contains(&mode) {
                let path = path.child("volumeLifecycleModes").index(index);
                errors.not_supported(&path, mode, &["Ephemeral", "Persistent"]);
            }
        }
    }

    fn validate_update(&self, new: &Object, replacing: Replacing<'_>, errors: &mut Errors) {
        self.validate(new, errors);
        let (spec, old) = (at(new, &["spec"]), at(replacing.old, &["spec"]));
        for name in ["attachRequired", "fsGroupPolicy", "volumeLifecycleModes"] {
            tree::immutable(member(spec, name), member(old, name), &Path::new("spec").child(name), errors);
        }
    }

    fn cells_read(&self) -> &'static [&'static str] {
        &["spec"]
    }

    fn cells(&self, object: &Object, now: jiff::Timestamp) -> Vec<Value> {
        let spec = at(object, &["spec"]);
        let audiences: Vec<&str> = list(spec, "tokenRequests").iter().map(|one| text(one, "audience")).collect();
        vec![
            object.name().unwrap_or_default().into(),
            flag(spec, "attachRequired").into(),
            flag(spec, "podInfoOnMount").into(),
            flag(spec, "storageCapacity").into(),
            if audiences.is_empty() { "<unset>".to_owned() } else { audiences.join(",") }.into(),
            flag(spec, "requiresRepublish").into(),
            texts(spec, "volumeLifecycleModes").collect::<Vec<_>>().join(",").into(),
            table::age(object.creation_timestamp(), now).into(),
        ]
    }
}

/// The strategy of `CSINode`.
#[derive(Debug)]
pub(in crate::kinds) struct CsiNode;

impl Strategy for CsiNode {
    fn validate(&self, object: &Object, errors: &mut Errors) {
        let path = Path::new("spec.drivers");
        let mut seen = BTreeSet::new();
        for (index, driver) in object.list(&["spec", "drivers"]).iter().enumerate() {
            let path = path.index(index);
            let (name, id) = (text(driver, "name"), text(driver, "nodeID"));
            validate_driver_name(name, &path.child("name"), errors);
            match id.len() {
                0 => errors.required(&path.child("nodeID"), ""),
                length if length > NODE_ID_LENGTH => {
                    errors.invalid(&path.child("nodeID"), id, &format!("must be {NODE_ID_LENGTH} characters or less"));
                }
                _ => {}
            }
            not_negative(member(driver, "allocatable"), &["count"], &path.child("allocatable"), errors);
            let mut keys = BTreeSet::new();
            for key in texts(driver, "topologyKeys") {
                let path = path.child("topologyKeys");
                if !keys.insert(key) {
                    errors.duplicate(&path, key);
                }
                tree::all(names::qualified_name(key), key, &path, errors);
            }
            if !seen.insert(name) {
                errors.duplicate(&path.child("name"), name);
            }
        }
    }

    fn validate_update(&self, new: &Object, replacing: Replacing<'_>, errors: &mut Errors) {
        self.validate(new, errors);
        let drivers = new.list(&["spec", "drivers"]);
        for old in replacing.old.list(&["spec", "drivers"]) {
            // How many volumes fit may change while a driver runs; what it is may not.
            let plain = |driver: &Value| {
                let mut plain = driver.clone();
                if let Some(map) = plain.as_object_mut() {
                    map.remove("allocatable");
                }
                plain
            };
            let now = drivers.iter().enumerate().find(|(_, one)| text(one, "name") == text(old, "name"));
            if let Some((index, now)) = now
                && plain(now) != plain(old)
            {
                errors.invalid(&Path::new("spec.drivers").index(index), now.clone(), "field is immutable");
            }
        }
    }

    fn cells_read(&self) -> &'static [&'static str] {
        &["spec.drivers.*"]
    }

    fn cells(&self, object: &Object, now: jiff::Timestamp) -> Vec<Value> {
        vec![
            object.name().unwrap_or_default().into(),
            object.list(&["spec", "drivers"]).len().into(),
            table::age(object.creation_timestamp(), now).into(),
        ]
    }
}

/// The strategy of `CSIStorageCapacity`.
#[derive(Debug)]
pub(in crate::kinds) struct CsiStorageCapacity;

impl Strategy for CsiStorageCapacity {
    fn validate(&self, object: &Object, errors: &mut Errors) {
        let root = Path::default();
        selectors::validate(at(object, &["nodeTopology"]), &root.child("nodeTopology"), errors);
        let class = object.text(&["storageClassName"]).unwrap_or_default();
        tree::all(names::dns_subdomain(class), class, &root.child("storageClassName"), errors);
        for name in ["capacity", "maximumVolumeSize"] {
            amounts::validate("storage", at(object, &[name]), &root.child(name), errors);
        }
    }

    fn validate_update(&self, new: &Object, replacing: Replacing<'_>, errors: &mut Errors) {
        self.validate(new, errors);
        for name in ["nodeTopology", "storageClassName"] {
            tree::immutable(at(new, &[name]), at(replacing.old, &[name]), &Path::new(name), errors);
        }
    }

    fn cells_read(&self) -> &'static [&'static str] {
        &["storageClassName", "capacity"]
    }

    fn cells(&self, object: &Object, now: jiff::Timestamp) -> Vec<Value> {
        let capacity = at(object, &["capacity"]);
        vec![
            object.name().unwrap_or_default().into(),
            object.text(&["storageClassName"]).unwrap_or_default().into(),
            if capacity.is_null() { String::new() } else { amounts::show(capacity) }.into(),
            table::age(object.creation_timestamp(), now).into(),
        ]
    }
}

/// The strategy of `VolumeAttachment`.
#[derive(Debug)]
pub(in crate::kinds) struct VolumeAttachment;

impl Strategy for VolumeAttachment {
    fn shape(&self) -> crate::strategy::Shape {
        crate::strategy::Shape::Uncounted
    }

    fn validate(&self, object: &Object, errors: &mut Errors) {
        let (spec, path) = (at(object, &["spec"]), Path::new("spec"));
        let (attacher, node) = (text(spec, "attacher"), text(spec, "nodeName"));
        validate_driver_name(attacher, &path.child("attacher"), errors);
        let source = member(spec, "source");
        match (has(source, "inlineVolumeSpec"), has(source, "persistentVolumeName")) {
            (false, false) => errors.required(
                &path.child("source"),
                "must specify exactly one of inlineVolumeSpec and persistentVolumeName",
            ),
            (true, true) => errors.forbidden(
                &path.child("source"),
                "must specify exactly one of inlineVolumeSpec and persistentVolumeName",
            ),
            (false, true) => {
                let name = text(source, "persistentVolumeName");
                let path = path.child("source").child("persistentVolumeName");
                if name.is_empty() {
                    errors.required(&path, "must specify non empty persistentVolumeName");
                } else {
                    tree::all(names::dns_subdomain(name), name, &path, errors);
                }
            }
            (true, false) => {}
        }
        tree::all(names::dns_subdomain(node), node, &path.child("nodeName"), errors);
    }

    fn validate_update(&self, new: &Object, replacing: Replacing<'_>, errors: &mut Errors) {
        self.validate(new, errors);
        tree::immutable(at(new, &["spec"]), at(replacing.old, &["spec"]), &Path::new("spec"), errors);
        for name in ["attachError", "detachError"] {
            let error = at(new, &["status", name]);
            if number(error, "errorCode") < 0 {
                let path = Path::new("status").child(name).child("errorCode");
                errors.invalid(&path, number(error, "errorCode"), "must be greater than or equal to 0");
            }
        }
    }

    fn cells_read(&self) -> &'static [&'static str] {
        &["spec.attacher", "spec.source.persistentVolumeName", "spec.nodeName", "status.attached"]
    }

    fn cells(&self, object: &Object, now: jiff::Timestamp) -> Vec<Value> {
        let spec = at(object, &["spec"]);
        vec![
            object.name().unwrap_or_default().into(),
            text(spec, "attacher").into(),
            text(member(spec, "source"), "persistentVolumeName").into(),
            text(spec, "nodeName").into(),
            flag(at(object, &["status"]), "attached").into(),
            table::age(object.creation_timestamp(), now).into(),
        ]
    }
}
