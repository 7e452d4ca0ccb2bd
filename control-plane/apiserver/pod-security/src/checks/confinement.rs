//! Checks of what the kernel holds processes back by: AppArmor, SELinux, seccomp, masked files, kernel parameters.

use std::collections::BTreeSet;

use serde_json::Value;

use super::{Violation, containers, plural, quoted, setters};
use crate::pod::{Pod, in_context, items, name, present, text};

/// Profile types that confine: the same words for AppArmor and for seccomp.
const CONFINING: [&str; 2] = ["RuntimeDefault", "Localhost"];

/// Who sets the type of a profile to something that does not confine, and to what.
struct Loose<'a> {
    pod: bool,
    containers: Vec<&'a str>,
    types: BTreeSet<&'a str>,
}

impl<'a> Loose<'a> {
    fn find(pod: Pod<'a>, member: &str) -> Self {
        let loose = |profile: &'a Value| Some(text(profile, "type")).filter(|kind| !CONFINING.contains(kind));
        let of_pod = pod.security_context().and_then(|context| present(context, member)).and_then(loose);
        let mut found = Self { pod: of_pod.is_some(), containers: Vec::new(), types: of_pod.into_iter().collect() };
        for container in pod.containers() {
            if let Some(kind) = in_context(container, member).and_then(loose) {
                found.containers.push(name(container));
                found.types.insert(kind);
            }
        }
        found
    }
}

/// AppArmor's profiles, in fields and in the annotations there were before.
pub(super) fn app_armor(pod: Pod<'_>) -> Option<Violation> {
    let found = Loose::find(pod, "appArmorProfile");
    let allowed = |value: &str| value.is_empty() || value == "runtime/default" || value.starts_with("localhost/");
    let mut annotations: Vec<String> = pod
        .annotations()
        .filter(|(key, value)| key.starts_with("container.apparmor.security.beta.kubernetes.io/") && !allowed(value))
        .map(|(key, value)| format!("{key}={value:?}"))
        .collect();
    annotations.sort_unstable();
    let mut who = setters(found.pod, &found.containers);
    if !annotations.is_empty() {
        let and = if who.is_empty() { "" } else { " and " };
        who = format!("{who}{and}{}", plural(annotations.len(), "annotation", "annotations"));
    }
    let values: Vec<&str> = found.types.into_iter().chain(annotations.iter().map(String::as_str)).collect();
    (!who.is_empty()).then(|| Violation {
        reason: plural(values.len(), "forbidden AppArmor profile", "forbidden AppArmor profiles"),
        detail: format!("{who} must not set AppArmor profile type to {}", quoted(values)),
    })
}

/// `/proc` with all its files.
pub(super) fn proc_mount(pod: Pod<'_>) -> Option<Violation> {
    let (mut bad, mut types) = (Vec::new(), BTreeSet::new());
    for container in pod.containers() {
        let kind = in_context(container, "procMount").and_then(Value::as_str);
        if let Some(kind) = kind.filter(|kind| *kind != "Default") {
            bad.push(name(container));
            types.insert(kind);
        }
    }
    (!bad.is_empty()).then(|| Violation {
        reason: "procMount",
        detail: format!("{} must not set securityContext.procMount to {}", containers(&bad), quoted(types)),
    })
}

/// [`proc_mount`], of pods whose users are those of the node.
pub(super) fn proc_mount_of_host_users(pod: Pod<'_>) -> Option<Violation> {
    if pod.has_own_users() { None } else { proc_mount(pod) }
}

/// SELinux labels of the node's own processes.
pub(super) fn se_linux(pod: Pod<'_>) -> Option<Violation> {
    se_linux_except(pod, &["", "container_t", "container_init_t", "container_kvm_t"])
}

/// [`se_linux`], but a container may run a container engine.
pub(super) fn se_linux_with_engine(pod: Pod<'_>) -> Option<Violation> {
    se_linux_except(pod, &["", "container_t", "container_init_t", "container_kvm_t", "container_engine_t"])
}

