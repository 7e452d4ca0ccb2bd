//! Slices of endpoints as objects.

use serde_json::json;
use tests_api::behaviours;
use tests_api::stage::{Endpoints, Stage};

behaviours!(slices);

async fn slices(stage: Stage) {
    let change = json!({ "endpoints": [{ "addresses": ["192.0.2.8"] }], "ports": [{ "name": "http", "port": 8080 }] });
    Endpoints::of(&stage, "EndpointSlice").await.change(change).work().await;
}
