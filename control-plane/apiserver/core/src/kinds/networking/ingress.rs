//! Ingresses: names and paths in front of Services.

use std::net::IpAddr;

use serde_json::Value;

use crate::field::{Errors, Path};
use crate::kinds::tree::{self, at, has, list, member, text, texts};
use crate::names;
use crate::object::Object;
use crate::strategy::{Part, Replacing, Shape, Strategy};
use crate::table;

/// How a class was named before there was a field for it.
const CLASS_ANNOTATION: &str = "kubernetes.io/ingress.class";
/// Hosts shown in a table before the rest is only counted.
const SHOWN: usize = 3;

/// The strategy.
#[derive(Debug)]
pub(in crate::kinds) struct Ingress;

impl Strategy for Ingress {
    fn shape(&self) -> Shape {
        Shape::SpecAndStatus
    }

    fn validate(&self, object: &Object, errors: &mut Errors) {
        validate(object, errors);
        let old = object.text(&["metadata", "annotations", CLASS_ANNOTATION]);
        if let (Some(class), true) = (old, has(at(object, &["spec"]), "ingressClassName")) {
            let path = Path::new("metadata.annotations").child(CLASS_ANNOTATION);
            errors.invalid(&path, class, "can not be set when the class field is also set");
        }
    }

    fn validate_update(&self, new: &Object, replacing: Replacing<'_>, errors: &mut Errors) {
        match replacing.part {
            Part::Status => validate_status(at(new, &["status"]), errors),
            Part::Main | Part::Other(_) => validate(new, errors),
        }
    }

    fn cells_read(&self) -> &'static [&'static str] {
        &["spec.ingressClassName", "spec.rules.host", "spec.tls.*", "status.loadBalancer.ingress"]
    }

    fn cells(&self, object: &Object, now: jiff::Timestamp) -> Vec<Value> {
        let spec = at(object, &["spec"]);
        let class = member(spec, "ingressClassName").as_str().unwrap_or("<none>");
        let rules = list(spec, "rules");
        let hosts: Vec<&str> = rules.iter().map(|rule| text(rule, "host")).filter(|host| !host.is_empty()).collect();
        let hosts = match hosts.len() {
            0 => "*".to_owned(),
            count if count > SHOWN => format!("{} + {} more...", hosts[..SHOWN].join(","), rules.len() - SHOWN),
            _ => hosts.join(","),
        };
        let mut addresses: Vec<&str> = list(at(object, &["status", "loadBalancer"]), "ingress")
            .iter()
            .map(|one| if has(one, "ip") { text(one, "ip") } else { text(one, "hostname") })
            .filter(|address| !address.is_empty())
            .collect();
        addresses.sort_unstable();
        addresses.dedup();
        vec![
            object.name().unwrap_or_default().into(),
            class.into(),
            hosts.into(),
            addresses.join(",").into(),
            if list(spec, "tls").is_empty() { "80" } else { "80, 443" }.into(),
            table::age(object.creation_timestamp(), now).into(),
        ]
    }
}

fn validate(object: &Object, errors: &mut Errors) {
    let (spec, path) = (at(object, &["spec"]), Path::new("spec"));
    let rules = list(spec, "rules");
    if rules.is_empty() && !has(spec, "defaultBackend") {
        errors.invalid(&path, Value::Array(Vec::new()), "either `defaultBackend` or `rules` must be specified");
    }
    if has(spec, "defaultBackend") {
        validate_backend(member(spec, "defaultBackend"), &path.child("defaultBackend"), errors);
    }
    for (index, rule) in rules.iter().enumerate() {
        validate_rule(rule, &path.child("rules").index(index), errors);
    }
    for (index, tls) in list(spec, "tls").iter().enumerate() {
        let path = path.child("tls").index(index);
        for (index, host) in texts(tls, "hosts").enumerate() {
            validate_host(host, &path.child("hosts").index(index), errors);
        }
        let secret = text(tls, "secretName");
        if !secret.is_empty() {
            tree::all(names::dns_subdomain(secret), secret, &path.child("secretName"), errors);
        }
    }
    if let Some(class) = member(spec, "ingressClassName").as_str() {
        tree::all(names::dns_subdomain(class), class, &path.child("ingressClassName"), errors);
    }
}

