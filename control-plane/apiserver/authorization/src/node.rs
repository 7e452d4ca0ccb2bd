//! What a node may do: the same as every other node, and to what the pods on it use.

mod graph;
mod references;

use apiserver_core::user::User;

pub use graph::{Graph, Kind};

use crate::attributes::{Attributes, Objects, Target};
use crate::rule::Rule;
use crate::selectors::Selectors;
use crate::verdict::Verdict;

/// The group every node is in.
pub const NODES: &str = "system:nodes";
/// Before the name of a node in the name of its user.
pub const PREFIX: &str = "system:node:";
/// Where nodes have their leases.
const LEASES: &str = "kube-node-lease";

/// The node a user is; empty if it is some node without a name.
pub fn identity(user: &User) -> Option<&str> {
    user.name.strip_prefix(PREFIX).filter(|_| user.groups.iter().any(|group| group == NODES))
}

/// Whether a node may; no opinion about whoever is none. `rules` are what every node may do.
pub fn decide(graph: &Graph, rules: &[Rule], attributes: &Attributes<'_>) -> Verdict {
    let Some(node) = identity(attributes.user) else { return Verdict::no_opinion("") };
    if node.is_empty() {
        return Verdict::no_opinion(format!("unknown node for user {:?}", attributes.user.name));
    }
    if let Target::Resource(objects) = &attributes.target {
        let asked = Asked { graph, node, verb: attributes.verb, objects };
        let subdivided = match (objects.group, objects.resource) {
            ("", "secrets") => Some(asked.read(Kind::Secret)),
            ("", "configmaps") => Some(asked.read(Kind::ConfigMap)),
            ("", "persistentvolumeclaims") if objects.subresource == "status" => Some(asked.claim_status()),
            ("", "persistentvolumeclaims") => Some(asked.get(Kind::Claim)),
            ("", "persistentvolumes") => Some(asked.get(Kind::Volume)),
            ("resource.k8s.io", "resourceclaims") => Some(asked.get(Kind::ResourceClaim)),
            ("storage.k8s.io", "volumeattachments") => Some(asked.get(Kind::Attachment)),
            ("", "serviceaccounts") => Some(asked.account()),
            ("coordination.k8s.io", "leases") => Some(asked.lease()),
            ("storage.k8s.io", "csinodes") => Some(asked.driver_node()),
            ("resource.k8s.io", "resourceslices") => Some(asked.slice()),
            ("certificates.k8s.io", "podcertificaterequests") => Some(asked.certificate()),
            ("", "nodes") => Some(asked.node()),
            ("", "pods") => Some(asked.pod()),
            (_, _) => None,
        };
        if let Some(answer) = subdivided {
            return match answer {
                Ok(()) => Verdict::allow(""),
                Err(reason) => Verdict::no_opinion(reason),
            };
        }
    }
    if rules.iter().any(|rule| rule.allows(attributes)) { Verdict::allow("") } else { Verdict::no_opinion("") }
}

/// A node's request on objects of which it may touch only some.
struct Asked<'a> {
    graph: &'a Graph,
    node: &'a str,
    verb: &'a str,
    objects: &'a Objects<'a>,
}

/// Nothing, or why not; an empty reason where there is nothing to say.
type Answer = Result<(), String>;

fn no<T>(reason: &str) -> Result<T, String> {
    Err(reason.to_owned())
}

