//! Requests for certificates of pods.

use serde_json::json;
use tests_api::behaviours;
use tests_api::stage::{Endpoints, Stage};

behaviours!(requests);

async fn requests(stage: Stage) {
    let status = json!({ "status": { "conditions": [{
        "type": "Denied", "status": "True", "reason": "Testing", "message": "one", "lastTransitionTime": "2026-01-02T03:04:05Z",
    }] } });
    Endpoints::of(&stage, "PodCertificateRequest").await.part("status", status).work().await;
}
