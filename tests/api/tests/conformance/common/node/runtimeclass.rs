//! Classes of runtimes as objects.

use serde_json::json;
use tests_api::behaviours;
use tests_api::stage::{Endpoints, Stage};

behaviours!(classes);

async fn classes(stage: Stage) {
    let change = json!({ "scheduling": { "nodeSelector": { "runtime": "one" } } });
    Endpoints::of(&stage, "RuntimeClass").await.change(change).work().await;
}
