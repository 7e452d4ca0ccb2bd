//! Addresses of Services, each an object of its own: who has it, has it alone.

use std::net::IpAddr;

use serde_json::Value;

use crate::field::{Errors, Path};
use crate::kinds::tree::{self, at, member, text};
use crate::names;
use crate::object::Object;
use crate::strategy::{NameRule, Replacing, Strategy};
use crate::table;

/// The strategy.
#[derive(Debug)]
pub(in crate::kinds) struct IpAddress;

impl Strategy for IpAddress {
    fn name_rule(&self) -> NameRule {
        // The name is the address: checked with the object.
        NameRule::PathSegment
    }

    fn validate(&self, object: &Object, errors: &mut Errors) {
        let name = object.name().unwrap_or_default();
        if let Some(message) = name_message(name) {
            errors.invalid(&Path::new("metadata.name"), name, &message);
        }
        let (parent, path) = (at(object, &["spec", "parentRef"]), Path::new("spec.parentRef"));
        if parent.is_null() {
            return errors.required(&path, "");
        }
        let group = text(parent, "group");
        if !group.is_empty() {
            tree::all(names::dns_subdomain(group), group, &path.child("group"), errors);
        }
        for name in ["resource", "name"] {
            match text(parent, name) {
                "" => errors.required(&path.child(name), ""),
                value => tree::all(names::path_segment(value, false), value, &path.child(name), errors),
            }
        }
        let namespace = text(parent, "namespace");
        if !namespace.is_empty() {
            tree::all(names::path_segment(namespace, false), namespace, &path.child("namespace"), errors);
        }
    }

    fn validate_update(&self, new: &Object, replacing: Replacing<'_>, errors: &mut Errors) {
        let path = ["spec", "parentRef"];
        tree::immutable(at(new, &path), at(replacing.old, &path), &Path::new("spec.parentRef"), errors);
    }

    fn cells_read(&self) -> &'static [&'static str] {
        &["spec.parentRef"]
    }

    fn cells(&self, object: &Object, now: jiff::Timestamp) -> Vec<Value> {
        vec![
            object.name().unwrap_or_default().into(),
            parent_shown(at(object, &["spec", "parentRef"])).into(),
            table::age(object.creation_timestamp(), now).into(),
        ]
    }
}

/// What is wrong with an address as a name: it must be one, and in the one form all would write it in.
fn name_message(name: &str) -> Option<String> {
    match name.parse::<IpAddr>() {
        Err(_) => Some(format!("ParseAddr({name:?}): unable to parse IP")),
        Ok(address) if address.to_string() != name => Some("must be a canonical format IP address".to_owned()),
        Ok(_) => None,
    }
}

/// `services/default/kubernetes`.
fn parent_shown(parent: &Value) -> String {
    if parent.is_null() {
        return "<none>".to_owned();
    }
    let resource = match text(parent, "group") {
        "" => text(parent, "resource").to_lowercase(),
        group => format!("{}.{group}", text(parent, "resource")).to_lowercase(),
    };
    let mut parts = vec![resource];
    parts.extend(
        [member(parent, "namespace"), member(parent, "name")].iter().filter_map(|one| one.as_str()).map(str::to_owned),
    );
    parts.join("/")
}
