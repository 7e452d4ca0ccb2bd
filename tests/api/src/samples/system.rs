//! Kinds by which the parts of a cluster tell each other what to do.

use serde_json::json;

use super::{Sample, sample};

/// A signing request, as JSON carries it.
pub const SIGNING_REQUEST: &str = "LS0tLS1CRUdJTiBDRVJUSUZJQ0FURSBSRVFVRVNULS0tLS0KTUlIVk1INENBUUF3SERFTU1Bb0dBMVVFQ2d3RFpHVjJNUXd3Q2dZRFZRUUREQU5oYm00d1dUQVRCZ2NxaGtqTwpQUUlCQmdncWhrak9QUU1CQndOQ0FBUWhSdmYza252UWJJWkFzblJnTFBpbDgrc3hBUFY3eUx2OXNuYU96WjVLCmV1TmhMdG1KR2tkeVNQbEZhRGlRRFlEL05HdUpaa29nQTc4R3J4cFNZTFN0b0FBd0NnWUlLb1pJemowRUF3SUQKUndBd1JBSWdQdkxibGJKNWZCTXpPSHpZSDJDOUYrckpkaTJjL3psSVM3ZmxRY3FJYW9RQ0lBa0FlN0x2ODI2MgpIZVNkUHorV2MzTVdzeElTNVI3RlRSTVovd2ZVOXFsbwotLS0tLUVORCBDRVJUSUZJQ0FURSBSRVFVRVNULS0tLS0K";
/// Authorities a bundle may hold.
pub const AUTHORITY: &str =
    include_str!("../../../../control-plane/apiserver/core/src/kinds/certificates/testdata/authority.pem");

/// A definition of widgets, whose schema has every form a part of it may have.
fn definition() -> serde_json::Value {
    let schema = json!({ "type": "object", "properties": { "spec": {
        "type": "object", "required": ["size"], "x-kubernetes-validations": [{ "rule": "self.size > 0", "message": "too small" }],
        "properties": {
            "size": { "type": "integer", "format": "int32", "minimum": 0, "default": 0 },
            "color": { "type": "string", "enum": ["red", "blue"], "default": "red", "maxLength": 4 },
            "labels": { "type": "object", "additionalProperties": { "type": "string" } },
            "any": { "type": "object", "x-kubernetes-preserve-unknown-fields": true },
            "port": { "x-kubernetes-int-or-string": true, "anyOf": [{ "type": "integer" }, { "type": "string" }] },
            "parts": {
                "type": "array", "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"],
                "items": { "type": "object", "required": ["name"], "properties": { "name": { "type": "string" } } },
            },
        },
    } } });
    json!({ "spec": {
        "group": "example.com", "scope": "Namespaced", "names": { "plural": "widgets", "kind": "Widget", "shortNames": ["wd"] },
        "versions": [{
            "name": "v1", "served": true, "storage": true, "schema": { "openAPIV3Schema": schema }, "subresources": { "status": {} },
            "additionalPrinterColumns": [{ "name": "Size", "type": "integer", "jsonPath": ".spec.size" }],
            "selectableFields": [{ "jsonPath": ".spec.color" }],
        }],
    } })
}

