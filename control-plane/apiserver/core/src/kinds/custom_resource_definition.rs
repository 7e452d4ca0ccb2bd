//! Definitions of custom resources: kept and checked. The resources themselves are not served yet, so that nothing is ever
//! established, and a deletion has nothing to clean up: it is complete at once.

mod conversion;
mod defaults;
mod field_path;
mod names;
mod schema;
mod structural;
#[cfg(test)]
mod tests;
mod topology;
mod values;
mod versions;

use serde_json::{Value, json};

use super::tree::{self, at, flag, has, list, member, text};
use crate::engine::Context;
use crate::field::{Errors, Path};
use crate::object::Object;
use crate::status::Status;
use crate::strategy::{NameRule, Part, Replacing, Shape, Strategy};
use versions::Leniency;

/// The strategy.
#[derive(Debug)]
pub(super) struct CustomResourceDefinition;

impl Strategy for CustomResourceDefinition {
    fn name_rule(&self) -> NameRule {
        NameRule::DnsSubdomain
    }

    fn shape(&self) -> Shape {
        Shape::SpecAndStatus
    }

    fn default(&self, object: &mut Object) {
        if let Some(spec) = object.map_mut().get_mut("spec").and_then(Value::as_object_mut) {
            names::default(spec);
            conversion::default(spec);
        }
        store_version(object);
    }

    fn prepare_create(&self, object: &mut Object, _: &Context<'_>) -> Result<(), Status> {
        object.set(&["status"], json!({}));
        store_version(object);
        Ok(())
    }

    fn prepare_update(&self, new: &mut Object, replacing: Replacing<'_>, _: &Context<'_>) -> Result<(), Status> {
        if replacing.part == Part::Status {
            new.take_over(&["spec"], replacing.old);
            return Ok(());
        }
        new.take_over(&["status"], replacing.old);
        let stored: Vec<Value> = object_list(new, "storedVersions");
        if let Some(name) = storage_version(new).filter(|name| !stored.iter().any(|one| one == name)) {
            let all: Vec<Value> = stored.into_iter().chain([name.into()]).collect();
            new.set(&["status", "storedVersions"], all);
        }
        Ok(())
    }

    fn validate(&self, object: &Object, errors: &mut Errors) {
        let spec = at(object, &["spec"]);
        let wanted = format!("{}.{}", text(member(spec, "names"), "plural"), text(spec, "group"));
        if let Some(name) = object.name().filter(|name| *name != wanted) {
            errors.invalid(&Path::new("metadata.name"), name, "must be spec.names.plural+\".\"+spec.group");
        }
        versions::validate(spec, &Leniency::default(), errors);
        validate_status(object, errors);
        validate_stored_versions(object, errors);
        names::validate_approval(object, None, errors);
        validate_preservation(object, None, errors);
    }

    fn validate_update(&self, new: &Object, replacing: Replacing<'_>, errors: &mut Errors) {
        let old = replacing.old;
        if replacing.part == Part::Status {
            return validate_status(new, errors);
        }
        let (spec, before) = (at(new, &["spec"]), at(old, &["spec"]));
        let established = is_established(old);
        versions::validate(spec, &Leniency::of(before), errors);
        let path = Path::new("spec");
        let always: [&[&str]; 2] = [&["group"], &["names", "plural"]];
        let fixed: [&[&str]; 2] = [&["scope"], &["names", "kind"]];
        for names in fixed.into_iter().filter(|_| established).chain(always) {
            let value = |spec| names.iter().fold(spec, |value, name| member(value, name));
            let path = names.iter().fold(path.clone(), |path, name| path.child(name));
            tree::immutable(value(spec), value(before), &path, errors);
        }
        validate_status(new, errors);
        validate_stored_versions(new, errors);
        names::validate_approval(new, Some(old), errors);
        validate_preservation(new, Some(old), errors);
    }

    fn warnings(&self, new: &Object, old: Option<&Object>) -> Vec<String> {
        let known = old.map(|old| schema::unknown_formats(at(old, &["spec"]))).unwrap_or_default();
        let found = schema::unknown_formats(at(new, &["spec"]));
        let fresh = found.into_iter().filter(|format| !known.contains(format));
        fresh.map(|format| format!("unrecognized format {format:?}")).collect()
    }

