//! Classes of runtimes as objects, and the pods that name one.

use serde_json::json;
use tests_api::behaviours;
use tests_api::stage::{Endpoints, Stage};

behaviours!(classes, pods_need_a_class_that_is_there, pods_need_a_class_that_stays);

async fn classes(stage: Stage) {
    let change = json!({ "scheduling": { "nodeSelector": { "runtime": "one" } } });
    Endpoints::of(&stage, "RuntimeClass").await.change(change).work().await;
}

/// What the server says to a pod of a class.
async fn refusal(stage: &Stage, class: &str) -> (u16, String) {
    let mut pod = tests_api::pod("pod");
    pod["spec"]["runtimeClassName"] = class.into();
    let answer = stage.raw().post(&stage.core("pods"), &pod).await;
    (answer.code, answer.json()["message"].as_str().unwrap_or_default().to_owned())
}

async fn pods_need_a_class_that_is_there(stage: Stage) {
    let class = stage.unique("nowhere");
    let message = format!("pods \"pod\" is forbidden: pod rejected: RuntimeClass {class:?} not found");
    assert_eq!(refusal(&stage, &class).await, (403, message));
}

async fn pods_need_a_class_that_stays(stage: Stage) {
    let (raw, class) = (stage.raw(), stage.unique("brief"));
    let body = json!({
        "apiVersion": "node.k8s.io/v1", "kind": "RuntimeClass", "metadata": { "name": class }, "handler": "runc",
    });
    assert_eq!(raw.post("/apis/node.k8s.io/v1/runtimeclasses", &body).await.code, 201);
    assert_eq!(raw.delete(&format!("/apis/node.k8s.io/v1/runtimeclasses/{class}")).await.code, 200);
    let message = format!("pods \"pod\" is forbidden: pod rejected: RuntimeClass {class:?} not found");
    assert_eq!(refusal(&stage, &class).await, (403, message));
}
