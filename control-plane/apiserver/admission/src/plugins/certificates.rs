//! Certificates: who may say yes to a request, who may sign for whom, and what nobody gets.

use apiserver_core::{Object, Status};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;
use x509_parser::certification_request::X509CertificationRequest;
use x509_parser::pem::Pem;
use x509_parser::prelude::FromDer as _;

use crate::attributes::{Attributes, Operation};
use crate::facts::{Facts, Question};
use crate::plugin::Plugin;

const GROUP: &str = "certificates.k8s.io";
const CLIENT_SIGNER: &str = "kubernetes.io/kube-apiserver-client";
const MASTERS: &str = "system:masters";

/// Whether the user may do that for a signer: by its name, or for all signers of its domain.
fn may(facts: &dyn Facts, verb: &'static str, signer: &str) -> bool {
    let question = |name: String| Question {
        verb,
        group: GROUP.to_owned(),
        version: "*".to_owned(),
        plural: "signers".to_owned(),
        subresource: "",
        namespace: String::new(),
        name,
    };
    let domain = signer.split('/').next().unwrap_or_default();
    facts.may(question(signer.to_owned())) || facts.may(question(format!("{domain}/*")))
}

fn refuse(attributes: &Attributes<'_>, object: &Object, what: &str, signer: &str) -> Status {
    attributes.forbidden(Some(object), &format!("user not permitted to {what} signerName {signer:?}"))
}

/// Asks whether the user may approve for the signer.
#[derive(Debug)]
pub(super) struct CertificateApproval;

impl Plugin for CertificateApproval {
    fn name(&self) -> &'static str {
        "CertificateApproval"
    }

    fn concerns(&self, attributes: &Attributes<'_>) -> bool {
        attributes.operation == Operation::Update
            && attributes.is_on(GROUP, "certificatesigningrequests", Some("approval"))
    }

    fn validate(&self, attributes: &Attributes<'_>, request: Option<&Object>, facts: &dyn Facts) -> Result<(), Status> {
        let (Some(request), Some(old)) = (request, attributes.old) else { return Ok(()) };
        let signer = old.text(&["spec", "signerName"]).unwrap_or_default();
        if may(facts, "approve", signer) {
            return Ok(());
        }
        Err(refuse(attributes, request, "approve requests with", signer))
    }
}

/// Asks whether the user may sign for the signer.
#[derive(Debug)]
pub(super) struct CertificateSigning;

impl Plugin for CertificateSigning {
    fn name(&self) -> &'static str {
        "CertificateSigning"
    }

    fn concerns(&self, attributes: &Attributes<'_>) -> bool {
        attributes.operation == Operation::Update
            && (attributes.is_on(GROUP, "certificatesigningrequests", Some("status"))
                || attributes.is_on(GROUP, "podcertificaterequests", Some("status")))
    }

    fn validate(&self, attributes: &Attributes<'_>, request: Option<&Object>, facts: &dyn Facts) -> Result<(), Status> {
        let (Some(request), Some(old)) = (request, attributes.old) else { return Ok(()) };
        let same = |path: &[&str]| present(request.at(path)) == present(old.at(path));
        let untouched = if attributes.resource.plural == "podcertificaterequests" {
            same(&["status"])
        } else {
            same(&["status", "certificate"]) && same(&["status", "conditions"])
        };
        let signer = old.text(&["spec", "signerName"]).unwrap_or_default();
        if untouched || may(facts, "sign", signer) {
            return Ok(());
        }
        Err(refuse(attributes, request, "sign requests with", signer))
    }
}

/// A value that says something.
fn present(value: Option<&Value>) -> Option<&Value> {
    value.filter(|value| match value {
        Value::Null => false,
        Value::Array(items) => !items.is_empty(),
        Value::String(text) => !text.is_empty(),
        Value::Object(members) => !members.is_empty(),
        Value::Bool(_) | Value::Number(_) => true,
    })
}

/// Asks whether the user may vouch for the anchors of a signer.
#[derive(Debug)]
pub(super) struct ClusterTrustBundleAttest;

impl Plugin for ClusterTrustBundleAttest {
    fn name(&self) -> &'static str {
        "ClusterTrustBundleAttest"
    }

    fn concerns(&self, attributes: &Attributes<'_>) -> bool {
        attributes.writes(GROUP, "clustertrustbundles")
    }

    fn validate(&self, attributes: &Attributes<'_>, bundle: Option<&Object>, facts: &dyn Facts) -> Result<(), Status> {
        let Some(bundle) = bundle else { return Ok(()) };
        let Some(signer) = bundle.text(&["spec", "signerName"]) else { return Ok(()) };
        let untouched = attributes.old.is_some_and(|old| only_owners_differ(bundle, old));
        if untouched || may(facts, "attest", signer) {
            return Ok(());
        }
        Err(refuse(attributes, bundle, "attest for", signer))
    }
}

/// Whether nothing changes but what the garbage collector and the store's upkeep write.
fn only_owners_differ(new: &Object, old: &Object) -> bool {
    let bare = |object: &Object| {
        let mut object = object.clone();
        for member in ["ownerReferences", "finalizers", "managedFields", "resourceVersion"] {
            object.remove(&["metadata", member]);
        }
        object
    };
    bare(new) == bare(old)
}

/// Keeps client certificates from making anybody a master of the cluster.
#[derive(Debug)]
pub(super) struct CertificateSubjectRestriction;

