//! Changes of pods that run: the node must know how, and have the room.

use std::sync::Arc;

use apiserver_core::quantity::Quantity;
use apiserver_core::{Object, Status};
use serde_json::Value;

use crate::attributes::{Attributes, Operation};
use crate::facts::{Facts, View, views};
use crate::plugin::Plugin;
use crate::pods::{list, text, totals};

const OS: &str = "kubernetes.io/os";

/// The node of a pod whose spec changes, if it has one.
fn node(attributes: &Attributes<'_>, pod: Option<&Object>, facts: &dyn Facts) -> Result<Option<Arc<Object>>, Status> {
    let (Some(pod), Some(old)) = (pod, attributes.old) else { return Ok(None) };
    let Some(name) = pod.text(&["spec", "nodeName"]) else { return Ok(None) };
    if pod.at(&["spec"]) == old.at(&["spec"]) {
        return Ok(None);
    }
    let found = facts.get(views::NODES, None, name);
    found.map(Some).ok_or_else(|| attributes.forbidden(Some(pod), &format!("node {name:?} not found")))
}

/// Refuses changes the node of a pod does not know how to make.
#[derive(Debug)]
pub(super) struct NodeDeclaredFeatureValidator;

impl Plugin for NodeDeclaredFeatureValidator {
    fn name(&self) -> &'static str {
        "NodeDeclaredFeatureValidator"
    }

    fn concerns(&self, attributes: &Attributes<'_>) -> bool {
        attributes.operation == Operation::Update
            && (attributes.is_on("", "pods", None) || attributes.is_on("", "pods", Some("resize")))
    }

    fn reads(&self) -> &'static [View] {
        &[views::NODES]
    }

    fn validate(&self, attributes: &Attributes<'_>, pod: Option<&Object>, facts: &dyn Facts) -> Result<(), Status> {
        let (Some(pod), Some(old)) = (pod, attributes.old) else { return Ok(()) };
        let needed = features(pod, old);
        if needed.is_empty() {
            return Ok(());
        }
        let Some(node) = node(attributes, Some(pod), facts)? else { return Ok(()) };
        let declared = node.list(&["status", "declaredFeatures"]);
        let missing: Vec<&str> = needed.into_iter().filter(|one| !declared.iter().any(|had| had == one)).collect();
        if missing.is_empty() {
            return Ok(());
        }
        let why = format!(
            "pod update requires features {} which are not available on node {:?}",
            missing.join(", "),
            node.name().unwrap_or_default()
        );
        Err(attributes.forbidden(Some(pod), &why))
    }
}

/// What a node must know to make the change.
fn features(pod: &Object, old: &Object) -> Vec<&'static str> {
    let mut needed = Vec::new();
    let whole = |pod: &Object| pod.at(&["spec", "resources"]).cloned();
    if whole(pod) != whole(old) {
        needed.push("InPlacePodLevelResourcesVerticalScaling");
    }
    let resources = |container: &Value| container.get("resources").cloned();
    let pairs = list(old, "initContainers").iter().zip(list(pod, "initContainers"));
    if pairs.into_iter().any(|(old, new)| text(old, "restartPolicy") != "Always" && resources(old) != resources(new)) {
        needed.push("InPlacePodVerticalScalingInitContainers");
    }
    needed
}

/// Refuses to make a pod larger than its node.
#[derive(Debug)]
pub(super) struct PodResizeValidator;

impl Plugin for PodResizeValidator {
    fn name(&self) -> &'static str {
        "PodResizeValidator"
    }

    fn concerns(&self, attributes: &Attributes<'_>) -> bool {
        attributes.operation == Operation::Update && attributes.is_on("", "pods", Some("resize"))
    }

    fn reads(&self) -> &'static [View] {
        &[views::NODES]
    }

    fn validate(&self, attributes: &Attributes<'_>, pod: Option<&Object>, facts: &dyn Facts) -> Result<(), Status> {
        let (Some(pod), Some(node)) = (pod, node(attributes, pod, facts)?) else { return Ok(()) };
        if let Some(os) = node.label(OS).filter(|os| *os != "linux") {
            let name = node.name().unwrap_or_default();
            let why = format!("pod resize is only supported on linux nodes, node {name:?} is {os:?}");
            return Err(attributes.forbidden_for(Some(pod), &why, "UnsupportedPlatform"));
        }
        let room =
            |name: &str| node.at(&["status", "allocatable", name]).and_then(Quantity::of).unwrap_or(Quantity::ZERO);
        let requests = totals(pod, "requests", true);
        let wanted = |name: &str| requests.get(name).copied().unwrap_or(Quantity::ZERO);
        let mut lacking = Vec::new();
        if wanted("cpu") > room("cpu") {
            let (wanted, room) = (wanted("cpu").milli_value(), room("cpu").milli_value());
            lacking.push(format!("cpu, requested: {wanted}, allocatable: {room}"));
        }
        if wanted("memory") > room("memory") {
            let (wanted, room) = (wanted("memory").value(), room("memory").value());
            lacking.push(format!("memory, requested: {wanted}, allocatable: {room}"));
        }
        if lacking.is_empty() {
            return Ok(());
        }
        let why = format!("node didn't have enough allocatable resources: {}", lacking.join("; "));
        Err(attributes.forbidden_for(Some(pod), &why, "NodeCapacity"))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::testing::{World, update};

    fn pod(cpu: &str, init: &str) -> Value {
        json!({ "metadata": { "name": "a" }, "spec": {
            "nodeName": "n",
            "containers": [{ "name": "c", "resources": { "requests": { "cpu": cpu } } }],
            "initContainers": [{ "name": "i", "resources": { "requests": { "cpu": init } } }],
        } })
    }

    fn node(os: &str, features: Value) -> World {
        let node = json!({
            "metadata": { "name": "n", "labels": { OS: os } },
            "status": { "allocatable": { "cpu": "4", "memory": "8Gi" }, "declaredFeatures": features },
        });
        World::default().with(views::NODES, node)
    }

    #[test]
    fn a_pod_grows_as_far_as_its_node() {
        let resize = |cpu: &str, world: &World| {
            update("", "pods", Some("resize"), pod("1", "1")).validate(&PodResizeValidator, pod(cpu, "1"), world)
        };
        assert_eq!(resize("4", &node("linux", json!([]))), Ok(()));
        assert_eq!(
            resize("4001m", &node("linux", json!([]))),
            Err("pods \"a\" is forbidden: node didn't have enough allocatable resources: cpu, requested: 4001, allocatable: 4000".into())
        );
        assert_eq!(
            resize("2", &node("windows", json!([]))),
            Err("pods \"a\" is forbidden: pod resize is only supported on linux nodes, node \"n\" is \"windows\""
                .into())
        );
        assert_eq!(resize("2", &World::default()), Err("pods \"a\" is forbidden: node \"n\" not found".into()));
        assert_eq!(resize("1", &World::default()), Ok(()));
    }

    #[test]
    fn the_node_must_know_how() {
        let resize = |features: Value| {
            update("", "pods", Some("resize"), pod("1", "1")).validate(
                &NodeDeclaredFeatureValidator,
                pod("1", "2"),
                &node("linux", features),
            )
        };
        assert_eq!(resize(json!(["InPlacePodVerticalScalingInitContainers"])), Ok(()));
        assert_eq!(
            resize(json!([])),
            Err("pods \"a\" is forbidden: pod update requires features InPlacePodVerticalScalingInitContainers which are not available on node \"n\"".into())
        );
    }
}
