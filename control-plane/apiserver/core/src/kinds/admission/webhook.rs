//! Webhook configurations: servers that are asked about requests.

use std::collections::BTreeSet;

use serde_json::Value;

use super::rules::{self, FAILURE_POLICIES, MATCH_POLICIES, REINVOCATIONS};
use crate::field::{Errors, Path};
use crate::kinds::selectors;
use crate::kinds::tree::{self, at, has, list, member, number, text, texts};
use crate::names;
use crate::object::Object;
use crate::strategy::{Replacing, Strategy};
use crate::table;

const TIMEOUT: i64 = 10;
const LONGEST_TIMEOUT: i64 = 30;
const PORT: i64 = 443;
/// Versions of reviews that the server before this one understands.
const REVIEWS: [&str; 2] = ["v1", "v1beta1"];
const SIDE_EFFECTS: [&str; 2] = ["None", "NoneOnDryRun"];
const URL_FORM: &str = "; desired format: https://host[/path]";

/// The strategy of `ValidatingWebhookConfiguration`.
pub(in crate::kinds) const VALIDATING: Configuration = Configuration { mutating: false };
/// The strategy of `MutatingWebhookConfiguration`.
pub(in crate::kinds) const MUTATING: Configuration = Configuration { mutating: true };

/// The strategy of both kinds.
#[derive(Debug)]
pub(in crate::kinds) struct Configuration {
    mutating: bool,
}

impl Strategy for Configuration {
    fn default(&self, object: &mut Object) {
        for hook in object.map_mut().get_mut("webhooks").and_then(Value::as_array_mut).into_iter().flatten() {
            let Some(hook) = hook.as_object_mut() else { continue };
            tree::or_set(hook, "failurePolicy", "Fail");
            rules::default_matching(hook);
            tree::or_set(hook, "timeoutSeconds", TIMEOUT);
            if self.mutating {
                tree::or_set(hook, "reinvocationPolicy", "Never");
            }
            rules::default_rules(hook, &["rules"]);
            let service = hook.get_mut("clientConfig").and_then(|config| config.get_mut("service"));
            if let Some(service) = service.and_then(Value::as_object_mut) {
                tree::or_set(service, "port", PORT);
            }
        }
    }

    fn generation_changes(&self, new: &Object, old: &Object) -> Option<bool> {
        Some(new.at(&["webhooks"]) != old.at(&["webhooks"]))
    }

    fn validate(&self, object: &Object, errors: &mut Errors) {
        let mut seen = BTreeSet::new();
        for (index, hook) in object.list(&["webhooks"]).iter().enumerate() {
            let path = Path::new("webhooks").index(index);
            self.validate_hook(hook, &path, errors);
            validate_reviews(hook, &path.child("admissionReviewVersions"), errors);
            let name = text(hook, "name");
            if !name.is_empty() && !seen.insert(name) {
                errors.duplicate(&path.child("name"), name);
            }
        }
    }

    fn validate_update(&self, new: &Object, _: Replacing<'_>, errors: &mut Errors) {
        self.validate(new, errors);
    }

    fn cells_read(&self) -> &'static [&'static str] {
        &["webhooks.*"]
    }

    fn cells(&self, object: &Object, now: jiff::Timestamp) -> Vec<Value> {
        vec![
            object.name().unwrap_or_default().into(),
            at(object, &["webhooks"]).as_array().map_or(0, Vec::len).into(),
            table::age(object.creation_timestamp(), now).into(),
        ]
    }
}

impl Configuration {
    fn validate_hook(&self, hook: &Value, path: &Path, errors: &mut Errors) {
        validate_name(text(hook, "name"), &path.child("name"), errors);
        for (index, rule) in list(hook, "rules").iter().enumerate() {
            rules::validate_rule(rule, &path.child("rules").index(index), errors);
        }
        tree::one_of_if_set(hook, "failurePolicy", &FAILURE_POLICIES, path, errors);
        tree::one_of_if_set(hook, "matchPolicy", &MATCH_POLICIES, path, errors);
        let at = path.child("sideEffects");
        match member(hook, "sideEffects").as_str() {
            None => errors.required(&at, &format!("must specify one of {}", SIDE_EFFECTS.join(", "))),
            Some(effects) if !SIDE_EFFECTS.contains(&effects) => errors.not_supported(&at, effects, &SIDE_EFFECTS),
            Some(_) => {}
        }
        let timeout = number(hook, "timeoutSeconds");
        if has(hook, "timeoutSeconds") && !(1..=LONGEST_TIMEOUT).contains(&timeout) {
            let why = "the timeout value must be between 1 and 30 seconds";
            errors.invalid(&path.child("timeoutSeconds"), timeout, why);
        }
        for name in ["namespaceSelector", "objectSelector"] {
            if has(hook, name) {
                selectors::validate(member(hook, name), &path.child(name), errors);
            }
        }
        if self.mutating {
            tree::one_of_if_set(hook, "reinvocationPolicy", &REINVOCATIONS, path, errors);
        }
        let (client, at) = (member(hook, "clientConfig"), path.child("clientConfig"));
        match (member(client, "url").as_str(), member(client, "service")) {
            (Some(url), Value::Null) => validate_url(url, &at.child("url"), errors),
            (None, service) if !service.is_null() => validate_service(service, &at.child("service"), errors),
            (_, _) => errors.required(&at, "exactly one of url or service is required"),
        }
        rules::validate_conditions(hook, path, errors);
    }
}

