//! The graph of what leads to which node, kept up with.

use std::sync::{Arc, PoisonError, RwLock};

use apiserver_core::Resource;
use authorization::node::{Graph, Kind, decide};
use authorization::{Attributes, Rule, Verdict, bootstrap};

use super::follow::{Followed, Told};
use crate::cache::{Cache, CachedObject};

/// The graph, and what every node may do.
pub(super) struct Nodes {
    followed: Followed<Kind>,
    graph: RwLock<Graph>,
    rules: Vec<Rule>,
    pods: Option<Arc<Resource>>,
}

impl Nodes {
    pub(super) fn new(cache: impl Fn(&str, &str) -> Option<Arc<Cache>>) -> Self {
        let kinds = [
            (Kind::Pod, "", "pods"),
            (Kind::Volume, "", "persistentvolumes"),
            (Kind::Attachment, "storage.k8s.io", "volumeattachments"),
            (Kind::Slice, "resource.k8s.io", "resourceslices"),
            (Kind::CertificateRequest, "certificates.k8s.io", "podcertificaterequests"),
        ];
        let pods = cache("", "pods");
        let found = kinds.into_iter().filter_map(|(kind, group, plural)| Some((kind, cache(group, plural)?)));
        Self {
            followed: Followed::new(found),
            graph: RwLock::default(),
            rules: bootstrap::policy().node_rules(),
            pods: pods.map(|pods| Arc::clone(&pods.resource)),
        }
    }

    pub(super) async fn follow(&self) {
        self.followed.follow(|| self.catch_up()).await;
    }

    /// Takes the lock of the graph for a change at a time, so that nodes are answered meanwhile.
    fn catch_up(&self) {
        // A pod that is on no node leads to none: it need not be read.
        let placed = |pod: &CachedObject| pod.field(self.pods.as_ref()?, "spec.nodeName").map(|node| !node.is_empty());
        let matters = |kind, cached: &CachedObject| kind != Kind::Pod || placed(cached).unwrap_or(true);
        self.followed.catch_up(matters, &mut |told| {
            let mut graph = self.graph.write().unwrap_or_else(PoisonError::into_inner);
            match told {
                Told::Anew => *graph = Graph::default(),
                Told::Is { kind, namespace, name, object } => graph.set(kind, namespace, name, object),
            }
        });
    }

    pub(super) fn decide(&self, attributes: &Attributes<'_>) -> Verdict {
        if authorization::node::identity(attributes.user).is_none() {
            return Verdict::no_opinion("");
        }
        decide(&self.graph.read().unwrap_or_else(PoisonError::into_inner), &self.rules, attributes)
    }
}
