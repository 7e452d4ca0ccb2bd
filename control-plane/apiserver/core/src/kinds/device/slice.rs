//! Resource slices: the devices a driver offers.

use serde_json::Value;

use super::taint::{date, validate_taint};
use super::{
    set_fields, validate_binding, validate_driver, validate_each, validate_label, validate_pool, validate_qualified,
    validate_unique,
};
use crate::engine::Context;
use crate::field::{Errors, Path};
use crate::kinds::tree::{self, at, entries, flag, has, list, member, number, text};
use crate::names;
use crate::object::Object;
use crate::status::Status;
use crate::strategy::{Replacing, Shape, Strategy};
use crate::table;

const MOST_DEVICES: usize = 128;
/// Of devices that say more about themselves there are fewer.
const MOST_ELABORATE: usize = 64;
const MOST_COUNTER_SETS: usize = 8;
const MOST_COUNTERS: usize = 32;
const MOST_CONSUMPTIONS: usize = 2;
const MOST_QUALITIES: usize = 32;
const MOST_TAINTS: usize = 16;
const VALUE_LENGTH: usize = 64;
const LISTS: [&str; 4] = ["bools", "ints", "strings", "versions"];

/// The strategy.
#[derive(Debug)]
pub(in crate::kinds) struct ResourceSlice;

impl Strategy for ResourceSlice {
    fn shape(&self) -> Shape {
        Shape::Spec
    }

    fn prepare_create(&self, object: &mut Object, context: &Context<'_>) -> Result<(), Status> {
        date_taints(object, context);
        Ok(())
    }

    fn prepare_update(&self, new: &mut Object, _: Replacing<'_>, context: &Context<'_>) -> Result<(), Status> {
        date_taints(new, context);
        Ok(())
    }

    fn validate(&self, object: &Object, errors: &mut Errors) {
        let (spec, path) = (at(object, &["spec"]), Path::new("spec"));
        validate_driver(text(spec, "driver"), &path.child("driver"), errors);
        let (pool, at) = (member(spec, "pool"), path.child("pool"));
        validate_pool(text(pool, "name"), &at.child("name"), errors);
        if number(pool, "resourceSliceCount") <= 0 {
            let (path, value) = (at.child("resourceSliceCount"), number(pool, "resourceSliceCount"));
            errors.invalid(&path, value, "must be greater than zero");
        }
        if number(pool, "generation") < 0 {
            let (path, value) = (at.child("generation"), number(pool, "generation"));
            errors.invalid(&path, value, "must be greater than or equal to zero");
        }
        validate_nodes(spec, &path, errors);
        if has(spec, "sharedCounters") && has(spec, "devices") {
            errors.invalid(&path, "", "only one of `sharedCounters` or `devices` is allowed");
        }
        let (devices, at) = (list(spec, "devices"), path.child("devices"));
        let most = if devices.iter().any(is_elaborate) { MOST_ELABORATE } else { MOST_DEVICES };
        let own_nodes = flag(spec, "perDeviceNodeSelection");
        validate_each(devices, most, &at, errors, |one, path, errors| validate_device(one, own_nodes, path, errors));
        validate_unique(devices, |one| member(one, "name").clone(), &at, errors);
        let (sets, at) = (list(spec, "sharedCounters"), path.child("sharedCounters"));
        validate_each(sets, MOST_COUNTER_SETS, &at, errors, |set, path, errors| {
            validate_counters(set, "name", path, errors);
        });
        validate_unique(sets, |set| member(set, "name").clone(), &at, errors);
    }

    fn validate_update(&self, new: &Object, replacing: Replacing<'_>, errors: &mut Errors) {
        self.validate(new, errors);
        for path in [&["spec", "pool", "name"][..], &["spec", "driver"], &["spec", "nodeName"]] {
            tree::immutable(at(new, path), at(replacing.old, path), &Path::new(&path.join(".")), errors);
        }
    }

    fn cells_read(&self) -> &'static [&'static str] {
        &["spec.nodeName", "spec.driver", "spec.pool.name"]
    }

    fn cells(&self, object: &Object, now: jiff::Timestamp) -> Vec<Value> {
        let spec = at(object, &["spec"]);
        vec![
            object.name().unwrap_or_default().into(),
            text(spec, "nodeName").into(),
            text(spec, "driver").into(),
            text(member(spec, "pool"), "name").into(),
            table::age(object.creation_timestamp(), now).into(),
        ]
    }
}

