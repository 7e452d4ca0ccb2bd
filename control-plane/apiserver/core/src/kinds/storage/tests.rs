use serde_json::{Value, json};

use crate::engine::{Updated, prepare_update};
use crate::kinds::testing::{context, create, create_errors, row, stored, try_update, update_errors};

fn volume(spec: &Value) -> Value {
    let mut body = json!({ "spec": { "accessModes": ["ReadWriteOnce"], "capacity": { "storage": "1Gi" } } });
    for (name, value) in spec.as_object().into_iter().flatten() {
        body["spec"][name] = value.clone();
    }
    body
}

fn claim(amount: &str) -> Value {
    json!({ "spec": { "accessModes": ["ReadWriteOnce"], "resources": { "requests": { "storage": amount } } } })
}

#[test]
fn a_volume_is_in_one_place() {
    let row = row("", "persistentvolumes");
    assert_eq!(
        create_errors(&row, json!({ "spec": { "capacity": { "cpu": "1" } } })),
        [
            "spec.accessModes: Required value",
            "spec.capacity: Unsupported value: {\"cpu\":\"1\"}: supported values: \"storage\"",
            "spec: Required value: must specify a volume type",
        ]
    );
    let two = volume(&json!({ "nfs": { "server": "s" }, "hostPath": { "path": "/a/../b" } }));
    assert_eq!(
        create_errors(&row, two),
        [
            "spec.nfs: Forbidden: may not specify more than 1 volume type",
            "spec.hostPath.path: Invalid value: \"/a/../b\": must not contain '..'",
        ]
    );
    let local = volume(&json!({ "local": { "path": "/disk" } }));
    assert_eq!(create_errors(&row, local), ["spec.nodeAffinity: Required value: Local volume requires node affinity"]);
}

#[test]
fn a_volume_has_defaults_and_is_shown() {
    let row = row("", "persistentvolumes");
    let made = create(
        &row,
        volume(&json!({
            "hostPath": { "path": "/data" }, "claimRef": { "namespace": "n", "name": "c" },
            "accessModes": ["ReadWriteMany", "ReadWriteOnce"],
        })),
    );
    assert_eq!(
        made.at(&["status"]),
        Some(&json!({ "phase": "Pending", "lastPhaseTransitionTime": "2026-08-01T10:00:00Z" }))
    );
    assert_eq!(
        row.strategy.cells(&made, context().now),
        ["a", "1Gi", "RWO,RWX", "Retain", "Pending", "n/c", "", "<unset>", "", "0s", "Filesystem"]
    );
    let elsewhere = volume(&json!({ "hostPath": { "path": "/other", "type": "" } }));
    assert_eq!(
        update_errors(&row, None, volume(&json!({ "hostPath": { "path": "/data" } })), elsewhere),
        ["spec.persistentvolumesource: Forbidden: spec.persistentvolumesource is immutable after creation"]
    );
}

#[test]
fn a_claim_says_how_much_and_how() {
    let row = row("", "persistentvolumeclaims");
    assert_eq!(
        create_errors(&row, json!({ "spec": { "volumeMode": "Tape" } })),
        [
            "spec.accessModes: Required value: at least 1 access mode is required",
            "spec.resources[storage]: Required value",
            "spec.volumeMode: Unsupported value: \"Tape\": supported values: \"Block\", \"Filesystem\"",
        ]
    );
    assert_eq!(
        create_errors(&row, claim("0")),
        ["spec.resources[storage]: Invalid value: \"0\": must be greater than zero"]
    );
    let mut alone = claim("1Gi");
    alone["spec"]["accessModes"] = json!(["ReadWriteOncePod", "ReadWriteOnce"]);
    assert_eq!(
        create_errors(&row, alone),
        ["spec.accessModes: Forbidden: may not use ReadWriteOncePod with other access modes"]
    );
    let made = create(&row, claim("1Gi"));
    assert_eq!(
        row.strategy.cells(&made, context().now),
        ["a", "Pending", "", "", "", "", "<unset>", "0s", "Filesystem"]
    );
}

