//! What the containers of a pod must be.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::validation::one_of_optional;
use super::{list, text};
use crate::field::{Errors, Path};
use crate::kinds::service::PROTOCOLS;
use crate::names;
use crate::quantity::Quantity;

/// The environment variable and volume names, and so on, that a container may refer to.
struct Surroundings<'a> {
    volumes: &'a BTreeSet<String>,
    host_network: bool,
}

/// Checks all lists of containers: names are unique across them.
pub(super) fn validate_all(spec: &Value, volumes: &BTreeSet<String>, path: &Path, errors: &mut Errors) {
    let around =
        Surroundings { volumes, host_network: spec.get("hostNetwork").and_then(Value::as_bool).unwrap_or(false) };
    if list(spec, "containers").is_empty() {
        errors.required(&path.child("containers"), "");
    }
    let mut seen: BTreeSet<&str> = BTreeSet::new();
    for member in ["containers", "initContainers", "ephemeralContainers"] {
        let mut host_ports: BTreeSet<String> = BTreeSet::new();
        for (index, container) in list(spec, member).iter().enumerate() {
            let path = path.child(member).index(index);
            let name = text(container, "name");
            if name.is_empty() {
                errors.required(&path.child("name"), "");
            } else {
                for message in names::dns_label(name) {
                    errors.invalid(&path.child("name"), name, &message);
                }
                if !seen.insert(name) {
                    errors.duplicate(&path.child("name"), name);
                }
            }
            validate(container, member, &around, &path, errors);
            if member == "containers" {
                check_host_ports(container, &mut host_ports, &path, errors);
            }
        }
    }
}

fn validate(container: &Value, member: &str, around: &Surroundings<'_>, path: &Path, errors: &mut Errors) {
    match container.get("image").and_then(Value::as_str).unwrap_or_default() {
        "" => errors.required(&path.child("image"), ""),
        image if image != image.trim() => {
            errors.invalid(&path.child("image"), image, "must not have leading or trailing whitespace");
        }
        _ => {}
    }
    one_of_optional(container, "imagePullPolicy", &["Always", "IfNotPresent", "Never"], path, errors);
    one_of_optional(container, "terminationMessagePolicy", &["FallbackToLogsOnError", "File"], path, errors);
    validate_ports(container, around, path, errors);
    validate_environment(container, path, errors);
    validate_mounts(container, around.volumes, path, errors);
    validate_resources(container.get("resources").unwrap_or(&Value::Null), &path.child("resources"), errors);
    let sidecar = text(container, "restartPolicy") == "Always";
    for probe in ["livenessProbe", "readinessProbe", "startupProbe"] {
        let Some(value) = container.get(probe) else { continue };
        if member == "initContainers" && !sidecar {
            errors.forbidden(&path.child(probe), "may not be set for init containers without restartPolicy=Always");
        } else if member == "ephemeralContainers" {
            errors.forbidden(&path.child(probe), "cannot be set for an Ephemeral Container");
        } else {
            validate_probe(value, probe, &path.child(probe), errors);
        }
    }
    if let Some(lifecycle) = container.get("lifecycle") {
        if member == "initContainers" && !sidecar {
            errors
                .forbidden(&path.child("lifecycle"), "may not be set for init containers without restartPolicy=Always");
        } else {
            for hook in ["postStart", "preStop"] {
                if let Some(handler) = lifecycle.get(hook) {
                    let kinds = ["exec", "httpGet", "tcpSocket", "sleep"];
                    validate_handler(handler, &kinds, &path.child("lifecycle").child(hook), errors);
                }
            }
        }
    }
    validate_security(container.get("securityContext").unwrap_or(&Value::Null), &path.child("securityContext"), errors);
}

fn validate_ports(container: &Value, around: &Surroundings<'_>, path: &Path, errors: &mut Errors) {
    let mut seen: BTreeSet<&str> = BTreeSet::new();
    for (index, port) in list(container, "ports").iter().enumerate() {
        let path = path.child("ports").index(index);
        let name = text(port, "name");
        if !name.is_empty() {
            let wrong = names::port_name(name);
            if wrong.is_empty() && !seen.insert(name) {
                errors.duplicate(&path.child("name"), name);
            }
            for message in wrong {
                errors.invalid(&path.child("name"), name, &message);
            }
        }
        let number = |member: &str| port.get(member).and_then(Value::as_i64).unwrap_or(0);
        if number("containerPort") == 0 {
            errors.required(&path.child("containerPort"), "");
        } else if let Some(message) = names::port_number(number("containerPort")) {
            errors.invalid(&path.child("containerPort"), number("containerPort"), message);
        }
        if number("hostPort") != 0 {
            if let Some(message) = names::port_number(number("hostPort")) {
                errors.invalid(&path.child("hostPort"), number("hostPort"), message);
            }
            if around.host_network && number("hostPort") != number("containerPort") {
                errors.invalid(
                    &path.child("containerPort"),
                    number("containerPort"),
                    "must match `hostPort` when `hostNetwork` is true",
                );
            }
        }
        let protocol = text(port, "protocol");
        if protocol.is_empty() {
            errors.required(&path.child("protocol"), "");
        } else if !PROTOCOLS.contains(&protocol) {
            errors.not_supported(&path.child("protocol"), protocol, &PROTOCOLS);
        }
    }
}

