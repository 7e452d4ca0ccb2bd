use std::sync::Arc;

use serde_json::{Value, json};

use crate::engine::Updated;
use crate::kinds::testing::{self, create, create_errors, update_errors};
use crate::{Object, Resource};

fn row() -> Arc<Resource> {
    testing::row("apiextensions.k8s.io", "customresourcedefinitions")
}

/// A definition of widgets with this schema.
fn definition(schema: &Value) -> Value {
    json!({
        "metadata": { "name": "widgets.example.com" },
        "spec": {
            "group": "example.com", "scope": "Namespaced", "names": { "plural": "widgets", "kind": "Widget" },
            "versions": [{ "name": "v1", "served": true, "storage": true, "schema": { "openAPIV3Schema": schema } }],
        },
    })
}

fn with(schema: &Value, change: impl FnOnce(&mut Value)) -> Value {
    let mut made = definition(schema);
    change(&mut made["spec"]);
    made
}

fn plain() -> Value {
    json!({ "type": "object", "properties": { "spec": { "type": "object", "properties": {
        "color": { "type": "string", "default": "red" }, "size": { "type": "integer" },
    } } } })
}

fn of_schema(schema: &Value) -> Vec<String> {
    let errors = create_errors(&row(), definition(schema));
    errors.iter().map(|error| error.replace("spec.validation.openAPIV3Schema", "@")).collect()
}

fn update(old: Value, new: Value) -> Object {
    match testing::try_update(&row(), None, old, new).expect("a valid change") {
        Updated::Store(prepared) | Updated::Unchanged(prepared) | Updated::Remove(prepared) => prepared.object,
    }
}

#[test]
fn names_conversion_and_the_stored_version_are_filled_in() {
    let made = create(&row(), with(&plain(), |spec| spec["preserveUnknownFields"] = false.into()));
    assert_eq!(
        made.at(&["spec", "names"]),
        Some(&json!({ "plural": "widgets", "kind": "Widget", "singular": "widget", "listKind": "WidgetList" }))
    );
    assert_eq!(made.at(&["spec", "conversion"]), Some(&json!({ "strategy": "None" })));
    assert_eq!(made.at(&["status", "storedVersions"]), Some(&json!(["v1"])));
    assert_eq!(made.at(&["status", "acceptedNames"]), Some(&json!({ "plural": "", "kind": "" })));
    assert_eq!(made.generation(), Some(1));
    let cells = row().strategy.cells(&made, testing::context().now);
    let wanted = [
        json!("widgets.example.com"),
        json!("Namespaced"),
        json!("v1(storage)"),
        json!("2026-08-01T10:00:00Z"),
        json!("example.com"),
        json!("Widget"),
        json!(""),
        json!(false),
    ];
    assert_eq!(cells, wanted);
}

#[test]
fn what_must_be_there_and_fit_is_said() {
    assert_eq!(
        create_errors(&row(), json!({ "metadata": { "name": "a" }, "spec": {} })),
        [
            "metadata.name: Invalid value: \"a\": must be spec.names.plural+\".\"+spec.group",
            "spec.group: Required value",
            "spec.scope: Required value",
            "spec.versions: Invalid value: []: must have exactly one version marked as storage version",
            "spec.names.plural: Required value",
            "spec.names.singular: Required value",
            "spec.names.kind: Required value",
            "spec.names.listKind: Required value",
            "status.storedVersions: Invalid value: []: must have at least one stored version",
        ]
    );
    let errors = create_errors(
        &row(),
        with(&plain(), |spec| {
            spec["names"]["listKind"] = "Widget".into();
            spec["names"]["shortNames"] = json!(["W"]);
            spec["conversion"] = json!({ "strategy": "Webhook", "webhook": { "conversionReviewVersions": ["v3"] } });
            spec["preserveUnknownFields"] = true.into();
            let version = &mut spec["versions"][0];
            version["additionalPrinterColumns"] = json!([{ "name": "A", "type": "text", "jsonPath": "spec" }]);
            version["subresources"] = json!({ "scale": { "specReplicasPath": ".a.b", "statusReplicasPath": "x" } });
            version["selectableFields"] = json!([{ "jsonPath": ".spec.colour" }, { "jsonPath": ".spec" }]);
            version["deprecationWarning"] = "old".into();
        }),
    );
    let said = |text: &str| assert!(errors.iter().any(|error| error == text), "{text} is not said: {errors:#?}");
    said("spec.names.listKind: Invalid value: \"Widget\": kind and listKind may not be the same");
    said("spec.conversion.webhookClientConfig: Required value: required when strategy is set to Webhook");
    said("spec.conversion.conversionReviewVersions: Invalid value: [\"v3\"]: must include at least one of v1, v1beta1");
    said("spec.conversion.strategy: Invalid value: \"Webhook\": must be None if spec.preserveUnknownFields is true");
    said(
        "spec.preserveUnknownFields: Invalid value: true: cannot set to true, set x-kubernetes-preserve-unknown-fields to true in \
         spec.versions[*].schema instead",
    );
    said("spec.preserveUnknownFields: Invalid value: true: must be false in order to use defaults in the schema");
    said(
        "spec.additionalPrinterColumns[0].type: Invalid value: \"text\": must be one of boolean,date,integer,number,string",
    );
    said(
        "spec.additionalPrinterColumns[0].JSONPath: Invalid value: \"spec\": must be a simple json path starting with .",
    );
    said("spec.subresources.scale.specReplicasPath: Invalid value: \".a.b\": should be a json path under .spec");
    said(
        "spec.selectableFields[0].jsonPath: Invalid value: \".spec.colour\": is an invalid path: does not refer to a valid field",
    );
    said("spec.versions[0].deprecationWarning: Invalid value: \"old\": can only be set for deprecated versions");
    assert!(
        errors
            .iter()
            .any(|error| error.starts_with("spec.names.shortNames[0]: Invalid value: \"W\": a DNS-1035 label"))
    );
}

