//! What nodes may write: themselves, and what runs on them.

mod labels;
mod objects;
mod pods;

use apiserver_core::{Object, Status};

use crate::attributes::{Attributes, Operation};
use crate::facts::{Facts, View, views};
use crate::plugin::Plugin;

/// Holds kubelets to their own node.
#[derive(Debug)]
pub(super) struct NodeRestriction;

/// The node a user is; an empty name for one that says it is a node, but not which.
fn node_of<'a>(attributes: &'a Attributes<'_>) -> Option<&'a str> {
    let name = attributes.user.name.strip_prefix("system:node:")?;
    attributes.user.groups.iter().any(|group| group == "system:nodes").then_some(name)
}

/// A write of a node.
struct Write<'a> {
    attributes: &'a Attributes<'a>,
    node: &'a str,
    object: Option<&'a Object>,
    facts: &'a dyn Facts,
}

impl Write<'_> {
    fn refuse(&self, why: &str) -> Result<(), Status> {
        Err(self.attributes.forbidden(self.object, why))
    }

    /// The operation with the words upstream puts into its refusals.
    fn unexpected(&self) -> Result<(), Status> {
        self.refuse(&format!("unexpected operation {:?}", self.attributes.operation.as_str()))
    }
}

impl Plugin for NodeRestriction {
    fn name(&self) -> &'static str {
        "NodeRestriction"
    }

    fn concerns(&self, attributes: &Attributes<'_>) -> bool {
        attributes.operation != Operation::Connect && node_of(attributes).is_some()
    }

    fn reads(&self) -> &'static [View] {
        &[views::NODES, views::PODS]
    }

    fn mutate(&self, attributes: &Attributes<'_>, object: &mut Object, facts: &dyn Facts) -> Result<(), Status> {
        judge(attributes, Some(object), facts)
    }

    fn validate(&self, attributes: &Attributes<'_>, object: Option<&Object>, facts: &dyn Facts) -> Result<(), Status> {
        // Others may have changed the object after it was looked at; deletions are looked at here only.
        judge(attributes, object, facts)
    }
}

fn judge(attributes: &Attributes<'_>, object: Option<&Object>, facts: &dyn Facts) -> Result<(), Status> {
    let Some(node) = node_of(attributes) else { return Ok(()) };
    let write = Write { attributes, node, object, facts };
    if node.is_empty() {
        return write.refuse(&format!("could not determine node from user {:?}", attributes.user.name));
    }
    match (attributes.resource.group.as_str(), attributes.resource.plural.as_str(), attributes.subresource) {
        ("", "pods", None) => pods::pod(&write),
        ("", "pods", Some("status")) => pods::status(&write),
        ("", "pods", Some("eviction")) => pods::eviction(&write),
        ("", "pods", Some(other)) => {
            write.refuse(&format!("unexpected pod subresource {other:?}, only 'status' and 'eviction' are allowed"))
        }
        ("", "nodes", _) => objects::node(&write),
        ("", "persistentvolumeclaims", Some("status")) => objects::claim_status(&write),
        ("", "persistentvolumeclaims", _) => write.refuse("may only update PVC status"),
        ("", "serviceaccounts", Some("token")) => pods::token(&write),
        ("coordination.k8s.io", "leases", _) => objects::lease(&write),
        ("storage.k8s.io", "csinodes", _) => objects::csi_node(&write),
        ("resource.k8s.io", "resourceslices", _) => objects::slice(&write),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests;
