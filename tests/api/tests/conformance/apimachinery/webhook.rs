//! Webhooks as objects. What is called, and when, is for those who can answer.

use serde_json::{Value, json};
use tests_api::behaviours;
use tests_api::stage::{Endpoints, Stage, holds};

behaviours!(
    they_are_discovered,
    mutating_ones_keep_their_conditions,
    validating_ones_keep_their_conditions,
    mutating_ones_are_listed_and_deleted_together,
    validating_ones_are_listed_and_deleted_together,
    mutating_ones_are_updated_and_patched,
    validating_ones_are_updated_and_patched,
);

const MUTATING: &str = "MutatingWebhookConfiguration";
const VALIDATING: &str = "ValidatingWebhookConfiguration";

async fn they_are_discovered(stage: Stage) {
    for kind in [MUTATING, VALIDATING] {
        Endpoints::of(&stage, kind).await.are_discovered().await;
    }
}

async fn keep_their_conditions(stage: &Stage, kind: &str) {
    let (kind, name) = (stage.sampled(kind).await, stage.unique("conditions"));
    let with = |conditions: &Value| {
        let mut object = kind.sample(&name);
        object["webhooks"][0]["matchConditions"] = conditions.clone();
        object
    };
    let first = json!([{ "name": "expression-1", "expression": "object.metadata.namespace == 'production'" }]);
    let made = kind.create(&with(&first)).await;
    assert_eq!(made["webhooks"][0]["matchConditions"], first);
    let second = json!([{ "name": "expression-1", "expression": "object.metadata.namespace == 'staging'" }]);
    kind.update(&name, |object| object["webhooks"][0]["matchConditions"] = second.clone()).await;
    assert_eq!(kind.get(&name).await["webhooks"][0]["matchConditions"], second);
    kind.remove(&name).await;
}

async fn mutating_ones_keep_their_conditions(stage: Stage) {
    keep_their_conditions(&stage, MUTATING).await;
}

async fn validating_ones_keep_their_conditions(stage: Stage) {
    keep_their_conditions(&stage, VALIDATING).await;
}

async fn mutating_ones_are_listed_and_deleted_together(stage: Stage) {
    Endpoints::of(&stage, MUTATING).await.are_listed_and_deleted_together().await;
}

async fn validating_ones_are_listed_and_deleted_together(stage: Stage) {
    Endpoints::of(&stage, VALIDATING).await.are_listed_and_deleted_together().await;
}

async fn are_updated_and_patched(stage: &Stage, kind: &str) {
    let (kind, name) = (stage.sampled(kind).await, stage.unique("changing"));
    kind.create(&kind.sample(&name)).await;
    let operations = |object: &Value| object["webhooks"][0]["rules"][0]["operations"].clone();
    let updated =
        kind.update(&name, |object| object["webhooks"][0]["rules"][0]["operations"] = json!(["UPDATE"])).await;
    assert_eq!(operations(&updated), json!(["UPDATE"]));
    // Webhooks are merged by name: the rest of this one stays.
    let webhook = json!({ "name": "a.example.com", "rules": [{
        "operations": ["CREATE"], "apiGroups": [""], "apiVersions": ["v1"], "resources": ["configmaps"],
    }] });
    let patched = kind.patch(&name, &kube::api::Patch::Strategic(json!({ "webhooks": [webhook] }))).await;
    assert_eq!(operations(&patched), json!(["CREATE"]));
    assert!(holds(&patched["webhooks"][0], &json!({ "sideEffects": "None", "failurePolicy": "Ignore" })), "{patched}");
    kind.remove(&name).await;
}

async fn mutating_ones_are_updated_and_patched(stage: Stage) {
    are_updated_and_patched(&stage, MUTATING).await;
}

async fn validating_ones_are_updated_and_patched(stage: Stage) {
    are_updated_and_patched(&stage, VALIDATING).await;
}
