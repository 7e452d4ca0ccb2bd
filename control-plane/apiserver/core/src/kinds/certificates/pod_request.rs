//! Pod certificate requests: a kubelet asks for a certificate of a pod of its own.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

use super::{pem, validate_signer};
use crate::engine::Context;
use crate::field::{Errors, Path};
use crate::kinds::tree::{self, at, list, pairs, text};
use crate::names;
use crate::object::Object;
use crate::status::Status;
use crate::strategy::{Part, Replacing, Shape, Strategy};
use crate::{table, time};

const SHORTEST_SECONDS: i64 = 3600;
const DEFAULT_SECONDS: i64 = 24 * 3600;
const LONGEST_SECONDS: i64 = 91 * 24 * 3600;
/// Signers of the system itself issue for a day.
const SYSTEM_LONGEST_SECONDS: i64 = 24 * 3600;
const UID_LENGTH: usize = 128;
const REQUEST_LENGTH: usize = 10 * 1024;
const CHAIN_LENGTH: usize = 100 * 1024;
/// States from which there is no way on.
const FINAL: [&str; 3] = ["Issued", "Denied", "Failed"];
const MARGIN_SECONDS: i64 = 600;
const SKEW_SECONDS: i64 = 300;

/// The strategy.
#[derive(Debug)]
pub(in crate::kinds) struct PodCertificateRequest;

impl Strategy for PodCertificateRequest {
    fn shape(&self) -> Shape {
        Shape::Uncounted
    }

    fn default(&self, object: &mut Object) {
        tree::or_set(object.section("spec"), "maxExpirationSeconds", DEFAULT_SECONDS);
    }

    fn prepare_update(&self, new: &mut Object, replacing: Replacing<'_>, context: &Context<'_>) -> Result<(), Status> {
        let kept = if replacing.part == Part::Status { "spec" } else { "status" };
        new.take_over(&[kept], replacing.old);
        if replacing.part == Part::Status && state(new) == Some("Issued") && state(replacing.old).is_none() {
            check_start(new, context)?;
        }
        Ok(())
    }

    fn validate(&self, object: &Object, errors: &mut Errors) {
        validate_spec(object, errors);
    }

    fn validate_update(&self, new: &Object, replacing: Replacing<'_>, errors: &mut Errors) {
        if replacing.part == Part::Status {
            validate_status(new, replacing.old, errors);
        } else {
            tree::immutable(at(new, &["spec"]), at(replacing.old, &["spec"]), &Path::new("spec"), errors);
        }
    }

    fn cells_read(&self) -> &'static [&'static str] {
        &[
            "spec.podName",
            "spec.serviceAccountName",
            "spec.nodeName",
            "spec.signerName",
            "status.conditions.type",
            "status.conditions.status",
        ]
    }

    fn cells(&self, object: &Object, now: jiff::Timestamp) -> Vec<Value> {
        let spec = at(object, &["spec"]);
        vec![
            object.name().unwrap_or_default().into(),
            text(spec, "podName").into(),
            text(spec, "serviceAccountName").into(),
            text(spec, "nodeName").into(),
            text(spec, "signerName").into(),
            state(object).unwrap_or("Pending").into(),
            table::age(object.creation_timestamp(), now).into(),
        ]
    }
}

/// `Issued`, `Denied` or `Failed`, once it is decided.
fn state(object: &Object) -> Option<&'static str> {
    let conditions = object.list(&["status", "conditions"]);
    FINAL
        .into_iter()
        .find(|kind| conditions.iter().any(|one| text(one, "type") == *kind && text(one, "status") == "True"))
}

fn moment(object: &Object, name: &str) -> Option<i64> {
    object.text(&["status", name]).and_then(time::parse).map(jiff::Timestamp::as_second)
}

