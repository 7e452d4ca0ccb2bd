//! The suggested configuration, and requests to it.

use std::time::Duration;

use fair::{Bounds, Discipline, Width};
use serde_json::{Value, json};

use super::*;
use crate::kinds::flow_control::{flow_schemas, priority_levels};
use crate::object::Object;
use crate::user::User;

fn objects(values: Vec<Value>) -> Vec<Object> {
    values.into_iter().filter_map(Object::from_value).collect()
}

fn suggested() -> Configuration {
    Configuration::of(&objects(priority_levels()), &objects(flow_schemas()))
}

fn user(name: &str, groups: &[&str]) -> User {
    let groups = groups.iter().chain(&["system:authenticated"]).map(|&group| group.to_owned()).collect();
    User { name: name.to_owned(), groups, ..User::default() }
}

fn on<'a>(group: &'a str, plural: &'a str, subresource: &'a str, namespace: &'a str) -> Target<'a> {
    Target::Resource { group, plural, subresource, namespace }
}

fn schema_of(configuration: &Configuration, user: &User, verb: &str, target: Target<'_>) -> String {
    let place = configuration.classify(&Digest { user, verb, target });
    configuration.schemas[place].name.clone()
}

#[test]
fn the_suggested_schemas_take_what_they_are_for() {
    let configuration = suggested();
    let admin = user("admin", &["system:masters"]);
    let node = user("system:node:a", &["system:nodes"]);
    let account = user("system:serviceaccount:kube-system:coredns", &["system:serviceaccounts"]);
    let other = user("system:serviceaccount:shop:web", &["system:serviceaccounts"]);
    let manager = user("system:kube-controller-manager", &[]);
    let ann = user("ann", &[]);
    let leases = on("coordination.k8s.io", "leases", "", "kube-node-lease");
    for (user, verb, target, expected) in [
        (&admin, "list", on("", "pods", "", ""), "exempt"),
        (&ann, "get", Target::Path("/readyz"), "probes"),
        (&ann, "get", Target::Path("/readyz/ping"), "probes"),
        (&ann, "get", Target::Path("/readyzz"), "global-default"),
        (&node, "update", leases, "system-node-high"),
        (&node, "patch", on("", "pods", "status", "shop"), "system-nodes"),
        (&node, "patch", on("", "nodes", "status", ""), "system-node-high"),
        (&node, "get", on("", "secrets", "", "shop"), "system-nodes"),
        (&manager, "update", leases, "system-leader-election"),
        (&manager, "delete", leases, "kube-controller-manager"),
        (&manager, "update", on("", "endpoints", "", "shop"), "endpoint-controller"),
        (&account, "update", on("", "configmaps", "", "kube-system"), "workload-leader-election"),
        (&account, "list", on("", "services", "", ""), "kube-system-service-accounts"),
        (&other, "list", on("", "services", "", ""), "service-accounts"),
        (&ann, "list", on("", "services", "", ""), "global-default"),
    ] {
        assert_eq!(schema_of(&configuration, user, verb, target), expected, "{} {verb} {target:?}", user.name);
    }
    // Not even a user of no group falls through.
    assert_eq!(schema_of(&configuration, &User::default(), "get", Target::Path("/")), "catch-all");
}

#[test]
fn rules_name_subresources_and_the_cluster() {
    let schema = |rule: Value| {
        let spec = json!({
            "priorityLevelConfiguration": { "name": "x" },
            "rules": [{ "subjects": [{ "kind": "User", "user": { "name": "*" } }], "resourceRules": [rule] }],
        });
        Schema::read(&Object::from_value(json!({ "metadata": { "name": "s" }, "spec": spec })).unwrap())
    };
    let ann = user("ann", &[]);
    let matches = |schema: &Schema, target| schema.matches(&Digest { user: &ann, verb: "get", target });
    let status = schema(json!({
        "verbs": ["get"], "apiGroups": [""], "resources": ["pods/status"], "namespaces": ["a"], "clusterScope": false,
    }));
    assert!(matches(&status, on("", "pods", "status", "a")));
    for other in [on("", "pods", "", "a"), on("", "pods", "status", "b"), on("", "pods", "status", "")] {
        assert!(!matches(&status, other), "{other:?}");
    }
    let cluster = schema(json!({ "verbs": ["*"], "apiGroups": ["*"], "resources": ["*"], "clusterScope": true }));
    assert!(matches(&cluster, on("apps", "deployments", "scale", "")));
    assert!(!matches(&cluster, on("apps", "deployments", "scale", "a")));
    assert!(!matches(&cluster, Target::Path("/version")));
}

#[test]
fn flows_are_told_apart_by_user_or_namespace() {
    let configuration = suggested();
    let (ann, target) = (user("ann", &[]), on("", "pods", "", "shop"));
    let digest = Digest { user: &ann, verb: "get", target };
    let schema = |name: &str| configuration.schemas.iter().find(|schema| schema.name == name).unwrap();
    assert_eq!(schema("global-default").distinguisher(&digest), "ann");
    assert_eq!(schema("kube-scheduler").distinguisher(&digest), "shop");
    assert_eq!(schema("probes").distinguisher(&digest), "");
    assert_ne!(schema("global-default").hash("ann"), schema("global-default").hash("bob"));
    assert_ne!(schema("global-default").hash("ann"), schema("catch-all").hash("ann"));
}

