//! What leads to which node: what pods use, directly or through the volumes their claims are bound to.
//!
//! ```text
//!   secret, config map, account, claim, resource claim ──> pod ──────────────> node
//!   volume ──> claim ──> pod          secret ──> volume
//!   attachment, slice, certificate request ──────────────────────────────────> node
//! ```

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use apiserver_core::Object;

use super::references::{Referenced, of_pod, of_volume};

/// What a path to a node may begin with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Kind {
    /// `secrets`
    Secret,
    /// `configmaps`
    ConfigMap,
    /// `serviceaccounts`
    Account,
    /// `persistentvolumeclaims`
    Claim,
    /// `persistentvolumes`
    Volume,
    /// `resourceclaims`
    ResourceClaim,
    /// `volumeattachments`
    Attachment,
    /// `resourceslices`
    Slice,
    /// `podcertificaterequests`
    CertificateRequest,
    /// `pods`
    Pod,
}

/// Kind, namespace and name.
type Vertex = (Kind, Box<str>, Box<str>);

/// The graph. Each object is told of when it changes; the order among them is of no importance.
#[derive(Debug, Default)]
pub struct Graph {
    /// How many objects lead from a vertex to each node.
    nodes: HashMap<Vertex, BTreeMap<Arc<str>, u32>>,
    /// What was counted for an object that leads to a node.
    counted: HashMap<Vertex, (Arc<str>, Vec<Vertex>)>,
    /// The claim each volume is bound to, and the secrets nodes need for it.
    volumes: HashMap<Box<str>, (Vertex, Vec<Vertex>)>,
    /// The volumes that need a secret.
    needing: HashMap<Vertex, Vec<Box<str>>>,
}

fn vertex(kind: Kind, namespace: &str, name: &str) -> Vertex {
    (kind, namespace.into(), name.into())
}

impl Graph {
    /// Whether something leads to a node.
    pub fn leads(&self, kind: Kind, namespace: &str, name: &str, node: &str) -> bool {
        let namespace = if kind == Kind::Volume { "" } else { namespace };
        let from = vertex(kind, namespace, name);
        let direct = |from: &Vertex| self.nodes.get(from).is_some_and(|nodes| nodes.contains_key(node));
        let through = |volume: &str| self.volumes.get(volume).is_some_and(|(claim, _)| direct(claim));
        match kind {
            Kind::Volume => through(name),
            Kind::Secret => {
                direct(&from) || self.needing.get(&from).is_some_and(|all| all.iter().any(|volume| through(volume)))
            }
            Kind::ConfigMap
            | Kind::Account
            | Kind::Claim
            | Kind::ResourceClaim
            | Kind::Attachment
            | Kind::Slice
            | Kind::CertificateRequest
            | Kind::Pod => direct(&from),
        }
    }

    /// An object is now as in `object`, or gone: a pod, a volume, or one that names its node itself.
    pub fn set(&mut self, kind: Kind, namespace: &str, name: &str, object: Option<&Object>) {
        if kind == Kind::Volume {
            return self.set_volume(name, object);
        }
        let own = vertex(kind, namespace, name);
        self.forget(&own);
        let Some(object) = object else { return };
        let Some(node) = object.text(&["spec", "nodeName"]).filter(|node| !node.is_empty()) else { return };
        let mut all = vec![own.clone()];
        if kind == Kind::Pod {
            let used = of_pod(object).into_iter().map(|Referenced { kind, name }| vertex(kind, namespace, &name));
            all.extend(used);
        }
        let node: Arc<str> = node.into();
        for one in &all {
            *self.nodes.entry(one.clone()).or_default().entry(Arc::clone(&node)).or_default() += 1;
        }
        self.counted.insert(own, (node, all));
    }

    fn forget(&mut self, own: &Vertex) {
        let Some((node, all)) = self.counted.remove(own) else { return };
        for one in all {
            let Some(nodes) = self.nodes.get_mut(&one) else { continue };
            if let Some(count) = nodes.get_mut(&node) {
                *count -= 1;
                if *count == 0 {
                    nodes.remove(&node);
                }
            }
            if nodes.is_empty() {
                self.nodes.remove(&one);
            }
        }
    }

    fn set_volume(&mut self, name: &str, object: Option<&Object>) {
        if let Some((_, secrets)) = self.volumes.remove(name) {
            for secret in secrets {
                if let Some(volumes) = self.needing.get_mut(&secret) {
                    volumes.retain(|volume| **volume != *name);
                    if volumes.is_empty() {
                        self.needing.remove(&secret);
                    }
                }
            }
        }
        let claim = |field: &str| object?.text(&["spec", "claimRef", field]);
        let (Some(object), Some(claim_name)) = (object, claim("name")) else { return };
        let namespace = claim("namespace").unwrap_or_default();
        let secrets: Vec<Vertex> = of_volume(object, namespace)
            .into_iter()
            .map(|(space, secret)| vertex(Kind::Secret, &space, &secret))
            .collect();
        for secret in &secrets {
            self.needing.entry(secret.clone()).or_default().push(name.into());
        }
        self.volumes.insert(name.into(), (vertex(Kind::Claim, namespace, claim_name), secrets));
    }

    /// Whether nothing is known.
    pub fn is_empty(&self) -> bool {
        self.nodes.is_empty() && self.counted.is_empty() && self.volumes.is_empty() && self.needing.is_empty()
    }
}