/// A certificate that is issued now is valid from now on, as far as clocks agree.
fn check_start(new: &Object, context: &Context<'_>) -> Result<(), Status> {
    let Some(start) = moment(new, "notBefore") else { return Ok(()) };
    if (start - context.now.as_second()).abs() <= SKEW_SECONDS {
        return Ok(());
    }
    let mut errors = Errors::new();
    let shown = new.text(&["status", "notBefore"]).unwrap_or_default();
    let why = "must be set to within 5 minutes of kube-apiserver's current time";
    errors.invalid(&Path::new("status.notBefore"), shown, why);
    Err(Status::invalid("certificates.k8s.io", "PodCertificateRequest", new.name().unwrap_or_default(), &errors))
}

fn validate_spec(object: &Object, errors: &mut Errors) {
    let (spec, path) = (at(object, &["spec"]), Path::new("spec"));
    let signer = text(spec, "signerName");
    validate_signer(signer, &path.child("signerName"), errors);
    for (key, _) in pairs(spec, "unverifiedUserAnnotations") {
        let path = path.child("unverifiedUserAnnotations");
        tree::all(names::qualified_name(&key.to_lowercase()), key, &path, errors);
        if !key.contains('/') {
            errors.invalid(&path, key, "must be a domain-prefixed key (such as \"acme.io/foo\")");
        }
    }
    for (name, uid) in [("podName", "podUID"), ("serviceAccountName", "serviceAccountUID"), ("nodeName", "nodeUID")] {
        let value = text(spec, name);
        tree::all(names::dns_subdomain(value), value, &path.child(name), errors);
        match text(spec, uid) {
            "" => errors.invalid(&path.child(uid), "", "must not be empty"),
            value if value.len() > UID_LENGTH => errors.too_long(&path.child(uid), UID_LENGTH),
            _ => {}
        }
    }
    let at = path.child("maxExpirationSeconds");
    let Some(seconds) = object.integer(&["spec", "maxExpirationSeconds"]) else {
        return errors.required(&at, "must be set");
    };
    let longest = if is_system(signer) { SYSTEM_LONGEST_SECONDS } else { LONGEST_SECONDS };
    if !(SHORTEST_SECONDS..=longest).contains(&seconds) {
        errors.invalid(&at, seconds, &format!("must be in the range [{SHORTEST_SECONDS}, {longest}]"));
    }
    let path = path.child("stubPKCS10Request");
    let request = request(object);
    if request.len() > REQUEST_LENGTH {
        errors.too_long(&path, REQUEST_LENGTH);
    } else if request.is_empty() {
        errors.required(&path, "");
    } else if pem::check_request_der(&request).is_err() {
        errors.invalid(&path, text(spec, "stubPKCS10Request"), "must be a valid PKCS#10 certificate signing request");
    }
}

fn is_system(signer: &str) -> bool {
    let domain = signer.split('/').next().unwrap_or_default();
    domain == "kubernetes.io" || domain.ends_with(".kubernetes.io")
}

fn request(object: &Object) -> Vec<u8> {
    STANDARD.decode(object.text(&["spec", "stubPKCS10Request"]).unwrap_or_default()).unwrap_or_default()
}

fn validate_status(new: &Object, old: &Object, errors: &mut Errors) {
    let path = Path::new("status.conditions");
    let mut known = 0;
    for (index, condition) in list(at(new, &["status"]), "conditions").iter().enumerate() {
        let (path, kind) = (path.index(index), text(condition, "type"));
        if !FINAL.contains(&kind) {
            errors.not_supported(&path.child("type"), kind, &FINAL);
            continue;
        }
        known += 1;
        if known > 1 {
            let why = "There may be at most one condition with type \"Issued\", \"Denied\", or \"Failed\"";
            errors.invalid(&path.child("type"), kind, why);
        }
        if text(condition, "status") != "True" {
            errors.not_supported(&path.child("status"), text(condition, "status"), &["True"]);
        }
    }
    tree::conditions::validate(list(at(new, &["status"]), "conditions"), &path, errors);
    if !errors.is_empty() {
        return;
    }
    let status = Path::new("status");
    if state(old).is_some() {
        if tree::changed(new, old, &["status"]) {
            let why = "immutable after PodCertificateRequest is issued, denied, or failed";
            errors.invalid(&status, at(new, &["status"]).clone(), why);
        }
        return;
    }
    match state(new) {
        Some("Issued") => validate_issued(new, errors),
        Some(_) => {
            if at(new, &["status"]).as_object().is_some_and(|map| map.keys().any(|name| name != "conditions")) {
                let why = "non-condition status fields must be empty when denying or failing the PodCertificateRequest";
                errors.invalid(&status, at(new, &["status"]).clone(), why);
            }
        }
        None => {
            if at(new, &["status"]).as_object().is_some_and(|map| map.keys().any(|name| name != "conditions")) {
                let why = "non-condition status fields must be empty while the PodCertificateRequest is pending";
                errors.invalid(&status, at(new, &["status"]).clone(), why);
            }
        }
    }
}

