//! Deployments as objects. The replicas are for controllers.

use serde_json::{Value, json};
use tests_api::behaviours;
use tests_api::stage::{Endpoints, Stage};

behaviours!(deployments_have_a_life, the_scale_works, the_status_is_written_apart);

fn status() -> Value {
    json!({ "status": { "replicas": 2, "readyReplicas": 1, "conditions": [
        { "type": "StatusUpdate", "status": "True", "reason": "Testing", "message": "one" },
    ] } })
}

async fn deployments_have_a_life(stage: Stage) {
    let image = json!({ "spec": { "replicas": 2, "template": { "spec": {
        "terminationGracePeriodSeconds": 0, "containers": [{ "name": "c", "image": "example.test/other:2" }],
    } } } });
    Endpoints::of(&stage, "Deployment").await.change(image).part("status", status()).work().await;
}

async fn the_scale_works(stage: Stage) {
    Endpoints::of(&stage, "Deployment").await.have_a_scale().await;
}

async fn the_status_is_written_apart(stage: Stage) {
    let conditions = json!({ "status": { "conditions": status()["status"]["conditions"] } });
    Endpoints::of(&stage, "Deployment").await.part("status", conditions).have_a_status().await;
}
