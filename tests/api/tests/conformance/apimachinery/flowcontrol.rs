//! The kinds of priority and fairness.

use serde_json::{Value, json};
use tests_api::behaviours;
use tests_api::stage::{Endpoints, Stage};

behaviours!(flow_schemas, priority_levels);

fn status() -> Value {
    json!({ "status": { "conditions": [{
        "type": "Tested", "status": "False", "reason": "Testing", "message": "one", "lastTransitionTime": "2026-01-02T03:04:05Z",
    }] } })
}

async fn flow_schemas(stage: Stage) {
    let schemas = Endpoints::of(&stage, "FlowSchema").await;
    schemas.change(json!({ "spec": { "matchingPrecedence": 9876 } })).part("status", status()).work().await;
}

async fn priority_levels(stage: Stage) {
    let levels = Endpoints::of(&stage, "PriorityLevelConfiguration").await;
    let change = json!({ "spec": { "limited": { "nominalConcurrencyShares": 4 } } });
    levels.change(change).part("status", status()).work().await;
}
