//! What a new pod must be.

use std::collections::BTreeSet;

use serde_json::{Map, Value};

use super::{containers, list, sysctls, text, volumes};
use crate::field::{Errors, Path};
use crate::names;
use crate::object::Object;

/// Checks a pod that is about to be created.
pub(super) fn validate(pod: &Object, errors: &mut Errors) {
    let path = Path::new("spec");
    let empty = Value::Object(Map::new());
    let spec = pod.at(&["spec"]).unwrap_or(&empty);
    validate_spec(spec, &path, errors);
    if !list(spec, "ephemeralContainers").is_empty() {
        errors.forbidden(&path.child("ephemeralContainers"), "cannot be set on create");
    }
}

/// Checks a pod's spec, wherever it stands.
pub(in crate::kinds) fn validate_spec(spec: &Value, path: &Path, errors: &mut Errors) {
    let volume_names = volumes::validate(list(spec, "volumes"), &path.child("volumes"), errors);
    containers::validate_all(spec, &volume_names, path, errors);
    one_of(spec, "restartPolicy", &["Always", "OnFailure", "Never"], path, errors);
    one_of(spec, "dnsPolicy", &["ClusterFirst", "ClusterFirstWithHostNet", "Default", "None"], path, errors);
    one_of_optional(spec, "preemptionPolicy", &["Never", "PreemptLowerPriority"], path, errors);
    validate_dns(spec, path, errors);
    let selector = spec.get("nodeSelector").and_then(Value::as_object).into_iter().flatten();
    names::check_labels(
        selector.map(|(key, value)| (key.as_str(), value.as_str().unwrap_or_default())),
        &path.child("nodeSelector"),
        errors,
    );
    for (member, check) in [
        ("serviceAccountName", names::dns_subdomain as fn(&str) -> Vec<String>),
        ("nodeName", names::dns_subdomain),
        ("hostname", names::dns_label),
        ("subdomain", names::dns_label),
        ("runtimeClassName", names::dns_subdomain),
        ("priorityClassName", names::dns_subdomain),
    ] {
        let value = text(spec, member);
        if !value.is_empty() {
            for message in check(value) {
                errors.invalid(&path.child(member), value, &message);
            }
        }
    }
    if let Some(seconds) = spec.get("activeDeadlineSeconds").and_then(Value::as_i64)
        && !(1..=i64::from(i32::MAX)).contains(&seconds)
    {
        errors.invalid(&path.child("activeDeadlineSeconds"), seconds, "must be between 1 and 2147483647, inclusive");
    }
    if let Some(seconds) = spec.get("terminationGracePeriodSeconds").and_then(Value::as_i64)
        && seconds < 0
    {
        errors.invalid(&path.child("terminationGracePeriodSeconds"), seconds, "must be greater than or equal to 0");
    }
    for (index, secret) in list(spec, "imagePullSecrets").iter().enumerate() {
        if text(secret, "name").is_empty() {
            errors.required(&path.child("imagePullSecrets").index(index).child("name"), "");
        }
    }
    sysctls::validate(spec, path, errors);
    validate_host_aliases(spec, path, errors);
    validate_tolerations(spec, path, errors);
    validate_gates(spec, path, errors);
    validate_node_affinity(spec, path, errors);
    validate_spread(spec, path, errors);
}

fn one_of(spec: &Value, member: &str, valid: &[&str], path: &Path, errors: &mut Errors) {
    if text(spec, member).is_empty() {
        errors.required(&path.child(member), "");
    } else {
        one_of_optional(spec, member, valid, path, errors);
    }
}

/// Checks a member that has few values, if it is there.
pub(super) fn one_of_optional(value: &Value, member: &str, valid: &[&str], path: &Path, errors: &mut Errors) {
    let given = text(value, member);
    if !given.is_empty() && !valid.contains(&given) {
        errors.not_supported(&path.child(member), given, valid);
    }
}

