//! The controllers at work on the API server: what a user sees of namespaces, accounts and certificates.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tests_rig::{Cluster, Process, StoreKind, binary};

/// Long enough for a busy machine; a test that works never waits for it.
const LIMIT: Duration = Duration::from_mins(1);

/// Starts the controllers on a cluster. They end when this is dropped.
fn controllers(cluster: &Cluster) -> Process {
    let login = cluster.credentials.user("system:kube-controller-manager", Some("system:masters"));
    let kubeconfig = cluster.folder().join("controllers.kubeconfig");
    std::fs::write(&kubeconfig, login.kubeconfig(&cluster.url())).expect("write a kubeconfig");
    let root_ca = cluster.folder().join("root-ca.crt");
    std::fs::write(&root_ca, &cluster.admin_login().authority).expect("write the authority");
    let args = [
        format!("--kubeconfig={}", kubeconfig.display()),
        format!("--root-ca-file={}", root_ca.display()),
        "--secure-port=0".to_owned(),
    ];
    Process::start(
        "the controllers",
        &binary("kube-controller-manager"),
        args,
        &cluster.folder().join("controllers.log"),
    )
}

/// Asks for `path` until the answer has this code.
async fn until_code(cluster: &Cluster, path: &str, code: u16) -> Value {
    let admin = cluster.admin();
    let start = Instant::now();
    loop {
        let last = match admin.try_send("GET", path, &[], "").await {
            Ok(answer) if answer.code == code => return answer.json(),
            Ok(answer) => format!("{} {}", answer.code, answer.text()),
            Err(error) => error.to_string(),
        };
        if start.elapsed() >= LIMIT {
            let log = std::fs::read_to_string(cluster.folder().join("controllers.log")).unwrap_or_default();
            panic!("{path} is not {code} within {LIMIT:?} but {last}\n{log}");
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// Creates an object from JSON, whatever kubectl would send.
async fn create(cluster: &Cluster, path: &str, object: Value) {
    let answer = cluster.admin().post(path, &object).await;
    assert_eq!(answer.code, 201, "{path}: {}", answer.text());
}

async fn create_namespace(cluster: &Cluster, name: &str) {
    let namespace = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}});
    create(cluster, "/api/v1/namespaces", namespace).await;
}

async fn create_map(cluster: &Cluster, namespace: &str, name: &str) {
    let map = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}});
    create(cluster, &format!("/api/v1/namespaces/{namespace}/configmaps"), map).await;
}

