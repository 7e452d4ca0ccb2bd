//! What plugins know of the rest of the cluster.

use std::sync::Arc;

use apiserver_core::{Object, Resource};

/// A resource plugins look at, in the version they look at it in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct View {
    /// API group.
    pub group: &'static str,
    /// Version.
    pub version: &'static str,
    /// Plural name.
    pub plural: &'static str,
}

/// The views there are.
pub mod views {
    use super::View;

    const fn core(plural: &'static str) -> View {
        View { group: "", version: "v1", plural }
    }

    /// Claims.
    pub const CLAIMS: View = core("persistentvolumeclaims");
    /// Classes of Ingresses.
    pub const INGRESS_CLASSES: View = View { group: "networking.k8s.io", version: "v1", plural: "ingressclasses" };
    /// Limits of a namespace.
    pub const LIMIT_RANGES: View = core("limitranges");
    /// Namespaces.
    pub const NAMESPACES: View = core("namespaces");
    /// Nodes.
    pub const NODES: View = core("nodes");
    /// Pods.
    pub const PODS: View = core("pods");
    /// Priorities.
    pub const PRIORITY_CLASSES: View = View { group: "scheduling.k8s.io", version: "v1", plural: "priorityclasses" };
    /// Ways to run pods.
    pub const RUNTIME_CLASSES: View = View { group: "node.k8s.io", version: "v1", plural: "runtimeclasses" };
    /// Accounts of pods.
    pub const SERVICE_ACCOUNTS: View = core("serviceaccounts");
    /// Classes of storage.
    pub const STORAGE_CLASSES: View = View { group: "storage.k8s.io", version: "v1", plural: "storageclasses" };
}

/// Where a namespace is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// Open.
    Active,
    /// Going: nothing new comes in.
    Terminating,
}

/// Whether somebody may do something, as authorization is asked it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Question {
    /// `approve`, `update`, …
    pub verb: &'static str,
    /// API group.
    pub group: String,
    /// Version; `*` where it does not matter.
    pub version: String,
    /// Plural name.
    pub plural: String,
    /// Subresource; may be empty.
    pub subresource: &'static str,
    /// Namespace; may be empty.
    pub namespace: String,
    /// Name; may be empty.
    pub name: String,
}

/// What is known of other objects, of rights, of the time.
pub trait Facts {
    /// One object.
    fn get(&self, view: View, namespace: Option<&str>, name: &str) -> Option<Arc<Object>>;

    /// One object that a controller makes soon: worth waiting for a little before it is said not to be there.
    fn get_soon(&self, view: View, namespace: Option<&str>, name: &str) -> Option<Arc<Object>>;

    /// All objects, of one namespace or of all.
    fn list(&self, view: View, namespace: Option<&str>) -> Vec<Arc<Object>>;

    /// The phase of a namespace, `None` if it is not there.
    fn namespace(&self, name: &str) -> Option<Phase>;

    /// The row of a kind that an object names.
    fn resource(&self, api_version: &str, kind: &str) -> Option<Arc<Resource>>;

    /// Whether the one who asks may do that.
    fn may(&self, question: Question) -> bool;

    /// A fresh suffix as generated names have.
    fn suffix(&self) -> String;

    /// Wall-clock time.
    fn now(&self) -> jiff::Timestamp;
}
