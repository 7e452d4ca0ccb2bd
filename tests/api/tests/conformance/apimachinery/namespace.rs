//! Namespaces as objects.

use kube::api::Patch;
use serde_json::json;
use tests_api::behaviours;
use tests_api::stage::{Kind, Stage, holds};

behaviours!(a_finalizer_is_given_and_taken, an_update_is_kept, the_status_is_written_apart, a_patch_is_kept);

async fn namespaces(stage: &Stage) -> (Kind, String) {
    let (kind, name) = (stage.sampled("Namespace").await, stage.unique("more"));
    let name = name[..name.len().min(63)].to_owned();
    kind.create(&kind.object(&name, &json!({}))).await;
    (kind, name)
}

async fn a_finalizer_is_given_and_taken(stage: Stage) {
    let (kind, name) = namespaces(&stage).await;
    let path = format!("/api/v1/namespaces/{name}/finalize");
    let finalizers = |namespace: &serde_json::Value| namespace["spec"]["finalizers"].clone();
    let mut namespace = kind.get(&name).await;
    assert_eq!(finalizers(&namespace), json!(["kubernetes"]));
    namespace["spec"]["finalizers"] = json!(["kubernetes", "tests.example.com/fake"]);
    let given = stage.raw().put(&path, &namespace).await;
    assert_eq!((given.code, finalizers(&given.json())), (200, json!(["kubernetes", "tests.example.com/fake"])));
    let mut namespace = kind.get(&name).await;
    assert_eq!(finalizers(&namespace), json!(["kubernetes", "tests.example.com/fake"]));
    namespace["spec"]["finalizers"] = json!(["kubernetes"]);
    let taken = stage.raw().put(&path, &namespace).await;
    assert_eq!((taken.code, finalizers(&taken.json())), (200, json!(["kubernetes"])));
    assert_eq!(finalizers(&kind.get(&name).await), json!(["kubernetes"]));
}

async fn an_update_is_kept(stage: Stage) {
    let (kind, name) = namespaces(&stage).await;
    let label = |namespace: &serde_json::Value| namespace["metadata"]["labels"][&name].clone();
    let updated = kind.update(&name, |namespace| namespace["metadata"]["labels"][&name] = json!("updated")).await;
    assert_eq!((label(&updated), label(&kind.get(&name).await)), (json!("updated"), json!("updated")));
    // Every namespace carries its name.
    assert_eq!(updated["metadata"]["labels"]["kubernetes.io/metadata.name"], name);
}

async fn the_status_is_written_apart(stage: Stage) {
    let (kind, name) = namespaces(&stage).await;
    assert_eq!(kind.get_part("status", &name).await["status"], json!({ "phase": "Active" }));
    let condition = |kind: &str| json!({ "type": kind, "status": "True", "reason": "Testing", "message": "one" });
    let patch = json!({ "metadata": { "annotations": { "patched": name } }, "status": { "conditions": [condition("StatusPatch")] } });
    let patched = kind.patch_part("status", &name, &Patch::Merge(patch.clone())).await;
    assert!(holds(&patched, &patch), "{patched}");
    let updated = kind
        .update_part("status", &name, |namespace| {
            namespace["status"]["conditions"].as_array_mut().unwrap().push(condition("StatusUpdate"));
        })
        .await;
    let conditions = json!([condition("StatusPatch"), condition("StatusUpdate")]);
    assert!(holds(&updated["status"]["conditions"], &conditions), "{updated}");
    let read = kind.get(&name).await;
    assert_eq!(
        (&read["status"]["phase"], read["status"]["conditions"].as_array().unwrap().len()),
        (&json!("Active"), 2)
    );
}

async fn a_patch_is_kept(stage: Stage) {
    let (kind, name) = namespaces(&stage).await;
    kind.patch(&name, &Patch::Strategic(json!({ "metadata": { "labels": { "testLabel": "testValue" } } }))).await;
    assert_eq!(kind.get(&name).await["metadata"]["labels"]["testLabel"], "testValue");
    assert_eq!(kind.list_labelled("testLabel=testValue").await.len(), 1);
}
