use super::*;
use crate::engine::{Updated, prepare_create};
use crate::kinds::testing::{self, context, create, create_errors, object, try_create, try_update, update_errors};

fn row() -> std::sync::Arc<crate::Resource> {
    testing::row("", "services")
}

fn web() -> Value {
    json!({ "spec": { "ports": [{ "port": 80 }], "selector": { "app": "web" } } })
}

fn updated(old: Value, new: Value) -> Object {
    match try_update(&row(), None, old, new) {
        Ok(Updated::Store(prepared) | Updated::Unchanged(prepared) | Updated::Remove(prepared)) => prepared.object,
        Err(status) => panic!("{status}"),
    }
}

#[test]
fn defaults_and_an_address_are_given() {
    let service = create(&row(), web());
    let ip = service.text(&["spec", "clusterIP"]).expect("an address").to_owned();
    assert!(Cidr::parse("10.96.0.0/24").expect("a range").contains(ip.parse().expect("an IP")));
    assert_eq!(
        service.at(&["spec"]),
        Some(&json!({
            "clusterIP": ip, "clusterIPs": [ip], "internalTrafficPolicy": "Cluster", "ipFamilies": ["IPv4"], "ipFamilyPolicy": "SingleStack",
            "ports": [{ "port": 80, "protocol": "TCP", "targetPort": 80 }], "selector": { "app": "web" }, "sessionAffinity": "None",
            "type": "ClusterIP",
        }))
    );
}

#[test]
fn no_two_services_get_the_same_until_none_is_left() {
    let mut pool = ClusterIps::new(vec![Cidr::parse("10.0.0.0/28").expect("a range")], (30000, 30003));
    let mut seen = std::collections::BTreeSet::new();
    for seed in 0..14 {
        let context = Context { addresses: Some(&pool), seed, ..context() };
        let service =
            prepare_create(&row(), Some("default"), None, object(&row(), web()), &context).expect("room").object;
        assert!(seen.insert(service.text(&["spec", "clusterIP"]).expect("an address").to_owned()));
        pool.observe(&service);
    }
    assert!(!seen.contains("10.0.0.0") && !seen.contains("10.0.0.15"), "{seen:?}");
    let context = Context { addresses: Some(&pool), ..context() };
    let full = prepare_create(&row(), Some("default"), None, object(&row(), web()), &context);
    assert_eq!(full.map_err(|status| status.code), Err(500));
}

#[test]
fn a_given_address_must_be_free_and_in_range() {
    let with = |ip: &str| json!({ "spec": { "clusterIP": ip, "ports": [{ "port": 80 }] } });
    assert_eq!(create(&row(), with("10.96.0.10")).at(&["spec", "clusterIPs"]), Some(&json!(["10.96.0.10"])));
    assert_eq!(
        create_errors(&row(), with("10.97.0.10")),
        [
            "spec.clusterIPs: Invalid value: [\"10.97.0.10\"]: failed to allocate IP 10.97.0.10: the provided IP (10.97.0.10) is not in the valid range. The range of valid IPs is 10.96.0.0/24"
        ]
    );
    let mut pool = ClusterIps::new(vec![Cidr::parse("10.96.0.0/24").expect("a range")], (30000, 32767));
    let first = create(&row(), with("10.96.0.10"));
    pool.observe(&first);
    let taken = Context { addresses: Some(&pool), ..context() };
    let refused = prepare_create(&row(), Some("default"), None, object(&row(), with("10.96.0.10")), &taken);
    assert_eq!(
        refused.map_err(|status| status.message),
        Err("Service \"a\" is invalid: spec.clusterIPs: Invalid value: [\"10.96.0.10\"]: failed to allocate IP 10.96.0.10: provided IP is already allocated".into())
    );
    pool.forget(&first);
    let free = Context { addresses: Some(&pool), ..context() };
    assert!(prepare_create(&row(), Some("default"), None, object(&row(), with("10.96.0.10")), &free).is_ok());
}

#[test]
fn node_ports_are_given_checked_and_kept() {
    let service = create(&row(), json!({ "spec": { "type": "NodePort", "ports": [{ "port": 80 }] } }));
    let node_port = port_number(&ports(&service)[0], "nodePort");
    assert!((30000..=32767).contains(&node_port));
    assert_eq!(service.text(&["spec", "externalTrafficPolicy"]), Some("Cluster"));
    assert_eq!(
        create_errors(&row(), json!({ "spec": { "type": "NodePort", "ports": [{ "port": 80, "nodePort": 80 }] } })),
        [
            "spec.ports[0].nodePort: Invalid value: 80: provided port is not in the valid range. The range of valid ports is 30000-32767"
        ]
    );
    let body = json!({ "spec": { "type": "NodePort", "ports": [{ "port": 80 }] } });
    let after = updated(body.clone(), body.clone());
    assert_eq!(port_number(&ports(&after)[0], "nodePort"), node_port);
    let plain = updated(
        body,
        service
            .clone()
            .into_value()
            .as_object()
            .map(|map| {
                let mut map = map.clone();
                map["spec"]["type"] = "ClusterIP".into();
                Value::Object(map)
            })
            .expect("an object"),
    );
    assert_eq!(ports(&plain)[0].get("nodePort"), None);
    assert_eq!(plain.at(&["spec", "externalTrafficPolicy"]), None);
}

