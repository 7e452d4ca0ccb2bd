//! Certificate signing requests: asked for by users, approved by others, signed by a signer.

use std::collections::BTreeSet;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::{pem, validate_signer};
use crate::engine::Context;
use crate::field::{Errors, Path};
use crate::kinds::tree::{at, list, text, texts};
use crate::object::Object;
use crate::status::Status;
use crate::strategy::{NameRule, Part, Replacing, Shape, Strategy};
use crate::{table, time};

const APPROVAL: &str = "approval";
const SHORTEST_SECONDS: i64 = 600;
/// Conditions about which people decide.
const DECISIONS: [&str; 2] = ["Approved", "Denied"];
/// Conditions that are true or absent.
const FINAL: [&str; 3] = ["Approved", "Denied", "Failed"];
const LEGACY_SIGNER: &str = "kubernetes.io/legacy-unknown";
const USAGES: [&str; 23] = [
    "any",
    "cert sign",
    "client auth",
    "code signing",
    "content commitment",
    "crl sign",
    "data encipherment",
    "decipher only",
    "digital signature",
    "email protection",
    "encipher only",
    "ipsec end system",
    "ipsec tunnel",
    "ipsec user",
    "key agreement",
    "key encipherment",
    "microsoft sgc",
    "netscape sgc",
    "ocsp signing",
    "s/mime",
    "server auth",
    "signing",
    "timestamping",
];

/// The strategy.
#[derive(Debug)]
pub(in crate::kinds) struct CertificateSigningRequest;

impl Strategy for CertificateSigningRequest {
    fn name_rule(&self) -> NameRule {
        NameRule::PathSegment
    }

    fn shape(&self) -> Shape {
        Shape::Uncounted
    }

    fn prepare_create(&self, object: &mut Object, context: &Context<'_>) -> Result<(), Status> {
        // Who asks is not for the asking.
        for member in ["username", "uid", "groups", "extra"] {
            object.remove(&["spec", member]);
        }
        let user = context.user;
        object.set(&["spec", "username"], user.name.as_str());
        if !user.uid.is_empty() {
            object.set(&["spec", "uid"], user.uid.as_str());
        }
        if !user.groups.is_empty() {
            object.set(&["spec", "groups"], user.groups.clone());
        }
        if !user.extra.is_empty() {
            object.set(&["spec", "extra"], json!(user.extra));
        }
        object.set(&["status"], json!({}));
        Ok(())
    }

    fn prepare_update(&self, new: &mut Object, replacing: Replacing<'_>, context: &Context<'_>) -> Result<(), Status> {
        let old = replacing.old;
        new.take_over(&["spec"], old);
        match replacing.part {
            Part::Other(APPROVAL) => {
                let conditions = new.at(&["status", "conditions"]).cloned();
                new.take_over(&["status"], old);
                match conditions {
                    Some(conditions) => new.set(&["status", "conditions"], conditions),
                    None => {
                        new.remove(&["status", "conditions"]);
                    }
                }
                date_conditions(new, old, context);
            }
            Part::Status => {
                for kind in DECISIONS {
                    keep_conditions(new, old, kind);
                }
                date_conditions(new, old, context);
            }
            Part::Main | Part::Other(_) => new.take_over(&["status"], old),
        }
        Ok(())
    }

    fn validate(&self, object: &Object, errors: &mut Errors) {
        validate_spec(object, errors);
        validate_conditions(object, errors);
    }

    fn validate_update(&self, new: &Object, replacing: Replacing<'_>, errors: &mut Errors) {
        let old = replacing.old;
        validate_spec(new, errors);
        validate_conditions(new, errors);
        let path = Path::new("status.conditions");
        let of = |object: &Object, kind: &str| -> Vec<Value> {
            conditions(object).iter().filter(|one| text(one, "type") == kind).cloned().collect()
        };
        for kind in FINAL {
            if of(new, kind).len() < of(old, kind).len() {
                errors.forbidden(&path, &format!("updates may not remove a condition of type {kind:?}"));
            }
        }
        if replacing.part != Part::Other(APPROVAL) {
            for kind in DECISIONS {
                let (before, after) = (of(old, kind), of(new, kind));
                if after.len() > before.len() {
                    errors.forbidden(&path, &format!("updates may not add a condition of type {kind:?}"));
                } else if after.len() == before.len() && after != before {
                    errors.forbidden(&path, &format!("updates may not modify a condition of type {kind:?}"));
                }
            }
        }
        let (before, after) = (certificate(old), certificate(new));
        if before != after {
            let path = Path::new("status.certificate");
            if replacing.part != Part::Status {
                errors.forbidden(&path, "updates may not set certificate content");
            } else if !before.is_empty() {
                errors.forbidden(&path, "updates may not modify existing certificate content");
            }
            if let Err(why) = pem::check_chain(&decoded(after)) {
                errors.invalid(&path, "<certificate data>", &why);
            }
        }
    }

    fn cells_read(&self) -> &'static [&'static str] {
        &["spec.expirationSeconds", "spec.signerName", "spec.username", "status.conditions.type", "status.certificate"]
    }

    fn cells(&self, object: &Object, now: jiff::Timestamp) -> Vec<Value> {
        let duration = object.integer(&["spec", "expirationSeconds"]);
        vec![
            object.name().unwrap_or_default().into(),
            table::age(object.creation_timestamp(), now).into(),
            object.text(&["spec", "signerName"]).unwrap_or("<none>").into(),
            object.text(&["spec", "username"]).unwrap_or_default().into(),
            duration.map_or_else(|| "<none>".to_owned(), time::span).into(),
            state(object).into(),
        ]
    }
}

