//! Nodes.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::engine::Context;
use crate::field::{Errors, Path};
use crate::names;
use crate::object::Object;
use crate::quantity::Quantity;
use crate::status::Status;
use crate::strategy::{Part, Reach, Replacing, Strategy};
use crate::table;

/// The strategy.
#[derive(Debug)]
pub(super) struct Node;

impl Strategy for Node {
    fn default(&self, object: &mut Object) {
        // What a node can give to pods is all it has, until its kubelet says otherwise.
        if object.at(&["status", "allocatable"]).is_none()
            && let Some(capacity) = object.at(&["status", "capacity"]).cloned()
        {
            object.set(&["status", "allocatable"], capacity);
        }
        if let (Some(cidr), true) =
            (object.text(&["spec", "podCIDR"]).map(str::to_owned), object.list(&["spec", "podCIDRs"]).is_empty())
        {
            object.set(&["spec", "podCIDRs"], vec![cidr]);
        }
    }

    fn prepare_update(&self, new: &mut Object, replacing: Replacing<'_>, _: &Context<'_>) -> Result<(), Status> {
        let keep = match replacing.part {
            Part::Status => "spec",
            Part::Main | Part::Other(_) => "status",
        };
        match replacing.old.at(&[keep]).cloned() {
            Some(value) => new.set(&[keep], value),
            None => {
                new.remove(&[keep]);
            }
        }
        Ok(())
    }

    fn reach(&self, part: Part<'_>) -> Reach {
        match part {
            Part::Status => Reach::KNOWLEDGE,
            Part::Main | Part::Other(_) => Reach::WISHES,
        }
    }

    fn validate(&self, object: &Object, errors: &mut Errors) {
        validate_taints(object, errors);
        validate_resources(object, errors);
        for (index, cidr) in object.list(&["spec", "podCIDRs"]).iter().enumerate() {
            let text = cidr.as_str().unwrap_or_default();
            if super::service::Cidr::parse(text).is_none() {
                errors.invalid(
                    &Path::new("spec.podCIDRs").index(index),
                    text,
                    "must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)",
                );
            }
        }
        if object.list(&["spec", "podCIDRs"]).len() > 2 {
            errors.invalid(
                &Path::new("spec.podCIDRs"),
                Value::Array(object.list(&["spec", "podCIDRs"]).to_vec()),
                "may specify no more than one CIDR for each IP family",
            );
        }
    }

    fn validate_update(&self, new: &Object, replacing: Replacing<'_>, errors: &mut Errors) {
        let old = replacing.old;
        validate_taints(new, errors);
        validate_resources(new, errors);
        let mut seen: BTreeSet<String> = BTreeSet::new();
        for (index, address) in new.list(&["status", "addresses"]).iter().enumerate() {
            if !seen.insert(address.to_string()) {
                errors.duplicate(&Path::new("status.addresses").index(index), address.clone());
            }
        }
        let cidrs = |object: &Object| object.list(&["spec", "podCIDRs"]).to_vec();
        if !cidrs(old).is_empty() && cidrs(old) != cidrs(new) {
            errors.forbidden(
                &Path::new("spec.podCIDRs"),
                "node updates may not change podCIDR except from \"\" to valid",
            );
        }
        if let Some(provider) = old.text(&["spec", "providerID"])
            && new.text(&["spec", "providerID"]) != Some(provider)
        {
            errors.forbidden(
                &Path::new("spec.providerID"),
                "node updates may not change providerID except from \"\" to valid",
            );
        }
    }

    fn cells_read(&self) -> &'static [&'static str] {
        &[
            "metadata.labels",
            "spec.unschedulable",
            "status.nodeInfo",
            "status.addresses.type",
            "status.addresses.address",
            "status.conditions.type",
            "status.conditions.status",
        ]
    }

    fn cells(&self, object: &Object, now: jiff::Timestamp) -> Vec<Value> {
        let or = |text: Option<&str>, other: &str| Value::from(text.unwrap_or(other));
        let info = |member: &str| object.text(&["status", "nodeInfo", member]);
        let address = |kind: &str| {
            object
                .list(&["status", "addresses"])
                .iter()
                .find(|one| one.get("type").and_then(Value::as_str) == Some(kind))
                .and_then(|one| one.get("address"))
                .and_then(Value::as_str)
        };
        vec![
            object.name().unwrap_or_default().into(),
            condition(object).into(),
            roles(object).into(),
            table::age(object.creation_timestamp(), now).into(),
            or(info("kubeletVersion"), ""),
            or(address("InternalIP"), "<none>"),
            or(address("ExternalIP"), "<none>"),
            or(info("osImage"), "<unknown>"),
            or(info("kernelVersion"), "<unknown>"),
            or(info("containerRuntimeVersion"), "<unknown>"),
        ]
    }
}

