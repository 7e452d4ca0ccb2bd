//! Discovery in one document for all groups.

use kube::Discovery;
use kube::core::GroupVersionKind;
use serde_json::Value;
use tests_api::behaviours;
use tests_api::stage::Stage;

behaviours!(accept_headers_choose_the_document, a_client_library_finds_everything_in_two_requests);

const AGGREGATED: &str = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList";
/// Some that every cluster has.
const BUILT_IN: [(&str, &str, &str); 9] = [
    ("", "v1", "Namespace"),
    ("", "v1", "Pod"),
    ("admissionregistration.k8s.io", "v1", "ValidatingWebhookConfiguration"),
    ("apps", "v1", "Deployment"),
    ("apiregistration.k8s.io", "v1", "APIService"),
    ("batch", "v1", "Job"),
    ("coordination.k8s.io", "v1", "Lease"),
    ("discovery.k8s.io", "v1", "EndpointSlice"),
    ("rbac.authorization.k8s.io", "v1", "ClusterRole"),
];

fn has(document: &Value, (group, version, kind): (&str, &str, &str)) -> bool {
    let groups = document["items"].as_array().unwrap().iter();
    groups
        .filter(|one| one["metadata"]["name"].as_str().unwrap_or_default() == group)
        .flat_map(|one| one["versions"].as_array().unwrap())
        .filter(|one| one["version"] == version)
        .flat_map(|one| one["resources"].as_array().unwrap())
        .any(|one| one["responseKind"]["kind"] == kind && one["verbs"].as_array().is_some_and(|verbs| verbs.len() > 1))
}

async fn accept_headers_choose_the_document(stage: Stage) {
    let raw = stage.raw();
    for accept in [AGGREGATED.to_owned(), format!("{AGGREGATED},application/json")] {
        for (path, core) in [("/api", true), ("/apis", false)] {
            let answer = raw.get_as(path, &accept).await;
            assert_eq!((answer.code, answer.header("content-type")), (200, AGGREGATED));
            let document = answer.json();
            assert_eq!(document["kind"], "APIGroupDiscoveryList");
            for one in BUILT_IN.into_iter().filter(|one| one.0.is_empty() == core) {
                assert!(has(&document, one), "{one:?}");
            }
        }
    }
    for (path, kind) in [("/api", "APIVersions"), ("/apis", "APIGroupList")] {
        assert_eq!(raw.get_as(path, "application/json").await.json()["kind"], kind);
    }
}

async fn a_client_library_finds_everything_in_two_requests(stage: Stage) {
    let discovery = Discovery::new(stage.client.clone()).run_aggregated().await.unwrap();
    for (group, version, kind) in BUILT_IN {
        let wanted = GroupVersionKind::gvk(group, version, kind);
        let (resource, capabilities) = discovery.resolve_gvk(&wanted).unwrap_or_else(|| panic!("no {wanted:?}"));
        assert_eq!(resource.kind, kind);
        assert!(capabilities.supports_operation("get") && capabilities.supports_operation("watch"));
    }
    // What it found can be used.
    let stepwise = Discovery::new(stage.client.clone()).run().await.unwrap();
    for (group, version, kind) in BUILT_IN {
        let wanted = GroupVersionKind::gvk(group, version, kind);
        assert_eq!(discovery.resolve_gvk(&wanted).unwrap().0, stepwise.resolve_gvk(&wanted).unwrap().0);
    }
}
