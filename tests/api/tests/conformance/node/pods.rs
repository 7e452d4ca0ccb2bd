//! What the server works out of pods.

use kube::api::{DeleteParams, Patch};
use serde_json::{Value, json};
use tests_api::behaviours;
use tests_api::stage::{Kind, Stage};

behaviours!(
    the_class_of_service_follows_the_resources,
    the_generation_begins_at_one_and_grows_with_each_change,
    the_generation_counts_many_changes,
    the_generation_is_the_servers_own,
);

async fn the_class_of_service_follows_the_resources(stage: Stage) {
    let pods = stage.sampled("Pod").await;
    let amounts = json!({ "cpu": "100m", "memory": "100Mi" });
    for (name, resources, class) in [
        ("guaranteed", json!({ "requests": amounts, "limits": amounts }), "Guaranteed"),
        ("burstable", json!({ "requests": amounts }), "Burstable"),
        ("best-effort", json!({}), "BestEffort"),
    ] {
        let mut pod = pods.sample(name);
        pod["spec"]["containers"][0]["resources"] = resources;
        assert_eq!(pods.create(&pod).await["status"]["qosClass"], class);
        assert_eq!(pods.get(name).await["status"]["qosClass"], class);
    }
}

fn generation(pod: &Value) -> u64 {
    pod["metadata"]["generation"].as_u64().unwrap_or_else(|| panic!("no generation: {pod}"))
}

async fn pod(stage: &Stage) -> Kind {
    let pods = stage.sampled("Pod").await;
    assert_eq!(generation(&pods.create(&pods.sample("web")).await), 1);
    pods
}

async fn the_generation_begins_at_one_and_grows_with_each_change(stage: Stage) {
    let pods = pod(&stage).await;
    let toleration = json!({ "key": "foo", "operator": "Exists", "effect": "NoSchedule" });
    let changes: [(&str, Value, u64); 5] = [
        ("image", json!({ "spec": { "containers": [{ "name": "main", "image": "example.test/other:2" }] } }), 2),
        ("deadline", json!({ "spec": { "activeDeadlineSeconds": 3600 } }), 3),
        ("toleration", json!({ "spec": { "tolerations": [toleration] } }), 4),
        ("label", json!({ "metadata": { "labels": { "a": "b" } } }), 4),
        ("annotation", json!({ "metadata": { "annotations": { "a": "b" } } }), 4),
    ];
    for (what, change, wanted) in changes {
        let changed = pods.patch("web", &Patch::Strategic(change)).await;
        assert_eq!(generation(&changed), wanted, "{what}");
    }
    // Whoever runs the pod says how far it has come.
    let updated = pods.update_part("status", "web", |pod| pod["status"]["observedGeneration"] = json!(4)).await;
    assert_eq!((generation(&updated), &updated["status"]["observedGeneration"]), (4, &json!(4)));
    let container =
        json!({ "spec": { "ephemeralContainers": [{ "name": "debug", "image": "example.test/debug:1" }] } });
    let debugged = pods.patch_part("ephemeralcontainers", "web", &Patch::Strategic(container)).await;
    assert_eq!(generation(&debugged), 5);
    let binding = json!({
        "apiVersion": "v1", "kind": "Binding", "metadata": { "name": "web" }, "target": { "kind": "Node", "name": "somewhere" },
    });
    let bound = stage.raw().post(&format!("{}/web/binding", stage.core("pods")), &binding).await;
    assert_eq!(bound.code, 201, "{}", bound.text());
    assert_eq!(generation(&pods.get("web").await), 6);
}

async fn the_generation_counts_many_changes(stage: Stage) {
    let pods = pod(&stage).await;
    for number in 2..=100 {
        let image =
            json!({ "spec": { "containers": [{ "name": "main", "image": format!("example.test/main:{number}") }] } });
        assert_eq!(generation(&pods.patch("web", &Patch::Strategic(image)).await), number);
    }
}

async fn the_generation_is_the_servers_own(stage: Stage) {
    let pods = stage.sampled("Pod").await;
    let mut pod = pods.sample("web");
    pod["metadata"]["generation"] = json!(100);
    pod["spec"]["nodeName"] = json!("somewhere");
    assert_eq!(generation(&pods.create(&pod).await), 1);
    // To be deleted is a change of what is wanted.
    pods.api.delete("web", &DeleteParams::default().grace_period(30)).await.unwrap();
    assert_eq!(generation(&pods.get("web").await), 2);
    pods.remove("web").await;
}
