//! Replica sets: so many pods of one template.

use serde_json::Value;

use super::{fill_set, spec_of, validate_same_selector, validate_selector, validate_template};
use crate::field::{Errors, Path};
use crate::kinds::template;
use crate::kinds::tree::{at, at_most, not_negative, number};
use crate::object::Object;
use crate::strategy::{Part, Replacing, Shape, Strategy};
use crate::table;

/// The strategy.
#[derive(Debug)]
pub(in crate::kinds) struct ReplicaSet;

impl Strategy for ReplicaSet {
    fn shape(&self) -> Shape {
        Shape::SpecAndStatus
    }

    fn default(&self, object: &mut Object) {
        fill_set(object.section("spec"), true, false);
    }

    fn validate(&self, object: &Object, errors: &mut Errors) {
        let (spec, path) = (&spec_of(object), &Path::new("spec"));
        not_negative(spec, &["replicas", "minReadySeconds"], path, errors);
        // Upstream's word for it, from when the two kinds shared their checks.
        if validate_selector(spec, "empty selector is invalid for deployment", path, errors) {
            validate_template(spec, "ReplicaSet", path, errors);
        }
    }

    fn validate_update(&self, new: &Object, replacing: Replacing<'_>, errors: &mut Errors) {
        if replacing.part == Part::Status {
            validate_status(at(new, &["status"]), errors);
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
            "status.replicas",
            "status.readyReplicas",
        ]
    }

    fn cells(&self, object: &Object, now: jiff::Timestamp) -> Vec<Value> {
        let mut cells = count_cells(object, now);
        cells.extend(template::cells_with_selector(object));
        cells
    }
}

/// Name, wanted, present and ready replicas, and age.
pub(in crate::kinds) fn count_cells(object: &Object, now: jiff::Timestamp) -> Vec<Value> {
    let (spec, status) = (at(object, &["spec"]), at(object, &["status"]));
    vec![
        object.name().unwrap_or_default().into(),
        number(spec, "replicas").into(),
        number(status, "replicas").into(),
        number(status, "readyReplicas").into(),
        table::age(object.creation_timestamp(), now).into(),
    ]
}

/// Checks the counts of a set of replicas.
pub(in crate::kinds) fn validate_status(status: &Value, errors: &mut Errors) {
    let path = &Path::new("status");
    not_negative(
        status,
        &[
            "replicas",
            "fullyLabeledReplicas",
            "readyReplicas",
            "availableReplicas",
            "terminatingReplicas",
            "observedGeneration",
        ],
        path,
        errors,
    );
    let beyond = "cannot be greater than status.replicas";
    at_most(
        status,
        &[
            ("fullyLabeledReplicas", "replicas", beyond),
            ("readyReplicas", "replicas", beyond),
            ("availableReplicas", "replicas", beyond),
            ("availableReplicas", "readyReplicas", "cannot be greater than readyReplicas"),
        ],
        path,
        errors,
    );
}
