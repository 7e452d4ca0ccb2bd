use serde_json::json;

use super::*;

fn read(mut rest: Value) -> Result<Policy, Error> {
    rest["apiVersion"] = json!("audit.k8s.io/v1");
    rest["kind"] = json!("Policy");
    Policy::read(&rest.to_string())
}

fn resource<'a>(group: &'a str, resource: &'a str, subresource: &'a str, name: &'a str) -> Resource<'a> {
    Resource { group, resource, subresource, namespace: "n", name }
}

/// Whether a rule fits a request; the rule has level Request.
fn fits(mut rule: Value, request: &Attributes<'_>) -> bool {
    rule["level"] = json!("Request");
    read(json!({"rules": [rule]})).expect("a good rule").plan(request).level == Level::Request
}

#[test]
fn users_groups_and_verbs_all_have_to_fit() {
    let groups = ["a".to_owned(), "b".to_owned()];
    let request = Attributes { user: "u", groups: &groups, verb: "get", resource: None, path: "/version" };
    for (rule, expected) in [
        (json!({}), true),
        (json!({"users": ["v", "u"]}), true),
        (json!({"users": ["v"]}), false),
        (json!({"userGroups": ["b", "c"]}), true),
        (json!({"userGroups": ["c"]}), false),
        (json!({"users": ["u"], "userGroups": ["c"]}), false),
        (json!({"verbs": ["list", "get"]}), true),
        (json!({"verbs": ["list"], "users": ["u"]}), false),
        (json!({"namespaces": [""]}), false),
        (json!({"resources": [{}]}), false),
    ] {
        assert_eq!(fits(rule.clone(), &request), expected, "{rule}");
    }
}

#[test]
fn paths_fit_whole_or_by_their_start() {
    for (url, path, expected) in [
        ("/healthz", "/healthz", true),
        ("/healthz", "/healthz/ping", false),
        ("/healthz*", "/healthz/ping", true),
        ("/healthz/*", "/healthz", false),
        ("*", "/anything", true),
        ("/*", "/anything", true),
    ] {
        let request = Attributes { user: "", groups: &[], verb: "get", resource: None, path };
        assert_eq!(fits(json!({"nonResourceURLs": [url]}), &request), expected, "{url} of {path}");
        let about = Attributes { resource: Some(resource("", "pods", "", "")), ..request };
        assert!(!fits(json!({"nonResourceURLs": [url]}), &about), "a resource has no path");
    }
}

#[test]
fn resources_fit_by_group_name_and_subresource() {
    let (pods, log, scale) = (
        resource("", "pods", "", "p"),
        resource("", "pods", "log", "p"),
        resource("apps", "deployments", "scale", "d"),
    );
    for (rule, asked, expected) in [
        (json!([{}]), pods, true),
        (json!([{"group": "apps"}]), pods, false),
        (json!([{"group": "apps"}]), scale, true),
        (json!([{"resources": ["pods"]}]), pods, true),
        (json!([{"resources": ["pods"]}]), log, false),
        (json!([{"resources": ["pods/log"]}]), log, true),
        (json!([{"resources": ["pods/log"]}]), pods, false),
        (json!([{"resources": ["pods/*"]}]), log, true),
        (json!([{"resources": ["pods/*"]}]), pods, true),
        (json!([{"resources": ["*/log"]}]), log, true),
        (json!([{"resources": ["*/log"]}]), pods, false),
        (json!([{"resources": ["*"]}]), log, true),
        (json!([{"group": "apps", "resources": ["*/scale"]}]), scale, true),
        (json!([{"resources": ["pods"], "resourceNames": ["p"]}]), pods, true),
        (json!([{"resources": ["pods"], "resourceNames": ["q"]}]), pods, false),
        (json!([{"group": "apps"}, {"resources": ["services", "pods"]}]), pods, true),
    ] {
        let request = Attributes { user: "", groups: &[], verb: "get", resource: Some(asked), path: "" };
        assert_eq!(fits(json!({"resources": rule}), &request), expected, "{rule} of {asked:?}");
        assert!(!fits(json!({"resources": rule, "namespaces": ["m"]}), &request), "another namespace");
        assert_eq!(fits(json!({"resources": rule, "namespaces": ["m", "n"]}), &request), expected, "{rule}");
    }
    let cluster = Resource { namespace: "", ..resource("", "nodes", "", "") };
    let request = Attributes { user: "", groups: &[], verb: "get", resource: Some(cluster), path: "" };
    assert!(fits(json!({"namespaces": [""]}), &request));
}

