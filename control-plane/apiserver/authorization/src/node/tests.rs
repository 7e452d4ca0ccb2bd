use serde_json::{Value, json};

use super::*;

fn object(value: Value) -> apiserver_core::Object {
    apiserver_core::Object::from_value(value).unwrap()
}

fn node(name: &str) -> User {
    User { name: format!("{PREFIX}{name}"), groups: vec![NODES.to_owned()], ..User::default() }
}

fn pod(node: &str) -> apiserver_core::Object {
    object(json!({
        "metadata": { "name": "web", "namespace": "n" },
        "spec": {
            "nodeName": node, "serviceAccountName": "robot", "imagePullSecrets": [{ "name": "pull" }],
            "initContainers": [{ "envFrom": [{ "configMapRef": { "name": "settings" } }] }],
            "containers": [{ "env": [{ "valueFrom": { "secretKeyRef": { "name": "key" } } }] }],
            "volumes": [
                { "name": "a", "persistentVolumeClaim": { "claimName": "data" } }, { "name": "tmp", "ephemeral": {} },
                { "name": "b", "projected": { "sources": [{ "secret": { "name": "projected" } }] } },
            ],
            "resourceClaims": [
                { "name": "gpu", "resourceClaimTemplateName": "t" }, { "name": "own", "resourceClaimName": "own-claim" },
            ],
        },
        "status": { "resourceClaimStatuses": [{ "name": "gpu", "resourceClaimName": "made" }] },
    }))
}

fn graph() -> Graph {
    let mut graph = Graph::default();
    graph.set(Kind::Pod, "n", "web", Some(&pod("one")));
    let volume = json!({ "spec": {
        "claimRef": { "namespace": "n", "name": "data" },
        "csi": { "nodeStageSecretRef": { "namespace": "far", "name": "stage" }, "controllerPublishSecretRef": { "name": "no" } },
    } });
    graph.set(Kind::Volume, "", "disk", Some(&object(volume)));
    graph
}

/// What a node named `one` is told: nothing for yes.
fn ask(graph: &Graph, verb: &str, objects: Objects<'_>) -> Option<String> {
    let rules = [Rule::read(&json!({ "apiGroups": [""], "resources": ["services"], "verbs": ["list"] }))];
    let user = node("one");
    let verdict = decide(graph, &rules, &Attributes { user: &user, verb, target: Target::Resource(objects) });
    (!verdict.is_allowed()).then_some(verdict.reason)
}

fn in_n<'a>(resource: &'a str, name: &'a str) -> Objects<'a> {
    Objects { resource, namespace: "n", name, ..Objects::default() }
}

#[test]
fn nodes_read_what_their_pods_use() {
    let graph = graph();
    for (resource, names) in [
        ("secrets", &["pull", "key", "projected"][..]),
        ("configmaps", &["settings"]),
        ("persistentvolumeclaims", &["data", "web-tmp"]),
        ("pods", &["web"]),
    ] {
        for name in names {
            assert_eq!(ask(&graph, "get", in_n(resource, name)), None, "{resource} {name}");
        }
        let unrelated = Some("no relationship found between node 'one' and this object".to_owned());
        assert_eq!(ask(&graph, "get", in_n(resource, "other")), unrelated, "{resource}");
    }
    let claim = |name| Objects { group: "resource.k8s.io", ..in_n("resourceclaims", name) };
    assert_eq!([ask(&graph, "get", claim("made")), ask(&graph, "get", claim("own-claim"))], [None, None]);
    assert_eq!(ask(&graph, "get", Objects { resource: "persistentvolumes", name: "disk", ..Objects::default() }), None);
    let stage = Objects { resource: "secrets", namespace: "far", name: "stage", ..Objects::default() };
    assert_eq!(ask(&graph, "watch", stage), None);
    assert!(ask(&graph, "get", in_n("secrets", "no")).is_some());
    assert!(!graph.leads(Kind::Secret, "n", "key", "two"));
    let token = |name| Objects { subresource: "token", ..in_n("serviceaccounts", name) };
    assert_eq!(ask(&graph, "create", token("robot")), None);
    assert!(ask(&graph, "create", token("default")).is_some());
}

