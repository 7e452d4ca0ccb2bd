//! Services: a name and an address in front of pods.

mod addresses;
mod cidr;
mod families;
mod held;
mod pool;
mod validation;

use serde_json::{Value, json};

pub use cidr::Cidr;
pub use pool::{ClusterIps, held_addresses, held_ports};

use crate::engine::Context;
use crate::field::Errors;
use crate::object::Object;
use crate::status::Status;
use crate::strategy::{NameRule, Part, Reach, Replacing, Strategy};
use crate::table;

/// Protocols ports may have.
pub(super) const PROTOCOLS: [&str; 3] = ["SCTP", "TCP", "UDP"];
/// A Service without an address of its own.
const HEADLESS: &str = "None";

/// The strategy.
#[derive(Debug)]
pub(super) struct Service;

/// The `type` of a Service.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    ClusterIp,
    NodePort,
    LoadBalancer,
    ExternalName,
    Unknown,
}

impl Kind {
    fn of(service: &Object) -> Self {
        match service.text(&["spec", "type"]).unwrap_or("ClusterIP") {
            "ClusterIP" => Self::ClusterIp,
            "NodePort" => Self::NodePort,
            "LoadBalancer" => Self::LoadBalancer,
            "ExternalName" => Self::ExternalName,
            _ => Self::Unknown,
        }
    }

    fn has_cluster_ip(self) -> bool {
        matches!(self, Self::ClusterIp | Self::NodePort | Self::LoadBalancer)
    }

    fn may_have_node_ports(self) -> bool {
        matches!(self, Self::NodePort | Self::LoadBalancer)
    }
}

/// Whether node ports are given where none is asked for: always, unless a load balancer does without.
fn wants_node_ports(service: &Object) -> bool {
    match Kind::of(service) {
        Kind::NodePort => true,
        Kind::LoadBalancer => {
            service.at(&["spec", "allocateLoadBalancerNodePorts"]).and_then(Value::as_bool).unwrap_or(true)
        }
        Kind::ClusterIp | Kind::ExternalName | Kind::Unknown => false,
    }
}

/// Whether a port is needed for the load balancer's health checks.
fn wants_health_check_port(service: &Object) -> bool {
    Kind::of(service) == Kind::LoadBalancer && service.text(&["spec", "externalTrafficPolicy"]) == Some("Local")
}

fn is_headless(service: &Object) -> bool {
    service.text(&["spec", "clusterIP"]) == Some(HEADLESS)
}

fn ports(service: &Object) -> &[Value] {
    service.list(&["spec", "ports"])
}

fn ports_mut(service: &mut Object) -> impl Iterator<Item = &mut Value> {
    service.section("spec").get_mut("ports").and_then(Value::as_array_mut).into_iter().flatten()
}

fn port_text<'a>(port: &'a Value, member: &str) -> &'a str {
    port.get(member).and_then(Value::as_str).unwrap_or_default()
}

fn port_number(port: &Value, member: &str) -> i64 {
    port.get(member).and_then(Value::as_i64).unwrap_or(0)
}

impl Strategy for Service {
    fn name_rule(&self) -> NameRule {
        // Since 1.37 a Service may start with a digit.
        NameRule::DnsLabel
    }

    fn default(&self, object: &mut Object) {
        let set = |object: &mut Object, member: &str, value: Value| {
            if object.at(&["spec", member]).is_none_or(|value| value.as_str() == Some("")) {
                object.set(&["spec", member], value);
            }
        };
        set(object, "sessionAffinity", "None".into());
        set(object, "type", "ClusterIP".into());
        if object.text(&["spec", "sessionAffinity"]) == Some("ClientIP")
            && object.at(&["spec", "sessionAffinityConfig", "clientIP", "timeoutSeconds"]).is_none()
        {
            object.set(&["spec", "sessionAffinityConfig", "clientIP", "timeoutSeconds"], 10800);
        }
        for port in ports_mut(object) {
            if port_text(port, "protocol").is_empty() {
                port["protocol"] = "TCP".into();
            }
            let target = port.get("targetPort");
            if target.is_none_or(|target| target.as_i64() == Some(0) || target.as_str() == Some("")) {
                port["targetPort"] = port.get("port").cloned().unwrap_or_default();
            }
        }
        let kind = Kind::of(object);
        let external = kind.may_have_node_ports()
            || (kind == Kind::ClusterIp && !object.list(&["spec", "externalIPs"]).is_empty());
        if external {
            set(object, "externalTrafficPolicy", "Cluster".into());
        }
        if kind.has_cluster_ip() {
            set(object, "internalTrafficPolicy", "Cluster".into());
        }
        if kind == Kind::LoadBalancer {
            set(object, "allocateLoadBalancerNodePorts", true.into());
        }
    }

