//! Storage classes: who makes volumes, and how.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::field::{Errors, Path};
use crate::kinds::tree::{self, at, list, pairs, text, texts};
use crate::names;
use crate::object::Object;
use crate::strategy::{Replacing, Strategy};
use crate::table;

const PARAMETERS: usize = 512;
const PARAMETERS_SIZE: usize = 256 * 1024;
const DEFAULT: [&str; 3] = ["metadata", "annotations", "storageclass.kubernetes.io/is-default-class"];

const DEFAULT_ATTRIBUTES: [&str; 3] =
    ["metadata", "annotations", "volumeattributesclass.kubernetes.io/is-default-class"];

/// The strategy.
#[derive(Debug)]
pub(in crate::kinds) struct StorageClass;

impl Strategy for StorageClass {
    fn default(&self, object: &mut Object) {
        tree::or_set(object.map_mut(), "reclaimPolicy", "Delete");
        tree::or_set(object.map_mut(), "volumeBindingMode", "Immediate");
    }

    fn validate(&self, object: &Object, errors: &mut Errors) {
        let whole = &object.clone().into_value();
        let root = Path::default();
        match text(whole, "provisioner") {
            "" => errors.required(&root.child("provisioner"), ""),
            name => tree::all(names::qualified_name(&name.to_lowercase()), name, &root.child("provisioner"), errors),
        }
        let (path, count) = (root.child("parameters"), pairs(whole, "parameters").count());
        if count > PARAMETERS {
            errors.too_many(&path, count, PARAMETERS);
        }
        let size: usize = pairs(whole, "parameters").map(|(key, value)| key.len() + value.len()).sum();
        if size > PARAMETERS_SIZE {
            errors.too_long(&path, PARAMETERS_SIZE);
        }
        if pairs(whole, "parameters").any(|(key, _)| key.is_empty()) {
            errors.invalid(&path, "", "field can not be empty.");
        }
        tree::one_of_if_set(whole, "reclaimPolicy", &["Delete", "Retain"], &root, errors);
        tree::one_of(whole, "volumeBindingMode", &["Immediate", "WaitForFirstConsumer"], &root, errors);
        for (index, term) in list(whole, "allowedTopologies").iter().enumerate() {
            validate_term(term, &root.child("allowedTopologies").index(index), errors);
        }
    }

    fn validate_update(&self, new: &Object, replacing: Replacing<'_>, errors: &mut Errors) {
        let old = replacing.old;
        self.validate(new, errors);
        for name in ["parameters", "provisioner", "reclaimPolicy"] {
            if tree::changed(new, old, &[name]) {
                errors.forbidden(&Path::new(name), &format!("updates to {name} are forbidden."));
            }
        }
        let (mode, was) = (at(new, &["volumeBindingMode"]), at(old, &["volumeBindingMode"]));
        tree::immutable(mode, was, &Path::new("volumeBindingMode"), errors);
    }

    fn cells_read(&self) -> &'static [&'static str] {
        &["metadata.annotations", "provisioner", "reclaimPolicy", "volumeBindingMode", "allowVolumeExpansion"]
    }

    fn cells(&self, object: &Object, now: jiff::Timestamp) -> Vec<Value> {
        let whole = object.clone().into_value();
        let name = object.name().unwrap_or_default();
        let is_default = object.text(&DEFAULT) == Some("true");
        vec![
            if is_default { format!("{name} (default)") } else { name.to_owned() }.into(),
            text(&whole, "provisioner").into(),
            text(&whole, "reclaimPolicy").into(),
            text(&whole, "volumeBindingMode").into(),
            object.flag(&["allowVolumeExpansion"]).into(),
            table::age(object.creation_timestamp(), now).into(),
        ]
    }
}

/// The strategy of `VolumeAttributesClass`.
#[derive(Debug)]
pub(in crate::kinds) struct VolumeAttributesClass;

impl Strategy for VolumeAttributesClass {
    fn validate(&self, object: &Object, errors: &mut Errors) {
        let root = Path::default();
        let driver = object.text(&["driverName"]).unwrap_or_default();
        super::validate_driver_name(driver, &root.child("driverName"), errors);
        let whole = &object.clone().into_value();
        let path = root.child("parameters");
        match pairs(whole, "parameters").count() {
            0 => errors.required(&path, "must contain at least one key/value pair"),
            count if count > PARAMETERS => errors.too_many(&path, count, PARAMETERS),
            _ => {}
        }
        let size: usize = pairs(whole, "parameters").map(|(key, value)| key.len() + value.len()).sum();
        if size > PARAMETERS_SIZE {
            errors.too_long(&path, PARAMETERS_SIZE);
        }
    }

    fn validate_update(&self, new: &Object, replacing: Replacing<'_>, errors: &mut Errors) {
        for name in ["driverName", "parameters"] {
            tree::immutable(at(new, &[name]), at(replacing.old, &[name]), &Path::new(name), errors);
        }
    }

    fn cells_read(&self) -> &'static [&'static str] {
        &["metadata.annotations", "driverName"]
    }

    fn cells(&self, object: &Object, now: jiff::Timestamp) -> Vec<Value> {
        let name = object.name().unwrap_or_default();
        let is_default = object.text(&DEFAULT_ATTRIBUTES) == Some("true");
        vec![
            if is_default { format!("{name} (default)") } else { name.to_owned() }.into(),
            object.text(&["driverName"]).unwrap_or_default().into(),
            table::age(object.creation_timestamp(), now).into(),
        ]
    }
}

fn validate_term(term: &Value, path: &Path, errors: &mut Errors) {
    let path = path.child("matchLabelExpressions");
    let mut keys = BTreeSet::new();
    for (index, rule) in list(term, "matchLabelExpressions").iter().enumerate() {
        let (path, key) = (path.index(index), text(rule, "key"));
        if list(rule, "values").is_empty() {
            errors.required(&path.child("values"), "");
        }
        let mut values = BTreeSet::new();
        for (index, value) in texts(rule, "values").enumerate() {
            if !values.insert(value) {
                errors.duplicate(&path.child("values").index(index), value);
            }
        }
        tree::all(names::qualified_name(key), key, &path.child("key"), errors);
        if !keys.insert(key) {
            errors.duplicate(&path.child("key"), key);
        }
    }
}
