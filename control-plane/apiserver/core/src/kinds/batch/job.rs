//! Jobs: pods that run until enough of them have succeeded.

use serde_json::{Value, json};

use super::job_spec;
use crate::engine::Context;
use crate::field::{Errors, Path};
use crate::kinds::tree::{self, at, flag, has, list, member, not_negative, number, text};
use crate::kinds::{selectors, template};
use crate::object::Object;
use crate::status::Status;
use crate::strategy::{Part, Replacing, Shape, Strategy};
use crate::{table, time};

/// The label a job and its pods have in common: the job's uid.
const CONTROLLER_UID: &str = "batch.kubernetes.io/controller-uid";
const TEMPLATE_LABELS: [&str; 4] = ["spec", "template", "metadata", "labels"];

/// The strategy.
#[derive(Debug)]
pub(in crate::kinds) struct Job;

impl Strategy for Job {
    fn shape(&self) -> Shape {
        Shape::SpecAndStatus
    }

    fn default(&self, object: &mut Object) {
        job_spec::fill(object.section("spec"));
        label_as_pods(object);
    }

    fn prepare_create(&self, object: &mut Object, context: &Context<'_>) -> Result<(), Status> {
        object.set(&["status"], json!({}));
        if !object.flag(&["spec", "manualSelector"]) {
            select_own_pods(object, context.uid);
            // Else the next write would find labels missing, and be a change.
            label_as_pods(object);
        }
        Ok(())
    }

    fn validate(&self, object: &Object, errors: &mut Errors) {
        let path = Path::new("spec");
        if !object.flag(&["spec", "manualSelector"]) {
            validate_generated(object, &path, errors);
        }
        let spec = at(object, &["spec"]);
        job_spec::validate(spec, &path, errors);
        if has(spec, "selector") {
            let (selector, template) = (member(spec, "selector"), member(spec, "template"));
            selectors::validate(selector, &path.child("selector"), errors);
            template::validate_selected(
                selectors::matches(selector, template::labels(template)),
                template,
                &path.child("template"),
                errors,
            );
        } else {
            errors.required(&path.child("selector"), "");
        }
    }

    fn validate_update(&self, new: &Object, replacing: Replacing<'_>, errors: &mut Errors) {
        let (spec, old) = (at(new, &["spec"]), at(replacing.old, &["spec"]));
        let path = Path::new("spec");
        if replacing.part == Part::Status {
            validate_status(at(new, &["status"]), at(replacing.old, &["status"]), errors);
            return;
        }
        job_spec::validate(spec, &path, errors);
        job_spec::validate_completions(spec, old, &path, errors);
        for name in
            ["selector", "completionMode", "podFailurePolicy", "backoffLimitPerIndex", "managedBy", "successPolicy"]
        {
            tree::immutable(member(spec, name), member(old, name), &path.child(name), errors);
        }
        let suspended = flag(old, "suspend") && !has(at(replacing.old, &["status"]), "startTime");
        let (after, before) = (member(spec, "template"), member(old, "template"));
        let changed = if suspended {
            job_spec::without_placement(after) != job_spec::without_placement(before)
        } else {
            after != before
        };
        if changed {
            errors.invalid(&path.child("template"), after.clone(), "field is immutable");
        }
    }

    fn cells_read(&self) -> &'static [&'static str] {
        &[
            "spec.completions",
            "spec.parallelism",
            "spec.selector",
            "spec.template.spec.containers.name",
            "spec.template.spec.containers.image",
            "status.succeeded",
            "status.startTime",
            "status.completionTime",
            "status.conditions.type",
            "status.conditions.status",
        ]
    }

    fn cells(&self, object: &Object, now: jiff::Timestamp) -> Vec<Value> {
        let (spec, status) = (at(object, &["spec"]), at(object, &["status"]));
        let succeeded = number(status, "succeeded");
        let parallelism = number(spec, "parallelism");
        let completions = match member(spec, "completions").as_i64() {
            Some(wanted) => format!("{succeeded}/{wanted}"),
            None if parallelism > 1 => format!("{succeeded}/1 of {parallelism}"),
            None => format!("{succeeded}/1"),
        };
        let (start, end) = (time::parse(text(status, "startTime")), time::parse(text(status, "completionTime")));
        let duration =
            start.map_or_else(String::new, |start| time::span(end.unwrap_or(now).as_second() - start.as_second()));
        let mut cells = vec![
            object.name().unwrap_or_default().into(),
            state(object).into(),
            completions.into(),
            duration.into(),
            table::age(object.creation_timestamp(), now).into(),
        ];
        cells.extend(template::cells_with_selector(object));
        cells
    }
}

