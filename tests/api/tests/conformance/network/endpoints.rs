//! Endpoints as objects.

use serde_json::json;
use tests_api::behaviours;
use tests_api::stage::{Endpoints, Stage};

behaviours!(endpoints_have_a_life);

async fn endpoints_have_a_life(stage: Stage) {
    let change = json!({ "subsets": [{
        "addresses": [{ "ip": "192.0.2.8" }], "ports": [{ "name": "http", "port": 8080, "protocol": "TCP" }],
    }] });
    let endpoints = Endpoints::of(&stage, "Endpoints").await.change(change);
    endpoints.have_a_life().await;
    endpoints.are_listed_and_deleted_together().await;
}
