//! The black-box suite of the API server: what a client sees, over real sockets, from a server that is a process of its own.
//!
//! Every behaviour runs on our store and on etcd from the distribution's packages; `on_every_store!` makes a test of each.

pub mod protobuf;
pub mod samples;

use serde_json::{Value, json};

pub use tests_rig as rig;

/// Makes a test of each behaviour on each store. A behaviour is an `async fn(Cluster)`.
#[macro_export]
macro_rules! on_every_store {
    ($($name:ident),* $(,)?) => {
        mod on_orlop {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() {
                let cluster = $crate::rig::Cluster::start($crate::rig::StoreKind::Orlop).await;
                super::$name(cluster).await;
            })*
        }
        mod on_etcd {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() {
                let cluster = $crate::rig::Cluster::start($crate::rig::StoreKind::Etcd).await;
                super::$name(cluster).await;
            })*
        }
    };
}

/// Makes a test of each behaviour with each kubectl: the one that most operators have, and the newest the distribution
/// has. A behaviour is an `async fn(Cluster)`.
#[macro_export]
macro_rules! with_every_kubectl {
    ($($name:ident),* $(,)?) => {
        mod with_kubectl {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() {
                super::$name($crate::rig::Cluster::start($crate::rig::StoreKind::Orlop).await).await;
            })*
        }
        mod with_newest_kubectl {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() {
                let mut cluster = $crate::rig::Cluster::start($crate::rig::StoreKind::Orlop).await;
                cluster.use_kubectl("kubectl-newest");
                super::$name(cluster).await;
            })*
        }
    };
}

/// Where `ConfigMap`s of the default namespace are.
pub const CONFIG_MAPS: &str = "/api/v1/namespaces/default/configmaps";

/// A `ConfigMap` with one entry, `k`.
pub fn config_map(name: &str, value: &str) -> Value {
    json!({ "apiVersion": "v1", "kind": "ConfigMap", "metadata": { "name": name }, "data": { "k": value } })
}

/// The same with a label `color`.
pub fn colored(name: &str, color: &str) -> Value {
    let mut object = config_map(name, color);
    object["metadata"]["labels"] = json!({ "color": color });
    object
}

/// A pod of one container.
pub fn pod(name: &str) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": { "name": name },
        "spec": { "containers": [{ "name": "main", "image": "example.test/main:1" }] },
    })
}

/// The names of the items of a list.
pub fn names(list: &Value) -> Vec<String> {
    list["items"]
        .as_array()
        .unwrap_or_else(|| panic!("no list: {list}"))
        .iter()
        .map(|item| item["metadata"]["name"].as_str().unwrap_or_default().to_owned())
        .collect()
}

/// The resource version of an object or a list.
pub fn version(object: &Value) -> String {
    object["metadata"]["resourceVersion"].as_str().unwrap_or_else(|| panic!("no version: {object}")).to_owned()
}
