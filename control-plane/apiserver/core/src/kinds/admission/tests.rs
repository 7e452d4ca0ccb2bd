use serde_json::{Value, json};

use crate::kinds::testing::{context, create, create_errors, row, update_errors};

const GROUP: &str = "admissionregistration.k8s.io";

fn rule() -> Value {
    json!({ "operations": ["CREATE"], "apiGroups": [""], "apiVersions": ["v1"], "resources": ["pods"] })
}

fn hook(more: &Value) -> Value {
    let mut hook = json!({
        "name": "a.example.com", "sideEffects": "None", "admissionReviewVersions": ["v1"], "rules": [rule()],
        "clientConfig": { "service": { "name": "s", "namespace": "n", "path": "/check" } },
    });
    for (name, value) in more.as_object().into_iter().flatten() {
        hook[name] = value.clone();
    }
    json!({ "webhooks": [hook] })
}

#[test]
fn a_webhook_is_filled_in() {
    let made = create(&row(GROUP, "mutatingwebhookconfigurations"), hook(&json!({})));
    let hook = &made.list(&["webhooks"])[0];
    for (name, value) in [
        ("failurePolicy", json!("Fail")),
        ("matchPolicy", json!("Equivalent")),
        ("namespaceSelector", json!({})),
        ("objectSelector", json!({})),
        ("timeoutSeconds", json!(10)),
        ("reinvocationPolicy", json!("Never")),
    ] {
        assert_eq!(hook[name], value, "{name}");
    }
    assert_eq!((&hook["rules"][0]["scope"], &hook["clientConfig"]["service"]["port"]), (&json!("*"), &json!(443)));
    assert_eq!(made.generation(), Some(1));
    let validating = row(GROUP, "validatingwebhookconfigurations");
    assert_eq!(validating.strategy.cells(&made, context().now), [json!("a"), json!(1), json!("0s")]);
}

#[test]
fn mistakes_of_a_webhook_are_named() {
    let row = row(GROUP, "validatingwebhookconfigurations");
    for (more, message) in [
        (
            json!({ "name": "a.b" }),
            "webhooks[0].name: Invalid value: \"a.b\": should be a domain with at least three segments separated by dots",
        ),
        (
            json!({ "sideEffects": "Some" }),
            "webhooks[0].sideEffects: Unsupported value: \"Some\": supported values: \"None\", \"NoneOnDryRun\"",
        ),
        (
            json!({ "timeoutSeconds": 31 }),
            "webhooks[0].timeoutSeconds: Invalid value: 31: the timeout value must be between 1 and 30 seconds",
        ),
        (
            json!({ "clientConfig": {} }),
            "webhooks[0].clientConfig: Required value: exactly one of url or service is required",
        ),
        (
            json!({ "clientConfig": { "url": "http://x" } }),
            "webhooks[0].clientConfig.url: Invalid value: \"http\": 'https' is the only allowed URL scheme; desired format: https://host[/path]",
        ),
        (
            json!({ "clientConfig": { "url": "https://x/?a=b" } }),
            "webhooks[0].clientConfig.url: Invalid value: \"a=b\": query parameters are not permitted in the URL",
        ),
        (
            json!({ "admissionReviewVersions": ["v9"] }),
            "webhooks[0].admissionReviewVersions: Invalid value: [\"v9\"]: must include at least one of v1, v1beta1",
        ),
        (
            json!({ "rules": [{ "operations": ["GET"], "apiGroups": ["*"], "apiVersions": ["v1"], "resources": ["pods/*", "pods/log"] }] }),
            "webhooks[0].rules[0].operations[0]: Unsupported value: \"GET\": supported values: \"*\", \"CONNECT\", \"CREATE\", \"DELETE\", \"UPDATE\"",
        ),
        (
            json!({ "matchConditions": [{ "name": "a", "expression": "true" }, { "name": "a", "expression": " " }] }),
            "webhooks[0].matchConditions[1].expression: Required value",
        ),
    ] {
        assert_eq!(create_errors(&row, hook(&more)).first().map(String::as_str), Some(message));
    }
}

