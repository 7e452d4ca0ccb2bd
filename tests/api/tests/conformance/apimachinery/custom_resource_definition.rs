//! Definitions of custom resources, as far as they are objects like others.

use serde_json::Value;
use tests_api::behaviours;
use tests_api::stage::Stage;

behaviours!(definitions_are_discovered);

async fn definitions_are_discovered(stage: Stage) {
    let groups = stage.raw().get("/apis").await.json();
    let group = groups["groups"].as_array().unwrap().iter().find(|one| one["name"] == "apiextensions.k8s.io");
    let has_version = |group: &Value| {
        group["versions"].as_array().unwrap().iter().any(|one| one["groupVersion"] == "apiextensions.k8s.io/v1")
    };
    assert!(group.is_some_and(has_version), "{groups}");
    let group = stage.raw().get("/apis/apiextensions.k8s.io").await.json();
    assert_eq!(group["name"], "apiextensions.k8s.io");
    assert!(has_version(&group), "{group}");
    let version = stage.raw().get("/apis/apiextensions.k8s.io/v1").await.json();
    let resources = version["resources"].as_array().unwrap();
    let found = resources.iter().any(|one| one["name"] == "customresourcedefinitions");
    assert!(found, "{version}");
}
