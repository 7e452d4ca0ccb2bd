//! Pods as objects. That they run is for nodes.

use k8s_openapi::api::core::v1::Pod;
use kube::api::{DeleteParams, ListParams, Patch, PatchParams, PostParams};
use serde_json::json;
use tests_api::behaviours;
use tests_api::stage::{Endpoints, Stage};

behaviours!(
    pods_are_submitted_and_removed,
    pods_are_updated,
    pods_are_deleted_together,
    the_status_is_patched,
    pods_and_their_status_have_a_life,
);

async fn pods_are_submitted_and_removed(stage: Stage) {
    let (api, kind) = (stage.api::<Pod>(), stage.sampled("Pod").await);
    let mut changes = kind.changes(&kind.version().await).await;
    let mut pod = kind.sample("web");
    pod["spec"]["nodeName"] = json!("somewhere");
    api.create(&PostParams::default(), &serde_json::from_value(pod).unwrap()).await.unwrap();
    changes.expect("ADDED", "web").await;
    assert_eq!(api.list(&kind.selected("")).await.unwrap().items.len(), 1);
    // A pod on a node gets time to end; whoever runs it says when it has.
    let going = api.delete("web", &DeleteParams::default().grace_period(30)).await.unwrap().left().unwrap();
    assert_eq!(going.metadata.deletion_grace_period_seconds, Some(30));
    let seen = changes.expect("MODIFIED", "web").await;
    assert!(seen["metadata"]["deletionTimestamp"].is_string(), "{seen}");
    kind.remove("web").await;
    changes.until("DELETED", "web", |_| true).await;
    assert_eq!(api.list(&kind.selected("")).await.unwrap().items.len(), 0);
}

async fn pods_are_updated(stage: Stage) {
    let (api, kind) = (stage.api::<Pod>(), stage.sampled("Pod").await);
    kind.create(&kind.sample("web")).await;
    let mut pod = api.get("web").await.unwrap();
    pod.metadata.labels.get_or_insert_default().insert("time".to_owned(), "new".to_owned());
    api.replace("web", &PostParams::default(), &pod).await.unwrap();
    assert_eq!(api.list(&kind.selected("time=new")).await.unwrap().items.len(), 1);
}

async fn pods_are_deleted_together(stage: Stage) {
    Endpoints::of(&stage, "Pod").await.are_listed_and_deleted_together().await;
}

async fn the_status_is_patched(stage: Stage) {
    let (api, kind) = (stage.api::<Pod>(), stage.sampled("Pod").await);
    kind.create(&kind.sample("web")).await;
    let patch = json!({ "status": { "message": "Patched by a test", "reason": "Testing" } });
    let patched = api.patch_status("web", &PatchParams::default(), &Patch::Strategic(patch)).await.unwrap();
    let status = patched.status.unwrap();
    assert_eq!((status.message.as_deref(), status.reason.as_deref()), (Some("Patched by a test"), Some("Testing")));
    assert_eq!(api.get_status("web").await.unwrap().status.unwrap().phase.as_deref(), Some("Pending"));
}

async fn pods_and_their_status_have_a_life(stage: Stage) {
    let (api, kind) = (stage.api::<Pod>(), stage.sampled("Pod").await);
    let mut changes = kind.changes(&kind.version().await).await;
    kind.create(&kind.sample("web")).await;
    changes.expect("ADDED", "web").await;
    let patch = json!({
        "metadata": { "labels": { "test-pod": "patched" } },
        "spec": { "terminationGracePeriodSeconds": 1, "containers": [{ "name": "main", "image": "example.test/other:2" }] },
    });
    // How long a pod may take to end is said once.
    let refused = api.patch("web", &PatchParams::default(), &Patch::Strategic(&patch)).await.unwrap_err();
    assert!(matches!(&refused, kube::Error::Api(problem) if problem.code == 422), "{refused}");
    let patch = json!({ "metadata": patch["metadata"], "spec": { "containers": patch["spec"]["containers"] } });
    api.patch("web", &PatchParams::default(), &Patch::Strategic(&patch)).await.unwrap();
    let seen = changes.until("MODIFIED", "web", |pod| pod["metadata"]["labels"]["test-pod"] == "patched").await;
    assert_eq!(seen["spec"]["containers"][0]["image"], "example.test/other:2");

    let conditions = json!([{ "type": "Ready", "status": "False" }, { "type": "ContainersReady", "status": "False" }]);
    let replaced = kind
        .update_part("status", "web", |pod| {
            pod["status"] = json!({ "phase": "Running", "conditions": conditions });
            pod["spec"]["containers"][0]["image"] = json!("example.test/ignored:3");
        })
        .await;
    assert_eq!(
        (&replaced["status"]["conditions"][0]["status"], &replaced["status"]["phase"]),
        (&json!("False"), &json!("Running"))
    );
    assert_eq!(replaced["spec"]["containers"][0]["image"], "example.test/other:2");
    let pod = api.get_status("web").await.unwrap();
    assert_eq!(pod.status.unwrap().conditions.unwrap().len(), 2);
    let phase = ListParams::default().fields("status.phase=Running");
    assert_eq!(api.list(&phase).await.unwrap().items.len(), 1);
    kind.delete_all("test-pod=patched").await;
    changes.until("DELETED", "web", |_| true).await;
}
