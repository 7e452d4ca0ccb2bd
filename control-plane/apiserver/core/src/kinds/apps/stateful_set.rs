//! Stateful sets: pods with names and volumes of their own.

use serde_json::{Value, json};

use super::{fill_set, fill_strategy, spec_of, validate_selector};
use crate::field::{Errors, Path};
use crate::kinds::tree::{self, at, at_most, has, list, member, not_negative, number, share, text};
use crate::kinds::{selectors, template};
use crate::object::Object;
use crate::strategy::{Part, Replacing, Shape, Strategy};
use crate::table;

/// What may change in the spec of a set that exists.
const CHANGEABLE: [&str; 7] = [
    "replicas",
    "ordinals",
    "template",
    "updateStrategy",
    "revisionHistoryLimit",
    "persistentVolumeClaimRetentionPolicy",
    "minReadySeconds",
];
const FIXED: &str = "updates to statefulset spec for fields other than 'replicas', 'ordinals', 'template', 'updateStrategy', \
     'revisionHistoryLimit', 'persistentVolumeClaimRetentionPolicy' and 'minReadySeconds' are forbidden";

/// The strategy.
#[derive(Debug)]
pub(in crate::kinds) struct StatefulSet;

impl Strategy for StatefulSet {
    fn shape(&self) -> Shape {
        Shape::SpecAndStatus
    }

    fn default(&self, object: &mut Object) {
        let spec = object.section("spec");
        fill_set(spec, true, true);
        tree::or_set(spec, "podManagementPolicy", "OrderedReady");
        fill_strategy(spec, "updateStrategy", &[("partition", json!(0))]);
        if let Some(policy) = tree::section(spec, "persistentVolumeClaimRetentionPolicy") {
            tree::or_set(policy, "whenDeleted", "Retain");
            tree::or_set(policy, "whenScaled", "Retain");
        }
        for claim in spec.get_mut("volumeClaimTemplates").and_then(Value::as_array_mut).into_iter().flatten() {
            let Some(claim) = claim.as_object_mut() else { continue };
            tree::or_set(claim, "apiVersion", "v1");
            tree::or_set(claim, "kind", "PersistentVolumeClaim");
            if let Some(spec) = tree::section(claim, "spec") {
                tree::or_set(spec, "volumeMode", "Filesystem");
            }
            if let Some(status) = tree::section(claim, "status") {
                tree::or_set(status, "phase", "Pending");
            }
        }
    }

    fn validate(&self, object: &Object, errors: &mut Errors) {
        let (spec, path) = (&spec_of(object), &Path::new("spec"));
        match text(spec, "podManagementPolicy") {
            "" => errors.required(&path.child("podManagementPolicy"), ""),
            "OrderedReady" | "Parallel" => {}
            other => errors.invalid(&path.child("podManagementPolicy"), other, "must be 'OrderedReady' or 'Parallel'"),
        }
        validate_strategy(member(spec, "updateStrategy"), &path.child("updateStrategy"), errors);
        let retention = path.child("persistentVolumeClaimRetentionPolicy");
        for when in ["whenDeleted", "whenScaled"] {
            let policy = member(spec, "persistentVolumeClaimRetentionPolicy");
            tree::one_of_if_set(policy, when, &["Delete", "Retain"], &retention, errors);
        }
        not_negative(spec, &["replicas", "minReadySeconds"], path, errors);
        not_negative(member(spec, "ordinals"), &["start"], &path.child("ordinals"), errors);
        not_negative(spec, &["revisionHistoryLimit"], path, errors);
        if validate_selector(spec, "empty selector is invalid for statefulset", path, errors) {
            validate_template(spec, &path.child("template"), errors);
        }
    }

    fn validate_update(&self, new: &Object, replacing: Replacing<'_>, errors: &mut Errors) {
        if replacing.part == Part::Status {
            validate_status(at(new, &["status"]), errors);
            return;
        }
        self.validate(new, errors);
        let fixed = |object: &Object| {
            let mut spec = spec_of(object);
            if let Some(map) = spec.as_object_mut() {
                map.retain(|member, _| !CHANGEABLE.contains(&member.as_str()));
            }
            spec
        };
        if fixed(new) != fixed(replacing.old) {
            errors.forbidden(&Path::new("spec"), FIXED);
        }
    }

