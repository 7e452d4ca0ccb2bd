use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::engine::{Updated, prepare_update};
use crate::kinds::testing::{context, create, create_errors, row, stored};

const GROUP: &str = "certificates.k8s.io";
/// A request and an authority, made with OpenSSL for these tests; their keys are thrown away.
const REQUEST: &str = include_str!("testdata/request.pem");
const AUTHORITY: &str = include_str!("testdata/authority.pem");

fn csr(more: &Value) -> Value {
    let mut csr = json!({ "spec": {
        "request": STANDARD.encode(REQUEST), "signerName": "example.com/signer", "usages": ["client auth"], "username": "mallory",
    } });
    for (name, value) in more.as_object().into_iter().flatten() {
        csr["spec"][name] = value.clone();
    }
    csr
}

#[test]
fn a_request_is_in_the_name_of_who_made_it() {
    let row = row(GROUP, "certificatesigningrequests");
    let made = create(&row, csr(&json!({ "expirationSeconds": 3600 })));
    assert_eq!(made.text(&["spec", "username"]), Some("ann"));
    assert_eq!(row.strategy.cells(&made, context().now), ["a", "0s", "example.com/signer", "ann", "60m", "Pending"]);
}

#[test]
fn mistakes_of_a_request_are_named() {
    let row = row(GROUP, "certificatesigningrequests");
    let forged = REQUEST.replacen("MI", "MJ", 1);
    for (more, message) in [
        (
            json!({ "request": "eA==" }),
            "spec.request: Invalid value: \"eA==\": PEM block type must be CERTIFICATE REQUEST",
        ),
        (json!({ "usages": [] }), "spec.usages: Required value"),
        (
            json!({ "signerName": "signer" }),
            "spec.signerName: Invalid value: \"signer\": must be a fully qualified domain and path of the form 'example.com/signer-name'",
        ),
        (
            json!({ "signerName": "com/s" }),
            "spec.signerName: Invalid value: \"com\": should be a domain with at least two segments separated by dots",
        ),
        (
            json!({ "signerName": "kubernetes.io/legacy-unknown" }),
            "spec.signerName: Invalid value: \"kubernetes.io/legacy-unknown\": the legacy signerName is not allowed via this API version",
        ),
        (
            json!({ "expirationSeconds": 599 }),
            "spec.expirationSeconds: Invalid value: 599: may not specify a duration less than 600 seconds (10 minutes)",
        ),
    ] {
        assert_eq!(create_errors(&row, csr(&more)), [message]);
    }
    assert_eq!(create_errors(&row, csr(&json!({ "request": STANDARD.encode(forged) }))).len(), 1);
    assert_eq!(create_errors(&row, csr(&json!({ "usages": ["client auth", "client auth", "x"] }))).len(), 2);
}

#[test]
fn approval_and_signing_are_apart() {
    let row = row(GROUP, "certificatesigningrequests");
    let old = stored(create(&row, csr(&json!({}))));
    let write = |part: &str, old: &crate::Object, status: Value| {
        let mut new = old.clone();
        new.set(&["status"], status);
        prepare_update(&row, Some(part), old, new, &context())
    };
    let condition = |kind: &str| json!({ "type": kind, "status": "True", "reason": "Test" });
    let refused =
        write("status", &old, json!({ "conditions": [condition("Approved")] })).map_err(|status| status.message);
    assert!(
        refused
            .expect_err("refused")
            .contains("status.conditions: Forbidden: updates may not add a condition of type \"Approved\"")
    );
    let Ok(Updated::Store(approved)) = write("approval", &old, json!({ "conditions": [condition("Approved")] })) else {
        panic!("refused")
    };
    assert_eq!(approved.object.list(&["status", "conditions"])[0]["lastUpdateTime"], "2026-08-01T10:00:00Z");
    let approved = stored(approved.object);
    assert!(
        write("approval", &approved, json!({ "conditions": [condition("Approved"), condition("Denied")] })).is_err()
    );
    assert!(write("approval", &approved, json!({})).is_err());
    let mut status = approved.at(&["status"]).cloned().unwrap_or_default();
    status["certificate"] = STANDARD.encode(AUTHORITY).into();
    let Ok(Updated::Store(issued)) = write("status", &approved, status.clone()) else { panic!("refused") };
    assert_eq!(row.strategy.cells(&issued.object, context().now)[5], "Approved,Issued");
    status["certificate"] = STANDARD.encode("x").into();
    assert!(write("status", &stored(issued.object), status).is_err());
}

