use kinds::Schema;
use kinds::wire::{self, Message, Slot};
use proptest::prelude::*;
use proptest::strategy::ValueTree as _;
use serde_json::json;

use super::*;

fn field(number: u8, bytes: &[u8]) -> Vec<u8> {
    let mut out = vec![number << 3 | 2];
    let mut length = bytes.len();
    while length >= 0x80 {
        out.push(length as u8 | 0x80);
        length >>= 7;
    }
    out.push(length as u8);
    out.extend_from_slice(bytes);
    out
}

fn envelope(api_version: &str, kind: &str, raw: &[u8]) -> Vec<u8> {
    let meta = [field(1, api_version.as_bytes()), field(2, kind.as_bytes())].concat();
    [MAGIC.to_vec(), field(1, &meta), field(2, raw), field(3, b""), field(4, b"")].concat()
}

fn decode(definition: &str, body: &[u8]) -> Value {
    serde_json::from_slice(&to_json(definition, body).unwrap()).unwrap()
}

#[test]
fn a_config_map_as_kubectl_sends_it() {
    // Go writes strings that are not set as empty, and the zero time as an empty message.
    let metadata = [field(1, b"settings"), field(2, b""), field(3, b"demo"), field(8, b"")].concat();
    let entry = [field(1, b"a"), field(2, b"1")].concat();
    let raw = [field(1, &metadata), field(2, &entry)].concat();
    assert_eq!(
        decode("io.k8s.api.core.v1.ConfigMap", &envelope("v1", "ConfigMap", &raw)),
        json!({ "apiVersion": "v1", "kind": "ConfigMap", "metadata": { "name": "settings", "namespace": "demo" }, "data": { "a": "1" } })
    );
}

#[test]
fn a_pod_with_inlined_volumes_quantities_and_kept_zeros() {
    let source = field(2, &field(6, &[field(1, b"s"), vec![3 << 3, 0]].concat()));
    let volume = [field(1, b"v"), source].concat();
    let limit = [field(1, b"cpu"), field(2, &field(1, b"100m"))].concat();
    let port = [vec![1 << 3, 0], vec![2 << 3, 80], field(3, b"")].concat();
    let probe = field(1, &field(2, &field(2, &port)));
    let container = [field(1, b"c"), field(8, &field(1, &limit)), field(10, &probe)].concat();
    // terminationGracePeriodSeconds and defaultMode were set to 0; hostNetwork: false was not set.
    let spec = [field(1, &volume), field(2, &container), vec![4 << 3, 0], vec![11 << 3, 0]].concat();
    let pod = decode("io.k8s.api.core.v1.Pod", &envelope("v1", "Pod", &field(2, &spec)));
    assert_eq!(
        pod["spec"],
        json!({
            "volumes": [{ "name": "v", "secret": { "secretName": "s", "defaultMode": 0 } }],
            "containers": [{
                "name": "c",
                "resources": { "limits": { "cpu": "100m" } },
                "livenessProbe": { "httpGet": { "port": 80 } },
            }],
            "terminationGracePeriodSeconds": 0,
        })
    );
}

#[test]
fn times_and_bytes_have_their_forms() {
    let mut seconds = 1_751_328_000_u64;
    let mut renewed = vec![1 << 3];
    while seconds >= 0x80 {
        renewed.push((seconds & 0x7f) as u8 | 0x80);
        seconds >>= 7;
    }
    renewed.push(seconds as u8);
    renewed.extend([2 << 3, 0xe8, 0x07]);
    let raw = field(2, &field(4, &renewed));
    let lease = decode("io.k8s.api.coordination.v1.Lease", &envelope("coordination.k8s.io/v1", "Lease", &raw));
    assert_eq!(lease["spec"]["renewTime"], "2025-07-01T00:00:00.000001Z");
    let entry = [field(1, b"k"), field(2, &[0xff, 0x00])].concat();
    let secret = decode("io.k8s.api.core.v1.Secret", &envelope("v1", "Secret", &field(2, &entry)));
    assert_eq!(secret["data"]["k"], "/wA=");
}

#[test]
fn what_is_no_protobuf_is_refused() {
    let definition = "io.k8s.api.core.v1.ConfigMap";
    for body in [b"".as_slice(), b"{}", b"k8s\0\x0a\xff", b"k8s\0\x12\x05ab", b"k8s\0\x00"] {
        assert_eq!(to_json(definition, body).map_err(|status| status.code), Err(400), "{body:?}");
    }
}