#[test]
fn versions_that_differ_are_checked_each() {
    let errors = create_errors(
        &row(),
        with(&plain(), |spec| {
            spec["versions"].as_array_mut().unwrap().push(json!({ "name": "v1", "served": true, "storage": true }));
        }),
    );
    let starts: Vec<&str> = errors.iter().map(|error| error.split(": Invalid value: [").next().unwrap()).collect();
    assert_eq!(starts, ["spec.versions[1].schema.openAPIV3Schema: Required value", "spec.versions", "spec.versions"]);
    assert!(errors[1].ends_with(": must contain unique version names"));
    let none = create_errors(&row(), with(&plain(), |spec| spec["versions"][0]["schema"] = Value::Null));
    assert_eq!(none, ["spec.versions[0].schema.openAPIV3Schema: Required value"]);
}

#[test]
fn groups_of_the_community_need_its_word() {
    let community = |annotation: Option<&str>| {
        let mut made = with(&plain(), |spec| spec["group"] = "x.k8s.io".into());
        made["metadata"]["name"] = "widgets.x.k8s.io".into();
        if let Some(annotation) = annotation {
            made["metadata"]["annotations"] = json!({ "api-approved.kubernetes.io": annotation });
        }
        create_errors(&row(), made)
    };
    assert!(community(None)[0].starts_with(
        "metadata.annotations[api-approved.kubernetes.io]: Required value: protected groups must have approval annotation"
    ));
    assert!(community(Some("perhaps"))[0].contains("with either a URL or a reason starting with"));
    for given in ["unapproved, an experiment", "https://example.com/1"] {
        assert_eq!(community(Some(given)), Vec::<String>::new(), "{given}");
    }
}