#[test]
fn a_bundle_holds_authorities_and_is_named_after_its_signer() {
    let row = row(GROUP, "clustertrustbundles");
    let bundle = |name: &str, signer: &str, bundle: &str| {
        let mut spec = json!({ "trustBundle": bundle });
        if !signer.is_empty() {
            spec["signerName"] = signer.into();
        }
        json!({ "metadata": { "name": name }, "spec": spec })
    };
    let made = create(&row, bundle("example.com:signer:one", "example.com/signer", AUTHORITY));
    assert_eq!(row.strategy.cells(&made, context().now), ["example.com:signer:one", "example.com/signer"]);
    assert_eq!(
        create_errors(&row, bundle("one", "example.com/signer", "")),
        [
            "metadata.name: Invalid value: \"one\": ClusterTrustBundle for signerName example.com/signer must be named with prefix example.com:signer:",
            "spec.trustBundle: Invalid value: \"<value omitted>\": at least one trust anchor must be provided",
        ]
    );
    assert_eq!(
        create_errors(&row, bundle("one", "", &format!("{AUTHORITY}{AUTHORITY}"))),
        ["spec.trustBundle: Invalid value: \"<value omitted>\": duplicate trust anchor (indices [0 1])"]
    );
    assert_eq!(
        create_errors(&row, bundle("one", "", REQUEST)),
        ["spec.trustBundle: Invalid value: \"<value omitted>\": entry 0 has bad block type: CERTIFICATE REQUEST"]
    );
}

#[test]
fn a_kubelet_asks_for_a_pod() {
    let row = row(GROUP, "podcertificaterequests");
    let der =
        x509_parser::pem::Pem::iter_from_buffer(REQUEST.as_bytes()).next().expect("a block").expect("PEM").contents;
    let request = |more: Value| {
        let mut request = json!({ "spec": {
            "signerName": "example.com/signer", "podName": "p", "podUID": "1", "serviceAccountName": "default", "serviceAccountUID": "2",
            "nodeName": "n", "nodeUID": "3", "maxExpirationSeconds": 86400, "stubPKCS10Request": STANDARD.encode(&der),
        } });
        for (name, value) in more.as_object().into_iter().flatten() {
            request["spec"][name] = value.clone();
        }
        request
    };
    let made = create(&row, request(json!({})));
    assert_eq!(
        row.strategy.cells(&made, context().now),
        ["a", "p", "default", "n", "example.com/signer", "Pending", "0s"]
    );
    assert_eq!(
        create_errors(&row, request(json!({ "podUID": "", "maxExpirationSeconds": 60 }))),
        [
            "spec.podUID: Invalid value: \"\": must not be empty",
            "spec.maxExpirationSeconds: Invalid value: 60: must be in the range [3600, 7862400]",
        ]
    );
    let old = stored(made);
    let mut denied = old.clone();
    denied.set(
        &["status", "conditions"],
        json!([{ "type": "Denied", "status": "True", "reason": "No", "lastTransitionTime": "2026-08-01T10:00:00Z" }]),
    );
    let Ok(Updated::Store(denied)) = prepare_update(&row, Some("status"), &old, denied, &context()) else {
        panic!("refused")
    };
    let denied = stored(denied.object);
    assert_eq!(row.strategy.cells(&denied, context().now)[5], "Denied");
    assert!(prepare_update(&row, Some("status"), &denied, old.clone(), &context()).is_err());
}
