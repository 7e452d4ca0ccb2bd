//! Revisions as objects. Who makes them is for controllers.

use kube::api::Patch;
use serde_json::json;
use tests_api::behaviours;
use tests_api::stage::Stage;

behaviours!(revisions_have_a_life);

async fn revisions_have_a_life(stage: Stage) {
    let kind = stage.sampled("ControllerRevision").await;
    let revision = |name: &str, number: u32| kind.object(name, &json!({ "data": { "a": number }, "revision": number }));
    kind.create(&revision("first", 1)).await;
    kind.patch("first", &Patch::Strategic(json!({ "metadata": { "labels": { "first": "patched" } } }))).await;
    assert_eq!(kind.list_labelled("first=patched").await.len(), 1);
    kind.create(&revision("second", 2)).await;
    assert_eq!(kind.list().await.len(), 2);
    kind.remove("first").await;
    assert_eq!(kind.list().await.len(), 1);
    let updated = kind.update("second", |one| one["metadata"]["labels"]["second"] = json!("updated")).await;
    assert_eq!(updated["metadata"]["labels"]["second"], "updated");
    // What a revision holds stays as it is.
    let refused = kind.try_patch("second", &Patch::Merge(json!({ "data": { "a": 9 } }))).await.unwrap_err();
    assert_eq!((refused.code, refused.reason.as_str()), (422, "Invalid"));
    kind.create(&revision("third", 3)).await;
    kind.delete_all("second=updated").await;
    let left = kind.list().await;
    assert_eq!((left.len(), &left[0]["revision"]), (1, &json!(3)));
}
