use serde_json::{Value, json};

use crate::kinds::testing::{context, create, create_errors, row, update_errors};

const GROUP: &str = "networking.k8s.io";

fn path(kind: &str, path: &str) -> Value {
    json!({ "path": path, "pathType": kind, "backend": { "service": { "name": "web", "port": { "number": 80 } } } })
}

#[test]
fn an_ingress_leads_somewhere() {
    let row = row(GROUP, "ingresses");
    assert_eq!(
        create_errors(&row, json!({ "spec": {} })),
        ["spec: Invalid value: []: either `defaultBackend` or `rules` must be specified"]
    );
    let rules = json!([
        { "host": "10.0.0.1" },
        { "host": "*.a_b", "http": { "paths": [] } },
        { "http": { "paths": [
            path("Prefix", "web"), path("Exact", "/a//b/.."), path("Wild", "/"),
            { "pathType": "Prefix", "path": "/", "backend": { "service": { "name": "web", "port": {} } } },
            { "pathType": "Prefix", "path": "/", "backend": {} },
        ] } },
    ]);
    let errors = create_errors(&row, json!({ "spec": { "rules": rules } }));
    let starts = [
        "spec.rules[0].host: Invalid value: \"10.0.0.1\": must be a DNS name, not an IP address",
        "spec.rules[1].host: Invalid value: \"*.a_b\": a wildcard DNS-1123 subdomain must start with '*.'",
        "spec.rules[1].http.paths: Required value",
        "spec.rules[2].http.paths[0].path: Invalid value: \"web\": must be an absolute path",
        "spec.rules[2].http.paths[1].path: Invalid value: \"/a//b/..\": must not contain '//'",
        "spec.rules[2].http.paths[1].path: Invalid value: \"/a//b/..\": cannot end with '/..'",
        "spec.rules[2].http.paths[2].pathType: Unsupported value: \"Wild\": supported values: \"Exact\", \"ImplementationSpecific\", \"Prefix\"",
        "spec.rules[2].http.paths[3].backend.service.port: Required value: port name or number is required",
        "spec.rules[2].http.paths[4].backend: Invalid value: \"\": resource or service backend is required",
    ];
    assert_eq!(errors.len(), starts.len(), "{errors:#?}");
    for (error, start) in errors.iter().zip(starts) {
        assert!(error.starts_with(start), "{error}");
    }
}

#[test]
fn an_ingress_is_shown_with_hosts_and_addresses() {
    let row = row(GROUP, "ingresses");
    let rules: Vec<Value> = ["a.test", "b.test", "c.test", "d.test"]
        .iter()
        .map(|host| json!({ "host": host, "http": { "paths": [path("Prefix", "/")] } }))
        .collect();
    let made = create(&row, json!({ "spec": { "rules": rules, "tls": [{}], "ingressClassName": "n" } }));
    assert_eq!(made.generation(), Some(1));
    assert_eq!(
        row.strategy.cells(&made, context().now),
        ["a", "n", "a.test,b.test,c.test + 1 more...", "", "80, 443", "0s"]
    );
}

#[test]
fn a_class_has_one_controller() {
    let row = row(GROUP, "ingressclasses");
    let class =
        |controller: &str| json!({ "spec": { "controller": controller, "parameters": { "kind": "K", "name": "n" } } });
    assert_eq!(
        create_errors(
            &row,
            json!({ "spec": { "controller": "acme", "parameters": { "kind": "K", "name": "n", "scope": "Namespace" } } })
        ),
        [
            "spec.controller: Invalid value: \"acme\": must be a domain-prefixed path (such as \"acme.io/foo\")",
            "spec.parameters.namespace: Required value: `parameters.scope` is set to 'Namespace'",
        ]
    );
    let made = create(&row, class("acme.test/in"));
    assert_eq!(made.text(&["spec", "parameters", "scope"]), Some("Cluster"));
    assert_eq!(row.strategy.cells(&made, context().now), ["a", "acme.test/in", "K/n", "0s"]);
    assert_eq!(
        update_errors(&row, None, class("acme.test/in"), class("acme.test/out")),
        ["spec.controller: Invalid value: \"acme.test/out\": field is immutable"]
    );
}

#[test]
fn a_policy_minds_what_comes_in_unless_it_says_more() {
    let row = row(GROUP, "networkpolicies");
    let made = create(&row, json!({ "spec": { "podSelector": { "matchLabels": { "a": "b" } } } }));
    assert_eq!(made.at(&["spec", "policyTypes"]), Some(&json!(["Ingress"])));
    assert_eq!(row.strategy.cells(&made, context().now), ["a", "a=b", "0s"]);
    let made = create(&row, json!({ "spec": { "egress": [{ "ports": [{ "port": 53 }] }] } }));
    assert_eq!(made.at(&["spec", "policyTypes"]), Some(&json!(["Ingress", "Egress"])));
    assert_eq!(made.at(&["spec", "egress"]), Some(&json!([{ "ports": [{ "port": 53, "protocol": "TCP" }] }])));
}

