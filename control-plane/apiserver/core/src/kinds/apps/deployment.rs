//! Deployments: replica sets that follow each other.

use serde_json::{Value, json};

use super::{fill_set, fill_strategy, spec_of, validate_same_selector, validate_selector, validate_template};
use crate::engine::Context;
use crate::field::{Errors, Path};
use crate::kinds::template;
use crate::kinds::tree::{self, at, at_most, has, member, not_negative, number, share, text};
use crate::object::Object;
use crate::status::Status;
use crate::strategy::{Part, Reach, Replacing, Shape, Strategy};
use crate::table;

/// The strategy.
#[derive(Debug)]
pub(in crate::kinds) struct Deployment;

impl Strategy for Deployment {
    fn shape(&self) -> Shape {
        Shape::SpecAndStatus
    }

    fn default(&self, object: &mut Object) {
        let spec = object.section("spec");
        fill_set(spec, true, true);
        fill_strategy(spec, "strategy", &[("maxUnavailable", json!("25%")), ("maxSurge", json!("25%"))]);
        tree::or_set(spec, "progressDeadlineSeconds", 600);
    }

    fn reach(&self, part: Part<'_>) -> Reach {
        match part {
            Part::Status => Reach::But(&[&["spec"], &["metadata", "labels"]]),
            Part::Main | Part::Other(_) => Reach::WISHES,
        }
    }

    fn prepare_update(&self, new: &mut Object, replacing: Replacing<'_>, _: &Context<'_>) -> Result<(), Status> {
        match replacing.part {
            // Labels, too, are for those who wish: of all kinds only this one minds.
            Part::Status => {
                new.take_over(&["spec"], replacing.old);
                new.take_over(&["metadata", "labels"], replacing.old);
            }
            Part::Main | Part::Other(_) => new.take_over(&["status"], replacing.old),
        }
        Ok(())
    }

    fn generation_changes(&self, new: &Object, old: &Object) -> Option<bool> {
        // The controller copies annotations to its replica sets: a change of them is work for it, too.
        Some(tree::changed(new, old, &["spec"]) || tree::changed(new, old, &["metadata", "annotations"]))
    }

    fn validate(&self, object: &Object, errors: &mut Errors) {
        let (spec, path) = (&spec_of(object), &Path::new("spec"));
        not_negative(spec, &["replicas"], path, errors);
        if validate_selector(spec, "empty selector is invalid for deployment", path, errors) {
            validate_template(spec, "ReplicaSet", path, errors);
        }
        validate_strategy(member(spec, "strategy"), &path.child("strategy"), errors);
        not_negative(spec, &["minReadySeconds", "revisionHistoryLimit", "progressDeadlineSeconds"], path, errors);
        if has(spec, "progressDeadlineSeconds")
            && number(spec, "progressDeadlineSeconds") <= number(spec, "minReadySeconds")
        {
            errors.invalid(
                &path.child("progressDeadlineSeconds"),
                number(spec, "progressDeadlineSeconds"),
                "must be greater than minReadySeconds",
            );
        }
    }

    fn validate_update(&self, new: &Object, replacing: Replacing<'_>, errors: &mut Errors) {
        if replacing.part == Part::Status {
            validate_status(at(new, &["status"]), at(replacing.old, &["status"]), errors);
            return;
        }
        self.validate(new, errors);
        validate_same_selector(new, replacing.old, errors);
    }

    fn cells_read(&self) -> &'static [&'static str] {
        &[
            "spec.replicas",
            "spec.selector",
            "spec.template.spec.containers.name",
            "spec.template.spec.containers.image",
            "status.readyReplicas",
            "status.updatedReplicas",
            "status.availableReplicas",
        ]
    }

    fn cells(&self, object: &Object, now: jiff::Timestamp) -> Vec<Value> {
        let (spec, status) = (at(object, &["spec"]), at(object, &["status"]));
        let mut cells = vec![
            object.name().unwrap_or_default().into(),
            format!("{}/{}", number(status, "readyReplicas"), number(spec, "replicas")).into(),
            number(status, "updatedReplicas").into(),
            number(status, "availableReplicas").into(),
            table::age(object.creation_timestamp(), now).into(),
        ];
        cells.extend(template::cells_with_selector(object));
        cells
    }
}

fn validate_strategy(strategy: &Value, path: &Path, errors: &mut Errors) {
    let (rolling, path_of_rolling) = (member(strategy, "rollingUpdate"), path.child("rollingUpdate"));
    match text(strategy, "type") {
        "Recreate" => {
            if !rolling.is_null() {
                errors.forbidden(&path_of_rolling, "may not be specified when strategy `type` is 'Recreate'");
            }
        }
        "RollingUpdate" => {
            let (unavailable, surge) = (member(rolling, "maxUnavailable"), member(rolling, "maxSurge"));
            share::validate(unavailable, &path_of_rolling.child("maxUnavailable"), errors);
            share::validate(surge, &path_of_rolling.child("maxSurge"), errors);
            if share::is_zero(unavailable) && share::is_zero(surge) {
                errors.invalid(
                    &path_of_rolling.child("maxUnavailable"),
                    unavailable.clone(),
                    "may not be 0 when `maxSurge` is 0",
                );
            }
            share::validate_at_most_all(unavailable, &path_of_rolling.child("maxUnavailable"), errors);
        }
        other => errors.not_supported(&path.child("type"), other, &["Recreate", "RollingUpdate"]),
    }
}

fn validate_status(status: &Value, old: &Value, errors: &mut Errors) {
    const COUNTS: [&str; 8] = [
        "observedGeneration",
        "replicas",
        "updatedReplicas",
        "readyReplicas",
        "availableReplicas",
        "unavailableReplicas",
        "terminatingReplicas",
        "collisionCount",
    ];
    let path = &Path::new("status");
    not_negative(status, &COUNTS, path, errors);
    let beyond = "cannot be greater than status.replicas";
    at_most(
        status,
        &[
            ("updatedReplicas", "replicas", beyond),
            ("readyReplicas", "replicas", beyond),
            ("availableReplicas", "replicas", beyond),
            ("availableReplicas", "readyReplicas", "cannot be greater than readyReplicas"),
        ],
        path,
        errors,
    );
    if number(status, "collisionCount") < number(old, "collisionCount") {
        errors.invalid(&path.child("collisionCount"), number(status, "collisionCount"), "cannot be decremented");
    }
}