#[test]
fn only_a_bound_claim_grows() {
    let row = row("", "persistentvolumeclaims");
    let refused = "spec: Forbidden: spec is immutable after creation except resources.requests and volumeAttributesClassName for bound claims";
    assert_eq!(update_errors(&row, None, claim("1Gi"), claim("2Gi")), [refused]);
    let mut named = claim("1Gi");
    named["spec"]["volumeName"] = json!("v");
    assert!(update_errors(&row, None, claim("1Gi"), named).is_empty(), "the binder names the volume");

    let mut bound = create(&row, claim("2Gi"));
    bound.set(&["status"], json!({ "phase": "Bound", "capacity": { "storage": "1Gi" } }));
    let bound = stored(bound);
    let resize = |amount: &str| {
        let mut new = bound.clone();
        new.set(&["spec", "resources", "requests", "storage"], amount);
        prepare_update(&row, None, &bound, new, &context())
    };
    assert!(matches!(resize("3Gi"), Ok(Updated::Store(_))));
    assert!(matches!(resize("1500Mi"), Ok(Updated::Store(_))));
    let less = resize("1Gi").map_err(|status| status.message);
    assert!(less.is_err_and(|message| message.contains("field can not be less than status.capacity")));
}

#[test]
fn status_of_a_claim_is_the_controllers() {
    let row = row("", "persistentvolumeclaims");
    let mut new = claim("5Gi");
    new["status"] = json!({ "phase": "Bound" });
    let Ok(Updated::Store(prepared)) = try_update(&row, Some("status"), claim("1Gi"), new) else {
        panic!("a valid change")
    };
    assert_eq!(prepared.object.at(&["spec", "resources"]), claim("1Gi").pointer("/spec/resources"));
    assert_eq!(prepared.object.text(&["status", "phase"]), Some("Bound"));
}

#[test]
fn a_class_keeps_what_volumes_were_made_by() {
    let row = row("storage.k8s.io", "storageclasses");
    let class = json!({
        "metadata": { "name": "fast", "annotations": { "storageclass.kubernetes.io/is-default-class": "true" } },
        "provisioner": "example.test/disk",
    });
    let made = create(&row, class.clone());
    assert_eq!(
        row.strategy.cells(&made, context().now),
        [
            json!("fast (default)"),
            json!("example.test/disk"),
            json!("Delete"),
            json!("Immediate"),
            json!(false),
            json!("0s")
        ]
    );
    let mut other = class.clone();
    other["provisioner"] = json!("example.test/tape");
    other["volumeBindingMode"] = json!("WaitForFirstConsumer");
    assert_eq!(
        update_errors(&row, None, class, other),
        [
            "provisioner: Forbidden: updates to provisioner are forbidden.",
            "volumeBindingMode: Invalid value: \"WaitForFirstConsumer\": field is immutable",
        ]
    );
    assert_eq!(create_errors(&row, json!({})), ["provisioner: Required value"]);
}

#[test]
fn a_driver_says_what_it_can_do() {
    let row = row("storage.k8s.io", "csidrivers");
    let made = create(&row, json!({ "metadata": { "name": "disk.example.test" }, "spec": {} }));
    assert_eq!(
        made.at(&["spec"]),
        Some(&json!({
            "attachRequired": true, "podInfoOnMount": false, "storageCapacity": false, "requiresRepublish": false,
            "seLinuxMount": false, "fsGroupPolicy": "ReadWriteOnceWithFSType", "volumeLifecycleModes": ["Persistent"],
        }))
    );
    assert_eq!(
        row.strategy.cells(&made, context().now),
        [
            json!("disk.example.test"),
            json!(true),
            json!(false),
            json!(false),
            json!("<unset>"),
            json!(false),
            json!("Persistent"),
            json!("0s"),
        ]
    );
    let tokens = json!([{ "audience": "a" }, { "audience": "a", "expirationSeconds": 1 }]);
    assert_eq!(
        create_errors(&row, json!({ "spec": { "tokenRequests": tokens, "volumeLifecycleModes": ["Eternal"] } })),
        [
            "spec.tokenRequests[1].audience: Duplicate value: \"a\"",
            "spec.tokenRequests[1].expirationSeconds: Invalid value: 1: may not specify a duration less than 10 minutes",
            "spec.volumeLifecycleModes[0]: Unsupported value: \"Eternal\": supported values: \"Ephemeral\", \"Persistent\"",
        ]
    );
    assert_eq!(
        update_errors(&row, None, json!({ "spec": {} }), json!({ "spec": { "attachRequired": false } })),
        ["spec.attachRequired: Invalid value: false: field is immutable"]
    );
}

