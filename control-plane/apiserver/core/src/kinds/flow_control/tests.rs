use serde_json::{Value, json};

use super::{flow_schemas, priority_levels};
use crate::kinds::testing::{self, context, create, create_errors, object};

const GROUP: &str = "flowcontrol.apiserver.k8s.io";

fn schemas() -> std::sync::Arc<crate::Resource> {
    testing::row(GROUP, "flowschemas")
}

fn levels() -> std::sync::Arc<crate::Resource> {
    testing::row(GROUP, "prioritylevelconfigurations")
}

#[test]
fn what_every_server_makes_is_valid_and_complete_as_it_is() {
    for (row, objects) in [(schemas(), flow_schemas()), (levels(), priority_levels())] {
        for body in objects {
            let mut wanted = object(&row, body.clone());
            wanted.take_over(&["spec"], &create(&row, body));
            // Defaults add nothing, so that what is stored can be compared with what is wanted.
            assert_eq!(create(&row, wanted.clone().into_value()).at(&["spec"]), wanted.at(&["spec"]));
        }
    }
    let names: Vec<Value> = priority_levels().iter().map(|one| one["metadata"]["name"].clone()).collect();
    for schema in flow_schemas() {
        assert!(names.contains(&schema["spec"]["priorityLevelConfiguration"]["name"]), "{schema}");
    }
}

#[test]
fn the_mandatory_ones_are_fixed() {
    let mut catch_all = priority_levels().remove(0);
    catch_all["spec"]["limited"]["nominalConcurrencyShares"] = 7.into();
    let errors = create_errors(&levels(), catch_all);
    assert!(errors[0].ends_with("spec of 'catch-all' must equal the fixed value"), "{errors:?}");
    let mut exempt = flow_schemas().remove(0);
    exempt["spec"]["rules"] = json!([]);
    let errors = create_errors(&schemas(), exempt);
    assert!(errors[0].ends_with("spec of 'exempt' must equal the fixed value"), "{errors:?}");
}

#[test]
fn mistakes_of_a_schema_are_named() {
    let body = json!({ "spec": {
        "matchingPrecedence": 1, "distinguisherMethod": { "type": "ByMood" }, "priorityLevelConfiguration": {},
        "rules": [
            { "subjects": [{ "kind": "User", "group": { "name": "g" } }], "nonResourceRules": [{ "verbs": ["get"], "nonResourceURLs": ["x", "/a*"] }] },
            { "subjects": [], "resourceRules": [{ "verbs": ["*", "get"], "apiGroups": [], "resources": ["*"] }] },
        ],
    } });
    assert_eq!(
        create_errors(&schemas(), body),
        [
            "spec.matchingPrecedence: Invalid value: 1: only the schema named 'exempt' may have matchingPrecedence 1",
            "spec.distinguisherMethod.type: Unsupported value: {\"type\":\"ByMood\"}: supported values: \"ByNamespace\", \"ByUser\"",
            "spec.priorityLevelConfiguration.name: Required value: must reference a priority level",
            "spec.rules[0].subjects[0].user: Required value: user is required when subject kind is 'User'",
            "spec.rules[0].subjects[0].group: Forbidden: group is forbidden when subject kind is not 'Group'",
            "spec.rules[0].nonResourceRules[0].nonResourceURLs[0]: Invalid value: \"x\": must start with slash",
            "spec.rules[0].nonResourceRules[0].nonResourceURLs[1]: Invalid value: \"/a*\": wildcard can only do suffix matching",
            "spec.rules[1].subjects: Required value: subjects must contain at least one value",
            "spec.rules[1].resourceRules[0].verbs: Invalid value: [\"*\",\"get\"]: if '*' is present, must not specify other verbs",
            "spec.rules[1].resourceRules[0].apiGroups: Required value: resource rules must supply at least one api group",
            "spec.rules[1].resourceRules[0].namespaces: Required value: resource rules that are not cluster scoped must supply at least one namespace",
        ]
    );
}

#[test]
fn mistakes_of_a_level_are_named_and_the_rest_is_filled_in() {
    let limited = |limited: Value| json!({ "spec": { "type": "Limited", "limited": limited } });
    let level = create(&levels(), limited(json!({ "limitResponse": { "type": "Queue", "queuing": {} } })));
    assert_eq!(
        level.at(&["spec", "limited"]),
        Some(&json!({
            "nominalConcurrencyShares": 30, "lendablePercent": 0,
            "limitResponse": { "type": "Queue", "queuing": { "handSize": 8, "queues": 64, "queueLengthLimit": 50 } },
        }))
    );
    assert_eq!(
        levels().strategy.cells(&level, context().now),
        [json!("a"), json!("Limited"), json!(30), json!(64), json!(8), json!(50), json!("0s")]
    );
    for (body, message) in [
        (
            json!({ "spec": { "type": "Exempt" } }),
            "spec.type: Invalid value: \"Exempt\": type must be 'Exempt' if and only if `name` is 'exempt'",
        ),
        (
            json!({ "spec": { "type": "Limited" } }),
            "spec.limited: Required value: must not be empty when type is Limited",
        ),
        (
            limited(json!({ "lendablePercent": 101, "limitResponse": { "type": "Reject" } })),
            "spec.limited.lendablePercent: Invalid value: 101: must be between 0 and 100, inclusive",
        ),
        (
            limited(json!({ "limitResponse": { "type": "Queue", "queuing": { "queues": 4, "handSize": 5 } } })),
            "spec.limited.limitResponse.queuing.handSize: Invalid value: 5: should not be greater than queues (4)",
        ),
        (
            limited(json!({ "limitResponse": { "type": "Queue", "queuing": { "queues": 512, "handSize": 8 } } })),
            "spec.limited.limitResponse.queuing.handSize: Invalid value: 8: required entropy bits of deckSize 512 and handSize 8 should not be greater than 60",
        ),
    ] {
        assert_eq!(create_errors(&levels(), body), [message]);
    }
}
