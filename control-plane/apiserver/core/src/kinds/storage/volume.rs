//! Persistent volumes.

use serde_json::{Value, json};

use super::{modes_shown, shown_or_unset, validate_modes};
use crate::engine::Context;
use crate::field::{Errors, Path};
use crate::kinds::amounts;
use crate::kinds::tree::{self, at, entries, has, list, member, text};
use crate::names;
use crate::object::Object;
use crate::status::Status;
use crate::strategy::{Part, Replacing, Shape, Strategy};
use crate::{table, time};

/// What can be where a volume's storage is, and what each must say.
const SOURCES: [(&str, &[&str]); 22] = [
    ("awsElasticBlockStore", &["volumeID"]),
    ("azureDisk", &["diskName", "diskURI"]),
    ("azureFile", &["secretName", "shareName"]),
    ("cephfs", &[]),
    ("cinder", &["volumeID"]),
    ("csi", &["driver", "volumeHandle"]),
    ("fc", &[]),
    ("flexVolume", &["driver"]),
    ("flocker", &[]),
    ("gcePersistentDisk", &["pdName"]),
    ("glusterfs", &["endpoints", "path"]),
    ("hostPath", &["path"]),
    ("iscsi", &["targetPortal", "iqn"]),
    ("local", &["path"]),
    ("nfs", &["server", "path"]),
    ("photonPersistentDisk", &["pdID"]),
    ("portworxVolume", &["volumeID"]),
    ("quobyte", &["registry", "volume"]),
    ("rbd", &["image"]),
    ("scaleIO", &["gateway", "system", "volumeName"]),
    ("storageos", &[]),
    ("vsphereVolume", &["volumePath"]),
];

/// The strategy.
#[derive(Debug)]
pub(in crate::kinds) struct PersistentVolume;

impl Strategy for PersistentVolume {
    fn shape(&self) -> Shape {
        Shape::Uncounted
    }

    fn default(&self, object: &mut Object) {
        let spec = object.section("spec");
        tree::or_set(spec, "persistentVolumeReclaimPolicy", "Retain");
        tree::or_set(spec, "volumeMode", "Filesystem");
        if let Some(path) = spec.get_mut("hostPath").and_then(Value::as_object_mut) {
            path.entry("type").or_insert_with(|| "".into());
        }
    }

    fn prepare_create(&self, object: &mut Object, context: &Context<'_>) -> Result<(), Status> {
        object.set(&["status"], json!({ "phase": "Pending", "lastPhaseTransitionTime": time::seconds(context.now) }));
        Ok(())
    }

    fn prepare_update(&self, new: &mut Object, replacing: Replacing<'_>, context: &Context<'_>) -> Result<(), Status> {
        let old = replacing.old;
        match replacing.part {
            Part::Status => {
                new.take_over(&["spec"], old);
                if tree::changed(new, old, &["status", "phase"]) {
                    new.set(&["status", "lastPhaseTransitionTime"], time::seconds(context.now));
                }
            }
            Part::Main | Part::Other(_) => new.take_over(&["status"], old),
        }
        Ok(())
    }

    fn validate(&self, object: &Object, errors: &mut Errors) {
        let (spec, path) = (at(object, &["spec"]), &Path::new("spec"));
        if list(spec, "accessModes").is_empty() {
            errors.required(&path.child("accessModes"), "");
        }
        validate_modes(spec, path, errors);
        validate_capacity(spec, path, errors);
        tree::one_of_if_set(spec, "persistentVolumeReclaimPolicy", &["Delete", "Recycle", "Retain"], path, errors);
        validate_source(spec, path, errors);
        if let Some(class) = member(spec, "storageClassName").as_str().filter(|class| !class.is_empty()) {
            tree::all(names::dns_subdomain(class), class, &path.child("storageClassName"), errors);
        }
        tree::one_of_if_set(spec, "volumeMode", &["Block", "Filesystem"], path, errors);
        if has(spec, "local") && !has(member(spec, "nodeAffinity"), "required") {
            errors.required(&path.child("nodeAffinity"), "Local volume requires node affinity");
        }
        if text(member(spec, "hostPath"), "path") == "/" && text(spec, "persistentVolumeReclaimPolicy") == "Recycle" {
            errors.forbidden(
                &path.child("persistentVolumeReclaimPolicy"),
                "may not be 'recycle' for a hostPath mount of '/'",
            );
        }
    }

