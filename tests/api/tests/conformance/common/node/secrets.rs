//! Secrets as objects.

use serde_json::json;
use tests_api::behaviours;
use tests_api::stage::{Endpoints, Stage};

behaviours!(an_empty_key_is_refused, secrets_are_patched);

async fn an_empty_key_is_refused(stage: Stage) {
    let secrets = stage.sampled("Secret").await;
    let problem = secrets.try_create(&secrets.object("one", &json!({ "data": { "": "dmFsdWU=" } }))).await.unwrap_err();
    assert_eq!((problem.code, problem.reason.as_str()), (422, "Invalid"), "{problem:?}");
}

async fn secrets_are_patched(stage: Stage) {
    let secrets = Endpoints::of(&stage, "Secret").await.change(json!({ "data": { "key": "dmFsdWUx" } }));
    secrets.have_a_life().await;
    secrets.are_listed_and_deleted_together().await;
}
