use super::*;
use crate::engine::{Updated, prepare_create};
use crate::kinds::testing::{self, context, create, create_errors, object, try_update, update_errors};

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
        pool.wrote(None, Some(&service));
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
    for outside in ["10.97.0.10", "10.96.0.0", "10.96.0.255"] {
        assert_eq!(
            create_errors(&row(), with(outside)),
            [format!(
                "spec.clusterIPs: Invalid value: [\"{outside}\"]: failed to allocate IP {outside}: the provided network does not match the current range"
            )]
        );
    }
    let refused = ["10.96.0.10".to_owned()];
    let taken = Context { refused: &refused, ..context() };
    let refused = prepare_create(&row(), Some("default"), None, object(&row(), with("10.96.0.10")), &taken);
    assert_eq!(
        refused.map_err(|status| status.message),
        Err("Service \"a\" is invalid: spec.clusterIPs: Invalid value: [\"10.96.0.10\"]: failed to allocate IP 10.96.0.10: provided IP is already allocated".into())
    );
}

#[test]
fn several_ranges_are_one_pool() {
    let ranges = |texts: &[&str]| texts.iter().map(|text| Cidr::parse(text).expect("a range")).collect::<Vec<_>>();
    let mut pool = ClusterIps::new(ranges(&["10.0.0.0/30"]), (30000, 30003));
    let make = |pool: &ClusterIps, seed: u64| {
        let context = Context { addresses: Some(pool), seed, ..context() };
        prepare_create(&row(), Some("default"), None, object(&row(), web()), &context).map(|prepared| prepared.object)
    };
    for seed in 0..2 {
        let service = make(&pool, seed).expect("room");
        pool.wrote(None, Some(&service));
    }
    assert_eq!(
        make(&pool, 9).map_err(|status| status.message),
        Err("Internal error occurred: failed to allocate a serviceIP: range is full".into())
    );
    pool.set_ranges(ranges(&["10.0.0.0/30", "10.1.0.0/30"]));
    let service = make(&pool, 9).expect("room");
    assert!(service.text(&["spec", "clusterIP"]).is_some_and(|ip| ip.starts_with("10.1.0.")));
}

