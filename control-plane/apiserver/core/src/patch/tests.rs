#![allow(clippy::needless_pass_by_value, reason = "literals read better by value")]

use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::registry::Registry;

fn apply(plural: &str, patch_type: PatchType, current: Value, patch: &Value) -> Result<Value, (u16, String)> {
    let registry = Registry::built_in();
    let resource = registry.lookup("", "v1", plural).expect("a built-in resource");
    let current = Object::from_value(current).expect("an object");
    Patch::parse(patch_type, patch.to_string().as_bytes())
        .and_then(|patch| patch.apply(resource, None, &current, FieldValidation::Strict))
        .map(|decoded| {
            let mut value = decoded.object.into_value();
            if let Some(map) = value.as_object_mut() {
                map.remove("apiVersion");
                map.remove("kind");
            }
            value
        })
        .map_err(|status| (status.code, status.message))
}

fn strategic(current: Value, patch: Value) -> Result<Value, (u16, String)> {
    apply("pods", PatchType::Strategic, current, &patch)
}

fn spec(value: Value) -> Value {
    json!({ "spec": value })
}

#[test]
fn keyed_lists_merge_by_their_key() {
    assert_eq!(
        strategic(
            spec(json!({ "containers": [{ "name": "a", "image": "1" }, { "name": "b", "image": "1" }] })),
            spec(json!({ "containers": [{ "name": "b", "image": "2" }, { "name": "c", "image": "3" }] })),
        ),
        Ok(spec(json!({ "containers": [
            { "name": "a", "image": "1" }, { "name": "b", "image": "2" }, { "name": "c", "image": "3" },
        ] })))
    );
    assert_eq!(
        strategic(
            spec(json!({ "containers": [{ "name": "a", "ports": [{ "containerPort": 1, "name": "x" }] }] })),
            spec(json!({ "containers": [{ "name": "a", "ports": [{ "containerPort": 1, "protocol": "UDP" }] }] })),
        ),
        Ok(spec(
            json!({ "containers": [{ "name": "a", "ports": [{ "containerPort": 1, "name": "x", "protocol": "UDP" }] }] })
        ))
    );
}

#[test]
fn other_lists_are_replaced_and_nulls_delete() {
    assert_eq!(
        strategic(
            spec(json!({ "tolerations": [{ "key": "a" }], "nodeName": "n", "nodeSelector": { "a": "b", "c": "d" } })),
            spec(
                json!({ "tolerations": [{ "key": "b" }], "nodeName": null, "nodeSelector": { "a": null, "x": null } })
            ),
        ),
        Ok(spec(json!({ "tolerations": [{ "key": "b" }], "nodeSelector": { "c": "d" } })))
    );
}

#[test]
fn directives_replace_and_delete() {
    let two = || spec(json!({ "containers": [{ "name": "a", "image": "1" }, { "name": "b", "image": "1" }] }));
    assert_eq!(
        strategic(two(), spec(json!({ "containers": [{ "name": "a", "$patch": "delete" }] }))),
        Ok(spec(json!({ "containers": [{ "name": "b", "image": "1" }] })))
    );
    assert_eq!(
        strategic(two(), spec(json!({ "containers": [{ "name": "c", "image": "3" }, { "$patch": "replace" }] }))),
        Ok(spec(json!({ "containers": [{ "name": "c", "image": "3" }] })))
    );
    assert_eq!(
        strategic(two(), spec(json!({ "$patch": "replace", "hostname": "h" }))),
        Ok(spec(json!({ "hostname": "h" })))
    );
    assert_eq!(strategic(two(), spec(json!({ "$patch": "delete" }))), Ok(spec(json!({}))));
    for (patch, wanted) in [
        (json!({ "$patch": "sideways" }), "unknown patch type: sideways in map: {}"),
        (
            json!({ "containers": [{ "image": "x" }] }),
            "map: {\"image\":\"x\"} does not contain declared merge key: name",
        ),
        (
            json!({ "containers": [{ "name": "a", "$patch": "merge" }] }),
            "merging lists cannot yet be specified in the patch",
        ),
        (json!({ "$retainKeys": ["x"], "hostname": "h" }), "invalid patch format of retainKeys"),
    ] {
        assert_eq!(strategic(two(), spec(patch)), Err((400, wanted.to_owned())));
    }
}

#[test]
fn retained_keys_are_all_that_stay() {
    let volume = |source: Value| spec(json!({ "volumes": [source] }));
    assert_eq!(
        strategic(
            volume(json!({ "name": "v", "emptyDir": {} })),
            volume(json!({ "name": "v", "$retainKeys": ["name", "hostPath"], "hostPath": { "path": "/x" } })),
        ),
        Ok(volume(json!({ "name": "v", "hostPath": { "path": "/x" } })))
    );
}

#[test]
fn sets_of_scalars_grow_and_shrink() {
    let with = |list: Value| json!({ "metadata": { "finalizers": list } });
    assert_eq!(strategic(with(json!(["a", "b"])), with(json!(["c", "a"]))), Ok(with(json!(["c", "a", "b"]))));
    assert_eq!(
        strategic(with(json!(["a", "b"])), json!({ "metadata": { "$deleteFromPrimitiveList/finalizers": ["a"] } })),
        Ok(with(json!(["b"])))
    );
    assert_eq!(
        strategic(
            with(json!(["a", "b"])),
            json!({ "metadata": {
                "$deleteFromPrimitiveList/finalizers": ["a"], "$setElementOrder/finalizers": ["c", "b"], "finalizers": ["c"],
            } })
        ),
        Ok(with(json!(["c", "b"])))
    );
}

