//! What has become of a claim: which devices it got, who uses them, and how they are.

use std::collections::BTreeSet;

use serde_json::Value;

use super::claim::Requests;
use super::taint::validate_tolerations;
use super::{
    validate_binding, validate_driver, validate_each, validate_label, validate_opaque, validate_pool, validate_raw,
    validate_unique,
};
use crate::field::{Errors, Path};
use crate::kinds::tree::{self, at, has, list, member, text};
use crate::object::Object;

const MOST_USERS: usize = 256;
const MOST_RESULTS: usize = 32;
const MOST_CONFIGS: usize = 64;
const MOST_CONDITIONS: usize = 8;
const DATA_LENGTH: usize = 10 * 1024;
const MOST_ADDRESSES: usize = 16;

/// Checks the status of a claim.
pub(super) fn validate(new: &Object, old: &Object, requests: &Requests<'_>, errors: &mut Errors) {
    let (status, path) = (at(new, &["status"]), Path::new("status"));
    let (users, at_users) = (list(status, "reservedFor"), path.child("reservedFor"));
    validate_each(users, MOST_USERS, &at_users, errors, |user, path, errors| {
        for name in ["resource", "name", "uid"] {
            if text(user, name).is_empty() {
                errors.required(&path.child(name), "");
            }
        }
    });
    validate_unique(users, |user| member(user, "uid").clone(), &at_users, errors);
    let allocation = member(status, "allocation");
    let allocated: BTreeSet<String> =
        list(member(allocation, "devices"), "results").iter().map(|one| device(one).to_string()).collect();
    let (devices, at_devices) = (list(status, "devices"), path.child("devices"));
    for (index, one) in devices.iter().enumerate() {
        validate_device(one, &allocated, &at_devices.index(index), errors);
    }
    validate_unique(devices, device, &at_devices, errors);

    if !users.is_empty() && allocation.is_null() {
        errors.forbidden(&at_users, "may not be specified when `allocated` is not set");
    } else if new.deletion_timestamp().is_some() {
        let before = old.list(&["status", "reservedFor"]);
        if users.iter().any(|user| !before.contains(user)) {
            let why = "new entries may not be added while `deallocationRequested` or `deletionTimestamp` are set";
            errors.forbidden(&at_users, why);
        }
    }
    let (before, at) = (at(old, &["status", "allocation"]), path.child("allocation"));
    match (before.is_null(), allocation.is_null()) {
        (false, false) => tree::immutable(allocation, before, &at, errors),
        (true, false) => validate_allocation(allocation, requests, &at, errors),
        (_, true) => {}
    }
}

/// What identifies a device, or a share of one.
fn device(owner: &Value) -> Value {
    let mut parts = vec![text(owner, "driver"), text(owner, "pool"), text(owner, "device")];
    if has(owner, "shareID") {
        parts.push(text(owner, "shareID"));
    }
    parts.join("/").into()
}

fn validate_allocation(allocation: &Value, requests: &Requests<'_>, path: &Path, errors: &mut Errors) {
    let (devices, at) = (member(allocation, "devices"), path.child("devices"));
    validate_each(list(devices, "results"), MOST_RESULTS, &at.child("results"), errors, |one, path, errors| {
        requests.validate(text(one, "request"), &path.child("request"), errors);
        validate_place(one, path, errors);
        validate_binding(one, path, errors);
        validate_tolerations(one, path, errors);
    });
    validate_each(list(devices, "config"), MOST_CONFIGS, &at.child("config"), errors, |one, path, errors| {
        tree::one_of(one, "source", &["FromClaim", "FromClass"], path, errors);
        requests.validate_list(one, path, errors);
        validate_opaque(one, path, errors);
    });
}

fn validate_place(owner: &Value, path: &Path, errors: &mut Errors) {
    validate_driver(text(owner, "driver"), &path.child("driver"), errors);
    validate_pool(text(owner, "pool"), &path.child("pool"), errors);
    validate_label(text(owner, "device"), &path.child("device"), errors);
    if has(owner, "shareID") && !is_uid(text(owner, "shareID")) {
        let why = "uid must be in RFC 4122 normalized form, `xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx` with lowercase hexadecimal characters";
        errors.invalid(&path.child("shareID"), text(owner, "shareID"), why);
    }
}

fn is_uid(text: &str) -> bool {
    text.len() == 36
        && text.bytes().enumerate().all(|(at, byte)| match at {
            8 | 13 | 18 | 23 => byte == b'-',
            _ => byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte),
        })
}

fn validate_device(one: &Value, allocated: &BTreeSet<String>, path: &Path, errors: &mut Errors) {
    validate_place(one, path, errors);
    let id = device(one);
    if !allocated.contains(&id.to_string()) {
        errors.invalid(path, id, "must be an allocated device in the claim");
    }
    let conditions = list(one, "conditions");
    if conditions.len() > MOST_CONDITIONS {
        errors.too_many(&path.child("conditions"), conditions.len(), MOST_CONDITIONS);
    }
    tree::conditions::validate(conditions, &path.child("conditions"), errors);
    if has(one, "data") {
        validate_raw(member(one, "data"), DATA_LENGTH, &path.child("data"), errors);
    }
    let (network, path) = (member(one, "networkData"), path.child("networkData"));
    for (name, longest) in [("interfaceName", 256), ("hardwareAddress", 128)] {
        if text(network, name).len() > longest {
            errors.too_long(&path.child(name), longest);
        }
    }
    let (addresses, path) = (list(network, "ips"), path.child("ips"));
    validate_each(addresses, MOST_ADDRESSES, &path, errors, |one, path, errors| {
        let one = one.as_str().unwrap_or_default();
        if crate::kinds::service::Cidr::parse(one).is_none() {
            let why = "must be a valid address in CIDR form, (e.g. 10.9.8.7/24 or 2001:db8::1/64)";
            errors.invalid(path, one, why);
        }
    });
    validate_unique(addresses, Value::clone, &path, errors);
}
