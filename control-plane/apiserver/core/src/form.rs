//! The form of objects that clients rely on: what upstream's types write even when nobody set it is there.
//!
//! Clients with strict types (generated from the same definitions) refuse objects that lack a required number or flag. Lists that
//! nobody set, and times that are no pointers upstream, are null.

use kinds::{Schema, schemas};
use serde_json::Value;

use crate::object::Object;

/// Fills in the zeros, the empty parts and the nulls that are always written (see [`kinds::Struct::written`]), wherever their owner is there.
pub(crate) fn complete(definition: &str, object: &mut Object) {
    members(definition, object.map_mut());
}

fn members(definition: &str, object: &mut serde_json::Map<String, Value>) {
    let Some(owner) = schemas().get(definition) else { return };
    for (name, value) in &owner.written {
        if !object.contains_key(name) {
            object.insert(name.clone(), value.clone());
        }
    }
    for (name, value) in object.iter_mut() {
        if let (Some(field), true) = (owner.fields.get(name), matches!(value, Value::Object(_) | Value::Array(_))) {
            within(&field.schema, value);
        }
    }
}

fn within(schema: &Schema, value: &mut Value) {
    match (schema, value) {
        (Schema::Struct(definition), Value::Object(object)) => members(definition, object),
        (Schema::Either(either), Value::Object(object)) => members(&either.definition, object),
        (Schema::Either(either), other) => within(&either.other, other),
        (Schema::List(items), Value::Array(values)) => values.iter_mut().for_each(|value| within(items, value)),
        (Schema::Map(values), Value::Object(object)) => object.values_mut().for_each(|value| within(values, value)),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn completed(definition: &str, object: Value) -> Value {
        let mut object = Object::from_value(object).unwrap();
        complete(definition, &mut object);
        object.into_value()
    }

    #[test]
    fn required_zeros_and_empty_parts_are_written() {
        let set = completed("io.k8s.api.apps.v1.DaemonSet", json!({ "spec": { "template": { "spec": {} } } }));
        assert_eq!(
            set,
            json!({
                "metadata": {},
                "spec": { "template": { "metadata": {}, "spec": {} }, "updateStrategy": {} },
                "status": {
                    "currentNumberScheduled": 0, "desiredNumberScheduled": 0, "numberMisscheduled": 0, "numberReady": 0,
                },
            })
        );
        let class = completed("io.k8s.api.scheduling.v1.PriorityClass", json!({ "metadata": { "name": "a" } }));
        assert_eq!(class, json!({ "metadata": { "name": "a" }, "value": 0 }));
    }

    #[test]
    fn pointers_and_what_is_there_stay_as_they_are() {
        let spec = json!({ "replicas": 0, "selector": { "matchLabels": { "a": "b" } } });
        let set = completed(
            "io.k8s.api.apps.v1.ReplicaSet",
            json!({ "metadata": {}, "spec": spec, "status": { "replicas": 3 } }),
        );
        assert_eq!((&set["spec"]["replicas"], &set["status"]), (&json!(0), &json!({ "replicas": 3 })));
        assert_eq!(set["spec"].get("minReadySeconds"), None);
        let secret = completed("io.k8s.api.core.v1.Secret", json!({ "metadata": {} }));
        assert_eq!(secret, json!({ "metadata": {} }));
    }

    #[test]
    fn lists_and_times_that_nobody_set_are_null() {
        let role = completed("io.k8s.api.rbac.v1.Role", json!({ "metadata": {} }));
        assert_eq!(role, json!({ "metadata": {}, "rules": null }));
        let rules = json!([{ "verbs": ["get"] }]);
        let role = completed("io.k8s.api.rbac.v1.Role", json!({ "metadata": {}, "rules": rules }));
        assert_eq!(role["rules"], rules);
        let condition = json!({ "type": "Ready", "status": "True", "lastTransitionTime": "2026-08-01T10:00:00Z" });
        let pod = completed("io.k8s.api.core.v1.Pod", json!({ "status": { "conditions": [condition] } }));
        let seen = &pod["status"]["conditions"][0];
        assert_eq!(
            (seen.get("lastProbeTime"), &seen["lastTransitionTime"]),
            (Some(&Value::Null), &condition["lastTransitionTime"])
        );
    }

    #[test]
    fn twice_is_as_good_as_once() {
        let node = completed("io.k8s.api.core.v1.Node", json!({}));
        assert_eq!(node["status"]["daemonEndpoints"], json!({ "kubeletEndpoint": { "Port": 0 } }));
        assert_eq!(completed("io.k8s.api.core.v1.Node", node.clone()), node);
    }
}
