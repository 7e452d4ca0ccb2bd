//! Cluster trust bundles: authorities that pods may be given to trust.

use std::collections::BTreeMap;

use serde_json::Value;

use super::{pem, validate_signer};
use crate::field::{Errors, Path};
use crate::kinds::tree::{self, at, text};
use crate::names;
use crate::object::Object;
use crate::strategy::{NameRule, Replacing, Strategy};

const LARGEST: usize = 1 << 20;
const OMITTED: &str = "<value omitted>";

/// The strategy.
#[derive(Debug)]
pub(in crate::kinds) struct ClusterTrustBundle;

impl Strategy for ClusterTrustBundle {
    fn name_rule(&self) -> NameRule {
        // What a name must be depends on the signer: checked with the object.
        NameRule::PathSegment
    }

    fn validate(&self, object: &Object, errors: &mut Errors) {
        validate_names(object, errors);
        validate_bundle(text(at(object, &["spec"]), "trustBundle"), errors);
    }

    fn validate_update(&self, new: &Object, replacing: Replacing<'_>, errors: &mut Errors) {
        validate_names(new, errors);
        // What is stored stays valid, whatever a later release thinks of it.
        if tree::changed(new, replacing.old, &["spec", "trustBundle"]) {
            validate_bundle(text(at(new, &["spec"]), "trustBundle"), errors);
        }
        let path = ["spec", "signerName"];
        let empty = Value::from("");
        let (now, before) = (new.at(&path).unwrap_or(&empty), replacing.old.at(&path).unwrap_or(&empty));
        tree::immutable(now, before, &Path::new("spec.signerName"), errors);
    }

    fn cells_read(&self) -> &'static [&'static str] {
        &["spec.signerName"]
    }

    fn cells(&self, object: &Object, _: jiff::Timestamp) -> Vec<Value> {
        let signer = object.text(&["spec", "signerName"]).unwrap_or("<none>");
        vec![object.name().unwrap_or_default().into(), signer.into()]
    }
}

fn validate_names(object: &Object, errors: &mut Errors) {
    let (name, path) = (object.name().unwrap_or_default(), Path::new("metadata.name"));
    let Some(signer) = object.text(&["spec", "signerName"]) else {
        if name.contains(':') {
            errors.invalid(&path, name, "ClusterTrustBundle without signer name must not have \":\" in its name");
        } else {
            tree::all(names::dns_subdomain(name), name, &path, errors);
        }
        return;
    };
    let prefix = format!("{}:", signer.replace('/', ":"));
    if let Some(rest) = name.strip_prefix(&prefix) {
        tree::all(names::dns_subdomain(rest), name, &path, errors);
    } else {
        let why = format!("ClusterTrustBundle for signerName {signer} must be named with prefix {prefix}");
        errors.invalid(&path, name, &why);
    }
    validate_signer(signer, &Path::new("spec.signerName"), errors);
}

fn validate_bundle(bundle: &str, errors: &mut Errors) {
    let path = Path::new("spec.trustBundle");
    if bundle.len() > LARGEST {
        return errors.too_long(&path, LARGEST);
    }
    let mut places: BTreeMap<Vec<u8>, Vec<usize>> = BTreeMap::new();
    let mut broken = false;
    for (index, block) in pem::blocks(bundle.as_bytes()).into_iter().enumerate() {
        let wrong = if block.label == "CERTIFICATE" {
            match block.parse_x509() {
                Err(_) => Some(format!("entry {index} does not parse as X.509")),
                Ok(certificate) if !certificate.is_ca() => Some(format!("entry {index} does not have the CA bit set")),
                Ok(_) => None,
            }
        } else {
            Some(format!("entry {index} has bad block type: {}", block.label))
        };
        match wrong {
            Some(why) => {
                errors.invalid(&path, OMITTED, &why);
                broken = true;
            }
            None => places.entry(block.contents).or_default().push(index),
        }
    }
    if broken {
        return;
    }
    if places.is_empty() {
        errors.invalid(&path, OMITTED, "at least one trust anchor must be provided");
    }
    for places in places.into_values().filter(|places| places.len() > 1) {
        let places: Vec<String> = places.iter().map(ToString::to_string).collect();
        errors.invalid(&path, OMITTED, &format!("duplicate trust anchor (indices [{}])", places.join(" ")));
    }
}
