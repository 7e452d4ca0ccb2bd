//! Containers added to pods. That they run is for nodes.

use kube::api::Patch;
use serde_json::{Value, json};
use tests_api::behaviours;
use tests_api::stage::{Kind, Stage};

behaviours!(a_container_is_added, more_containers_are_added);

const PART: &str = "ephemeralcontainers";

fn debugger(name: &str) -> Value {
    json!({ "name": name, "image": "example.test/debug:1", "targetContainerName": "main", "stdin": true, "tty": true })
}

async fn pod_with_debugger(stage: &Stage) -> Kind {
    let pods = stage.sampled("Pod").await;
    pods.assert_capable(&[], &[(PART, &["get", "patch", "update"])]);
    pods.create(&pods.sample("web")).await;
    let patch = json!({ "spec": { "ephemeralContainers": [debugger("debugger")] } });
    pods.patch_part(PART, "web", &Patch::Strategic(patch)).await;
    pods
}

fn names(pod: &Value) -> Vec<&str> {
    let containers = pod["spec"]["ephemeralContainers"].as_array().map_or(&[][..], Vec::as_slice);
    containers.iter().map(|container| container["name"].as_str().unwrap_or_default()).collect()
}

async fn a_container_is_added(stage: Stage) {
    let pods = pod_with_debugger(&stage).await;
    let pod = pods.get("web").await;
    assert_eq!(names(&pod), ["debugger"]);
    // Its endpoint takes nothing else, and nothing else takes it.
    let patch = json!({ "metadata": { "labels": { "a": "b" } }, "spec": { "activeDeadlineSeconds": 9 } });
    let patched = pods.patch_part(PART, "web", &Patch::Strategic(patch)).await;
    assert_eq!((&patched["spec"], &patched["metadata"]["labels"]), (&pod["spec"], &pod["metadata"]["labels"]));
    let patch = json!({ "spec": { "ephemeralContainers": [debugger("other")] } });
    assert_eq!(pods.try_patch("web", &Patch::Strategic(patch)).await.unwrap_err().code, 422);
    for (wrong, message) in [
        (json!({ "ports": [{ "containerPort": 80 }] }), "ports: Forbidden: cannot be set for an Ephemeral Container"),
        (json!({ "targetContainerName": "nobody" }), "targetContainerName: Not found: \"nobody\""),
    ] {
        let mut container = debugger("other");
        tests_api::stage::overlay(&mut container, &wrong);
        let patch = json!({ "spec": { "ephemeralContainers": [container] } });
        let path = format!("{}/web/{PART}", stage.core("pods"));
        let refused = stage.raw().patch(&path, "application/strategic-merge-patch+json", &patch).await;
        assert!(
            refused.code == 422 && refused.json()["message"].as_str().unwrap().contains(message),
            "{}",
            refused.text()
        );
    }
}

async fn more_containers_are_added(stage: Stage) {
    let pods = pod_with_debugger(&stage).await;
    let updated = pods
        .update_part(PART, "web", |pod| {
            pod["spec"]["ephemeralContainers"].as_array_mut().unwrap().push(debugger("debugger2"));
        })
        .await;
    assert_eq!(names(&updated), ["debugger", "debugger2"]);
    assert_eq!(names(&pods.get("web").await), ["debugger", "debugger2"]);
    // Those that are there stay as they are.
    let path = format!("{}/web/{PART}", stage.core("pods"));
    for index in [0, 1] {
        let mut pod = pods.get("web").await;
        pod["spec"]["ephemeralContainers"].as_array_mut().unwrap().remove(index);
        assert_eq!(stage.raw().put(&path, &pod).await.code, 422);
    }
    let mut pod = pods.get("web").await;
    pod["spec"]["ephemeralContainers"][0]["image"] = json!("example.test/other:2");
    let refused = stage.raw().put(&path, &pod).await;
    assert!(refused.code == 422 && refused.text().contains("may not be changed"), "{}", refused.text());
}
