//! Migrations as objects.

use serde_json::json;
use tests_api::behaviours;
use tests_api::stage::{Endpoints, Stage};

behaviours!(migrations);

async fn migrations(stage: Stage) {
    let status = json!({ "status": { "conditions": [{
        "type": "Running", "status": "True", "reason": "Testing", "message": "one", "lastTransitionTime": "2026-01-02T03:04:05Z",
    }] } });
    Endpoints::of(&stage, "StorageVersionMigration").await.part("status", status).work().await;
}
