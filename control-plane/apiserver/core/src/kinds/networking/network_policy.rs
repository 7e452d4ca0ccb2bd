//! Network policies: who may talk to whom.

use serde_json::{Value, json};

use crate::field::{Errors, Path};
use crate::kinds::selectors;
use crate::kinds::service::{Cidr, PROTOCOLS};
use crate::kinds::tree::{self, at, has, list, member, text, texts};
use crate::names;
use crate::object::Object;
use crate::strategy::{Shape, Strategy};
use crate::table;

const CIDR: &str = "must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)";

/// The strategy.
#[derive(Debug)]
pub(in crate::kinds) struct NetworkPolicy;

impl Strategy for NetworkPolicy {
    fn shape(&self) -> Shape {
        Shape::Spec
    }

    fn default(&self, object: &mut Object) {
        let spec = object.section("spec");
        spec.entry("podSelector").or_insert_with(|| json!({}));
        for direction in ["ingress", "egress"] {
            for rule in spec.get_mut(direction).and_then(Value::as_array_mut).into_iter().flatten() {
                let ports = rule.get_mut("ports").and_then(Value::as_array_mut);
                for port in ports.into_iter().flatten().filter_map(Value::as_object_mut) {
                    tree::or_set(port, "protocol", "TCP");
                }
            }
        }
        let whole = spec.get("policyTypes").and_then(Value::as_array).is_some_and(|types| !types.is_empty());
        if !whole {
            // A policy without rules for what comes in lets nothing in; what goes out it minds only if it says so.
            let out = spec.get("egress").and_then(Value::as_array).is_some_and(|rules| !rules.is_empty());
            spec.insert("policyTypes".into(), if out { json!(["Ingress", "Egress"]) } else { json!(["Ingress"]) });
        }
    }

    fn validate(&self, object: &Object, errors: &mut Errors) {
        let (spec, path) = (at(object, &["spec"]), Path::new("spec"));
        selectors::validate(member(spec, "podSelector"), &path.child("podSelector"), errors);
        for (direction, peers) in [("ingress", "from"), ("egress", "to")] {
            for (index, rule) in list(spec, direction).iter().enumerate() {
                let path = path.child(direction).index(index);
                for (index, port) in list(rule, "ports").iter().enumerate() {
                    validate_port(port, &path.child("ports").index(index), errors);
                }
                for (index, peer) in list(rule, peers).iter().enumerate() {
                    validate_peer(peer, &path.child(peers).index(index), errors);
                }
            }
        }
        let at_types = path.child("policyTypes");
        if list(spec, "policyTypes").len() > 2 {
            let types = Value::Array(list(spec, "policyTypes").to_vec());
            return errors.invalid(&at_types, types, "may not specify more than two policyTypes");
        }
        for (index, kind) in texts(spec, "policyTypes").enumerate() {
            if !["Ingress", "Egress"].contains(&kind) {
                errors.not_supported(&at_types.index(index), kind, &["Egress", "Ingress"]);
            }
        }
    }

    fn cells_read(&self) -> &'static [&'static str] {
        &["spec.podSelector"]
    }

    fn cells(&self, object: &Object, now: jiff::Timestamp) -> Vec<Value> {
        vec![
            object.name().unwrap_or_default().into(),
            selectors::shown(at(object, &["spec", "podSelector"])).into(),
            table::age(object.creation_timestamp(), now).into(),
        ]
    }
}

fn validate_port(port: &Value, path: &Path, errors: &mut Errors) {
    tree::one_of_if_set(port, "protocol", &PROTOCOLS, path, errors);
    let at_end = path.child("endPort");
    let end = member(port, "endPort").as_i64();
    match member(port, "port") {
        Value::Number(number) => {
            let number = number.as_i64().unwrap_or(0);
            if let Some(message) = names::port_number(number) {
                errors.invalid(&path.child("port"), number, message);
            }
            if let Some(end) = end {
                if end < number {
                    errors.invalid(&at_end, end, "must be greater than or equal to `port`");
                }
                if let Some(message) = names::port_number(end) {
                    errors.invalid(&at_end, end, message);
                }
            }
        }
        Value::String(name) => {
            if let Some(end) = end {
                errors.invalid(&at_end, end, "may not be specified when `port` is non-numeric");
            }
            tree::all(names::port_name(name), name, &path.child("port"), errors);
        }
        _ => {
            if let Some(end) = end {
                errors.invalid(&at_end, end, "may not be specified when `port` is not specified");
            }
        }
    }
}

fn validate_peer(peer: &Value, path: &Path, errors: &mut Errors) {
    let mut others = 0;
    for name in ["podSelector", "namespaceSelector"] {
        if has(peer, name) {
            others += 1;
            selectors::validate(member(peer, name), &path.child(name), errors);
        }
    }
    match (has(peer, "ipBlock"), others) {
        (true, 0) => validate_block(member(peer, "ipBlock"), &path.child("ipBlock"), errors),
        (true, _) => errors.forbidden(path, "may not specify both ipBlock and another peer"),
        (false, 0) => errors.required(path, "must specify a peer"),
        (false, _) => {}
    }
}

fn validate_block(block: &Value, path: &Path, errors: &mut Errors) {
    let cidr = text(block, "cidr");
    if cidr.is_empty() {
        return errors.required(&path.child("cidr"), "");
    }
    let Some(range) = Cidr::parse(cidr) else {
        return errors.invalid(&path.child("cidr"), cidr, CIDR);
    };
    for (index, hole) in texts(block, "except").enumerate() {
        let path = path.child("except").index(index);
        let Some(inner) = Cidr::parse(hole) else {
            errors.invalid(&path, hole, CIDR);
            continue;
        };
        let inside = inner.nth(0).is_some_and(|first| range.contains(first));
        if !inside || prefix_length(hole) <= prefix_length(cidr) {
            errors.invalid(&path, hole, "must be a strict subset of `cidr`");
        }
    }
}

fn prefix_length(cidr: &str) -> u8 {
    cidr.split_once('/').and_then(|(_, length)| length.parse().ok()).unwrap_or(0)
}