/// `Ready`, `NotReady` or `Unknown`, and whether pods may come.
fn condition(object: &Object) -> String {
    let ready = object
        .list(&["status", "conditions"])
        .iter()
        .find(|one| one.get("type").and_then(Value::as_str) == Some("Ready"))
        .map(|one| one.get("status").and_then(Value::as_str) == Some("True"));
    let mut text = match ready {
        Some(true) => "Ready",
        Some(false) => "NotReady",
        None => "Unknown",
    }
    .to_owned();
    if object.flag(&["spec", "unschedulable"]) {
        text.push_str(",SchedulingDisabled");
    }
    text
}

fn roles(object: &Object) -> String {
    let roles: BTreeSet<&str> = object
        .labels()
        .filter_map(|(key, value)| match key.strip_prefix("node-role.kubernetes.io/") {
            Some(role) => Some(role).filter(|role| !role.is_empty()),
            None if key == "kubernetes.io/role" => Some(value).filter(|role| !role.is_empty()),
            None => None,
        })
        .collect();
    if roles.is_empty() { "<none>".into() } else { roles.into_iter().collect::<Vec<_>>().join(",") }
}

fn validate_taints(object: &Object, errors: &mut Errors) {
    const EFFECTS: [&str; 3] = ["NoSchedule", "PreferNoSchedule", "NoExecute"];
    let mut seen: BTreeSet<(&str, &str)> = BTreeSet::new();
    for (index, taint) in object.list(&["spec", "taints"]).iter().enumerate() {
        let path = Path::new("metadata.taints").index(index);
        let text = |member: &str| taint.get(member).and_then(Value::as_str).unwrap_or_default();
        for message in names::qualified_name(text("key")) {
            errors.invalid(&path.child("key"), text("key"), &message);
        }
        let wrong = names::label_value(text("value"));
        if !wrong.is_empty() {
            errors.invalid(&path.child("value"), text("value"), &wrong.join(";"));
        }
        if text("effect").is_empty() {
            errors.required(&path.child("effect"), "");
        } else if !EFFECTS.contains(&text("effect")) {
            errors.not_supported(&path.child("effect"), text("effect"), &EFFECTS);
        }
        if !seen.insert((text("key"), text("effect"))) {
            errors.duplicate_because(&path, taint.clone(), "taints must be unique by key and effect pair");
        }
    }
}

fn validate_resources(object: &Object, errors: &mut Errors) {
    for member in ["capacity", "allocatable"] {
        for (name, amount) in object.at(&["status", member]).and_then(Value::as_object).into_iter().flatten() {
            let path = Path::new("status").child(member).child(name);
            let text = amount.as_str().unwrap_or_default();
            if Quantity::parse(text).is_ok_and(|amount| amount.is_negative()) {
                errors.invalid(&path, text, "must be greater than or equal to 0");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use crate::kinds::testing::{self, context, create, create_errors, update_errors};

    fn row() -> std::sync::Arc<crate::Resource> {
        testing::row("", "nodes")
    }

    #[test]
    fn a_table_shows_state_roles_and_addresses() {
        let node = create(
            &row(),
            json!({
                "metadata": { "name": "n", "labels": { "node-role.kubernetes.io/control-plane": "", "kubernetes.io/role": "edge" } },
                "spec": { "unschedulable": true },
                "status": {
                    "conditions": [{ "type": "Ready", "status": "True" }], "addresses": [{ "type": "InternalIP", "address": "10.0.0.1" }],
                    "nodeInfo": { "kubeletVersion": "v1.37.0" },
                },
            }),
        );
        assert_eq!(
            row().strategy.cells(&node, context().now),
            [
                "n",
                "Ready,SchedulingDisabled",
                "control-plane,edge",
                "0s",
                "v1.37.0",
                "10.0.0.1",
                "<none>",
                "<unknown>",
                "<unknown>",
                "<unknown>"
            ]
        );
    }

    #[test]
    fn taints_are_checked() {
        assert_eq!(
            create_errors(
                &row(),
                json!({ "spec": { "taints": [{ "key": "a", "effect": "Never" }, { "key": "b", "effect": "NoExecute" }, { "key": "b", "effect": "NoExecute" }] } })
            ),
            [
                "metadata.taints[0].effect: Unsupported value: \"Never\": supported values: \"NoSchedule\", \"PreferNoSchedule\", \"NoExecute\"",
                "metadata.taints[2]: Duplicate value: {\"effect\":\"NoExecute\",\"key\":\"b\"}: taints must be unique by key and effect pair",
            ]
        );
    }

    #[test]
    fn spec_and_status_are_written_apart() {
        let old = json!({ "spec": { "podCIDR": "10.0.0.0/24" }, "status": { "capacity": { "cpu": "1" } } });
        let new = json!({ "spec": { "podCIDR": "10.0.1.0/24" } });
        assert_eq!(
            update_errors(&row(), None, old.clone(), new.clone()),
            ["spec.podCIDRs: Forbidden: node updates may not change podCIDR except from \"\" to valid"]
        );
        assert!(update_errors(&row(), Some("status"), old, new).is_empty());
    }
}
