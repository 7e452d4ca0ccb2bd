//! The pods of a node.

use std::sync::Arc;

use apiserver_core::{Object, Status};
use serde_json::Value;

use super::Write;
use crate::attributes::Operation;
use crate::facts::views;
use crate::pods::{is_mirror, items, list, text};

const MIRROR: &str = "kubernetes.io/config.mirror";

fn runs_on(pod: &Object, node: &str) -> bool {
    pod.text(&["spec", "nodeName"]) == Some(node)
}

/// A pod as such: a node makes mirrors of what it runs by itself, and deletes what has ended.
pub(super) fn pod(write: &Write<'_>) -> Result<(), Status> {
    let node = write.node;
    match (write.attributes.operation, write.object) {
        (Operation::Create, Some(pod)) => create(write, pod),
        (Operation::Delete, _) => match write.attributes.old {
            Some(pod) if !runs_on(pod, node) => {
                write.refuse(&format!("node {node:?} can only delete pods with spec.nodeName set to itself"))
            }
            Some(_) | None => Ok(()),
        },
        (operation, _) => write.refuse(&format!(
            "unexpected operation {:?}, node {node:?} can only create and delete mirror pods",
            operation.as_str()
        )),
    }
}

fn create(write: &Write<'_>, pod: &Object) -> Result<(), Status> {
    let node = write.node;
    if !is_mirror(pod) {
        return write
            .refuse(&format!("pod does not have {MIRROR:?} annotation, node {node:?} can only create mirror pods"));
    }
    if !runs_on(pod, node) {
        return write.refuse(&format!("node {node:?} can only create pods with spec.nodeName set to itself"));
    }
    match pod.list(&["metadata", "ownerReferences"]) {
        [] => {
            return write.refuse(&format!("node {node:?} can only create pods with an owner reference set to itself"));
        }
        [owner] => check_owner(write, owner)?,
        [..] => {
            return write
                .refuse(&format!("node {node:?} can only create pods with a single owner reference set to itself"));
        }
    }
    match named(pod) {
        Some(what) => write.refuse(&format!("node {node:?} can not create pods that reference {what}")),
        None => Ok(()),
    }
}

fn check_owner(write: &Write<'_>, owner: &Value) -> Result<(), Status> {
    let node = write.node;
    if (text(owner, "apiVersion"), text(owner, "kind"), text(owner, "name")) != ("v1", "Node", node) {
        return write.refuse(&format!("node {node:?} can only create pods with an owner reference set to itself"));
    }
    let says = |member: &str| owner.get(member).and_then(Value::as_bool);
    if says("controller") != Some(true) {
        return write
            .refuse(&format!("node {node:?} can only create pods with a controller owner reference set to itself"));
    }
    if says("blockOwnerDeletion") == Some(true) {
        return write.refuse(&format!("node {node:?} must not set blockOwnerDeletion on an owner reference"));
    }
    let found = write.facts.get(views::NODES, None, node);
    let found = found.ok_or_else(|| Status::not_found_named("", "nodes", node))?;
    let (wanted, given) = (found.uid().unwrap_or_default(), text(owner, "uid"));
    if wanted != given {
        return write.refuse(&format!("node {node} UID mismatch: expected {given} got {wanted}"));
    }
    Ok(())
}

/// What a mirror pod names that a node could get at by it.
fn named(pod: &Object) -> Option<&'static str> {
    let containers =
        || ["initContainers", "containers", "ephemeralContainers"].into_iter().flat_map(|name| list(pod, name));
    let from_env = |source: &str, key: &str| {
        containers().any(|container| {
            items(container, "envFrom").iter().any(|one| one.get(source).is_some())
                || items(container, "env")
                    .iter()
                    .any(|one| one.get("valueFrom").is_some_and(|from| from.get(key).is_some()))
        })
    };
    let volumes = |source: &str| {
        list(pod, "volumes").iter().any(|volume| {
            volume.get(source).is_some()
                || volume
                    .get("projected")
                    .is_some_and(|one| items(one, "sources").iter().any(|one| one.get(source).is_some()))
        })
    };
    if pod.text(&["spec", "serviceAccountName"]).is_some() || volumes("serviceAccountToken") {
        return Some("a service account");
    }
    let pulls = !list(pod, "imagePullSecrets").is_empty();
    if pulls || volumes("secret") || from_env("secretRef", "secretKeyRef") {
        return Some("secrets");
    }
    if volumes("configMap") || from_env("configMapRef", "configMapKeyRef") {
        return Some("configmaps");
    }
    if volumes("persistentVolumeClaim") {
        return Some("persistentvolumeclaims");
    }
    (!list(pod, "resourceClaims").is_empty()).then_some("resourceclaims")
}

/// How a pod is doing.
pub(super) fn status(write: &Write<'_>) -> Result<(), Status> {
    let node = write.node;
    let (Operation::Update, Some(new), Some(old)) = (write.attributes.operation, write.object, write.attributes.old)
    else {
        return write.unexpected();
    };
    if !runs_on(old, node) {
        return write
            .refuse(&format!("node {node:?} can only update pod status for pods with spec.nodeName set to itself"));
    }
    if !new.labels().eq(old.labels()) {
        return write.refuse(&format!("node {node:?} cannot update labels through pod status"));
    }
    let claims = |pod: &Object| pod.list(&["status", "resourceClaimStatuses"]).to_vec();
    if claims(new) != claims(old) {
        return write.refuse(&format!("node {node:?} cannot update resource claim statuses"));
    }
    Ok(())
}

/// The pod of that name.
fn find(write: &Write<'_>, name: &str) -> Result<Arc<Object>, Status> {
    let found = write.facts.get(views::PODS, write.attributes.namespace, name);
    found.ok_or_else(|| Status::not_found_named("", "pods", name))
}

/// A pod that has to go because the node lacks something.
pub(super) fn eviction(write: &Write<'_>) -> Result<(), Status> {
    if write.attributes.operation != Operation::Create {
        return write.unexpected();
    }
    let own = write.object.and_then(Object::name);
    let name = write.attributes.name.or(own).unwrap_or_default();
    if name.is_empty() {
        return write.refuse("could not determine pod from request data");
    }
    if !runs_on(&*find(write, name)?, write.node) {
        return write.refuse(&format!("node {} can only evict pods with spec.nodeName set to itself", write.node));
    }
    Ok(())
}

/// A token: only for a pod that runs here.
pub(super) fn token(write: &Write<'_>) -> Result<(), Status> {
    let Some(request) = write.object.filter(|_| write.attributes.operation == Operation::Create) else { return Ok(()) };
    let bound = |member: &str| request.text(&["spec", "boundObjectRef", member]);
    if bound("apiVersion") != Some("v1") || bound("kind") != Some("Pod") || bound("name").is_none() {
        return write.refuse("node requested token not bound to a pod");
    }
    let Some(uid) = bound("uid") else {
        return write.refuse("node requested token with a pod binding without a uid");
    };
    let name = bound("name").unwrap_or_default();
    let pod = find(write, name).map_err(|status| write.attributes.forbidden(write.object, &status.message))?;
    let record = pod.uid().unwrap_or_default();
    if uid != record {
        let why = format!(
            "the UID in the bound object reference ({uid}) does not match the UID in record. The object might have been deleted and then recreated"
        );
        return write.refuse(&why);
    }
    if !runs_on(&pod, write.node) {
        return write.refuse("node requested token bound to a pod scheduled on a different node");
    }
    Ok(())
}
