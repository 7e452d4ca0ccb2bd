//! New nodes: nothing lands on one before it was seen to be well.

use apiserver_core::{Object, Status};
use serde_json::json;

use crate::attributes::Attributes;
use crate::facts::Facts;
use crate::plugin::Plugin;
use crate::pods::{list_mut, text};

const NOT_READY: &str = "node.kubernetes.io/not-ready";

/// Taints new nodes until they are ready.
#[derive(Debug)]
pub(super) struct TaintNodesByCondition;

impl Plugin for TaintNodesByCondition {
    fn name(&self) -> &'static str {
        "TaintNodesByCondition"
    }

    fn concerns(&self, attributes: &Attributes<'_>) -> bool {
        attributes.creates("", "nodes")
    }

    fn mutate(&self, _: &Attributes<'_>, node: &mut Object, _: &dyn Facts) -> Result<(), Status> {
        let Some(taints) = list_mut(node, "spec", "taints") else { return Ok(()) };
        if !taints.iter().any(|one| text(one, "key") == NOT_READY && text(one, "effect") == "NoSchedule") {
            taints.push(json!({ "key": NOT_READY, "effect": "NoSchedule" }));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{World, create};

    #[test]
    fn a_new_node_is_tainted_once() {
        let tainted = create("", "nodes").mutate(&TaintNodesByCondition, json!({ "metadata": {} }), &World::default());
        let tainted = tainted.unwrap();
        assert_eq!(tainted["spec"]["taints"], json!([{ "key": NOT_READY, "effect": "NoSchedule" }]));
        let again = create("", "nodes").mutate(&TaintNodesByCondition, tainted.clone(), &World::default());
        assert_eq!(again, Ok(tainted));
    }
}