fn holds(map: &Value, key: &str, value: &str) -> bool {
    map["data"][key].as_str() == Some(value)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_namespace_has_its_account_and_its_certificates() {
    let cluster = Cluster::start(StoreKind::Etcd).await;
    let _controllers = controllers(&cluster);
    for namespace in ["default", "kube-system"] {
        until_code(&cluster, &format!("/api/v1/namespaces/{namespace}/serviceaccounts/default"), 200).await;
    }
    create_namespace(&cluster, "shop").await;
    until_code(&cluster, "/api/v1/namespaces/shop/serviceaccounts/default", 200).await;
    let map = until_code(&cluster, "/api/v1/namespaces/shop/configmaps/kube-root-ca.crt", 200).await;
    assert!(holds(&map, "ca.crt", &cluster.admin_login().authority), "{map}");

    // Whoever deletes the account gets a new one.
    let first = until_code(&cluster, "/api/v1/namespaces/shop/serviceaccounts/default", 200).await;
    cluster.kubectl(&["-n", "shop", "delete", "serviceaccount", "default"]).await;
    let start = Instant::now();
    loop {
        let now = until_code(&cluster, "/api/v1/namespaces/shop/serviceaccounts/default", 200).await;
        if now["metadata"]["uid"] != first["metadata"]["uid"] {
            break;
        }
        assert!(start.elapsed() < LIMIT, "the account is still the first one");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn roles_gather_the_rules_of_others() {
    let cluster = Cluster::start(StoreKind::Orlop).await;
    let _controllers = controllers(&cluster);
    let roles = "/apis/rbac.authorization.k8s.io/v1/clusterroles";
    let own = json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole",
        "metadata": {"name": "widgets", "labels": {"rbac.authorization.k8s.io/aggregate-to-view": "true"}},
        "rules": [{"apiGroups": ["example.com"], "resources": ["widgets"], "verbs": ["get"]}]});
    create(&cluster, roles, own).await;
    // What is in `view` is in `edit`, and what is in that is in `admin`.
    let start = Instant::now();
    for (name, resource) in [("view", "widgets"), ("edit", "widgets"), ("admin", "widgets"), ("admin", "rolebindings")]
    {
        loop {
            let role = until_code(&cluster, &format!("{roles}/{name}"), 200).await;
            let rules = role["rules"].as_array().cloned().unwrap_or_default();
            if rules.iter().any(|rule| rule["resources"][0] == resource) {
                break;
            }
            assert!(start.elapsed() < LIMIT, "{name} has no {resource}: {role}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
    assert_eq!(cluster.admin().delete(&format!("{roles}/widgets")).await.code, 200);
    while until_code(&cluster, &format!("{roles}/admin"), 200).await.to_string().contains("widgets") {
        assert!(start.elapsed() < LIMIT, "the rules stay");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_deleted_namespace_goes_away_with_all_that_is_in_it() {
    let cluster = Cluster::start(StoreKind::Etcd).await;
    let _controllers = controllers(&cluster);
    let admin = cluster.admin();
    create_namespace(&cluster, "shop").await;
    until_code(&cluster, "/api/v1/namespaces/shop/serviceaccounts/default", 200).await;
    for number in 0..20 {
        create_map(&cluster, "shop", &format!("map-{number}")).await;
    }
    let secret = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "secret"}, "data": {"a": "Yg=="}});
    create(&cluster, "/api/v1/namespaces/shop/secrets", secret).await;
    let service = json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "front"},
        "spec": {"ports": [{"port": 80}]}});
    create(&cluster, "/api/v1/namespaces/shop/services", service).await;
    let pod = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "pod"},
        "spec": {"containers": [{"name": "main", "image": "none.invalid/none"}]}});
    create(&cluster, "/api/v1/namespaces/shop/pods", pod).await;
    create_map(&cluster, "default", "bystander").await;

    let start = Instant::now();
    // kubectl waits until the namespace is gone.
    cluster.kubectl(&["delete", "namespace", "shop", "--timeout=30s"]).await;
    println!("figure: namespace with 24 objects deleted in {:?}", start.elapsed());
    assert_eq!(admin.get("/api/v1/namespaces/shop").await.code, 404);
    assert_eq!(admin.get("/api/v1/namespaces/default/configmaps/bystander").await.code, 200);

    // Nothing is left behind that a new one of the same name would inherit.
    create_namespace(&cluster, "shop").await;
    assert_eq!(admin.get("/api/v1/namespaces/shop/configmaps/map-3").await.code, 404);
    assert_eq!(admin.get("/api/v1/namespaces/shop/secrets/secret").await.code, 404);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn finalizers_hold_a_namespace_and_its_conditions_say_so() {
    let cluster = Cluster::start(StoreKind::Etcd).await;
    let _controllers = controllers(&cluster);
    let admin = cluster.admin();
    create_namespace(&cluster, "shop").await;
    let held = json!({"apiVersion": "v1", "kind": "ConfigMap",
        "metadata": {"name": "held", "finalizers": ["example.com/hold"]}});
    create(&cluster, "/api/v1/namespaces/shop/configmaps", held).await;
    cluster.kubectl(&["delete", "namespace", "shop", "--wait=false"]).await;
    let start = Instant::now();
    loop {
        let namespace = until_code(&cluster, "/api/v1/namespaces/shop", 200).await;
        let conditions = namespace["status"]["conditions"].as_array().cloned().unwrap_or_default();
        let found = conditions.iter().find(|condition| condition["type"] == "NamespaceFinalizersRemaining");
        if let Some(found) = found.filter(|condition| condition["status"] == "True") {
            let message =
                "Some content in the namespace has finalizers remaining: example.com/hold in 1 resource instances";
            assert_eq!(found["message"], json!(message));
            assert_eq!(namespace["status"]["phase"], json!("Terminating"));
            break;
        }
        assert!(start.elapsed() < LIMIT, "no condition: {namespace}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let patch = json!({"metadata": {"finalizers": null}});
    let path = "/api/v1/namespaces/shop/configmaps/held";
    assert_eq!(admin.patch(path, "application/merge-patch+json", &patch).await.code, 200);
    until_code(&cluster, "/api/v1/namespaces/shop", 404).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_api_server_may_be_killed_at_any_time() {
    let mut cluster = Cluster::start(StoreKind::Etcd).await;
    let mut controllers = controllers(&cluster);
    until_code(&cluster, "/api/v1/namespaces/default/serviceaccounts/default", 200).await;
    for round in 0..3 {
        let name = format!("round-{round}");
        create_namespace(&cluster, &name).await;
        create_map(&cluster, &name, "map").await;
        cluster.kubectl(&["delete", "namespace", &name, "--wait=false"]).await;
        // Just while the namespace is being emptied.
        cluster.server().kill();
        cluster.restart_server().await;
        until_code(&cluster, &format!("/api/v1/namespaces/{name}"), 404).await;
        create_namespace(&cluster, &format!("after-{round}")).await;
        until_code(&cluster, &format!("/api/v1/namespaces/after-{round}/serviceaccounts/default"), 200).await;
    }
    assert!(controllers.ended().is_none(), "the controllers ended: {}", controllers.log());
    println!("figure: resident memory of the controllers {} kB", controllers.kilobytes("VmRSS"));

    let lease = "/apis/coordination.k8s.io/v1/namespaces/kube-system/leases/kube-controller-manager";
    assert_ne!(until_code(&cluster, lease, 200).await["spec"]["holderIdentity"], json!(""));
    let start = Instant::now();
    assert!(controllers.terminate().success());
    assert!(start.elapsed() < Duration::from_secs(5), "it took {:?} to end", start.elapsed());
    // Given back, so that the next leader need not wait.
    assert_eq!(until_code(&cluster, lease, 200).await["spec"]["holderIdentity"].as_str().unwrap_or_default(), "");
}
