//! The kinds of policies that refuse what is written.

use serde_json::json;
use tests_api::behaviours;
use tests_api::stage::{Endpoints, Stage};

behaviours!(policies, bindings);

async fn policies(stage: Stage) {
    let status = json!({ "status": { "conditions": [{
        "type": "Tested", "status": "True", "reason": "Testing", "message": "one", "lastTransitionTime": "2026-01-02T03:04:05Z",
    }] } });
    let policies = Endpoints::of(&stage, "ValidatingAdmissionPolicy").await;
    policies.change(json!({ "spec": { "failurePolicy": "Ignore" } })).part("status", status).work().await;
}

async fn bindings(stage: Stage) {
    let bindings = Endpoints::of(&stage, "ValidatingAdmissionPolicyBinding").await;
    bindings.change(json!({ "spec": { "policyName": "somebody" } })).work().await;
}
