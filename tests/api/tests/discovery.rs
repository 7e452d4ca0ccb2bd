//! Discovery, schemas, health, version and metrics.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tests_api::rig::Cluster;
use tests_api::{CONFIG_MAPS, config_map, on_every_store};

on_every_store!(resources_are_discovered, schemas_are_served, health_says_what_is_wrong, metrics_count);

async fn resources_are_discovered(cluster: Cluster) {
    const AGGREGATED: &str = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList";
    let admin = cluster.admin();
    assert_eq!(admin.get("/api").await.json()["versions"], json!(["v1"]));
    let groups = admin.get("/apis").await.json();
    assert_eq!(groups["kind"], "APIGroupList");
    assert!(
        groups["groups"].as_array().unwrap().iter().any(|group| group["name"] == "coordination.k8s.io"),
        "{groups}"
    );
    let resources = admin.get("/api/v1").await.json();
    let pods = resources["resources"].as_array().unwrap().iter().find(|one| one["name"] == "pods").cloned().unwrap();
    assert_eq!((pods["kind"].clone(), pods["shortNames"].clone()), (json!("Pod"), json!(["po"])));
    assert_eq!(pods["namespaced"], true);
    let one = admin.get_as("/apis", &format!("{AGGREGATED},application/json")).await;
    assert_eq!(one.header("content-type"), AGGREGATED);
    assert_eq!(one.json()["kind"], "APIGroupDiscoveryList");
    let tag = one.header("etag").to_owned();
    assert!(tag.len() > 2, "{tag}");
    let again = admin.send("GET", "/apis", &[("accept", AGGREGATED), ("if-none-match", &tag)], "").await;
    assert_eq!((again.code, again.body.len()), (304, 0));
    let version = admin.get("/version").await.json();
    assert_eq!((version["major"].clone(), version["minor"].clone()), (json!("1"), json!("37")));
    let index = admin.get("/").await.json();
    assert!(index["paths"].as_array().unwrap().contains(&json!("/apis/coordination.k8s.io/v1")));
}

async fn schemas_are_served(cluster: Cluster) {
    let admin = cluster.admin();
    let index = admin.get("/openapi/v3").await.json();
    let url = index["paths"]["api/v1"]["serverRelativeURL"].as_str().unwrap().to_owned();
    assert!(url.starts_with("/openapi/v3/api/v1?hash="), "{url}");
    let document = admin.get(&url).await;
    assert_eq!(document.code, 200);
    assert!(document.header("cache-control").contains("immutable"));
    let schemas: Value = document.json()["components"]["schemas"].clone();
    assert!(schemas.as_object().unwrap().keys().any(|name| name.ends_with("v1.Pod")));
    assert_eq!(admin.get("/openapi/v3/api/v1?hash=0").await.code, 301);
    assert_eq!(admin.get("/openapi/v2").await.json()["swagger"], "2.0");
}

async fn health_says_what_is_wrong(mut cluster: Cluster) {
    let admin = cluster.admin();
    for path in ["/livez", "/readyz", "/healthz", "/readyz/etcd", "/livez/ping"] {
        let answer = admin.get(path).await;
        assert_eq!((answer.code, answer.text().as_str()), (200, "ok"), "{path}");
    }
    let verbose = admin.get("/readyz?verbose").await.text();
    assert!(verbose.contains("[+]etcd ok\n") && verbose.ends_with("readyz check passed\n"), "{verbose}");
    assert_eq!(admin.get("/readyz/nonsense").await.code, 404);
    cluster.store.process().kill();
    let failed = admin.get("/readyz").await;
    assert_eq!(failed.code, 500);
    assert!(failed.text().contains("[-]etcd failed: reason withheld\n"), "{}", failed.text());
    assert_eq!(admin.get("/readyz?exclude=etcd&exclude=etcd-readiness").await.code, 200);
    assert_eq!(admin.get("/livez").await.code, 200);
    // What is cached is still served.
    assert_eq!(admin.get("/api/v1/namespaces?resourceVersion=0").await.code, 200);
    cluster.store.restart();
    cluster.ready().await;
}

async fn metrics_count(cluster: Cluster) {
    let admin = cluster.admin();
    admin.post(CONFIG_MAPS, &config_map("a", "1")).await;
    let lines = [
        "apiserver_request_total{code=\"201\",component=\"apiserver\",dry_run=\"\",group=\"\",resource=\"configmaps\",scope=\"namespace\",subresource=\"\",verb=\"POST\",version=\"v1\"} 1",
        "apiserver_resource_objects{group=\"\",resource=\"namespaces\"} 4",
    ];
    // Objects are counted in the cache, which the store's watch fills after the write was answered.
    let started = Instant::now();
    let page = loop {
        let page = admin.get("/metrics").await.text();
        let Some(missing) = lines.iter().find(|line| !page.contains(**line)) else { break page };
        assert!(started.elapsed() < Duration::from_secs(20), "{missing} is missing in {page}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    };
    for name in
        ["etcd_request_duration_seconds_count", "process_resident_memory_bytes", "apiserver_current_inflight_requests"]
    {
        assert!(page.contains(name), "{name} is missing");
    }
}