fn check_host_ports(container: &Value, taken: &mut BTreeSet<String>, path: &Path, errors: &mut Errors) {
    for (index, port) in list(container, "ports").iter().enumerate() {
        let number = port.get("hostPort").and_then(Value::as_i64).unwrap_or(0);
        if number == 0 {
            continue;
        }
        let key = format!("{}/{}/{number}", text(port, "protocol"), text(port, "hostIP"));
        if !taken.insert(key.clone()) {
            errors.duplicate(&path.child("ports").index(index).child("hostPort"), key);
        }
    }
}

fn validate_environment(container: &Value, path: &Path, errors: &mut Errors) {
    const SOURCES: [&str; 5] = ["configMapKeyRef", "fieldRef", "fileKeyRef", "resourceFieldRef", "secretKeyRef"];
    for (index, variable) in list(container, "env").iter().enumerate() {
        let path = path.child("env").index(index);
        let name = text(variable, "name");
        if name.is_empty() {
            errors.required(&path.child("name"), "");
        } else if !name.bytes().all(|byte| (b' '..=b'~').contains(&byte) && byte != b'=') {
            errors.invalid(
                &path.child("name"),
                name,
                "a valid environment variable name must consist only of printable ASCII characters other than '='",
            );
        }
        let Some(from) = variable.get("valueFrom") else { continue };
        let path = path.child("valueFrom");
        let given: Vec<&str> = SOURCES.into_iter().filter(|source| from.get(source).is_some()).collect();
        if !text(variable, "value").is_empty() && !given.is_empty() {
            errors.invalid(&path, "", "may not be specified when `value` is not empty");
        }
        match given.as_slice() {
            [] => errors.invalid(&path, "", "must specify one of: `fieldRef`, `resourceFieldRef`, `configMapKeyRef`, `secretKeyRef` or `fileKeyRef`"),
            [_] => {}
            _ => errors.invalid(&path, "", "may not have more than one field specified at a time"),
        }
        for source in ["configMapKeyRef", "secretKeyRef"] {
            if let Some(reference) = from.get(source) {
                let path = path.child(source);
                if text(reference, "name").is_empty() {
                    errors.required(&path.child("name"), "");
                }
                match text(reference, "key") {
                    "" => errors.required(&path.child("key"), ""),
                    key => names::config_key(key)
                        .iter()
                        .for_each(|message| errors.invalid(&path.child("key"), key, message)),
                }
            }
        }
        if let Some(reference) = from.get("fieldRef")
            && text(reference, "fieldPath").is_empty()
        {
            errors.required(&path.child("fieldRef").child("fieldPath"), "");
        }
    }
    for (index, source) in list(container, "envFrom").iter().enumerate() {
        let path = path.child("envFrom").index(index);
        let given = ["configMapRef", "secretRef"].iter().filter(|member| source.get(**member).is_some()).count();
        match given {
            0 => errors.invalid(&path, "", "must specify one of: `configMapRef` or `secretRef`"),
            1 => {}
            _ => errors.invalid(&path, "", "may not have more than one field specified at a time"),
        }
    }
}

fn validate_mounts(container: &Value, volumes: &BTreeSet<String>, path: &Path, errors: &mut Errors) {
    let mut points: BTreeSet<&str> = BTreeSet::new();
    for (index, mount) in list(container, "volumeMounts").iter().enumerate() {
        let path = path.child("volumeMounts").index(index);
        let (name, point) = (text(mount, "name"), text(mount, "mountPath"));
        if name.is_empty() {
            errors.required(&path.child("name"), "");
        }
        if !volumes.contains(name) {
            errors.not_found(&path.child("name"), name);
        }
        if point.is_empty() {
            errors.required(&path.child("mountPath"), "");
        }
        if !points.insert(point) {
            errors.invalid(&path.child("mountPath"), point, "must be unique");
        }
        let sub = text(mount, "subPath");
        if sub.starts_with('/') {
            errors.invalid(&path.child("subPath"), sub, "must be a relative path");
        }
        if sub.split('/').any(|step| step == "..") {
            errors.invalid(&path.child("subPath"), sub, "must not contain '..'");
        }
    }
}