fn date_taints(object: &mut Object, context: &Context<'_>) {
    let devices = object.section("spec").get_mut("devices").and_then(Value::as_array_mut);
    for device in devices.into_iter().flatten() {
        for taint in device.get_mut("taints").and_then(Value::as_array_mut).into_iter().flatten() {
            date(taint, context);
        }
    }
}

fn is_elaborate(device: &Value) -> bool {
    !list(device, "taints").is_empty()
        || !list(device, "consumesCounters").is_empty()
        || entries(device, "attributes").any(|(_, attribute)| LISTS.iter().any(|name| has(attribute, name)))
}

/// Checks which nodes can reach the devices of a slice.
fn validate_nodes(spec: &Value, path: &Path, errors: &mut Errors) {
    const ONE: &str = "exactly one of `nodeName`, `nodeSelector`, `allNodes`, `perDeviceNodeSelection` is required";
    let mut set = Vec::new();
    if let Some(name) = member(spec, "nodeName").as_str() {
        if name.is_empty() {
            let why = "must be either unset or set to a non-empty string";
            errors.invalid(&path.child("nodeName"), name, why);
        } else {
            set.push("`nodeName`");
            tree::all(names::dns_subdomain(name), name, &path.child("nodeName"), errors);
        }
    }
    if has(spec, "nodeSelector") {
        set.push("`nodeSelector`");
        let terms = list(member(spec, "nodeSelector"), "nodeSelectorTerms");
        if terms.len() != 1 {
            let at = path.child("nodeSelector").child("nodeSelectorTerms");
            errors.invalid(&at, terms.to_vec(), "must have exactly one node selector term");
        }
    }
    for (name, shown) in [("allNodes", "`allNodes`"), ("perDeviceNodeSelection", "`perDeviceNodeSelection`")] {
        match member(spec, name).as_bool() {
            Some(true) => set.push(shown),
            Some(false) => errors.invalid(&path.child(name), false, "must be either unset or set to true"),
            None => {}
        }
    }
    match set.len() {
        0 => errors.required(path, ONE),
        1 => {}
        _ => {
            let shown = format!("{{{}}}", set.join(", "));
            errors.invalid(path, shown, &format!("{ONE}, but multiple fields are set"));
        }
    }
}

fn validate_device(device: &Value, own_nodes: bool, path: &Path, errors: &mut Errors) {
    const NODES: [&str; 3] = ["nodeName", "nodeSelector", "allNodes"];
    validate_label(text(device, "name"), &path.child("name"), errors);
    let qualities = entries(device, "attributes").count() + entries(device, "capacity").count();
    if qualities > MOST_QUALITIES {
        let why = format!("the total number of attributes and capacities must not exceed {MOST_QUALITIES}");
        errors.invalid(path, qualities, &why);
    }
    let at = path.child("attributes");
    for (name, attribute) in entries(device, "attributes") {
        validate_qualified(name, &at, errors);
        validate_attribute(attribute, &at.key(name), errors);
    }
    let at = path.child("capacity");
    for (name, capacity) in entries(device, "capacity") {
        validate_qualified(name, &at, errors);
        if has(capacity, "requestPolicy") && !flag(device, "allowMultipleAllocations") {
            errors.forbidden(&at.key(name).child("requestPolicy"), "allowMultipleAllocations must be true");
        }
    }
    validate_each(list(device, "taints"), MOST_TAINTS, &path.child("taints"), errors, validate_taint);
    let (consumed, at) = (list(device, "consumesCounters"), path.child("consumesCounters"));
    validate_each(consumed, MOST_CONSUMPTIONS, &at, errors, |one, path, errors| {
        validate_counters(one, "counterSet", path, errors);
    });
    validate_unique(consumed, |one| member(one, "counterSet").clone(), &at, errors);
    let set = set_fields(device, &NODES);
    if own_nodes && set.len() != 1 {
        let why = "exactly one of `nodeName`, `nodeSelector`, or `allNodes` is required when `perDeviceNodeSelection` is set to true \
                   in the ResourceSlice spec";
        if set.is_empty() {
            errors.required(path, why);
        } else {
            let shown: Vec<String> = set.iter().map(|name| format!("`{name}`")).collect();
            errors.invalid(path, format!("{{{}}}", shown.join(", ")), why);
        }
    } else if !own_nodes && !set.is_empty() {
        let why = "`nodeName`, `nodeSelector` and `allNodes` can only be set if `perDeviceNodeSelection` is set to true in the \
                   ResourceSlice spec";
        errors.invalid(path, Value::Null, why);
    }
    validate_binding(device, path, errors);
}

