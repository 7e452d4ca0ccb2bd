//! Storage: the class of claims that name none, the life of what is in use, and growth.

use std::cmp::Reverse;
use std::sync::Arc;

use apiserver_core::quantity::Quantity;
use apiserver_core::{Object, Status};
use serde_json::Value;

use crate::attributes::{Attributes, Operation};
use crate::facts::{Facts, View, views};
use crate::plugin::Plugin;

const OLD_CLASS: &str = "volume.beta.kubernetes.io/storage-class";
const DEFAULT: [&str; 2] =
    ["storageclass.kubernetes.io/is-default-class", "storageclass.beta.kubernetes.io/is-default-class"];

/// The newest of the objects that an annotation marks; of those made at once the first by name.
pub(super) fn newest_marked(objects: Vec<Arc<Object>>, annotations: &[&str]) -> Option<Arc<Object>> {
    let is_marked =
        |object: &Object| annotations.iter().any(|key| object.text(&["metadata", "annotations", key]) == Some("true"));
    let mut marked: Vec<Arc<Object>> = objects.into_iter().filter(|object| is_marked(object)).collect();
    marked.sort_by_cached_key(|object| {
        (
            Reverse(object.creation_timestamp().unwrap_or_default().to_owned()),
            object.name().unwrap_or_default().to_owned(),
        )
    });
    marked.into_iter().next()
}

/// Gives claims the default class.
#[derive(Debug)]
pub(super) struct DefaultStorageClass;

impl Plugin for DefaultStorageClass {
    fn name(&self) -> &'static str {
        "DefaultStorageClass"
    }

    fn concerns(&self, attributes: &Attributes<'_>) -> bool {
        attributes.creates("", "persistentvolumeclaims")
    }

    fn reads(&self) -> &'static [View] {
        &[views::STORAGE_CLASSES]
    }

    fn mutate(&self, _: &Attributes<'_>, claim: &mut Object, facts: &dyn Facts) -> Result<(), Status> {
        let says = claim.at(&["spec", "storageClassName"]).is_some_and(|class| !class.is_null())
            || claim.at(&["metadata", "annotations", OLD_CLASS]).is_some();
        if says {
            return Ok(());
        }
        if let Some(class) = newest_marked(facts.list(views::STORAGE_CLASSES, None), &DEFAULT)
            && let Some(name) = class.name()
        {
            claim.set(&["spec", "storageClassName"], name);
        }
        Ok(())
    }
}

/// Keeps what is in use from going: a controller lets it go when it is not used any more.
#[derive(Debug)]
pub(super) struct StorageObjectInUseProtection;

impl Plugin for StorageObjectInUseProtection {
    fn name(&self) -> &'static str {
        "StorageObjectInUseProtection"
    }

    fn concerns(&self, attributes: &Attributes<'_>) -> bool {
        attributes.operation == Operation::Create && attributes.subresource.is_none() && finalizer(attributes).is_some()
    }

    fn mutate(&self, attributes: &Attributes<'_>, object: &mut Object, _: &dyn Facts) -> Result<(), Status> {
        let Some(finalizer) = finalizer(attributes) else { return Ok(()) };
        if !object.finalizers().any(|one| one == finalizer) {
            let all: Vec<Value> = object.finalizers().chain([finalizer]).map(Value::from).collect();
            object.set(&["metadata", "finalizers"], all);
        }
        Ok(())
    }
}

