//! Capacities as objects.

use serde_json::json;
use tests_api::behaviours;
use tests_api::stage::{Endpoints, Stage};

behaviours!(capacities);

async fn capacities(stage: Stage) {
    Endpoints::of(&stage, "CSIStorageCapacity").await.change(json!({ "capacity": "10Gi" })).work().await;
}
