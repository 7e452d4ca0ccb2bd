//! Ranges of limits as objects.

use serde_json::json;
use tests_api::behaviours;
use tests_api::stage::{Stage, overlay};

behaviours!(ranges_of_two_namespaces);

async fn ranges_of_two_namespaces(stage: Stage) {
    let here = stage.sampled("LimitRange").await;
    let mut other = stage.another_namespace("");
    let name = format!("{}-b", stage.namespace);
    overlay(&mut other, &json!({ "metadata": { "name": name } }));
    assert_eq!(stage.raw().post("/api/v1/namespaces", &other).await.code, 201);
    let there = here.in_namespace(&name);
    for kind in [&here, &there] {
        kind.create(&kind.sample("limits")).await;
    }
    let everywhere = async |label: &str| here.everywhere.list(&here.selected(label)).await.unwrap().items.len();
    assert_eq!(everywhere("").await, 2);
    let change = json!({ "metadata": { "labels": { "patched": "yes" } }, "spec": { "limits": [{ "type": "Pod", "max": { "cpu": "2" } }] } });
    let patched = here.patch("limits", &kube::api::Patch::Strategic(change)).await;
    assert_eq!(patched["spec"]["limits"][0]["max"]["cpu"], "2", "{patched}");
    assert_eq!(everywhere("patched=yes").await, 1);
    here.delete_all("patched=yes").await;
    assert_eq!(here.find("limits").await, None);
    assert_eq!(everywhere("").await, 1);
    there.remove("limits").await;
}
