//! What a Service must be.

use std::collections::BTreeSet;
use std::net::IpAddr;

use serde_json::{Value, json};

use super::{Kind, PROTOCOLS, is_headless, port_number, port_text, ports, wants_health_check_port};
use crate::field::{Errors, Path};
use crate::kinds::endpoints::check_usable_ip;
use crate::names;
use crate::object::Object;

const TYPES: [&str; 4] = ["ClusterIP", "ExternalName", "LoadBalancer", "NodePort"];
/// Only the kubelet listens there.
const KUBELET_PORT: i64 = 10250;
const AFFINITY_LIMIT_SECONDS: i64 = 86400;

pub(super) fn validate(service: &Object, errors: &mut Errors) {
    let spec = Path::new("spec");
    let kind = Kind::of(service);
    if ports(service).is_empty() && !is_headless(service) && kind != Kind::ExternalName {
        errors.required(&spec.child("ports"), "");
    }
    validate_type(service, kind, &spec, errors);
    validate_ports(service, kind, &spec.child("ports"), errors);
    let selector = service.at(&["spec", "selector"]).and_then(Value::as_object).into_iter().flatten();
    names::check_labels(
        selector.map(|(key, value)| (key.as_str(), value.as_str().unwrap_or_default())),
        &spec.child("selector"),
        errors,
    );
    validate_affinity(service, &spec, errors);
    validate_cluster_ips(service, errors);
    for (index, ip) in service.list(&["spec", "externalIPs"]).iter().enumerate() {
        let (path, ip) = (spec.child("externalIPs").index(index), ip.as_str().unwrap_or_default());
        match names::ip_address(ip) {
            Some(message) => errors.invalid(&path, ip, message),
            None => check_usable_ip(ip, &path, errors),
        }
    }
    match service.text(&["spec", "type"]) {
        None => errors.required(&spec.child("type"), ""),
        Some(text) if !TYPES.contains(&text) => errors.not_supported(&spec.child("type"), text, &TYPES),
        Some(_) => {}
    }
    validate_traffic(service, kind, &spec, errors);
    validate_source_ranges(service, kind, &spec, errors);
}

fn validate_type(service: &Object, kind: Kind, spec: &Path, errors: &mut Errors) {
    match kind {
        Kind::LoadBalancer | Kind::NodePort => {
            if kind == Kind::LoadBalancer {
                for (index, port) in ports(service).iter().enumerate() {
                    if port_number(port, "port") == KUBELET_PORT {
                        errors.invalid(
                            &spec.child("ports").index(index),
                            KUBELET_PORT,
                            &format!("may not expose port {KUBELET_PORT} externally since it is used by kubelet"),
                        );
                    }
                }
            }
            if is_headless(service) {
                let name = if kind == Kind::LoadBalancer { "LoadBalancer" } else { "NodePort" };
                errors.invalid(
                    &spec.child("clusterIPs").index(0),
                    "None",
                    &format!("may not be set to 'None' for {name} services"),
                );
            }
        }
        Kind::ExternalName => {
            if !service.list(&["spec", "clusterIPs"]).is_empty() {
                errors.forbidden(&spec.child("clusterIPs"), "may not be set for ExternalName services");
            }
            if !service.list(&["spec", "ipFamilies"]).is_empty() {
                errors.forbidden(&spec.child("ipFamilies"), "may not be set for ExternalName services");
            }
            if service.text(&["spec", "ipFamilyPolicy"]).is_some() {
                errors.forbidden(&spec.child("ipFamilyPolicy"), "may not be set for ExternalName services");
            }
            // One dot at the end is what a fully qualified name has.
            match service.text(&["spec", "externalName"]) {
                None => errors.required(&spec.child("externalName"), ""),
                Some(name) => {
                    for message in names::dns_subdomain(name.strip_suffix('.').unwrap_or(name)) {
                        errors.invalid(&spec.child("externalName"), name, &message);
                    }
                }
            }
        }
        Kind::ClusterIp | Kind::Unknown => {}
    }
}