fn conditions(object: &Object) -> &[Value] {
    object.list(&["status", "conditions"])
}

fn certificate(object: &Object) -> &str {
    object.text(&["status", "certificate"]).unwrap_or_default()
}

fn decoded(text: &str) -> Vec<u8> {
    // The shape was checked when the body was read.
    STANDARD.decode(text).unwrap_or_default()
}

fn state(object: &Object) -> String {
    let is = |kind: &str| conditions(object).iter().any(|one| text(one, "type") == kind);
    let mut state = match (is("Denied"), is("Approved")) {
        (true, _) => "Denied",
        (false, true) => "Approved",
        (false, false) => "Pending",
    }
    .to_owned();
    if is("Failed") {
        state.push_str(",Failed");
    }
    if !certificate(object).is_empty() {
        state.push_str(",Issued");
    }
    state
}

/// Puts back conditions of a type that a request may not change, as long as there are as many as before: with more or fewer the
/// request is refused.
fn keep_conditions(new: &mut Object, old: &Object, kind: &str) {
    let mut before = conditions(old).iter().filter(|one| text(one, "type") == kind);
    let count = before.clone().count();
    let mut all = conditions(new).to_vec();
    if all.iter().filter(|one| text(one, "type") == kind).count() != count || count == 0 {
        return;
    }
    for slot in all.iter_mut().filter(|one| text(one, "type") == kind) {
        if let Some(kept) = before.next() {
            *slot = kept.clone();
        }
    }
    new.set(&["status", "conditions"], all);
}

/// Dates conditions that have no date. What did not change since keeps the date it changed at.
fn date_conditions(new: &mut Object, old: &Object, context: &Context<'_>) {
    let now = time::seconds(context.now);
    let mut all = conditions(new).to_vec();
    for condition in &mut all {
        let Some(map) = condition.as_object_mut() else { continue };
        if map.get("lastUpdateTime").is_none_or(Value::is_null) {
            map.insert("lastUpdateTime".into(), now.clone().into());
        }
        if map.get("lastTransitionTime").is_none_or(Value::is_null) {
            let same = conditions(old)
                .iter()
                .find(|one| one.get("type") == map.get("type"))
                .filter(|one| one.get("status") == map.get("status"))
                .and_then(|one| one.get("lastTransitionTime"))
                .cloned();
            map.insert("lastTransitionTime".into(), same.unwrap_or_else(|| now.clone().into()));
        }
    }
    if !all.is_empty() {
        new.set(&["status", "conditions"], all);
    }
}

fn validate_spec(object: &Object, errors: &mut Errors) {
    let (spec, path) = (at(object, &["spec"]), Path::new("spec"));
    let request = text(spec, "request");
    if let Err(why) = pem::check_request(&decoded(request)) {
        errors.invalid(&path.child("request"), request, why);
    }
    let at = path.child("usages");
    if texts(spec, "usages").next().is_none() {
        errors.required(&at, "");
    }
    for (index, usage) in texts(spec, "usages").enumerate().filter(|(_, usage)| !USAGES.contains(usage)) {
        errors.not_supported(&at.index(index), usage, &USAGES);
    }
    let mut seen = BTreeSet::new();
    for (index, usage) in texts(spec, "usages").enumerate() {
        if !seen.insert(usage) {
            errors.duplicate(&at.index(index), usage);
        }
    }
    let (signer, at) = (text(spec, "signerName"), path.child("signerName"));
    if signer == LEGACY_SIGNER {
        errors.invalid(&at, signer, "the legacy signerName is not allowed via this API version");
    } else {
        validate_signer(signer, &at, errors);
    }
    if let Some(seconds) = object.integer(&["spec", "expirationSeconds"])
        && seconds < SHORTEST_SECONDS
    {
        let why = "may not specify a duration less than 600 seconds (10 minutes)";
        errors.invalid(&path.child("expirationSeconds"), seconds, why);
    }
}

fn validate_conditions(object: &Object, errors: &mut Errors) {
    let path = Path::new("status.conditions");
    let mut seen: BTreeSet<&str> = BTreeSet::new();
    for (index, condition) in list(at(object, &["status"]), "conditions").iter().enumerate() {
        let path = path.index(index);
        let (kind, status) = (text(condition, "type"), text(condition, "status"));
        if kind.is_empty() {
            errors.required(&path.child("type"), "");
        }
        let valid: &[&str] = if FINAL.contains(&kind) { &["True"] } else { &["False", "True", "Unknown"] };
        if status.is_empty() {
            errors.required(&path.child("status"), "");
        } else if !valid.contains(&status) {
            errors.not_supported(&path.child("status"), status, valid);
        }
        if DECISIONS.contains(&kind) && DECISIONS.iter().any(|other| *other != kind && seen.contains(other)) {
            errors.invalid(&path.child("type"), kind, "Approved and Denied conditions are mutually exclusive");
        }
        if !seen.insert(kind) {
            errors.duplicate(&path.child("type"), kind);
        }
    }
}