#[test]
fn headless_and_external_names_have_no_address() {
    let headless = create(&row(), json!({ "spec": { "clusterIP": "None", "selector": { "a": "b" } } }));
    assert_eq!(headless.at(&["spec", "clusterIPs"]), Some(&json!(["None"])));
    let external = create(&row(), json!({ "spec": { "type": "ExternalName", "externalName": "example.com" } }));
    assert_eq!(external.at(&["spec", "clusterIP"]), None);
    assert_eq!(
        create_errors(&row(), json!({ "spec": { "type": "ExternalName" } })),
        ["spec.externalName: Required value"]
    );
}

#[test]
fn an_address_does_not_change() {
    let mut other = web();
    other["spec"]["clusterIP"] = "10.96.0.77".into();
    let mut first = web();
    first["spec"]["clusterIP"] = "10.96.0.76".into();
    assert_eq!(
        update_errors(&row(), None, first.clone(), other),
        ["spec.clusterIPs[0]: Invalid value: [\"10.96.0.77\"]: may not change once set"]
    );
    let kept = updated(first.clone(), web());
    assert_eq!(kept.text(&["spec", "clusterIP"]), Some("10.96.0.76"));
    let external =
        updated(first, json!({ "spec": { "type": "ExternalName", "externalName": "a.b", "clusterIP": "10.96.0.76" } }));
    assert_eq!(external.at(&["spec", "clusterIP"]), None);
}

#[test]
fn common_mistakes_are_named() {
    assert_eq!(create_errors(&row(), json!({ "spec": {} })), ["spec.ports: Required value"]);
    assert_eq!(
        create_errors(
            &row(),
            json!({ "spec": { "type": "Nope", "sessionAffinity": "X", "ports": [{ "port": 0, "protocol": "tcp" }, { "name": "B", "port": 1, "targetPort": "-" }] } })
        ),
        [
            "spec.ports[0].name: Required value",
            "spec.ports[0].port: Invalid value: 0: must be between 1 and 65535, inclusive",
            "spec.ports[0].protocol: Unsupported value: \"tcp\": supported values: \"SCTP\", \"TCP\", \"UDP\"",
            "spec.ports[0].targetPort: Invalid value: 0: must be between 1 and 65535, inclusive",
            "spec.ports[1].name: Invalid value: \"B\": a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?')",
            "spec.ports[1].targetPort: Invalid value: \"-\": must contain at least one letter (a-z)",
            "spec.ports[1].targetPort: Invalid value: \"-\": must not begin or end with a hyphen",
            "spec.sessionAffinity: Unsupported value: \"X\": supported values: \"ClientIP\", \"None\"",
            "spec.type: Unsupported value: \"Nope\": supported values: \"ClusterIP\", \"ExternalName\", \"LoadBalancer\", \"NodePort\"",
        ]
    );
}

#[test]
fn a_table_shows_ports_and_addresses() {
    let service = create(
        &row(),
        json!({ "spec": { "type": "LoadBalancer", "clusterIP": "10.96.0.9", "ports": [{ "port": 80, "nodePort": 30080 }], "selector": { "a": "b" } } }),
    );
    assert_eq!(
        row().strategy.cells(&service, context().now),
        ["a", "LoadBalancer", "10.96.0.9", "<pending>", "80:30080/TCP", "0s", "a=b"]
    );
}

#[test]
fn dual_stack_gets_both_families() {
    let ranges = vec![Cidr::parse("10.0.0.0/24").expect("a range"), Cidr::parse("fd00::/108").expect("a range")];
    let pool = ClusterIps::new(ranges, (30000, 32767));
    let context = Context { addresses: Some(&pool), ..context() };
    let mut body = web();
    body["spec"]["ipFamilyPolicy"] = "PreferDualStack".into();
    let service = prepare_create(&row(), Some("default"), None, object(&row(), body), &context).expect("room").object;
    assert_eq!(service.at(&["spec", "ipFamilies"]), Some(&json!(["IPv4", "IPv6"])));
    assert_eq!(service.list(&["spec", "clusterIPs"]).len(), 2);
    assert!(try_create(&row(), web()).is_ok());
}