    fn cells_read(&self) -> &'static [&'static str] {
        &[
            "spec.replicas",
            "spec.template.spec.containers.name",
            "spec.template.spec.containers.image",
            "status.readyReplicas",
        ]
    }

    fn cells(&self, object: &Object, now: jiff::Timestamp) -> Vec<Value> {
        let (spec, status) = (at(object, &["spec"]), at(object, &["status"]));
        let mut cells = vec![
            object.name().unwrap_or_default().into(),
            format!("{}/{}", number(status, "readyReplicas"), number(spec, "replicas")).into(),
            table::age(object.creation_timestamp(), now).into(),
        ];
        cells.extend(template::cells(object, &["spec", "template"]));
        cells
    }
}

/// Checks the template with a volume for each claim: its pods will have them.
fn validate_template(spec: &Value, path: &Path, errors: &mut Errors) {
    let mut template = member(spec, "template").clone();
    let selected = selectors::matches(member(spec, "selector"), template::labels(&template));
    template::validate_selected(selected, &template, path, errors);
    let claims: Vec<&str> =
        list(spec, "volumeClaimTemplates").iter().map(|claim| text(member(claim, "metadata"), "name")).collect();
    if let Some(pod) = template.get_mut("spec").and_then(Value::as_object_mut) {
        let volumes = pod.entry("volumes").or_insert_with(|| json!([]));
        if let Some(volumes) = volumes.as_array_mut() {
            // A claim takes the place of a volume of its name.
            volumes.retain(|volume| !claims.contains(&text(volume, "name")));
            volumes.extend(
                claims
                    .into_iter()
                    .filter(|name| !name.is_empty())
                    .map(|name| json!({ "name": name, "persistentVolumeClaim": { "claimName": name } })),
            );
        }
    }
    template::validate(&template, path, errors);
    template::validate_lasting(&template, "StatefulSet", path, errors);
}

fn validate_strategy(strategy: &Value, path: &Path, errors: &mut Errors) {
    let (rolling, path_of_rolling) = (member(strategy, "rollingUpdate"), path.child("rollingUpdate"));
    match text(strategy, "type") {
        "" => errors.required(path, ""),
        "OnDelete" => {
            if !rolling.is_null() {
                errors.invalid(&path_of_rolling, rolling.clone(), "only allowed for updateStrategy 'RollingUpdate'");
            }
        }
        "RollingUpdate" => {
            not_negative(rolling, &["partition"], &path_of_rolling, errors);
            if has(rolling, "maxUnavailable") {
                let (unavailable, path) = (member(rolling, "maxUnavailable"), path_of_rolling.child("maxUnavailable"));
                share::validate(unavailable, &path, errors);
                if share::is_zero(unavailable) {
                    errors.invalid(&path, unavailable.clone(), "cannot be 0");
                }
                share::validate_at_most_all(unavailable, &path, errors);
            }
        }
        _ => errors.invalid(path, strategy.clone(), "must be 'RollingUpdate' or 'OnDelete'"),
    }
}

fn validate_status(status: &Value, errors: &mut Errors) {
    let path = &Path::new("status");
    not_negative(
        status,
        &[
            "replicas",
            "readyReplicas",
            "currentReplicas",
            "updatedReplicas",
            "availableReplicas",
            "observedGeneration",
            "collisionCount",
        ],
        path,
        errors,
    );
    let beyond = "cannot be greater than status.replicas";
    at_most(
        status,
        &[
            ("readyReplicas", "replicas", beyond),
            ("currentReplicas", "replicas", beyond),
            ("updatedReplicas", "replicas", beyond),
            ("availableReplicas", "replicas", beyond),
            ("availableReplicas", "readyReplicas", "cannot be greater than status.readyReplicas"),
        ],
        path,
        errors,
    );
}
