//! Claims to volumes.

use serde_json::{Value, json};

use super::{modes_shown, shown_or_unset, validate_modes};
use crate::engine::Context;
use crate::field::{Errors, Path};
use crate::kinds::tree::{self, at, entries, has, list, member, text};
use crate::kinds::{amounts, selectors};
use crate::names;
use crate::object::Object;
use crate::status::Status;
use crate::strategy::{Part, Replacing, Shape, Strategy};
use crate::table;

const FIXED: &str =
    "spec is immutable after creation except resources.requests and volumeAttributesClassName for bound claims";

/// The strategy.
#[derive(Debug)]
pub(in crate::kinds) struct PersistentVolumeClaim;

impl Strategy for PersistentVolumeClaim {
    fn shape(&self) -> Shape {
        Shape::Uncounted
    }

    fn default(&self, object: &mut Object) {
        tree::or_set(object.section("spec"), "volumeMode", "Filesystem");
    }

    fn prepare_create(&self, object: &mut Object, _: &Context<'_>) -> Result<(), Status> {
        object.set(&["status"], json!({ "phase": "Pending" }));
        mirror_source(object);
        Ok(())
    }

    fn prepare_update(&self, new: &mut Object, replacing: Replacing<'_>, _: &Context<'_>) -> Result<(), Status> {
        match replacing.part {
            Part::Status => new.take_over(&["spec"], replacing.old),
            Part::Main | Part::Other(_) => {
                new.take_over(&["status"], replacing.old);
                mirror_source(new);
            }
        }
        Ok(())
    }

    fn validate(&self, object: &Object, errors: &mut Errors) {
        let (spec, path) = (at(object, &["spec"]), &Path::new("spec"));
        if list(spec, "accessModes").is_empty() {
            errors.required(&path.child("accessModes"), "at least 1 access mode is required");
        }
        if has(spec, "selector") {
            selectors::validate(member(spec, "selector"), &path.child("selector"), errors);
        }
        validate_modes(spec, path, errors);
        let storage = path.child("resources").key("storage");
        match requested(spec) {
            Value::Null => errors.required(&storage, ""),
            amount => {
                amounts::validate("storage", amount, &storage, errors);
                amounts::validate_positive(amount, &storage, errors);
            }
        }
        for name in ["storageClassName", "volumeAttributesClassName"] {
            if let Some(class) = member(spec, name).as_str().filter(|class| !class.is_empty()) {
                tree::all(names::dns_subdomain(class), class, &path.child(name), errors);
            }
        }
        tree::one_of_if_set(spec, "volumeMode", &["Block", "Filesystem"], path, errors);
        for name in ["dataSource", "dataSourceRef"] {
            validate_source(spec, name, &path.child(name), errors);
        }
        let plain = |name: &str| ["kind", "name"].map(|field| text(member(spec, name), field).to_owned());
        if has(spec, "dataSource") && has(spec, "dataSourceRef") && plain("dataSource") != plain("dataSourceRef") {
            errors.invalid(path, "", "must match dataSourceRef");
        }
    }

    fn validate_update(&self, new: &Object, replacing: Replacing<'_>, errors: &mut Errors) {
        let old = replacing.old;
        if replacing.part == Part::Status {
            for (resource, amount) in entries(at(new, &["status"]), "capacity") {
                let path = Path::new("status.capacity").key(resource);
                amounts::validate(resource, amount, &path, errors);
            }
            return;
        }
        self.validate(new, errors);
        let (spec, before) = (at(new, &["spec"]), at(old, &["spec"]));
        let bound = old.text(&["status", "phase"]) == Some("Bound");
        if fixed(spec, before, bound) != fixed(before, before, bound) {
            errors.forbidden(&Path::new("spec"), FIXED);
        }
        // What a failed growth asked for may be taken back, but never below what is there.
        let present = amounts::parse(at(old, &["status", "capacity", "storage"]));
        let (now, then) = (amounts::parse(requested(spec)), amounts::parse(requested(before)));
        if let (Some(now), Some(then)) = (now, then)
            && now < then
            && present.is_none_or(|present| now <= present)
        {
            let path = Path::new("spec.resources.requests.storage");
            errors.forbidden(&path, "field can not be less than status.capacity");
        }
        let (mode, was) = (member(spec, "volumeMode"), member(before, "volumeMode"));
        tree::immutable(mode, was, &Path::new("spec.volumeMode"), errors);
    }

