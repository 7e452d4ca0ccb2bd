//! Endpoint slices: where a Service's traffic goes.

use std::collections::BTreeSet;
use std::net::{Ipv4Addr, Ipv6Addr};

use serde_json::Value;

use super::endpoints::check_usable_ip;
use super::service::PROTOCOLS;
use super::tree::{self, at, list, member, text, texts};
use crate::field::{Errors, Path};
use crate::names;
use crate::object::Object;
use crate::strategy::{Replacing, Strategy};
use crate::table;

const ENDPOINTS: usize = 1000;
const ADDRESSES: usize = 100;
const PORTS: usize = 20_000;
const ZONES: usize = 8;
/// Shown in a table before the rest is only counted.
const SHOWN: usize = 3;

/// The strategy.
#[derive(Debug)]
pub(super) struct EndpointSlice;

impl Strategy for EndpointSlice {
    fn default(&self, object: &mut Object) {
        let ports = object.map_mut().get_mut("ports").and_then(Value::as_array_mut);
        for port in ports.into_iter().flatten().filter_map(Value::as_object_mut) {
            port.entry("name").or_insert_with(|| "".into());
            tree::or_set(port, "protocol", "TCP");
        }
    }

    fn generation_changes(&self, new: &Object, old: &Object) -> Option<bool> {
        let content = ["addressType", "endpoints", "ports"].iter().any(|name| tree::changed(new, old, &[name]));
        Some(content || tree::changed(new, old, &["metadata", "labels"]))
    }

    fn validate(&self, object: &Object, errors: &mut Errors) {
        let kind = object.text(&["addressType"]).unwrap_or_default();
        let path = Path::new("addressType");
        match kind {
            "" => errors.required(&path, ""),
            "FQDN" | "IPv4" | "IPv6" => {}
            other => errors.not_supported(&path, other, &["FQDN", "IPv4", "IPv6"]),
        }
        let (endpoints, path) = (object.list(&["endpoints"]), Path::new("endpoints"));
        if endpoints.len() > ENDPOINTS {
            errors.too_many(&path, endpoints.len(), ENDPOINTS);
            return;
        }
        for (index, endpoint) in endpoints.iter().enumerate() {
            validate_endpoint(endpoint, kind, &path.index(index), errors);
        }
        validate_ports(object.list(&["ports"]), &Path::new("ports"), errors);
    }

    fn validate_update(&self, new: &Object, replacing: Replacing<'_>, errors: &mut Errors) {
        self.validate(new, errors);
        let (now, before) = (at(new, &["addressType"]), at(replacing.old, &["addressType"]));
        tree::immutable(now, before, &Path::new("addressType"), errors);
    }

    fn cells_read(&self) -> &'static [&'static str] {
        &["addressType", "ports.port", "endpoints.addresses"]
    }

    fn cells(&self, object: &Object, now: jiff::Timestamp) -> Vec<Value> {
        let ports = object.list(&["ports"]).iter().map(|port| match member(port, "port").as_i64() {
            Some(number) => number.to_string(),
            None => "*".to_owned(),
        });
        let addresses = object.list(&["endpoints"]).iter().flat_map(|one| texts(one, "addresses")).map(str::to_owned);
        vec![
            object.name().unwrap_or_default().into(),
            object.text(&["addressType"]).unwrap_or_default().into(),
            first_few(&ports.collect::<Vec<_>>()).into(),
            first_few(&addresses.collect::<Vec<_>>()).into(),
            table::age(object.creation_timestamp(), now).into(),
        ]
    }
}

/// `80,443,8080 + 2 more...`
fn first_few(all: &[String]) -> String {
    match all.len() {
        0 => "<unset>".into(),
        count if count > SHOWN => format!("{} + {} more...", all[..SHOWN].join(","), count - SHOWN),
        _ => all.join(","),
    }
}

