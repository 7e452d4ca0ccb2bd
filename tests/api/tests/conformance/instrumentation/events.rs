//! Events of their own group, which are those of the core group as well.

use kube::api::{ListParams, Patch};
use serde_json::json;
use tests_api::behaviours;
use tests_api::stage::{Endpoints, Stage};

behaviours!(events_have_a_life, events_are_deleted_together);

async fn events(stage: &Stage) -> Endpoints<'_> {
    let body = json!({
        "regarding": { "kind": "Pod", "namespace": stage.namespace, "name": "web" }, "eventTime": "2026-01-02T03:04:05.000006Z",
        "reportingController": "test-controller", "reportingInstance": "test-node", "action": "Do", "reason": "Testing",
        "type": "Normal", "note": "one",
    });
    Endpoints::with(stage, "events.k8s.io/v1", "Event", body).await
}

async fn events_have_a_life(stage: Stage) {
    let series = json!({ "count": 100, "lastObservedTime": "2026-01-02T03:04:05.000006Z" });
    let events = events(&stage).await.change(json!({ "series": series }));
    events.have_a_life().await;

    let kind = &events.kind;
    let body = json!({
        "regarding": { "kind": "Pod", "namespace": stage.namespace, "name": "web" }, "eventTime": "2026-01-02T03:04:05.000006Z",
        "reportingController": "test-controller", "reportingInstance": "test-node", "action": "Do", "reason": "Testing",
        "type": "Normal", "note": "one",
    });
    kind.create(&kind.object("other", &body)).await;
    // Both groups show it, each in its own words.
    let core = stage.kind("v1", "Event").await;
    for (kind, selector) in [(&core, "source=test-controller"), (kind, "reportingController=test-controller")] {
        let found = kind.api.list(&ListParams::default().fields(selector)).await.unwrap();
        assert_eq!(found.items.len(), 1, "{selector}");
    }
    let before = kind.get("other").await;
    kind.patch("other", &Patch::Strategic(json!({ "series": series }))).await;
    let mut after = kind.get("other").await;
    assert_eq!((&after["series"], &core.get("other").await["series"]), (&series, &series));
    // Nothing else is changed, nor may it be.
    after.as_object_mut().unwrap().remove("series");
    for field in ["resourceVersion", "managedFields"] {
        after["metadata"][field] = before["metadata"][field].clone();
    }
    assert_eq!(after, before);
    let refused = kind.try_patch("other", &Patch::Strategic(json!({ "note": "another" }))).await.unwrap_err();
    assert_eq!((refused.code, refused.reason.as_str()), (422, "Invalid"));
    core.patch("other", &Patch::Strategic(json!({ "message": "another" }))).await;
    assert_eq!(kind.get("other").await["note"], "another");
    kind.remove("other").await;
    assert_eq!(core.find("other").await, None);
}

async fn events_are_deleted_together(stage: Stage) {
    events(&stage).await.are_listed_and_deleted_together().await;
}
