//! Taints of devices, and what tolerates them.

use serde_json::{Value, json};

use super::{validate_driver, validate_label, validate_pool};
use crate::engine::Context;
use crate::field::{Errors, Path};
use crate::kinds::tree::{self, at, has, list, member, text};
use crate::names;
use crate::object::Object;
use crate::status::Status;
use crate::strategy::{Part, Replacing, Shape, Strategy};
use crate::{table, time};

const EFFECTS: [&str; 3] = ["NoExecute", "NoSchedule", "None"];
const MOST_CONDITIONS: usize = 8;

/// The strategy.
#[derive(Debug)]
pub(in crate::kinds) struct DeviceTaintRule;

impl Strategy for DeviceTaintRule {
    fn shape(&self) -> Shape {
        Shape::SpecAndStatus
    }

    fn prepare_create(&self, object: &mut Object, context: &Context<'_>) -> Result<(), Status> {
        object.set(&["status"], json!({}));
        if let Some(taint) = object.section("spec").get_mut("taint") {
            date(taint, context);
        }
        Ok(())
    }

    fn prepare_update(&self, new: &mut Object, replacing: Replacing<'_>, context: &Context<'_>) -> Result<(), Status> {
        let old = replacing.old;
        if replacing.part == Part::Status {
            new.take_over(&["spec"], old);
            return Ok(());
        }
        new.take_over(&["status"], old);
        let added = ["spec", "taint", "timeAdded"];
        let effect = ["spec", "taint", "effect"];
        // A taint that does something else now has been there since now.
        if tree::changed(new, old, &effect) && !tree::changed(new, old, &added) {
            new.remove(&added);
        } else if new.at(&added).is_none() {
            new.take_over(&added, old);
        }
        if let Some(taint) = new.section("spec").get_mut("taint") {
            date(taint, context);
        }
        Ok(())
    }

    fn validate(&self, object: &Object, errors: &mut Errors) {
        let (spec, path) = (at(object, &["spec"]), Path::new("spec"));
        let (selector, filter) = (member(spec, "deviceSelector"), path.child("deviceSelector"));
        if has(selector, "driver") {
            validate_driver(text(selector, "driver"), &filter.child("driver"), errors);
        }
        if has(selector, "pool") {
            validate_pool(text(selector, "pool"), &filter.child("pool"), errors);
        }
        if has(selector, "device") {
            validate_label(text(selector, "device"), &filter.child("device"), errors);
        }
        validate_taint(member(spec, "taint"), &path.child("taint"), errors);
    }

    fn validate_update(&self, new: &Object, replacing: Replacing<'_>, errors: &mut Errors) {
        if replacing.part != Part::Status {
            return self.validate(new, errors);
        }
        let (conditions, path) = (list(at(new, &["status"]), "conditions"), Path::new("status.conditions"));
        tree::conditions::validate(conditions, &path, errors);
        if conditions.len() > MOST_CONDITIONS {
            errors.too_many(&path, conditions.len(), MOST_CONDITIONS);
        }
    }

    fn cells(&self, object: &Object, now: jiff::Timestamp) -> Vec<Value> {
        table::name_and_age(object, now)
    }
}

/// Says since when a taint is there, if nobody has.
pub(super) fn date(taint: &mut Value, context: &Context<'_>) {
    if let Some(taint) = taint.as_object_mut() {
        tree::or_set(taint, "timeAdded", time::seconds(context.now));
    }
}

pub(super) fn validate_taint(taint: &Value, path: &Path, errors: &mut Errors) {
    let (key, value, effect) = (text(taint, "key"), text(taint, "value"), text(taint, "effect"));
    tree::all(names::qualified_name(key), key, &path.child("key"), errors);
    tree::all(names::label_value(value), value, &path.child("value"), errors);
    match effect {
        "" => errors.required(&path.child("effect"), ""),
        effect if !EFFECTS.contains(&effect) => errors.not_supported(&path.child("effect"), effect, &EFFECTS),
        _ => {}
    }
}

pub(super) fn validate_tolerations(owner: &Value, path: &Path, errors: &mut Errors) {
    const MOST: usize = 16;
    super::validate_each(list(owner, "tolerations"), MOST, &path.child("tolerations"), errors, |one, path, errors| {
        let (key, value) = (text(one, "key"), text(one, "value"));
        if !key.is_empty() {
            tree::all(names::qualified_name(key), key, &path.child("key"), errors);
        }
        match text(one, "operator") {
            "Exists" if !value.is_empty() => {
                errors.invalid(&path.child("value"), value, "must be empty for operator `Exists`");
            }
            "Exists" => {}
            "Equal" => tree::all(names::label_value(value), value, &path.child("value"), errors),
            "" => errors.required(&path.child("operator"), ""),
            other => errors.not_supported(&path.child("operator"), other, &["Equal", "Exists"]),
        }
        let effect = text(one, "effect");
        if !effect.is_empty() && !EFFECTS.contains(&effect) {
            errors.not_supported(&path.child("effect"), effect, &EFFECTS);
        }
    });
}
