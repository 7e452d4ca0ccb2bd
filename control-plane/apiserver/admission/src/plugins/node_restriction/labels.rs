//! Which labels of its own a node may set.

use std::collections::BTreeSet;

use apiserver_core::Object;

/// What a kubelet sets.
const OWN: [&str; 11] = [
    "kubernetes.io/hostname",
    "kubernetes.io/arch",
    "kubernetes.io/os",
    "node.kubernetes.io/instance-type",
    "topology.kubernetes.io/region",
    "topology.kubernetes.io/zone",
    "beta.kubernetes.io/arch",
    "beta.kubernetes.io/os",
    "beta.kubernetes.io/instance-type",
    "failure-domain.beta.kubernetes.io/region",
    "failure-domain.beta.kubernetes.io/zone",
];

/// The labels that differ between two nodes and that the node may not change, as one text; empty if there are none.
pub(super) fn forbidden(new: &Object, old: Option<&Object>) -> String {
    let had = |key: &str| old.and_then(|old| old.label(key));
    let set = new.labels().filter(|(key, value)| had(key) != Some(*value)).map(|(key, _)| key);
    let gone = old.into_iter().flat_map(Object::labels).filter(|(key, _)| new.label(key).is_none()).map(|(key, _)| key);
    let all: BTreeSet<&str> = set.chain(gone).filter(|key| is_forbidden(key)).collect();
    all.into_iter().collect::<Vec<_>>().join(", ")
}

fn is_forbidden(label: &str) -> bool {
    let Some((domain, _)) = label.split_once('/') else { return false };
    let within = |parent: &str| domain == parent || domain.strip_suffix(parent).is_some_and(|rest| rest.ends_with('.'));
    if within("node-restriction.kubernetes.io") {
        return true;
    }
    let of_kubelets = within("kubelet.kubernetes.io") || within("node.kubernetes.io") || OWN.contains(&label);
    (within("kubernetes.io") || within("k8s.io")) && !of_kubelets
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_says_what_it_is_and_nothing_of_its_duties() {
        for (label, wrong) in [
            ("kubernetes.io/hostname", false),
            ("example.com/own", false),
            ("plain", false),
            ("node.kubernetes.io/x", false),
            ("kubelet.kubernetes.io/x", false),
            ("sub.node.kubernetes.io/x", false),
            ("node-role.kubernetes.io/control-plane", true),
            ("node-restriction.kubernetes.io/x", true),
            ("a.node-restriction.kubernetes.io/x", true),
            ("k8s.io/x", true),
            ("notk8s.io/x", false),
        ] {
            assert_eq!(is_forbidden(label), wrong, "{label}");
        }
    }
}
