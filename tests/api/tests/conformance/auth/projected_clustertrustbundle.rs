//! Bundles of authorities as objects. Mounting them is for nodes.

use serde_json::json;
use tests_api::behaviours;
use tests_api::samples::AUTHORITY;
use tests_api::stage::{Endpoints, Stage};

behaviours!(bundles);

async fn bundles(stage: Stage) {
    let bundles = Endpoints::of(&stage, "ClusterTrustBundle").await;
    bundles.change(json!({ "spec": { "trustBundle": format!("# one\n{AUTHORITY}") } })).work().await;
}