    fn prepare_create(&self, object: &mut Object, context: &Context<'_>) -> Result<(), Status> {
        object.set(&["status"], json!({ "loadBalancer": {} }));
        align_cluster_ips(object, None);
        addresses::allocate(object, None, context)
    }

    fn prepare_update(&self, new: &mut Object, replacing: Replacing<'_>, context: &Context<'_>) -> Result<(), Status> {
        let old = replacing.old;
        if replacing.part == Part::Status {
            if let Some(spec) = old.at(&["spec"]).cloned() {
                new.set(&["spec"], spec);
            }
            return Ok(());
        }
        match old.at(&["status"]).cloned() {
            Some(status) => new.set(&["status"], status),
            None => {
                new.remove(&["status"]);
            }
        }
        keep_allocated(new, old);
        align_cluster_ips(new, Some(old));
        drop_what_the_type_has_not(new, old);
        addresses::allocate(new, Some(old), context)
    }

    fn reach(&self, part: Part<'_>) -> Reach {
        match part {
            Part::Status => Reach::KNOWLEDGE,
            Part::Main | Part::Other(_) => Reach::WISHES,
        }
    }

    fn validate(&self, object: &Object, errors: &mut Errors) {
        validation::validate(object, errors);
    }

    fn validate_update(&self, new: &Object, replacing: Replacing<'_>, errors: &mut Errors) {
        if replacing.part == Part::Status {
            validation::validate_load_balancer(new, errors);
            return;
        }
        validation::validate_cluster_ip_change(new, replacing.old, errors);
        validation::validate(new, errors);
    }

    fn cells_read(&self) -> &'static [&'static str] {
        &[
            "spec.type",
            "spec.clusterIP",
            "spec.externalIPs",
            "spec.externalName",
            "spec.selector",
            "spec.ports.port",
            "spec.ports.nodePort",
            "spec.ports.protocol",
            "status.loadBalancer.ingress.ip",
            "status.loadBalancer.ingress.hostname",
        ]
    }

    fn cells(&self, object: &Object, now: jiff::Timestamp) -> Vec<Value> {
        let selector: Vec<String> = object
            .at(&["spec", "selector"])
            .and_then(Value::as_object)
            .into_iter()
            .flatten()
            .map(|(key, value)| format!("{key}={}", value.as_str().unwrap_or_default()))
            .collect();
        let or_none = |list: Vec<String>| if list.is_empty() { "<none>".to_owned() } else { list.join(",") };
        vec![
            object.name().unwrap_or_default().into(),
            object.text(&["spec", "type"]).unwrap_or_default().into(),
            object.text(&["spec", "clusterIP"]).unwrap_or("<none>").into(),
            external_ip(object).into(),
            or_none(ports(object).iter().map(show_port).collect()).into(),
            table::age(object.creation_timestamp(), now).into(),
            or_none(selector).into(),
        ]
    }
}

fn show_port(port: &Value) -> String {
    let (number, node_port, protocol) =
        (port_number(port, "port"), port_number(port, "nodePort"), port_text(port, "protocol"));
    if node_port > 0 { format!("{number}:{node_port}/{protocol}") } else { format!("{number}/{protocol}") }
}

fn external_ip(object: &Object) -> String {
    let given: Vec<&str> = object.list(&["spec", "externalIPs"]).iter().filter_map(Value::as_str).collect();
    let balanced: Vec<&str> = object
        .list(&["status", "loadBalancer", "ingress"])
        .iter()
        .filter_map(|one| one.get("ip").or_else(|| one.get("hostname")).and_then(Value::as_str))
        .collect();
    match Kind::of(object) {
        Kind::ClusterIp | Kind::NodePort if given.is_empty() => "<none>".into(),
        Kind::ClusterIp | Kind::NodePort => given.join(","),
        Kind::LoadBalancer if given.is_empty() && balanced.is_empty() => "<pending>".into(),
        Kind::LoadBalancer => {
            let all: Vec<&str> = balanced.into_iter().chain(given).collect();
            all.join(",")
        }
        Kind::ExternalName => object.text(&["spec", "externalName"]).unwrap_or_default().into(),
        Kind::Unknown => "<unknown>".into(),
    }
}