#[test]
fn element_order_is_kept_as_asked() {
    let names = |list: &[&str]| {
        spec(json!({ "containers": list.iter().map(|name| json!({ "name": name })).collect::<Vec<_>>() }))
    };
    assert_eq!(
        strategic(
            names(&["a", "x", "b"]),
            spec(
                json!({ "$setElementOrder/containers": [{ "name": "b" }, { "name": "c" }, { "name": "a" }], "containers": [{ "name": "c" }] })
            ),
        ),
        Ok(names(&["x", "b", "c", "a"]))
    );
    let wrong = strategic(
        names(&["a"]),
        spec(json!({ "$setElementOrder/containers": [{ "name": "a" }], "containers": [{ "name": "c" }] })),
    );
    assert!(wrong.is_err_and(|(code, message)| code == 400 && message.starts_with("The order in patch list:")));
}

#[test]
fn what_is_new_carries_no_directives() {
    assert_eq!(
        strategic(
            spec(json!({})),
            spec(
                json!({ "containers": [{ "name": "a", "image": null, "env": [{ "name": "e", "$patch": "delete" }] }] })
            )
        ),
        Ok(spec(json!({ "containers": [{ "name": "a", "env": [{ "name": "e" }] }] })))
    );
}

#[test]
fn merge_patches_replace_lists() {
    assert_eq!(
        apply(
            "pods",
            PatchType::Merge,
            spec(json!({ "containers": [{ "name": "a" }], "hostname": "h" })),
            &spec(json!({ "containers": [{ "name": "b" }], "hostname": null })),
        ),
        Ok(spec(json!({ "containers": [{ "name": "b" }] })))
    );
    assert_eq!(apply("pods", PatchType::Merge, json!({}), &json!([])).map_err(|(code, _)| code), Err(400));
}

#[test]
fn json_patches_do_all_or_nothing() {
    let current = || json!({ "data": { "a": "1" } });
    let patch = |operations: Value| apply("configmaps", PatchType::Json, current(), &operations);
    assert_eq!(
        patch(
            json!([{ "op": "test", "path": "/data/a", "value": "1" }, { "op": "add", "path": "/data/b", "value": "2" }])
        ),
        Ok(json!({ "data": { "a": "1", "b": "2" } }))
    );
    let rejected = Err((422, "the server rejected our request due to an error in our request".to_owned()));
    assert_eq!(patch(json!([{ "op": "test", "path": "/data/a", "value": "2" }])), rejected);
    assert_eq!(patch(json!([{ "op": "remove", "path": "/data/x" }])), rejected);
    assert_eq!(patch(json!([{ "op": "fly", "path": "/" }])).map_err(|(code, _)| code), Err(400));
    let many: Vec<Value> = (0..10_001).map(|_| json!({ "op": "test", "path": "/data/a", "value": "1" })).collect();
    assert_eq!(
        patch(Value::Array(many)),
        Err((
            413,
            "Request entity too large: The allowed maximum operations in a JSON patch is 10000, got 10001".into()
        ))
    );
    let doubling: Vec<Value> =
        (0..64).map(|n| json!({ "op": "copy", "from": "", "path": format!("/data/x{n}") })).collect();
    assert_eq!(patch(Value::Array(doubling)), rejected);
}

#[test]
fn an_outcome_that_is_no_object_of_the_kind_is_invalid() {
    let outcome =
        apply("configmaps", PatchType::Merge, json!({ "data": { "a": "1" } }), &json!({ "data": { "a": 1 } }));
    assert_eq!(
        outcome,
        Err((
            422,
            " \"\" is invalid: patch: Invalid value: \"{\\\"data\\\":{\\\"a\\\":1}}\": json: cannot unmarshal number into Go struct field ConfigMap.data of type string".into()
        ))
    );
    let unknown = apply("configmaps", PatchType::Merge, json!({}), &json!({ "foo": 1 }));
    assert_eq!(
        unknown,
        Err((
            422,
            " \"\" is invalid: patch: Invalid value: \"{\\\"foo\\\":1}\": strict decoding error: unknown field \"foo\""
                .into()
        ))
    );
}

proptest! {
    #[test]
    fn patching_twice_is_patching_once(names in proptest::collection::vec("[a-d]", 0..5), more in proptest::collection::vec("[a-d]", 0..5)) {
        let list = |names: &[String]| {
            let mut seen: Vec<&String> = Vec::new();
            for name in names {
                if !seen.contains(&name) {
                    seen.push(name);
                }
            }
            spec(json!({ "containers": seen.iter().map(|name| json!({ "name": name })).collect::<Vec<_>>() }))
        };
        let once = strategic(list(&names), list(&more)).map_err(|error| TestCaseError::fail(error.1))?;
        let twice = strategic(once.clone(), list(&more)).map_err(|error| TestCaseError::fail(error.1))?;
        prop_assert_eq!(once, twice);
    }
}
