//! Service accounts as objects, and what pods get of them.

use serde_json::json;
use tests_api::behaviours;
use tests_api::stage::{Endpoints, Stage};

behaviours!(accounts_have_a_life, accounts_are_updated, a_token_is_reviewed, pods_decline_their_token);

async fn accounts_have_a_life(stage: Stage) {
    let accounts = Endpoints::of(&stage, "ServiceAccount").await;
    accounts.change(json!({ "automountServiceAccountToken": false })).have_a_life().await;
}

async fn accounts_are_updated(stage: Stage) {
    let accounts = stage.sampled("ServiceAccount").await;
    accounts.create(&accounts.sample("one")).await;
    let updated = accounts.update("one", |account| account["automountServiceAccountToken"] = json!(true)).await;
    assert_eq!(updated["automountServiceAccountToken"], true);
    assert_eq!(accounts.get("one").await["automountServiceAccountToken"], true);
}

async fn a_token_is_reviewed(stage: Stage) {
    let accounts = stage.sampled("ServiceAccount").await;
    accounts.create(&accounts.sample("one")).await;
    let request = json!({ "apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {} });
    let path = format!("{}/one/token", stage.core("serviceaccounts"));
    let made = stage.raw().post(&path, &request).await;
    assert_eq!(made.code, 201, "{}", made.text());
    let token = made.json()["status"]["token"].clone();
    let review = json!({ "apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview", "spec": { "token": token } });
    let reviewed = stage.raw().post("/apis/authentication.k8s.io/v1/tokenreviews", &review).await;
    assert_eq!(reviewed.code, 201, "{}", reviewed.text());
    let status = reviewed.json()["status"].clone();
    assert_eq!((&status["authenticated"], &status["error"]), (&json!(true), &json!(null)));
    let name = format!("system:serviceaccount:{}:one", stage.namespace);
    assert_eq!(status["user"]["username"], json!(name));
}

async fn pods_decline_their_token(stage: Stage) {
    let (raw, pods) = (stage.raw(), stage.core("pods"));
    for (name, mounts) in [("mount", true), ("nomount", false)] {
        let account = json!({
            "apiVersion": "v1", "kind": "ServiceAccount", "metadata": { "name": name },
            "automountServiceAccountToken": mounts,
        });
        assert_eq!(raw.post(&stage.core("serviceaccounts"), &account).await.code, 201);
    }
    let cases = [
        ("default", None, true),
        ("default", Some(true), true),
        ("default", Some(false), false),
        ("mount", None, true),
        ("mount", Some(true), true),
        ("mount", Some(false), false),
        ("nomount", None, false),
        ("nomount", Some(true), true),
        ("nomount", Some(false), false),
    ];
    for (index, (account, said, mounted)) in cases.into_iter().enumerate() {
        let mut pod = tests_api::pod(&format!("pod-{index}"));
        pod["spec"]["serviceAccountName"] = account.into();
        if let Some(said) = said {
            pod["spec"]["automountServiceAccountToken"] = said.into();
        }
        let made = raw.post(&pods, &pod).await;
        assert_eq!(made.code, 201, "{}", made.text());
        let mounts = made.json()["spec"]["containers"][0]["volumeMounts"].as_array().cloned().unwrap_or_default();
        let at = "/var/run/secrets/kubernetes.io/serviceaccount";
        assert_eq!(mounts.iter().any(|mount| mount["mountPath"] == at), mounted, "{account} {said:?}: {mounts:?}");
    }
}
