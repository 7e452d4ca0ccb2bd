//! How objects are turned from one version into another.

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};

use crate::field::{Errors, Path};
use crate::kinds::admission::{validate_service, validate_url};
use crate::kinds::tree::{self, has, member, text, texts};
use crate::names::dns_1035_label;

const PORT: i64 = 443;
const REVIEWS: [&str; 2] = ["v1", "v1beta1"];
const STRATEGIES: [&str; 2] = ["None", "Webhook"];

/// Versions differ in name only, unless somebody says otherwise.
pub(super) fn default(spec: &mut Map<String, Value>) {
    let conversion = spec.entry("conversion").or_insert_with(|| json!({ "strategy": "None" }));
    let service = conversion.pointer_mut("/webhook/clientConfig/service").and_then(Value::as_object_mut);
    if let Some(service) = service {
        tree::or_set(service, "port", PORT);
    }
}

/// Whether it is one that a version before this one understands, or none at all.
pub(super) fn is_recognized(spec: &Value) -> bool {
    let webhook = member(member(spec, "conversion"), "webhook");
    let mut versions = texts(webhook, "conversionReviewVersions").peekable();
    versions.peek().is_none() || versions.any(|version| REVIEWS.contains(&version))
}

/// Checks it. Paths are those of the form upstream checks, in which a webhook has no section of its own.
pub(super) fn validate(conversion: &Value, recognized: bool, path: &Path, errors: &mut Errors) {
    if conversion.is_null() {
        return;
    }
    tree::one_of(conversion, "strategy", &STRATEGIES, path, errors);
    let webhook = member(conversion, "webhook");
    let (client, at) = (member(webhook, "clientConfig"), path.child("webhookClientConfig"));
    let reviews = path.child("conversionReviewVersions");
    if text(conversion, "strategy") != "Webhook" {
        let why = "should not be set when strategy is not set to Webhook";
        if !client.is_null() {
            errors.forbidden(&at, why);
        }
        if texts(webhook, "conversionReviewVersions").next().is_some() {
            errors.forbidden(&reviews, why);
        }
        return;
    }
    match (member(client, "url").as_str(), has(client, "service")) {
        _ if client.is_null() => errors.required(&at, "required when strategy is set to Webhook"),
        (Some(url), false) => validate_url(url, &at.child("url"), errors),
        (None, true) => validate_service(member(client, "service"), &at.child("service"), errors),
        (Some(_), true) | (None, false) => errors.required(&at, "exactly one of url or service is required"),
    }
    validate_reviews(webhook, recognized, &reviews, errors);
}

fn validate_reviews(webhook: &Value, recognized: bool, path: &Path, errors: &mut Errors) {
    let versions: Vec<&str> = texts(webhook, "conversionReviewVersions").collect();
    if versions.is_empty() {
        return errors.required(path, "");
    }
    let mut seen = BTreeSet::new();
    for (index, version) in versions.iter().enumerate() {
        if seen.insert(version) {
            tree::all(dns_1035_label(version), version, &path.index(index), errors);
        } else {
            errors.invalid(&path.index(index), *version, "duplicate version");
        }
    }
    if recognized && !versions.iter().any(|version| REVIEWS.contains(version)) {
        errors.invalid(path, versions, &format!("must include at least one of {}", REVIEWS.join(", ")));
    }
}
