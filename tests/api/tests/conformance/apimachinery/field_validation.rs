//! What the server says of fields that are not there.

use tests_api::behaviours;
use tests_api::stage::Stage;

behaviours!(unknown_and_doubled_fields_are_refused, unknown_metadata_is_refused);

/// Posts a deployment with more text in its metadata and in its specification, and returns the code and the message.
async fn post(stage: &Stage, metadata: &str, specification: &str) -> (u16, String) {
    let body = format!(
        r#"{{ "apiVersion": "apps/v1", "kind": "Deployment",
            "metadata": {{ "name": "web", {metadata} "labels": {{ "app": "web" }} }},
            "spec": {{ {specification} "selector": {{ "matchLabels": {{ "app": "web" }} }}, "template": {{
                "metadata": {{ "labels": {{ "app": "web" }} }},
                "spec": {{ "containers": [{{ "name": "main", "image": "example.test/main:1" }}] }} }} }} }}"#
    );
    let path =
        format!("/apis/apps/v1/namespaces/{}/deployments?fieldManager=tests&fieldValidation=Strict", stage.namespace);
    let answer = stage.raw().send("POST", &path, &[("content-type", "application/json")], &body).await;
    (answer.code, answer.json()["message"].as_str().unwrap_or_default().to_owned())
}

async fn unknown_and_doubled_fields_are_refused(stage: Stage) {
    let (code, message) = post(&stage, "", r#""unknownField": "a", "replicas": 2, "replicas": 3,"#).await;
    let wanted = r#"strict decoding error: unknown field "spec.unknownField", duplicate field "spec.replicas""#;
    assert!(code == 400 && message.contains(wanted), "{code} {message}");
}

async fn unknown_metadata_is_refused(stage: Stage) {
    let (code, message) = post(&stage, r#""unknownMeta": "a","#, "").await;
    let wanted = r#"strict decoding error: unknown field "metadata.unknownMeta""#;
    assert!(code == 400 && message.contains(wanted), "{code} {message}");
    assert_eq!(post(&stage, "", "").await, (201, String::new()));
}
