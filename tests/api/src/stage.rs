//! Where one behaviour plays: a cluster, which others may use at the same time, and in it a namespace and names of its own.

mod changes;
mod endpoints;
mod kind;

use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash as _, Hasher as _};
use std::sync::Arc;
use std::time::{Duration, Instant};

use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::core::NamespaceResourceScope;
use kube::{Api, Client, Config, Resource};
use serde_json::{Value, json};

use crate::rig::{self, Cluster};

pub use changes::Changes;
pub use endpoints::{Endpoints, stay_as_they_are};
pub use kind::{Kind, Problem};

/// How long something may take that a server does by itself; a test that works never waits for it.
const PATIENCE: Duration = Duration::from_secs(40);

/// Where one behaviour plays.
pub struct Stage {
    /// The cluster. Others may use it, too.
    pub cluster: Arc<Cluster>,
    /// A client library's client of the administrator.
    pub client: Client,
    /// The namespace that is this behaviour's own.
    pub namespace: String,
}

impl Stage {
    /// A stage for the behaviour of this name; a namespace is made for it.
    pub async fn new(cluster: Arc<Cluster>, behaviour: &str) -> Self {
        let mut hasher = DefaultHasher::new();
        behaviour.hash(&mut hasher);
        let last = behaviour.rsplit("::").next().unwrap_or_default().replace('_', "-");
        let short = last.get(..30).unwrap_or(&last).trim_end_matches('-');
        let namespace = format!("{short}-{:08x}", hasher.finish() as u32);
        let stage = Self { client: client(&cluster).await, cluster, namespace };
        let made = stage.raw().post("/api/v1/namespaces", &stage.another_namespace("")).await;
        assert_eq!(made.code, 201, "{}", made.text());
        stage
    }

    /// A namespace whose name begins with that of the stage's.
    pub fn another_namespace(&self, suffix: &str) -> Value {
        json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": format!("{}{suffix}", self.namespace) } })
    }

    /// A client that hides nothing.
    pub fn raw(&self) -> rig::Client {
        self.cluster.admin()
    }

    /// Objects of a type in the namespace.
    pub fn api<K>(&self) -> Api<K>
    where
        K: Resource<DynamicType = (), Scope = NamespaceResourceScope>,
    {
        Api::namespaced(self.client.clone(), &self.namespace)
    }

    /// Objects of a kind, which discovery must know.
    pub async fn kind(&self, api_version: &str, kind: &str) -> Kind {
        Kind::discover(self, api_version, kind).await
    }

    /// Objects of a kind the samples know.
    pub async fn sampled(&self, kind: &str) -> Kind {
        let sample = crate::samples::of(kind);
        self.kind(sample.api_version, sample.kind).await
    }

    /// A name for something outside of namespaces that nobody else will use.
    pub fn unique(&self, name: &str) -> String {
        format!("{name}-{}", self.namespace)
    }

    /// The path of a collection of the core group in the namespace.
    pub fn core(&self, plural: &str) -> String {
        format!("/api/v1/namespaces/{}/{plural}", self.namespace)
    }
}

/// A client library's client of the administrator.
pub async fn client(cluster: &Cluster) -> Client {
    let kubeconfig = Kubeconfig::read_from(cluster.kubeconfig()).expect("a kubeconfig");
    let config = Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await;
    Client::try_from(config.expect("a configuration")).expect("a client")
}

/// Asks again and again until the answer is one; `what` says what was waited for.
pub async fn eventually<T>(what: &str, mut ask: impl AsyncFnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(answer) = ask().await {
            return answer;
        }
        assert!(start.elapsed() < PATIENCE, "waited {PATIENCE:?} in vain for {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Whether `whole` has all that is in `part`: members of objects, elements of lists in any place, equal values.
pub fn holds(whole: &Value, part: &Value) -> bool {
    match (whole, part) {
        (Value::Object(whole), Value::Object(part)) => {
            part.iter().all(|(name, part)| whole.get(name).is_some_and(|whole| holds(whole, part)))
        }
        (Value::Array(whole), Value::Array(part)) => {
            part.iter().all(|part| whole.iter().any(|whole| holds(whole, part)))
        }
        (whole, part) => whole == part,
    }
}

/// Writes what is in `part` over `whole`: members of objects one by one, anything else as it is.
pub fn overlay(whole: &mut Value, part: &Value) {
    match (whole, part) {
        (Value::Object(whole), Value::Object(part)) => {
            for (name, part) in part {
                overlay(whole.entry(name.clone()).or_insert(Value::Null), part);
            }
        }
        (whole, part) => *whole = part.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_is_held_wherever_its_elements_stand() {
        let whole = json!({ "a": 1, "list": [{ "name": "x", "b": 2 }, { "name": "y" }] });
        for (part, held) in [
            (json!({}), true),
            (json!({ "a": 1 }), true),
            (json!({ "a": 2 }), false),
            (json!({ "c": null }), false),
            (json!({ "list": [{ "name": "y" }, { "b": 2 }] }), true),
            (json!({ "list": [{ "name": "y", "b": 2 }] }), false),
        ] {
            assert_eq!(holds(&whole, &part), held, "{part}");
        }
    }

    #[test]
    fn what_is_laid_over_leaves_the_rest() {
        let mut whole = json!({ "a": { "b": 1, "c": [1] }, "d": 1 });
        overlay(&mut whole, &json!({ "a": { "c": [2, 3] }, "e": { "f": 1 } }));
        assert_eq!(whole, json!({ "a": { "b": 1, "c": [2, 3] }, "d": 1, "e": { "f": 1 } }));
    }
}
