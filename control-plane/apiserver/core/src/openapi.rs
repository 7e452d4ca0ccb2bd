//! `OpenAPI` documents, derived from the rows and the schemas of the kinds.
//!
//! They are big and seldom asked for: a server makes each once, keeps its bytes, and forgets the tree.

mod binary;
mod operations;
mod render;

use std::collections::{BTreeMap, BTreeSet};

use serde_json::value::RawValue;
use serde_json::{Map, Value, json};

use crate::registry::Registry;
use crate::resource::Resource;
use render::Dialect;

/// Version of the API, as `/version` has it too.
pub const API_VERSION: &str = "v1.37.0";

const REFERENCE: &str = "#/components/schemas/";

/// Names of the v3 documents, as in the index: `api/v1`, `apis/apps/v1`.
pub fn v3_names(registry: &Registry) -> Vec<String> {
    registry
        .groups()
        .into_iter()
        .flat_map(|(group, versions)| versions.into_iter().map(move |version| v3_name(&group, &version)))
        .collect()
}

/// The v3 document of that name; `None` if there is none.
pub fn v3_document(registry: &Registry, name: &str) -> Option<Value> {
    let (group, version) = match name.strip_prefix("apis/") {
        Some(rest) => rest.split_once('/')?,
        None => ("", name.strip_prefix("api/")?),
    };
    let rows: Vec<&Resource> = registry.of_group_version(group, version).map(AsRef::as_ref).collect();
    if rows.is_empty() {
        return None;
    }
    let operations = operations::of(&rows);
    let paths = render::paths(&operations, Dialect::V3);
    let schemas: Map<String, Value> = closure(operations::definitions(&operations)).into_iter().collect();
    Some(json!({
        "openapi": "3.0.0",
        "info": { "title": "Kubernetes", "version": API_VERSION },
        "paths": paths,
        "components": {
            "schemas": schemas,
            "securitySchemes": {
                "BearerToken": {
                    "type": "apiKey", "description": "Bearer Token authentication", "name": "authorization", "in": "header",
                },
            },
        },
    }))
}

/// `/openapi/v3`: the index. `hash` gives the content hash of a named document.
pub fn v3_index(registry: &Registry, hash: impl Fn(&str) -> String) -> Value {
    let paths: Map<String, Value> = v3_names(registry)
        .into_iter()
        .map(|name| {
            let url = format!("/openapi/v3/{name}?hash={}", hash(&name));
            (name, json!({ "serverRelativeURL": url }))
        })
        .collect();
    json!({ "paths": paths })
}

/// `/openapi/v2` as JSON.
pub fn v2_document(registry: &Registry) -> Value {
    let rows: Vec<&Resource> = registry.iter().map(AsRef::as_ref).collect();
    let operations = operations::of(&rows);
    let paths = render::paths(&operations, Dialect::V2);
    let definitions: Map<String, Value> = closure(operations::definitions(&operations))
        .into_iter()
        .map(|(name, schema)| (name, render::schema(schema, Dialect::V2)))
        .collect();
    json!({
        "swagger": "2.0",
        "info": { "title": "Kubernetes", "version": API_VERSION },
        "paths": paths,
        "definitions": definitions,
        "securityDefinitions": {
            "BearerToken": {
                "description": "Bearer Token authentication", "type": "apiKey", "name": "authorization", "in": "header",
            },
        },
        "security": [{ "BearerToken": [] }],
    })
}

/// `/openapi/v2` in protobuf, from the document in JSON.
pub fn v2_protobuf(document: &Value) -> Vec<u8> {
    binary::document(document)
}

/// A v3 document in protobuf, from the document in JSON.
pub fn v3_protobuf(document: &Value) -> Vec<u8> {
    binary::v3::document(document)
}

fn v3_name(group: &str, version: &str) -> String {
    if group.is_empty() { format!("api/{version}") } else { format!("apis/{group}/{version}") }
}

/// The definitions of these names and of all they refer to.
fn closure(names: BTreeSet<String>) -> BTreeMap<String, Value> {
    // The text is our own build's; a test reads it. Only what is found is parsed whole.
    let text = kinds::definitions_json();
    let mut all: BTreeMap<String, &RawValue> = serde_json::from_str(&text).unwrap_or_default();
    let mut found = BTreeMap::new();
    let mut open: Vec<String> = names.into_iter().collect();
    while let Some(name) = open.pop() {
        if let Some(schema) = all.remove(&name).and_then(|raw| serde_json::from_str::<Value>(raw.get()).ok()) {
            references(&schema, &mut open);
            found.insert(name, schema);
        }
    }
    found
}

fn references(value: &Value, names: &mut Vec<String>) {
    match value {
        Value::Object(map) => {
            for (key, value) in map {
                match value {
                    Value::String(text) if key == "$ref" => {
                        names.extend(text.strip_prefix(REFERENCE).map(str::to_owned));
                    }
                    other => references(other, names),
                }
            }
        }
        Value::Array(list) => list.iter().for_each(|one| references(one, names)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_v3_document_has_what_kubectl_looks_for() {
        let document = v3_document(&Registry::built_in(), "api/v1").expect("the core group");
        let patch = &document["paths"]["/api/v1/namespaces/{namespace}/configmaps/{name}"]["patch"];
        assert_eq!(
            patch["x-kubernetes-group-version-kind"],
            json!({ "group": "", "version": "v1", "kind": "ConfigMap" })
        );
        assert_eq!(patch["x-kubernetes-action"], "patch");
        let parameters: Vec<&str> =
            patch["parameters"].as_array().into_iter().flatten().filter_map(|one| one["name"].as_str()).collect();
        assert_eq!(parameters, ["pretty", "dryRun", "fieldManager", "fieldValidation", "force"]);
        let schemas = &document["components"]["schemas"];
        assert_eq!(
            schemas["io.k8s.api.core.v1.PodSpec"]["properties"]["containers"]["x-kubernetes-patch-merge-key"],
            "name"
        );
        assert_eq!(
            schemas["io.k8s.api.core.v1.Pod"]["x-kubernetes-group-version-kind"],
            json!([{ "group": "", "version": "v1", "kind": "Pod" }])
        );
        assert!(document["paths"]["/api/v1/pods"]["get"].is_object());
        assert_eq!(v3_document(&Registry::built_in(), "apis/x/v1"), None);
    }

    #[test]
    fn every_reference_leads_somewhere() {
        for name in v3_names(&Registry::built_in()) {
            let document = v3_document(&Registry::built_in(), &name).expect("a named document");
            let mut names = Vec::new();
            references(&document, &mut names);
            assert!(!names.is_empty());
            for name in names {
                assert!(document["components"]["schemas"][&name].is_object(), "{name}");
            }
        }
        let text = v2_document(&Registry::built_in()).to_string();
        assert!(!text.contains(REFERENCE) && !text.contains("\"oneOf\":[") && !text.contains("\"allOf\":["));
        let document: Value = serde_json::from_str(&text).expect("JSON");
        for reference in text.split("#/definitions/").skip(1).filter_map(|rest| rest.split('"').next()) {
            assert!(document["definitions"][reference].is_object(), "{reference}");
        }
    }

    #[test]
    fn the_index_names_each_document_with_its_hash() {
        let index = v3_index(&Registry::built_in(), |name| format!("H{}", name.len()));
        assert_eq!(index["paths"]["api/v1"]["serverRelativeURL"], "/openapi/v3/api/v1?hash=H6");
        assert!(index["paths"]["apis/coordination.k8s.io/v1"].is_object());
    }
}