fn se_linux_except(pod: Pod<'_>, allowed: &[&str]) -> Option<Violation> {
    let (mut types, mut user, mut role) = (BTreeSet::new(), false, false);
    let mut is_bad = |options: Option<&'_ Value>| {
        let Some(options) = options else { return false };
        let kind = text(options, "type");
        let (bad_type, has_user) = (!allowed.contains(&kind), !text(options, "user").is_empty());
        let has_role = !text(options, "role").is_empty();
        if bad_type {
            types.insert(kind.to_owned());
        }
        user |= has_user;
        role |= has_role;
        bad_type || has_user || has_role
    };
    let of_pod = is_bad(pod.security_context().and_then(|context| present(context, "seLinuxOptions")));
    let bad: Vec<&str> =
        pod.containers().filter(|container| is_bad(in_context(container, "seLinuxOptions"))).map(name).collect();
    let who = setters(of_pod, &bad);
    if who.is_empty() {
        return None;
    }
    let mut what = Vec::new();
    if !types.is_empty() {
        let types_text = quoted(types.iter().map(String::as_str));
        what.push(format!("{} {types_text}", plural(types.len(), "type", "types")));
    }
    if user {
        what.push("user may not be set".to_owned());
    }
    if role {
        what.push("role may not be set".to_owned());
    }
    let detail = format!("{who} set forbidden securityContext.seLinuxOptions: {}", what.join("; "));
    Some(Violation { reason: "seLinuxOptions", detail })
}

/// Seccomp profiles as annotations, before there were fields.
pub(super) fn seccomp_annotations(pod: Pod<'_>) -> Option<Violation> {
    let allowed =
        |value: &str| matches!(value, "runtime/default" | "docker/default") || value.starts_with("localhost/");
    let of_containers =
        pod.containers().map(|one| format!("container.seccomp.security.alpha.kubernetes.io/{}", name(one)));
    let keys = std::iter::once("seccomp.security.alpha.kubernetes.io/pod".to_owned()).chain(of_containers);
    let bad: BTreeSet<String> = keys
        .filter_map(|key| {
            let value = pod.annotation(&key).filter(|value| !allowed(value))?;
            Some(format!("{key}={value:?}"))
        })
        .collect();
    (!bad.is_empty()).then(|| {
        let what = plural(bad.len(), "annotation", "annotations");
        let bad: Vec<String> = bad.into_iter().collect();
        Violation { reason: SECCOMP, detail: format!("forbidden {what} {}", bad.join(", ")) }
    })
}

const SECCOMP: &str = "seccompProfile";

/// Nobody switches seccomp off.
pub(super) fn seccomp_baseline(pod: Pod<'_>) -> Option<Violation> {
    let found = Loose::find(pod, SECCOMP);
    let who = setters(found.pod, &found.containers);
    (!who.is_empty()).then(|| Violation {
        reason: SECCOMP,
        detail: format!("{who} must not set securityContext.seccompProfile.type to {}", quoted(found.types)),
    })
}

/// Everybody has a profile: the pod's, or each container its own.
pub(super) fn seccomp_restricted(pod: Pod<'_>) -> Option<Violation> {
    if let Some(violation) = seccomp_baseline(pod) {
        return Some(violation);
    }
    if pod.security_context().is_some_and(|context| present(context, SECCOMP).is_some()) {
        return None;
    }
    let without: Vec<&str> =
        pod.containers().filter(|container| in_context(container, SECCOMP).is_none()).map(name).collect();
    (!without.is_empty()).then(|| Violation {
        reason: SECCOMP,
        detail: format!(
            "pod or {} must set securityContext.seccompProfile.type to \"RuntimeDefault\" or \"Localhost\"",
            containers(&without)
        ),
    })
}

/// Kernel parameters that stay within a pod, and the version that allowed them.
const SAFE_SYSCTLS: [(u64, &str); 14] = [
    (0, "kernel.shm_rmid_forced"),
    (0, "net.ipv4.ip_local_port_range"),
    (0, "net.ipv4.tcp_syncookies"),
    (0, "net.ipv4.ping_group_range"),
    (0, "net.ipv4.ip_unprivileged_port_start"),
    (27, "net.ipv4.ip_local_reserved_ports"),
    (29, "net.ipv4.tcp_keepalive_time"),
    (29, "net.ipv4.tcp_fin_timeout"),
    (29, "net.ipv4.tcp_keepalive_intvl"),
    (29, "net.ipv4.tcp_keepalive_probes"),
    (32, "net.ipv4.tcp_rmem"),
    (32, "net.ipv4.tcp_wmem"),
    (37, "net.ipv4.tcp_slow_start_after_idle"),
    (37, "net.ipv4.tcp_notsent_lowat"),
];

/// Kernel parameters beyond those known to be safe in a version.
pub(super) fn sysctls<const MINOR: u64>(pod: Pod<'_>) -> Option<Violation> {
    let safe = |name: &&str| SAFE_SYSCTLS.iter().any(|(since, sysctl)| *since <= MINOR && sysctl == name);
    let asked = pod.security_context().map_or(&[][..], |context| items(context, "sysctls"));
    let bad: Vec<&str> = asked.iter().map(name).filter(|name| !safe(name)).collect();
    (!bad.is_empty()).then(|| Violation { reason: "forbidden sysctls", detail: bad.join(", ") })
}
