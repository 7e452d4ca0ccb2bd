//! Ranges of addresses for Services, and the addresses that are taken, as objects.

use serde_json::json;
use tests_api::behaviours;
use tests_api::stage::{Endpoints, Stage};

behaviours!(addresses, ranges);

async fn addresses(stage: Stage) {
    let addresses = Endpoints::of(&stage, "IPAddress").await;
    addresses.named(["192.0.2.101", "192.0.2.102", "192.0.2.103"]).work().await;
}

async fn ranges(stage: Stage) {
    let status = json!({ "status": { "conditions": [{
        "type": "Tested", "status": "True", "reason": "Testing", "message": "one", "lastTransitionTime": "2026-01-02T03:04:05Z",
    }] } });
    let body = json!({ "spec": { "cidrs": ["10.1.0.0/24"] } });
    Endpoints::of(&stage, "ServiceCIDR").await.body(&body).part("status", status).work().await;
}
