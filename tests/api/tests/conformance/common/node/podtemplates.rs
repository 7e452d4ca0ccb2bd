//! Templates of pods as objects.

use serde_json::json;
use tests_api::behaviours;
use tests_api::stage::{Endpoints, Stage};

behaviours!(templates_have_a_life, templates_are_deleted_together, templates_are_replaced);

async fn templates_have_a_life(stage: Stage) {
    let change =
        json!({ "template": { "spec": { "containers": [{ "name": "c", "image": "example.test/other:2" }] } } });
    Endpoints::of(&stage, "PodTemplate").await.change(change).have_a_life().await;
}

async fn templates_are_deleted_together(stage: Stage) {
    Endpoints::of(&stage, "PodTemplate").await.are_listed_and_deleted_together().await;
}

async fn templates_are_replaced(stage: Stage) {
    let templates = stage.sampled("PodTemplate").await;
    templates.create(&templates.sample("one")).await;
    let updated = templates.update("one", |one| one["metadata"]["annotations"] = json!({ "updated": "true" })).await;
    assert_eq!(updated["metadata"]["annotations"]["updated"], "true");
}
