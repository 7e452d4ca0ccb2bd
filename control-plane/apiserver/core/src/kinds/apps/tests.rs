use serde_json::{Value, json};

use crate::engine::Updated;
use crate::kinds::testing::{context, create, create_errors, row, try_update, update_errors};
use crate::object::Object;

fn template() -> Value {
    json!({ "metadata": { "labels": { "app": "web" } }, "spec": { "containers": [{ "name": "c", "image": "i:1" }] } })
}

/// A valid body of any set, with members of its spec replaced.
fn set(changes: &Value) -> Value {
    let mut body = json!({ "spec": { "selector": { "matchLabels": { "app": "web" } }, "template": template() } });
    for (name, value) in changes.as_object().into_iter().flatten() {
        body["spec"][name] = value.clone();
    }
    body
}

fn errors(plural: &str, changes: &Value) -> Vec<String> {
    create_errors(&row("apps", plural), set(changes))
}

fn changed(plural: &str, subresource: Option<&str>, new: Value) -> Object {
    match try_update(&row("apps", plural), subresource, set(&json!({})), new) {
        Ok(Updated::Store(prepared) | Updated::Unchanged(prepared)) => prepared.object,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_deployment_has_its_defaults() {
    let made = create(&row("apps", "deployments"), set(&json!({})));
    let spec = made.at(&["spec"]).expect("a spec");
    assert_eq!(
        spec["strategy"],
        json!({ "type": "RollingUpdate", "rollingUpdate": { "maxUnavailable": "25%", "maxSurge": "25%" } })
    );
    assert_eq!(
        (&spec["replicas"], &spec["revisionHistoryLimit"], &spec["progressDeadlineSeconds"]),
        (&json!(1), &json!(10), &json!(600))
    );
    assert_eq!(spec["template"]["spec"]["restartPolicy"], "Always");
    assert_eq!((made.generation(), made.at(&["status"])), (Some(1), Some(&json!({}))));
    assert_eq!(
        row("apps", "deployments").strategy.cells(&made, context().now),
        [json!("a"), json!("0/1"), json!(0), json!(0), json!("0s"), json!("c"), json!("i:1"), json!("app=web")]
    );
}

#[test]
fn every_set_must_find_its_pods() {
    for plural in ["deployments", "replicasets", "statefulsets", "daemonsets"] {
        assert_eq!(
            errors(plural, &json!({ "selector": { "matchLabels": { "app": "db" } } })),
            [
                "spec.template.metadata.labels: Invalid value: {\"app\":\"web\"}: `selector` does not match template `labels`"
            ],
            "{plural}"
        );
        let nobodys = json!({ "selector": { "matchExpressions": [{ "key": "app", "operator": "Is" }] } });
        assert_eq!(
            errors(plural, &nobodys)[0],
            "spec.selector.matchExpressions[0].operator: Invalid value: \"Is\": not a valid selector operator",
            "{plural}"
        );
    }
    assert_eq!(
        create_errors(&row("apps", "replicasets"), json!({ "spec": { "template": template() } })),
        ["spec.selector: Required value"]
    );
    assert_eq!(
        errors("daemonsets", &json!({ "selector": {} })),
        ["spec.selector: Invalid value: {}: empty selector is invalid for daemonset"]
    );
}

#[test]
fn templates_are_checked_as_pods_that_last() {
    let mut once = template();
    once["spec"]["restartPolicy"] = json!("Never");
    once["spec"]["activeDeadlineSeconds"] = json!(5);
    once["spec"]["containers"][0]["image"] = json!("");
    for (plural, owner) in [
        ("deployments", "ReplicaSet"),
        ("replicasets", "ReplicaSet"),
        ("statefulsets", "StatefulSet"),
        ("daemonsets", "DaemonSet"),
    ] {
        assert_eq!(
            errors(plural, &json!({ "template": once })),
            [
                "spec.template.spec.containers[0].image: Required value".to_owned(),
                "spec.template.spec.restartPolicy: Unsupported value: \"Never\": supported values: \"Always\""
                    .to_owned(),
                format!(
                    "spec.template.spec.activeDeadlineSeconds: Forbidden: activeDeadlineSeconds in {owner} is not Supported"
                ),
            ],
            "{plural}"
        );
    }
}

#[test]
fn rolling_needs_room() {
    assert_eq!(
        errors("deployments", &json!({ "strategy": { "rollingUpdate": { "maxUnavailable": 0, "maxSurge": "0%" } } })),
        ["spec.strategy.rollingUpdate.maxUnavailable: Invalid value: 0: may not be 0 when `maxSurge` is 0"]
    );
    assert_eq!(
        errors("deployments", &json!({ "strategy": { "type": "Recreate", "rollingUpdate": {} } })),
        ["spec.strategy.rollingUpdate: Forbidden: may not be specified when strategy `type` is 'Recreate'"]
    );
    assert_eq!(
        errors("deployments", &json!({ "strategy": { "type": "X" } })),
        ["spec.strategy.type: Unsupported value: \"X\": supported values: \"Recreate\", \"RollingUpdate\""]
    );
    assert_eq!(
        errors("daemonsets", &json!({ "updateStrategy": { "rollingUpdate": { "maxUnavailable": 1, "maxSurge": 1 } } })),
        [
            "spec.updateStrategy.rollingUpdate.maxSurge: Invalid value: 1: may not be set when maxUnavailable is non-zero"
        ]
    );
    assert_eq!(
        errors(
            "statefulsets",
            &json!({ "updateStrategy": { "rollingUpdate": { "partition": -1, "maxUnavailable": 0 } } })
        ),
        [
            "spec.updateStrategy.rollingUpdate.partition: Invalid value: -1: must be greater than or equal to 0",
            "spec.updateStrategy.rollingUpdate.maxUnavailable: Invalid value: 0: cannot be 0",
        ]
    );
}

#[test]
fn counts_are_not_negative() {
    assert_eq!(
        errors("deployments", &json!({ "replicas": -1, "minReadySeconds": 700 })),
        [
            "spec.replicas: Invalid value: -1: must be greater than or equal to 0",
            "spec.progressDeadlineSeconds: Invalid value: 600: must be greater than minReadySeconds",
        ]
    );
    let status = json!({ "replicas": 1, "readyReplicas": 2, "availableReplicas": -1 });
    let mut new = set(&json!({}));
    new["status"] = status;
    assert_eq!(
        update_errors(&row("apps", "deployments"), Some("status"), set(&json!({})), new),
        [
            "status.availableReplicas: Invalid value: -1: must be greater than or equal to 0",
            "status.readyReplicas: Invalid value: 2: cannot be greater than status.replicas",
        ]
    );
}

#[test]
fn selectors_stay() {
    let other = json!({ "selector": { "matchLabels": { "app": "web", "tier": "1" } } });
    let mut labelled = set(&other);
    labelled["spec"]["template"]["metadata"]["labels"]["tier"] = json!("1");
    for plural in ["deployments", "replicasets", "daemonsets"] {
        assert_eq!(
            update_errors(&row("apps", plural), None, set(&json!({})), labelled.clone()),
            ["spec.selector: Invalid value: {\"matchLabels\":{\"app\":\"web\",\"tier\":\"1\"}}: field is immutable"],
            "{plural}"
        );
    }
    let refused = update_errors(&row("apps", "statefulsets"), None, set(&json!({})), labelled);
    assert!(
        refused[0].starts_with("spec: Forbidden: updates to statefulset spec for fields other than 'replicas'"),
        "{refused:?}"
    );
}

#[test]
fn generations_count_what_is_wished_not_what_is_known() {
    for plural in ["deployments", "replicasets", "statefulsets", "daemonsets"] {
        let scaled = changed(plural, None, set(&json!({ "minReadySeconds": 5 })));
        assert_eq!(scaled.generation(), Some(2), "{plural}");
        let mut known = set(&json!({ "minReadySeconds": 5 }));
        known["status"] = json!({ "observedGeneration": 1 });
        let known = changed(plural, Some("status"), known);
        assert_eq!(known.generation(), Some(1), "{plural}");
        assert_eq!(known.integer(&["status", "observedGeneration"]), Some(1), "{plural}");
        assert_eq!(known.at(&["spec", "minReadySeconds"]), None, "{plural}");
    }
    let mut annotated = set(&json!({}));
    annotated["metadata"] = json!({ "annotations": { "a": "b" }, "name": "a" });
    assert_eq!(changed("deployments", None, annotated).generation(), Some(2));
}

#[test]
fn daemon_sets_count_their_templates() {
    const KEY: [&str; 3] = ["metadata", "annotations", "deprecated.daemonset.template.generation"];
    let made = create(&row("apps", "daemonsets"), set(&json!({})));
    assert_eq!(made.text(&KEY), Some("1"));
    assert_eq!(
        made.at(&["spec", "updateStrategy"]),
        Some(&json!({ "type": "RollingUpdate", "rollingUpdate": { "maxUnavailable": 1, "maxSurge": 0 } }))
    );
    let mut template = template();
    template["spec"]["containers"][0]["image"] = json!("i:2");
    assert_eq!(changed("daemonsets", None, set(&json!({ "template": template }))).text(&KEY), Some("2"));
    assert_eq!(changed("daemonsets", None, set(&json!({ "minReadySeconds": 1 }))).text(&KEY), Some("1"));
}

#[test]
fn claims_of_a_stateful_set_are_volumes_of_its_pods() {
    let mut mounting = template();
    mounting["spec"]["containers"][0]["volumeMounts"] = json!([{ "name": "data", "mountPath": "/data" }]);
    assert_eq!(
        errors("statefulsets", &json!({ "template": mounting })),
        ["spec.template.spec.containers[0].volumeMounts[0].name: Not found: \"data\""]
    );
    let claims = json!([{ "metadata": { "name": "data" }, "spec": { "accessModes": ["ReadWriteOnce"] } }]);
    let made =
        create(&row("apps", "statefulsets"), set(&json!({ "template": mounting, "volumeClaimTemplates": claims })));
    let spec = made.at(&["spec"]).expect("a spec");
    assert_eq!(spec["volumeClaimTemplates"][0]["spec"]["volumeMode"], "Filesystem");
    assert_eq!(spec["template"]["spec"].get("volumes"), None, "the check adds none");
    assert_eq!(
        (&spec["podManagementPolicy"], &spec["updateStrategy"]["type"]),
        (&json!("OrderedReady"), &json!("RollingUpdate"))
    );
    assert_eq!(
        spec["persistentVolumeClaimRetentionPolicy"],
        json!({ "whenDeleted": "Retain", "whenScaled": "Retain" })
    );
    assert_eq!(row("apps", "statefulsets").strategy.cells(&made, context().now), ["a", "0/1", "0s", "c", "i:1"]);
}

#[test]
fn a_revision_keeps_its_data() {
    let row = row("apps", "controllerrevisions");
    assert_eq!(
        create_errors(&row, json!({ "revision": -1 })),
        ["revision: Invalid value: -1: must be greater than or equal to 0", "data: Required value: data is mandatory",]
    );
    let one = json!({ "data": { "a": 1 }, "revision": 1, "metadata": { "name": "r", "ownerReferences": [
        { "apiVersion": "apps/v1", "kind": "StatefulSet", "name": "web", "uid": "u", "controller": true },
    ] } });
    let made = create(&row, one.clone());
    assert_eq!(
        row.strategy.cells(&made, context().now),
        [json!("r"), json!("statefulset.apps/web"), json!(1), json!("0s")]
    );
    let mut other = one.clone();
    other["data"]["a"] = json!(2);
    assert_eq!(update_errors(&row, None, one, other), ["data: Invalid value: {\"a\":2}: field is immutable"]);
}

#[test]
fn labels_of_a_deployment_are_not_written_through_its_status() {
    let mut labelled = set(&json!({}));
    labelled["metadata"] = json!({ "name": "a", "labels": { "color": "red" } });
    assert_eq!(changed("deployments", Some("status"), labelled.clone()).label("color"), None);
    assert_eq!(changed("replicasets", Some("status"), labelled).label("color"), Some("red"));
}