#[test]
fn rules_of_a_policy_are_checked() {
    let row = row(GROUP, "networkpolicies");
    let rule = json!({
        "ports": [{ "port": 80, "endPort": 79 }, { "port": "web", "endPort": 1 }, { "endPort": 5 }, { "protocol": "X" }],
        "from": [
            {}, { "ipBlock": { "cidr": "10.0.0.0/8", "except": ["10.1.0.0/16", "10.0.0.0/8", "11.0.0.0/16"] } },
            { "ipBlock": { "cidr": "x" } }, { "ipBlock": { "cidr": "10.0.0.0/8" }, "podSelector": {} },
        ],
    });
    assert_eq!(
        create_errors(&row, json!({ "spec": { "ingress": [rule], "policyTypes": ["Ingress", "Sideways"] } })),
        [
            "spec.ingress[0].ports[0].endPort: Invalid value: 79: must be greater than or equal to `port`",
            "spec.ingress[0].ports[1].endPort: Invalid value: 1: may not be specified when `port` is non-numeric",
            "spec.ingress[0].ports[2].endPort: Invalid value: 5: may not be specified when `port` is not specified",
            "spec.ingress[0].ports[3].protocol: Unsupported value: \"X\": supported values: \"SCTP\", \"TCP\", \"UDP\"",
            "spec.ingress[0].from[0]: Required value: must specify a peer",
            "spec.ingress[0].from[1].ipBlock.except[1]: Invalid value: \"10.0.0.0/8\": must be a strict subset of `cidr`",
            "spec.ingress[0].from[1].ipBlock.except[2]: Invalid value: \"11.0.0.0/16\": must be a strict subset of `cidr`",
            "spec.ingress[0].from[2].ipBlock.cidr: Invalid value: \"x\": must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)",
            "spec.ingress[0].from[3]: Forbidden: may not specify both ipBlock and another peer",
            "spec.policyTypes[1]: Unsupported value: \"Sideways\": supported values: \"Egress\", \"Ingress\"",
        ]
    );
}

#[test]
fn an_address_is_its_name_and_belongs_to_somebody() {
    let row = row(GROUP, "ipaddresses");
    let of = |name: &str, spec: Value| json!({ "metadata": { "name": name }, "spec": spec });
    let parent = json!({ "parentRef": { "resource": "services", "namespace": "default", "name": "web" } });
    let address = create(&row, of("10.96.0.9", parent.clone()));
    assert_eq!(row.strategy.cells(&address, context().now)[1], "services/default/web");
    assert_eq!(
        create_errors(&row, of("2001:DB8::1", json!({}))),
        [
            "metadata.name: Invalid value: \"2001:DB8::1\": must be a canonical format IP address",
            "spec.parentRef: Required value",
        ]
    );
    assert_eq!(create_errors(&row, of("web", json!({ "parentRef": { "group": "A", "name": "a/b" } }))).len(), 4);
    let moved = json!({ "parentRef": { "resource": "services", "namespace": "default", "name": "other" } });
    let errors = update_errors(&row, None, of("10.96.0.9", parent), of("10.96.0.9", moved));
    assert!(errors[0].ends_with("field is immutable"), "{errors:?}");
}

#[test]
fn a_range_is_canonical_and_may_only_gain_the_other_family() {
    let row = row(GROUP, "servicecidrs");
    let of = |cidrs: &[&str]| json!({ "spec": { "cidrs": cidrs } });
    let range = create(&row, of(&["10.0.0.0/24", "fd00::/108"]));
    assert_eq!(row.strategy.cells(&range, context().now), ["a", "10.0.0.0/24,fd00::/108", "0s"]);
    for (cidrs, message) in [
        (&[][..], "spec.cidrs: Required value: at least one CIDR required"),
        (
            &["10.0.0.1/24"],
            "spec.cidrs[0]: Invalid value: \"10.0.0.1/24\": must be in canonical form (\"10.0.0.0/24\")",
        ),
        (
            &["x"],
            "spec.cidrs[0]: Invalid value: \"x\": must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)",
        ),
        (
            &["10.0.0.0/24", "10.1.0.0/24"],
            "spec.cidrs: Invalid value: [\"10.0.0.0/24\",\"10.1.0.0/24\"]: may specify no more than one IP for each IP family, i.e 192.168.0.0/24 and 2001:db8::/64",
        ),
    ] {
        assert_eq!(create_errors(&row, of(cidrs)), [message]);
    }
    let one = of(&["10.0.0.0/24"]);
    assert!(update_errors(&row, None, one.clone(), of(&["10.0.0.0/24", "fd00::/108"])).is_empty());
    assert_eq!(
        update_errors(&row, None, one, of(&["10.1.0.0/24"])),
        ["spec.cidrs: Invalid value: [\"10.1.0.0/24\"]: field is immutable"]
    );
}
