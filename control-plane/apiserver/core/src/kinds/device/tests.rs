use serde_json::{Value, json};

use crate::engine::{Updated, prepare_update};
use crate::kinds::testing::{context, create, create_errors, row, stored, update_errors};

const GROUP: &str = "resource.k8s.io";

fn claim(request: &Value) -> Value {
    json!({ "spec": { "devices": { "requests": [request] } } })
}

fn gpu() -> Value {
    json!({ "name": "gpu", "exactly": { "deviceClassName": "gpu.example.com" } })
}

#[test]
fn a_claim_asks_for_one_device_unless_it_says_more() {
    let row = row(GROUP, "resourceclaims");
    let made = create(&row, claim(&gpu()));
    let exactly = &made.list(&["spec", "devices", "requests"])[0]["exactly"];
    assert_eq!((&exactly["allocationMode"], &exactly["count"]), (&json!("ExactCount"), &json!(1)));
    assert_eq!(row.strategy.cells(&made, context().now), ["a", "pending", "0s"]);
    for (request, message) in [
        (
            json!({ "name": "gpu" }),
            "spec.devices.requests[0]: Required value: exactly one of `exactly` or `firstAvailable` is required",
        ),
        (json!({ "name": "gpu", "exactly": {} }), "spec.devices.requests[0].exactly.deviceClassName: Required value"),
        (
            json!({ "name": "gpu", "exactly": { "deviceClassName": "c", "allocationMode": "All", "count": 2 } }),
            "spec.devices.requests[0].exactly.count: Invalid value: 2: must not be specified when allocationMode is 'All'",
        ),
        (
            json!({ "name": "gpu", "exactly": { "deviceClassName": "c", "selectors": [{}] } }),
            "spec.devices.requests[0].exactly.selectors[0].cel: Required value",
        ),
    ] {
        assert_eq!(create_errors(&row, claim(&request)), [message]);
    }
    let mut other = claim(&gpu());
    other["spec"]["devices"]["config"] =
        json!([{ "requests": ["cpu"], "opaque": { "driver": "d.example.com", "parameters": {} } }]);
    assert_eq!(
        create_errors(&row, other.clone()),
        [
            "spec.devices.config[0].requests[0]: Invalid value: \"cpu\": must be the name of a request in the claim or the name of a request and a subrequest separated by '/'"
        ]
    );
    other["spec"]["devices"]["config"][0]["requests"] = json!(["gpu"]);
    assert!(update_errors(&row, None, claim(&gpu()), other)[0].ends_with("field is immutable"));
}

#[test]
fn a_claim_is_used_only_when_it_is_allocated() {
    let row = row(GROUP, "resourceclaims");
    let old = stored(create(&row, claim(&gpu())));
    let write = |status: Value| {
        let mut new = old.clone();
        new.set(&["status"], status);
        prepare_update(&row, Some("status"), &old, new, &context())
    };
    let user = json!([{ "resource": "pods", "name": "p", "uid": "u" }]);
    let result = |request: &str| json!({ "devices": { "results": [{ "request": request, "driver": "d.example.com", "pool": "n", "device": "gpu-0" }] } });
    let refused = write(json!({ "reservedFor": user })).map_err(|status| status.message);
    assert!(
        refused
            .expect_err("refused")
            .contains("status.reservedFor: Forbidden: may not be specified when `allocated` is not set")
    );
    let Ok(Updated::Store(used)) = write(json!({ "reservedFor": user, "allocation": result("gpu") })) else {
        panic!("refused")
    };
    assert_eq!(row.strategy.cells(&used.object, context().now)[1], "allocated,reserved");
    assert!(write(json!({ "allocation": result("cpu") })).is_err());
}

#[test]
fn a_slice_offers_devices_of_some_nodes() {
    let row = row(GROUP, "resourceslices");
    let slice = |more: Value| {
        let mut slice = json!({ "spec": {
            "driver": "d.example.com", "nodeName": "n", "pool": { "name": "n", "generation": 1, "resourceSliceCount": 1 },
            "devices": [{ "name": "gpu-0", "attributes": { "model": { "string": "x" } }, "taints": [{ "key": "a/b", "effect": "NoSchedule" }] }],
        } });
        for (name, value) in more.as_object().into_iter().flatten() {
            slice["spec"][name] = value.clone();
        }
        slice
    };
    let made = create(&row, slice(json!({})));
    assert_eq!(made.list(&["spec", "devices"])[0]["taints"][0]["timeAdded"], "2026-08-01T10:00:00Z");
    assert_eq!(row.strategy.cells(&made, context().now), ["a", "n", "d.example.com", "n", "0s"]);
    for (more, message) in [
        (
            json!({ "nodeName": null }),
            "spec: Required value: exactly one of `nodeName`, `nodeSelector`, `allNodes`, `perDeviceNodeSelection` is required",
        ),
        (
            json!({ "allNodes": true }),
            "spec: Invalid value: \"{`nodeName`, `allNodes`}\": exactly one of `nodeName`, `nodeSelector`, `allNodes`, `perDeviceNodeSelection` is required, but multiple fields are set",
        ),
        (json!({ "devices": [{ "name": "a" }, { "name": "a" }] }), "spec.devices[1]: Duplicate value: \"a\""),
        (
            json!({ "devices": [{ "name": "a", "attributes": { "v": { "version": "1" } } }] }),
            "spec.devices[0].attributes[v].version: Invalid value: \"1\": must be a string compatible with semver.org spec 2.0.0",
        ),
        (
            json!({ "devices": [{ "name": "a", "attributes": { "v": { "int": 1, "bool": true } } }] }),
            "spec.devices[0].attributes[v]: Invalid value: {\"bool\":true,\"int\":1}: exactly one value must be specified",
        ),
    ] {
        assert_eq!(create_errors(&row, slice(more)), [message]);
    }
    assert!(
        update_errors(&row, None, slice(json!({})), slice(json!({ "driver": "e.example.com" })))[0]
            .contains("field is immutable")
    );
}

#[test]
fn classes_templates_and_taints_are_checked() {
    assert_eq!(
        create_errors(&row(GROUP, "deviceclasses"), json!({ "spec": { "extendedResourceName": "cpu" } })),
        ["spec.extendedResourceName: Invalid value: \"cpu\": must be a valid extended resource name"]
    );
    let template = json!({ "spec": { "spec": { "devices": { "requests": [gpu()] } } } });
    let made = create(&row(GROUP, "resourceclaimtemplates"), template);
    assert_eq!(made.list(&["spec", "spec", "devices", "requests"])[0]["exactly"]["count"], 1);
    let rules = row(GROUP, "devicetaintrules");
    let made = create(
        &rules,
        json!({ "spec": { "deviceSelector": { "driver": "d.example.com" }, "taint": { "key": "a", "effect": "NoExecute" } } }),
    );
    assert_eq!(
        (made.generation(), made.text(&["spec", "taint", "timeAdded"])),
        (Some(1), Some("2026-08-01T10:00:00Z"))
    );
    assert_eq!(
        create_errors(&rules, json!({ "spec": { "taint": { "key": "a", "effect": "Never" } } })),
        ["spec.taint.effect: Unsupported value: \"Never\": supported values: \"NoExecute\", \"NoSchedule\", \"None\""]
    );
}