fn validate_host(host: &str, path: &Path, errors: &mut Errors) {
    match host.strip_prefix("*.") {
        Some(rest) => {
            if !names::dns_subdomain(rest).is_empty() {
                errors.invalid(
                    path,
                    host,
                    "a wildcard DNS-1123 subdomain must start with '*.', followed by a valid DNS subdomain, which must consist of lower case alphanumeric characters, '-' or '.' and end with an alphanumeric character (e.g. '*.example.com', regex used for validation is '\\*\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')",
                );
            }
        }
        None => tree::all(names::dns_subdomain(host), host, path, errors),
    }
}

fn validate_rule(rule: &Value, path: &Path, errors: &mut Errors) {
    let host = text(rule, "host");
    if !host.is_empty() {
        if host.parse::<IpAddr>().is_ok() {
            errors.invalid(&path.child("host"), host, "must be a DNS name, not an IP address");
        }
        validate_host(host, &path.child("host"), errors);
    }
    if !has(rule, "http") {
        return;
    }
    let (paths, path) = (list(member(rule, "http"), "paths"), path.child("http").child("paths"));
    if paths.is_empty() {
        errors.required(&path, "");
    }
    for (index, one) in paths.iter().enumerate() {
        let path = path.index(index);
        validate_path(one, &path, errors);
        validate_backend(member(one, "backend"), &path.child("backend"), errors);
    }
}

fn validate_path(rule: &Value, path: &Path, errors: &mut Errors) {
    let given = text(rule, "path");
    let at = path.child("path");
    match text(rule, "pathType") {
        "" => errors.required(&path.child("pathType"), "pathType must be specified"),
        "Exact" | "Prefix" => {
            if !given.starts_with('/') {
                errors.invalid(&at, given, "must be an absolute path");
            }
            for part in ["//", "/./", "/../", "%2f", "%2F"].into_iter().filter(|part| given.contains(part)) {
                errors.invalid(&at, given, &format!("must not contain '{part}'"));
            }
            for end in ["/..", "/."].into_iter().filter(|end| given.ends_with(end)) {
                errors.invalid(&at, given, &format!("cannot end with '{end}'"));
            }
        }
        "ImplementationSpecific" => {
            if !given.is_empty() && !given.starts_with('/') {
                errors.invalid(&at, given, "must be an absolute path");
            }
        }
        other => errors.not_supported(&path.child("pathType"), other, &["Exact", "ImplementationSpecific", "Prefix"]),
    }
}

fn validate_backend(backend: &Value, path: &Path, errors: &mut Errors) {
    match (has(backend, "resource"), has(backend, "service")) {
        (true, true) => errors.invalid(path, "", "cannot set both resource and service backends"),
        (false, false) => errors.invalid(path, "", "resource or service backend is required"),
        (true, false) => {
            let (resource, path) = (member(backend, "resource"), path.child("resource"));
            for name in ["kind", "name"] {
                if text(resource, name).is_empty() {
                    errors.required(&path.child(name), "");
                }
            }
        }
        (false, true) => validate_service(member(backend, "service"), &path.child("service"), errors),
    }
}

fn validate_service(service: &Value, path: &Path, errors: &mut Errors) {
    match text(service, "name") {
        "" => errors.required(&path.child("name"), ""),
        name => tree::all(names::dns_label(name), name, &path.child("name"), errors),
    }
    let (port, path) = (member(service, "port"), path.child("port"));
    let (name, number) = (text(port, "name"), tree::number(port, "number"));
    match (name.is_empty(), number == 0) {
        (false, false) => errors.invalid(&path, "", "cannot set both port name & port number"),
        (true, true) => errors.required(&path, "port name or number is required"),
        (false, true) => tree::all(names::port_name(name), name, &path.child("name"), errors),
        (true, false) => {
            if let Some(message) = names::port_number(number) {
                errors.invalid(&path.child("number"), number, message);
            }
        }
    }
}

fn validate_status(status: &Value, errors: &mut Errors) {
    let path = Path::new("status.loadBalancer.ingress");
    for (index, one) in list(member(status, "loadBalancer"), "ingress").iter().enumerate() {
        let path = path.index(index);
        let (ip, host) = (text(one, "ip"), text(one, "hostname"));
        if !ip.is_empty()
            && let Some(message) = names::ip_address(ip)
        {
            errors.invalid(&path.child("ip"), ip, message);
        }
        if !host.is_empty() {
            tree::all(names::dns_subdomain(host), host, &path.child("hostname"), errors);
            if host.parse::<IpAddr>().is_ok() {
                errors.invalid(&path.child("hostname"), host, "must be a DNS name, not an IP address");
            }
        }
    }
}