#[test]
fn what_is_mandatory_is_in_force_without_objects() {
    let bare = Configuration::of([], []);
    let names: Vec<_> = bare.schemas.iter().map(|schema| schema.name.as_str()).collect();
    assert_eq!(names, ["exempt", "catch-all"]);
    assert_eq!(bare.levels["exempt"].discipline, Discipline::Exempt);
    assert_eq!((bare.levels["catch-all"].discipline, bare.shares()), (Discipline::Reject, 5));
    assert_eq!(suggested().levels["system"].discipline, Discipline::Queue { queues: 64, hand: 6, length: 50 });
}

#[test]
fn a_schema_without_its_level_is_out_of_force_and_says_so() {
    let mut levels = objects(priority_levels());
    let schemas = objects(flow_schemas());
    levels.retain(|level| level.name() != Some("global-default"));
    let configuration = Configuration::of(&levels, &schemas);
    assert!(configuration.schemas.iter().all(|schema| schema.name != "global-default"));
    assert_eq!(schema_of(&configuration, &user("ann", &[]), "get", Target::Path("/")), "catch-all");
    let schema = schemas.iter().find(|schema| schema.name() == Some("global-default")).unwrap();
    let condition = dangling(schema, false).unwrap();
    assert_eq!((&condition["status"], &condition["reason"]), (&json!("True"), &json!("NotFound")));
    let mut told = schema.clone();
    told.set(&["status", "conditions"], vec![condition]);
    assert_eq!(dangling(&told, false), None);
    assert_eq!(dangling(&told, true).unwrap()["status"], "False");
}

#[test]
fn a_level_that_contradicts_itself_is_not_in_force() {
    for spec in [
        json!({ "type": "Limited" }),
        json!({ "type": "Exempt" }),
        json!({ "type": "Limited", "limited": { "limitResponse": { "type": "Queue" } } }),
        json!({ "type": "Limited", "limited": { "limitResponse": {
            "type": "Queue", "queuing": { "queues": 2, "handSize": 3, "queueLengthLimit": 1 } } } }),
    ] {
        let object = Object::from_value(json!({ "metadata": { "name": "odd" }, "spec": spec })).unwrap();
        assert_eq!(Level::read(&object), None, "{object:?}");
    }
}

#[test]
fn lists_cost_by_bytes_and_changes_by_watchers() {
    let whole = Listing { objects: 1000, bytes: 5_000_000, limit: None, single: false, cached: true, selective: false };
    assert_eq!(list(whole, None).initial, 10);
    assert_eq!(list(Listing { cached: false, ..whole }, None).initial, 50);
    assert_eq!(list(Listing { cached: false, ..whole }, Some(7)).initial, 7);
    assert_eq!(list(Listing { limit: Some(50), ..whole }, None).initial, 3);
    assert_eq!(list(Listing { limit: Some(50), cached: false, selective: true, ..whole }, None).initial, 25);
    assert_eq!(list(Listing { single: true, ..whole }, None), Width::ONE);
    assert_eq!(list(Listing { objects: 0, bytes: 0, ..whole }, None), Width::ONE);
    assert_eq!(mutation(9, None), Width::ONE);
    assert_eq!(mutation(45, None), Width { initial: 1, last: 5, lingering: Duration::from_millis(5) });
    assert_eq!(mutation(1000, None), Width { initial: 1, last: 10, lingering: Duration::from_millis(50) });
    assert_eq!(mutation(1000, Some(2)), Width { initial: 1, last: 2, lingering: Duration::from_millis(250) });
    let bounds = Bounds { nominal: 98, least: 0, most: 0 };
    assert_eq!(most_seats(Discipline::Queue { queues: 64, hand: 6, length: 50 }, bounds), Some(15));
    assert_eq!(most_seats(Discipline::Queue { queues: 64, hand: 16, length: 50 }, bounds), Some(6));
    assert_eq!(most_seats(Discipline::Reject, bounds), None);
}

#[test]
fn own_objects_are_kept_until_somebody_takes_them_over() {
    let wants = priority_levels();
    let mut there = objects(wants.clone());
    for object in &mut there {
        object.set(&["metadata", "generation"], 1);
    }
    assert_eq!(upkeep(&wants, &there), []);

    let find = |objects: &mut Vec<Object>, name: &str| objects.iter().position(|one| one.name() == Some(name)).unwrap();
    let mut changed = there.clone();
    let system = find(&mut changed, "system");
    changed[system].set(&["spec", "limited", "nominalConcurrencyShares"], 1);
    assert_eq!(upkeep(&wants, &changed), [Upkeep::Replace(there[system].clone())]);

    changed[system].set(&["metadata", "annotations", "apf.kubernetes.io/autoupdate-spec"], "false");
    assert_eq!(upkeep(&wants, &changed), []);
    // Without the annotation, a changed object is its user's; that is then said.
    changed[system].remove(&["metadata", "annotations"]);
    changed[system].set(&["metadata", "generation"], 2);
    let todo = upkeep(&wants, &changed);
    let [Upkeep::Replace(said)] = todo.as_slice() else { panic!("{todo:?}") };
    assert_eq!(said.annotations().collect::<Vec<_>>(), [("apf.kubernetes.io/autoupdate-spec", "false")]);
    assert_eq!(said.integer(&["spec", "limited", "nominalConcurrencyShares"]), Some(1));

    let exempt = find(&mut there, "exempt");
    there[exempt].set(&["spec", "exempt", "nominalConcurrencyShares"], 7);
    assert_eq!(upkeep(&wants, &there), []);

    let gone = there.remove(exempt);
    let mut stray = gone.clone();
    stray.set(&["metadata", "name"], "old-suggestion");
    there.push(stray);
    let todo = upkeep(&wants, &there);
    assert!(matches!(&todo[..], [Upkeep::Create(object), Upkeep::Remove(name)]
        if object["metadata"]["name"] == "exempt" && name == "old-suggestion"));
}