impl Asked<'_> {
    fn related(&self, kind: Kind) -> Answer {
        let Objects { namespace, name, .. } = *self.objects;
        if name.is_empty() {
            return no("No Object name found");
        }
        if self.graph.leads(kind, namespace, name, self.node) {
            return Ok(());
        }
        Err(format!("no relationship found between node '{}' and this object", self.node))
    }

    fn selects(&self, field: &str) -> bool {
        self.objects.selectors.and_then(|selectors: &Selectors| selectors.field(field)) == Some(self.node)
    }

    fn read(&self, kind: Kind) -> Answer {
        if !matches!(self.verb, "get" | "list" | "watch") {
            return no("can only read resources of this type");
        }
        if !self.objects.subresource.is_empty() {
            return no("cannot read subresource");
        }
        if self.objects.namespace.is_empty() {
            return no("can only read namespaced object of this type");
        }
        self.related(kind)
    }

    fn get(&self, kind: Kind) -> Answer {
        if self.verb != "get" {
            return no("can only get individual resources of this type");
        }
        if !self.objects.subresource.is_empty() {
            return no("cannot get subresource");
        }
        self.related(kind)
    }

    fn claim_status(&self) -> Answer {
        if !matches!(self.verb, "update" | "patch") {
            return no("can only get/update/patch this type");
        }
        self.related(Kind::Claim)
    }

    fn account(&self) -> Answer {
        if self.verb == "get" && self.objects.subresource.is_empty() {
            return self.read(Kind::Account);
        }
        if self.verb != "create" || self.objects.name.is_empty() {
            return no("can only create tokens for individual service accounts");
        }
        if self.objects.subresource != "token" {
            return no("can only create token subresource of serviceaccount");
        }
        self.related(Kind::Account)
    }

    fn lease(&self) -> Answer {
        if !matches!(self.verb, "get" | "create" | "update" | "patch" | "delete") {
            return no("can only get, create, update, patch, or delete a node lease");
        }
        if self.objects.namespace != LEASES {
            return Err(format!("can only access leases in the {LEASES:?} system namespace"));
        }
        // The name is not known yet when one is made: admission looks at it.
        if self.verb != "create" && self.objects.name != self.node {
            return no("can only access node lease with the same name as the requesting node");
        }
        Ok(())
    }

    fn driver_node(&self) -> Answer {
        if !matches!(self.verb, "get" | "create" | "update" | "patch" | "delete") {
            return no("can only get, create, update, patch, or delete a CSINode");
        }
        if !self.objects.subresource.is_empty() {
            return no("cannot authorize CSINode subresources");
        }
        if self.verb != "create" && self.objects.name != self.node {
            return no("can only access CSINode with the same name as the requesting node");
        }
        Ok(())
    }

    fn slice(&self) -> Answer {
        if !self.objects.subresource.is_empty() {
            return no("cannot authorize ResourceSlice subresources");
        }
        match self.verb {
            "create" => Ok(()),
            "get" | "update" | "patch" | "delete" => self.related(Kind::Slice),
            "watch" | "list" | "deletecollection" if self.selects("spec.nodeName") => Ok(()),
            "watch" | "list" | "deletecollection" => {
                no("can only list/watch/deletecollection resourceslices with nodeName field selector")
            }
            _ => no(
                "only the following verbs are allowed for a ResourceSlice: get, watch, list, create, update, patch, delete, deletecollection",
            ),
        }
    }

    fn certificate(&self) -> Answer {
        if !self.objects.subresource.is_empty() {
            return no("cannot authorize PodCertificateRequest subresources");
        }
        match self.verb {
            "create" => Ok(()),
            "get" => self.related(Kind::CertificateRequest),
            "list" | "watch" if self.selects("spec.nodeName") => Ok(()),
            "list" | "watch" => no("can only list/watch podcertificaterequests with spec.nodeName field selector"),
            _ => no("only the following verbs are allowed for a PodCertificateRequest: create, get, list, watch"),
        }
    }

    fn node(&self) -> Answer {
        let (node, name) = (self.node, self.objects.name);
        match (self.objects.subresource, self.verb) {
            ("", "create" | "update" | "patch") | ("status", "update" | "patch") => Ok(()),
            ("", "get" | "list" | "watch") if name == node => Ok(()),
            ("", "get" | "list" | "watch") if name.is_empty() => {
                Err(format!("node '{node}' cannot read all nodes, only its own Node object"))
            }
            ("", "get" | "list" | "watch") => {
                Err(format!("node '{node}' cannot read '{name}', only its own Node object"))
            }
            (_, _) => no(""),
        }
    }

    fn pod(&self) -> Answer {
        match (self.objects.subresource, self.verb) {
            ("", "get") => self.get(Kind::Pod),
            ("", "list" | "watch") if self.selects("spec.nodeName") => Ok(()),
            ("", "list" | "watch") if !self.objects.name.is_empty() => self.related(Kind::Pod),
            ("", "list" | "watch") => no("can only list/watch pods with spec.nodeName field selector"),
            ("", "create" | "delete") | ("status", "update" | "patch") | ("eviction", "create") => Ok(()),
            (_, _) => no(""),
        }
    }
}

#[cfg(test)]
mod tests;