fn finalizer(attributes: &Attributes<'_>) -> Option<&'static str> {
    match (attributes.resource.group.as_str(), attributes.resource.plural.as_str()) {
        ("", "persistentvolumes") => Some("kubernetes.io/pv-protection"),
        ("", "persistentvolumeclaims") => Some("kubernetes.io/pvc-protection"),
        ("storage.k8s.io", "volumeattributesclasses") => Some("kubernetes.io/vac-protection"),
        _ => None,
    }
}

/// Lets claims grow where their class can.
#[derive(Debug)]
pub(super) struct PersistentVolumeClaimResize;

impl Plugin for PersistentVolumeClaimResize {
    fn name(&self) -> &'static str {
        "PersistentVolumeClaimResize"
    }

    fn concerns(&self, attributes: &Attributes<'_>) -> bool {
        attributes.operation == Operation::Update && attributes.is_on("", "persistentvolumeclaims", None)
    }

    fn reads(&self) -> &'static [View] {
        &[views::STORAGE_CLASSES]
    }

    fn validate(&self, attributes: &Attributes<'_>, claim: Option<&Object>, facts: &dyn Facts) -> Result<(), Status> {
        let (Some(claim), Some(old)) = (claim, attributes.old) else { return Ok(()) };
        let size = |claim: &Object| {
            claim.at(&["spec", "resources", "requests", "storage"]).and_then(Quantity::of).unwrap_or(Quantity::ZERO)
        };
        if size(claim) <= size(old) {
            return Ok(());
        }
        if old.text(&["status", "phase"]) != Some("Bound") {
            return Err(attributes.forbidden(Some(claim), "Only bound persistent volume claims can be expanded"));
        }
        let class = class_of(claim);
        let grows = !class.is_empty()
            && class == class_of(old)
            && facts
                .get(views::STORAGE_CLASSES, None, class)
                .is_some_and(|class| class.flag(&["allowVolumeExpansion"]));
        if grows {
            return Ok(());
        }
        Err(attributes.forbidden(
            Some(claim),
            "only dynamically provisioned pvc can be resized and the storageclass that provisions the pvc must support resize",
        ))
    }
}

fn class_of(claim: &Object) -> &str {
    let old = claim.text(&["metadata", "annotations", OLD_CLASS]);
    old.or_else(|| claim.text(&["spec", "storageClassName"])).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::testing::{World, create, update};

    fn class(name: &str, made: &str, default: &str) -> Value {
        json!({
            "metadata": { "name": name, "creationTimestamp": made, "annotations": { DEFAULT[0]: default } },
            "allowVolumeExpansion": name == "b",
        })
    }

    fn world() -> World {
        let day = |day: u8| format!("2026-08-{day:02}T00:00:00Z");
        World::default()
            .with(views::STORAGE_CLASSES, class("a", &day(1), "true"))
            .with(views::STORAGE_CLASSES, class("c", &day(2), "true"))
            .with(views::STORAGE_CLASSES, class("b", &day(2), "true"))
            .with(views::STORAGE_CLASSES, class("d", &day(3), "false"))
    }

    #[test]
    fn a_claim_gets_the_newest_default_class() {
        let given = |claim: Value| {
            let claim = create("", "persistentvolumeclaims").mutate(&DefaultStorageClass, claim, &world()).unwrap();
            claim["spec"].get("storageClassName").cloned()
        };
        assert_eq!(given(json!({ "spec": {} })), Some("b".into()));
        assert_eq!(given(json!({ "spec": { "storageClassName": "" } })), Some("".into()));
        assert_eq!(given(json!({ "metadata": { "annotations": { OLD_CLASS: "x" } }, "spec": {} })), None);
    }

    #[test]
    fn storage_is_protected_once() {
        let made = create("", "persistentvolumes").mutate(&StorageObjectInUseProtection, json!({}), &World::default());
        assert_eq!(made.clone().unwrap()["metadata"]["finalizers"], json!(["kubernetes.io/pv-protection"]));
        let again = create("", "persistentvolumes").mutate(
            &StorageObjectInUseProtection,
            made.clone().unwrap(),
            &World::default(),
        );
        assert_eq!(again, made);
    }

    #[test]
    fn claims_grow_where_their_class_can() {
        let claim = |class: &str, size: &str, phase: &str| {
            json!({
                "metadata": { "name": "a" }, "status": { "phase": phase },
                "spec": { "storageClassName": class, "resources": { "requests": { "storage": size } } },
            })
        };
        let outcome = |class: &str, phase: &str, size: &str| {
            update("", "persistentvolumeclaims", None, claim(class, "1Gi", phase)).validate(
                &PersistentVolumeClaimResize,
                claim(class, size, phase),
                &world(),
            )
        };
        assert_eq!(outcome("b", "Bound", "2Gi"), Ok(()));
        assert_eq!(outcome("a", "Pending", "1Gi"), Ok(()));
        assert_eq!(
            outcome("b", "Pending", "2Gi"),
            Err("persistentvolumeclaims \"a\" is forbidden: Only bound persistent volume claims can be expanded".into())
        );
        assert_eq!(
            outcome("a", "Bound", "2Gi"),
            Err("persistentvolumeclaims \"a\" is forbidden: only dynamically provisioned pvc can be resized and the storageclass that provisions the pvc must support resize".into())
        );
    }
}
