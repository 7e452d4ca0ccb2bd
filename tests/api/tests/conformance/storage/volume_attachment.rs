//! Attachments of volumes as objects.

use serde_json::json;
use tests_api::behaviours;
use tests_api::stage::{Endpoints, Stage};

behaviours!(attachments, the_status_is_written_apart);

async fn attachments(stage: Stage) {
    Endpoints::of(&stage, "VolumeAttachment").await.work().await;
}

async fn the_status_is_written_apart(stage: Stage) {
    let attachments =
        Endpoints::of(&stage, "VolumeAttachment").await.part("status", json!({ "status": { "attached": true } }));
    attachments.have_a_status().await;
}
