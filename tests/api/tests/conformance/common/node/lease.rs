//! Leases as objects.

use serde_json::{Value, json};
use tests_api::behaviours;
use tests_api::stage::Stage;

behaviours!(leases);

async fn leases(stage: Stage) {
    let kind = stage.sampled("Lease").await;
    let specification = |holder: &str, time: &str, transitions: u32| -> Value {
        json!({
            "holderIdentity": holder, "leaseDurationSeconds": 30, "leaseTransitions": transitions,
            "acquireTime": time, "renewTime": time,
        })
    };
    let first = specification("holder", "2026-01-02T03:04:05.000000Z", 0);
    kind.create(&kind.object("one", &json!({ "spec": first }))).await;
    assert_eq!(kind.get("one").await["spec"], first);
    let second = specification("holder2", "2026-01-02T03:04:15.000000Z", 1);
    kind.update("one", |lease| lease["spec"] = second.clone()).await;
    assert_eq!(kind.get("one").await["spec"], second);
    let third = specification("holder3", "2026-01-02T03:04:25.000000Z", 2);
    kind.patch("one", &kube::api::Patch::Strategic(json!({ "spec": third }))).await;
    assert_eq!(kind.get("one").await["spec"], third);
    let mut other = kind.object("two", &json!({ "spec": first }));
    other["metadata"]["labels"]["deletecollection"] = json!("true");
    kind.create(&other).await;
    assert_eq!(kind.list().await.len(), 2);
    kind.delete_all("deletecollection=true").await;
    let left = kind.list().await;
    assert_eq!((left.len(), &left[0]["metadata"]["name"]), (1, &json!("one")));
    kind.remove("one").await;
}