proptest! {
    #[test]
    fn any_bytes_end_in_json_or_in_a_refusal(body in proptest::collection::vec(any::<u8>(), 0..300)) {
        for definition in ["io.k8s.api.core.v1.Pod", "io.k8s.api.core.v1.Service", "io.k8s.api.coordination.v1.Lease"] {
            let body = envelope("v1", "X", &body);
            if let Ok(json) = to_json(definition, &body) {
                prop_assert!(serde_json::from_slice::<Value>(&json).is_ok());
            }
        }
    }
}

/// What a message can tell: without nulls, and without zeros that are not told from what is not set.
fn told(definition: &str, value: &Value) -> Value {
    let mut object = value.as_object().cloned().unwrap_or_default();
    forget_zeros(definition, &mut object);
    Value::Object(object)
}

fn forget_zeros(definition: &str, object: &mut Map<String, Value>) {
    fn keeps(message: &Message, wanted: &str) -> Option<bool> {
        message.slots.values().find_map(|slot| match slot {
            Slot::Field { name, keeps_zero } if name == wanted => Some(*keeps_zero),
            Slot::Field { .. } => None,
            Slot::Inline(inner) => keeps(inner, wanted),
        })
    }
    let (Some(message), Some(schema)) = (wire::message(definition), kinds::schemas().get(definition)) else {
        object.clear();
        return;
    };
    let outer = ["apiVersion", "kind"];
    object.retain(|name, value| {
        let Some(keeps) = keeps(message, name) else { return outer.contains(&name.as_str()) && value.is_string() };
        let Some(field) = schema.fields.get(name) else { return false };
        forget_in(&field.schema, value);
        match value {
            Value::Null => false,
            Value::Bool(false) => keeps,
            Value::Number(number) => keeps || number.as_f64() != Some(0.0),
            // An amount or a port is a message of its own, and never empty.
            Value::String(text) => keeps || !text.is_empty(),
            Value::Array(list) => !list.is_empty(),
            Value::Object(map) => !(matches!(field.schema, Schema::Map(_)) && map.is_empty()),
            Value::Bool(true) => true,
        }
    });
}

fn forget_in(schema: &Schema, value: &mut Value) {
    match (schema, value) {
        (Schema::Struct(definition), Value::Object(object)) => forget_zeros(definition, object),
        (Schema::List(inner), Value::Array(list)) => list.iter_mut().for_each(|one| forget_in(inner, one)),
        (Schema::Map(inner), Value::Object(map)) => map.values_mut().for_each(|one| forget_in(inner, one)),
        (Schema::Either(either), Value::Object(object)) => forget_zeros(&either.definition, object),
        (Schema::Either(either), other) => forget_in(&either.other, other),
        _ => {}
    }
}

fn round_trip(definition: &str, tree: &Value) {
    let back = decode(definition, &object(definition, tree));
    assert_eq!(back, told(definition, tree), "{definition}: {tree}");
}

