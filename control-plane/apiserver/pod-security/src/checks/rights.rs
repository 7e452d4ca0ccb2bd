//! Checks of what processes may become and do.

use std::collections::BTreeSet;

use serde_json::Value;

use super::{Violation, containers, quoted, setters};
use crate::pod::{Pod, in_context, items, name};

/// Everything at once.
pub(super) fn privileged(pod: Pod<'_>) -> Option<Violation> {
    let bad = pod.containers().filter(|container| in_context(container, "privileged") == Some(&Value::Bool(true)));
    let bad: Vec<&str> = bad.map(name).collect();
    (!bad.is_empty()).then(|| Violation {
        reason: "privileged",
        detail: format!("{} must not set securityContext.privileged=true", containers(&bad)),
    })
}

/// What a container runtime gives without being asked.
const DEFAULT_CAPABILITIES: [&str; 13] = [
    "AUDIT_WRITE",
    "CHOWN",
    "DAC_OVERRIDE",
    "FOWNER",
    "FSETID",
    "KILL",
    "MKNOD",
    "NET_BIND_SERVICE",
    "SETFCAP",
    "SETGID",
    "SETPCAP",
    "SETUID",
    "SYS_CHROOT",
];

/// Capabilities a container adds beyond `allowed`, and who adds them.
fn added<'a>(pod: Pod<'a>, allowed: &[&str]) -> (Vec<&'a str>, BTreeSet<&'a str>) {
    let (mut bad, mut capabilities) = (Vec::new(), BTreeSet::new());
    for container in pod.containers() {
        let Some(own) = in_context(container, "capabilities") else { continue };
        let beyond = items(own, "add").iter().filter_map(Value::as_str).filter(|one| !allowed.contains(one));
        let beyond: Vec<&str> = beyond.collect();
        if !beyond.is_empty() {
            bad.push(name(container));
            capabilities.extend(beyond);
        }
    }
    (bad, capabilities)
}

fn told_of_added(bad: &[&str], capabilities: BTreeSet<&str>) -> String {
    format!("{} must not include {} in securityContext.capabilities.add", containers(bad), quoted(capabilities))
}

/// No capability beyond the usual ones.
pub(super) fn capabilities_baseline(pod: Pod<'_>) -> Option<Violation> {
    let (bad, capabilities) = added(pod, &DEFAULT_CAPABILITIES);
    (!bad.is_empty())
        .then(|| Violation { reason: "non-default capabilities", detail: told_of_added(&bad, capabilities) })
}

/// No capability but that of binding low ports.
pub(super) fn capabilities_restricted(pod: Pod<'_>) -> Option<Violation> {
    let keeps = |container: &&Value| {
        !in_context(container, "capabilities").is_some_and(|own| items(own, "drop").iter().any(|one| one == "ALL"))
    };
    let keepers: Vec<&str> = pod.containers().filter(keeps).map(name).collect();
    let mut details = Vec::new();
    if !keepers.is_empty() {
        details.push(format!("{} must set securityContext.capabilities.drop=[\"ALL\"]", containers(&keepers)));
    }
    let (bad, capabilities) = added(pod, &["NET_BIND_SERVICE"]);
    if !bad.is_empty() {
        details.push(told_of_added(&bad, capabilities));
    }
    (!details.is_empty()).then(|| Violation { reason: "unrestricted capabilities", detail: details.join("; ") })
}

/// No process gets more than its parent has.
pub(super) fn privilege_escalation(pod: Pod<'_>) -> Option<Violation> {
    let bad = pod
        .containers()
        .filter(|container| in_context(container, "allowPrivilegeEscalation") != Some(&Value::Bool(false)));
    let bad: Vec<&str> = bad.map(name).collect();
    (!bad.is_empty()).then(|| Violation {
        reason: "allowPrivilegeEscalation != false",
        detail: format!("{} must set securityContext.allowPrivilegeEscalation=false", containers(&bad)),
    })
}

/// Nobody runs as root: said of the pod, or of each container.
pub(super) fn run_as_non_root(pod: Pod<'_>) -> Option<Violation> {
    const REASON: &str = "runAsNonRoot != true";
    let of_pod = pod.security_context().and_then(|context| context["runAsNonRoot"].as_bool());
    let (mut explicit, mut implicit) = (Vec::new(), Vec::new());
    for container in pod.containers() {
        match in_context(container, "runAsNonRoot").and_then(Value::as_bool) {
            Some(true) => {}
            Some(false) => explicit.push(name(container)),
            None if of_pod == Some(true) => {}
            None => implicit.push(name(container)),
        }
    }
    let who = setters(of_pod == Some(false), &explicit);
    if !who.is_empty() {
        let detail = format!("{who} must not set securityContext.runAsNonRoot=false");
        return Some(Violation { reason: REASON, detail });
    }
    (!implicit.is_empty()).then(|| Violation {
        reason: REASON,
        detail: format!("pod or {} must set securityContext.runAsNonRoot=true", containers(&implicit)),
    })
}

/// Nobody asks to be user 0.
pub(super) fn run_as_user(pod: Pod<'_>) -> Option<Violation> {
    let pod_sets = pod.security_context().is_some_and(|context| context["runAsUser"] == 0);
    let bad = pod.containers().filter(|container| in_context(container, "runAsUser").is_some_and(|user| user == 0));
    let who = setters(pod_sets, &bad.map(name).collect::<Vec<_>>());
    (!who.is_empty()).then(|| Violation { reason: "runAsUser=0", detail: format!("{who} must not set runAsUser=0") })
}
