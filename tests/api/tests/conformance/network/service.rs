//! Services as objects. The traffic is for nodes.

use kube::api::ListParams;
use serde_json::{Value, json};
use tests_api::behaviours;
use tests_api::stage::{Endpoints, Kind, Stage};

behaviours!(
    the_status_is_written_apart,
    services_are_deleted_together,
    a_service_is_found_in_all_namespaces,
    an_external_name_becomes_an_address,
    an_external_name_becomes_a_port_of_nodes,
    an_address_becomes_an_external_name,
    a_port_of_nodes_becomes_an_external_name,
);

async fn the_status_is_written_apart(stage: Stage) {
    let status = json!({ "status": { "loadBalancer": { "ingress": [{ "ip": "203.0.113.1" }] }, "conditions": [
        { "type": "StatusUpdate", "status": "True", "reason": "Testing", "message": "one", "lastTransitionTime": "2026-01-02T03:04:05Z" },
    ] } });
    let services = Endpoints::of(&stage, "Service").await.body(&json!({ "spec": { "type": "LoadBalancer" } }));
    services.part("status", status).have_a_status().await;
}

async fn services_are_deleted_together(stage: Stage) {
    Endpoints::of(&stage, "Service").await.are_listed_and_deleted_together().await;
}

async fn a_service_is_found_in_all_namespaces(stage: Stage) {
    let services = stage.sampled("Service").await.everywhere.list(&ListParams::default()).await.unwrap();
    let found = services.items.iter().any(|service| {
        service.metadata.name.as_deref() == Some("kubernetes")
            && service.metadata.namespace.as_deref() == Some("default")
    });
    assert!(found);
}

const EXTERNAL: &str = "elsewhere.example.com";

/// A service of this type.
async fn service(stage: &Stage, specification: Value) -> (Kind, Value) {
    let services = stage.sampled("Service").await;
    let made = services.create(&services.object("web", &json!({ "spec": specification }))).await;
    (services, made)
}

async fn becomes(services: &Kind, kind: &str) -> Value {
    services
        .update("web", |service| {
            let specification = service["spec"].as_object_mut().unwrap();
            specification.insert("type".to_owned(), json!(kind));
            if kind == "ExternalName" {
                specification.insert("externalName".to_owned(), json!(EXTERNAL));
                specification.remove("clusterIP");
                specification.remove("clusterIPs");
            } else {
                specification.remove("externalName");
                specification.insert("ports".to_owned(), json!([{ "port": 80, "name": "http", "protocol": "TCP" }]));
            }
        })
        .await
}

async fn an_external_name_becomes_an_address(stage: Stage) {
    let (services, made) = service(&stage, json!({ "type": "ExternalName", "externalName": EXTERNAL })).await;
    assert!(made["spec"].get("clusterIP").is_none(), "{made}");
    let changed = becomes(&services, "ClusterIP").await;
    assert!(changed["spec"]["clusterIP"].is_string(), "{changed}");
}

async fn an_external_name_becomes_a_port_of_nodes(stage: Stage) {
    let (services, _) = service(&stage, json!({ "type": "ExternalName", "externalName": EXTERNAL })).await;
    let changed = becomes(&services, "NodePort").await;
    assert!(changed["spec"]["clusterIP"].is_string(), "{changed}");
    assert!((30000..32768).contains(&changed["spec"]["ports"][0]["nodePort"].as_u64().unwrap()), "{changed}");
}

async fn an_address_becomes_an_external_name(stage: Stage) {
    let (services, made) = service(&stage, json!({ "ports": [{ "port": 80 }] })).await;
    let address = made["spec"]["clusterIP"].as_str().unwrap();
    let changed = becomes(&services, "ExternalName").await;
    assert!(changed["spec"].get("clusterIP").is_none(), "{changed}");
    // The address is free: somebody else may have it, whom nobody gave it yet.
    let other = services.object("other", &json!({ "spec": { "clusterIP": address, "ports": [{ "port": 80 }] } }));
    match services.try_create(&other).await {
        Ok(other) => assert_eq!(other["spec"]["clusterIP"], address),
        Err(problem) => {
            assert!(problem.message.contains("already allocated"), "{problem:?}");
            assert!(!held(&services, address).await.is_empty());
        }
    }
}

async fn a_port_of_nodes_becomes_an_external_name(stage: Stage) {
    let (services, made) = service(&stage, json!({ "type": "NodePort", "ports": [{ "port": 80 }] })).await;
    assert!(made["spec"]["clusterIP"].is_string() && made["spec"]["ports"][0]["nodePort"].is_u64(), "{made}");
    let changed = becomes(&services, "ExternalName").await;
    assert!(changed["spec"].get("clusterIP").is_none(), "{changed}");
    assert!(changed["spec"]["ports"][0].get("nodePort").is_none(), "{changed}");
}

/// Who has an address.
async fn held(services: &Kind, address: &str) -> Vec<String> {
    let all = services.everywhere.list(&ListParams::default()).await.unwrap();
    let holders = all.items.into_iter().filter(|service| service.data["spec"]["clusterIP"] == address);
    holders.filter_map(|service| service.metadata.name).collect()
}
