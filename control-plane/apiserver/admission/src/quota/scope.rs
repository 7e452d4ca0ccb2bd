//! Scopes: quotas that hold for some objects of a kind only.

use apiserver_core::Object;
use apiserver_core::quantity::Quantity;
use serde_json::{Value, json};

use crate::pods::{items, list, text};

/// The scopes of a quota, each as a selector.
pub(super) fn selectors(quota: &Object) -> Vec<Value> {
    let plain = quota.list(&["spec", "scopes"]).iter().map(|scope| json!({ "scopeName": scope, "operator": "Exists" }));
    plain.chain(quota.list(&["spec", "scopeSelector", "matchExpressions"]).iter().cloned()).collect()
}

/// Whether a scope holds for a pod.
pub(super) fn holds_for_pod(pod: &Object, selector: &Value) -> bool {
    let terminating = pod.integer(&["spec", "activeDeadlineSeconds"]).is_some_and(|seconds| seconds >= 0);
    match text(selector, "scopeName") {
        "Terminating" => terminating,
        "NotTerminating" => !terminating,
        "BestEffort" => is_best_effort(pod),
        "NotBestEffort" => !is_best_effort(pod),
        "PriorityClass" => selects(selector, pod.text(&["spec", "priorityClassName"])),
        "CrossNamespacePodAffinity" => reaches_other_namespaces(pod),
        _ => false,
    }
}

/// Whether a scope holds for a claim: its class of attributes may be what it has, asked for, or is about to get.
pub(super) fn holds_for_claim(claim: &Object, selector: &Value) -> bool {
    if text(selector, "scopeName") != "VolumeAttributesClass" {
        return false;
    }
    let names = [
        claim.text(&["spec", "volumeAttributesClassName"]),
        claim.text(&["status", "currentVolumeAttributesClassName"]),
        claim.text(&["status", "modifyVolumeStatus", "targetVolumeAttributesClassName"]),
    ];
    let named: Vec<&str> = names.into_iter().flatten().collect();
    if named.is_empty() { selects(selector, None) } else { named.into_iter().any(|name| selects(selector, Some(name))) }
}

fn selects(selector: &Value, name: Option<&str>) -> bool {
    let among = name.is_some_and(|name| items(selector, "values").iter().any(|value| value == name));
    match text(selector, "operator") {
        "Exists" => name.is_some(),
        "DoesNotExist" => name.is_none(),
        "In" => among,
        "NotIn" => !among,
        _ => false,
    }
}

/// Whether a pod asks for nothing it would be given.
pub(crate) fn is_best_effort(pod: &Object) -> bool {
    let asks = |resources: Option<&Value>| {
        ["requests", "limits"].iter().any(|which| {
            ["cpu", "memory"].iter().any(|name| {
                let amount = resources.and_then(|resources| resources.get(which)?.get(name));
                amount.and_then(Quantity::of).is_some_and(|amount| !amount.is_zero())
            })
        })
    };
    let containers = list(pod, "containers").iter().chain(list(pod, "initContainers"));
    !asks(pod.at(&["spec", "resources"])) && !containers.into_iter().any(|one| asks(one.get("resources")))
}

fn reaches_other_namespaces(pod: &Object) -> bool {
    let reaches = |term: &Value| {
        !items(term, "namespaces").is_empty() || term.get("namespaceSelector").is_some_and(|one| !one.is_null())
    };
    ["podAffinity", "podAntiAffinity"].iter().any(|kind| {
        let list = |member: &str| pod.list(&["spec", "affinity", kind, member]);
        list("requiredDuringSchedulingIgnoredDuringExecution").iter().any(reaches)
            || list("preferredDuringSchedulingIgnoredDuringExecution")
                .iter()
                .filter_map(|one| one.get("podAffinityTerm"))
                .any(reaches)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::object;

    fn scope(name: &str) -> Value {
        json!({ "scopeName": name, "operator": "Exists" })
    }

    #[test]
    fn scopes_part_pods() {
        let plain = object(json!({ "spec": { "containers": [{}] } }));
        let special = object(json!({ "spec": {
            "activeDeadlineSeconds": 5, "priorityClassName": "high",
            "containers": [{ "resources": { "limits": { "cpu": "1" } } }],
            "affinity": { "podAffinity": { "requiredDuringSchedulingIgnoredDuringExecution": [{ "namespaces": ["x"] }] } },
        } }));
        for (name, of_plain, of_special) in [
            ("Terminating", false, true),
            ("NotTerminating", true, false),
            ("BestEffort", true, false),
            ("NotBestEffort", false, true),
            ("PriorityClass", false, true),
            ("CrossNamespacePodAffinity", false, true),
            ("Nonsense", false, false),
        ] {
            let held = (holds_for_pod(&plain, &scope(name)), holds_for_pod(&special, &scope(name)));
            assert_eq!(held, (of_plain, of_special), "{name}");
        }
        let among = |operator: &str| json!({ "scopeName": "PriorityClass", "operator": operator, "values": ["high"] });
        assert!(holds_for_pod(&special, &among("In")) && !holds_for_pod(&special, &among("NotIn")));
        assert!(!holds_for_pod(&plain, &among("In")) && holds_for_pod(&plain, &among("NotIn")));
    }

    #[test]
    fn claims_have_a_class_of_attributes() {
        let claim = object(json!({ "spec": { "volumeAttributesClassName": "gold" } }));
        assert!(holds_for_claim(&claim, &scope("VolumeAttributesClass")));
        assert!(!holds_for_claim(&object(json!({})), &scope("VolumeAttributesClass")));
        assert!(!holds_for_claim(&claim, &scope("BestEffort")));
    }
}
