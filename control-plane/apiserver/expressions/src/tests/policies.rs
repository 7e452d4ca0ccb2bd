//! Policies.

use serde_json::{Value as Json, json};

use super::{deployment, inputs};
use crate::environments::{self, Types};
use crate::policy::{
    AuditAnnotation, Decision, Evaluation, MutatingPolicy, Patch, ValidatingPolicy, invalid, type_check,
};

fn request() -> Json {
    let user = json!({"username": "jane", "groups": ["dev"]});
    json!({"operation": "CREATE", "name": "web", "namespace": "default", "userInfo": user})
}

fn evaluate(spec: &Json) -> Evaluation {
    let (object, request, params) = (deployment(), request(), json!({"most": 5}));
    ValidatingPolicy::compile(spec).evaluate(&inputs(&object, &request, Some(&params)))
}

fn denied(message: &str) -> Decision {
    Decision::Deny { reason: "Invalid".into(), message: message.into() }
}

#[test]
fn validations_decide() {
    let said = evaluate(&json!({
        "paramKind": {"apiVersion": "v1", "kind": "ConfigMap"},
        "variables": [
            {"name": "replicas", "expression": "object.spec.replicas"},
            {"name": "doubled", "expression": "variables.replicas * 2"},
        ],
        "validations": [
            {"expression": "variables.replicas > 0"},
            {"expression": " variables.replicas <= params.most "},
            {"expression": "variables.doubled < 10", "message": " too many "},
            {"expression": "false", "messageExpression": "'has ' + string(variables.doubled)", "reason": "Forbidden"},
            {"expression": "false", "messageExpression": "string(object.nowhere)", "message": "fallen back"},
            {"expression": "object.spec.template.spec.containers.all(c, has(c.resources.limits) && \
                            quantity(c.resources.limits.cpu).isLessThan(quantity('1')))"},
            {"expression": "request.userInfo.username == 'jane' && 'dev' in request.userInfo.groups"},
            {"expression": "oldObject == null && namespaceObject == null"},
            {"expression": "authorizer.requestResource.check('get').allowed()"},
            {"expression": "has(variables.replicas) && has(authorizer.requestResource)"},
        ],
        "auditAnnotations": [
            {"key": "replicas", "valueExpression": "string(variables.replicas)"},
            {"key": "none", "valueExpression": "null"},
        ],
    }));
    assert_eq!(
        said.decisions,
        [
            Decision::Admit,
            denied("failed expression: variables.replicas <= params.most"),
            denied("too many"),
            Decision::Deny { reason: "Forbidden".into(), message: "has 14".into() },
            denied("fallen back"),
            Decision::Admit,
            Decision::Admit,
            Decision::Admit,
            Decision::Admit,
            Decision::Admit,
        ]
    );
    assert_eq!(
        said.annotations,
        [
            AuditAnnotation { key: "replicas".into(), value: Ok(Some("7".into())) },
            AuditAnnotation { key: "none".into(), value: Ok(None) },
        ]
    );
    assert_eq!(
        Decision::denial("few", Some("all"), "too many"),
        "ValidatingAdmissionPolicy 'few' with binding 'all' denied request: too many"
    );
}

#[test]
fn failures_deny_or_not_by_the_policy() {
    let decisions = evaluate(&json!({
        "failurePolicy": "Ignore",
        "variables": [{"name": "v", "expression": "object.nowhere"}, {"name": "w", "expression": "1 +"}],
        "validations": [
            {"expression": "object.nowhere == 1"},
            {"expression": "variables.v == 1"},
            {"expression": "variables.w == 1"},
            {"expression": "nowhere"},
        ],
    }))
    .decisions;
    let failed = |message: &str| Decision::Failed { denies: false, message: message.into() };
    assert_eq!(decisions[0], failed("expression 'object.nowhere == 1' resulted in error: no such key: nowhere"));
    assert_eq!(
        decisions[1],
        failed(
            "expression 'variables.v == 1' resulted in error: composited variable \"v\" fails to evaluate: no such key: \
             nowhere"
        )
    );
    let uncompiled = "composited variable \"w\" fails to compile: compilation failed: ERROR: <input>:1:4: Syntax";
    assert!(matches!(&decisions[2], Decision::Failed { message, .. } if message.contains(uncompiled)));
    assert_eq!(
        decisions[3],
        failed(
            "compilation error: compilation failed: ERROR: <input>:1:1: undeclared reference to 'nowhere' (in container \
             '')\n | nowhere\n | ^"
        )
    );
}

#[test]
fn match_conditions_come_first() {
    let spec = |conditions: &[&str]| {
        let conditions: Vec<_> = conditions.iter().map(|text| json!({"name": "a", "expression": text})).collect();
        json!({"matchConditions": conditions, "validations": [{"expression": "false"}]})
    };
    assert_eq!(evaluate(&spec(&["request.operation == 'CREATE'"])).decisions, [denied("failed expression: false")]);
    assert_eq!(evaluate(&spec(&["object.nowhere == 1", "false"])), Evaluation::default());
    let message = "expression 'object.nowhere == 1' resulted in error: no such key: nowhere".to_owned();
    let failed = Decision::Failed { denies: true, message };
    assert_eq!(evaluate(&spec(&["object.nowhere == 1"])).decisions, [failed]);
}