fn validate_dns(spec: &Value, path: &Path, errors: &mut Errors) {
    let path = path.child("dnsConfig");
    let Some(config) = spec.get("dnsConfig") else {
        if text(spec, "dnsPolicy") == "None" {
            errors.required(&path, "must provide `dnsConfig` when `dnsPolicy` is None");
        }
        return;
    };
    let servers = list(config, "nameservers");
    if text(spec, "dnsPolicy") == "None" && servers.is_empty() {
        errors
            .required(&path.child("nameservers"), "must provide at least one DNS nameserver when `dnsPolicy` is None");
    }
    if servers.len() > 3 {
        errors.invalid(
            &path.child("nameservers"),
            Value::Array(servers.to_vec()),
            "must not have more than 3 nameservers",
        );
    }
    for (index, server) in servers.iter().enumerate() {
        let server = server.as_str().unwrap_or_default();
        if let Some(message) = names::ip_address(server) {
            errors.invalid(&path.child("nameservers").index(index), server, message);
        }
    }
    if list(config, "searches").len() > 32 {
        errors.invalid(
            &path.child("searches"),
            Value::Array(list(config, "searches").to_vec()),
            "must not have more than 32 search paths",
        );
    }
    for (index, option) in list(config, "options").iter().enumerate() {
        if text(option, "name").is_empty() {
            errors.required(&path.child("options").index(index), "must not be empty");
        }
    }
}

fn validate_host_aliases(spec: &Value, path: &Path, errors: &mut Errors) {
    for (index, alias) in list(spec, "hostAliases").iter().enumerate() {
        let path = path.child("hostAliases").index(index);
        if let Some(message) = names::ip_address(text(alias, "ip")) {
            errors.invalid(&path.child("ip"), text(alias, "ip"), message);
        }
        for (index, name) in list(alias, "hostnames").iter().enumerate() {
            let name = name.as_str().unwrap_or_default();
            for message in names::dns_subdomain(name) {
                errors.invalid(&path.child("hostnames").index(index), name, &message);
            }
        }
    }
}

/// Checks the tolerations of a pod, or of a class of pods.
pub(in crate::kinds) fn validate_tolerations(spec: &Value, path: &Path, errors: &mut Errors) {
    for (index, toleration) in list(spec, "tolerations").iter().enumerate() {
        let path = path.child("tolerations").index(index);
        let (key, operator, value) = (text(toleration, "key"), text(toleration, "operator"), text(toleration, "value"));
        if key.is_empty() {
            if operator != "Exists" {
                errors.invalid(
                    &path.child("operator"),
                    operator,
                    "operator must be Exists when `key` is empty, which means \"match all values and all keys\"",
                );
            }
        } else {
            for message in names::qualified_name(key) {
                errors.invalid(&path.child("key"), key, &message);
            }
        }
        if toleration.get("tolerationSeconds").is_some() && text(toleration, "effect") != "NoExecute" {
            errors.invalid(
                &path.child("effect"),
                text(toleration, "effect"),
                "effect must be 'NoExecute' when `tolerationSeconds` is set",
            );
        }
        match operator {
            "" | "Equal" => {
                let wrong = names::label_value(value);
                if !wrong.is_empty() {
                    errors.invalid(&path.child("operator"), value, &wrong.join(";"));
                }
            }
            "Exists" => {
                if !value.is_empty() {
                    errors.invalid(&path.child("operator"), value, "value must be empty when `operator` is 'Exists'");
                }
            }
            other => errors.not_supported(&path.child("operator"), other, &["Equal", "Exists"]),
        }
        one_of_optional(toleration, "effect", &["NoExecute", "NoSchedule", "PreferNoSchedule"], &path, errors);
    }
}

fn validate_gates(spec: &Value, path: &Path, errors: &mut Errors) {
    let mut seen: BTreeSet<&str> = BTreeSet::new();
    for (index, gate) in list(spec, "schedulingGates").iter().enumerate() {
        let path = path.child("schedulingGates").index(index);
        let name = text(gate, "name");
        for message in names::qualified_name(name) {
            errors.invalid(&path, name, &message);
        }
        if !seen.insert(name) {
            errors.duplicate(&path, name);
        }
    }
    if !seen.is_empty() && !text(spec, "nodeName").is_empty() {
        errors.forbidden(&path.child("nodeName"), "cannot be set until all schedulingGates have been cleared");
    }
    for (index, gate) in list(spec, "readinessGates").iter().enumerate() {
        let path = path.child("readinessGates").index(index).child("conditionType");
        for message in names::qualified_name(text(gate, "conditionType")) {
            errors.invalid(&path, text(gate, "conditionType"), &message);
        }
    }
}

