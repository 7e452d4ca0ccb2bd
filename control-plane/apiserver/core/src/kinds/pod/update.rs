//! What may change on a pod that exists.

use std::collections::BTreeSet;

use serde_json::Value;

use super::{list, text};
use crate::field::{Errors, Path};
use crate::object::Object;

const IMMUTABLE: &str = "pod updates may not change fields other than `spec.containers[*].image`,`spec.initContainers[*].image`,\
     `spec.activeDeadlineSeconds`,`spec.tolerations` (only additions to existing tolerations),`spec.terminationGracePeriodSeconds` \
     (allow it to be set to 1 if it was previously negative)";

/// Checks a change of a pod outside its status.
pub(super) fn validate(new: &Object, old: &Object, errors: &mut Errors) {
    let path = Path::new("spec");
    let (after, before) = (new.at(&["spec"]).unwrap_or(&Value::Null), old.at(&["spec"]).unwrap_or(&Value::Null));
    if after == before {
        return;
    }
    let mut counted = true;
    for (member, what) in [
        ("containers", "containers"),
        ("initContainers", "init containers"),
        ("ephemeralContainers", "ephemeral containers"),
    ] {
        if list(after, member).len() != list(before, member).len() {
            counted = false;
            errors.forbidden(&path.child(member), &format!("pod updates may not add or remove {what}"));
        }
    }
    if !counted {
        return;
    }
    check_images(after, &path, errors);
    check_deadline(after, before, &path, errors);
    check_tolerations(after, before, &path, errors);
    let gated = !list(before, "schedulingGates").is_empty();
    check_gates(after, before, &path, errors);

    let mut munged = after.clone();
    restore(&mut munged, before, "activeDeadlineSeconds");
    restore(&mut munged, before, "tolerations");
    restore(&mut munged, before, "schedulingGates");
    let grace = |spec: &Value| spec.get("terminationGracePeriodSeconds").and_then(Value::as_i64);
    if grace(before).is_some_and(|seconds| seconds < 0) && grace(after) == Some(1) {
        restore(&mut munged, before, "terminationGracePeriodSeconds");
    }
    for member in ["containers", "initContainers"] {
        let images: Vec<Option<Value>> = list(before, member).iter().map(|one| one.get("image").cloned()).collect();
        let Some(containers) = munged.get_mut(member).and_then(Value::as_array_mut) else { continue };
        for (container, image) in containers.iter_mut().zip(images) {
            if let (Some(map), Some(image)) = (container.as_object_mut(), image) {
                map.insert("image".into(), image);
            }
        }
    }
    if gated {
        // Before it is scheduled, where it may go can still be narrowed.
        if only_added(after.get("nodeSelector"), before.get("nodeSelector")) {
            restore(&mut munged, before, "nodeSelector");
        } else {
            errors.invalid(
                &path.child("nodeSelector"),
                after.get("nodeSelector").cloned().unwrap_or_default(),
                "only additions are allowed (no mutations or deletions)",
            );
            restore(&mut munged, before, "nodeSelector");
        }
        if before.get("affinity").is_none() {
            restore(&mut munged, before, "affinity");
        }
    }
    if munged != *before {
        let mut changed = Vec::new();
        differences(&munged, before, "spec", &mut changed);
        errors.forbidden(&path, &format!("{IMMUTABLE}\n{}", changed.join("\n")));
    }
}

/// Checks a change of a pod's status.
pub(super) fn validate_status(new: &Object, old: &Object, errors: &mut Errors) {
    let path = Path::new("status");
    let nominated = new.text(&["status", "nominatedNodeName"]).unwrap_or_default();
    if !nominated.is_empty() {
        for message in crate::names::dns_subdomain(nominated) {
            errors.invalid(&path.child("nominatedNodeName"), nominated, &message);
        }
    }
    // A container that ended for good does not come back under a policy that forbids it.
    let policy = new.text(&["spec", "restartPolicy"]).unwrap_or("Always");
    if policy != "Always" {
        let ended = |status: &Value| status.get("state").and_then(|state| state.get("terminated")).cloned();
        for status in old.list(&["status", "containerStatuses"]) {
            let Some(end) = ended(status) else { continue };
            let failed = end.get("exitCode").and_then(Value::as_i64).unwrap_or(0) != 0;
            if policy == "OnFailure" && failed {
                continue;
            }
            let again = new
                .list(&["status", "containerStatuses"])
                .iter()
                .enumerate()
                .find(|(_, one)| text(one, "name") == text(status, "name"));
            if let Some((index, again)) = again
                && ended(again).is_none()
            {
                errors.forbidden(
                    &path.child("containerStatuses").index(index).child("state"),
                    "may not be transitioned to non-terminated state",
                );
            }
        }
    }
    for (index, ip) in new.list(&["status", "podIPs"]).iter().enumerate() {
        if let Some(message) = crate::names::ip_address(text(ip, "ip")) {
            errors.invalid(&path.child("podIPs").index(index), text(ip, "ip"), message);
        }
    }
}

