//! The node itself and what is named after it.

use apiserver_core::{Object, Status};

use super::{Write, labels};
use crate::attributes::Operation;

/// The node's own object.
pub(super) fn node(write: &Write<'_>) -> Result<(), Status> {
    let attributes = write.attributes;
    let own = write.object.and_then(Object::name);
    let (name, node) = (attributes.name.or(own).unwrap_or_default(), write.node);
    if attributes.operation == Operation::Create
        && let Some(new) = write.object
    {
        let wrong = labels::forbidden(new, None);
        if !wrong.is_empty() {
            return write.refuse(&format!("is not allowed to set the following labels: {wrong}"));
        }
    }
    if name != node {
        return write.refuse(&format!("node {node:?} is not allowed to modify node {name:?}"));
    }
    let (Operation::Update, Some(new), Some(old)) = (attributes.operation, write.object, attributes.old) else {
        return Ok(());
    };
    // By its taints it would choose what runs on it.
    if new.list(&["spec", "taints"]) != old.list(&["spec", "taints"]) {
        return write.refuse(&format!("node {node:?} is not allowed to modify taints"));
    }
    let wrong = labels::forbidden(new, Some(old));
    if !wrong.is_empty() {
        return write.refuse(&format!("is not allowed to modify labels: {wrong}"));
    }
    if new.list(&["metadata", "ownerReferences"]) != old.list(&["metadata", "ownerReferences"]) {
        return write.refuse(&format!("node {node:?} is not allowed to modify ownerReferences"));
    }
    Ok(())
}

/// Of claims a node knows how large they have become.
pub(super) fn claim_status(write: &Write<'_>) -> Result<(), Status> {
    const KNOWN: [&[&str]; 7] = [
        &["status", "capacity"],
        &["status", "conditions"],
        &["status", "allocatedResources"],
        &["status", "allocatedResourceStatuses"],
        &["metadata", "managedFields"],
        &["metadata", "resourceVersion"],
        &["status", "resizeStatus"],
    ];
    let (Operation::Update, Some(new), Some(old)) = (write.attributes.operation, write.object, write.attributes.old)
    else {
        return write.unexpected();
    };
    let rest = |object: &Object| {
        let mut object = object.clone();
        for path in KNOWN {
            object.remove(path);
        }
        object
    };
    if rest(new) == rest(old) {
        return Ok(());
    }
    write.refuse(&format!(
        "node {:?} may not update fields other than status.quantity and status.conditions",
        write.node
    ))
}

/// The lease by which a node shows that it lives.
pub(super) fn lease(write: &Write<'_>) -> Result<(), Status> {
    if write.attributes.namespace != Some("kube-node-lease") {
        return write.refuse("can only access leases in the \"kube-node-lease\" system namespace");
    }
    if name(write) != write.node {
        return write.refuse("can only access node lease with the same name as the requesting node");
    }
    Ok(())
}

/// What storage drivers there are on a node.
pub(super) fn csi_node(write: &Write<'_>) -> Result<(), Status> {
    if name(write) != write.node {
        return write.refuse("can only access CSINode with the same name as the requesting node");
    }
    Ok(())
}

/// What devices there are on a node.
pub(super) fn slice(write: &Write<'_>) -> Result<(), Status> {
    let of = |slice: Option<&Object>| slice.and_then(|slice| slice.text(&["spec", "nodeName"])) == Some(write.node);
    match write.attributes.operation {
        Operation::Create if !of(write.object) => {
            write.refuse("can only create ResourceSlice with the same NodeName as the requesting node")
        }
        Operation::Update if !of(write.attributes.old) => {
            write.refuse("can only update ResourceSlice with the same NodeName as the requesting node")
        }
        Operation::Delete if !of(write.attributes.old) => {
            write.refuse("can only delete ResourceSlice with the same NodeName as the requesting node")
        }
        Operation::Create | Operation::Update | Operation::Delete | Operation::Connect => Ok(()),
    }
}

/// The name of what is written: of one of many that are deleted, its own.
fn name<'a>(write: &'a Write<'_>) -> &'a str {
    let own = write.object.or(write.attributes.old).and_then(Object::name);
    write.attributes.name.or(own).unwrap_or_default()
}