#[test]
fn schemas_are_structural() {
    assert_eq!(
        of_schema(&json!({ "type": "string" })),
        ["@.type: Invalid value: \"string\": must be object at the root"]
    );
    assert_eq!(of_schema(&json!({})), ["@.type: Required value: must not be empty at the root"]);
    let errors = of_schema(&json!({
        "type": "object", "additionalProperties": { "type": "string" }, "allOf": [{ "properties": { "f": {} } }],
        "properties": {
            "a": {}, "b": { "type": "array" }, "c": { "type": "array", "items": {} },
            "d": { "type": "string", "anyOf": [{ "type": "string", "description": "x" }], "pattern": "(" },
            "metadata": { "type": "object", "properties": { "labels": { "type": "object" } } },
            "port": { "x-kubernetes-int-or-string": true, "anyOf": [{ "type": "integer" }, { "type": "string" }] },
            "raw": { "x-kubernetes-embedded-resource": true, "type": "object" },
        },
    }));
    let said = |text: &str| assert!(errors.iter().any(|error| error == text), "{text} is not said: {errors:#?}");
    said("@.additionalProperties: Forbidden: must not be used at the root");
    said("@.additionalProperties: Forbidden: additionalProperties and properties are mutual exclusive");
    said("@.properties[a].type: Required value: must not be empty for specified object fields");
    said("@.properties[b].items: Required value: must be specified");
    said("@.properties[c].items.type: Required value: must not be empty for specified array items");
    said("@.properties[d].anyOf[0].type: Forbidden: must be empty to be structural");
    said("@.properties[d].anyOf[0].description: Forbidden: must be empty to be structural");
    said("@.properties[f]: Required value: because it is defined in @.allOf[0].properties[f]");
    said(
        "@.properties[metadata]: Forbidden: must not specify anything other than name and generateName, but metadata is implicitly specified",
    );
    said(
        "@.properties[raw].properties: Required value: must not be empty if x-kubernetes-embedded-resource is true without \
         x-kubernetes-preserve-unknown-fields",
    );
    assert!(!errors.iter().any(|error| error.contains("[port]")), "{errors:#?}");
    assert!(errors.iter().any(|error| error.contains("[d].pattern: Invalid value: \"(\": must be a valid regular")));
}

#[test]
fn schemas_say_only_what_is_supported() {
    let errors = of_schema(&json!({
        "type": "object", "$ref": "#/x", "id": "i",
        "properties": {
            "a": { "type": "text" }, "b": { "type": "array", "uniqueItems": true, "items": { "type": "string" } },
            "c": { "type": "object", "x-kubernetes-preserve-unknown-fields": false },
            "d": { "type": "array", "items": [{ "type": "string" }] },
        },
    }));
    assert_eq!(
        errors,
        [
            "@.id: Forbidden: id is not supported",
            "@.$ref: Forbidden: $ref is not supported",
            "@.properties[a].type: Unsupported value: \"text\": supported values: \"array\", \"boolean\", \"integer\", \"number\", \
             \"object\", \"string\"",
            "@.properties[b].uniqueItems: Forbidden: uniqueItems cannot be set to true since the runtime complexity becomes quadratic",
            "@.properties[c].x-kubernetes-preserve-unknown-fields: Invalid value: false: must be true or undefined",
            "@.properties[d].items: Forbidden: items must be a schema object and not an array",
        ]
    );
    let status = create_errors(
        &row(),
        with(&json!({ "type": "object", "maxProperties": 3 }), |spec| {
            spec["versions"][0]["subresources"] = json!({ "status": {} });
        }),
    );
    assert!(status[0].contains("only [Description Type Format"), "{status:?}");
}