impl Plugin for CertificateSubjectRestriction {
    fn name(&self) -> &'static str {
        "CertificateSubjectRestriction"
    }

    fn concerns(&self, attributes: &Attributes<'_>) -> bool {
        attributes.creates(GROUP, "certificatesigningrequests")
    }

    fn validate(&self, attributes: &Attributes<'_>, request: Option<&Object>, _: &dyn Facts) -> Result<(), Status> {
        let Some(request) = request.filter(|one| one.text(&["spec", "signerName"]) == Some(CLIENT_SIGNER)) else {
            return Ok(());
        };
        let masters = organizations(request.text(&["spec", "request"]).unwrap_or_default());
        let masters = masters.map_err(|why| attributes.forbidden(Some(request), why))?.iter().any(|one| one == MASTERS);
        if masters {
            let why = format!("use of {CLIENT_SIGNER} signer with {MASTERS} group is not allowed");
            return Err(attributes.forbidden(Some(request), &why));
        }
        Ok(())
    }
}

/// The organizations a request names.
fn organizations(request: &str) -> Result<Vec<String>, &'static str> {
    const UNREADABLE: &str = "failed to parse CSR: PEM block type must be CERTIFICATE REQUEST";
    let text = STANDARD.decode(request).map_err(|_| UNREADABLE)?;
    let block = Pem::iter_from_buffer(&text).next().and_then(Result::ok).ok_or(UNREADABLE)?;
    let (_, request) = X509CertificationRequest::from_der(&block.contents).map_err(|_| UNREADABLE)?;
    let subject = &request.certification_request_info.subject;
    Ok(subject
        .iter_organization()
        .map(|one| one.as_str().map_or_else(|_| String::from_utf8_lossy(one.as_slice()).into_owned(), str::to_owned))
        .collect())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::testing::{World, create, update};

    fn request(status: &Value) -> Value {
        json!({ "metadata": { "name": "a" }, "spec": { "signerName": "example.com/mine" }, "status": status })
    }

    fn with(verb: &'static str, name: &str) -> World {
        World { rights: vec![(verb, name.to_owned())], ..World::default() }
    }

    #[test]
    fn approving_takes_a_right_to_the_signer_or_to_its_domain() {
        let approve = |world: &World| {
            update(GROUP, "certificatesigningrequests", Some("approval"), request(&json!({}))).validate(
                &CertificateApproval,
                request(&json!({ "conditions": [{}] })),
                world,
            )
        };
        assert_eq!(approve(&with("approve", "example.com/mine")), Ok(()));
        assert_eq!(approve(&with("approve", "example.com/*")), Ok(()));
        assert_eq!(
            approve(&with("sign", "example.com/mine")),
            Err("certificatesigningrequests.certificates.k8s.io \"a\" is forbidden: user not permitted to approve requests with signerName \"example.com/mine\"".into())
        );
    }

    #[test]
    fn signing_takes_a_right_when_something_is_signed() {
        let sign = |status: Value, world: &World| {
            update(GROUP, "certificatesigningrequests", Some("status"), request(&json!({}))).validate(
                &CertificateSigning,
                request(&status),
                world,
            )
        };
        assert_eq!(sign(json!({ "conditions": [] }), &World::default()), Ok(()));
        assert_eq!(sign(json!({ "certificate": "eA==" }), &with("sign", "example.com/*")), Ok(()));
        assert!(sign(json!({ "certificate": "eA==" }), &World::default()).is_err());
    }

    #[test]
    fn vouching_takes_a_right() {
        let bundle = |signer: &str, label: &str| json!({ "metadata": { "name": "a", "labels": { "l": label } }, "spec": { "signerName": signer } });
        let create = |signer: &str, world: &World| {
            create(GROUP, "clustertrustbundles").validate(&ClusterTrustBundleAttest, bundle(signer, ""), world)
        };
        assert_eq!(create("", &World::default()), Ok(()));
        assert_eq!(create("example.com/mine", &with("attest", "example.com/mine")), Ok(()));
        assert!(create("example.com/mine", &World::default()).is_err());
        let update = |label: &str| {
            update(GROUP, "clustertrustbundles", None, bundle("x.y/z", "")).validate(
                &ClusterTrustBundleAttest,
                bundle("x.y/z", label),
                &World::default(),
            )
        };
        assert_eq!(update(""), Ok(()));
        assert!(update("new").is_err());
    }

    #[test]
    fn nobody_becomes_a_master_by_a_client_certificate() {
        // CN=a, O=system:masters
        const MASTER: &str = include_str!("testdata/master.csr");
        let ask = |signer: &str, text: &str| {
            let spec = json!({ "signerName": signer, "request": STANDARD.encode(text) });
            create(GROUP, "certificatesigningrequests").validate(
                &CertificateSubjectRestriction,
                json!({ "metadata": { "name": "a" }, "spec": spec }),
                &World::default(),
            )
        };
        assert_eq!(
            ask(CLIENT_SIGNER, MASTER),
            Err("certificatesigningrequests.certificates.k8s.io \"a\" is forbidden: use of kubernetes.io/kube-apiserver-client signer with system:masters group is not allowed".into())
        );
        assert_eq!(ask("example.com/mine", MASTER), Ok(()));
        assert!(ask(CLIENT_SIGNER, "nonsense").is_err());
    }
}
