//! Addresses and ports of Services: given once, given back, and put right again.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tests_api::names;
use tests_api::rig::{Client, Cluster, Options, StoreKind};

const SERVICES: &str = "/api/v1/namespaces/default/services";
const ADDRESSES: &str = "/apis/networking.k8s.io/v1/ipaddresses";
const RANGES: &str = "/apis/networking.k8s.io/v1/servicecidrs";
/// Long enough for what is put right every ten seconds.
const LIMIT: Duration = Duration::from_mins(1);

tests_api::on_every_store!(
    an_address_is_an_object_as_long_as_it_is_held,
    a_dry_run_and_a_refusal_take_nothing,
    ports_are_held_by_one_service,
    a_record_that_is_missing_is_made_again,
);

fn service(name: &str, spec: &Value) -> Value {
    let mut body = json!({
        "apiVersion": "v1", "kind": "Service", "metadata": { "name": name },
        "spec": { "selector": { "app": "web" }, "ports": [{ "port": 80 }] },
    });
    for (member, value) in spec.as_object().into_iter().flatten() {
        body["spec"][member] = value.clone();
    }
    body
}

/// The address of each Service as the `IPAddress` objects have it.
async fn recorded(client: &Client) -> BTreeMap<String, String> {
    let list = client.get(ADDRESSES).await.json();
    let items = list["items"].as_array().unwrap().iter();
    items
        .map(|one| {
            let parent = &one["spec"]["parentRef"];
            let holder = format!("{}/{}", parent["namespace"].as_str().unwrap(), parent["name"].as_str().unwrap());
            (one["metadata"]["name"].as_str().unwrap().to_owned(), holder)
        })
        .collect()
}

/// The same as the Services have it.
async fn held(client: &Client) -> BTreeMap<String, String> {
    let list = client.get("/api/v1/services").await.json();
    let items = list["items"].as_array().unwrap().iter();
    items
        .flat_map(|one| {
            let holder = format!(
                "{}/{}",
                one["metadata"]["namespace"].as_str().unwrap(),
                one["metadata"]["name"].as_str().unwrap()
            );
            let addresses = one["spec"]["clusterIPs"].as_array().cloned().unwrap_or_default();
            addresses.into_iter().map(move |address| (address.as_str().unwrap().to_owned(), holder.clone()))
        })
        .collect()
}

