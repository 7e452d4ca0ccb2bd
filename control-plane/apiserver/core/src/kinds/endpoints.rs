//! Endpoints: where a Service's traffic goes, in the old form.

use std::collections::BTreeMap;
use std::net::IpAddr;

use serde_json::Value;

use crate::field::{Errors, Path};
use crate::names;
use crate::object::Object;
use crate::strategy::{Replacing, Strategy};
use crate::table;

/// Addresses shown in a table before the rest is only counted.
const SHOWN: usize = 3;

/// The strategy.
#[derive(Debug)]
pub(super) struct Endpoints;

impl Strategy for Endpoints {
    fn default(&self, object: &mut Object) {
        let Some(Value::Array(subsets)) = object.map_mut().get_mut("subsets") else { return };
        for subset in subsets {
            for port in subset.get_mut("ports").and_then(Value::as_array_mut).into_iter().flatten() {
                if port.get("protocol").and_then(Value::as_str).is_none_or(str::is_empty) {
                    port["protocol"] = "TCP".into();
                }
            }
        }
    }

    fn validate(&self, object: &Object, errors: &mut Errors) {
        validate_subsets(object, &BTreeMap::new(), errors);
    }

    fn validate_update(&self, new: &Object, replacing: Replacing<'_>, errors: &mut Errors) {
        let nodes = addresses(replacing.old)
            .filter_map(|address| Some((text(address, "ip").to_owned(), address.get("nodeName")?.as_str()?.to_owned())))
            .collect();
        validate_subsets(new, &nodes, errors);
    }

    fn cells_read(&self) -> &'static [&'static str] {
        &["subsets.addresses.ip", "subsets.ports.port"]
    }

    fn cells(&self, object: &Object, now: jiff::Timestamp) -> Vec<Value> {
        vec![
            object.name().unwrap_or_default().into(),
            summary(object).into(),
            table::age(object.creation_timestamp(), now).into(),
        ]
    }
}

fn text<'a>(value: &'a Value, member: &str) -> &'a str {
    value.get(member).and_then(Value::as_str).unwrap_or_default()
}

fn list<'a>(value: &'a Value, member: &str) -> &'a [Value] {
    value.get(member).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

fn addresses(object: &Object) -> impl Iterator<Item = &Value> {
    object
        .list(&["subsets"])
        .iter()
        .flat_map(|subset| list(subset, "addresses").iter().chain(list(subset, "notReadyAddresses")))
}

fn validate_subsets(object: &Object, nodes: &BTreeMap<String, String>, errors: &mut Errors) {
    for (index, subset) in object.list(&["subsets"]).iter().enumerate() {
        let path = Path::new("subsets").index(index);
        if list(subset, "addresses").is_empty() && list(subset, "notReadyAddresses").is_empty() {
            errors.required(&path, "must specify `addresses` or `notReadyAddresses`");
        }
        for member in ["addresses", "notReadyAddresses"] {
            for (index, address) in list(subset, member).iter().enumerate() {
                validate_address(address, nodes, &path.child(member).index(index), errors);
            }
        }
        let ports = list(subset, "ports");
        for (index, port) in ports.iter().enumerate() {
            validate_port(port, ports.len() > 1, &path.child("ports").index(index), errors);
        }
    }
}

fn validate_address(address: &Value, nodes: &BTreeMap<String, String>, path: &Path, errors: &mut Errors) {
    let before = errors.as_slice().len();
    let ip = text(address, "ip");
    if let Some(message) = names::ip_address(ip) {
        errors.invalid(&path.child("ip"), ip, message);
    }
    let hostname = text(address, "hostname");
    if !hostname.is_empty() {
        for message in names::dns_label(hostname) {
            errors.invalid(&path.child("hostname"), hostname, &message);
        }
    }
    if let Some(node) = address.get("nodeName").and_then(Value::as_str) {
        for message in names::dns_subdomain(node) {
            errors.invalid(&path.child("nodeName"), node, &message);
        }
        if nodes.get(ip).is_some_and(|old| old != node) {
            errors.forbidden(&path.child("nodeName"), &format!("Cannot change NodeName for {ip} to {node}"));
        }
    }
    if errors.as_slice().len() == before {
        check_usable_ip(ip, &path.child("ip"), errors);
    }
}

