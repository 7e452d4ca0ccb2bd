//! Devices as objects.

use serde_json::{Value, json};
use tests_api::behaviours;
use tests_api::stage::{Endpoints, Stage};

behaviours!(classes, claims, claim_templates, slices, taint_rules);

fn selector(expression: &str) -> Value {
    json!({ "spec": { "selectors": [{ "cel": { "expression": expression } }] } })
}

async fn classes(stage: Stage) {
    Endpoints::of(&stage, "DeviceClass").await.body(&selector("false")).change(selector("1 == 0")).work().await;
}

async fn claims(stage: Stage) {
    let status = json!({ "status": { "allocation": {} } });
    Endpoints::of(&stage, "ResourceClaim").await.part("status", status).work().await;
}

async fn claim_templates(stage: Stage) {
    Endpoints::of(&stage, "ResourceClaimTemplate").await.work().await;
}

async fn slices(stage: Stage) {
    let change = json!({ "spec": { "devices": [{ "name": "gpu-0" }, { "name": "gpu-1" }] } });
    Endpoints::of(&stage, "ResourceSlice").await.change(change).work().await;
}

async fn taint_rules(stage: Stage) {
    let status = json!({ "status": { "conditions": [{
        "type": "Tested", "status": "True", "reason": "Testing", "message": "one", "lastTransitionTime": "2026-01-02T03:04:05Z",
    }] } });
    let rules = Endpoints::of(&stage, "DeviceTaintRule").await;
    rules.change(json!({ "spec": { "taint": { "effect": "NoSchedule" } } })).part("status", status).work().await;
}
