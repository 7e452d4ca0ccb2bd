//! Stateful sets as objects. The pods are for a controller.

use serde_json::json;
use tests_api::behaviours;
use tests_api::stage::{Endpoints, Stage};

behaviours!(the_scale_works, sets_are_patched_and_deleted_together, the_status_is_written_apart);

async fn the_scale_works(stage: Stage) {
    Endpoints::of(&stage, "StatefulSet").await.have_a_scale().await;
}

async fn sets_are_patched_and_deleted_together(stage: Stage) {
    let change = json!({ "spec": { "replicas": 2, "template": { "spec": {
        "terminationGracePeriodSeconds": 0, "containers": [{ "name": "c", "image": "example.test/other:2" }],
    } } } });
    let sets = Endpoints::of(&stage, "StatefulSet").await.change(change);
    sets.have_a_life().await;
    sets.are_listed_and_deleted_together().await;
}

async fn the_status_is_written_apart(stage: Stage) {
    let status = json!({ "status": { "conditions": [
        { "type": "StatusUpdate", "status": "True", "reason": "Testing", "message": "one" },
    ] } });
    Endpoints::of(&stage, "StatefulSet").await.part("status", status).have_a_status().await;
}
