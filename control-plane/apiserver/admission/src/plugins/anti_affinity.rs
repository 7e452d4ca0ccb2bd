//! Pods that keep others away from more than their node.

use apiserver_core::{Object, Status};

use crate::attributes::Attributes;
use crate::facts::Facts;
use crate::plugin::Plugin;
use crate::pods::text;

const HOSTNAME: &str = "kubernetes.io/hostname";

/// Lets pods insist on no more than a node of their own.
#[derive(Debug)]
pub(super) struct LimitPodHardAntiAffinityTopology;

impl Plugin for LimitPodHardAntiAffinityTopology {
    fn name(&self) -> &'static str {
        "LimitPodHardAntiAffinityTopology"
    }

    fn concerns(&self, attributes: &Attributes<'_>) -> bool {
        attributes.writes("", "pods")
    }

    fn validate(&self, attributes: &Attributes<'_>, pod: Option<&Object>, _: &dyn Facts) -> Result<(), Status> {
        let Some(pod) = pod else { return Ok(()) };
        let path = ["spec", "affinity", "podAntiAffinity", "requiredDuringSchedulingIgnoredDuringExecution"];
        match pod.list(&path).iter().map(|term| text(term, "topologyKey")).find(|key| *key != HOSTNAME) {
            None => Ok(()),
            Some(key) => Err(attributes.forbidden(
                Some(pod),
                &format!("affinity.PodAntiAffinity.RequiredDuringScheduling has TopologyKey {key} but only key {HOSTNAME} is allowed"),
            )),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::testing::{World, create};

    #[test]
    fn a_node_is_all_a_pod_may_keep_for_itself() {
        let pod = |key: &str| {
            json!({ "metadata": { "name": "p" }, "spec": { "affinity": { "podAntiAffinity": {
                "requiredDuringSchedulingIgnoredDuringExecution": [{ "topologyKey": key }],
            } } } })
        };
        let judge =
            |key: &str| create("", "pods").validate(&LimitPodHardAntiAffinityTopology, pod(key), &World::default());
        assert_eq!(judge(HOSTNAME), Ok(()));
        assert_eq!(
            judge("zone"),
            Err("pods \"p\" is forbidden: affinity.PodAntiAffinity.RequiredDuringScheduling has TopologyKey zone but only key kubernetes.io/hostname is allowed".into())
        );
    }
}
