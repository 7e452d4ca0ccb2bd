//! Rules of `metadata`, the same for every kind.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::engine::{Context, SUFFIX_LENGTH};
use crate::field::{Errors, Path};
use crate::names;
use crate::object::Object;
use crate::resource::Resource;
use crate::status::Status;
use crate::time;

/// All annotations of an object together.
const ANNOTATIONS_LIMIT: usize = 256 * 1024;
/// Longest name of a subresource among the owners of fields.
const SUBRESOURCE_LIMIT: usize = 256;
/// A generated name is cut so that it is at most a DNS label.
const GENERATED_NAME_LENGTH: usize = 63;
const ORPHAN: &str = "orphan";
const FOREGROUND: &str = "foregroundDeletion";

/// Puts the object into the request's namespace, or out of any.
pub(crate) fn settle_namespace(
    resource: &Resource,
    namespace: Option<&str>,
    object: &mut Object,
) -> Result<(), Status> {
    match namespace {
        Some(namespace) if resource.is_namespaced() => match object.namespace() {
            None => object.set(&["metadata", "namespace"], namespace),
            Some(own) if own == namespace => {}
            Some(_) => {
                return Err(Status::bad_request(
                    "the namespace of the provided object does not match the namespace sent on the request",
                ));
            }
        },
        Some(_) | None => {
            object.remove(&["metadata", "namespace"]);
        }
    }
    Ok(())
}

/// Drops what only the server writes.
pub(crate) fn strip(object: &mut Object) {
    object.section("metadata").remove("selfLink");
}

/// Sets what the server writes on a new object.
pub(crate) fn fill_new(object: &mut Object, context: &Context<'_>) {
    let generated = match (object.name(), object.generate_name()) {
        (None, Some(prefix)) => {
            let room = GENERATED_NAME_LENGTH - SUFFIX_LENGTH;
            let end = (0..=room.min(prefix.len())).rev().find(|&at| prefix.is_char_boundary(at)).unwrap_or(0);
            Some(format!("{}{}", &prefix[..end], context.name_suffix))
        }
        (Some(_), _) | (None, None) => None,
    };
    let metadata = object.section("metadata");
    for member in ["deletionTimestamp", "deletionGracePeriodSeconds", "generation"] {
        metadata.remove(member);
    }
    metadata.insert("uid".into(), context.uid.into());
    metadata.insert("creationTimestamp".into(), time::seconds(context.now).into());
    if let Some(name) = generated {
        metadata.insert("name".into(), name.into());
    }
}

/// Checks the metadata of an object, new or changed.
pub(crate) fn validate(resource: &Resource, object: &Object, errors: &mut Errors) {
    let path = Path::new("metadata");
    let rule = resource.strategy.name_rule();
    if let Some(prefix) = object.generate_name() {
        for message in rule.check(prefix, true) {
            errors.invalid(&path.child("generateName"), prefix, &message);
        }
    }
    match object.name() {
        None => errors.required(&path.child("name"), "name or generateName is required"),
        Some(name) => {
            for message in rule.check(name, false) {
                errors.invalid(&path.child("name"), name, &message);
            }
        }
    }
    match object.namespace() {
        None if resource.is_namespaced() => errors.required(&path.child("namespace"), ""),
        Some(namespace) if resource.is_namespaced() => {
            for message in names::dns_label(namespace) {
                errors.invalid(&path.child("namespace"), namespace, &message);
            }
        }
        Some(_) => errors.forbidden(&path.child("namespace"), "not allowed on this type"),
        None => {}
    }
    names::check_labels(object.labels(), &path.child("labels"), errors);
    validate_annotations(object, &path.child("annotations"), errors);
    validate_owners(object, &path.child("ownerReferences"), errors);
    validate_finalizers(object, &path.child("finalizers"), errors);
    validate_managers(object, &path.child("managedFields"), errors);
}

/// Checks who is said to own fields. What they own was read before.
fn validate_managers(object: &Object, path: &Path, errors: &mut Errors) {
    for (index, entry) in object.list(&["metadata", "managedFields"]).iter().enumerate() {
        let path = path.index(index);
        let text = |member: &str| entry.get(member).and_then(Value::as_str).unwrap_or_default();
        names::check_manager(text("manager"), &path.child("manager"), errors);
        if text("subresource").len() > SUBRESOURCE_LIMIT {
            errors.too_long(&path.child("subresource"), SUBRESOURCE_LIMIT);
        }
    }
}

fn validate_annotations(object: &Object, path: &Path, errors: &mut Errors) {
    let mut size = 0;
    for (key, value) in object.annotations() {
        for message in names::qualified_name(&key.to_lowercase()) {
            errors.invalid(path, key, &message);
        }
        size += key.len() + value.len();
    }
    if size > ANNOTATIONS_LIMIT {
        errors.too_long(path, ANNOTATIONS_LIMIT);
    }
}