#[test]
fn a_pod_with_everything_comes_back() {
    let pod = json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {
            "name": "web-0", "namespace": "demo", "uid": "3d4f", "resourceVersion": "77", "generation": 3,
            "creationTimestamp": "2026-01-02T03:04:05Z", "deletionGracePeriodSeconds": 0,
            "labels": { "app": "web", "b": "" }, "annotations": { "long": "x".repeat(300) },
            "ownerReferences": [{ "apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "web", "uid": "u", "controller": true }],
            "managedFields": [{
                "manager": "kubectl", "operation": "Apply", "apiVersion": "v1", "time": "2026-01-02T03:04:05Z",
                "fieldsType": "FieldsV1", "fieldsV1": { "f:metadata": { "f:labels": { ".": {}, "f:app": {} } } },
            }],
        },
        "spec": {
            "volumes": [
                { "name": "a", "emptyDir": {} }, { "name": "b", "secret": { "secretName": "s", "defaultMode": 0 } },
                { "name": "c", "projected": { "sources": [{ "configMap": { "name": "m", "items": [{ "key": "k", "path": "p" }] } }] } },
            ],
            "containers": [{
                "name": "c", "image": "example.test/c:1", "command": ["a", "", "c"],
                "ports": [{ "containerPort": 80, "protocol": "TCP" }],
                "env": [{ "name": "E", "valueFrom": { "fieldRef": { "fieldPath": "metadata.name" } } }],
                "resources": { "limits": { "cpu": "100m", "memory": "1Gi" }, "requests": {} },
                "livenessProbe": { "httpGet": { "port": "web", "path": "/" }, "initialDelaySeconds": 5 },
                "readinessProbe": { "tcpSocket": { "port": 8080 } },
                "lifecycle": { "preStop": { "exec": { "command": ["sleep", "1"] } } },
                "securityContext": { "runAsUser": 0, "allowPrivilegeEscalation": false },
            }],
            "terminationGracePeriodSeconds": 0, "nodeSelector": { "x": "y" }, "securityContext": { "supplementalGroups": [1, -1] },
            "tolerations": [{ "operator": "Exists", "tolerationSeconds": 300 }], "overhead": { "cpu": "1" },
            "topologySpreadConstraints": [{ "maxSkew": 1, "topologyKey": "z", "whenUnsatisfiable": "DoNotSchedule" }],
        },
        "status": {
            "phase": "Running", "startTime": "2026-01-02T03:04:05Z", "podIPs": [{ "ip": "10.0.0.1" }],
            "conditions": [{ "type": "Ready", "status": "True", "lastTransitionTime": "2026-01-02T03:04:05Z" }],
            "containerStatuses": [{ "name": "c", "ready": true, "restartCount": 2, "image": "i", "imageID": "d",
                "state": { "running": { "startedAt": "2026-01-02T03:04:05Z" } } }],
        },
    });
    round_trip("io.k8s.api.core.v1.Pod", &pod);
    let message = message("io.k8s.api.core.v1.Pod", pod.as_object().unwrap());
    let metadata = &message[..metadata_length(&message)];
    let wanted = json!({ "metadata": pod["metadata"] });
    assert_eq!(metadata, self::message(PARTIAL, wanted.as_object().unwrap()));
}

#[test]
fn forms_of_their_own_come_back() {
    let secret =
        json!({ "apiVersion": "v1", "kind": "Secret", "data": { "k": "/wA=", "empty": "" }, "type": "Opaque" });
    round_trip("io.k8s.api.core.v1.Secret", &secret);
    let lease = json!({ "spec": { "renewTime": "2025-07-01T00:00:00.000001Z", "leaseTransitions": 0 } });
    round_trip("io.k8s.api.coordination.v1.Lease", &lease);
    // Before the epoch, and between whole seconds.
    let old = json!({ "spec": { "renewTime": "1969-12-31T23:59:58.500000Z" } });
    round_trip("io.k8s.api.coordination.v1.Lease", &old);
    let revision = json!({ "data": { "a": [1, null, { "b": 1.5 }] }, "revision": 4_294_967_296_i64 });
    round_trip("io.k8s.api.apps.v1.ControllerRevision", &revision);
    // An amount of nothing that was set.
    let budget = json!({ "spec": { "minAvailable": 0, "maxUnavailable": "10%" } });
    round_trip("io.k8s.api.policy.v1.PodDisruptionBudget", &budget);
    let review = json!({ "spec": { "user": "ann", "extra": { "scopes": ["a", "b"], "none": [] }, "groups": ["g"] } });
    round_trip("io.k8s.api.authorization.v1.SubjectAccessReview", &review);
    let status = crate::Status::continue_expired(Some("token".into())).to_value();
    round_trip(STATUS, &status);
}

#[test]
fn a_list_is_its_head_and_its_items() {
    let definition = "io.k8s.api.core.v1.ConfigMap";
    let items: Vec<Value> =
        ["a", "b"].map(|name| json!({ "metadata": { "name": name }, "data": { "k": "v".repeat(200) } })).into();
    let messages: Vec<Vec<u8>> = items.iter().map(|item| message(definition, item.as_object().unwrap())).collect();
    let parts: Vec<u8> = messages.iter().flat_map(|one| [item_head(one.len()), one.clone()].concat()).collect();
    let metadata = json!({ "resourceVersion": "9", "continue": "c", "remainingItemCount": 0 });
    let head = list_head("v1", "ConfigMapList", metadata.as_object().unwrap(), parts.len());
    let list = [head, parts, TAIL.to_vec()].concat();
    let wanted = json!({ "apiVersion": "v1", "kind": "ConfigMapList", "metadata": metadata, "items": items });
    assert_eq!(decode("io.k8s.api.core.v1.ConfigMapList", &list), wanted);
    assert_eq!(list, object("io.k8s.api.core.v1.ConfigMapList", &wanted));
}

