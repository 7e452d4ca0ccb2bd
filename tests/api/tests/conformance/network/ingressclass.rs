//! Classes of ingresses as objects.

use serde_json::json;
use tests_api::behaviours;
use tests_api::stage::{Endpoints, Stage};

behaviours!(classes);

async fn classes(stage: Stage) {
    let parameters =
        json!({ "spec": { "parameters": { "kind": "Settings", "name": "one", "apiGroup": "example.com" } } });
    Endpoints::of(&stage, "IngressClass").await.change(parameters).work().await;
}
