//! The kinds of policies that change what is written.

use serde_json::json;
use tests_api::behaviours;
use tests_api::stage::{Endpoints, Stage};

behaviours!(policies, bindings);

async fn policies(stage: Stage) {
    let policies = Endpoints::of(&stage, "MutatingAdmissionPolicy").await;
    policies.change(json!({ "spec": { "failurePolicy": "Ignore" } })).work().await;
}

async fn bindings(stage: Stage) {
    let bindings = Endpoints::of(&stage, "MutatingAdmissionPolicyBinding").await;
    bindings.change(json!({ "spec": { "policyName": "somebody" } })).work().await;
}