#[test]
fn drivers_of_a_node_stay_what_they_are() {
    let row = row("storage.k8s.io", "csinodes");
    let node = |id: &str, count: i64| json!({ "spec": { "drivers": [{ "name": "d.test", "nodeID": id, "allocatable": { "count": count } }] } });
    assert_eq!(row.strategy.cells(&create(&row, node("n", 1)), context().now), [json!("a"), json!(1), json!("0s")]);
    assert_eq!(
        create_errors(&row, node("", -1)),
        [
            "spec.drivers[0].nodeID: Required value",
            "spec.drivers[0].allocatable.count: Invalid value: -1: must be greater than or equal to 0",
        ]
    );
    let full = json!({
        "metadata": { "name": "a", "resourceVersion": "5" },
        "spec": { "drivers": [{ "name": "d.test", "nodeID": "n", "allocatable": { "count": 9 } }] },
    });
    assert!(update_errors(&row, None, node("n", 1), full).is_empty(), "how much fits may change");
    let refused = update_errors(&row, None, node("n", 1), node("other", 1));
    assert!(refused[0].starts_with("spec.drivers[0]: Invalid value:"), "{refused:?}");
}

#[test]
fn an_attachment_is_of_one_volume() {
    let row = row("storage.k8s.io", "volumeattachments");
    let attachment = |name: &str| json!({ "spec": { "attacher": "d.test", "nodeName": "n", "source": { "persistentVolumeName": name } } });
    let made = create(&row, attachment("v"));
    assert_eq!(
        row.strategy.cells(&made, context().now),
        [json!("a"), json!("d.test"), json!("v"), json!("n"), json!(false), json!("0s")]
    );
    assert_eq!(
        create_errors(&row, json!({ "spec": { "attacher": "d.test", "nodeName": "n", "source": {} } })),
        ["spec.source: Required value: must specify exactly one of inlineVolumeSpec and persistentVolumeName"]
    );
    let refused = update_errors(&row, None, attachment("v"), attachment("w"));
    assert!(
        refused[0].starts_with("spec: Invalid value:") && refused[0].ends_with("field is immutable"),
        "{refused:?}"
    );
}

#[test]
fn capacities_and_attributes_are_for_a_class() {
    let capacities = row("storage.k8s.io", "csistoragecapacities");
    let made = create(&capacities, json!({ "storageClassName": "fast", "capacity": "1Gi" }));
    assert_eq!(capacities.strategy.cells(&made, context().now), ["a", "fast", "1Gi", "0s"]);
    assert_eq!(
        update_errors(&capacities, None, json!({ "storageClassName": "fast" }), json!({ "storageClassName": "slow" })),
        ["storageClassName: Invalid value: \"slow\": field is immutable"]
    );
    let attributes = row("storage.k8s.io", "volumeattributesclasses");
    assert_eq!(
        create_errors(&attributes, json!({ "driverName": "d.test" })),
        ["parameters: Required value: must contain at least one key/value pair"]
    );
    let made = create(&attributes, json!({ "driverName": "d.test", "parameters": { "iops": "9" } }));
    assert_eq!(attributes.strategy.cells(&made, context().now), ["a", "d.test", "0s"]);
}