    fn cells_read(&self) -> &'static [&'static str] {
        &[
            "spec.scope",
            "spec.group",
            "spec.names.kind",
            "spec.names.shortNames",
            "spec.versions.name",
            "spec.versions.served",
            "spec.versions.storage",
            "status.conditions.type",
            "status.conditions.status",
        ]
    }

    fn cells(&self, object: &Object, _: jiff::Timestamp) -> Vec<Value> {
        let spec = at(object, &["spec"]);
        let mark = |version| if flag(version, "storage") { "(storage)" } else { "" };
        let served = list(spec, "versions").iter().filter(|version| flag(version, "served"));
        let mut versions: Vec<String> =
            served.map(|version| format!("{}{}", text(version, "name"), mark(version))).collect();
        versions.sort();
        let short: Vec<&str> = tree::texts(member(spec, "names"), "shortNames").collect();
        vec![
            object.name().unwrap_or_default().into(),
            text(spec, "scope").into(),
            versions.join(",").into(),
            object.creation_timestamp().unwrap_or_default().into(),
            text(spec, "group").into(),
            text(member(spec, "names"), "kind").into(),
            short.join(",").into(),
            is_established(object).into(),
        ]
    }
}

fn object_list(object: &Object, name: &str) -> Vec<Value> {
    list(at(object, &["status"]), name).to_vec()
}

fn storage_version(object: &Object) -> Option<String> {
    let versions = list(at(object, &["spec"]), "versions");
    versions.iter().find(|version| flag(version, "storage")).map(|version| text(version, "name").to_owned())
}

/// Notes the first version that is stored, where none is noted.
fn store_version(object: &mut Object) {
    if object_list(object, "storedVersions").is_empty()
        && let Some(name) = storage_version(object)
    {
        object.set(&["status", "storedVersions"], vec![Value::from(name)]);
    }
}

fn is_established(object: &Object) -> bool {
    let conditions = list(at(object, &["status"]), "conditions");
    conditions.iter().any(|one| text(one, "type") == "Established" && text(one, "status") == "True")
}

fn validate_status(object: &Object, errors: &mut Errors) {
    names::validate(at(object, &["status", "acceptedNames"]), &Path::new("status.acceptedNames"), errors);
}

fn validate_stored_versions(object: &Object, errors: &mut Errors) {
    let path = Path::new("status.storedVersions");
    let stored = object_list(object, "storedVersions");
    if stored.is_empty() {
        return errors.invalid(&path, stored, "must have at least one stored version");
    }
    let versions = list(at(object, &["spec"]), "versions");
    for version in versions.iter().filter(|version| flag(version, "storage")) {
        let name = text(version, "name");
        if !stored.iter().any(|one| one == name) {
            errors.invalid(&path, stored.clone(), &format!("must have the storage version {name}"));
        }
    }
    for (index, name) in stored.iter().enumerate() {
        let name = name.as_str().unwrap_or_default();
        if !versions.iter().any(|version| text(version, "name") == name) {
            let why = format!(
                "missing from spec.versions; {name} was previously a storage version, and must remain in spec.versions until a storage \
                 migration ensures no data remains persisted in {name} and removes {name} from status.storedVersions"
            );
            errors.invalid(&path.index(index), name, &why);
        }
    }
}

/// Refuses objects whose unknown fields are all kept, except for one that was so before.
fn validate_preservation(new: &Object, old: Option<&Object>, errors: &mut Errors) {
    let preserves = |object: &Object| flag(at(object, &["spec"]), "preserveUnknownFields");
    if preserves(new) && !old.is_some_and(preserves) {
        let why =
            "cannot set to true, set x-kubernetes-preserve-unknown-fields to true in spec.versions[*].schema instead";
        errors.invalid(&Path::new("spec.preserveUnknownFields"), true, why);
    }
}

/// Whether something is there: not null, and no empty list or text.
fn is_set(value: &Value, name: &str) -> bool {
    match member(value, name) {
        Value::String(text) => !text.is_empty(),
        Value::Array(list) => !list.is_empty(),
        Value::Object(_) => true,
        Value::Bool(flag) => *flag,
        Value::Number(_) => has(value, name),
        Value::Null => false,
    }
}
