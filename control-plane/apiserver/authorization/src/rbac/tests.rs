use serde_json::json;

use super::*;
use crate::attributes::{Objects, Target};
use crate::verdict::Decision;

fn object(value: serde_json::Value) -> Object {
    Object::from_value(value).unwrap()
}

fn role(verbs: &[&str], resource: &str) -> Object {
    object(json!({ "rules": [{ "apiGroups": [""], "resources": [resource], "verbs": verbs }] }))
}

fn binding(kind: &str, role: &str, subjects: &serde_json::Value) -> Object {
    object(json!({ "roleRef": { "kind": kind, "name": role }, "subjects": subjects }))
}

fn user(name: &str, groups: &[&str]) -> User {
    User { name: name.into(), groups: groups.iter().map(|&group| group.into()).collect(), ..User::default() }
}

fn ask(index: &Index, user: &User, verb: &str, resource: &str, namespace: &str) -> Verdict {
    let target = Target::Resource(Objects { resource, namespace, ..Objects::default() });
    index.decide(&Attributes { user, verb, target })
}

fn index() -> Index {
    let mut index = Index::default();
    index.set_role("", "reader", Some(&role(&["get"], "pods")));
    index.set_role("shop", "keeper", Some(&role(&["update"], "pods")));
    index.set_binding("", "all", Some(&binding("ClusterRole", "reader", &json!([{ "kind": "Group", "name": "dev" }]))));
    let keepers = json!([
        { "kind": "User", "name": "bob" }, { "kind": "ServiceAccount", "name": "robot" },
        { "kind": "ServiceAccount", "name": "robot", "namespace": "far" },
    ]);
    index.set_binding("shop", "local", Some(&binding("Role", "keeper", &keepers)));
    index
}

#[test]
fn users_groups_and_accounts_have_what_they_are_given() {
    let index = index();
    let ann = user("ann", &["dev"]);
    assert_eq!(
        ask(&index, &ann, "get", "pods", "any").reason,
        "RBAC: allowed by ClusterRoleBinding \"all\" of ClusterRole \"reader\" to Group \"dev\""
    );
    assert_eq!(ask(&index, &ann, "update", "pods", "shop"), Verdict::no_opinion(""));
    let bob = user("bob", &[]);
    assert_eq!(
        ask(&index, &bob, "update", "pods", "shop").reason,
        "RBAC: allowed by RoleBinding \"local/shop\" of Role \"keeper\" to User \"bob\""
    );
    for elsewhere in ["", "store"] {
        assert_eq!(ask(&index, &bob, "update", "pods", elsewhere).decision, Decision::NoOpinion, "{elsewhere:?}");
    }
    for (account, allowed) in [
        ("system:serviceaccount:shop:robot", true),
        ("system:serviceaccount:far:robot", true),
        ("system:serviceaccount:near:robot", false),
        ("robot", false),
    ] {
        assert_eq!(ask(&index, &user(account, &[]), "update", "pods", "shop").is_allowed(), allowed, "{account}");
    }
    // A user is no group of the same name.
    assert!(!ask(&index, &user("dev", &[]), "get", "pods", "").is_allowed());
}

#[test]
fn roles_that_are_missing_are_named() {
    let mut index = index();
    let dev = json!([{ "kind": "Group", "name": "dev" }]);
    index.set_binding("", "one", Some(&binding("ClusterRole", "nope", &dev)));
    index.set_binding("shop", "two", Some(&binding("Role", "none", &dev)));
    let ann = user("ann", &["dev"]);
    let reason = "RBAC: [clusterrole.rbac.authorization.k8s.io \"nope\" not found, role.rbac.authorization.k8s.io \"none\" not found]";
    assert_eq!(ask(&index, &ann, "delete", "pods", "shop"), Verdict::no_opinion(reason));
    assert!(ask(&index, &ann, "get", "pods", "shop").is_allowed());
}

#[test]
fn what_goes_is_forgotten() {
    let mut index = index();
    let before = index.clone();
    index.set_binding("shop", "local", Some(&binding("Role", "keeper", &json!([{ "kind": "User", "name": "eve" }]))));
    let [bob, eve] = ["bob", "eve"].map(|name| user(name, &[]));
    let may = |index: &Index, user: &User| ask(index, user, "update", "pods", "shop").is_allowed();
    assert_eq!((may(&index, &bob), may(&index, &eve)), (false, true));
    assert_eq!((may(&before, &bob), may(&before, &eve)), (true, false));
    index.set_role("shop", "keeper", None);
    assert!(!may(&index, &eve));
    index.set_binding("shop", "local", None);
    index.set_binding("", "all", None);
    index.set_role("", "reader", None);
    assert!(index.namespaces.is_empty() && index.cluster.is_empty());
    assert!(index.cluster.users.is_empty() && index.cluster.groups.is_empty());
}

#[test]
fn the_rules_of_a_user_are_listed_once_each() {
    let mut index = index();
    let both = json!([{ "kind": "User", "name": "ann" }, { "kind": "Group", "name": "dev" }]);
    index.set_binding("", "again", Some(&binding("ClusterRole", "reader", &both)));
    let (rules, errors) = index.rules_of(&user("ann", &["dev"]), "shop");
    assert_eq!((rules.len(), errors.len()), (2, 0));
    assert_eq!(rules[0].verbs, ["get"]);
}

/// Ten thousand bindings of others cost nothing.
#[test]
fn many_bindings_do_not_slow_a_decision_down() {
    let mut index = index();
    for number in 0..10_000 {
        let subjects = json!([{ "kind": "User", "name": format!("user-{number}") }]);
        let namespace = if number % 2 == 0 { String::new() } else { format!("n{}", number % 100) };
        index.set_binding(&namespace, &format!("b{number}"), Some(&binding("ClusterRole", "reader", &subjects)));
    }
    let some = user("user-4711", &["dev", "system:authenticated"]);
    let bindings = index.bindings(&some, "n11").count();
    assert_eq!(bindings, 2);
    assert!(ask(&index, &some, "get", "pods", "n11").is_allowed());
}