#[test]
fn what_leaves_a_node_is_out_of_its_reach() {
    let mut graph = graph();
    graph.set(Kind::Pod, "n", "web", Some(&pod("two")));
    assert!(ask(&graph, "get", in_n("secrets", "key")).is_some());
    assert!(graph.leads(Kind::Volume, "", "disk", "two") && graph.leads(Kind::Secret, "far", "stage", "two"));
    graph.set(Kind::Pod, "n", "web", None);
    graph.set(Kind::Volume, "", "disk", None);
    assert!(graph.is_empty());
    let mut mirror = pod("one");
    mirror.set(&["metadata", "annotations"], json!({ "kubernetes.io/config.mirror": "x" }));
    graph.set(Kind::Pod, "n", "web", Some(&mirror));
    assert_eq!(ask(&graph, "get", in_n("pods", "web")), None);
    assert!(ask(&graph, "get", in_n("secrets", "key")).is_some());
}

#[test]
fn reasons_are_upstreams() {
    let graph = graph();
    let lease = |namespace, name| Objects {
        group: "coordination.k8s.io",
        resource: "leases",
        namespace,
        name,
        ..Objects::default()
    };
    let driver = |name| Objects { group: "storage.k8s.io", resource: "csinodes", name, ..Objects::default() };
    let slices = Objects { group: "resource.k8s.io", resource: "resourceslices", ..Objects::default() };
    let nodes = |name| Objects { resource: "nodes", name, ..Objects::default() };
    for (verb, objects, reason) in [
        ("update", in_n("secrets", "key"), "can only read resources of this type"),
        ("get", Objects { subresource: "x", ..in_n("secrets", "key") }, "cannot read subresource"),
        ("list", Objects { resource: "secrets", ..Objects::default() }, "can only read namespaced object of this type"),
        ("list", in_n("secrets", ""), "No Object name found"),
        ("list", in_n("persistentvolumeclaims", "data"), "can only get individual resources of this type"),
        (
            "get",
            Objects { subresource: "status", ..in_n("persistentvolumeclaims", "data") },
            "can only get/update/patch this type",
        ),
        ("create", in_n("serviceaccounts", "robot"), "can only create token subresource of serviceaccount"),
        ("list", lease("kube-node-lease", "one"), "can only get, create, update, patch, or delete a node lease"),
        ("get", lease("n", "one"), "can only access leases in the \"kube-node-lease\" system namespace"),
        (
            "get",
            lease("kube-node-lease", "two"),
            "can only access node lease with the same name as the requesting node",
        ),
        ("get", driver("two"), "can only access CSINode with the same name as the requesting node"),
        ("list", slices, "can only list/watch/deletecollection resourceslices with nodeName field selector"),
        ("list", nodes(""), "node 'one' cannot read all nodes, only its own Node object"),
        ("get", nodes("two"), "node 'one' cannot read 'two', only its own Node object"),
        ("delete", nodes("one"), ""),
        ("list", in_n("pods", ""), "can only list/watch pods with spec.nodeName field selector"),
        ("delete", in_n("services", "x"), ""),
    ] {
        assert_eq!(ask(&graph, verb, objects).as_deref(), Some(reason), "{verb} {objects:?}");
    }
    for (verb, objects) in [
        ("get", lease("kube-node-lease", "one")),
        ("create", lease("kube-node-lease", "")),
        ("patch", driver("one")),
        ("watch", nodes("one")),
        ("create", nodes("")),
        ("patch", Objects { subresource: "status", ..nodes("two") }),
        ("create", Objects { subresource: "eviction", ..in_n("pods", "x") }),
        ("list", in_n("services", "")),
    ] {
        assert_eq!(ask(&graph, verb, objects), None, "{verb} {objects:?}");
    }
    let selectors = Selectors::parse("spec.nodeName=one", "");
    assert_eq!(ask(&graph, "list", Objects { selectors: Some(&selectors), ..in_n("pods", "") }), None);
}

#[test]
fn only_nodes_are_nodes() {
    let rules = [Rule::read(&json!({ "apiGroups": ["*"], "resources": ["*"], "verbs": ["*"] }))];
    let ask = |user: &User| {
        decide(
            &Graph::default(),
            &rules,
            &Attributes { user, verb: "get", target: Target::Resource(in_n("services", "x")) },
        )
    };
    assert!(ask(&node("one")).is_allowed());
    assert_eq!(ask(&node("")), Verdict::no_opinion("unknown node for user \"system:node:\""));
    assert_eq!(ask(&User { groups: Vec::new(), ..node("one") }), Verdict::no_opinion(""));
    assert_eq!(ask(&User { name: "one".into(), ..node("one") }), Verdict::no_opinion(""));
}