fn validate_counters(owner: &Value, name: &str, path: &Path, errors: &mut Errors) {
    match text(owner, name) {
        "" => errors.required(&path.child(name), ""),
        value => validate_label(value, &path.child(name), errors),
    }
    let (count, path) = (entries(owner, "counters").count(), path.child("counters"));
    match count {
        0 => errors.required(&path, ""),
        count if count > MOST_COUNTERS => errors.too_many(&path, count, MOST_COUNTERS),
        _ => {
            for (name, _) in entries(owner, "counters") {
                validate_label(name, &path, errors);
            }
        }
    }
}

fn validate_attribute(attribute: &Value, path: &Path, errors: &mut Errors) {
    const ONE: &str = "exactly one value must be specified";
    let set = set_fields(attribute, &["bool", "int", "string", "version", "bools", "ints", "strings", "versions"]);
    match set.len() {
        0 => errors.invalid(path, "", ONE),
        1 => {}
        _ => errors.invalid(path, attribute.clone(), ONE),
    }
    let validate = |value: &Value, is_version: bool, path: &Path, errors: &mut Errors| {
        let value = value.as_str().unwrap_or_default();
        if is_version && !is_semantic(value) {
            errors.invalid(path, value, "must be a string compatible with semver.org spec 2.0.0");
        }
        if value.len() > VALUE_LENGTH {
            errors.too_long(path, VALUE_LENGTH);
        }
    };
    for (name, is_version) in [("string", false), ("version", true)] {
        if has(attribute, name) {
            validate(member(attribute, name), is_version, &path.child(name), errors);
        }
    }
    for name in LISTS.into_iter().filter(|name| has(attribute, name)) {
        if list(attribute, name).is_empty() {
            errors.invalid(&path.child(name), Vec::<Value>::new(), "must not be empty if specified");
        }
    }
    for (name, is_version) in [("strings", false), ("versions", true)] {
        for (index, value) in list(attribute, name).iter().enumerate() {
            validate(value, is_version, &path.child(name).index(index), errors);
        }
    }
}

/// Whether a text is a version as semver.org has it.
fn is_semantic(text: &str) -> bool {
    let (text, build) = text.split_once('+').map_or((text, None), |(text, build)| (text, Some(build)));
    let (core, before) = text.split_once('-').map_or((text, None), |(core, before)| (core, Some(before)));
    let number = |part: &str| {
        !part.is_empty() && part.bytes().all(|c| c.is_ascii_digit()) && (part == "0" || !part.starts_with('0'))
    };
    let word = |part: &str| !part.is_empty() && part.bytes().all(|c| c.is_ascii_alphanumeric() || c == b'-');
    let release = |part: &str| word(part) && (number(part) || !part.bytes().all(|c| c.is_ascii_digit()));
    core.split('.').count() == 3
        && core.split('.').all(number)
        && before.is_none_or(|before| before.split('.').all(release))
        && build.is_none_or(|build| build.split('.').all(word))
}

#[cfg(test)]
#[test]
fn versions_are_those_of_semver() {
    for good in ["1.2.3", "0.0.0", "1.0.0-alpha.1", "1.0.0-0a", "1.0.0+build.01", "1.0.0-rc-1+x"] {
        assert!(is_semantic(good), "{good}");
    }
    for bad in ["", "1.2", "01.2.3", "1.2.3-", "1.2.3-01", "v1.2.3", "1.2.3+"] {
        assert!(!is_semantic(bad), "{bad}");
    }
}