fn validate_ports(service: &Object, kind: Kind, path: &Path, errors: &mut Errors) {
    let all = ports(service);
    let mut seen_names: BTreeSet<&str> = BTreeSet::new();
    for (index, port) in all.iter().enumerate() {
        let path = path.index(index);
        let name = port_text(port, "name");
        if name.is_empty() {
            if all.len() > 1 {
                errors.required(&path.child("name"), "");
            }
        } else {
            for message in names::dns_label(name) {
                errors.invalid(&path.child("name"), name, &message);
            }
            if !seen_names.insert(name) {
                errors.duplicate(&path.child("name"), name);
            }
        }
        let number = port_number(port, "port");
        if let Some(message) = names::port_number(number) {
            errors.invalid(&path.child("port"), number, message);
        }
        let protocol = port_text(port, "protocol");
        if protocol.is_empty() {
            errors.required(&path.child("protocol"), "");
        } else if !PROTOCOLS.contains(&protocol) {
            errors.not_supported(&path.child("protocol"), protocol, &PROTOCOLS);
        }
        validate_target(port.get("targetPort"), &path.child("targetPort"), errors);
        if let Some(protocol) = port.get("appProtocol").and_then(Value::as_str) {
            for message in names::qualified_name(protocol) {
                errors.invalid(&path.child("appProtocol"), protocol, &message);
            }
        }
    }
    if kind == Kind::ClusterIp {
        for (index, port) in all.iter().enumerate() {
            if port_number(port, "nodePort") != 0 {
                errors.forbidden(&path.index(index).child("nodePort"), "may not be used when `type` is 'ClusterIP'");
            }
        }
    }
    let mut node_ports: BTreeSet<(&str, i64)> = BTreeSet::new();
    for (index, port) in all.iter().enumerate() {
        let number = port_number(port, "nodePort");
        if number != 0 && !node_ports.insert((port_text(port, "protocol"), number)) {
            errors.duplicate(&path.index(index).child("nodePort"), number);
        }
    }
    let mut numbers: BTreeSet<(&str, i64)> = BTreeSet::new();
    for (index, port) in all.iter().enumerate() {
        let (protocol, number) = (port_text(port, "protocol"), port_number(port, "port"));
        if !numbers.insert((protocol, number)) {
            errors.duplicate(&path.index(index), json!({ "protocol": protocol, "port": number, "targetPort": 0 }));
        }
    }
}

