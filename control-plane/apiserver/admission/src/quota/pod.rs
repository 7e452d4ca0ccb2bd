//! What pods use, and must say.

use std::collections::{BTreeMap, BTreeSet};

use apiserver_core::Object;
use apiserver_core::quantity::Quantity;
use serde_json::Value;

use crate::pods::{Amounts, amounts, list, text, totals};

/// Resources every container must name when they are counted; a mistake of old that clients rely on.
const SPELLED_OUT: [&str; 6] = ["cpu", "memory", "requests.cpu", "requests.memory", "limits.cpu", "limits.memory"];

/// Whether pods use a resource of that name, besides being counted.
pub(super) fn is_computed(name: &str) -> bool {
    let bare = name.strip_prefix("requests.").unwrap_or(name);
    let limit = name.strip_prefix("limits.");
    name == "pods"
        || matches!(bare, "cpu" | "memory" | "ephemeral-storage")
        || matches!(limit, Some("cpu" | "memory" | "ephemeral-storage"))
        || bare.starts_with("hugepages-")
        || name.strip_prefix("requests.").is_some_and(is_extended)
}

/// Whether a resource is one of a domain of its own, such as a device.
fn is_extended(name: &str) -> bool {
    name.contains('/') && !name.contains("kubernetes.io/") && !name.starts_with("requests.")
}

/// What a pod uses. One that is over uses nothing.
pub(super) fn usage(pod: &Object, now: jiff::Timestamp) -> Amounts {
    let over = matches!(pod.text(&["status", "phase"]), Some("Succeeded" | "Failed")) || is_past_its_end(pod, now);
    if over { Amounts::new() } else { computed(&totals(pod, "requests", true), &totals(pod, "limits", true)) }
}

/// Whether a pod should have been gone for as long again as it had to go.
fn is_past_its_end(pod: &Object, now: jiff::Timestamp) -> bool {
    let (end, grace) = (pod.deletion_timestamp(), pod.integer(&["metadata", "deletionGracePeriodSeconds"]));
    let end = end.and_then(apiserver_core::time::parse).map(jiff::Timestamp::as_second);
    matches!((end, grace), (Some(end), Some(grace)) if now.as_second() > end.saturating_add(grace))
}

/// Amounts under the names they are counted by.
fn computed(requests: &Amounts, limits: &Amounts) -> Amounts {
    let mut used = Amounts::from([("pods".to_owned(), Quantity::whole(1))]);
    for (name, amount) in requests {
        let plain = matches!(name.as_str(), "cpu" | "memory" | "ephemeral-storage") || name.starts_with("hugepages-");
        if plain {
            used.insert(name.clone(), *amount);
        }
        if plain || is_extended(name) {
            used.insert(format!("requests.{name}"), *amount);
        }
    }
    for (name, amount) in limits {
        if matches!(name.as_str(), "cpu" | "memory" | "ephemeral-storage") {
            used.insert(format!("limits.{name}"), *amount);
        }
    }
    used
}

/// Which containers do not name resources that are counted.
pub(super) fn missing(pod: &Object, required: &[&str]) -> Option<String> {
    let required: BTreeSet<&str> = required.iter().copied().filter(|name| SPELLED_OUT.contains(name)).collect();
    if required.is_empty() {
        return None;
    }
    let of = |resources: Option<&Value>| {
        let part = |which: &str| amounts(resources.and_then(|resources| resources.get(which)));
        computed(&part("requests"), &part("limits"))
    };
    let whole = of(pod.at(&["spec", "resources"]));
    let mut missing: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for container in list(pod, "containers").iter().chain(list(pod, "initContainers")) {
        let said = of(container.get("resources"));
        for name in required.iter().filter(|name| !said.contains_key(**name) && !whole.contains_key(**name)) {
            missing.entry(name).or_default().insert(text(container, "name"));
        }
    }
    let parts: Vec<String> = missing
        .into_iter()
        .map(|(name, containers)| format!("{name} for: {}", containers.into_iter().collect::<Vec<_>>().join(",")))
        .collect();
    (!parts.is_empty()).then(|| format!("must specify {}", parts.join("; ")))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::pods::written;
    use crate::testing::object;

    fn pod(resources: Value) -> Object {
        object(json!({ "spec": { "containers": [{ "name": "c", "resources": resources }, { "name": "d" }] } }))
    }

    #[test]
    fn a_pod_uses_what_it_asks_for_until_it_is_over() {
        let now = "2026-08-01T10:00:00Z".parse().unwrap();
        let mut pod = pod(json!({ "requests": { "cpu": "1", "example.com/gpu": "2" }, "limits": { "memory": "1Gi" } }));
        assert_eq!(
            written(&usage(&pod, now)),
            json!({ "pods": "1", "cpu": "1", "requests.cpu": "1", "requests.example.com/gpu": "2", "limits.memory": "1Gi" })
        );
        pod.set(&["metadata", "deletionTimestamp"], "2026-08-01T09:59:00Z");
        pod.set(&["metadata", "deletionGracePeriodSeconds"], 30);
        assert_eq!(usage(&pod, now), Amounts::new());
        pod.set(&["metadata", "deletionGracePeriodSeconds"], 90);
        assert!(!usage(&pod, now).is_empty());
        pod.set(&["status", "phase"], "Succeeded");
        assert_eq!(usage(&pod, now), Amounts::new());
    }

    #[test]
    fn containers_name_what_is_counted() {
        let pod = pod(json!({ "requests": { "cpu": "1" } }));
        assert_eq!(
            missing(&pod, &["limits.memory", "cpu", "pods"]),
            Some("must specify cpu for: d; limits.memory for: c,d".to_owned())
        );
        assert_eq!(missing(&pod, &["pods", "ephemeral-storage"]), None);
    }
}