/// Waits until the objects say what the Services say.
async fn agree(client: &Client) {
    let start = Instant::now();
    loop {
        let (recorded, held) = (recorded(client).await, held(client).await);
        if recorded == held {
            return;
        }
        assert!(start.elapsed() < LIMIT, "recorded {recorded:?}, held {held:?}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

async fn an_address_is_an_object_as_long_as_it_is_held(cluster: Cluster) {
    let admin = cluster.admin();
    let range = admin.get(&format!("{RANGES}/kubernetes")).await.json();
    assert_eq!(range["spec"]["cidrs"], json!(["10.96.0.0/12"]));
    assert_eq!(
        (&range["status"]["conditions"][0]["type"], &range["status"]["conditions"][0]["status"]),
        (&json!("Ready"), &json!("True"))
    );
    let made = admin.post(SERVICES, &service("web", &json!({ "clusterIP": "10.96.0.99" }))).await;
    assert_eq!(made.code, 201, "{}", made.text());
    let address = admin.get(&format!("{ADDRESSES}/10.96.0.99")).await.json();
    assert_eq!(
        address["spec"],
        json!({ "parentRef": { "resource": "services", "namespace": "default", "name": "web" } })
    );
    assert_eq!(
        address["metadata"]["labels"],
        json!({ "ipaddress.kubernetes.io/ip-family": "IPv4", "ipaddress.kubernetes.io/managed-by": "ipallocator.k8s.io" })
    );
    let chosen = admin.get(&format!("{ADDRESSES}?fieldSelector=spec.parentRef.name%3Dweb")).await.json();
    assert_eq!(names(&chosen), ["10.96.0.99"]);
    let again = admin.post(SERVICES, &service("other", &json!({ "clusterIP": "10.96.0.99" }))).await;
    assert_eq!(again.code, 422);
    assert_eq!(
        again.json()["message"],
        "Service \"other\" is invalid: spec.clusterIPs: Invalid value: [\"10.96.0.99\"]: failed to allocate IP 10.96.0.99: provided IP is already allocated"
    );
    let outside = admin.post(SERVICES, &service("other", &json!({ "clusterIP": "192.0.2.1" }))).await;
    assert!(
        outside
            .text()
            .contains("failed to allocate IP 192.0.2.1: the provided network does not match the current range"),
        "{}",
        outside.text()
    );
    // A Service that becomes a mere name gives its address back, and gets another when it is one again.
    let mut external = made.json();
    external["spec"] = json!({ "type": "ExternalName", "externalName": "example.com" });
    let changed = admin.put(&format!("{SERVICES}/web"), &external).await;
    assert_eq!((changed.code, changed.json()["spec"].get("clusterIP").cloned()), (200, None), "{}", changed.text());
    assert_eq!(admin.get(&format!("{ADDRESSES}/10.96.0.99")).await.code, 404);
    let mut back = changed.json();
    back["spec"] = service("web", &json!({}))["spec"].clone();
    let back = admin.put(&format!("{SERVICES}/web"), &back).await.json();
    assert_eq!(
        recorded(&admin).await.get(back["spec"]["clusterIP"].as_str().unwrap()).map(String::as_str),
        Some("default/web")
    );
    assert_eq!(admin.delete(&format!("{SERVICES}/web")).await.code, 200);
    assert_eq!(recorded(&admin).await, held(&admin).await);
    // Who has just been told that it is gone may have it.
    let freed = admin.post(SERVICES, &service("next", &json!({ "clusterIP": back["spec"]["clusterIP"] }))).await;
    assert_eq!(freed.code, 201, "{}", freed.text());
}

async fn a_dry_run_and_a_refusal_take_nothing(cluster: Cluster) {
    let admin = cluster.admin();
    let before = recorded(&admin).await;
    let dry = admin.post(&format!("{SERVICES}?dryRun=All"), &service("web", &json!({ "type": "NodePort" }))).await;
    assert_eq!(dry.code, 201, "{}", dry.text());
    assert!(dry.json()["spec"]["clusterIP"].is_string());
    let wrong = admin
        .post(SERVICES, &service("web", &json!({ "sessionAffinity": "Sometimes", "clusterIP": "10.96.0.88" })))
        .await;
    assert_eq!(wrong.code, 422, "{}", wrong.text());
    assert_eq!(recorded(&admin).await, before);
    let made = admin.post(SERVICES, &service("web", &json!({ "clusterIP": "10.96.0.88" }))).await;
    assert_eq!(made.code, 201, "{}", made.text());
    let twice = admin.post(SERVICES, &service("web", &json!({}))).await;
    assert_eq!(twice.code, 409);
    assert_eq!(recorded(&admin).await.len(), before.len() + 1);
}

async fn ports_are_held_by_one_service(cluster: Cluster) {
    let admin = cluster.admin();
    let ports = |protocol: &str| json!({ "type": "NodePort", "ports": [{ "port": 80, "protocol": protocol, "nodePort": 30080 }] });
    let made = admin.post(SERVICES, &service("web", &ports("TCP"))).await;
    assert_eq!(made.code, 201, "{}", made.text());
    for protocol in ["TCP", "UDP"] {
        let taken = admin.post(SERVICES, &service("other", &ports(protocol))).await;
        assert_eq!(taken.code, 422, "{}", taken.text());
        assert!(
            taken.text().contains("spec.ports[0].nodePort: Invalid value: 30080: provided port is already allocated"),
            "{}",
            taken.text()
        );
    }
    let both = json!({ "type": "NodePort", "ports": [
        { "name": "a", "port": 53, "protocol": "TCP" }, { "name": "b", "port": 53, "protocol": "UDP" },
    ] });
    let both = admin.post(SERVICES, &service("dns", &both)).await.json();
    assert_eq!(both["spec"]["ports"][0]["nodePort"], both["spec"]["ports"][1]["nodePort"]);
    let balanced = json!({ "type": "LoadBalancer", "externalTrafficPolicy": "Local" });
    let health = admin.post(SERVICES, &service("lb", &balanced)).await.json()["spec"]["healthCheckNodePort"].clone();
    let taken = json!({ "type": "NodePort", "ports": [{ "port": 80, "nodePort": health }] });
    assert_eq!(admin.post(SERVICES, &service("other", &taken)).await.code, 422);
    let plain = json!({ "spec": { "type": "ClusterIP" } });
    let changed = admin.patch(&format!("{SERVICES}/lb"), "application/merge-patch+json", &plain).await;
    assert_eq!(changed.code, 200, "{}", changed.text());
    assert_eq!(admin.post(SERVICES, &service("other", &taken)).await.code, 201);
    assert_eq!(admin.delete(&format!("{SERVICES}/web")).await.code, 200);
    assert_eq!(admin.post(SERVICES, &service("web", &ports("UDP"))).await.code, 201);
}

async fn a_record_that_is_missing_is_made_again(cluster: Cluster) {
    let admin = cluster.admin();
    let made = admin.post(SERVICES, &service("web", &json!({ "clusterIP": "10.96.0.66" }))).await;
    assert_eq!(made.code, 201, "{}", made.text());
    let one = format!("{ADDRESSES}/10.96.0.66");
    let first = admin.get(&one).await.json();
    assert_eq!(admin.delete(&one).await.code, 200);
    agree(&admin).await;
    assert_ne!(admin.get(&one).await.json()["metadata"]["uid"], first["metadata"]["uid"]);
}

/// Creates Services until the name runs out; the answers.
async fn fill(client: Client, prefix: &'static str, count: usize) -> Vec<Value> {
    let mut answers = Vec::new();
    for number in 0..count {
        let body = service(&format!("{prefix}-{number}"), &json!({ "type": "NodePort" })).to_string();
        let answer = client.try_send("POST", SERVICES, &[("content-type", "application/json")], &body).await;
        answers.extend(answer.ok().map(|answer| answer.json()));
    }
    answers
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_servers_never_give_the_same_and_use_all_there_is() {
    let flags =
        vec!["--service-cluster-ip-range=10.96.0.0/27".to_owned(), "--service-node-port-range=30000-30039".to_owned()];
    let cluster = Cluster::start(Options { store: StoreKind::Orlop, flags }).await;
    let other = cluster.another_server("other").await;
    let (one, two) = tokio::join!(
        tokio::spawn(fill(cluster.admin(), "one", 20)),
        tokio::spawn(fill(cluster.another_client(&other), "two", 20)),
    );
    let answers: Vec<Value> = one.unwrap().into_iter().chain(two.unwrap()).collect();
    assert_eq!(answers.len(), 40);
    let made: Vec<&Value> = answers.iter().filter(|answer| answer["kind"] == "Service").collect();
    // Thirty addresses, one of which the server's own Service has.
    assert_eq!(made.len(), 29);
    let addresses: BTreeSet<&str> = made.iter().map(|one| one["spec"]["clusterIP"].as_str().unwrap()).collect();
    let ports: BTreeSet<u64> = made.iter().map(|one| one["spec"]["ports"][0]["nodePort"].as_u64().unwrap()).collect();
    assert_eq!((addresses.len(), ports.len()), (29, 29));
    for refused in answers.iter().filter(|answer| answer["kind"] == "Status") {
        assert_eq!(refused["message"], "Internal error occurred: failed to allocate a serviceIP: range is full");
    }
    assert_eq!(recorded(&cluster.admin()).await, held(&other.client).await);

    // More room is for both.
    let more = json!({ "apiVersion": "networking.k8s.io/v1", "kind": "ServiceCIDR", "metadata": { "name": "more" }, "spec": { "cidrs": ["10.97.0.0/28"] } });
    assert_eq!(cluster.admin().post(RANGES, &more).await.code, 201);
    let start = Instant::now();
    for (client, name) in [(cluster.admin(), "three"), (cluster.another_client(&other), "four")] {
        loop {
            let answer = client.post(SERVICES, &service(name, &json!({}))).await;
            if answer.code == 201 {
                assert!(answer.json()["spec"]["clusterIP"].as_str().unwrap().starts_with("10.97.0."));
                break;
            }
            assert!(start.elapsed() < LIMIT, "{}", answer.text());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_server_leaves_no_address_behind() {
    let mut cluster = Cluster::start(StoreKind::Orlop).await;
    for round in ["a", "b", "c"] {
        let writers: Vec<_> = (0..3).map(|_| tokio::spawn(fill(cluster.admin(), round, 60))).collect();
        tokio::time::sleep(Duration::from_millis(150)).await;
        cluster.restart_server().await;
        for writer in writers {
            writer.abort();
        }
    }
    let admin = cluster.admin();
    // No waiting: what is not written whole is not written at all.
    assert_eq!(recorded(&admin).await, held(&admin).await);
    let services = names(&admin.get(SERVICES).await.json());
    assert!(services.len() > 3, "{services:?}");
    for name in services.iter().filter(|name| *name != "kubernetes") {
        assert_eq!(admin.delete(&format!("{SERVICES}/{name}")).await.code, 200);
    }
    assert_eq!(recorded(&admin).await.len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cluster_of_both_families_gives_both() {
    let flags = vec!["--service-cluster-ip-range=10.96.0.0/16,fd00:96::/112".to_owned()];
    let cluster = Cluster::start(Options { store: StoreKind::Orlop, flags }).await;
    let admin = cluster.admin();
    let range = admin.get(&format!("{RANGES}/kubernetes")).await.json();
    assert_eq!(range["spec"]["cidrs"], json!(["10.96.0.0/16", "fd00:96::/112"]));
    let made = admin.post(SERVICES, &service("web", &json!({ "ipFamilyPolicy": "PreferDualStack" }))).await;
    assert_eq!(made.code, 201, "{}", made.text());
    let made = made.json();
    assert_eq!(made["spec"]["ipFamilies"], json!(["IPv4", "IPv6"]));
    let addresses = made["spec"]["clusterIPs"].as_array().unwrap();
    assert!(addresses[1].as_str().unwrap().starts_with("fd00:96::"), "{addresses:?}");
    assert_eq!(recorded(&admin).await, held(&admin).await);
    let single = json!({ "spec": { "ipFamilyPolicy": "SingleStack", "ipFamilies": null, "clusterIPs": null } });
    let single = admin.patch(&format!("{SERVICES}/web"), "application/merge-patch+json", &single).await;
    assert_eq!(single.code, 200, "{}", single.text());
    assert_eq!(single.json()["spec"]["clusterIPs"], json!([addresses[0]]));
    assert_eq!(recorded(&admin).await, held(&admin).await);
}