#[test]
fn a_frame_holds_an_object_behind_its_length() {
    let object = wrap("v1", "ConfigMap", &[]);
    let frame = watch_frame("ADDED", &object);
    let (length, event) = frame.split_first_chunk::<4>().unwrap();
    assert_eq!(u32::from_be_bytes(*length) as usize, event.len());
    assert_eq!(event, [field(1, b"ADDED"), field(2, &field(1, &object))].concat());
}

/// Values of a schema, as deep as `depth`.
fn values(schema: &Schema, depth: u32) -> BoxedStrategy<Value> {
    match schema {
        Schema::Text => "[ -~é]{0,6}".prop_map(Value::from).boxed(),
        Schema::Int32 => any::<i32>().prop_map(Value::from).boxed(),
        Schema::Int64 => any::<i64>().prop_map(Value::from).boxed(),
        Schema::Float => (-1e9..1e9).prop_map(Value::from).boxed(),
        Schema::Flag => any::<bool>().prop_map(Value::from).boxed(),
        Schema::Bytes => {
            use base64::Engine as _;
            let encode = |bytes: Vec<u8>| base64::engine::general_purpose::STANDARD.encode(bytes).into();
            proptest::collection::vec(any::<u8>(), 1..6).prop_map(encode).boxed()
        }
        Schema::Time => (0_i64..4_000_000_000)
            .prop_map(|seconds| crate::time::seconds(jiff::Timestamp::from_second(seconds).unwrap()).into())
            .boxed(),
        Schema::MicroTime => (0_i64..4_000_000_000_000_000)
            .prop_map(|micros| crate::time::micros(jiff::Timestamp::from_microsecond(micros).unwrap()).into())
            .boxed(),
        Schema::Quantity => "[1-9][0-9]{0,3}(m|Ki|Gi)?".prop_map(Value::from).boxed(),
        Schema::IntOrString => {
            prop_oneof![any::<i32>().prop_map(Value::from), "[a-z]{1,5}".prop_map(Value::from)].boxed()
        }
        Schema::Any => Just(json!({ "a": [1, "b", true, null] })).boxed(),
        Schema::List(inner) => proptest::collection::vec(values(inner, depth), 0..3).prop_map(Value::from).boxed(),
        Schema::Map(inner) => proptest::collection::btree_map("[a-z]{1,3}", values(inner, depth), 0..3)
            .prop_map(|map| Value::Object(map.into_iter().collect()))
            .boxed(),
        Schema::Struct(definition) => structs(definition, depth),
        Schema::Either(either) => prop_oneof![structs(&either.definition, depth), other(&either.other, depth)].boxed(),
    }
}

/// The other form of a value with two: a list that says something.
fn other(schema: &Schema, depth: u32) -> BoxedStrategy<Value> {
    let says = |value: &Value| value.as_array().is_none_or(|list| !list.is_empty());
    values(schema, depth).prop_filter("an empty list is none", says).boxed()
}

/// Objects of a definition with some of its fields.
fn structs(definition: &str, depth: u32) -> BoxedStrategy<Value> {
    let (Some(_), Some(schema), Some(depth)) =
        (wire::message(definition), kinds::schemas().get(definition), depth.checked_sub(1))
    else {
        return Just(json!({})).boxed();
    };
    let fields: Vec<(&'static str, &'static Schema)> =
        schema.fields.iter().map(|(name, field)| (name.as_str(), &field.schema)).collect();
    proptest::sample::subsequence(fields.clone(), 0..=fields.len().min(4))
        .prop_flat_map(move |some| {
            some.into_iter().map(|(name, schema)| (Just(name.to_owned()), values(schema, depth))).collect::<Vec<_>>()
        })
        .prop_map(|fields| Value::Object(fields.into_iter().collect()))
        .boxed()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(20))]

    #[test]
    fn any_object_of_any_kind_comes_back(row in proptest::sample::select(kinds::resources()), seed in any::<u64>()) {
        let mut runner = proptest::test_runner::TestRunner::new_with_rng(
            ProptestConfig::default(),
            proptest::test_runner::TestRng::from_seed(
                proptest::test_runner::RngAlgorithm::ChaCha,
                &[seed.to_le_bytes(); 4].concat(),
            ),
        );
        let made = structs(&row.definition, 5).new_tree(&mut runner).unwrap().current();
        let mut made = made;
        for name in ["apiVersion", "kind"] {
            made.as_object_mut().unwrap().remove(name);
        }
        round_trip(&row.definition, &made);
    }
}
