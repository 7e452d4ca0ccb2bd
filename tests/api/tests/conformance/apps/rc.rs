//! Replication controllers as objects. The pods are for a controller.

use serde_json::json;
use tests_api::behaviours;
use tests_api::stage::{Endpoints, Stage};

behaviours!(controllers_have_a_life, the_scale_works);

async fn controllers_have_a_life(stage: Stage) {
    let change = json!({ "spec": { "replicas": 2, "template": { "spec": {
        "containers": [{ "name": "c", "image": "example.test/other:2" }],
    } } } });
    let status = json!({ "status": { "replicas": 1, "readyReplicas": 1, "availableReplicas": 1 } });
    Endpoints::of(&stage, "ReplicationController").await.change(change).part("status", status).work().await;
}

async fn the_scale_works(stage: Stage) {
    Endpoints::of(&stage, "ReplicationController").await.have_a_scale().await;
}