#[test]
fn what_is_given_back_can_be_given_again() {
    let mut pool = ClusterIps::new(vec![Cidr::parse("10.0.0.0/30").expect("a range")], (30000, 30000));
    let mut body = web();
    body["spec"]["type"] = "NodePort".into();
    let make = |pool: &ClusterIps| {
        let context = Context { addresses: Some(pool), ..context() };
        prepare_create(&row(), Some("default"), None, object(&row(), body.clone()), &context)
            .map(|prepared| prepared.object)
    };
    let first = make(&pool).expect("room");
    pool.wrote(None, Some(&first));
    assert_eq!(make(&pool).map_err(|status| status.code), Err(500));
    pool.wrote(Some(&first), None);
    assert!(make(&pool).is_ok());
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
fn families_follow_the_policy_and_the_cluster() {
    let ranges = || vec![Cidr::parse("10.0.0.0/24").expect("a range"), Cidr::parse("fd00::/108").expect("a range")];
    let dual = ClusterIps::new(ranges(), (30000, 32767));
    let single = ClusterIps::new(vec![ranges().remove(0)], (30000, 32767));
    let make = |pool: &ClusterIps, more: &Value| {
        let mut body = web();
        for (name, value) in more.as_object().into_iter().flatten() {
            body["spec"][name] = value.clone();
        }
        let context = Context { addresses: Some(pool), ..context() };
        prepare_create(&row(), Some("default"), None, object(&row(), body), &context).map(|prepared| prepared.object)
    };
    let families = |pool: &ClusterIps, more: Value| {
        let made = make(pool, &more).expect("room");
        assert!(
            is_headless(&made) || made.list(&["spec", "clusterIPs"]).len() == made.list(&["spec", "ipFamilies"]).len()
        );
        (
            made.text(&["spec", "ipFamilyPolicy"]).expect("a policy").to_owned(),
            made.at(&["spec", "ipFamilies"]).cloned().expect("families"),
        )
    };
    let wanted = |policy: &str, families: Value| (policy.to_owned(), families);
    assert_eq!(families(&dual, json!({})), wanted("SingleStack", json!(["IPv4"])));
    assert_eq!(families(&dual, json!({ "ipFamilies": ["IPv6"] })), wanted("SingleStack", json!(["IPv6"])));
    assert_eq!(
        families(&dual, json!({ "ipFamilyPolicy": "PreferDualStack" })),
        wanted("PreferDualStack", json!(["IPv4", "IPv6"]))
    );
    assert_eq!(
        families(&single, json!({ "ipFamilyPolicy": "PreferDualStack" })),
        wanted("PreferDualStack", json!(["IPv4"]))
    );
    assert_eq!(families(&dual, json!({ "clusterIP": "fd00::5" })), wanted("SingleStack", json!(["IPv6"])));
    assert_eq!(
        families(&single, json!({ "clusterIP": "None", "selector": null })),
        wanted("RequireDualStack", json!(["IPv4", "IPv6"]))
    );
    assert_eq!(families(&single, json!({ "clusterIP": "None" })), wanted("SingleStack", json!(["IPv4"])));
    for (pool, more, message) in [
        (
            &single,
            json!({ "ipFamilyPolicy": "RequireDualStack" }),
            "spec.ipFamilyPolicy: Invalid value: \"RequireDualStack\": this cluster is not configured for dual-stack services",
        ),
        (
            &single,
            json!({ "ipFamilies": ["IPv6"] }),
            "spec.ipFamilies[0]: Invalid value: \"IPv6\": not configured on this cluster",
        ),
        (
            &dual,
            json!({ "ipFamilies": ["IPv4", "IPv6"] }),
            "spec.ipFamilyPolicy: Invalid value: \"SingleStack\": must be 'RequireDualStack' or 'PreferDualStack' when multiple IP families are specified",
        ),
    ] {
        let refused = make(pool, &more).map_err(|status| status.message);
        assert_eq!(refused, Err(format!("Service \"a\" is invalid: {message}")));
    }
}

#[test]
fn a_service_becomes_dual_and_single_again() {
    let ranges = vec![Cidr::parse("10.0.0.0/24").expect("a range"), Cidr::parse("fd00::/108").expect("a range")];
    let pool = ClusterIps::new(ranges, (30000, 32767));
    let context = Context { addresses: Some(&pool), ..context() };
    let first = testing::stored(
        prepare_create(&row(), Some("default"), None, object(&row(), web()), &context).expect("room").object,
    );
    let change = |old: &Object, policy: &str| {
        let mut new = old.clone();
        new.set(&["spec", "ipFamilyPolicy"], policy);
        match crate::engine::prepare_update(&row(), None, old, new, &context).expect("a valid change") {
            Updated::Store(prepared) => testing::stored(prepared.object),
            other => panic!("{other:?}"),
        }
    };
    let dual = change(&first, "RequireDualStack");
    assert_eq!(dual.list(&["spec", "clusterIPs"]).len(), 2);
    assert_eq!(dual.text(&["spec", "clusterIP"]), first.text(&["spec", "clusterIP"]));
    let single = change(&dual, "SingleStack");
    assert_eq!(single.at(&["spec", "clusterIPs"]), first.at(&["spec", "clusterIPs"]));
    let mut shorter = dual.clone();
    shorter.set(&["spec", "clusterIPs"], vec![first.text(&["spec", "clusterIP"]).expect("an address")]);
    let refused =
        crate::engine::prepare_update(&row(), None, &dual, shorter, &context).map_err(|status| status.message);
    assert!(refused.expect_err("refused").contains("must be 'SingleStack' to release the secondary cluster IP"));
}

#[test]
fn health_checks_have_a_port_of_their_own() {
    let body =
        json!({ "spec": { "type": "LoadBalancer", "externalTrafficPolicy": "Local", "ports": [{ "port": 80 }] } });
    let service = create(&row(), body);
    let health = u16::try_from(service.integer(&["spec", "healthCheckNodePort"]).expect("a port")).expect("a port");
    assert_eq!(held_ports(&service).len(), 2);
    assert!(held_ports(&service).contains(&health) && (30000..=32767).contains(&health));
}
