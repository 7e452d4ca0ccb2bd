//! Config maps as objects.

use serde_json::json;
use tests_api::behaviours;
use tests_api::stage::{Endpoints, Stage};

behaviours!(an_empty_key_is_refused, maps_have_a_life, maps_are_updated);

async fn an_empty_key_is_refused(stage: Stage) {
    let maps = stage.sampled("ConfigMap").await;
    let problem = maps.try_create(&maps.object("one", &json!({ "data": { "": "value" } }))).await.unwrap_err();
    assert_eq!((problem.code, problem.reason.as_str()), (422, "Invalid"), "{problem:?}");
}

async fn maps_have_a_life(stage: Stage) {
    let maps = Endpoints::of(&stage, "ConfigMap").await.change(json!({ "data": { "valueName": "value" } }));
    maps.have_a_life().await;
    maps.are_listed_and_deleted_together().await;
}

async fn maps_are_updated(stage: Stage) {
    let maps = stage.sampled("ConfigMap").await;
    maps.create(&maps.sample("one")).await;
    maps.update("one", |map| map["data"] = json!({ "data": "value" })).await;
    assert_eq!(maps.get("one").await["data"], json!({ "data": "value" }));
}
