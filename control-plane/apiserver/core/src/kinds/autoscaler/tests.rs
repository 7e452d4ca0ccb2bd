use serde_json::{Value, json};

use crate::engine::Updated;
use crate::kinds::testing::{self, context, create, create_errors, try_update};

fn row() -> std::sync::Arc<crate::Resource> {
    testing::row("autoscaling", "horizontalpodautoscalers")
}

fn scaler(changes: &Value) -> Value {
    let mut body = json!({ "spec": { "maxReplicas": 5, "scaleTargetRef": { "apiVersion": "apps/v1", "kind": "Deployment", "name": "web" } } });
    for (name, value) in changes.as_object().into_iter().flatten() {
        body["spec"][name] = value.clone();
    }
    body
}

#[test]
fn a_scaler_watches_the_processor_unless_told_otherwise() {
    let made = create(&row(), scaler(&json!({ "behavior": { "scaleDown": { "selectPolicy": "Min" } } })));
    let spec = made.at(&["spec"]).expect("a spec");
    assert_eq!(spec["minReplicas"], 1);
    assert_eq!(
        spec["metrics"],
        json!([{ "type": "Resource", "resource": { "name": "cpu", "target": { "type": "Utilization", "averageUtilization": 80 } } }])
    );
    assert_eq!(
        spec["behavior"],
        json!({
            "scaleUp": {
                "stabilizationWindowSeconds": 0, "selectPolicy": "Max",
                "policies": [{ "type": "Pods", "value": 4, "periodSeconds": 15 }, { "type": "Percent", "value": 100, "periodSeconds": 15 }],
            },
            "scaleDown": { "selectPolicy": "Min", "policies": [{ "type": "Percent", "value": 100, "periodSeconds": 15 }] },
        })
    );
}

#[test]
fn bounds_targets_and_metrics_are_checked() {
    assert_eq!(
        create_errors(
            &row(),
            json!({ "spec": { "minReplicas": 0, "maxReplicas": 0, "scaleTargetRef": { "name": "a/b" } } })
        ),
        [
            "spec.minReplicas: Invalid value: 0: must be greater than or equal to 1",
            "spec.maxReplicas: Invalid value: 0: must be greater than 0",
            "spec.scaleTargetRef.kind: Required value",
            "spec.scaleTargetRef.name: Invalid value: \"a/b\": may not contain '/'",
        ]
    );
    let metrics = json!([
        { "type": "Resource", "resource": { "name": "cpu", "target": { "type": "Utilization" } } },
        { "type": "Pods", "resource": {} },
        { "type": "External", "external": { "metric": { "name": "q" }, "target": { "type": "Value", "value": "0" } } },
        { "type": "Moon" },
        { "type": "ContainerResource", "containerResource": { "name": "cpu", "target": { "type": "X", "averageUtilization": 0 } } },
    ]);
    assert_eq!(
        create_errors(&row(), scaler(&json!({ "metrics": metrics }))),
        [
            "spec.metrics[0].resource.target.averageUtilization: Required value: must set either a target raw value or a target utilization",
            "spec.metrics[1].pods: Required value: must populate information for the given metric source",
            "spec.metrics[1].resource: Forbidden: must populate the given metric source only",
            "spec.metrics[2].external.target.value: Invalid value: \"0\": must be positive",
            "spec.metrics[3].type: Unsupported value: \"Moon\": supported values: \"ContainerResource\", \"External\", \"Object\", \"Pods\", \"Resource\"",
            "spec.metrics[4].containerResource.container: Required value: must specify a container",
            "spec.metrics[4].containerResource.target.type: Invalid value: \"X\": must be either Utilization, Value, or AverageValue",
            "spec.metrics[4].containerResource.target.averageUtilization: Invalid value: 0: must be greater than 0",
        ]
    );
    let behavior = json!({ "scaleUp": {
        "stabilizationWindowSeconds": 3601, "selectPolicy": "Best", "policies": [{ "type": "Pods", "value": 0, "periodSeconds": 1801 }],
    } });
    assert_eq!(
        create_errors(&row(), scaler(&json!({ "behavior": behavior }))),
        [
            "spec.behavior.scaleUp.stabilizationWindowSeconds: Invalid value: 3601: must be less than or equal to 3600",
            "spec.behavior.scaleUp.selectPolicy: Unsupported value: \"Best\": supported values: \"Disabled\", \"Max\", \"Min\"",
            "spec.behavior.scaleUp.policies[0].value: Invalid value: 0: must be greater than zero",
            "spec.behavior.scaleUp.policies[0].periodSeconds: Invalid value: 1801: must be less than or equal to 1800",
        ]
    );
}

#[test]
fn a_table_shows_what_is_and_what_is_wanted() {
    let made = create(&row(), scaler(&json!({})));
    assert_eq!(
        row().strategy.cells(&made, context().now),
        [json!("a"), json!("Deployment/web"), json!("cpu: <unknown>/80%"), json!("1"), json!(5), json!(0), json!("0s"),]
    );
    let mut known = scaler(&json!({}));
    known["status"] = json!({
        "currentReplicas": 2, "desiredReplicas": 2,
        "currentMetrics": [{ "type": "Resource", "resource": { "name": "cpu", "current": { "averageUtilization": 12 } } }],
    });
    let Ok(Updated::Store(prepared)) = try_update(&row(), Some("status"), scaler(&json!({})), known) else {
        panic!("a valid change")
    };
    let cells = row().strategy.cells(&prepared.object, context().now);
    assert_eq!((&cells[2], &cells[5]), (&json!("cpu: 12%/80%"), &json!(2)));
}
