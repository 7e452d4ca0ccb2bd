//! Volumes and claims as objects. That they are bound, and kept while somebody uses them, is for controllers.

use serde_json::{Value, json};
use tests_api::behaviours;
use tests_api::stage::{Endpoints, Stage};

behaviours!(volumes_and_claims_have_a_life, their_status_is_written_apart);

fn condition() -> Value {
    json!({ "type": "StatusUpdate", "status": "True", "reason": "Testing", "message": "one" })
}

async fn volumes_and_claims_have_a_life(stage: Stage) {
    let volumes = Endpoints::of(&stage, "PersistentVolume").await;
    volumes.change(json!({ "spec": { "persistentVolumeReclaimPolicy": "Delete" } })).work().await;
    Endpoints::of(&stage, "PersistentVolumeClaim").await.work().await;
}

async fn their_status_is_written_apart(stage: Stage) {
    let status = json!({ "status": { "phase": "Available", "message": "one", "reason": "Testing" } });
    Endpoints::of(&stage, "PersistentVolume").await.part("status", status).have_a_status().await;
    let status = json!({ "status": { "phase": "Pending", "conditions": [condition()] } });
    Endpoints::of(&stage, "PersistentVolumeClaim").await.part("status", status).have_a_status().await;
}