/// Makes `clusterIP` and the first of `clusterIPs` agree where only one was given or only one was changed.
fn align_cluster_ips(new: &mut Object, old: Option<&Object>) {
    let single = |object: &Object| object.text(&["spec", "clusterIP"]).map(str::to_owned);
    let list = |object: &Object| object.list(&["spec", "clusterIPs"]).to_vec();
    let Some(old) = old else {
        if let (Some(ip), true) = (single(new), list(new).is_empty()) {
            new.set(&["spec", "clusterIPs"], vec![ip]);
        }
        return;
    };
    let single_changed = single(new) != single(old);
    let list_changed = list(new) != list(old);
    match (single(new), single_changed, list_changed) {
        (None, true, false) => {
            new.remove(&["spec", "clusterIPs"]);
        }
        (Some(ip), true, false) => new.set(&["spec", "clusterIPs"], vec![ip]),
        (Some(ip), true, true) if list(new).is_empty() => new.set(&["spec", "clusterIPs"], vec![ip]),
        (_, false, true) if list(new).is_empty() => {
            new.remove(&["spec", "clusterIP"]);
        }
        (_, _, _) => {}
    }
}

/// A client that does not repeat what the server has given keeps it.
fn keep_allocated(new: &mut Object, old: &Object) {
    let (before, after) = (Kind::of(old), Kind::of(new));
    if before.has_cluster_ip() && after.has_cluster_ip() {
        if new.text(&["spec", "clusterIP"]).is_none()
            && let Some(ip) = old.text(&["spec", "clusterIP"])
        {
            new.set(&["spec", "clusterIP"], ip);
        }
        if new.list(&["spec", "clusterIPs"]).is_empty()
            && new.text(&["spec", "clusterIP"]) == old.text(&["spec", "clusterIP"])
            && !old.list(&["spec", "clusterIPs"]).is_empty()
        {
            new.set(&["spec", "clusterIPs"], old.list(&["spec", "clusterIPs"]).to_vec());
        }
        for member in ["ipFamilies", "ipFamilyPolicy"] {
            if let (None, Some(value)) = (new.at(&["spec", member]), old.at(&["spec", member]).cloned()) {
                new.set(&["spec", member], value);
            }
        }
    }
    if before.may_have_node_ports() && after.may_have_node_ports() {
        let given: Vec<(String, i64, i64)> = ports(old)
            .iter()
            .map(|port| {
                (port_text(port, "protocol").to_owned(), port_number(port, "port"), port_number(port, "nodePort"))
            })
            .collect();
        let mut taken: Vec<i64> =
            ports(new).iter().map(|port| port_number(port, "nodePort")).filter(|port| *port > 0).collect();
        for port in ports_mut(new).filter(|port| port_number(port, "nodePort") == 0) {
            let same = given.iter().find(|(protocol, number, _)| {
                protocol == port_text(port, "protocol") && *number == port_number(port, "port")
            });
            if let Some((_, _, node_port)) = same
                && *node_port > 0
                && !taken.contains(node_port)
            {
                taken.push(*node_port);
                port["nodePort"] = (*node_port).into();
            }
        }
    }
    if wants_health_check_port(old)
        && wants_health_check_port(new)
        && new.integer(&["spec", "healthCheckNodePort"]).unwrap_or(0) == 0
        && let Some(port) = old.integer(&["spec", "healthCheckNodePort"])
    {
        new.set(&["spec", "healthCheckNodePort"], port);
    }
}

/// When the type changes, what only the old type has goes, unless the client set it anew.
fn drop_what_the_type_has_not(new: &mut Object, old: &Object) {
    let (before, after) = (Kind::of(old), Kind::of(new));
    let drop_unchanged = |new: &mut Object, member: &str| {
        if new.at(&["spec", member]) == old.at(&["spec", member]) {
            new.remove(&["spec", member]);
        }
    };
    if before.has_cluster_ip() && !after.has_cluster_ip() {
        for member in ["clusterIP", "clusterIPs", "ipFamilies", "ipFamilyPolicy", "internalTrafficPolicy"] {
            drop_unchanged(new, member);
        }
    }
    if before.may_have_node_ports() && !after.may_have_node_ports() {
        let given: Vec<i64> = ports(old).iter().map(|port| port_number(port, "nodePort")).collect();
        for port in ports_mut(new) {
            if given.contains(&port_number(port, "nodePort"))
                && let Some(port) = port.as_object_mut()
            {
                port.remove("nodePort");
            }
        }
        if new.list(&["spec", "externalIPs"]).is_empty() {
            drop_unchanged(new, "externalTrafficPolicy");
        }
    }
    if wants_health_check_port(old) && !wants_health_check_port(new) {
        drop_unchanged(new, "healthCheckNodePort");
    }
    if before == Kind::LoadBalancer && after != Kind::LoadBalancer {
        drop_unchanged(new, "allocateLoadBalancerNodePorts");
        drop_unchanged(new, "loadBalancerClass");
        new.set(&["status", "loadBalancer"], json!({}));
    }
    if before == Kind::ExternalName && after != Kind::ExternalName {
        drop_unchanged(new, "externalName");
    }
}

#[cfg(test)]
mod tests;