#[test]
fn lists_and_maps_merge_in_known_ways() {
    let list = |more: Value| {
        let mut list =
            json!({ "type": "array", "items": { "type": "object", "properties": { "k": { "type": "string" } } } });
        list.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let errors = of_schema(&json!({ "type": "object", "properties": { "l": list } }));
        errors.iter().map(|error| error.replace("@.properties[l]", "@")).collect::<Vec<_>>()
    };
    assert_eq!(
        list(json!({ "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["k"] })),
        [
            "@.items.properties[k].default: Required value: this property is in x-kubernetes-list-map-keys, so it must have a default or \
             be a required property"
        ]
    );
    assert_eq!(
        list(json!({ "x-kubernetes-list-type": "map" })),
        ["@.x-kubernetes-list-map-keys: Required value: must not be empty if x-kubernetes-list-type is map"]
    );
    assert_eq!(
        list(json!({ "x-kubernetes-list-type": "set" })),
        [
            "@.items.x-kubernetes-map-type: Invalid value: null: must be atomic as item of a list with x-kubernetes-list-type=set"
        ]
    );
    assert_eq!(
        list(json!({ "x-kubernetes-list-map-keys": ["z", "z"] })),
        ["@.x-kubernetes-list-type: Required value: must be map if x-kubernetes-list-map-keys is non-empty"]
    );
    assert_eq!(
        list(json!({ "x-kubernetes-map-type": "atomic" })),
        ["@.type: Invalid value: \"array\": must be object if x-kubernetes-map-type is specified"]
    );
}

#[test]
fn defaults_fit_their_schema() {
    let property = |property: Value| {
        let errors = of_schema(&json!({ "type": "object", "properties": { "p": property } }));
        errors.iter().map(|error| error.replace("@.properties[p].default", "@")).collect::<Vec<_>>()
    };
    assert_eq!(property(json!({ "type": "integer", "default": 3 })), Vec::<String>::new());
    assert_eq!(
        property(json!({ "type": "integer", "default": "3" })),
        ["@: Invalid value: \"string\":  in body must be of type integer: \"string\""]
    );
    assert_eq!(
        property(json!({ "type": "string", "enum": ["a", "b"], "default": "c" })),
        ["@: Unsupported value: \"c\": supported values: \"a\", \"b\""]
    );
    let object = json!({ "type": "object", "required": ["n"], "default": { "x": 1 }, "properties": { "n": { "type": "integer", "minimum": 2 } } });
    assert_eq!(
        property(object.clone()),
        ["@: Invalid value: {\"x\":1}: must not have unknown fields", "@.n: Required value"]
    );
    let mut small = object;
    small["default"] = json!({ "n": 1 });
    assert_eq!(property(small), ["@.n: Invalid value: 1: n in body should be greater than or equal to 2"]);
    let meta = of_schema(&json!({ "type": "object", "properties": { "kind": { "type": "string", "default": "A" } } }));
    assert_eq!(meta, ["@.properties[kind].default: Forbidden: must not be set in top-level kind"]);
}

#[test]
fn rules_are_checked_as_far_as_they_are_read() {
    let rules = json!([{ "rule": " " }, { "rule": "a\nb" }, { "rule": "a", "reason": "Because", "fieldPath": ".b" }]);
    let errors = of_schema(
        &json!({ "type": "object", "properties": { "a": { "type": "string" } }, "x-kubernetes-validations": rules }),
    );
    assert_eq!(
        errors,
        [
            "@.x-kubernetes-validations[0].rule: Required value: rule is not specified",
            "@.x-kubernetes-validations[1].message: Required value: message must be specified if rule contains line breaks",
            "@.x-kubernetes-validations[2].reason: Unsupported value: \"Because\": supported values: \"FieldValueDuplicate\", \
             \"FieldValueForbidden\", \"FieldValueInvalid\", \"FieldValueRequired\"",
            "@.x-kubernetes-validations[2].fieldPath: Invalid value: \".b\": must be a valid path",
        ]
    );
}

#[test]
fn what_was_stored_stays_noted_and_groups_never_change() {
    let two = |storage: &str| {
        with(&plain(), |spec| {
            let mut other = spec["versions"][0].clone();
            other["name"] = "v2".into();
            other["storage"] = (storage == "v2").into();
            spec["versions"][0]["storage"] = (storage == "v1").into();
            spec["versions"].as_array_mut().unwrap().push(other);
        })
    };
    let changed = update(two("v1"), two("v2"));
    assert_eq!(changed.at(&["status", "storedVersions"]), Some(&json!(["v1", "v2"])));
    assert_eq!(changed.generation(), Some(2));
    let gone = with(&plain(), |spec| spec["versions"][0]["name"] = "v3".into());
    let errors = update_errors(&row(), None, definition(&plain()), gone);
    assert!(
        errors[0].starts_with("status.storedVersions[0]: Invalid value: \"v1\": missing from spec.versions; v1 was")
    );
    let renamed = with(&plain(), |spec| spec["group"] = "example.org".into());
    assert_eq!(
        update_errors(&row(), None, definition(&plain()), renamed),
        ["spec.group: Invalid value: \"example.org\": field is immutable"]
    );
    let status = json!({ "conditions": [{ "type": "Established", "status": "True" }], "storedVersions": ["v1"] });
    let mut with_status = definition(&plain());
    with_status["status"] = status.clone();
    let Updated::Store(made) = testing::try_update(&row(), Some("status"), definition(&plain()), with_status).unwrap()
    else {
        panic!("nothing changed");
    };
    assert_eq!(made.object.list(&["status", "conditions"])[0]["type"], "Established");
}

#[test]
fn strange_formats_are_worth_a_word() {
    let schema =
        |format: &str| json!({ "type": "object", "properties": { "a": { "type": "string", "format": format } } });
    let made = create(&row(), definition(&schema("colour")));
    assert_eq!(row().strategy.warnings(&made, None), ["unrecognized format \"colour\""]);
    assert_eq!(row().strategy.warnings(&made, Some(&made)), Vec::<String>::new());
    let known = create(&row(), definition(&schema("date-time")));
    assert_eq!(row().strategy.warnings(&known, None), Vec::<String>::new());
}
