//! Nodes as objects.

use serde_json::json;
use tests_api::behaviours;
use tests_api::stage::{Endpoints, Stage};

behaviours!(nodes_have_a_life);

async fn nodes_have_a_life(stage: Stage) {
    let status = json!({ "status": { "phase": "Running", "capacity": { "cpu": "1", "memory": "4Gi", "pods": "110" }, "conditions": [
        { "type": "Ready", "status": "True", "reason": "Testing", "message": "one" },
    ] } });
    let nodes = Endpoints::of(&stage, "Node").await.change(json!({ "spec": { "unschedulable": true } }));
    nodes.part("status", status).work().await;
}
