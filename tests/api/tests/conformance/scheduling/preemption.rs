//! Classes of priority as objects.

use kube::api::Patch;
use serde_json::json;
use tests_api::behaviours;
use tests_api::stage::Stage;

behaviours!(classes_change_where_they_may);

async fn classes_change_where_they_may(stage: Stage) {
    let kind = stage.sampled("PriorityClass").await;
    let names = [stage.unique("p1"), stage.unique("p2")];
    for (name, value) in names.iter().zip(1..) {
        kind.create(&kind.object(name, &json!({ "value": value }))).await;
    }
    let [first, second] = &names;
    let refused = kind.try_patch(first, &Patch::Strategic(json!({ "value": 10 }))).await.unwrap_err();
    assert_eq!((refused.code, refused.reason.as_str()), (422, "Invalid"));
    let mut changed = kind.get(second).await;
    changed["value"] = json!(20);
    let refused = kind.try_replace(&changed).await.unwrap_err();
    assert_eq!((refused.code, refused.reason.as_str()), (422, "Invalid"));
    kind.patch(first, &Patch::Strategic(json!({ "description": "updated" }))).await;
    kind.update(second, |class| class["description"] = json!("updated")).await;
    for (class, value) in kind.list().await.iter().zip(1..) {
        assert_eq!((&class["value"], &class["description"]), (&json!(value), &json!("updated")));
    }
    for name in &names {
        kind.remove(name).await;
    }
}
