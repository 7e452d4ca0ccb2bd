use super::*;
use crate::engine::Updated;
use crate::kinds::testing::{context, object, try_create, try_update};
use crate::registry::Registry;

fn row() -> std::sync::Arc<crate::Resource> {
    Registry::built_in().lookup("autoscaling", "v1", "horizontalpodautoscalers").expect("served").clone()
}

fn body(spec: &Value) -> Value {
    let mut body = json!({ "spec": { "maxReplicas": 5, "scaleTargetRef": { "kind": "Deployment", "name": "web" } } });
    for (name, value) in spec.as_object().into_iter().flatten() {
        body["spec"][name] = value.clone();
    }
    body
}

#[test]
fn a_target_for_the_processor_is_a_metric_when_stored() {
    let made = try_create(&row(), body(&json!({ "targetCPUUtilizationPercentage": 60 }))).expect("valid");
    assert_eq!(made.integer(&["spec", "minReplicas"]), Some(1));
    let mut kept = made.clone();
    row().strategy.to_stored(&mut kept);
    assert_eq!(kept.api_version(), Some("autoscaling/v2"));
    assert_eq!(
        kept.at(&["spec", "metrics"]),
        Some(
            &json!([{ "type": "Resource", "resource": { "name": "cpu", "target": { "type": "Utilization", "averageUtilization": 60 } } }])
        )
    );
    row().strategy.to_served(&mut kept);
    assert_eq!(kept, made);
}

#[test]
fn what_the_first_version_cannot_say_comes_back_whole() {
    let mut second = object(
        &row(),
        body(&json!({
            "metrics": [
                { "type": "Resource", "resource": { "name": "cpu", "target": { "type": "Utilization", "averageUtilization": 50 } } },
                { "type": "Object", "object": {
                    "describedObject": { "kind": "Service", "name": "s" }, "metric": { "name": "hits", "selector": { "matchLabels": { "a": "b" } } },
                    "target": { "type": "AverageValue", "averageValue": "7" },
                } },
                { "type": "External", "external": { "metric": { "name": "queue" }, "target": { "type": "Value", "value": "30" } } },
            ],
            "behavior": { "scaleDown": { "stabilizationWindowSeconds": 60, "policies": [{ "type": "Pods", "value": 1, "periodSeconds": 15 }] } },
        })),
    );
    second.set(&["apiVersion"], "autoscaling/v2");
    second.set(&["status"], json!({
        "currentReplicas": 2, "desiredReplicas": 3,
        "currentMetrics": [{ "type": "Resource", "resource": { "name": "cpu", "current": { "averageUtilization": 40, "averageValue": "20m" } } }],
        "conditions": [{ "type": "AbleToScale", "status": "True" }],
    }));
    let mut first = second.clone();
    to_first(&mut first);
    assert_eq!(first.integer(&["spec", "targetCPUUtilizationPercentage"]), Some(50));
    assert_eq!(first.integer(&["status", "currentCPUUtilizationPercentage"]), Some(40));
    let behavior = first.text(&["metadata", "annotations", BEHAVIOR]).expect("an annotation");
    assert!(behavior.starts_with("{\"ScaleDown\":"), "{behavior}");
    let metrics: Value =
        serde_json::from_str(first.text(&["metadata", "annotations", METRICS]).expect("one")).expect("JSON");
    assert_eq!(metrics[0]["object"]["metricName"], "hits");
    assert_eq!(metrics[1]["external"]["targetValue"], "30");
    to_second(&mut first);
    assert_eq!(first, second);
}

#[test]
fn mistakes_are_named_as_in_the_second_version() {
    let refused = try_create(&row(), body(&json!({ "maxReplicas": 0 }))).expect_err("invalid");
    assert!(
        refused.message.contains("spec.maxReplicas: Invalid value: 0: must be greater than 0"),
        "{}",
        refused.message
    );
}

#[test]
fn annotations_of_the_status_are_not_the_users() {
    let mut new = body(&json!({}));
    new["metadata"] = json!({ "annotations": { (CONDITIONS): "[{\"type\":\"X\",\"status\":\"True\"}]" } });
    let Ok(Updated::Unchanged(_)) = try_update(&row(), None, body(&json!({})), new) else { panic!("changed") };
    assert_eq!(
        row().strategy.cells(&try_create(&row(), body(&json!({}))).expect("valid"), context().now)[1],
        "Deployment/web"
    );
}