/// One word for where a job is.
fn state(object: &Object) -> &'static str {
    let status = at(object, &["status"]);
    let holds = |kind: &str| {
        list(status, "conditions").iter().any(|one| text(one, "type") == kind && text(one, "status") == "True")
    };
    match () {
        () if holds("Complete") => "Complete",
        () if holds("Failed") => "Failed",
        () if object.deletion_timestamp().is_some() => "Terminating",
        () if holds("Suspended") => "Suspended",
        () if holds("FailureTarget") => "FailureTarget",
        () if holds("SuccessCriteriaMet") => "SuccessCriteriaMet",
        () => "Running",
    }
}

/// A job without labels has those of its pods.
fn label_as_pods(object: &mut Object) {
    let labels = object.at(&TEMPLATE_LABELS).filter(|labels| labels.as_object().is_some_and(|map| !map.is_empty()));
    let labels = labels.filter(|_| object.labels().next().is_none()).cloned();
    if let Some(labels) = labels {
        object.set(&["metadata", "labels"], labels);
    }
}

/// The labels the pods of a job get: names old and new for its uid and its name.
fn own_labels(name: &str, uid: &str) -> [(&'static str, String); 4] {
    [
        (CONTROLLER_UID, uid.to_owned()),
        ("controller-uid", uid.to_owned()),
        ("batch.kubernetes.io/job-name", name.to_owned()),
        ("job-name", name.to_owned()),
    ]
}

/// Makes a job select the pods that carry its uid. What the client has set stays, for validation to refuse.
fn select_own_pods(object: &mut Object, uid: &str) {
    let name = object.name().unwrap_or_default().to_owned();
    for (label, value) in own_labels(&name, uid) {
        let path = [&TEMPLATE_LABELS[..], &[label]].concat();
        if object.at(&path).is_none() {
            object.set(&path, value);
        }
    }
    let path = ["spec", "selector", "matchLabels", CONTROLLER_UID];
    if object.at(&path).is_none() {
        object.set(&path, uid);
    }
}

fn validate_generated(object: &Object, path: &Path, errors: &mut Errors) {
    let uid = object.uid().unwrap_or_default();
    let selector = at(object, &["spec", "selector"]);
    if *selector != json!({ "matchLabels": { CONTROLLER_UID: uid } }) {
        errors.invalid(&path.child("selector"), selector.clone(), "`selector` not auto-generated");
    }
    let labels = at(object, &TEMPLATE_LABELS);
    for (label, value) in own_labels(object.name().unwrap_or_default(), uid) {
        if text(labels, label) != value {
            errors.invalid(
                &path.child("template").child("metadata").child("labels"),
                labels.clone(),
                &format!("must be '{value}'"),
            );
        }
    }
}

fn validate_status(status: &Value, old: &Value, errors: &mut Errors) {
    let path = &Path::new("status");
    not_negative(status, &["active", "succeeded", "failed", "ready", "terminating"], path, errors);
    let ended = |status: &Value, kind: &str| {
        list(status, "conditions").iter().any(|one| text(one, "type") == kind && text(one, "status") == "True")
    };
    for kind in ["Complete", "Failed"] {
        if ended(old, kind) && !ended(status, kind) {
            errors.invalid(
                &path.child("conditions"),
                Value::Array(list(status, "conditions").to_vec()),
                &format!("cannot disable the terminal {kind}=True condition"),
            );
        }
    }
    if ended(status, "Complete") && ended(status, "Failed") {
        errors.invalid(
            &path.child("conditions"),
            Value::Array(list(status, "conditions").to_vec()),
            "cannot set Complete=True and Failed=true conditions",
        );
    }
    if has(status, "completionTime") && !ended(status, "Complete") {
        errors.invalid(
            &path.child("completionTime"),
            text(status, "completionTime"),
            "cannot set completionTime when there is no Complete=True condition",
        );
    }
    if let (Some(start), Some(end)) =
        (time::parse(text(status, "startTime")), time::parse(text(status, "completionTime")))
        && end < start
    {
        errors.invalid(
            &path.child("completionTime"),
            text(status, "completionTime"),
            "completionTime cannot be set before startTime",
        );
    }
}
