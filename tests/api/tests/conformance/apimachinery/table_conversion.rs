//! Tables, where there is nothing to show in one.

use serde_json::json;
use tests_api::behaviours;
use tests_api::stage::Stage;

behaviours!(a_kind_without_metadata_has_no_table);

async fn a_kind_without_metadata_has_no_table(stage: Stage) {
    let review = json!({
        "apiVersion": "authorization.k8s.io/v1", "kind": "SelfSubjectAccessReview",
        "spec": { "nonResourceAttributes": { "path": "/", "verb": "get" } },
    });
    let path = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews";
    let ask = async |accept: &str| {
        let headers = [("content-type", "application/json"), ("accept", accept)];
        stage.raw().send("POST", path, &headers, review.to_string()).await
    };
    let refused = ask("application/json;as=Table;v=v1;g=meta.k8s.io").await;
    assert_eq!((refused.code, refused.json()["reason"].clone()), (406, json!("NotAcceptable")), "{}", refused.text());
    assert_eq!(ask("application/json").await.code, 201);
}
