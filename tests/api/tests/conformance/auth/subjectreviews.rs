//! Questions about what others and oneself may do.

use serde_json::{Value, json};
use tests_api::behaviours;
use tests_api::stage::Stage;

behaviours!(questions_are_answered);

async fn questions_are_answered(stage: Stage) {
    let admin = stage.raw();
    let namespace = stage.namespace.clone();
    let account = json!({ "apiVersion": "v1", "kind": "ServiceAccount", "metadata": { "name": "e2e" } });
    assert_eq!(admin.post(&stage.core("serviceaccounts"), &account).await.code, 201);
    let user = format!("system:serviceaccount:{namespace}:e2e");
    let groups =
        json!(["system:authenticated", "system:serviceaccounts", format!("system:serviceaccounts:{namespace}")]);
    let asked = json!({ "verb": "list", "resource": "configmaps", "version": "v1", "namespace": namespace });
    let review =
        |kind: &str, spec: Value| json!({ "apiVersion": "authorization.k8s.io/v1", "kind": kind, "spec": spec });
    let oneself = review("SelfSubjectAccessReview", json!({ "resourceAttributes": asked }));
    let path = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews";
    // The administrator, and the account the administrator acts as.
    assert_eq!(admin.post(path, &oneself).await.json()["status"]["allowed"], true);
    let headers = [("content-type", "application/json"), ("impersonate-user", user.as_str())];
    let answer = admin.send("POST", path, &headers, oneself.to_string()).await;
    assert_eq!((answer.code, &answer.json()["status"]["allowed"]), (201, &json!(false)), "{}", answer.text());
    let listed = admin.send("GET", &stage.core("configmaps"), &headers[1..], "").await;
    assert_eq!(listed.code, 403, "{}", listed.text());
    let spec = json!({ "resourceAttributes": asked, "user": user, "groups": groups });
    let other = review("SubjectAccessReview", spec.clone());
    let answer = admin.post("/apis/authorization.k8s.io/v1/subjectaccessreviews", &other).await;
    assert_eq!((answer.code, &answer.json()["status"]["allowed"]), (201, &json!(false)), "{}", answer.text());
    let mut local = review("LocalSubjectAccessReview", spec);
    local["metadata"] = json!({ "namespace": namespace });
    let path = format!("/apis/authorization.k8s.io/v1/namespaces/{namespace}/localsubjectaccessreviews");
    let answer = admin.post(&path, &local).await;
    assert_eq!((answer.code, &answer.json()["status"]["allowed"]), (201, &json!(false)), "{}", answer.text());
}
