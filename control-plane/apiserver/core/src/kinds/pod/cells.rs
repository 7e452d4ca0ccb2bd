//! The row `kubectl get pods` shows.

use serde_json::Value;

use super::{list, text};
use crate::object::Object;
use crate::table;
use crate::time;

/// What the row is made of.
pub(super) const READ: &[&str] = &[
    "spec.nodeName",
    "spec.containers.*",
    "spec.initContainers.name",
    "spec.initContainers.restartPolicy",
    "spec.readinessGates",
    "status.phase",
    "status.reason",
    "status.podIP",
    "status.podIPs.ip",
    "status.nominatedNodeName",
    "status.conditions.type",
    "status.conditions.status",
    "status.conditions.reason",
    "status.initContainerStatuses.name",
    "status.initContainerStatuses.ready",
    "status.initContainerStatuses.started",
    "status.initContainerStatuses.restartCount",
    "status.initContainerStatuses.lastState.terminated.finishedAt",
    "status.initContainerStatuses.state.running.*",
    "status.initContainerStatuses.state.waiting.reason",
    "status.initContainerStatuses.state.terminated.reason",
    "status.initContainerStatuses.state.terminated.signal",
    "status.initContainerStatuses.state.terminated.exitCode",
    "status.containerStatuses.name",
    "status.containerStatuses.ready",
    "status.containerStatuses.started",
    "status.containerStatuses.restartCount",
    "status.containerStatuses.lastState.terminated.finishedAt",
    "status.containerStatuses.state.running.*",
    "status.containerStatuses.state.waiting.reason",
    "status.containerStatuses.state.terminated.reason",
    "status.containerStatuses.state.terminated.signal",
    "status.containerStatuses.state.terminated.exitCode",
];

/// What is known of a pod's containers, added up.
#[derive(Default)]
struct Tally {
    ready: usize,
    restarts: i64,
    /// When the last container that was restarted had ended.
    last_end: Option<String>,
    sidecar_restarts: i64,
    sidecar_last_end: Option<String>,
    reason: String,
}

pub(super) fn cells(pod: &Object, now: jiff::Timestamp) -> Vec<Value> {
    let spec = pod.at(&["spec"]).unwrap_or(&Value::Null);
    let sidecars = list(spec, "initContainers").iter().filter(|one| is_sidecar(one)).count();
    let total = list(spec, "containers").len() + sidecars;
    let tally = tally(pod, spec);
    let restarts = match &tally.last_end {
        Some(end) if tally.restarts > 0 => format!("{} ({} ago)", tally.restarts, time::age(Some(end), now)),
        Some(_) | None => tally.restarts.to_string(),
    };
    let or_none = |text: Option<&str>| Value::from(text.unwrap_or("<none>"));
    vec![
        pod.name().unwrap_or_default().into(),
        format!("{}/{total}", tally.ready).into(),
        tally.reason.into(),
        restarts.into(),
        table::age(pod.creation_timestamp(), now).into(),
        or_none(
            pod.list(&["status", "podIPs"]).first().map(|ip| text(ip, "ip")).or_else(|| pod.text(&["status", "podIP"])),
        ),
        or_none(pod.text(&["spec", "nodeName"])),
        or_none(pod.text(&["status", "nominatedNodeName"])),
        readiness_gates(pod).into(),
    ]
}

fn is_sidecar(container: &Value) -> bool {
    text(container, "restartPolicy") == "Always"
}

fn tally(pod: &Object, spec: &Value) -> Tally {
    let status_reason = pod.text(&["status", "reason"]);
    let phase = pod.text(&["status", "phase"]).unwrap_or_default();
    let mut tally = Tally { reason: status_reason.unwrap_or(phase).to_owned(), ..Tally::default() };
    let gated = pod
        .list(&["status", "conditions"])
        .iter()
        .any(|one| text(one, "type") == "PodScheduled" && text(one, "reason") == "SchedulingGated");
    if gated {
        tally.reason = "SchedulingGated".into();
    }
    let initializing = count_init(pod, spec, &mut tally);
    if !initializing || has_condition(pod, "Initialized") {
        count_containers(pod, &mut tally);
    }
    if pod.deletion_timestamp().is_some() {
        if status_reason == Some("NodeLost") {
            tally.reason = "Unknown".into();
        } else if phase != "Failed" && phase != "Succeeded" {
            tally.reason = "Terminating".into();
        }
    }
    tally
}