fn restore(spec: &mut Value, before: &Value, member: &str) {
    let Some(map) = spec.as_object_mut() else { return };
    match before.get(member) {
        Some(value) => map.insert(member.to_owned(), value.clone()),
        None => map.remove(member),
    };
}

fn check_images(after: &Value, path: &Path, errors: &mut Errors) {
    for member in ["containers", "initContainers"] {
        for (index, container) in list(after, member).iter().enumerate() {
            let image = text(container, "image");
            let path = path.child(member).index(index).child("image");
            if image.is_empty() {
                errors.required(&path, "");
            } else if image != image.trim() {
                errors.invalid(&path, image, "must not have leading or trailing whitespace");
            }
        }
    }
}

fn check_deadline(after: &Value, before: &Value, path: &Path, errors: &mut Errors) {
    let path = path.child("activeDeadlineSeconds");
    let of = |spec: &Value| spec.get("activeDeadlineSeconds").and_then(Value::as_i64);
    match (of(before), of(after)) {
        (_, Some(seconds)) if !(0..=i64::from(i32::MAX)).contains(&seconds) => {
            errors.invalid(&path, seconds, "must be between 0 and 2147483647, inclusive");
        }
        (Some(old), Some(new)) if new > old => {
            errors.invalid(&path, new, "must be less than or equal to previous value");
        }
        (Some(_), None) => errors.invalid(&path, Value::Null, "must not update from a positive integer to nil value"),
        (_, _) => {}
    }
}

fn check_tolerations(after: &Value, before: &Value, path: &Path, errors: &mut Errors) {
    let strip = |toleration: &Value| {
        let mut plain = toleration.clone();
        if let Some(map) = plain.as_object_mut() {
            map.remove("tolerationSeconds");
        }
        plain
    };
    let now: Vec<Value> = list(after, "tolerations").iter().map(strip).collect();
    if !list(before, "tolerations").iter().all(|old| now.contains(&strip(old))) {
        errors.forbidden(
            &path.child("tolerations"),
            "existing toleration can not be modified except its tolerationSeconds",
        );
    }
}

fn check_gates(after: &Value, before: &Value, path: &Path, errors: &mut Errors) {
    let old: BTreeSet<&str> = list(before, "schedulingGates").iter().map(|gate| text(gate, "name")).collect();
    for gate in list(after, "schedulingGates") {
        let name = text(gate, "name");
        if !old.contains(name) {
            errors.forbidden(
                &path.child("schedulingGates"),
                &format!("only deletion is allowed, but found new scheduling gate '{name}'"),
            );
        }
    }
}

fn only_added(after: Option<&Value>, before: Option<&Value>) -> bool {
    let Some(before) = before.and_then(Value::as_object) else { return true };
    before.iter().all(|(key, value)| after.and_then(|after| after.get(key)) == Some(value))
}

/// Names what differs, one line for each, so that the message is of use.
fn differences(after: &Value, before: &Value, path: &str, lines: &mut Vec<String>) {
    const LIMIT: usize = 20;
    if after == before || lines.len() >= LIMIT {
        return;
    }
    match (after, before) {
        (Value::Object(new), Value::Object(old)) => {
            let keys: BTreeSet<&String> = new.keys().chain(old.keys()).collect();
            for key in keys {
                let null = Value::Null;
                differences(
                    new.get(key).unwrap_or(&null),
                    old.get(key).unwrap_or(&null),
                    &format!("{path}.{key}"),
                    lines,
                );
            }
        }
        (Value::Array(new), Value::Array(old)) if new.len() == old.len() => {
            for (index, (new, old)) in new.iter().zip(old).enumerate() {
                differences(new, old, &format!("{path}[{index}]"), lines);
            }
        }
        (_, _) => lines.push(format!("- {path}: {before}\n+ {path}: {after}")),
    }
}