fn validate_owners(object: &Object, path: &Path, errors: &mut Errors) {
    let mut controller: Option<&str> = None;
    for (index, owner) in object.list(&["metadata", "ownerReferences"]).iter().enumerate() {
        let path = path.index(index);
        let text = |member: &str| owner.get(member).and_then(Value::as_str).unwrap_or_default();
        for (member, message) in [
            ("apiVersion", "version must not be empty"),
            ("kind", "must not be empty"),
            ("name", "must not be empty"),
            ("uid", "must not be empty"),
        ] {
            if text(member).is_empty() {
                errors.invalid(&path.child(member), "", message);
            }
        }
        if owner.get("controller").and_then(Value::as_bool) == Some(true) {
            if let Some(first) = controller {
                let name = text("name");
                errors.invalid(
                    &Path::new("metadata.ownerReferences"),
                    Value::Array(object.list(&["metadata", "ownerReferences"]).to_vec()),
                    &format!(
                        "Only one reference can have Controller set to true. Found \"true\" in references for {first} and {name}"
                    ),
                );
            }
            controller = Some(text("name"));
        }
    }
}

fn validate_finalizers(object: &Object, path: &Path, errors: &mut Errors) {
    for (index, finalizer) in object.finalizers().enumerate() {
        validate_finalizer(finalizer, &path.index(index), errors);
    }
    if object.finalizers().any(|one| one == ORPHAN) && object.finalizers().any(|one| one == FOREGROUND) {
        errors.invalid(
            path,
            Value::Array(object.list(&["metadata", "finalizers"]).to_vec()),
            "finalizer set foregroundDeletion and orphan cannot be both set",
        );
    }
}

/// Checks one finalizer: a qualified name, and without a domain only one of the known ones.
pub(crate) fn validate_finalizer(finalizer: &str, path: &Path, errors: &mut Errors) {
    for message in names::qualified_name(finalizer) {
        errors.invalid(path, finalizer, &message);
    }
    if !finalizer.contains('/') && ![ORPHAN, FOREGROUND, "kubernetes"].contains(&finalizer) {
        errors.invalid(path, finalizer, "name is neither a standard finalizer name nor is it fully qualified");
    }
}

/// Carries over from the old object what a client need not repeat or may not change without being told.
pub(crate) fn carry_over(new: &mut Object, old: &Object) {
    let keep = |member: &str| old.at(&["metadata", member]).cloned();
    let fill: Vec<(&str, Option<Value>)> =
        ["uid", "creationTimestamp", "namespace", "name"].into_iter().map(|member| (member, keep(member))).collect();
    let force: Vec<(&str, Option<Value>)> = ["generation", "deletionTimestamp", "deletionGracePeriodSeconds"]
        .into_iter()
        .map(|member| (member, keep(member)))
        .collect();
    let deleting = old.deletion_timestamp().is_some();
    let metadata = new.section("metadata");
    metadata.remove("selfLink");
    for (member, value) in fill {
        if let (None, Some(value)) = (metadata.get(member), value) {
            metadata.insert(member.into(), value);
        }
    }
    for (member, value) in force {
        // A client may show us a deletion it wishes for: that is refused by validation, not hidden.
        if member.starts_with("deletion") && !deleting {
            continue;
        }
        match value {
            Some(value) => metadata.insert(member.into(), value),
            None => metadata.remove(member),
        };
    }
}

/// Checks a change of metadata.
pub(crate) fn validate_update(new: &Object, old: &Object, errors: &mut Errors) {
    let path = Path::new("metadata");
    if old.deletion_timestamp().is_some() {
        let before: BTreeSet<&str> = old.finalizers().collect();
        let added: Vec<String> =
            new.finalizers().filter(|one| !before.contains(one)).map(|one| format!("{one:?}")).collect();
        if !added.is_empty() {
            errors.forbidden(
                &path.child("finalizers"),
                &format!(
                    "no new finalizers can be added if the object is being deleted, found new finalizers []string{{{}}}",
                    added.join(", ")
                ),
            );
        }
    }
    for member in ["name", "namespace", "uid", "creationTimestamp"] {
        let (now, before) = (new.at(&["metadata", member]), old.at(&["metadata", member]));
        if now != before {
            errors.invalid(&path.child(member), now.cloned().unwrap_or_default(), "field is immutable");
        }
    }
    for member in ["deletionTimestamp", "deletionGracePeriodSeconds"] {
        let (now, before) = (new.at(&["metadata", member]), old.at(&["metadata", member]));
        if now != before {
            errors.invalid(
                &path.child(member),
                now.cloned().unwrap_or_default(),
                "field is immutable; may only be changed via deletion",
            );
        }
    }
}
