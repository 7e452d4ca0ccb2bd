//! Quotas over the wire: what is used is exact, however many ask at once.

use serde_json::{Value, json};
use tests_api::rig::{Client, Cluster};
use tests_api::{CONFIG_MAPS, config_map, on_every_store, pod};

const QUOTAS: &str = "/api/v1/namespaces/default/resourcequotas";
const PODS: &str = "/api/v1/namespaces/default/pods";

on_every_store!(
    a_hundred_at_once_never_exceed,
    what_a_pod_takes_is_charged,
    nobody_has_measured_yet,
    two_servers_agree
);

/// A quota as its controller leaves it: measured, and nothing used.
async fn quota(admin: &Client, name: &str, spec: &Value) {
    let quota = json!({ "apiVersion": "v1", "kind": "ResourceQuota", "metadata": { "name": name }, "spec": spec });
    let made = admin.post(QUOTAS, &quota).await;
    assert_eq!(made.code, 201, "{}", made.text());
    let mut quota = made.json();
    let hard = spec["hard"].clone();
    let none: Value = hard
        .as_object()
        .unwrap()
        .keys()
        .map(|name| (name.clone(), json!("0")))
        .collect::<serde_json::Map<_, _>>()
        .into();
    quota["status"] = json!({ "hard": hard, "used": none });
    let measured = admin.put(&format!("{QUOTAS}/{name}/status"), &quota).await;
    assert_eq!(measured.code, 200, "{}", measured.text());
}

async fn used(admin: &Client, name: &str) -> Value {
    admin.get(&format!("{QUOTAS}/{name}")).await.json()["status"]["used"].clone()
}

async fn race(clients: &[Client], count: usize) -> (usize, Vec<String>) {
    let all = (0..count).map(|index| {
        let client = clients[index % clients.len()].clone();
        async move { client.post(CONFIG_MAPS, &config_map(&format!("m{index}"), "v")).await }
    });
    let answers = futures::future::join_all(all).await;
    let made = answers.iter().filter(|answer| answer.code == 201).count();
    let refused = answers.iter().filter(|answer| answer.code != 201);
    (
        made,
        refused
            .map(|answer| format!("{} {}", answer.code, answer.json()["message"].as_str().unwrap_or_default()))
            .collect(),
    )
}

async fn a_hundred_at_once_never_exceed(cluster: Cluster) {
    let admin = cluster.admin();
    quota(&admin, "few", &json!({ "hard": { "count/configmaps": "10", "configmaps": "20" } })).await;
    quota(&admin, "fewer", &json!({ "hard": { "configmaps": "7" } })).await;
    let (made, refused) = race(std::slice::from_ref(&admin), 100).await;
    assert_eq!((made, refused.len()), (7, 93), "{refused:?}");
    assert!(
        refused.iter().all(|why| why.starts_with("403 ")
            && why.ends_with("is forbidden: exceeded quota: fewer, requested: configmaps=1, used: configmaps=7, limited: configmaps=7")),
        "{refused:?}"
    );
    assert_eq!(used(&admin, "few").await, json!({ "count/configmaps": "7", "configmaps": "7" }));
    assert_eq!(used(&admin, "fewer").await, json!({ "configmaps": "7" }));
    let dry = admin.post(&format!("{CONFIG_MAPS}?dryRun=All"), &config_map("dry", "v")).await;
    assert_eq!(dry.code, 403, "a dry run is refused, too: {}", dry.text());
}

/// Each server sees what the other used by the revision of the quota.
async fn two_servers_agree(cluster: Cluster) {
    let admin = cluster.admin();
    quota(&admin, "few", &json!({ "hard": { "configmaps": "15" } })).await;
    let other = cluster.another_server("other").await;
    let (made, refused) = race(&[admin.clone(), other.client.clone()], 60).await;
    assert_eq!((made, refused.len()), (15, 45), "{refused:?}");
    assert_eq!(used(&admin, "few").await, json!({ "configmaps": "15" }));
}

async fn what_a_pod_takes_is_charged(cluster: Cluster) {
    let admin = cluster.admin();
    quota(&admin, "room", &json!({ "hard": { "requests.cpu": "1", "pods": "5" } })).await;
    let asking = |name: &str, cpu: &str| {
        let mut pod = pod(name);
        pod["spec"]["containers"][0]["resources"] = json!({ "requests": { "cpu": cpu } });
        pod
    };
    assert_eq!(admin.post(PODS, &asking("a", "600m")).await.code, 201);
    assert_eq!(used(&admin, "room").await, json!({ "pods": "1", "requests.cpu": "600m" }));
    let refused = admin.post(PODS, &asking("b", "500m")).await;
    assert_eq!(
        (refused.code, refused.json()["message"].as_str().unwrap_or_default()),
        (
            403,
            "pods \"b\" is forbidden: exceeded quota: room, requested: requests.cpu=500m, used: requests.cpu=600m, limited: requests.cpu=1"
        )
    );
    let silent = admin.post(PODS, &pod("c")).await.json();
    assert_eq!(silent["message"], "pods \"c\" is forbidden: failed quota: room: must specify requests.cpu for: main");
    quota(&admin, "idle", &json!({ "hard": { "pods": "0" }, "scopes": ["BestEffort"] })).await;
    assert_eq!(admin.post(PODS, &asking("d", "100m")).await.code, 201);
}

async fn nobody_has_measured_yet(cluster: Cluster) {
    let admin = cluster.admin();
    let quota = json!({ "apiVersion": "v1", "kind": "ResourceQuota", "metadata": { "name": "new" }, "spec": { "hard": { "secrets": "1" } } });
    assert_eq!(admin.post(QUOTAS, &quota).await.code, 201);
    // Nothing is known of it: until its controller says what it allows, it allows everything.
    let secret = |name: &str| json!({ "apiVersion": "v1", "kind": "Secret", "metadata": { "name": name } });
    assert_eq!(admin.post("/api/v1/namespaces/default/secrets", &secret("a")).await.code, 201);
    let half = json!({ "status": { "hard": { "secrets": "1" } } });
    let path = format!("{QUOTAS}/new/status");
    assert_eq!(admin.patch(&path, "application/merge-patch+json", &half).await.code, 200);
    let refused = admin.post("/api/v1/namespaces/default/secrets", &secret("b")).await;
    assert_eq!(
        (refused.code, refused.json()["message"].as_str().unwrap_or_default()),
        (403, "secrets \"b\" is forbidden: status unknown for quota: new, resources: secrets")
    );
}
