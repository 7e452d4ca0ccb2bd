//! Daemon sets: one pod on every node.

use serde_json::{Value, json};

use super::{fill_set, fill_strategy, spec_of, validate_same_selector};
use crate::engine::Context;
use crate::field::{Errors, Path};
use crate::kinds::tree::{self, at, member, not_negative, number, share, text};
use crate::kinds::{selectors, template};
use crate::object::Object;
use crate::status::Status;
use crate::strategy::{Part, Replacing, Shape, Strategy};
use crate::table;

/// Where old clients look for the number of the template.
const TEMPLATE_GENERATION: [&str; 3] = ["metadata", "annotations", "deprecated.daemonset.template.generation"];

/// The strategy.
#[derive(Debug)]
pub(in crate::kinds) struct DaemonSet;

impl Strategy for DaemonSet {
    fn shape(&self) -> Shape {
        Shape::SpecAndStatus
    }

    fn default(&self, object: &mut Object) {
        let spec = object.section("spec");
        fill_set(spec, false, true);
        fill_strategy(spec, "updateStrategy", &[("maxUnavailable", json!(1)), ("maxSurge", json!(0))]);
    }

    fn prepare_create(&self, object: &mut Object, _: &Context<'_>) -> Result<(), Status> {
        object.set(&["status"], json!({}));
        if template_generation(object) < 1 {
            object.set(&TEMPLATE_GENERATION, "1");
        }
        Ok(())
    }

    fn prepare_update(&self, new: &mut Object, replacing: Replacing<'_>, _: &Context<'_>) -> Result<(), Status> {
        let old = replacing.old;
        match replacing.part {
            Part::Status => new.take_over(&["spec"], old),
            Part::Main | Part::Other(_) => {
                new.take_over(&["status"], old);
                let step = i64::from(tree::changed(new, old, &["spec", "template"]));
                new.set(&TEMPLATE_GENERATION, template_generation(old).saturating_add(step).to_string());
            }
        }
        Ok(())
    }

    fn validate(&self, object: &Object, errors: &mut Errors) {
        let (spec, path) = (&spec_of(object), &Path::new("spec"));
        let (selector, template) = (member(spec, "selector"), member(spec, "template"));
        selectors::validate(selector, &path.child("selector"), errors);
        let template_path = path.child("template");
        let selected = selectors::matches(selector, template::labels(template));
        template::validate_selected(selected, template, &template_path, errors);
        if selector.is_object() && selectors::is_empty(selector) {
            errors.invalid(&path.child("selector"), selector.clone(), "empty selector is invalid for daemonset");
        }
        template::validate(template, &template_path, errors);
        template::validate_lasting(template, "DaemonSet", &template_path, errors);
        not_negative(spec, &["minReadySeconds"], path, errors);
        validate_strategy(member(spec, "updateStrategy"), &path.child("updateStrategy"), errors);
        not_negative(spec, &["revisionHistoryLimit"], path, errors);
    }

    fn validate_update(&self, new: &Object, replacing: Replacing<'_>, errors: &mut Errors) {
        if replacing.part == Part::Status {
            let counts = [
                "currentNumberScheduled",
                "numberMisscheduled",
                "desiredNumberScheduled",
                "numberReady",
                "observedGeneration",
                "updatedNumberScheduled",
                "numberAvailable",
                "numberUnavailable",
                "collisionCount",
            ];
            not_negative(at(new, &["status"]), &counts, &Path::new("status"), errors);
            return;
        }
        self.validate(new, errors);
        validate_same_selector(new, replacing.old, errors);
    }

    fn cells_read(&self) -> &'static [&'static str] {
        &[
            "spec.selector",
            "spec.template.spec.nodeSelector",
            "spec.template.spec.containers.name",
            "spec.template.spec.containers.image",
            "status.desiredNumberScheduled",
            "status.currentNumberScheduled",
            "status.numberReady",
            "status.updatedNumberScheduled",
            "status.numberAvailable",
        ]
    }

    fn cells(&self, object: &Object, now: jiff::Timestamp) -> Vec<Value> {
        let status = at(object, &["status"]);
        let mut cells = vec![object.name().unwrap_or_default().into()];
        cells.extend(
            [
                "desiredNumberScheduled",
                "currentNumberScheduled",
                "numberReady",
                "updatedNumberScheduled",
                "numberAvailable",
            ]
            .map(|count| Value::from(number(status, count))),
        );
        cells.push(selectors::labels_shown(at(object, &["spec", "template", "spec"]), "nodeSelector").into());
        cells.push(table::age(object.creation_timestamp(), now).into());
        cells.extend(template::cells_with_selector(object));
        cells
    }
}

fn template_generation(object: &Object) -> i64 {
    object.text(&TEMPLATE_GENERATION).and_then(|text| text.parse().ok()).unwrap_or(0)
}

fn validate_strategy(strategy: &Value, path: &Path, errors: &mut Errors) {
    let (rolling, path_of_rolling) = (member(strategy, "rollingUpdate"), path.child("rollingUpdate"));
    match text(strategy, "type") {
        "OnDelete" => {}
        "RollingUpdate" => {
            let (unavailable, surge) = (member(rolling, "maxUnavailable"), member(rolling, "maxSurge"));
            share::validate(unavailable, &path_of_rolling.child("maxUnavailable"), errors);
            share::validate(surge, &path_of_rolling.child("maxSurge"), errors);
            match (share::is_zero(unavailable), share::is_zero(surge)) {
                (true, true) => {
                    errors.required(&path_of_rolling.child("maxUnavailable"), "cannot be 0 when maxSurge is 0");
                }
                (false, false) => errors.invalid(
                    &path_of_rolling.child("maxSurge"),
                    surge.clone(),
                    "may not be set when maxUnavailable is non-zero",
                ),
                (true, false) | (false, true) => {}
            }
            share::validate_at_most_all(unavailable, &path_of_rolling.child("maxUnavailable"), errors);
            share::validate_at_most_all(surge, &path_of_rolling.child("maxSurge"), errors);
        }
        _ => errors.not_supported(path, strategy.clone(), &["RollingUpdate", "OnDelete"]),
    }
}
