use serde_json::{Value, json};

use super::*;
use crate::testing::{Request, World, create, update};

fn by_node(mut request: Request) -> Request {
    request.user.name = "system:node:n".into();
    request.user.groups = vec!["system:nodes".into()];
    request
}

fn said(request: Request, object: Value) -> Result<(), String> {
    let world = World::default()
        .with(views::NODES, json!({ "metadata": { "name": "n", "uid": "u" } }))
        .with(
            views::PODS,
            json!({ "metadata": { "name": "here", "namespace": "default", "uid": "1" }, "spec": { "nodeName": "n" } }),
        )
        .with(
            views::PODS,
            json!({ "metadata": { "name": "there", "namespace": "default", "uid": "2" }, "spec": { "nodeName": "m" } }),
        );
    let refused = |why: String| why.split_once("forbidden: ").map_or(why.clone(), |(_, why)| why.to_owned());
    by_node(request).validate(&NodeRestriction, object, &world).map_err(refused)
}

fn mirror(owner: Value) -> Value {
    json!({
        "metadata": { "name": "p", "annotations": { "kubernetes.io/config.mirror": "x" }, "ownerReferences": owner },
        "spec": { "nodeName": "n" },
    })
}

fn own(controller: bool, uid: &str) -> Value {
    json!([{ "apiVersion": "v1", "kind": "Node", "name": "n", "uid": uid, "controller": controller }])
}

#[test]
fn others_are_none_of_its_business() {
    let anybody = create("", "nodes");
    assert!(!NodeRestriction.concerns(&anybody.attributes()));
    let mut unknown = by_node(create("", "nodes"));
    unknown.user.name = "system:node:".into();
    let refused = unknown.validate(&NodeRestriction, json!({}), &World::default()).unwrap_err();
    assert!(refused.ends_with("could not determine node from user \"system:node:\""), "{refused}");
}

#[test]
fn a_node_makes_mirrors_of_its_own() {
    assert_eq!(said(create("", "pods"), mirror(own(true, "u"))), Ok(()));
    for (pod, why) in [
        (
            json!({}),
            "pod does not have \"kubernetes.io/config.mirror\" annotation, node \"n\" can only create mirror pods",
        ),
        (mirror(json!([])), "node \"n\" can only create pods with an owner reference set to itself"),
        (mirror(own(false, "u")), "node \"n\" can only create pods with a controller owner reference set to itself"),
        (mirror(own(true, "x")), "node n UID mismatch: expected x got u"),
    ] {
        assert_eq!(said(create("", "pods"), pod), Err(why.to_owned()));
    }
    let mut greedy = mirror(own(true, "u"));
    greedy["spec"]["volumes"] = json!([{ "name": "v", "secret": { "secretName": "s" } }]);
    assert_eq!(said(create("", "pods"), greedy), Err("node \"n\" can not create pods that reference secrets".into()));
}

#[test]
fn a_node_writes_the_status_of_its_pods() {
    let pod = |node: &str, label: &str| json!({ "metadata": { "name": "a", "labels": { "l": label } }, "spec": { "nodeName": node } });
    let status = |node: &str, label: &str| said(update("", "pods", Some("status"), pod(node, "x")), pod(node, label));
    assert_eq!(status("n", "x"), Ok(()));
    assert_eq!(
        status("m", "x"),
        Err("node \"n\" can only update pod status for pods with spec.nodeName set to itself".into())
    );
    assert_eq!(status("n", "y"), Err("node \"n\" cannot update labels through pod status".into()));
    let spec = said(update("", "pods", None, pod("n", "x")), pod("n", "x"));
    assert_eq!(spec, Err("unexpected operation \"UPDATE\", node \"n\" can only create and delete mirror pods".into()));
    let delete = |node: &str| {
        let request = update("", "pods", None, pod(node, "x"));
        said(Request { operation: Operation::Delete, ..request }, json!({}))
    };
    assert_eq!(delete("n"), Ok(()));
    assert_eq!(delete("m"), Err("node \"n\" can only delete pods with spec.nodeName set to itself".into()));
}

#[test]
fn a_node_evicts_and_asks_tokens_for_its_pods_only() {
    let evict =
        |name| said(Request { subresource: Some("eviction"), name: Some(name), ..create("", "pods") }, json!({}));
    assert_eq!(evict("here"), Ok(()));
    assert_eq!(evict("there"), Err("node n can only evict pods with spec.nodeName set to itself".into()));
    let token = |reference: Value| {
        let request = Request { subresource: Some("token"), name: Some("default"), ..create("", "serviceaccounts") };
        said(request, json!({ "spec": { "boundObjectRef": reference } }))
    };
    let to = |name: &str, uid: &str| json!({ "apiVersion": "v1", "kind": "Pod", "name": name, "uid": uid });
    assert_eq!(token(to("here", "1")), Ok(()));
    assert_eq!(token(Value::Null), Err("node requested token not bound to a pod".into()));
    assert_eq!(
        token(to("there", "2")),
        Err("node requested token bound to a pod scheduled on a different node".into())
    );
    assert!(token(to("here", "9")).is_err() && token(to("gone", "1")).is_err());
}

#[test]
fn a_node_changes_itself_but_not_its_duties() {
    let node = |more: Value| json!({ "metadata": { "name": "n", "labels": more }, "spec": {} });
    let change = |name: &'static str, new: Value| {
        said(Request { name: Some(name), ..update("", "nodes", None, node(json!({}))) }, new)
    };
    assert_eq!(change("n", node(json!({ "kubernetes.io/os": "linux" }))), Ok(()));
    assert_eq!(change("m", node(json!({}))), Err("node \"n\" is not allowed to modify node \"m\"".into()));
    assert_eq!(
        change("n", node(json!({ "node-role.kubernetes.io/x": "" }))),
        Err("is not allowed to modify labels: node-role.kubernetes.io/x".into())
    );
    let tainted = json!({ "metadata": { "name": "n" }, "spec": { "taints": [{ "key": "a" }] } });
    assert_eq!(change("n", tainted), Err("node \"n\" is not allowed to modify taints".into()));
}

#[test]
fn what_is_named_after_a_node_is_the_nodes() {
    let lease = |namespace, name| {
        said(
            Request { namespace: Some(namespace), name: Some(name), ..create("coordination.k8s.io", "leases") },
            json!({}),
        )
    };
    assert_eq!(lease("kube-node-lease", "n"), Ok(()));
    assert!(lease("default", "n").is_err() && lease("kube-node-lease", "m").is_err());
    let slice = |node: &str| said(create("resource.k8s.io", "resourceslices"), json!({ "spec": { "nodeName": node } }));
    assert_eq!(slice("n"), Ok(()));
    assert!(slice("m").is_err());
    let claim = |phase: &str, size: &str| json!({ "metadata": { "name": "a" }, "status": { "phase": phase, "capacity": { "storage": size } } });
    let grow = |new: Value| said(update("", "persistentvolumeclaims", Some("status"), claim("Bound", "1")), new);
    assert_eq!(grow(claim("Bound", "2")), Ok(()));
    assert!(grow(claim("Lost", "1")).is_err());
    assert_eq!(said(create("", "persistentvolumeclaims"), json!({})), Err("may only update PVC status".into()));
}