    fn validate_update(&self, new: &Object, replacing: Replacing<'_>, errors: &mut Errors) {
        if replacing.part == Part::Status {
            if at(new, &["metadata", "resourceVersion"]).is_null() {
                errors.required(&Path::new("resourceVersion"), "");
            }
            return;
        }
        self.validate(new, errors);
        let (spec, old, path) = (at(new, &["spec"]), at(replacing.old, &["spec"]), Path::new("spec"));
        if SOURCES.iter().any(|(name, _)| member(spec, name) != member(old, name)) {
            errors.forbidden(
                &path.child("persistentvolumesource"),
                "spec.persistentvolumesource is immutable after creation",
            );
        }
        tree::immutable(member(spec, "volumeMode"), member(old, "volumeMode"), &path.child("volumeMode"), errors);
        if has(old, "nodeAffinity") {
            let (now, before) = (member(spec, "nodeAffinity"), member(old, "nodeAffinity"));
            tree::immutable(now, before, &path.child("nodeAffinity"), errors);
        }
    }

    fn cells_read(&self) -> &'static [&'static str] {
        &[
            "spec.claimRef.namespace",
            "spec.claimRef.name",
            "spec.capacity.storage",
            "spec.accessModes",
            "spec.persistentVolumeReclaimPolicy",
            "spec.storageClassName",
            "spec.volumeAttributesClassName",
            "spec.volumeMode",
            "status.phase",
            "status.reason",
        ]
    }

    fn cells(&self, object: &Object, now: jiff::Timestamp) -> Vec<Value> {
        let (spec, status) = (at(object, &["spec"]), at(object, &["status"]));
        let claim = member(spec, "claimRef");
        let claim = if claim.is_null() {
            String::new()
        } else {
            format!("{}/{}", text(claim, "namespace"), text(claim, "name"))
        };
        let phase = if object.deletion_timestamp().is_some() { "Terminating" } else { text(status, "phase") };
        vec![
            object.name().unwrap_or_default().into(),
            text(member(spec, "capacity"), "storage").into(),
            modes_shown(spec).into(),
            text(spec, "persistentVolumeReclaimPolicy").into(),
            phase.into(),
            claim.into(),
            text(spec, "storageClassName").into(),
            shown_or_unset(spec, "volumeAttributesClassName"),
            text(status, "reason").into(),
            table::age(object.creation_timestamp(), now).into(),
            shown_or_unset(spec, "volumeMode"),
        ]
    }
}

fn validate_capacity(spec: &Value, path: &Path, errors: &mut Errors) {
    let path = path.child("capacity");
    let count = entries(spec, "capacity").count();
    if count == 0 {
        errors.required(&path, "");
    }
    if !has(member(spec, "capacity"), "storage") || count > 1 {
        errors.not_supported(&path, member(spec, "capacity").clone(), &["storage"]);
    }
    for (resource, amount) in entries(spec, "capacity") {
        amounts::validate_positive(amount, &path.key(resource), errors);
    }
}

fn validate_source(spec: &Value, path: &Path, errors: &mut Errors) {
    let mut given = SOURCES.iter().filter(|(name, _)| has(spec, name));
    let Some((name, required)) = given.next() else {
        return errors.required(path, "must specify a volume type");
    };
    for (more, _) in given {
        errors.forbidden(&path.child(more), "may not specify more than 1 volume type");
    }
    let (source, path) = (member(spec, name), path.child(name));
    for field in *required {
        if text(source, field).is_empty() {
            errors.required(&path.child(field), "");
        }
    }
    let target = text(source, "path");
    if ["hostPath", "local"].contains(name) && target.split('/').any(|step| step == "..") {
        errors.invalid(&path.child("path"), target, "must not contain '..'");
    }
    let driver = text(source, "driver");
    if *name == "csi" && !driver.is_empty() {
        tree::all(names::dns_subdomain(&driver.to_lowercase()), driver, &path.child("driver"), errors);
    }
}
