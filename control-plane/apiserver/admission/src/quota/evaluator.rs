//! What objects use, kind by kind.

use apiserver_core::quantity::Quantity;
use apiserver_core::{Object, Resource};
use serde_json::Value;

use super::{pod, scope};
use crate::attributes::{Attributes, Operation};
use crate::pods::{Amounts, items, text};

const CLASS: &str = ".storageclass.storage.k8s.io/";
const DEVICES: &str = ".deviceclass.resource.k8s.io/devices";
/// Devices a request for all of them counts as: the most a claim may have.
const ALL_DEVICES: i64 = 32;

/// How the objects of a resource are measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Evaluator {
    /// Pods: what their containers take.
    Pods,
    /// Services: ports of nodes and load balancers.
    Services,
    /// Claims to volumes: their size, by class.
    Claims,
    /// Claims to devices, by class.
    DeviceClaims,
    /// Any other object: that it is there.
    Count,
}

impl Evaluator {
    /// The evaluator of a resource; `None` for what no quota holds for.
    pub fn of(resource: &Resource) -> Option<Self> {
        if !resource.is_namespaced() || !resource.stored {
            return None;
        }
        match (resource.group.as_str(), resource.plural.as_str()) {
            ("" | "events.k8s.io", "events") => None,
            ("", "pods") => Some(Self::Pods),
            ("", "services") => Some(Self::Services),
            ("", "persistentvolumeclaims") => Some(Self::Claims),
            ("resource.k8s.io", "resourceclaims") => Some(Self::DeviceClaims),
            _ => Some(Self::Count),
        }
    }

    /// Whether a request can change what is used.
    pub fn handles(self, attributes: &Attributes<'_>) -> bool {
        match (self, attributes.operation, attributes.subresource) {
            (_, Operation::Create, None)
            | (Self::Pods, Operation::Update, Some("resize"))
            | (Self::Services | Self::Claims | Self::DeviceClaims, Operation::Update, None) => true,
            (_, Operation::Create | Operation::Update | Operation::Delete | Operation::Connect, _) => false,
        }
    }

    /// Whether objects of the resource use a resource of that name.
    pub fn matches(self, resource: &Resource, name: &str) -> bool {
        if name == count_name(resource) {
            return true;
        }
        match self {
            Self::Pods => pod::is_computed(name),
            Self::Services => matches!(name, "services" | "services.nodeports" | "services.loadbalancers"),
            Self::Claims => {
                let class = name.split_once(CLASS).map(|(_, rest)| rest);
                matches!(class.unwrap_or(name), "persistentvolumeclaims" | "requests.storage")
            }
            Self::DeviceClaims => name.ends_with(DEVICES),
            Self::Count => old_name(resource) == Some(name),
        }
    }

    /// Whether a scope holds for an object. Most objects have none.
    pub(super) fn is_in_scope(self, object: &Object, selector: &Value) -> bool {
        match self {
            Self::Pods => scope::holds_for_pod(object, selector),
            Self::Claims => scope::holds_for_claim(object, selector),
            Self::Services | Self::DeviceClaims | Self::Count => false,
        }
    }

    /// What an object must say for these resources to be counted, and does not.
    pub(super) fn missing(self, object: &Object, required: &[&str]) -> Option<String> {
        if self == Self::Pods { pod::missing(object, required) } else { None }
    }
}

/// `count/deployments.apps`
fn count_name(resource: &Resource) -> String {
    if resource.group.is_empty() {
        format!("count/{}", resource.plural)
    } else {
        format!("count/{}.{}", resource.plural, resource.group)
    }
}

/// The name under which some resources were counted before there were counts of all.
fn old_name(resource: &Resource) -> Option<&str> {
    let is_old = resource.group.is_empty()
        && ["configmaps", "resourcequotas", "replicationcontrollers", "secrets"].contains(&resource.plural.as_str());
    is_old.then_some(resource.plural.as_str())
}

/// What an object uses.
pub fn usage(resource: &Resource, evaluator: Evaluator, object: &Object, now: jiff::Timestamp) -> Amounts {
    let one = Quantity::whole(1);
    let mut used = Amounts::from([(count_name(resource), one)]);
    match evaluator {
        Evaluator::Pods => used.extend(pod::usage(object, now)),
        Evaluator::Services => used.extend(of_service(object)),
        Evaluator::Claims => used.extend(of_claim(object)),
        Evaluator::DeviceClaims => used.extend(of_device_claim(object)),
        Evaluator::Count => used.extend(old_name(resource).map(|name| (name.to_owned(), one))),
    }
    used
}

fn of_service(service: &Object) -> Amounts {
    let ports = service.list(&["spec", "ports"]);
    let chosen = ports.iter().filter(|port| port.get("nodePort").and_then(Value::as_i64).unwrap_or(0) != 0).count();
    let allocates = service.at(&["spec", "allocateLoadBalancerNodePorts"]).and_then(Value::as_bool).unwrap_or(true);
    let (node_ports, balancers) = match service.text(&["spec", "type"]) {
        Some("NodePort") => (ports.len(), 0),
        Some("LoadBalancer") if allocates => (ports.len(), 1),
        Some("LoadBalancer") => (chosen, 1),
        Some(_) | None => (0, 0),
    };
    Amounts::from([
        ("services".to_owned(), Quantity::whole(1)),
        ("services.nodeports".to_owned(), Quantity::whole(node_ports as i64)),
        ("services.loadbalancers".to_owned(), Quantity::whole(balancers)),
    ])
}

