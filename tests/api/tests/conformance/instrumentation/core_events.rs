//! Events of the core group.

use serde_json::{Value, json};
use tests_api::behaviours;
use tests_api::stage::{Endpoints, Stage};

behaviours!(events_have_a_life, events_are_deleted_together);

async fn events(stage: &Stage) -> Endpoints<'_> {
    let body: Value = json!({
        "involvedObject": { "kind": "Pod", "namespace": stage.namespace, "name": "web" },
        "reason": "Testing", "message": "one", "type": "Normal", "source": { "component": "tests" },
        "firstTimestamp": "2026-01-02T03:04:05Z", "lastTimestamp": "2026-01-02T03:04:05Z", "count": 1,
    });
    Endpoints::with(stage, "v1", "Event", body).await
}

async fn events_have_a_life(stage: Stage) {
    let series = json!({ "count": 100, "lastObservedTime": "2026-01-02T03:04:05.000006Z" });
    events(&stage).await.change(json!({ "message": "another", "series": series })).have_a_life().await;
}

async fn events_are_deleted_together(stage: Stage) {
    events(&stage).await.are_listed_and_deleted_together().await;
}