fn validate_endpoint(endpoint: &Value, kind: &str, path: &Path, errors: &mut Errors) {
    let (addresses, path_of_addresses) = (list(endpoint, "addresses"), path.child("addresses"));
    match addresses.len() {
        0 => errors.required(&path_of_addresses, "must contain at least 1 address"),
        count if count > ADDRESSES => errors.too_many(&path_of_addresses, count, ADDRESSES),
        _ => {}
    }
    for (index, address) in texts(endpoint, "addresses").enumerate() {
        let path = path_of_addresses.index(index);
        match kind {
            "IPv4" if address.parse::<Ipv4Addr>().is_err() => {
                errors.invalid(&path, address, "must be a valid IPv4 address");
            }
            "IPv6" if address.parse::<Ipv6Addr>().is_err() => {
                errors.invalid(&path, address, "must be a valid IPv6 address");
            }
            "IPv4" | "IPv6" => check_usable_ip(address, &path, errors),
            "FQDN" => {
                tree::all(names::dns_subdomain(address), address, &path, errors);
                if !address.contains('.') {
                    errors.invalid(&path, address, "should be a domain with at least two segments separated by dots");
                }
            }
            _ => {}
        }
    }
    if let Some(node) = member(endpoint, "nodeName").as_str() {
        tree::all(names::dns_subdomain(node), node, &path.child("nodeName"), errors);
    }
    if let Some(name) = member(endpoint, "hostname").as_str() {
        tree::all(names::dns_label(name), name, &path.child("hostname"), errors);
    }
    for hint in ["forZones", "forNodes"] {
        validate_hints(member(endpoint, "hints"), hint, &path.child("hints").child(hint), errors);
    }
}

fn validate_hints(hints: &Value, name: &str, path: &Path, errors: &mut Errors) {
    let hints = list(hints, name);
    if hints.len() > ZONES {
        return errors.too_many(path, hints.len(), ZONES);
    }
    let mut seen = BTreeSet::new();
    for (index, hint) in hints.iter().enumerate() {
        let (path, name) = (path.index(index).child("name"), text(hint, "name"));
        if name.is_empty() {
            errors.required(&path, "");
        } else if !seen.insert(name) {
            errors.duplicate(&path, name);
        }
    }
}

fn validate_ports(ports: &[Value], path: &Path, errors: &mut Errors) {
    if ports.len() > PORTS {
        return errors.too_many(path, ports.len(), PORTS);
    }
    let mut seen = BTreeSet::new();
    for (index, port) in ports.iter().enumerate() {
        let path = path.index(index);
        let name = text(port, "name");
        if !name.is_empty() {
            tree::all(names::dns_label(name), name, &path.child("name"), errors);
        }
        if !seen.insert(name) {
            errors.duplicate(&path.child("name"), name);
        }
        tree::one_of(port, "protocol", &PROTOCOLS, &path, errors);
        if let Some(protocol) = member(port, "appProtocol").as_str() {
            tree::all(names::qualified_name(protocol), protocol, &path.child("appProtocol"), errors);
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use crate::kinds::testing::{self, context, create, create_errors, update_errors};

    fn row() -> std::sync::Arc<crate::Resource> {
        testing::row("discovery.k8s.io", "endpointslices")
    }

    #[test]
    fn addresses_are_of_their_type() {
        assert_eq!(
            create_errors(
                &row(),
                json!({
                    "addressType": "IPv4", "endpoints": [{ "addresses": [] }, { "addresses": ["::1", "127.0.0.1"], "hostname": "a b" }],
                    "ports": [{ "port": 80 }, { "port": 81, "protocol": "X" }],
                })
            ),
            [
                "endpoints[0].addresses: Required value: must contain at least 1 address",
                "endpoints[1].addresses[0]: Invalid value: \"::1\": must be a valid IPv4 address",
                "endpoints[1].addresses[1]: Invalid value: \"127.0.0.1\": may not be in the loopback range (127.0.0.0/8, ::1/128)",
                "endpoints[1].hostname: Invalid value: \"a b\": a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?')",
                "ports[1].name: Duplicate value: \"\"",
                "ports[1].protocol: Unsupported value: \"X\": supported values: \"SCTP\", \"TCP\", \"UDP\"",
            ]
        );
        assert_eq!(create_errors(&row(), json!({})), ["addressType: Required value"]);
    }

    #[test]
    fn a_slice_is_shown_counted_and_stays_of_its_type() {
        let body = json!({
            "addressType": "IPv4", "ports": [{ "port": 80 }],
            "endpoints": [{ "addresses": ["10.0.0.1", "10.0.0.2", "10.0.0.3", "10.0.0.4"] }],
        });
        let made = create(&row(), body.clone());
        assert_eq!((made.generation(), &made.list(&["ports"])[0]["protocol"]), (Some(1), &json!("TCP")));
        assert_eq!(
            row().strategy.cells(&made, context().now),
            ["a", "IPv4", "80", "10.0.0.1,10.0.0.2,10.0.0.3 + 1 more...", "0s"]
        );
        let other = json!({ "addressType": "IPv6" });
        assert_eq!(
            update_errors(&row(), None, body, other),
            ["addressType: Invalid value: \"IPv6\": field is immutable"]
        );
    }
}
