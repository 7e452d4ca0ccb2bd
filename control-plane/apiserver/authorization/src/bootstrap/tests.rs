use apiserver_core::Object;
use apiserver_core::user::{AUTHENTICATED, MASTERS, User};
use serde_json::{Value, json};

use super::*;
use crate::attributes::{Attributes, Objects, Target};
use crate::rbac::Index;
use crate::rule::Rule;

fn index() -> Index {
    let mut index = Index::default();
    for Wanted { plural, namespace, object } in policy().objects {
        let name = object.name().unwrap().to_owned();
        if plural.ends_with("bindings") {
            index.set_binding(&namespace, &name, Some(&object));
        } else {
            index.set_role(&namespace, &name, Some(&object));
        }
    }
    index
}

fn may(index: &Index, name: &str, groups: &[&str], verb: &str, target: Target<'_>) -> bool {
    let groups = groups.iter().map(|&group| group.to_owned()).collect();
    let user = User { name: name.into(), groups, ..User::default() };
    let verdict = index.decide(&Attributes { user: &user, verb, target });
    assert!(verdict.is_allowed() || verdict.reason.is_empty(), "{}", verdict.reason);
    verdict.is_allowed()
}

#[test]
fn every_line_of_the_table_says_something() {
    let objects = policy().objects;
    let count = |plural: &str| objects.iter().filter(|one| one.plural == plural).count();
    assert_eq!(["clusterroles", "clusterrolebindings", "roles", "rolebindings"].map(count), [73, 54, 7, 7]);
    for Wanted { plural, namespace, object } in &objects {
        let name = object.name().unwrap();
        assert_eq!(
            objects
                .iter()
                .filter(|one| (one.plural, &one.namespace, one.object.name()) == (plural, namespace, Some(name)))
                .count(),
            1,
            "{name}"
        );
        if plural.ends_with("bindings") {
            let role = object.text(&["roleRef", "name"]);
            let there = objects
                .iter()
                .any(|one| one.namespace == *namespace && one.plural.ends_with("roles") && one.object.name() == role);
            assert!(there, "{name} binds {role:?}");
            assert_eq!(object.list(&["subjects"]).is_empty(), name == "system:node", "{name}");
        } else {
            let gathers = object.at(&["aggregationRule"]).is_some();
            assert_eq!(object.list(&["rules"]).is_empty(), gathers, "{name}");
            for rule in Rule::read_all(object.list(&["rules"])) {
                assert!(
                    !rule.verbs.is_empty() && rule.paths.is_empty() != rule.resources.is_empty(),
                    "{name}: {rule:?}"
                );
                assert!(rule.paths.iter().all(|path| path == "*" || path.starts_with('/')), "{name}: {rule:?}");
            }
        }
    }
}

#[test]
fn the_table_gives_what_upstream_gives() {
    let index = index();
    let objects = |group, resource| Target::Resource(Objects { group, resource, ..Objects::default() });
    assert!(may(&index, "root", &[MASTERS], "delete", objects("any", "thing")));
    assert!(may(&index, "root", &[MASTERS], "get", Target::Path("/metrics")));
    let everybody = [AUTHENTICATED];
    for (path, allowed) in
        [("/api", true), ("/apis/apps/v1", true), ("/readyz", true), ("/readyz/ping", false), ("/metrics", false)]
    {
        assert_eq!(may(&index, "ann", &everybody, "get", Target::Path(path)), allowed, "{path}");
    }
    let nobody = ["system:unauthenticated"];
    assert!(may(&index, "system:anonymous", &nobody, "get", Target::Path("/version")));
    assert!(!may(&index, "system:anonymous", &nobody, "get", Target::Path("/api")));
    assert!(may(&index, "ann", &everybody, "create", objects("authorization.k8s.io", "selfsubjectaccessreviews")));
    assert!(may(&index, "system:kube-scheduler", &[], "list", objects("", "pods")));
    assert!(may(
        &index,
        "system:serviceaccount:kube-system:namespace-controller",
        &[],
        "deletecollection",
        objects("x", "y")
    ));
    assert!(!may(&index, "system:serviceaccount:default:namespace-controller", &[], "list", objects("x", "y")));
    let map = Objects {
        resource: "configmaps",
        namespace: "kube-system",
        name: "extension-apiserver-authentication",
        ..Objects::default()
    };
    assert!(may(&index, "system:kube-scheduler", &[], "get", Target::Resource(map)));
    assert!(policy().node_rules().iter().any(|rule| rule.resources == ["runtimeclasses"]));
}

fn object(value: Value) -> Object {
    Object::from_value(value).unwrap()
}

#[test]
fn what_is_missing_is_added_and_the_rest_stays() {
    let rule = |verbs: &[&str]| json!({ "apiGroups": [""], "resources": ["pods"], "verbs": verbs });
    let wanted = object(json!({
        "metadata": { "labels": { "a": "1", "b": "1" }, "annotations": { "c": "1" } }, "rules": [rule(&["get", "list"])],
    }));
    let there = object(json!({ "metadata": { "labels": { "a": "own" } }, "rules": [rule(&["get", "watch"])] }));
    let new = reconciled(&there, &wanted).unwrap();
    assert_eq!(new.at(&["metadata", "labels"]), Some(&json!({ "a": "own", "b": "1" })));
    assert_eq!(new.at(&["metadata", "annotations"]), Some(&json!({ "c": "1" })));
    assert_eq!(new.list(&["rules"]), [rule(&["get", "watch"]), rule(&["list"])]);
    assert_eq!(reconciled(&new, &wanted), None);
    let mut left_alone = there;
    left_alone.set(&["metadata", "annotations"], json!({ "rbac.authorization.kubernetes.io/autoupdate": "false" }));
    assert_eq!(reconciled(&left_alone, &wanted), None);
}

#[test]
fn subjects_and_selectors_are_added_too() {
    let wanted = object(json!({ "subjects": [{ "apiGroup": "g", "kind": "Group", "name": "x" }] }));
    let there = object(json!({ "subjects": [{ "kind": "User", "name": "ann" }] }));
    let new = reconciled(&there, &wanted).unwrap();
    assert_eq!(new.list(&["subjects"]).len(), 2);
    let kept = object(json!({ "subjects": [{ "kind": "Group", "name": "x" }] }));
    assert_eq!(reconciled(&kept, &wanted), None);
    let gathering = |label: &str| {
        object(json!({ "aggregationRule": { "clusterRoleSelectors": [{ "matchLabels": { label: "true" } }] } }))
    };
    let new = reconciled(&gathering("a"), &gathering("b")).unwrap();
    assert_eq!(new.list(&["aggregationRule", "clusterRoleSelectors"]).len(), 2);
    assert_eq!(reconciled(&gathering("a"), &object(json!({}))), Some(object(json!({}))));
}

#[test]
fn a_binding_of_another_role_is_made_anew() {
    let of = |role: &str| object(json!({ "roleRef": { "kind": "ClusterRole", "name": role } }));
    assert!(is_of_another_role(&of("a"), &of("b")) && !is_of_another_role(&of("a"), &of("a")));
    let mut left_alone = of("a");
    left_alone.set(&["metadata", "annotations"], json!({ "rbac.authorization.kubernetes.io/autoupdate": "false" }));
    assert!(!is_of_another_role(&left_alone, &of("b")));
}
