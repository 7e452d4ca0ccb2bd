//! Replica sets as objects. The pods are for a controller.

use serde_json::json;
use tests_api::behaviours;
use tests_api::stage::{Endpoints, Stage};

behaviours!(
    sets_are_replaced_and_patched,
    the_scale_works,
    sets_are_listed_and_deleted_together,
    the_status_is_written_apart,
);

async fn sets_are_replaced_and_patched(stage: Stage) {
    let change = json!({ "spec": { "replicas": 3, "template": { "spec": {
        "terminationGracePeriodSeconds": 0, "containers": [{ "name": "c", "image": "example.test/other:2" }],
    } } } });
    Endpoints::of(&stage, "ReplicaSet").await.change(change).have_a_life().await;
}

async fn the_scale_works(stage: Stage) {
    Endpoints::of(&stage, "ReplicaSet").await.have_a_scale().await;
}

async fn sets_are_listed_and_deleted_together(stage: Stage) {
    Endpoints::of(&stage, "ReplicaSet").await.are_listed_and_deleted_together().await;
}

async fn the_status_is_written_apart(stage: Stage) {
    let status = json!({ "status": { "conditions": [
        { "type": "StatusUpdate", "status": "True", "reason": "Testing", "message": "one" },
    ] } });
    Endpoints::of(&stage, "ReplicaSet").await.part("status", status).have_a_status().await;
}