fn policy(more: &Value) -> Value {
    let mut policy = json!({ "spec": {
        "matchConstraints": { "resourceRules": [rule()] }, "validations": [{ "expression": "object.spec.replicas < 5" }],
    } });
    for (name, value) in more.as_object().into_iter().flatten() {
        policy["spec"][name] = value.clone();
    }
    policy
}

#[test]
fn a_policy_is_filled_in_and_counted() {
    let row = row(GROUP, "validatingadmissionpolicies");
    let made = create(&row, policy(&json!({ "paramKind": { "apiVersion": "v1", "kind": "ConfigMap" } })));
    assert_eq!(made.text(&["spec", "failurePolicy"]), Some("Fail"));
    assert_eq!(made.text(&["spec", "matchConstraints", "matchPolicy"]), Some("Equivalent"));
    assert_eq!(row.strategy.cells(&made, context().now), [json!("a"), json!(1), json!("v1/ConfigMap"), json!("0s")]);
    assert!(update_errors(&row, None, policy(&json!({})), policy(&json!({ "failurePolicy": "Ignore" }))).is_empty());
}

#[test]
fn mistakes_of_a_policy_are_named() {
    let row = row(GROUP, "validatingadmissionpolicies");
    for (more, message) in [
        (json!({ "matchConstraints": null }), "spec.matchConstraints: Required value"),
        (json!({ "matchConstraints": {} }), "spec.matchConstraints.resourceRules: Required value"),
        (
            json!({ "validations": [] }),
            "spec.validations: Required value: validations or auditAnnotations must contain at least one item",
        ),
        (
            json!({ "validations": [{ "expression": "true", "reason": "Because" }] }),
            "spec.validations[0].reason: Unsupported value: \"Because\": supported values: \"Forbidden\", \"Invalid\", \"RequestEntityTooLarge\"",
        ),
        (
            json!({ "variables": [{ "name": "in", "expression": "1" }] }),
            "spec.variables[0].name: Invalid value: \"in\": name is not a valid CEL identifier",
        ),
        (
            json!({ "paramKind": { "apiVersion": "a/b/c", "kind": "K" } }),
            "spec.paramKind.apiVersion: Invalid value: \"a/b/c\": unexpected GroupVersion string: a/b/c",
        ),
    ] {
        assert_eq!(create_errors(&row, policy(&more)).first().map(String::as_str), Some(message));
    }
}

#[test]
fn a_mutating_policy_mutates_in_one_way() {
    let row = row(GROUP, "mutatingadmissionpolicies");
    let with = |mutation: Value| json!({ "spec": { "matchConstraints": { "resourceRules": [rule()] }, "mutations": [mutation] } });
    let made = create(&row, with(json!({ "patchType": "JSONPatch", "jsonPatch": { "expression": "[]" } })));
    assert_eq!(made.text(&["spec", "reinvocationPolicy"]), Some("Never"));
    assert_eq!(
        create_errors(&row, with(json!({ "patchType": "Guess" }))),
        [
            "spec.mutations[0].patchType: Unsupported value: \"Guess\": supported values: \"ApplyConfiguration\", \"JSONPatch\""
        ]
    );
    assert_eq!(create_errors(&row, with(json!({ "patchType": "JSONPatch" }))).len(), 1);
}

#[test]
fn a_binding_names_a_policy_and_what_to_do() {
    let row = row(GROUP, "validatingadmissionpolicybindings");
    let made = create(
        &row,
        json!({ "spec": {
        "policyName": "p", "validationActions": ["Deny"], "paramRef": { "name": "c", "namespace": "n", "parameterNotFoundAction": "Deny" },
    } }),
    );
    assert_eq!(row.strategy.cells(&made, context().now)[1..3], [json!("p"), json!("n/c")]);
    assert_eq!(
        create_errors(&row, json!({ "spec": { "validationActions": ["Deny", "Warn"], "paramRef": {} } })),
        [
            "spec.policyName: Required value",
            "spec.paramRef: Required value: one of name or selector must be specified",
            "spec.paramRef.parameterNotFoundAction: Required value",
            "spec.validationActions: Invalid value: [\"Deny\",\"Warn\"]: must not contain both Deny and Warn (repeating the same validation failure information in the API response and headers serves no purpose)",
        ]
    );
}
