//! Checks of what reaches into the node.

use std::collections::BTreeSet;

use serde_json::Value;

use super::{Violation, containers, plural, quoted, setters};
use crate::pod::{Pod, in_context, items, name, present, text};

/// Namespaces of the node.
pub(super) fn namespaces(pod: Pod<'_>) -> Option<Violation> {
    let used = ["hostIPC", "hostNetwork", "hostPID"].into_iter().filter(|name| pod.spec[name] == true);
    let used: Vec<&str> = used.collect();
    (!used.is_empty()).then(|| Violation { reason: "host namespaces", detail: used.join(", ") })
}

/// Files of the node.
pub(super) fn path_volumes(pod: Pod<'_>) -> Option<Violation> {
    let volumes = items(pod.spec, "volumes").iter().filter(|volume| present(volume, "hostPath").is_some());
    let names: Vec<&str> = volumes.map(name).collect();
    (!names.is_empty()).then(|| {
        let detail = format!("{} {}", plural(names.len(), "volume", "volumes"), quoted(names));
        Violation { reason: "hostPath volumes", detail }
    })
}

/// Ports of the node.
pub(super) fn ports(pod: Pod<'_>) -> Option<Violation> {
    let (mut bad, mut ports) = (Vec::new(), BTreeSet::new());
    for container in pod.containers() {
        let used = items(container, "ports").iter().filter_map(|port| port["hostPort"].as_i64());
        let used: Vec<String> = used.filter(|port| *port != 0).map(|port| port.to_string()).collect();
        if !used.is_empty() {
            bad.push(name(container));
            ports.extend(used);
        }
    }
    (!bad.is_empty()).then(|| {
        let (use_, what) = (plural(bad.len(), "uses", "use"), plural(ports.len(), "hostPort", "hostPorts"));
        let ports: Vec<String> = ports.into_iter().collect();
        Violation { reason: "hostPort", detail: format!("{} {use_} {what} {}", containers(&bad), ports.join(", ")) }
    })
}

/// Probes and hooks that are sent elsewhere than to their pod.
pub(super) fn probes_and_lifecycle(pod: Pod<'_>) -> Option<Violation> {
    let (mut bad, mut hosts) = (BTreeSet::new(), BTreeSet::new());
    for container in pod.containers() {
        let probes = ["livenessProbe", "readinessProbe", "startupProbe"].map(|probe| &container[probe]);
        let hooks = ["postStart", "preStop"].map(|hook| &container["lifecycle"][hook]);
        for handler in probes.into_iter().chain(hooks) {
            let named = ["httpGet", "tcpSocket"].map(|action| text(&handler[action], "host"));
            for host in named.into_iter().filter(|host| !host.is_empty()) {
                bad.insert(name(container));
                hosts.insert(host);
            }
        }
    }
    (!bad.is_empty()).then(|| {
        let bad: Vec<&str> = bad.into_iter().collect();
        let what = plural(hosts.len(), "probe or lifecycle host", "probe or lifecycle hosts");
        let use_ = plural(bad.len(), "uses", "use");
        let detail = format!("{} {use_} {what} {}", containers(&bad), quoted(hosts));
        Violation { reason: "probe or lifecycle host", detail }
    })
}

/// Processes of the node, on Windows.
pub(super) fn windows_process(pod: Pod<'_>) -> Option<Violation> {
    let is_set = |options: &Value| options["hostProcess"] == true;
    let pod_sets = pod.security_context().is_some_and(|context| is_set(&context["windowsOptions"]));
    let bad = pod.containers().filter(|container| in_context(container, "windowsOptions").is_some_and(is_set));
    let who = setters(pod_sets, &bad.map(name).collect::<Vec<_>>());
    (!who.is_empty()).then(|| Violation {
        reason: "hostProcess",
        detail: format!("{who} must not set securityContext.windowsOptions.hostProcess=true"),
    })
}

/// Volume types that are fine for anyone.
const HARMLESS: [&str; 9] = [
    "configMap",
    "csi",
    "downwardAPI",
    "emptyDir",
    "ephemeral",
    "image",
    "persistentVolumeClaim",
    "projected",
    "secret",
];

/// The others, in the order in which they are looked for.
const RESTRICTED: [&str; 21] = [
    "hostPath",
    "gcePersistentDisk",
    "awsElasticBlockStore",
    "gitRepo",
    "nfs",
    "iscsi",
    "glusterfs",
    "rbd",
    "flexVolume",
    "cinder",
    "cephfs",
    "flocker",
    "fc",
    "azureFile",
    "vsphereVolume",
    "quobyte",
    "azureDisk",
    "photonPersistentDisk",
    "portworxVolume",
    "scaleIO",
    "storageos",
];

/// Volumes that carry the rights of the node, or reach around the cluster's storage.
pub(super) fn volume_types(pod: Pod<'_>) -> Option<Violation> {
    let (mut names, mut types) = (Vec::new(), BTreeSet::new());
    for volume in items(pod.spec, "volumes") {
        let has = |kind: &&str| present(volume, kind).is_some();
        if HARMLESS.iter().any(has) {
            continue;
        }
        names.push(name(volume));

        types.insert(RESTRICTED.into_iter().find(has).unwrap_or("unknown"));
    }
    (!names.is_empty()).then(|| Violation {
        reason: "restricted volume types",
        detail: format!(
            "{} {} {} {} {}",
            plural(names.len(), "volume", "volumes"),
            quoted(names.iter().copied()),
            plural(names.len(), "uses", "use"),
            plural(types.len(), "restricted volume type", "restricted volume types"),
            quoted(types)
        ),
    })
}
