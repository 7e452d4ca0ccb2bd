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
async fn idle() {
    let cluster = Cluster::start(StoreKind::Etcd).await;
    let c = controllers(&cluster);
    until_code(&cluster, "/api/v1/namespaces/default/serviceaccounts/default", 200).await;
    create_namespace(&cluster, "x").await;
    create_map(&cluster, "x", "y").await;
    let _ = holds(&json!({}), "", "");
    tokio::time::sleep(Duration::from_secs(5)).await;
    let cpu = || { let s = std::fs::read_to_string(format!("/proc/{}/stat", c.pid())).unwrap(); let f: Vec<u64> = s.rsplit_once(')').unwrap().1.split_whitespace().skip(11).take(2).map(|x| x.parse().unwrap()).collect(); f[0]+f[1] };
    let a = cpu();
    tokio::time::sleep(Duration::from_secs(40)).await;
    println!("IDLE {} ticks of 4000; rss {} kB anon {}", cpu()-a, c.kilobytes("VmRSS"), c.kilobytes("RssAnon"));
}
