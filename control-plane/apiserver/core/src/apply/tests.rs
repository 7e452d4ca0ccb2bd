//! Ownership and apply, case by case. Times advance so that what moves shows.

use std::collections::BTreeSet;
use std::sync::Arc;

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::decode::decode_applied;
use crate::engine::{Context, Updated, prepare_create, prepare_update};
use crate::kinds::testing::{context, object, row, stored};

/// A time `second` seconds after the first.
fn at(second: i64) -> Context<'static> {
    let now = context().now.as_second() + second;
    Context { now: jiff::Timestamp::from_second(now).expect("a time"), ..context() }
}

fn by(manager: &'static str, second: i64) -> Context<'static> {
    Context { manager: Some(manager), ..at(second) }
}

fn create(resource: &Resource, body: Value, context: &Context<'_>) -> Object {
    let namespace = resource.is_namespaced().then_some("default");
    let prepared = prepare_create(resource, namespace, None, object(resource, body), context).expect("a valid object");
    stored(prepared.object)
}

fn store(updated: Updated, old: &Object) -> Object {
    match updated {
        Updated::Store(prepared) => stored(prepared.object),
        Updated::Unchanged(_) => old.clone(),
        Updated::Remove(_) => panic!("nothing is being deleted"),
    }
}

/// A write of another client through the object or a subresource.
fn update(
    resource: &Resource,
    sub: Option<&str>,
    old: &Object,
    context: &Context<'_>,
    edit: impl Fn(&mut Object),
) -> Object {
    let mut new = old.clone();
    edit(&mut new);
    store(prepare_update(resource, sub, old, new, context).expect("a valid change"), old)
}

struct Applier {
    resource: Arc<Resource>,
    manager: &'static str,
    force: bool,
    sub: Option<&'static str>,
}

impl Applier {
    fn new(resource: &Arc<Resource>, manager: &'static str) -> Self {
        Self { resource: Arc::clone(resource), manager, force: false, sub: None }
    }

    fn forced(self) -> Self {
        Self { force: true, ..self }
    }

    fn through(self, sub: &'static str) -> Self {
        Self { sub: Some(sub), ..self }
    }

    fn try_apply(&self, live: Option<&Object>, body: Value, context: &Context<'_>) -> Result<Object, Status> {
        let body = object(&self.resource, body).into_value();
        self.try_raw(live, &body, context)
    }

    fn try_raw(&self, live: Option<&Object>, body: &Value, context: &Context<'_>) -> Result<Object, Status> {
        let configuration = Configuration::parse(body.to_string().as_bytes())?;
        let resource = &self.resource;
        let merged = apply(resource, self.sub, live, &configuration, self.manager, self.force, context.now)?;
        let decoded = decode_applied(resource, self.sub, &merged)?.object;
        if let Some(live) = live {
            let updated = prepare_update(resource, self.sub, live, decoded, context)?;
            return Ok(store(updated, live));
        }
        let namespace = resource.is_namespaced().then_some("default");
        prepare_create(resource, namespace, Some("a"), decoded, context).map(|made| stored(made.object))
    }

    fn apply(&self, live: Option<&Object>, body: Value, second: i64) -> Object {
        self.try_apply(live, body, &at(second)).expect("an apply without conflicts")
    }
}

/// The entries as `manager operation subresource fields`, and the time in seconds since the first.
fn owners(object: &Object) -> Vec<(String, i64)> {
    let start = context().now.as_second();
    object
        .list(&["metadata", "managedFields"])
        .iter()
        .map(|entry| {
            let text = |member: &str| entry[member].as_str().unwrap_or_default().to_owned();
            let time: jiff::Timestamp = text("time").parse().expect("a time");
            assert_eq!(entry["fieldsType"], "FieldsV1");
            let line = [
                text("manager"),
                text("operation"),
                text("apiVersion"),
                text("subresource"),
                entry["fieldsV1"].to_string(),
            ];
            (line.join(" "), time.as_second() - start)
        })
        .collect()
}

fn one(line: &str, second: i64) -> (String, i64) {
    (line.to_owned(), second)
}

#[test]
fn who_creates_owns_what_is_there_and_nothing_of_the_servers() {
    let maps = row("", "configmaps");
    let body = json!({ "metadata": { "labels": { "a": "b" }, "finalizers": ["x.test/y"] }, "data": { "k": "v" } });
    let made = create(&maps, body, &by("me", 0));
    let fields = r#"{"f:data":{".":{},"f:k":{}},"f:metadata":{"f:finalizers":{".":{},"v:\"x.test/y\"":{}},"f:labels":{".":{},"f:a":{}}}}"#;
    assert_eq!(owners(&made), [one(&format!("me Update v1  {fields}"), 0)]);
    let nameless = create(&maps, json!({}), &by("", 0));
    assert_eq!(owners(&nameless), []);
    assert_eq!(nameless.at(&["metadata", "managedFields"]), None);
}

#[test]
fn a_deployment_is_owned_as_upstream_shows_it() {
    let body = json!({ "spec": {
        "selector": { "matchLabels": { "app": "web" } },
        "template": {
            "metadata": { "labels": { "app": "web" } },
            "spec": { "containers": [{ "name": "c", "image": "i", "ports": [{ "containerPort": 80 }] }] },
        },
    } });
    let made = create(&row("apps", "deployments"), body, &by("kubectl-create", 0));
    let fields = &made.list(&["metadata", "managedFields"])[0]["fieldsV1"];
    assert_eq!(
        fields,
        &json!({ "f:spec": {
            "f:progressDeadlineSeconds": {}, "f:replicas": {}, "f:revisionHistoryLimit": {}, "f:selector": {},
            "f:strategy": {
                "f:rollingUpdate": { ".": {}, "f:maxSurge": {}, "f:maxUnavailable": {} }, "f:type": {},
            },
            "f:template": {
                "f:metadata": { "f:labels": { ".": {}, "f:app": {} } },
                "f:spec": {
                    "f:containers": { "k:{\"name\":\"c\"}": {
                        ".": {}, "f:image": {}, "f:imagePullPolicy": {}, "f:name": {},
                        "f:ports": { ".": {}, "k:{\"containerPort\":80,\"protocol\":\"TCP\"}": {
                            ".": {}, "f:containerPort": {}, "f:protocol": {},
                        } },
                        "f:resources": {}, "f:terminationMessagePath": {}, "f:terminationMessagePolicy": {},
                    } },
                    "f:dnsPolicy": {}, "f:restartPolicy": {}, "f:schedulerName": {}, "f:securityContext": {},
                    "f:terminationGracePeriodSeconds": {},
                },
            },
        } })
    );
}

#[test]
fn who_changes_a_field_takes_it_and_an_owner_of_nothing_goes() {
    let maps = row("", "configmaps");
    let made = create(&maps, json!({ "data": { "a": "1", "b": "1" } }), &by("first", 0));
    let next = update(&maps, None, &made, &by("second", 5), |new| new.set(&["data", "b"], "2"));
    assert_eq!(
        owners(&next),
        [
            one(r#"first Update v1  {"f:data":{".":{},"f:a":{}}}"#, 0),
            one(r#"second Update v1  {"f:data":{"f:b":{}}}"#, 5)
        ]
    );
    let gone = update(&maps, None, &next, &by("third", 9), |new| {
        new.remove(&["data"]);
    });
    assert_eq!(owners(&gone), []);
}

#[test]
fn nothing_changes_when_nothing_changes() {
    let maps = row("", "configmaps");
    let made = create(&maps, json!({ "data": { "a": "1" } }), &by("first", 0));
    let same = prepare_update(&maps, None, &made, made.clone(), &by("second", 5)).expect("valid");
    assert!(matches!(same, Updated::Unchanged(_)), "{same:?}");
    // A client that knows nothing of owners leaves them out, and changes nothing by it.
    let mut forgetful = made.clone();
    forgetful.remove(&["metadata", "managedFields"]);
    let same = prepare_update(&maps, None, &made, forgetful, &by("second", 5)).expect("valid");
    assert!(matches!(same, Updated::Unchanged(_)), "{same:?}");
}

#[test]
fn status_and_wishes_are_owned_apart() {
    let sets = row("apps", "replicasets");
    let body = json!({ "spec": { "replicas": 1, "selector": { "matchLabels": { "a": "b" } }, "template": {
        "metadata": { "labels": { "a": "b" } }, "spec": { "containers": [{ "name": "c", "image": "i" }] },
    } }, "status": { "replicas": 9 } });
    let made = create(&sets, body, &by("me", 0));
    let next = update(&sets, Some("status"), &made, &by("controller", 5), |new| {
        new.set(&["status", "replicas"], 1);
        new.set(&["spec", "replicas"], 7);
    });
    let shown = owners(&next);
    assert_eq!(shown.len(), 2);
    assert_eq!(shown[1], one(r#"controller Update apps/v1 status {"f:status":{"f:replicas":{}}}"#, 5));
    assert!(!shown[0].0.contains("f:status"), "{shown:?}");
    // A write of the object without its status leaves the status, and its owner, alone.
    let later = update(&sets, None, &next, &by("me", 6), |new| {
        new.remove(&["status"]);
        new.set(&["spec", "replicas"], 2);
    });
    assert_eq!(owners(&later).iter().filter(|(line, _)| line.starts_with("controller")).count(), 1);
}

#[test]
fn owners_are_forgotten_on_wish_and_kept_when_they_make_no_sense() {
    let maps = row("", "configmaps");
    let made = create(&maps, json!({ "data": { "a": "1" } }), &by("first", 0));
    for reset in [json!([]), json!([{}])] {
        let next =
            update(&maps, None, &made, &by("second", 5), |new| new.set(&["metadata", "managedFields"], reset.clone()));
        assert_eq!(next.at(&["metadata", "managedFields"]), None);
        let later = update(&maps, None, &next, &by("second", 6), |new| new.set(&["data", "a"], "2"));
        assert_eq!(later.at(&["metadata", "managedFields"]), None);
    }
    for wrong in [
        json!([{ "manager": "x" }]),
        json!([{ "manager": "x", "operation": "Update", "apiVersion": "v1", "fieldsType": "FieldsV2" }]),
    ] {
        let next =
            update(&maps, None, &made, &by("second", 5), |new| new.set(&["metadata", "managedFields"], wrong.clone()));
        assert_eq!(owners(&next), owners(&made));
    }
}

#[test]
fn the_oldest_updaters_are_joined() {
    let maps = row("", "configmaps");
    let names: Vec<&'static str> =
        vec!["m00", "m01", "m02", "m03", "m04", "m05", "m06", "m07", "m08", "m09", "m10", "m11", "m12"];
    let mut current = create(&maps, json!({ "data": { "m00": "x" } }), &by("m00", 0));
    for (at, name) in names.iter().enumerate().skip(1) {
        current = update(&maps, None, &current, &by(name, at as i64), |new| new.set(&["data", name], "x"));
    }
    let shown = owners(&current);
    assert_eq!(shown.len(), 10, "{shown:?}");
    assert_eq!(
        shown[0],
        one(r#"ancient-changes Update v1  {"f:data":{".":{},"f:m00":{},"f:m01":{},"f:m02":{},"f:m03":{}}}"#, 3)
    );
    assert!(shown[1].0.starts_with("m04 "), "{shown:?}");
}

#[test]
fn apply_creates_merges_and_takes_away() {
    let maps = row("", "configmaps");
    let mine = Applier::new(&maps, "mine");
    let made = mine.apply(None, json!({ "data": { "a": "1", "b": "1" } }), 0);
    assert_eq!(owners(&made), [one(r#"mine Apply v1  {"f:data":{"f:a":{},"f:b":{}}}"#, 0)]);
    // Again: nothing, not even the time.
    assert_eq!(mine.apply(Some(&made), json!({ "data": { "a": "1", "b": "1" } }), 5), made);
    let less = mine.apply(Some(&made), json!({ "data": { "a": "2" } }), 6);
    assert_eq!(less.at(&["data"]), Some(&json!({ "a": "2" })));
    assert_eq!(owners(&less), [one(r#"mine Apply v1  {"f:data":{"f:a":{}}}"#, 6)]);
    // What others own stays when the applier no longer names it.
    let theirs = Applier::new(&maps, "theirs").apply(Some(&less), json!({ "data": { "a": "2" } }), 7);
    assert_eq!(owners(&theirs).len(), 2);
    let left = mine.apply(Some(&theirs), json!({ "data": { "c": "3" } }), 8);
    assert_eq!(left.at(&["data"]), Some(&json!({ "a": "2", "c": "3" })));
    let none = mine.apply(Some(&left), json!({}), 9);
    assert_eq!(none.at(&["data"]), Some(&json!({ "a": "2" })));
    assert_eq!(owners(&none), [one(r#"theirs Apply v1  {"f:data":{"f:a":{}}}"#, 7)]);
}

#[test]
fn other_values_of_others_are_conflicts_unless_forced() {
    let sets = row("apps", "deployments");
    let body = |replicas: i64, image: &str| {
        json!({ "spec": {
        "replicas": replicas, "selector": { "matchLabels": { "a": "b" } }, "template": {
            "metadata": { "labels": { "a": "b" } }, "spec": { "containers": [{ "name": "c", "image": image }] },
        },
    } })
    };
    let made = create(&sets, body(1, "i"), &by("kubectl-create", 0));
    let mine = Applier::new(&sets, "mine");
    let refused = mine.try_apply(Some(&made), body(2, "i"), &at(1)).expect_err("a conflict");
    assert_eq!((refused.code, refused.reason.as_str()), (409, "Conflict"));
    assert_eq!(
        refused.message,
        "Apply failed with 1 conflict: conflict with \"kubectl-create\" using apps/v1: .spec.replicas"
    );
    let details = refused.details.expect("details");
    assert_eq!(
        (details.causes[0].reason.as_str(), details.causes[0].message.as_str(), details.causes[0].field.as_str()),
        ("FieldManagerConflict", "conflict with \"kubectl-create\" using apps/v1", ".spec.replicas")
    );
    let refused = mine.try_apply(Some(&made), body(2, "j"), &at(1)).expect_err("conflicts");
    assert_eq!(
        refused.message,
        "Apply failed with 2 conflicts: conflicts with \"kubectl-create\" using apps/v1:\n- .spec.replicas\n- .spec.template.spec.containers[name=\"c\"].image"
    );
    let taken = mine.forced().apply(Some(&made), body(2, "j"), 2);
    assert_eq!((taken.integer(&["spec", "replicas"]), taken.generation()), (Some(2), Some(2)));
    let shown = owners(&taken);
    assert!(shown[0].0.starts_with("mine Apply apps/v1 "), "{shown:?}");
    assert!(!shown[1].0.contains("f:replicas") && shown[1].0.contains("f:imagePullPolicy"), "{shown:?}");
    // An updater takes without asking, and then it is the applier's turn to ask.
    let scaled = update(&sets, None, &taken, &by("scaler", 3), |new| new.set(&["spec", "replicas"], 5));
    let refused = Applier::new(&sets, "mine").try_apply(Some(&scaled), body(2, "j"), &at(4)).expect_err("a conflict");
    assert!(refused.message.ends_with("conflict with \"scaler\" using apps/v1: .spec.replicas"), "{}", refused.message);
}

#[test]
fn elements_are_told_apart_by_their_keys_and_the_defaults_of_these() {
    let services = row("", "services");
    let mine = Applier::new(&services, "mine");
    let made = mine.apply(None, json!({ "spec": { "ports": [{ "name": "a", "port": 80 }] } }), 0);
    let ports = made.list(&["spec", "ports"]);
    assert_eq!((ports.len(), &ports[0]["protocol"]), (1, &json!("TCP")));
    assert!(
        owners(&made)[0].0.contains(r#""k:{\"port\":80,\"protocol\":\"TCP\"}":{".":{},"f:name":{},"f:port":{}}"#),
        "{:?}",
        owners(&made)
    );
    let both = Applier::new(&services, "theirs").apply(
        Some(&made),
        json!({ "spec": { "ports": [{ "name": "u", "port": 80, "protocol": "UDP" }] } }),
        1,
    );
    assert_eq!(both.list(&["spec", "ports"]).len(), 2);
    let less = mine.apply(Some(&both), json!({}), 2);
    assert_eq!(less.list(&["spec", "ports"])[0]["protocol"], "UDP");
    assert_eq!(less.list(&["spec", "ports"]).len(), 1);
    let twice = json!({ "spec": { "ports": [{ "port": 80 }, { "port": 80, "protocol": "TCP" }] } });
    let refused = mine.try_apply(Some(&both), twice, &at(3)).expect_err("twice the same");
    assert_eq!(
        (refused.code, refused.message.as_str()),
        (
            500,
            "failed to create typed patch object (/a; /v1, Kind=Service): .spec.ports: duplicate entries for key [port=80,protocol=\"TCP\"]"
        )
    );
}

#[test]
fn sets_and_atomic_lists_differ() {
    let maps = row("", "configmaps");
    let finalizers = |list: Value| json!({ "metadata": { "finalizers": list } });
    let made = Applier::new(&maps, "mine").apply(None, finalizers(json!(["x.test/a"])), 0);
    let both = Applier::new(&maps, "theirs").apply(Some(&made), finalizers(json!(["x.test/b"])), 1);
    assert_eq!(both.finalizers().collect::<Vec<_>>(), ["x.test/a", "x.test/b"]);
    let less = Applier::new(&maps, "mine").apply(Some(&both), finalizers(json!([])), 2);
    assert_eq!(less.finalizers().collect::<Vec<_>>(), ["x.test/b"]);

    let pods = row("", "pods");
    let body = |args: Value| json!({ "spec": { "containers": [{ "name": "c", "image": "i", "args": args }] } });
    let made = Applier::new(&pods, "mine").apply(None, body(json!(["a", "b"])), 0);
    assert!(owners(&made)[0].0.contains(r#""f:args":{}"#));
    let refused =
        Applier::new(&pods, "theirs").try_apply(Some(&made), body(json!(["a"])), &at(1)).expect_err("one value");
    assert_eq!(
        refused.message,
        "Apply failed with 1 conflict: conflict with \"mine\": .spec.containers[name=\"c\"].args"
    );
}

#[test]
fn what_does_not_fit_is_refused() {
    let maps = row("", "configmaps");
    let mine = Applier::new(&maps, "mine");
    let refuse = |body: Value| mine.try_raw(None, &body, &at(0)).expect_err("refused");
    let unknown = refuse(
        json!({ "apiVersion": "v1", "kind": "ConfigMap", "metadata": { "name": "a", "namespace": "n" }, "dota": {} }),
    );
    assert_eq!(
        (unknown.code, unknown.message.as_str()),
        (500, "failed to create typed patch object (n/a; /v1, Kind=ConfigMap): .dota: field not declared in schema")
    );
    let kind = refuse(json!({ "apiVersion": "apps/v1", "kind": "Deployment", "metadata": { "name": "a" } }));
    assert_eq!((kind.code, kind.message.as_str()), (400, "invalid object type: apps/v1, Kind=Deployment"));
    let owned =
        refuse(json!({ "apiVersion": "v1", "kind": "ConfigMap", "metadata": { "name": "a", "managedFields": [] } }));
    assert_eq!((owned.code, owned.message.as_str()), (400, "metadata.managedFields must be nil"));
    let wrong =
        refuse(json!({ "apiVersion": "v1", "kind": "ConfigMap", "metadata": { "name": "a" }, "data": { "k": 1 } }));
    assert_eq!(
        wrong.message,
        "failed to create typed patch object (/a; /v1, Kind=ConfigMap): .data.k: expected string, got &value.valueUnstructured{Value:1}"
    );
    assert_eq!(Configuration::parse(b"- a").expect_err("a list").code, 400);
}

#[test]
fn an_object_without_owners_has_some_after_the_first_apply() {
    let maps = row("", "configmaps");
    let made = create(&maps, json!({ "data": { "a": "1" } }), &context());
    assert_eq!(made.at(&["metadata", "managedFields"]), None);
    let next = Applier::new(&maps, "mine").apply(Some(&made), json!({ "data": { "b": "2" } }), 3);
    assert_eq!(
        owners(&next),
        [
            one(r#"mine Apply v1  {"f:data":{"f:b":{}}}"#, 3),
            one(r#"before-first-apply Update v1  {"f:data":{".":{},"f:a":{}}}"#, 3)
        ]
    );
}

#[test]
fn status_is_applied_through_its_subresource() {
    let sets = row("apps", "replicasets");
    let body = json!({ "spec": { "replicas": 1, "selector": { "matchLabels": { "a": "b" } }, "template": {
        "metadata": { "labels": { "a": "b" } }, "spec": { "containers": [{ "name": "c", "image": "i" }] },
    } } });
    let made = create(&sets, body, &by("me", 0));
    let status =
        json!({ "spec": { "replicas": 5 }, "status": { "conditions": [{ "type": "Odd", "status": "True" }] } });
    let next = Applier::new(&sets, "controller").through("status").forced().apply(Some(&made), status.clone(), 1);
    assert_eq!(next.integer(&["spec", "replicas"]), Some(1));
    assert_eq!(
        owners(&next)[0],
        one(
            r#"controller Apply apps/v1 status {"f:status":{"f:conditions":{"k:{\"type\":\"Odd\"}":{".":{},"f:status":{},"f:type":{}}}}}"#,
            1
        )
    );
    // Through the object itself the same says nothing of the status.
    let plain = Applier::new(&sets, "controller").forced().apply(Some(&next), status, 2);
    assert!(
        owners(&plain).iter().any(|(line, _)| line.starts_with("controller Apply apps/v1  {\"f:spec\"")),
        "{:?}",
        owners(&plain)
    );
}

#[test]
fn a_scale_has_the_owners_of_the_replicas() {
    let sets = row("apps", "deployments");
    let body = json!({ "spec": { "replicas": 1, "selector": { "matchLabels": { "a": "b" } }, "template": {
        "metadata": { "labels": { "a": "b" } }, "spec": { "containers": [{ "name": "c", "image": "i" }] },
    } } });
    let made = Applier::new(&sets, "mine").apply(None, body.clone(), 0);
    let mut scale = crate::scale::of(&made);
    scale.set(&["spec", "replicas"], 4);
    let taken = crate::scale::take(&sets, &made, scale, &by("scaler", 1));
    let scaled = crate::scale::finish(&sets, &made, &taken, &by("scaler", 1)).expect("a valid scale");
    let scaled = store(scaled, &made);
    assert_eq!(scaled.integer(&["spec", "replicas"]), Some(4));
    let shown = owners(&scaled);
    assert!(!shown[0].0.contains("f:replicas"), "{shown:?}");
    assert_eq!(shown[1], one(r#"scaler Update apps/v1 scale {"f:spec":{"f:replicas":{}}}"#, 1));
    let refused = Applier::new(&sets, "mine").try_apply(Some(&scaled), body, &at(2)).expect_err("a conflict");
    assert_eq!(
        refused.message,
        "Apply failed with 1 conflict: conflict with \"scaler\" with subresource \"scale\" using apps/v1: .spec.replicas"
    );
}

#[test]
fn kubectl_changes_sides_without_conflicts() {
    const LAST: &str = "kubectl.kubernetes.io/last-applied-configuration";
    let maps = row("", "configmaps");
    let applied = json!({ "apiVersion": "v1", "kind": "ConfigMap", "metadata": { "name": "a" }, "data": { "k": "1" } });
    let mut body = applied.clone();
    body["metadata"]["annotations"] = json!({ LAST: applied.to_string() });
    let made = create(&maps, body, &by("kubectl-client-side-apply", 0));
    let changed = json!({ "data": { "k": "2" } });
    assert!(Applier::new(&maps, "somebody").try_apply(Some(&made), changed.clone(), &at(1)).is_err());
    let next = Applier::new(&maps, "kubectl").apply(Some(&made), changed, 1);
    assert_eq!(next.text(&["data", "k"]), Some("2"));
    let annotation = next.text(&["metadata", "annotations", LAST]).expect("it stays");
    assert_eq!(
        annotation,
        "{\"apiVersion\":\"v1\",\"data\":{\"k\":\"2\"},\"kind\":\"ConfigMap\",\"metadata\":{\"name\":\"a\"}}\n"
    );
}

#[test]
fn owners_in_the_names_of_another_version_are_understood() {
    let (core, events) = (row("", "events"), row("events.k8s.io", "events"));
    let body = json!({
        "metadata": { "name": "a", "namespace": "default" }, "message": "m", "reason": "r", "type": "Normal",
        "involvedObject": { "kind": "Pod", "name": "p", "namespace": "default" },
        "reportingComponent": "x", "reportingInstance": "y", "action": "z", "eventTime": "2026-08-01T10:00:00.000000Z",
    });
    let made = create(&core, body, &by("kubelet", 0));
    let mut served = made.clone();
    events.strategy.to_served(&mut served);
    let note =
        json!({ "apiVersion": "events.k8s.io/v1", "kind": "Event", "metadata": { "name": "a" }, "note": "other" });
    let refused = Applier::new(&events, "mine").try_raw(Some(&served), &note, &at(1)).expect_err("a conflict");
    assert_eq!(refused.message, "Apply failed with 1 conflict: conflict with \"kubelet\" using v1: .message");
}

#[test]
fn lists_keep_the_order_of_the_applier() {
    let shape = shape::Shape::of_definition("io.k8s.api.core.v1.PodSpec");
    let names = |names: &[&str]| -> Value { names.iter().map(|name| json!({ "name": name })).collect() };
    let spec = |list: &[&str]| json!({ "containers": names(list) });
    for (old, new, wanted) in [
        (vec!["a", "b", "c"], vec!["c", "a"], vec!["b", "c", "a"]),
        (vec!["a", "x"], vec!["b", "a"], vec!["b", "a", "x"]),
        (vec!["a"], vec!["b", "c"], vec!["a", "b", "c"]),
        (vec![], vec!["b"], vec!["b"]),
        (vec!["a", "b"], vec![], vec!["a", "b"]),
    ] {
        let merged = merge::merge(&spec(&old), &spec(&new), shape);
        assert_eq!(merged, spec(&wanted), "{old:?} {new:?}");
    }
}

fn element() -> impl Strategy<Value = PathElement> {
    let scalar = prop_oneof![
        any::<i64>().prop_map(Scalar::Integer),
        "[a-z\"\\\\:.{}]{0,4}".prop_map(Scalar::Text),
        any::<bool>().prop_map(Scalar::Flag),
    ];
    prop_oneof![
        "[a-z.:/]{0,3}".prop_map(PathElement::Field),
        proptest::collection::btree_map("[a-c]", scalar.clone(), 0..3)
            .prop_map(|keys| PathElement::Key(keys.into_iter().collect())),
        scalar.prop_map(PathElement::Value),
        (0_i64..5).prop_map(PathElement::Index),
    ]
}

fn field_set() -> impl Strategy<Value = FieldSet> {
    proptest::collection::vec(proptest::collection::vec(element(), 1..4), 0..8).prop_map(|paths| {
        let mut set = FieldSet::default();
        for path in &paths {
            set.insert(path);
        }
        set
    })
}

/// A few members of a `ConfigMap` and of a Service's ports, so that runs often meet.
fn configuration() -> impl Strategy<Value = Value> {
    let data = proptest::collection::btree_map("[a-d]", "[12]", 1..4);
    let finalizers = proptest::collection::btree_set("x\\.test/[a-c]", 1..3);
    (data, finalizers).prop_map(|(data, finalizers)| json!({ "metadata": { "finalizers": finalizers }, "data": data }))
}

proptest! {
    #[test]
    fn sets_survive_the_wire(set in field_set()) {
        prop_assert_eq!(FieldSet::from_value(&set.to_value()), Ok(set));
    }

    #[test]
    fn sets_are_sets(a in field_set(), b in field_set()) {
        let both = a.intersection(&b);
        let either = a.clone().union(b.clone());
        prop_assert_eq!(&b.clone().union(a.clone()), &either);
        prop_assert_eq!(&b.intersection(&a), &both);
        prop_assert_eq!(a.clone().difference(&b).union(both.clone()), a.clone());
        prop_assert_eq!(either.clone().difference(&a), b.clone().difference(&both));
        let mut paths = 0;
        either.for_each(&mut |path| {
            let path: Vec<PathElement> = path.iter().map(|one| (*one).clone()).collect();
            assert!(a.has_path(&path) || b.has_path(&path));
            paths += 1;
        });
        prop_assert_eq!(paths == 0, either.is_empty());
    }

    #[test]
    fn apply_is_idempotent_and_leaves_no_trace(first in configuration(), second in configuration()) {
        let maps = row("", "configmaps");
        let base = create(&maps, first, &by("base", 0));
        let mine = Applier::new(&maps, "mine").forced();
        let applied = mine.apply(Some(&base), second.clone(), 1);
        prop_assert_eq!(&mine.apply(Some(&applied), second.clone(), 2), &applied);
        // Applied and given up: what was there before is there again, except where another value was forced upon it.
        let nothing = mine.apply(Some(&applied), json!({}), 3);
        let before = base.at(&["data"]).and_then(Value::as_object).cloned().unwrap_or_default();
        let wanted = second["data"].as_object().cloned().unwrap_or_default();
        let kept: serde_json::Map<String, Value> =
            before.into_iter().filter(|(key, value)| wanted.get(key).is_none_or(|other| other == value)).collect();
        let left = nothing.at(&["data"]).and_then(Value::as_object).cloned().unwrap_or_default();
        prop_assert_eq!(left, kept);
        // Of what both named, the order is the applier's.
        let finalizers = |object: &Object| object.finalizers().map(str::to_owned).collect::<BTreeSet<_>>();
        prop_assert_eq!(finalizers(&nothing), finalizers(&base));
    }
}
