//! Budgets of disruption as objects, and what evictions make of them. How many may go is for a controller to say.

use serde_json::{Value, json};
use tests_api::behaviours;
use tests_api::stage::{Endpoints, Stage};

behaviours!(
    budgets_are_listed_and_deleted_together,
    budgets_have_a_life,
    the_status_is_written_apart,
    evictions_wait_for_the_budget,
);

async fn budgets_are_listed_and_deleted_together(stage: Stage) {
    Endpoints::of(&stage, "PodDisruptionBudget").await.are_listed_and_deleted_together().await;
}

async fn budgets_have_a_life(stage: Stage) {
    let budgets = Endpoints::of(&stage, "PodDisruptionBudget").await;
    budgets.change(json!({ "spec": { "minAvailable": "30%" } })).have_a_life().await;
}

fn allowed(count: u32) -> Value {
    json!({ "status": { "disruptionsAllowed": count, "currentHealthy": 1, "desiredHealthy": 1, "expectedPods": 1 } })
}

async fn the_status_is_written_apart(stage: Stage) {
    Endpoints::of(&stage, "PodDisruptionBudget").await.part("status", allowed(1)).have_a_status().await;
}

async fn evictions_wait_for_the_budget(stage: Stage) {
    let (pods, budgets) = (stage.sampled("Pod").await, stage.sampled("PodDisruptionBudget").await);
    let mut pod = pods.sample("web");
    pod["metadata"]["labels"]["app"] = json!("web");
    pods.create(&pod).await;
    let ready = json!({ "phase": "Running", "conditions": [{ "type": "Ready", "status": "True" }] });
    pods.update_part("status", "web", |pod| pod["status"] = ready.clone()).await;
    let selector = json!({ "spec": { "minAvailable": 1, "selector": { "matchLabels": { "app": "web" } } } });
    let budget = budgets.create(&budgets.object("web", &selector)).await;
    let say = async |count: u32| {
        budgets
            .update_part("status", "web", |budget| {
                budget["status"] = allowed(count)["status"].clone();
                budget["status"]["observedGeneration"] = budget["metadata"]["generation"].clone();
            })
            .await
    };
    say(0).await;
    assert_eq!(budget["metadata"]["generation"], 1);
    let evict = async || {
        let eviction = json!({ "apiVersion": "policy/v1", "kind": "Eviction", "metadata": { "name": "web" } });
        stage.raw().post(&format!("{}/web/eviction", stage.core("pods")), &eviction).await
    };
    let refused = evict().await;
    let status = refused.json();
    assert_eq!((refused.code, &status["reason"]), (429, &json!("TooManyRequests")), "{}", refused.text());
    assert_eq!(status["details"]["causes"][0]["reason"], "DisruptionBudget");
    assert!(pods.get("web").await["metadata"]["deletionTimestamp"].is_null());
    // More may go now, and each that goes is counted.
    budgets.update("web", |budget| budget["spec"]["minAvailable"] = json!(0)).await;
    say(1).await;
    let evicted = evict().await;
    assert_eq!(evicted.code, 201, "{}", evicted.text());
    let left = budgets.get("web").await;
    assert_eq!(left["status"]["disruptionsAllowed"], 0);
    assert!(left["status"]["disruptedPods"]["web"].is_string(), "{left}");
    assert!(pods.find("web").await.is_none_or(|pod| pod["metadata"]["deletionTimestamp"].is_string()));
}