/// Refuses addresses that mean something else on every machine.
pub(super) fn check_usable_ip(ip: &str, path: &Path, errors: &mut Errors) {
    let Ok(address) = ip.parse::<IpAddr>() else { return };
    let (local, multicast) = match address {
        IpAddr::V4(address) => (address.is_link_local(), address.octets()[..3] == [224, 0, 0]),
        IpAddr::V6(address) => (address.is_unicast_link_local(), address.segments()[0] == 0xff02),
    };
    if address.is_unspecified() {
        errors.invalid(path, ip, &format!("may not be unspecified ({ip})"));
    }
    if address.is_loopback() {
        errors.invalid(path, ip, "may not be in the loopback range (127.0.0.0/8, ::1/128)");
    }
    if local {
        errors.invalid(path, ip, "may not be in the link-local range (169.254.0.0/16, fe80::/10)");
    }
    if multicast {
        errors.invalid(path, ip, "may not be in the link-local multicast range (224.0.0.0/24, ff02::/10)");
    }
}

fn validate_port(port: &Value, name_required: bool, path: &Path, errors: &mut Errors) {
    let name = text(port, "name");
    if name.is_empty() {
        if name_required {
            errors.required(&path.child("name"), "");
        }
    } else {
        for message in names::dns_label(name) {
            errors.invalid(&path.child("name"), name, &message);
        }
    }
    let number = port.get("port").and_then(Value::as_i64).unwrap_or(0);
    if let Some(message) = names::port_number(number) {
        errors.invalid(&path.child("port"), number, message);
    }
    let protocol = text(port, "protocol");
    if !super::service::PROTOCOLS.contains(&protocol) {
        errors.not_supported(&path.child("protocol"), protocol, &super::service::PROTOCOLS);
    }
}

/// `10.0.0.1:80,10.0.0.2:80,10.0.0.3:80 + 2 more...`
fn summary(object: &Object) -> String {
    let mut shown: Vec<String> = Vec::new();
    let mut count = 0;
    for subset in object.list(&["subsets"]) {
        let ready = list(subset, "addresses");
        let ports = list(subset, "ports");
        let mut add = |text: String| {
            count += 1;
            if shown.len() < SHOWN {
                shown.push(text);
            }
        };
        if ports.is_empty() {
            for address in ready {
                add(text(address, "ip").to_owned());
            }
        }
        for port in ports {
            let number = port.get("port").and_then(Value::as_i64).unwrap_or(0);
            for address in ready {
                let ip = text(address, "ip");
                add(if ip.contains(':') { format!("[{ip}]:{number}") } else { format!("{ip}:{number}") });
            }
        }
    }
    match count {
        0 => "<none>".into(),
        _ if count > shown.len() => format!("{} + {} more...", shown.join(","), count - shown.len()),
        _ => shown.join(","),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use crate::kinds::testing::{self, context, create, create_errors, update_errors};

    fn row() -> std::sync::Arc<crate::Resource> {
        testing::row("", "endpoints")
    }

    #[test]
    fn addresses_and_ports_are_checked() {
        assert_eq!(
            create_errors(
                &row(),
                json!({ "subsets": [
                    { "ports": [{ "port": 1 }] },
                    { "addresses": [{ "ip": "x" }, { "ip": "127.0.0.1" }], "ports": [{ "port": 0, "name": "a" }, { "port": 1 }] },
                ] })
            ),
            [
                "subsets[0]: Required value: must specify `addresses` or `notReadyAddresses`",
                "subsets[1].addresses[0].ip: Invalid value: \"x\": must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)",
                "subsets[1].addresses[1].ip: Invalid value: \"127.0.0.1\": may not be in the loopback range (127.0.0.0/8, ::1/128)",
                "subsets[1].ports[0].port: Invalid value: 0: must be between 1 and 65535, inclusive",
                "subsets[1].ports[1].name: Required value",
            ]
        );
    }

    #[test]
    fn an_address_stays_on_its_node() {
        let at = |node: &str| json!({ "subsets": [{ "addresses": [{ "ip": "10.0.0.1", "nodeName": node }] }] });
        assert_eq!(
            update_errors(&row(), None, at("a"), at("b")),
            ["subsets[0].addresses[0].nodeName: Forbidden: Cannot change NodeName for 10.0.0.1 to b"]
        );
    }

    #[test]
    fn a_table_shows_three() {
        let endpoints = create(
            &row(),
            json!({ "subsets": [{
                "addresses": [{ "ip": "10.0.0.1" }, { "ip": "10.0.0.2" }, { "ip": "10.0.0.3" }, { "ip": "fd00::1" }],
                "ports": [{ "port": 80 }],
            }] }),
        );
        let cells = row().strategy.cells(&endpoints, context().now);
        assert_eq!(cells, [json!("a"), json!("10.0.0.1:80,10.0.0.2:80,10.0.0.3:80 + 1 more..."), json!("0s")]);
    }
}