fn validate_node_affinity(spec: &Value, path: &Path, errors: &mut Errors) {
    let Some(affinity) = spec.get("affinity").and_then(|affinity| affinity.get("nodeAffinity")) else { return };
    let path = path.child("affinity").child("nodeAffinity");
    if let Some(required) = affinity.get("requiredDuringSchedulingIgnoredDuringExecution") {
        let path = path.child("requiredDuringSchedulingIgnoredDuringExecution").child("nodeSelectorTerms");
        let terms = list(required, "nodeSelectorTerms");
        if terms.is_empty() {
            errors.required(&path, "must have at least one node selector term");
        }
        for (index, term) in terms.iter().enumerate() {
            validate_term(term, &path.index(index), errors);
        }
    }
    for (index, term) in list(affinity, "preferredDuringSchedulingIgnoredDuringExecution").iter().enumerate() {
        let path = path.child("preferredDuringSchedulingIgnoredDuringExecution").index(index);
        let weight = term.get("weight").and_then(Value::as_i64).unwrap_or(0);
        if !(1..=100).contains(&weight) {
            errors.invalid(&path.child("weight"), weight, "must be in the range 1-100");
        }
        validate_term(term.get("preference").unwrap_or(&Value::Null), &path.child("preference"), errors);
    }
}

fn validate_term(term: &Value, path: &Path, errors: &mut Errors) {
    for (index, rule) in list(term, "matchExpressions").iter().enumerate() {
        let path = path.child("matchExpressions").index(index);
        let values = list(rule, "values");
        match text(rule, "operator") {
            "In" | "NotIn" if values.is_empty() => {
                errors.required(&path.child("values"), "must be specified when `operator` is 'In' or 'NotIn'");
            }
            "Exists" | "DoesNotExist" if !values.is_empty() => errors
                .forbidden(&path.child("values"), "may not be specified when `operator` is 'Exists' or 'DoesNotExist'"),
            "Gt" | "Lt" if values.len() != 1 => {
                errors
                    .required(&path.child("values"), "must be specified single value when `operator` is 'Lt' or 'Gt'");
            }
            "In" | "NotIn" | "Exists" | "DoesNotExist" | "Gt" | "Lt" => {}
            other => errors.invalid(&path.child("operator"), other, "not a valid selector operator"),
        }
        for message in names::qualified_name(text(rule, "key")) {
            errors.invalid(&path.child("key"), text(rule, "key"), &message);
        }
    }
}

fn validate_spread(spec: &Value, path: &Path, errors: &mut Errors) {
    const UNSATISFIABLE: [&str; 2] = ["DoNotSchedule", "ScheduleAnyway"];
    for (index, constraint) in list(spec, "topologySpreadConstraints").iter().enumerate() {
        let path = path.child("topologySpreadConstraints").index(index);
        let skew = constraint.get("maxSkew").and_then(Value::as_i64).unwrap_or(0);
        if skew <= 0 {
            errors.invalid(&path.child("maxSkew"), skew, "must be greater than zero");
        }
        if text(constraint, "topologyKey").is_empty() {
            errors.required(&path.child("topologyKey"), "can not be empty");
        }
        let when = text(constraint, "whenUnsatisfiable");
        if !UNSATISFIABLE.contains(&when) {
            errors.not_supported(&path.child("whenUnsatisfiable"), when, &UNSATISFIABLE);
        }
    }
}

/// Things worth telling that are no errors.
pub(super) fn warnings(new: &Object, old: Option<&Object>) -> Vec<String> {
    // An update repeats what was said at creation only where it is new.
    if old.is_some() {
        return Vec::new();
    }
    let mut warnings = Vec::new();
    let spec = new.at(&["spec"]).unwrap_or(&Value::Null);
    for member in ["initContainers", "containers"] {
        for (index, container) in list(spec, member).iter().enumerate() {
            let mut seen: BTreeSet<&str> = BTreeSet::new();
            for (at, variable) in list(container, "env").iter().enumerate() {
                let name = text(variable, "name");
                if !seen.insert(name) {
                    warnings.push(format!(
                        "spec.{member}[{index}].env[{at}]: hides previous definition of {name:?}, which may be unexpected or lead to data loss"
                    ));
                }
            }
        }
    }
    warnings
}
