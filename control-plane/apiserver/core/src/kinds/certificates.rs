//! Certificates: requests for them, and bundles of those to trust.

mod pem;
mod pod_request;
mod signing_request;
mod trust_bundle;

pub(super) use pod_request::PodCertificateRequest;
pub(super) use signing_request::CertificateSigningRequest;
pub(super) use trust_bundle::ClusterTrustBundle;

use crate::field::{Errors, Path};
use crate::names;

/// Checks the name of a signer: `example.com/name`.
pub(super) fn validate_signer(name: &str, path: &Path, errors: &mut Errors) {
    const DOMAIN: usize = 253;
    // A namespace and a name with a dot between fit behind the domain.
    const LENGTH: usize = DOMAIN + 1 + DOMAIN + 63 + 1;
    if name.is_empty() {
        return errors.required(path, "");
    }
    let [domain, last] = name.split('/').collect::<Vec<_>>()[..] else {
        let why = "must be a fully qualified domain and path of the form 'example.com/signer-name'";
        return errors.invalid(path, name, why);
    };
    if domain.len() > DOMAIN {
        errors.too_long(path, DOMAIN);
    }
    // The first label that is wrong says enough.
    let wrong = domain.split('.').find_map(|label| wrong_label(label, names::dns_label));
    for message in wrong.into_iter().flatten() {
        errors.invalid(path, domain, &message);
    }
    if !domain.contains('.') {
        errors.invalid(path, domain, "should be a domain with at least two segments separated by dots");
    }
    let wrong = last.split('.').find_map(|label| wrong_label(label, names::dns_subdomain));
    for message in wrong.into_iter().flatten() {
        errors.invalid(path, last, &message);
    }
    if name.len() > LENGTH {
        errors.too_long(path, LENGTH);
    }
}

fn wrong_label(label: &str, check: fn(&str) -> Vec<String>) -> Option<Vec<String>> {
    let messages = check(label);
    let told = messages.iter().map(|message| format!("validating label {label:?}: {message}"));
    if messages.is_empty() { None } else { Some(told.collect()) }
}

#[cfg(test)]
mod tests;
