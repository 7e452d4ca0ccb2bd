//! Templates of pods, as the kinds that make pods carry them.

use serde_json::{Map, Value, json};

use super::tree::{NOTHING, list, member, pairs, text};
use super::{pod, selectors, tree};
use crate::field::{Errors, Path};
use crate::names;
use crate::object::Object;

/// Fills in the defaults of the template in `owner`, if there is one.
pub(super) fn fill(owner: &mut Map<String, Value>) {
    if let Some(template) = owner.get_mut("template").and_then(Value::as_object_mut) {
        template.entry("metadata").or_insert_with(|| json!({}));
        if let Some(spec) = tree::section(template, "spec") {
            pod::fill_spec(spec);
        }
    }
}

/// Checks a template for itself.
pub(super) fn validate(template: &Value, path: &Path, errors: &mut Errors) {
    validate_metadata(template, path, errors);
    let path = path.child("spec");
    let (spec, empty) = (member(template, "spec"), json!({}));
    let spec = if spec.is_object() { spec } else { &empty };
    pod::validate_spec(spec, &path, errors);
    if !list(spec, "ephemeralContainers").is_empty() {
        errors.forbidden(&path.child("ephemeralContainers"), "ephemeral containers not allowed in pod template");
    }
}

/// Checks the metadata of a template.
pub(super) fn validate_metadata(template: &Value, path: &Path, errors: &mut Errors) {
    let metadata = member(template, "metadata");
    names::check_labels(pairs(metadata, "labels"), &path.child("labels"), errors);
    for (key, _) in pairs(metadata, "annotations") {
        tree::all(names::qualified_name(&key.to_lowercase()), key, &path.child("annotations"), errors);
    }
}

/// Refuses a template whose pods the selector would not find.
pub(super) fn validate_selected(selected: bool, template: &Value, path: &Path, errors: &mut Errors) {
    if !selected {
        errors.invalid(
            &path.child("metadata").child("labels"),
            labels(template).clone(),
            "`selector` does not match template `labels`",
        );
    }
}

/// Refuses pods that end by themselves, in templates of a kind that replaces what ended.
pub(super) fn validate_lasting(template: &Value, owner: &str, path: &Path, errors: &mut Errors) {
    let spec = member(template, "spec");
    let path = path.child("spec");
    let policy = text(spec, "restartPolicy");
    if policy != "Always" {
        errors.not_supported(&path.child("restartPolicy"), policy, &["Always"]);
    }
    if tree::has(spec, "activeDeadlineSeconds") {
        errors.forbidden(
            &path.child("activeDeadlineSeconds"),
            &format!("activeDeadlineSeconds in {owner} is not Supported"),
        );
    }
}

/// The labels its pods will have.
pub(super) fn labels(template: &Value) -> &Value {
    member(member(template, "metadata"), "labels")
}

/// Names and images of the containers of the template at a path, and a selector, as `-o wide` shows them.
pub(super) fn cells(object: &Object, path: &[&str]) -> [Value; 2] {
    let template = object.at(path).unwrap_or(NOTHING);
    let containers = list(member(template, "spec"), "containers");
    ["name", "image"].map(|what| containers.iter().map(|one| text(one, what)).collect::<Vec<_>>().join(",").into())
}

/// The same with the label selector at `spec.selector`.
pub(super) fn cells_with_selector(object: &Object) -> [Value; 3] {
    let [names, images] = cells(object, &["spec", "template"]);
    [names, images, selectors::shown(tree::at(object, &["spec", "selector"])).into()]
}
