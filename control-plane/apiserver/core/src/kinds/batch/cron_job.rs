//! Cron jobs: jobs by the clock.

use serde_json::Value;

use super::{job_spec, schedule};
use crate::field::{Errors, Path};
use crate::kinds::tree::{self, at, flag, has, list, member, not_negative, text};
use crate::kinds::{selectors, template};
use crate::object::Object;
use crate::strategy::{Replacing, Shape, Strategy};
use crate::table;

/// Names of its jobs get eleven characters more, and are names of pods' labels.
const NAME_LENGTH: usize = 52;

/// The strategy.
#[derive(Debug)]
pub(in crate::kinds) struct CronJob;

impl Strategy for CronJob {
    fn shape(&self) -> Shape {
        Shape::SpecAndStatus
    }

    fn default(&self, object: &mut Object) {
        let spec = object.section("spec");
        tree::or_set(spec, "concurrencyPolicy", "Allow");
        tree::or_set(spec, "suspend", false);
        tree::or_set(spec, "successfulJobsHistoryLimit", 3);
        tree::or_set(spec, "failedJobsHistoryLimit", 1);
        if let Some(template) = tree::section(spec, "jobTemplate") {
            tree::section(template, "metadata");
            // Jobs get their own defaults when they are made; only those of their pods are seen here.
            if let Some(spec) = tree::section(template, "spec") {
                template::fill(spec);
            }
        }
    }

    fn validate(&self, object: &Object, errors: &mut Errors) {
        validate(object, errors);
        if object.name().is_some_and(|name| name.len() > NAME_LENGTH) {
            errors.invalid(
                &Path::new("metadata.name"),
                object.name().unwrap_or_default(),
                &format!("must be no more than {NAME_LENGTH} characters"),
            );
        }
    }

    fn validate_update(&self, new: &Object, replacing: Replacing<'_>, errors: &mut Errors) {
        if replacing.part == crate::strategy::Part::Main {
            validate(new, errors);
        }
    }

    fn cells_read(&self) -> &'static [&'static str] {
        &[
            "spec.schedule",
            "spec.timeZone",
            "spec.suspend",
            "spec.jobTemplate.spec.selector",
            "spec.jobTemplate.spec.template.spec.containers.name",
            "spec.jobTemplate.spec.template.spec.containers.image",
            "status.active.*",
            "status.lastScheduleTime",
        ]
    }

    fn cells(&self, object: &Object, now: jiff::Timestamp) -> Vec<Value> {
        let (spec, status) = (at(object, &["spec"]), at(object, &["status"]));
        let last = match member(status, "lastScheduleTime").as_str() {
            None => "<none>".to_owned(),
            at => table::age(at, now),
        };
        let zone = member(spec, "timeZone").as_str().unwrap_or("<none>");
        let mut cells = vec![
            object.name().unwrap_or_default().into(),
            text(spec, "schedule").into(),
            zone.into(),
            if flag(spec, "suspend") { "True" } else { "False" }.into(),
            list(status, "active").len().into(),
            last.into(),
            table::age(object.creation_timestamp(), now).into(),
        ];
        cells.extend(template::cells(object, &["spec", "jobTemplate", "spec", "template"]));
        cells.push(selectors::shown(at(object, &["spec", "jobTemplate", "spec", "selector"])).into());
        cells
    }
}

fn validate(object: &Object, errors: &mut Errors) {
    let (spec, path) = (at(object, &["spec"]), &Path::new("spec"));
    let schedule = text(spec, "schedule");
    if schedule.is_empty() {
        errors.required(&path.child("schedule"), "");
    } else {
        if let Err(why) = schedule::check(schedule) {
            errors.invalid(&path.child("schedule"), schedule, &why);
        }
        if schedule.contains("TZ") {
            errors.invalid(
                &path.child("schedule"),
                schedule,
                "cannot use TZ or CRON_TZ in schedule, use timeZone field instead",
            );
        }
    }
    not_negative(spec, &["startingDeadlineSeconds"], path, errors);
    if let Some(zone) = member(spec, "timeZone").as_str() {
        validate_zone(zone, &path.child("timeZone"), errors);
    }
    tree::one_of(spec, "concurrencyPolicy", &["Allow", "Forbid", "Replace"], path, errors);
    let (job, path_of_job) = (at(object, &["spec", "jobTemplate"]), path.child("jobTemplate"));
    template::validate_metadata(job, &path_of_job, errors);
    let (job, path_of_job) = (member(job, "spec"), path_of_job.child("spec"));
    job_spec::validate(job, &path_of_job, errors);
    if flag(job, "manualSelector") {
        errors.not_supported(&path_of_job.child("manualSelector"), true, &["nil", "false"]);
    }
    if has(job, "selector") {
        errors.invalid(
            &path_of_job.child("selector"),
            member(job, "selector").clone(),
            "`selector` will be auto-generated",
        );
    }
    not_negative(spec, &["successfulJobsHistoryLimit", "failedJobsHistoryLimit"], path, errors);
}

/// Checks the form of a zone's name. Whether there is such a zone is for the controller, which has the table of zones.
fn validate_zone(zone: &str, path: &Path, errors: &mut Errors) {
    let step = |step: &str| {
        !step.is_empty() && step.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_+-".contains(&byte))
    };
    if zone.is_empty() {
        errors.invalid(path, zone, "timeZone must be nil or non-empty string");
    } else if zone.eq_ignore_ascii_case("Local") {
        errors.invalid(
            path,
            zone,
            "timeZone must be an explicit time zone as defined in https://www.iana.org/time-zones",
        );
    } else if !zone.split('/').all(step) {
        errors.invalid(path, zone, &format!("unknown time zone {zone}"));
    }
}