fn of_claim(claim: &Object) -> Amounts {
    let one = Quantity::whole(1);
    let old = claim.text(&["metadata", "annotations", "volume.beta.kubernetes.io/storage-class"]);
    let class = old.or_else(|| claim.text(&["spec", "storageClassName"]));
    let mut used = Amounts::from([("persistentvolumeclaims".to_owned(), one)]);
    used.extend(class.map(|class| (format!("{class}{CLASS}persistentvolumeclaims"), one)));
    let asked = claim.at(&["spec", "resources", "requests", "storage"]).and_then(Quantity::of);
    // What was given already counts even when less is asked for now.
    let given = claim.at(&["status", "allocatedResources", "storage"]).and_then(Quantity::of);
    if let Some(size) = asked.max(given) {
        used.insert("requests.storage".to_owned(), size);
        used.extend(class.map(|class| (format!("{class}{CLASS}requests.storage"), size)));
    }
    used
}

fn of_device_claim(claim: &Object) -> Amounts {
    let mut used = Amounts::new();
    let mut add = |class: &str, number: i64| {
        let name = format!("{class}{DEVICES}");
        let had = used.get(&name).copied().unwrap_or(Quantity::ZERO);
        used.insert(name, had.plus(Quantity::whole(number)));
    };
    for request in claim.list(&["spec", "devices", "requests"]) {
        if let Some(exactly) = request.get("exactly") {
            add(text(exactly, "deviceClassName"), devices(exactly));
        }
        // Of alternatives any may be chosen: each class counts with its greatest.
        let mut most: std::collections::BTreeMap<&str, i64> = std::collections::BTreeMap::new();
        for one in items(request, "firstAvailable") {
            let known = most.entry(text(one, "deviceClassName")).or_default();
            *known = (*known).max(devices(one));
        }
        for (class, number) in most {
            add(class, number);
        }
    }
    used
}

fn devices(request: &Value) -> i64 {
    if text(request, "allocationMode") == "All" {
        return ALL_DEVICES;
    }
    request.get("count").and_then(Value::as_i64).unwrap_or(1)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::pods::written;
    use crate::testing::{object, row};

    fn used(group: &str, plural: &str, value: Value) -> Value {
        let row = row(group, plural);
        let evaluator = Evaluator::of(&row).unwrap();
        let used = usage(&row, evaluator, &object(value), "2026-08-01T10:00:00Z".parse().unwrap());
        assert!(used.keys().all(|name| evaluator.matches(&row, name)), "{used:?}");
        written(&used)
    }

    #[test]
    fn objects_are_counted() {
        assert_eq!(used("apps", "deployments", json!({})), json!({ "count/deployments.apps": "1" }));
        assert_eq!(used("", "configmaps", json!({})), json!({ "count/configmaps": "1", "configmaps": "1" }));
        assert_eq!(Evaluator::of(&row("", "events")), None);
        assert_eq!(Evaluator::of(&row("", "nodes")), None);
    }

    #[test]
    fn services_use_ports_and_balancers() {
        let service = |kind: &str, more: Value| {
            let mut spec = json!({ "type": kind, "ports": [{ "port": 1, "nodePort": 30000 }, { "port": 2 }] });
            spec.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            let used = used("", "services", json!({ "spec": spec }));
            (used["services.nodeports"].clone(), used["services.loadbalancers"].clone())
        };
        assert_eq!(service("ClusterIP", json!({})), (json!("0"), json!("0")));
        assert_eq!(service("NodePort", json!({})), (json!("2"), json!("0")));
        assert_eq!(service("LoadBalancer", json!({})), (json!("2"), json!("1")));
        let few = json!({ "allocateLoadBalancerNodePorts": false });
        assert_eq!(service("LoadBalancer", few), (json!("1"), json!("1")));
    }

    #[test]
    fn claims_use_storage_of_their_class() {
        let claim =
            json!({ "spec": { "storageClassName": "fast", "resources": { "requests": { "storage": "2Gi" } } } });
        assert_eq!(
            used("", "persistentvolumeclaims", claim),
            json!({
                "count/persistentvolumeclaims": "1", "persistentvolumeclaims": "1", "requests.storage": "2Gi",
                "fast.storageclass.storage.k8s.io/persistentvolumeclaims": "1",
                "fast.storageclass.storage.k8s.io/requests.storage": "2Gi",
            })
        );
    }

    #[test]
    fn claims_to_devices_use_their_classes() {
        let claim = json!({ "spec": { "devices": { "requests": [
            { "name": "a", "exactly": { "deviceClassName": "gpu", "count": 2 } },
            { "name": "b", "firstAvailable": [
                { "deviceClassName": "gpu", "count": 4 }, { "deviceClassName": "gpu", "count": 1 }, { "deviceClassName": "nic", "allocationMode": "All" },
            ] },
        ] } } });
        assert_eq!(
            used("resource.k8s.io", "resourceclaims", claim),
            json!({
                "count/resourceclaims.resource.k8s.io": "1", "gpu.deviceclass.resource.k8s.io/devices": "6",
                "nic.deviceclass.resource.k8s.io/devices": "32",
            })
        );
    }
}
