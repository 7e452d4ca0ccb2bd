//! How the server is found in its own cluster.

use serde_json::json;
use tests_api::behaviours;
use tests_api::stage::{Stage, eventually, holds};

behaviours!(the_servers_service_is_there, its_endpoints_are_the_servers);

async fn the_servers_service_is_there(stage: Stage) {
    let service = stage.raw().get("/api/v1/namespaces/default/services/kubernetes").await.json();
    assert!(service["spec"]["clusterIP"].is_string(), "{service}");
    assert!(
        holds(&service["spec"]["ports"], &json!([{ "name": "https", "port": 443, "protocol": "TCP" }])),
        "{service}"
    );
}

async fn its_endpoints_are_the_servers(stage: Stage) {
    let endpoints = eventually("the endpoints of the server", async || {
        let answer = stage.raw().get("/api/v1/namespaces/default/endpoints/kubernetes").await;
        (answer.code == 200).then(|| answer.json())
    })
    .await;
    let subset = &endpoints["subsets"][0];
    let (address, port) = (subset["addresses"][0]["ip"].clone(), subset["ports"][0]["port"].clone());
    assert_eq!(port, stage.cluster.port());
    let slices = "/apis/discovery.k8s.io/v1/namespaces/default/endpointslices?labelSelector=kubernetes.io%2Fservice-name%3Dkubernetes";
    let slices = stage.raw().get(slices).await.json();
    let wanted = json!([{ "endpoints": [{ "addresses": [address], "conditions": { "ready": true } }], "ports": [{ "port": port }] }]);
    assert!(holds(&slices["items"], &wanted), "{slices}");
}
