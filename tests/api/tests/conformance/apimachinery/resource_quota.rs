//! Quotas as objects.

use kube::api::Patch;
use serde_json::{Value, json};
use tests_api::behaviours;
use tests_api::stage::{Endpoints, Stage, holds};

behaviours!(quotas_are_updated_and_deleted, quotas_have_a_life, the_status_is_written_apart);

fn hard(cpu: &str, memory: &str) -> Value {
    json!({ "spec": { "hard": { "cpu": cpu, "memory": memory } } })
}

async fn quotas_are_updated_and_deleted(stage: Stage) {
    let kind = stage.sampled("ResourceQuota").await;
    kind.create(&kind.object("quota", &hard("1", "500Mi"))).await;
    assert!(holds(&kind.get("quota").await, &hard("1", "500Mi")));
    let updated = kind.update("quota", |quota| quota["spec"] = hard("2", "1Gi")["spec"].clone()).await;
    assert!(holds(&updated, &hard("2", "1Gi")), "{updated}");
    assert!(holds(&kind.get("quota").await, &hard("2", "1Gi")));
    kind.remove("quota").await;
}

async fn quotas_have_a_life(stage: Stage) {
    let quotas = Endpoints::of(&stage, "ResourceQuota").await.body(&hard("1", "500Mi")).change(hard("500m", "600Mi"));
    quotas.have_a_life().await;
    quotas.are_listed_and_deleted_together().await;
}

async fn the_status_is_written_apart(stage: Stage) {
    let kind = stage.sampled("ResourceQuota").await;
    let status = |cpu: &str, memory: &str| json!({ "status": { "hard": { "cpu": cpu, "memory": memory } } });
    kind.create(&kind.object("quota", &hard("500m", "500Mi"))).await;
    let updated =
        kind.update_part("status", "quota", |quota| quota["status"] = status("500m", "500Mi")["status"].clone()).await;
    assert!(holds(&updated, &status("500m", "500Mi")), "{updated}");
    let patched = kind.merge("quota", hard("1", "1Gi")).await;
    assert!(holds(&patched, &hard("1", "1Gi")) && holds(&patched, &status("500m", "500Mi")), "{patched}");
    let patched = kind.patch_part("status", "quota", &Patch::Merge(status("1", "1Gi"))).await;
    assert!(holds(&patched, &status("1", "1Gi")), "{patched}");
    let read = kind.get_part("status", "quota").await;
    assert_eq!(read["status"]["hard"], read["spec"]["hard"]);
    // Nobody changes what is wanted by way of what is.
    let mut both = status("750m", "2Gi");
    both["spec"] = hard("9", "9Gi")["spec"].clone();
    let patched = kind.patch_part("status", "quota", &Patch::Merge(both)).await;
    assert!(holds(&patched, &hard("1", "1Gi")) && holds(&patched, &status("750m", "2Gi")), "{patched}");
}