fn validate_issued(new: &Object, errors: &mut Errors) {
    let path = Path::new("status.certificateChain");
    let chain = new.text(&["status", "certificateChain"]).unwrap_or_default();
    if chain.len() > CHAIN_LENGTH {
        return errors.too_long(&path, CHAIN_LENGTH);
    }
    let blocks = pem::blocks(chain.as_bytes());
    let Some(leaf) = blocks.first() else {
        return errors.invalid(&path, chain, "issued certificate chain must contain at least one certificate");
    };
    if blocks.iter().any(|block| block.label != "CERTIFICATE") {
        let why = "issued certificate chain must consist entirely of CERTIFICATE PEM blocks";
        return errors.invalid(&path, chain, why);
    }
    let Ok(leaf) = leaf.parse_x509() else {
        return errors.invalid(&path, chain, "leaf certificate does not parse as valid X.509");
    };
    if blocks.iter().any(|block| block.parse_x509().is_err()) {
        return errors.invalid(&path, chain, "intermediate certificate does not parse as valid X.509");
    }
    if pem::requested_key(&request(new)).is_some_and(|wanted| wanted != pem::key(leaf.public_key())) {
        return errors.invalid(&path, chain, "leaf certificate was not issued to the requested public key");
    }
    let consistent = "must be present and consistent with the issued certificate";
    let within = "must be present and in the range [notbefore+10min, notafter-10min]";
    let moments =
        [("notBefore", consistent), ("notAfter", consistent), ("beginRefreshAt", within)].map(|(name, why)| {
            let moment = moment(new, name);
            if moment.is_none() {
                errors.required(&Path::new("status").child(name), why);
            }
            moment
        });
    let [Some(start), Some(end), Some(refresh)] = moments else { return };
    let validity = leaf.validity();
    for (name, stated, real, long) in [
        ("notBefore", start, validity.not_before.timestamp(), "NotBefore"),
        ("notAfter", end, validity.not_after.timestamp(), "NotAfter"),
    ] {
        if stated != real {
            let why = format!("must be set to the {long} time encoded in the leaf certificate");
            let shown = new.text(&["status", name]).unwrap_or_default();
            return errors.invalid(&Path::new("status").child(name), shown, &why);
        }
    }
    let longest = new.integer(&["spec", "maxExpirationSeconds"]).unwrap_or(0);
    if end - start < SHORTEST_SECONDS {
        return errors.invalid(&path, end - start, "leaf certificate lifetime must be >= 1 hour");
    }
    if end - start > longest {
        let why = format!("leaf certificate lifetime must be <= spec.maxExpirationSeconds ({longest})");
        return errors.invalid(&path, end - start, &why);
    }
    let path = Path::new("status.beginRefreshAt");
    let shown = new.text(&["status", "beginRefreshAt"]).unwrap_or_default();
    if refresh < start + MARGIN_SECONDS {
        errors.invalid(&path, shown, "must be at least 10 minutes after status.notBefore");
    } else if refresh > end - MARGIN_SECONDS {
        errors.invalid(&path, shown, "must be at least 10 minutes before status.notAfter");
    }
}
