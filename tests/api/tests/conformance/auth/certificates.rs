//! Requests for certificates.

use kube::api::{ListParams, Patch};
use serde_json::json;
use tests_api::behaviours;
use tests_api::samples::AUTHORITY;
use tests_api::stage::{Endpoints, Stage};

behaviours!(requests);

async fn requests(stage: Stage) {
    are_objects(&stage).await;
    are_approved_and_answered(&stage).await;
}

async fn are_objects(stage: &Stage) {
    let status = json!({ "status": { "conditions": [
        { "type": "StatusUpdate", "status": "True", "reason": "Testing", "message": "one" },
    ] } });
    Endpoints::of(stage, "CertificateSigningRequest").await.part("status", status).work().await;
}

async fn are_approved_and_answered(stage: &Stage) {
    let kind = stage.sampled("CertificateSigningRequest").await;
    kind.assert_capable(&[], &[("approval", &["get", "patch", "update"]), ("status", &["get", "patch", "update"])]);
    let signer = format!("example.com/{}", stage.namespace);
    let (name, other) = (stage.unique("one"), stage.unique("two"));
    for name in [&name, &other] {
        let mut request = kind.sample(name);
        request["spec"]["signerName"] = json!(signer);
        request["spec"]["expirationSeconds"] = json!(3600);
        kind.create(&request).await;
    }
    let of_signer = ListParams::default().fields(&format!("spec.signerName={signer}"));
    let made = kind.get(&name).await;
    assert_eq!(made["spec"]["expirationSeconds"], 3600);
    assert_eq!(made["spec"]["username"], "kubernetes-admin");
    assert_eq!(kind.api.list(&of_signer).await.unwrap().items.len(), 2);

    let condition = |kind: &str| json!({ "type": kind, "status": "True", "reason": "Testing" });
    let approval = kind.get_part("approval", &name).await;
    assert_eq!((&approval["kind"], &approval["metadata"]["uid"]), (&made["kind"], &made["metadata"]["uid"]));
    let patch = json!({ "metadata": { "annotations": { "a": "b" } }, "status": { "conditions": [condition("ApprovalPatch")] } });
    let patched = kind.patch_part("approval", &name, &Patch::Merge(patch)).await;
    assert_eq!(patched["status"]["conditions"][0]["type"], "ApprovalPatch");
    assert_eq!(patched["metadata"]["annotations"]["a"], "b");
    let approved = kind
        .update_part("approval", &name, |request| {
            request["status"]["conditions"].as_array_mut().unwrap().push(condition("Approved"));
        })
        .await;
    assert_eq!(approved["status"]["conditions"][1]["type"], "Approved");

    let certificate = base64(AUTHORITY);
    let patch = json!({ "metadata": { "annotations": { "c": "d" } }, "status": { "certificate": certificate } });
    let signed = kind.patch_part("status", &name, &Patch::Merge(patch)).await;
    assert_eq!(
        (&signed["status"]["certificate"], &signed["metadata"]["annotations"]["c"]),
        (&json!(certificate), &json!("d"))
    );
    let updated = kind
        .update_part("status", &name, |request| {
            request["status"]["conditions"].as_array_mut().unwrap().push(condition("StatusUpdate"));
        })
        .await;
    assert_eq!(updated["status"]["conditions"].as_array().unwrap().len(), 3, "{updated}");

    kind.remove(&name).await;
    assert_eq!(kind.api.list(&of_signer).await.unwrap().items.len(), 1);
    kind.api.delete_collection(&kube::api::DeleteParams::default(), &of_signer).await.unwrap();
    assert_eq!(kind.api.list(&of_signer).await.unwrap().items.len(), 0);
}

/// Bytes as JSON carries them.
fn base64(text: &str) -> String {
    let bytes = k8s_openapi::ByteString(text.as_bytes().to_vec());
    serde_json::to_value(bytes).unwrap().as_str().unwrap().to_owned()
}
