//! Daemon sets as objects. The pods are for controllers.

use serde_json::json;
use tests_api::behaviours;
use tests_api::stage::{Endpoints, Stage};

behaviours!(sets_are_listed_and_deleted_together, the_status_is_written_apart);

async fn sets_are_listed_and_deleted_together(stage: Stage) {
    Endpoints::of(&stage, "DaemonSet").await.are_listed_and_deleted_together().await;
}

async fn the_status_is_written_apart(stage: Stage) {
    let status = json!({ "status": { "conditions": [
        { "type": "StatusUpdate", "status": "True", "reason": "Testing", "message": "one" },
    ] } });
    Endpoints::of(&stage, "DaemonSet").await.part("status", status).have_a_status().await;
}