#[test]
fn the_first_rule_that_fits_is_the_plan() {
    let policy = read(json!({
        "metadata": {"name": "x"},
        "omitStages": ["RequestReceived"],
        "omitManagedFields": true,
        "rules": [
            {"level": "None", "users": ["quiet"]},
            {"level": "RequestResponse", "verbs": ["create"], "omitStages": ["Panic"], "omitManagedFields": false},
            {"level": "Metadata", "verbs": ["create", "get"]},
        ],
    }))
    .expect("a good policy");
    let plan = |user, verb| policy.plan(&Attributes { user, groups: &[], verb, resource: None, path: "/" });
    let omitted = |plan: Plan| {
        [Stage::RequestReceived, Stage::ResponseStarted, Stage::ResponseComplete, Stage::Panic]
            .map(|stage| plan.omit_stages.contains(stage))
    };
    for (user, verb, level, managed, stages) in [
        ("quiet", "create", Level::None, true, [true, false, false, false]),
        ("u", "create", Level::RequestResponse, false, [true, false, false, true]),
        ("u", "get", Level::Metadata, true, [true, false, false, false]),
        ("u", "list", Level::None, true, [true, false, false, false]),
    ] {
        let plan = plan(user, verb);
        assert_eq!((plan.level, plan.omit_managed_fields, omitted(plan)), (level, managed, stages), "{user} {verb}");
    }
}

#[test]
fn mistakes_are_named() {
    let stages = "allowed stages are RequestReceived,ResponseStarted,ResponseComplete,Panic";
    let error = read(json!({
        "omitStages": ["Never"],
        "rules": [
            {},
            {"level": "All"},
            {"level": "None", "nonResourceURLs": ["version", "/a*b", "*", "/ok*"], "namespaces": ["n"]},
            {"level": "None", "resources": [{"group": "Apps/v1"}, {"resourceNames": ["x"]}], "omitStages": ["Panic", "panic"]},
        ],
    }))
    .expect_err("many mistakes");
    let Error::Invalid(errors) = error else { panic!("{error}") };
    let texts: Vec<String> = errors.as_slice().iter().map(ToString::to_string).collect();
    assert_eq!(texts.len(), 9);
    assert_eq!(texts[0], format!("omitStages[0]: Invalid value: \"Never\": {stages}"));
    assert_eq!(texts[1], "rules[0].level: Required value");
    assert_eq!(
        texts[2],
        "rules[1].level: Unsupported value: \"All\": supported values: \"Metadata\", \"None\", \"Request\", \"RequestResponse\""
    );
    assert_eq!(
        texts[3],
        "rules[2].nonResourceURLs[0]: Invalid value: \"version\": non-resource URL rules must begin with a '/' character"
    );
    assert_eq!(
        texts[4],
        "rules[2].nonResourceURLs[1]: Invalid value: \"/a*b\": non-resource URL wildcards '*' must be the final character of the \
         rule"
    );
    assert!(
        texts[5].starts_with("rules[2].nonResourceURLs: Invalid value: [") && texts[5].ends_with("non-resource URLs")
    );
    assert!(
        texts[6].starts_with("rules[3].resources.group: Invalid value: \"Apps/v1\": a lowercase RFC 1123 subdomain")
    );
    assert_eq!(
        texts[7],
        "rules[3].resources.resourceNames: Invalid value: [\"x\"]: using resourceNames requires at least one resource"
    );
    assert_eq!(texts[8], format!("rules[3].omitStages[1]: Invalid value: \"panic\": {stages}"));
}

#[test]
fn what_is_no_policy_is_refused() {
    assert_eq!(read(json!({"rules": []})).expect_err("empty"), Error::Empty);
    assert!(read(json!({"rules": [{"level": "None", "user": ["x"]}]})).is_err(), "an unknown field");
    assert!(Policy::read("apiVersion: audit.k8s.io/v1beta1\nkind: Policy\nrules: [{level: None}]").is_err());
    assert!(Policy::read("").is_err());
}