#[test]
fn budgets_end_evaluations() {
    let costly = (0..5).fold("true".to_owned(), |inner, at| format!("[0,1,2,3,4,5,6,7,8,9].all(x{at}, {inner})"));
    let validations = vec![json!({"expression": costly}); 40];
    let message = "validation failed due to running out of cost budget, no further validation rules will be run";
    assert_eq!(
        evaluate(&json!({"validations": validations})).decisions,
        [Decision::Failed { denies: true, message: message.into() }]
    );
}

#[test]
fn mutations_are_patches() {
    let (object, request) = (deployment(), request());
    let apply = |text: &str| json!({"patchType": "ApplyConfiguration", "applyConfiguration": {"expression": text}});
    let patch = |text: &str| json!({"patchType": "JSONPatch", "jsonPatch": {"expression": text}});
    let spec = json!({
        "variables": [{"name": "sidecar", "expression": "'proxy'"}],
        "mutations": [
            apply("Object{spec: Object.spec{replicas: object.spec.replicas + 1, template: Object.spec.template{\
                   metadata: Object.spec.template.metadata{labels: {'x': variables.sidecar}}}}}"),
            patch("[JSONPatch{op: 'add', path: '/metadata/annotations/' + jsonpatch.escapeKey('a/b~c'), value: 'x'},\
                   JSONPatch{op: 'test', path: '/spec', value: Object.spec{replicas: 1}}]"),
            apply("Object{spec: Object.specx{replicas: 1}}"),
            patch("[JSONPatch{op: 'boil', path: '/spec'}]"),
        ],
    });
    let policy = MutatingPolicy::compile(&spec);
    let inputs = inputs(&object, &request, None);
    assert_eq!((policy.mutations(), policy.fails(), policy.matches(&inputs)), (4, true, Ok(true)));
    let template = json!({"metadata": {"labels": {"x": "proxy"}}});
    assert_eq!(policy.patch(0, &inputs), Ok(Patch::Apply(json!({"spec": {"replicas": 8, "template": template}}))));
    assert_eq!(
        policy.patch(1, &inputs),
        Ok(Patch::Json(vec![
            json!({"op": "add", "path": "/metadata/annotations/a~1b~0c", "value": "x"}),
            json!({"op": "test", "path": "/spec", "value": {"replicas": 1}}),
        ]))
    );
    let wrong = "type mismatch: unexpected type name \"Object.specx\", expected \"Object.spec\", which matches field name \
                 path from root Object type";
    assert_eq!(policy.patch(2, &inputs), Err(wrong.into()));
    assert!(policy.patch(3, &inputs).is_err());
}

#[test]
fn what_does_not_compile_is_told_by_its_field() {
    let found = invalid(&json!({
        "matchConditions": [{"name": "a", "expression": "params.x == 1"}],
        "variables": [{"name": "v", "expression": "1 + 'a'"}, {"name": "w", "expression": "'a'"}],
        "validations": [
            {"expression": "object.x == y"},
            {"expression": "variables.w", "messageExpression": "1"},
            {"expression": "variables.v == 1"},
            {"expression": "variables.w == 'a' && request.operation == 'CREATE' && object.spec.x == 1"},
        ],
        "auditAnnotations": [{"key": "k", "valueExpression": "1"}],
    }));
    let found: Vec<_> =
        found.iter().map(|one| format!("{}: {}", one.field, one.detail.lines().next().unwrap_or_default())).collect();
    let wanted = [
        "spec.matchConditions[0].expression: compilation failed: ERROR: <input>:1:1: undeclared reference to 'params' (in \
         container '')",
        "spec.variables[0].expression: compilation failed: ERROR: <input>:1:3: found no matching overload for '_+_' applied \
         to '(int, string)'",
        "spec.validations[0].expression: compilation failed: ERROR: <input>:1:13: undeclared reference to 'y' (in container \
         '')",
        "spec.validations[1].expression: must evaluate to bool but got string",
        "spec.validations[1].messageExpression: must evaluate to string but got int",
        "spec.validations[2].expression: compilation failed: ERROR: <input>:1:10: undefined field 'v'",
        "spec.auditAnnotations[0].valueExpression: must evaluate to one of [string null_type] but got int",
    ];
    assert_eq!(found, wanted);
}

#[test]
fn types_are_checked_for_warnings() {
    let spec = json!({"type": "object", "properties": {"replicas": {"type": "integer"}}});
    let schema = json!({"type": "object", "properties": {"spec": spec}});
    let mut types = Types::default();
    let of = environments::declare("Deployment", &schema, &mut types);
    let spec = json!({"validations": [
        {"expression": "object.spec.replicas > 1"},
        {"expression": "object.spec.replicas > '1'"},
        {"expression": "object.spec.foo == 1"},
    ]});
    let warnings = type_check(&spec, &[("apps/v1, Kind=Deployment".into(), of, types)]);
    let told: Vec<_> = warnings.iter().map(|one| (one.field_ref.as_str(), one.warning.as_str())).collect();
    assert_eq!(
        told,
        [
            (
                "spec.validations[1].expression",
                "apps/v1, Kind=Deployment: ERROR: <input>:1:22: found no matching overload for '_>_' applied to '(int, \
                 string)'\n | object.spec.replicas > '1'\n | .....................^\n"
            ),
            (
                "spec.validations[2].expression",
                "apps/v1, Kind=Deployment: ERROR: <input>:1:12: undefined field 'foo'\n | object.spec.foo == 1\n | \
                 ...........^\n"
            ),
        ]
    );
}
