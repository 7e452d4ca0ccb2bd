//! Drivers of volumes as objects, and volumes of theirs in pods.

use kube::api::Patch;
use serde_json::json;
use tests_api::behaviours;
use tests_api::stage::{Endpoints, Stage};

behaviours!(drivers_have_a_life, pods_name_a_driver);

async fn drivers_have_a_life(stage: Stage) {
    let drivers = Endpoints::of(&stage, "CSIDriver").await;
    drivers.change(json!({ "spec": { "storageCapacity": true, "requiresRepublish": true } })).work().await;
}

async fn pods_name_a_driver(stage: Stage) {
    let (drivers, pods) = (stage.sampled("CSIDriver").await, stage.sampled("Pod").await);
    let driver = stage.unique("inline");
    drivers.create(&drivers.object(&driver, &json!({ "spec": { "volumeLifecycleModes": ["Ephemeral"] } }))).await;
    let mut pod = pods.sample("web");
    let volume = json!({ "driver": driver, "readOnly": true, "volumeAttributes": { "a": "b" } });
    pod["spec"]["volumes"] = json!([{ "name": "data", "csi": volume }]);
    pods.create(&pod).await;
    assert_eq!(pods.get("web").await["spec"]["volumes"][0]["csi"], volume);
    assert_eq!(pods.list().await.len(), 1);
    let patched = pods.patch("web", &Patch::Strategic(json!({ "metadata": { "labels": { "a": "b" } } }))).await;
    assert_eq!(patched["spec"]["volumes"][0]["csi"], volume);
    pods.remove("web").await;
    drivers.remove(&driver).await;
}