    fn cells_read(&self) -> &'static [&'static str] {
        &[
            "spec.volumeName",
            "spec.storageClassName",
            "spec.volumeAttributesClassName",
            "spec.volumeMode",
            "status.phase",
            "status.capacity.storage",
            "status.accessModes",
        ]
    }

    fn cells(&self, object: &Object, now: jiff::Timestamp) -> Vec<Value> {
        let (spec, status) = (at(object, &["spec"]), at(object, &["status"]));
        let volume = text(spec, "volumeName");
        let (capacity, modes) = if volume.is_empty() {
            (String::new(), String::new())
        } else {
            (text(member(status, "capacity"), "storage").to_owned(), modes_shown(status))
        };
        let phase = if object.deletion_timestamp().is_some() { "Terminating" } else { text(status, "phase") };
        vec![
            object.name().unwrap_or_default().into(),
            phase.into(),
            volume.into(),
            capacity.into(),
            modes.into(),
            text(spec, "storageClassName").into(),
            shown_or_unset(spec, "volumeAttributesClassName"),
            table::age(object.creation_timestamp(), now).into(),
            shown_or_unset(spec, "volumeMode"),
        ]
    }
}

/// How much is asked for.
fn requested(spec: &Value) -> &Value {
    member(member(member(spec, "resources"), "requests"), "storage")
}

/// Two names of one field: what one says holds for both, unless it is in another namespace.
fn mirror_source(object: &mut Object) {
    let (old, new) = (object.at(&["spec", "dataSource"]).cloned(), object.at(&["spec", "dataSourceRef"]).cloned());
    match (old, new) {
        (Some(source), None) => object.set(&["spec", "dataSourceRef"], source),
        (None, Some(source)) if !has(&source, "namespace") => object.set(&["spec", "dataSource"], source),
        (_, _) => {}
    }
}

fn validate_source(spec: &Value, name: &str, path: &Path, errors: &mut Errors) {
    let source = member(spec, name);
    if source.is_null() {
        return;
    }
    for field in ["name", "kind"] {
        if text(source, field).is_empty() {
            errors.required(&path.child(field), "");
        }
    }
    let (group, kind) = (text(source, "apiGroup"), text(source, "kind"));
    if group.is_empty() && !kind.is_empty() && kind != "PersistentVolumeClaim" {
        errors.invalid(path, kind, "must be 'PersistentVolumeClaim' when referencing the default apiGroup");
    }
    if !group.is_empty() {
        tree::all(names::dns_subdomain(group), group, &path.child("apiGroup"), errors);
    }
}

/// A spec with everything that may have changed put back to what it was.
fn fixed(spec: &Value, before: &Value, bound: bool) -> Value {
    let mut plain = spec.clone();
    let Some(map) = plain.as_object_mut() else { return plain };
    let mut put_back = |name: &str| match before.get(name) {
        Some(value) => {
            map.insert(name.to_owned(), value.clone());
        }
        None => {
            map.remove(name);
        }
    };
    put_back("volumeMode");
    // The binder names the volume; a class may come later where there was none.
    if text(before, "volumeName").is_empty() {
        put_back("volumeName");
    }
    if !has(before, "storageClassName") {
        put_back("storageClassName");
    }
    if bound {
        put_back("resources");
    }
    if bound || !has(before, "volumeAttributesClassName") {
        put_back("volumeAttributesClassName");
    }
    plain
}