/// One of every kind of these.
pub(super) fn samples() -> Vec<Sample> {
    let rule = json!({ "operations": ["CREATE"], "apiGroups": [""], "apiVersions": ["v1"], "resources": ["pods"] });
    let webhooks = json!({ "webhooks": [{
        "name": "a.example.com", "sideEffects": "None", "admissionReviewVersions": ["v1"], "rules": [rule], "failurePolicy": "Ignore",
        "clientConfig": { "service": { "name": "s", "namespace": "n" } },
        "namespaceSelector": { "matchLabels": { "nobody": "has-this" } },
    }] });
    let constraints =
        json!({ "resourceRules": [rule], "namespaceSelector": { "matchLabels": { "nobody": "has-this" } } });
    let devices = json!({ "requests": [{ "name": "gpu", "exactly": { "deviceClassName": "gpu.example.com" } }] });
    let slice = json!({ "spec": {
        "driver": "d.example.com", "nodeName": "n", "pool": { "name": "n", "resourceSliceCount": 1 }, "devices": [{ "name": "gpu-0" }],
    } });
    let admission = "admissionregistration.k8s.io/v1";
    let resource = "resource.k8s.io/v1";
    let flow = "flowcontrol.apiserver.k8s.io/v1";
    let networking = "networking.k8s.io/v1";
    let level = json!({ "spec": { "type": "Limited", "limited": { "limitResponse": { "type": "Reject" } } } });
    let schema = json!({ "spec": {
        "priorityLevelConfiguration": { "name": "catch-all" },
        "rules": [{
            "subjects": [{ "kind": "User", "user": { "name": "nobody" } }],
            "nonResourceRules": [{ "verbs": ["get"], "nonResourceURLs": ["/nothing"] }],
        }],
    } });
    let remote = json!({ "spec": {
        "group": "nobody.example.com", "version": "v1", "groupPriorityMinimum": 10, "versionPriority": 10,
        "service": { "namespace": "default", "name": "nobody" },
    } });
    let signing =
        json!({ "spec": { "request": SIGNING_REQUEST, "signerName": "example.com/s", "usages": ["client auth"] } });
    let scaled = json!({ "spec": {
        "maxReplicas": 3, "targetCPUUtilizationPercentage": 50, "scaleTargetRef": { "kind": "Deployment", "name": "web" },
    } });
    let policy = &["Name", "PolicyName", "ParamRef", "Age"];
    let mut all = vec![
        sample(
            "autoscaling/v1",
            "horizontalpodautoscalers",
            "HorizontalPodAutoscaler",
            true,
            scaled,
            &["Name", "Reference", "Targets", "MinPods", "MaxPods", "Replicas", "Age"],
        ),
        sample(
            "certificates.k8s.io/v1",
            "certificatesigningrequests",
            "CertificateSigningRequest",
            false,
            signing,
            &["Name", "Age", "SignerName", "Requestor", "RequestedDuration", "Condition"],
        ),
        sample(
            "certificates.k8s.io/v1",
            "clustertrustbundles",
            "ClusterTrustBundle",
            false,
            json!({ "spec": { "trustBundle": AUTHORITY } }),
            &["Name", "SignerName"],
        ),
        sample(
            networking,
            "servicecidrs",
            "ServiceCIDR",
            false,
            json!({ "spec": { "cidrs": ["10.10.0.0/24"] } }),
            &["Name", "CIDRs", "Age"],
        ),
        sample(
            admission,
            "mutatingwebhookconfigurations",
            "MutatingWebhookConfiguration",
            false,
            webhooks.clone(),
            &["Name", "Webhooks", "Age"],
        ),
        sample(
            admission,
            "validatingwebhookconfigurations",
            "ValidatingWebhookConfiguration",
            false,
            webhooks,
            &["Name", "Webhooks", "Age"],
        ),
        sample(
            admission,
            "validatingadmissionpolicies",
            "ValidatingAdmissionPolicy",
            false,
            json!({ "spec": { "matchConstraints": constraints, "validations": [{ "expression": "true" }] } }),
            &["Name", "Validations", "ParamKind", "Age"],
        ),
        sample(
            admission,
            "validatingadmissionpolicybindings",
            "ValidatingAdmissionPolicyBinding",
            false,
            json!({ "spec": { "policyName": "nobody", "validationActions": ["Audit"] } }),
            policy,
        ),
        sample(
            admission,
            "mutatingadmissionpolicies",
            "MutatingAdmissionPolicy",
            false,
            json!({ "spec": { "matchConstraints": constraints, "mutations": [{ "patchType": "JSONPatch", "jsonPatch": { "expression": "[]" } }] } }),
            &["Name", "Mutations", "ParamKind", "Age"],
        ),
        sample(
            admission,
            "mutatingadmissionpolicybindings",
            "MutatingAdmissionPolicyBinding",
            false,
            json!({ "spec": { "policyName": "nobody" } }),
            policy,
        ),
        sample(
            flow,
            "flowschemas",
            "FlowSchema",
            false,
            schema,
            &["Name", "PriorityLevel", "MatchingPrecedence", "DistinguisherMethod", "Age", "MissingPL"],
        ),
        sample(
            flow,
            "prioritylevelconfigurations",
            "PriorityLevelConfiguration",
            false,
            level,
            &["Name", "Type", "NominalConcurrencyShares", "Queues", "HandSize", "QueueLengthLimit", "Age"],
        ),
        sample(resource, "deviceclasses", "DeviceClass", false, json!({ "spec": {} }), &["Name", "Age"]),
        sample(
            resource,
            "devicetaintrules",
            "DeviceTaintRule",
            false,
            json!({ "spec": { "taint": { "key": "a", "effect": "None" } } }),
            &["Name", "Age"],
        ),
        sample(
            resource,
            "resourceclaims",
            "ResourceClaim",
            true,
            json!({ "spec": { "devices": devices } }),
            &["Name", "State", "Age"],
        ),
        sample(
            resource,
            "resourceclaimtemplates",
            "ResourceClaimTemplate",
            true,
            json!({ "spec": { "spec": { "devices": devices } } }),
            &["Name", "Age"],
        ),
        sample(resource, "resourceslices", "ResourceSlice", false, slice, &["Name", "Node", "Driver", "Pool", "Age"]),
        sample(
            "storagemigration.k8s.io/v1",
            "storageversionmigrations",
            "StorageVersionMigration",
            false,
            json!({ "spec": { "resource": { "resource": "secrets" } } }),
            &["Name", "Created At"],
        ),
    ];
    let address = json!({ "spec": { "parentRef": { "group": "example.com", "resource": "gateways", "name": "g" } } });
    let address = sample(networking, "ipaddresses", "IPAddress", false, address, &["Name", "ParentRef", "Age"]);
    all.push(Sample { name: "192.0.2.77", ..address });
    let remote = sample(
        "apiregistration.k8s.io/v1",
        "apiservices",
        "APIService",
        false,
        remote,
        &["Name", "Service", "Available", "Age"],
    );
    all.push(Sample { name: "v1.nobody.example.com", ..remote });
    let definition = sample(
        "apiextensions.k8s.io/v1",
        "customresourcedefinitions",
        "CustomResourceDefinition",
        false,
        definition(),
        &["Name", "Scope", "Versions", "Created At"],
    );
    all.push(Sample { name: "widgets.example.com", ..definition });
    all
}