/// Goes through the init containers; whether one of them keeps the pod from starting.
fn count_init(pod: &Object, spec: &Value, tally: &mut Tally) -> bool {
    let containers = list(spec, "initContainers");
    for (index, status) in pod.list(&["status", "initContainerStatuses"]).iter().enumerate() {
        let restarts = status.get("restartCount").and_then(Value::as_i64).unwrap_or(0);
        let sidecar = containers.iter().any(|one| text(one, "name") == text(status, "name") && is_sidecar(one));
        tally.restarts += restarts;
        later(&mut tally.last_end, last_end(status));
        if sidecar {
            tally.sidecar_restarts += restarts;
            later(&mut tally.sidecar_last_end, last_end(status));
        }
        let state = |name: &str| status.get("state").and_then(|state| state.get(name));
        let flag = |name: &str| status.get(name).and_then(Value::as_bool).unwrap_or(false);
        match (state("terminated"), state("waiting")) {
            (Some(end), _) if end.get("exitCode").and_then(Value::as_i64).unwrap_or(0) == 0 => continue,
            _ if sidecar && flag("started") => {
                tally.ready += usize::from(flag("ready"));
                continue;
            }
            (Some(end), _) => tally.reason = format!("Init:{}", end_reason(end)),
            (None, Some(wait)) if !matches!(text(wait, "reason"), "" | "PodInitializing") => {
                tally.reason = format!("Init:{}", text(wait, "reason"));
            }
            (None, _) => tally.reason = format!("Init:{index}/{}", containers.len()),
        }
        return true;
    }
    false
}

fn count_containers(pod: &Object, tally: &mut Tally) {
    tally.restarts = tally.sidecar_restarts;
    tally.last_end = tally.sidecar_last_end.clone();
    let mut running = false;
    for status in pod.list(&["status", "containerStatuses"]).iter().rev() {
        tally.restarts += status.get("restartCount").and_then(Value::as_i64).unwrap_or(0);
        later(&mut tally.last_end, last_end(status));
        let state = |name: &str| status.get("state").and_then(|state| state.get(name));
        match (state("waiting"), state("terminated")) {
            (Some(wait), _) if !text(wait, "reason").is_empty() => text(wait, "reason").clone_into(&mut tally.reason),
            (_, Some(end)) => tally.reason = end_reason(end),
            _ => {
                if status.get("ready").and_then(Value::as_bool) == Some(true) && state("running").is_some() {
                    running = true;
                    tally.ready += 1;
                }
            }
        }
    }
    if tally.reason == "Completed" && running {
        tally.reason = if has_condition(pod, "Ready") { "Running" } else { "NotReady" }.into();
    }
}

fn end_reason(end: &Value) -> String {
    let number = |member: &str| end.get(member).and_then(Value::as_i64).unwrap_or(0);
    match (text(end, "reason"), number("signal")) {
        ("", 0) => format!("ExitCode:{}", number("exitCode")),
        ("", signal) => format!("Signal:{signal}"),
        (reason, _) => reason.to_owned(),
    }
}

fn last_end(status: &Value) -> Option<&str> {
    status.get("lastState")?.get("terminated")?.get("finishedAt")?.as_str()
}

fn later(known: &mut Option<String>, other: Option<&str>) {
    // Times of one form compare as texts.
    if let Some(other) = other
        && known.as_deref().is_none_or(|known| known < other)
    {
        *known = Some(other.to_owned());
    }
}

fn has_condition(pod: &Object, kind: &str) -> bool {
    pod.list(&["status", "conditions"]).iter().any(|one| text(one, "type") == kind && text(one, "status") == "True")
}

fn readiness_gates(pod: &Object) -> String {
    let gates = pod.list(&["spec", "readinessGates"]);
    if gates.is_empty() {
        return "<none>".into();
    }
    let met = gates.iter().filter(|gate| has_condition(pod, text(gate, "conditionType"))).count();
    format!("{met}/{}", gates.len())
}
