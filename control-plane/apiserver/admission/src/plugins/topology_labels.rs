//! Where a pod runs, as labels its containers can read.

use apiserver_core::{Object, Status};

use crate::attributes::{Attributes, Operation};
use crate::facts::{Facts, View, views};
use crate::plugin::Plugin;

const LABELS: [&str; 2] = ["topology.kubernetes.io/zone", "topology.kubernetes.io/region"];

/// Copies zone and region of a node to the pods that are put on it.
#[derive(Debug)]
pub(super) struct PodTopologyLabels;

impl Plugin for PodTopologyLabels {
    fn name(&self) -> &'static str {
        "PodTopologyLabels"
    }

    fn concerns(&self, attributes: &Attributes<'_>) -> bool {
        attributes.operation == Operation::Create
            && (attributes.is_on("", "pods", None) || attributes.is_on("", "pods", Some("binding")))
    }

    fn reads(&self) -> &'static [View] {
        &[views::NODES]
    }

    fn mutate(&self, attributes: &Attributes<'_>, object: &mut Object, facts: &dyn Facts) -> Result<(), Status> {
        let node = match attributes.subresource {
            None => object.text(&["spec", "nodeName"]),
            Some(_) if object.text(&["target", "kind"]) == Some("Node") => object.text(&["target", "name"]),
            Some(_) => None,
        };
        // A node that is not there is somebody else's matter.
        let Some(node) = node.and_then(|name| facts.get(views::NODES, None, name)) else { return Ok(()) };
        for key in LABELS {
            if let Some(value) = node.label(key) {
                object.set(&["metadata", "labels", key], value);
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::testing::{Request, World, create};

    #[test]
    fn a_pod_knows_where_it_runs() {
        let zone = LABELS[0];
        let world = World::default()
            .with(views::NODES, json!({ "metadata": { "name": "n", "labels": { zone: "z", "x": "y" } } }));
        let pod = json!({ "metadata": { "labels": { zone: "elsewhere" } }, "spec": { "nodeName": "n" } });
        let pod = create("", "pods").mutate(&PodTopologyLabels, pod, &world).unwrap();
        assert_eq!(pod["metadata"]["labels"], json!({ zone: "z" }));
        let binding = Request { subresource: Some("binding"), ..create("", "pods") };
        let bound =
            binding.mutate(&PodTopologyLabels, json!({ "target": { "kind": "Node", "name": "n" } }), &world).unwrap();
        assert_eq!(bound["metadata"]["labels"], json!({ zone: "z" }));
        let lost = json!({ "target": { "kind": "Node", "name": "gone" } });
        assert_eq!(binding.mutate(&PodTopologyLabels, lost.clone(), &world), Ok(lost));
    }
}
