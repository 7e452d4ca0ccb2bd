//! The kinds everybody knows, and those that have tests of their own.

use serde_json::json;

use super::{Sample, sample};

/// A signing request that says nothing of who asks, as JSON carries its bytes.
pub const STUB_REQUEST: &str = "MIG6MGICAQAwADBZMBMGByqGSM49AgEGCCqGSM49AwEHA0IABAoYl/RUGT3gAgnGhgPHp1pP3ANQwgrfD1qjg3s3ZqjDJ7aqswYQj068f7S6lFdGxlMIDg/NvXch4hBJ+SQ5EDKgADAKBggqhkjOPQQDAgNIADBFAiAsXRmNEGNXMtgLSa6Ulg0FAGqkzF99Pv2bbTCZv2bwmgIhAOnsuEJon7H1xZ1ZZy/bNg9Y+iD3uyYqNYxBcQ4bVjuA";

/// One of every kind of these, without the columns of their tables.
pub(super) fn samples() -> Vec<Sample> {
    let pod = json!({ "spec": { "containers": [{ "name": "main", "image": "example.test/main:1" }] } });
    let ask = json!({ "spec": {
        "signerName": "example.com/tests", "podName": "one", "podUID": "7c0e0b2b-9f9b-4a7e-8d53-4f6a5a1f2b10",
        "serviceAccountName": "default", "serviceAccountUID": "7c0e0b2b-9f9b-4a7e-8d53-4f6a5a1f2b11",
        "nodeName": "one", "nodeUID": "7c0e0b2b-9f9b-4a7e-8d53-4f6a5a1f2b12",
        "maxExpirationSeconds": 86400, "stubPKCS10Request": STUB_REQUEST,
    } });
    vec![
        sample("v1", "configmaps", "ConfigMap", true, json!({ "data": { "k": "v" } }), &[]),
        sample("v1", "secrets", "Secret", true, json!({ "data": { "k": "dmFsdWU=" } }), &[]),
        sample("v1", "serviceaccounts", "ServiceAccount", true, json!({}), &[]),
        sample("v1", "pods", "Pod", true, pod, &[]),
        sample("v1", "services", "Service", true, json!({ "spec": { "ports": [{ "port": 80 }] } }), &[]),
        sample("v1", "nodes", "Node", false, json!({}), &[]),
        sample("v1", "namespaces", "Namespace", false, json!({}), &[]),
        sample(
            "v1",
            "endpoints",
            "Endpoints",
            true,
            json!({ "subsets": [{ "addresses": [{ "ip": "192.0.2.7" }], "ports": [{ "port": 80 }] }] }),
            &[],
        ),
        sample(
            "coordination.k8s.io/v1",
            "leases",
            "Lease",
            true,
            json!({ "spec": { "holderIdentity": "one", "leaseDurationSeconds": 30, "leaseTransitions": 0 } }),
            &[],
        ),
        sample("certificates.k8s.io/v1", "podcertificaterequests", "PodCertificateRequest", true, ask, &[]),
    ]
}