fn validate_name(name: &str, path: &Path, errors: &mut Errors) {
    if name.is_empty() {
        return errors.required(path, "");
    }
    let wrong = names::dns_subdomain(name);
    if !wrong.is_empty() {
        return errors.invalid(path, name, &wrong.join(","));
    }
    if name.split('.').count() < 3 {
        errors.invalid(path, name, "should be a domain with at least three segments separated by dots");
    }
}

fn validate_reviews(hook: &Value, path: &Path, errors: &mut Errors) {
    let versions: Vec<&str> = texts(hook, "admissionReviewVersions").collect();
    let known = REVIEWS.join(", ");
    if versions.is_empty() {
        return errors.required(path, &format!("must specify one of {known}"));
    }
    let mut seen = BTreeSet::new();
    for (index, version) in versions.iter().enumerate() {
        if seen.insert(version) {
            tree::all(names::dns_1035_label(version), version, &path.index(index), errors);
        } else {
            errors.invalid(&path.index(index), *version, "duplicate version");
        }
    }
    if !versions.iter().any(|version| REVIEWS.contains(version)) {
        errors.invalid(path, versions, &format!("must include at least one of {known}"));
    }
}

/// Checks where a server is.
pub(in crate::kinds) fn validate_url(url: &str, path: &Path, errors: &mut Errors) {
    let Some((scheme, rest)) = url.split_once("://") else {
        let scheme = url.split_once(':').map_or("", |(scheme, _)| scheme);
        let why = format!("'https' is the only allowed URL scheme{URL_FORM}");
        errors.invalid(path, scheme, &why);
        return errors.invalid(path, "", &format!("host must be specified{URL_FORM}"));
    };
    if scheme != "https" {
        errors.invalid(path, scheme, &format!("'https' is the only allowed URL scheme{URL_FORM}"));
    }
    let (rest, fragment) = rest.split_once('#').unwrap_or((rest, ""));
    let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
    let authority = rest.split('/').next().unwrap_or_default();
    let (user, host) = authority.rsplit_once('@').unwrap_or(("", authority));
    if host.is_empty() {
        errors.invalid(path, host, &format!("host must be specified{URL_FORM}"));
    }
    for (value, why) in [
        (user, "user information is not permitted in the URL"),
        (fragment, "fragments are not permitted in the URL"),
        (query, "query parameters are not permitted in the URL"),
    ] {
        if !value.is_empty() {
            errors.invalid(path, value, why);
        }
    }
}

/// Checks which service a server is behind.
pub(in crate::kinds) fn validate_service(service: &Value, path: &Path, errors: &mut Errors) {
    for name in ["name", "namespace"] {
        if text(service, name).is_empty() {
            errors.required(&path.child(name), &format!("service {name} is required"));
        }
    }
    if let Some(message) = names::port_number(number(service, "port")) {
        let why = format!("port is not valid: {message}");
        errors.invalid(&path.child("port"), number(service, "port"), &why);
    }
    let Some(url) = member(service, "path").as_str() else { return };
    let path = path.child("path");
    let Some(steps) = url.strip_prefix('/') else {
        return errors.invalid(&path, url, "must start with a '/'");
    };
    if steps.is_empty() {
        return;
    }
    // One slash at the end is fine.
    for (index, step) in steps.strip_suffix('/').unwrap_or(steps).split('/').enumerate() {
        if step.is_empty() {
            errors.invalid(&path, url, &format!("segment[{index}] may not be empty"));
            continue;
        }
        for message in names::dns_subdomain(step) {
            errors.invalid(&path, url, &format!("segment[{index}]: {message}"));
        }
    }
}