fn validate_target(target: Option<&Value>, path: &Path, errors: &mut Errors) {
    match target {
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

fn validate_affinity(service: &Object, spec: &Path, errors: &mut Errors) {
    const AFFINITIES: [&str; 2] = ["ClientIP", "None"];
    let config = spec.child("sessionAffinityConfig");
    match service.text(&["spec", "sessionAffinity"]) {
        None => errors.required(&spec.child("sessionAffinity"), ""),
        Some("ClientIP") => {
            let path = config.child("clientIP").child("timeoutSeconds");
            match service.integer(&["spec", "sessionAffinityConfig", "clientIP", "timeoutSeconds"]) {
                None => errors.required(&path, "when session affinity type is ClientIP"),
                Some(seconds) if seconds <= 0 || seconds > AFFINITY_LIMIT_SECONDS => errors.invalid(
                    &path,
                    seconds,
                    &format!("must be greater than 0 and less than {AFFINITY_LIMIT_SECONDS}"),
                ),
                Some(_) => {}
            }
        }
        Some("None") => {
            if service.at(&["spec", "sessionAffinityConfig"]).is_some() {
                errors.forbidden(&config, "must not be set when session affinity is None");
            }
        }
        Some(other) => errors.not_supported(&spec.child("sessionAffinity"), other, &AFFINITIES),
    }
}

/// Checks addresses, families and the policy against each other.
pub(super) fn validate_cluster_ips(service: &Object, errors: &mut Errors) {
    if !Kind::of(service).has_cluster_ip() {
        return;
    }
    let spec = Path::new("spec");
    let list: Vec<&str> = service.list(&["spec", "clusterIPs"]).iter().filter_map(Value::as_str).collect();
    let path = spec.child("clusterIPs");
    let single = service.text(&["spec", "clusterIP"]);
    match (single, list.first()) {
        (None, Some(_)) => errors.required(&path, "must be empty when `clusterIP` is not specified"),
        (Some(single), Some(first)) if single != *first => {
            errors.invalid(&path, json!(list), "first value must match `clusterIP`");
        }
        (_, _) => {}
    }
    if list.len() > 2 {
        errors.invalid(&path, json!(list), "may only hold up to 2 values");
    }
    for (index, ip) in list.iter().enumerate() {
        if *ip == "None" {
            if index > 0 {
                errors.invalid(&path.index(index), *ip, "'None' must be the first and only value");
            }
        } else if let Some(message) = names::ip_address(ip) {
            errors.invalid(&path.index(index), *ip, message);
        }
    }
    if let [first, second] = list.as_slice()
        && let (Ok(first), Ok(second)) = (first.parse::<IpAddr>(), second.parse::<IpAddr>())
        && first.is_ipv4() == second.is_ipv4()
    {
        errors.invalid(&path, json!(list), "may specify no more than one IP for each IP family");
    }
    let families: Vec<&str> = service.list(&["spec", "ipFamilies"]).iter().filter_map(Value::as_str).collect();
    let mut seen: BTreeSet<&str> = BTreeSet::new();
    for (index, family) in families.iter().enumerate() {
        let path = spec.child("ipFamilies").index(index);
        if *family != "IPv4" && *family != "IPv6" {
            errors.not_supported(&path, *family, &["IPv4", "IPv6"]);
        }
        if !seen.insert(family) {
            errors.duplicate(&path, *family);
        }
    }
    if let Some(policy) = service.text(&["spec", "ipFamilyPolicy"]) {
        const POLICIES: [&str; 3] = ["PreferDualStack", "RequireDualStack", "SingleStack"];
        if !POLICIES.contains(&policy) {
            errors.not_supported(&spec.child("ipFamilyPolicy"), policy, &POLICIES);
        }
    }
    for (index, (ip, family)) in list.iter().zip(&families).enumerate() {
        if let Ok(address) = ip.parse::<IpAddr>()
            && address.is_ipv4() != (*family == "IPv4")
        {
            let article = if *family == "IPv4" { "an IPv4" } else { "an IPv6" };
            errors.invalid(
                &path.index(index),
                *ip,
                &format!("expected {article} value as indicated by `ipFamilies[{index}]`"),
            );
        }
    }
}

fn validate_traffic(service: &Object, kind: Kind, spec: &Path, errors: &mut Errors) {
    const POLICIES: [&str; 2] = ["Cluster", "Local"];
    let external = service.text(&["spec", "externalTrafficPolicy"]);
    let path = spec.child("externalTrafficPolicy");
    let reachable =
        kind.may_have_node_ports() || (kind == Kind::ClusterIp && !service.list(&["spec", "externalIPs"]).is_empty());
    match external {
        Some(policy) if !reachable => {
            errors.invalid(&path, policy, "may only be set for externally-accessible services");
        }
        Some(policy) if !POLICIES.contains(&policy) => errors.not_supported(&path, policy, &POLICIES),
        None if reachable => errors.required(&path, ""),
        Some(_) | None => {}
    }
    let health = service.integer(&["spec", "healthCheckNodePort"]).unwrap_or(0);
    let path = spec.child("healthCheckNodePort");
    if health != 0 && !wants_health_check_port(service) {
        errors.invalid(
            &path,
            health,
            "may only be set when `type` is 'LoadBalancer' and `externalTrafficPolicy` is 'Local'",
        );
    } else if health < 0 {
        errors.invalid(&path, health, "must be greater than 0");
    }
    if let Some(policy) = service.text(&["spec", "internalTrafficPolicy"])
        && !POLICIES.contains(&policy)
    {
        errors.not_supported(&spec.child("internalTrafficPolicy"), policy, &POLICIES);
    }
    if kind != Kind::LoadBalancer {
        for member in ["allocateLoadBalancerNodePorts", "loadBalancerClass"] {
            if service.at(&["spec", member]).is_some() {
                errors.forbidden(&spec.child(member), "may only be used when `type` is 'LoadBalancer'");
            }
        }
    }
}

fn validate_source_ranges(service: &Object, kind: Kind, spec: &Path, errors: &mut Errors) {
    let ranges = service.list(&["spec", "loadBalancerSourceRanges"]);
    if ranges.is_empty() {
        return;
    }
    let path = spec.child("LoadBalancerSourceRanges");
    if kind != Kind::LoadBalancer {
        errors.forbidden(&path, "may only be used when `type` is 'LoadBalancer'");
    }
    for (index, range) in ranges.iter().enumerate() {
        let text = range.as_str().unwrap_or_default();
        if super::Cidr::parse(text.trim()).is_none() {
            errors.invalid(&path.index(index), text, "must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)");
        }
    }
}

/// An address once given stays, except to and from `ExternalName`.
pub(super) fn validate_cluster_ip_change(new: &Object, old: &Object, errors: &mut Errors) {
    if !Kind::of(new).has_cluster_ip() || !Kind::of(old).has_cluster_ip() {
        return;
    }
    let list = |object: &Object| -> Vec<String> {
        object.list(&["spec", "clusterIPs"]).iter().filter_map(|ip| ip.as_str().map(str::to_owned)).collect()
    };
    let (before, after) = (list(old), list(new));
    let path = Path::new("spec.clusterIPs");
    match (before.first(), after.first()) {
        (Some(first), Some(now)) if first != now => {
            errors.invalid(&path.index(0), json!(after), "may not change once set");
        }
        (Some(_), None) => errors.invalid(&path.index(0), json!(after), "primary clusterIP can not be unset"),
        (_, _) => {}
    }
    if let (Some(second), Some(now)) = (before.get(1), after.get(1))
        && second != now
    {
        errors.invalid(&path.index(1), json!(after), "may not change once set");
    }
    let families = |object: &Object| object.list(&["spec", "ipFamilies"]).first().cloned();
    if let (Some(first), Some(now)) = (families(old), families(new))
        && first != now
    {
        errors.invalid(
            &Path::new("spec.ipFamilies").index(0),
            Value::Array(new.list(&["spec", "ipFamilies"]).to_vec()),
            "may not change once set",
        );
    }
}

pub(super) fn validate_load_balancer(service: &Object, errors: &mut Errors) {
    for (index, ingress) in service.list(&["status", "loadBalancer", "ingress"]).iter().enumerate() {
        let path = Path::new("status.loadBalancer.ingress").index(index);
        let text = |member: &str| ingress.get(member).and_then(Value::as_str).unwrap_or_default();
        if !text("ip").is_empty()
            && let Some(message) = names::ip_address(text("ip"))
        {
            errors.invalid(&path.child("ip"), text("ip"), message);
        }
        if !text("hostname").is_empty() {
            for message in names::dns_subdomain(text("hostname")) {
                errors.invalid(&path.child("hostname"), text("hostname"), &message);
            }
            if text("hostname").parse::<IpAddr>().is_ok() {
                errors.invalid(&path.child("hostname"), text("hostname"), "must be a DNS name, not an IP address");
            }
        }
    }
}