/// Checks amounts, and that nobody asks for more than the limit.
pub(super) fn validate_resources(resources: &Value, path: &Path, errors: &mut Errors) {
    let amounts = |kind: &str| -> BTreeMap<String, String> {
        let map = resources.get(kind).and_then(Value::as_object).into_iter().flatten();
        map.map(|(name, amount)| (name.clone(), amount.as_str().unwrap_or_default().to_owned())).collect()
    };
    let limits = amounts("limits");
    for (kind, amounts) in [("limits", &limits), ("requests", &amounts("requests"))] {
        for (name, text) in amounts {
            let path = path.child(kind).key(name);
            for message in names::qualified_name(name) {
                errors.invalid(&path, name.as_str(), &message);
            }
            let plain = ["cpu", "memory", "ephemeral-storage", "storage"].contains(&name.as_str())
                || name.starts_with("hugepages-");
            if !name.contains('/') && !plain {
                errors.invalid(&path, name.as_str(), "must be a standard resource type or fully qualified");
                errors.invalid(&path, name.as_str(), "must be a standard resource for containers");
            }
            let Ok(amount) = Quantity::parse(text) else { continue };
            if amount.is_negative() {
                errors.invalid(&path, text.as_str(), "must be greater than or equal to 0");
            }
            if name.contains('/') && !amount.is_whole() {
                errors.invalid(&path, text.as_str(), "must be an integer");
            }
            if kind == "requests"
                && let Some(limit) = limits.get(name)
                && let Ok(limited) = Quantity::parse(limit)
            {
                let overcommittable = !name.contains('/') && !name.starts_with("hugepages-");
                if overcommittable && amount > limited {
                    errors.invalid(
                        &path_of(path.clone(), name),
                        text.as_str(),
                        &format!("must be less than or equal to {name} limit of {limit}"),
                    );
                } else if !overcommittable && amount != limited {
                    errors.invalid(
                        &path_of(path.clone(), name),
                        text.as_str(),
                        &format!("must be equal to {name} limit of {limit}"),
                    );
                }
            }
        }
    }
}

/// Upstream names the list, not the entry, when a request and its limit disagree.
fn path_of(path: Path, name: &str) -> Path {
    let text = path.to_string();
    text.strip_suffix(&format!("[{name}]")).map_or(path, Path::new)
}

fn validate_probe(probe: &Value, kind: &str, path: &Path, errors: &mut Errors) {
    validate_handler(probe, &["exec", "httpGet", "tcpSocket", "grpc"], path, errors);
    let number = |member: &str| probe.get(member).and_then(Value::as_i64).unwrap_or(0);
    for member in ["initialDelaySeconds", "timeoutSeconds", "periodSeconds", "successThreshold", "failureThreshold"] {
        if number(member) < 0 {
            errors.invalid(&path.child(member), number(member), "must be greater than or equal to 0");
        }
    }
    if kind != "readinessProbe" && number("successThreshold") != 1 {
        errors.invalid(&path.child("successThreshold"), number("successThreshold"), "must be 1");
    }
    if let Some(seconds) = probe.get("terminationGracePeriodSeconds").and_then(Value::as_i64) {
        let path = path.child("terminationGracePeriodSeconds");
        if kind == "readinessProbe" {
            errors.invalid(&path, seconds, "must not be set for readinessProbes");
        } else if seconds <= 0 {
            errors.invalid(&path, seconds, "must be greater than 0");
        }
    }
}

fn validate_handler(handler: &Value, kinds: &[&str], path: &Path, errors: &mut Errors) {
    let given: Vec<&str> = kinds.iter().copied().filter(|kind| handler.get(kind).is_some()).collect();
    match given.as_slice() {
        [] => errors.required(path, "must specify a handler type"),
        [_] => {}
        [_, more @ ..] => {
            for kind in more {
                errors.forbidden(&path.child(kind), "may not specify more than 1 handler type");
            }
        }
    }
    if let Some(exec) = handler.get("exec")
        && list(exec, "command").is_empty()
    {
        errors.required(&path.child("exec").child("command"), "");
    }
    if let Some(get) = handler.get("httpGet") {
        let path = path.child("httpGet");
        if text(get, "path").is_empty() {
            errors.required(&path.child("path"), "");
        }
        validate_port(get.get("port"), &path.child("port"), errors);
        one_of_optional(get, "scheme", &["HTTP", "HTTPS"], &path, errors);
    }
    if let Some(socket) = handler.get("tcpSocket") {
        validate_port(socket.get("port"), &path.child("tcpSocket").child("port"), errors);
    }
    if let Some(grpc) = handler.get("grpc") {
        validate_port(grpc.get("port"), &path.child("grpc").child("port"), errors);
    }
}

fn validate_port(port: Option<&Value>, path: &Path, errors: &mut Errors) {
    match port {
        Some(Value::String(name)) => {
            for message in names::port_name(name) {
                errors.invalid(path, name.as_str(), &message);
            }
        }
        other => {
            let number = other.and_then(Value::as_i64).unwrap_or(0);
            if let Some(message) = names::port_number(number) {
                errors.invalid(path, number, message);
            }
        }
    }
}

fn validate_security(context: &Value, path: &Path, errors: &mut Errors) {
    for member in ["runAsUser", "runAsGroup"] {
        if let Some(id) = context.get(member).and_then(Value::as_i64)
            && !(0..=i64::from(i32::MAX)).contains(&id)
        {
            errors.invalid(&path.child(member), id, "must be between 0 and 2147483647, inclusive");
        }
    }
    let flag = |member: &str| context.get(member).and_then(Value::as_bool);
    if flag("allowPrivilegeEscalation") == Some(false) && flag("privileged") == Some(true) {
        errors.invalid(
            path,
            context.clone(),
            "cannot set `allowPrivilegeEscalation` to false and `privileged` to true",
        );
    }
}
