//! Jobs as objects. The pods are for controllers.

use kube::api::Patch;
use serde_json::json;
use tests_api::behaviours;
use tests_api::stage::{Endpoints, Stage};

behaviours!(jobs_have_a_life, the_status_is_written_apart);

async fn jobs_have_a_life(stage: Stage) {
    let jobs = Endpoints::of(&stage, "Job").await.body(&json!({ "spec": { "suspend": true } }));
    let jobs = jobs.change(json!({ "spec": { "suspend": false } }));
    jobs.have_a_life().await;
    jobs.are_listed_and_deleted_together().await;
}

async fn the_status_is_written_apart(stage: Stage) {
    let jobs = stage.sampled("Job").await;
    jobs.create(&jobs.sample("one")).await;
    let condition = json!({ "type": "CustomConditionType", "status": "True" });
    let patch = json!({ "metadata": { "annotations": { "patched": "yes" } }, "status": { "conditions": [condition] } });
    let patched = jobs.patch_part("status", "one", &Patch::Merge(patch)).await;
    assert_eq!(patched["metadata"]["annotations"]["patched"], "yes");
    assert_eq!(patched["status"]["conditions"][0]["type"], "CustomConditionType");
    let updated =
        jobs.update_part("status", "one", |job| job["status"]["startTime"] = json!("2026-01-02T03:04:05Z")).await;
    assert_eq!(updated["status"]["startTime"], "2026-01-02T03:04:05Z", "{updated}");
    assert_eq!(jobs.get_part("status", "one").await["status"], updated["status"]);
    jobs.remove("one").await;
}
