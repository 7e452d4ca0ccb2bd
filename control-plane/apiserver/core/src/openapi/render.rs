//! Operations and schemas in the words of one `OpenAPI` version.

use serde_json::{Map, Value, json};

use super::REFERENCE;
use super::operations::{Operation, Parameter};
use crate::patch::PATCH_MEDIA_TYPES;

const PATCH: &str = "io.k8s.apimachinery.pkg.apis.meta.v1.Patch";
const PRODUCES: [&str; 2] = ["application/json", "application/yaml"];

/// Which version.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Dialect {
    V2,
    V3,
}

/// The `paths` of a document.
pub(super) fn paths(operations: &[Operation], dialect: Dialect) -> Value {
    let mut paths: Map<String, Value> = Map::new();
    for operation in operations {
        let path = paths.entry(operation.path.as_str()).or_insert_with(|| {
            let parameters: Vec<Value> = operation.path_parameters.iter().map(|one| parameter(one, dialect)).collect();
            if parameters.is_empty() { json!({}) } else { json!({ "parameters": parameters }) }
        });
        path[operation.method] = render(operation, dialect);
    }
    Value::Object(paths)
}

fn parameter(one: &Parameter, dialect: Dialect) -> Value {
    let place = if one.in_path { "path" } else { "query" };
    let mut value = json!({ "name": one.name, "in": place, "description": one.description });
    match dialect {
        Dialect::V2 => {
            value["type"] = one.kind.into();
            value["uniqueItems"] = true.into();
        }
        Dialect::V3 => value["schema"] = json!({ "type": one.kind, "uniqueItems": true }),
    }
    if one.in_path {
        value["required"] = true.into();
    }
    value
}

fn reference(name: &str, dialect: Dialect) -> Value {
    match dialect {
        Dialect::V2 => json!({ "$ref": format!("#/definitions/{name}") }),
        Dialect::V3 => json!({ "$ref": format!("{REFERENCE}{name}") }),
    }
}

fn render(operation: &Operation, dialect: Dialect) -> Value {
    let (group, version, kind) = &operation.kind;
    let mut parameters: Vec<Value> = operation.parameters.iter().map(|one| parameter(one, dialect)).collect();
    let mut value = json!({
        "tags": [operation.tag], "operationId": operation.id, "description": operation.description,
        "x-kubernetes-action": operation.action,
        "x-kubernetes-group-version-kind": { "group": group, "version": version, "kind": kind },
    });
    // A patch has no schema of its own: any object.
    let body = operation.body.as_deref().map(|name| {
        if name.is_empty() { json!({ "type": "object", "description": PATCH }) } else { reference(name, dialect) }
    });
    let is_patch = operation.method == "patch";
    match (dialect, body) {
        (Dialect::V2, body) => {
            if let Some(schema) = body {
                parameters.push(
                    json!({ "name": "body", "in": "body", "required": operation.method != "delete", "schema": schema }),
                );
            }
            value["consumes"] = if is_patch { json!(PATCH_MEDIA_TYPES) } else { json!(["*/*"]) };
            value["produces"] = json!(PRODUCES);
            value["schemes"] = json!(["https"]);
        }
        (Dialect::V3, Some(schema)) => {
            let types: &[&str] = if is_patch { &PATCH_MEDIA_TYPES } else { &["*/*"] };
            let content: Map<String, Value> =
                types.iter().map(|one| ((*one).to_owned(), json!({ "schema": schema }))).collect();
            value["requestBody"] = json!({ "content": content });
            if operation.method != "delete" {
                value["requestBody"]["required"] = true.into();
            }
        }
        (Dialect::V3, None) => {}
    }
    value["parameters"] = parameters.into();
    value["responses"] = responses(operation, dialect);
    value
}

fn responses(operation: &Operation, dialect: Dialect) -> Value {
    let schema = reference(&operation.response, dialect);
    let answer = |description: &str| match dialect {
        Dialect::V2 => json!({ "description": description, "schema": schema }),
        Dialect::V3 => {
            let content: Map<String, Value> =
                PRODUCES.iter().map(|one| ((*one).to_owned(), json!({ "schema": schema }))).collect();
            json!({ "description": description, "content": content })
        }
    };
    let mut codes = Map::new();
    codes.insert("200".into(), answer("OK"));
    for code in operation.more_codes {
        codes.insert((*code).into(), answer(if *code == "201" { "Created" } else { "Accepted" }));
    }
    codes.insert("401".into(), json!({ "description": "Unauthorized" }));
    Value::Object(codes)
}

/// A schema, which is kept in the words of v3, in the words of a version.
pub(super) fn schema(value: Value, dialect: Dialect) -> Value {
    match (dialect, value) {
        (Dialect::V2, Value::Object(map)) => Value::Object(schema_v2(map)),
        (Dialect::V2, Value::Array(list)) => list.into_iter().map(|one| schema(one, dialect)).collect(),
        (_, value) => value,
    }
}

/// v2 knows no unions, and references stand alone.
fn schema_v2(map: Map<String, Value>) -> Map<String, Value> {
    let mut old = Map::new();
    for (key, value) in map {
        match (key.as_str(), value) {
            ("oneOf", _) => {
                old.insert("type".into(), "string".into());
            }
            ("allOf", Value::Array(list)) => {
                if let Some(Value::Object(only)) = list.into_iter().next() {
                    old.extend(schema_v2(only));
                }
            }
            // What stands here are names of fields, some of which are words of schemas too.
            ("properties", Value::Object(fields)) => {
                let fields: Map<String, Value> =
                    fields.into_iter().map(|(name, field)| (name, schema(field, Dialect::V2))).collect();
                old.insert(key, Value::Object(fields));
            }
            // That a struct is part of its owner is said in v3 only.
            ("default", Value::Object(_)) => {}
            ("$ref", Value::String(text)) => {
                old.insert("$ref".into(), text.replace(REFERENCE, "#/definitions/").into());
            }
            (_, value) => {
                old.insert(key, schema(value, Dialect::V2));
            }
        }
    }
    old
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn schemas_lose_what_v2_does_not_know() {
        let port = json!({ "description": "d", "allOf": [{ "$ref": format!("{REFERENCE}x.Y") }] });
        assert_eq!(schema(port, Dialect::V2), json!({ "description": "d", "$ref": "#/definitions/x.Y" }));
        let either = json!({ "format": "int-or-string", "oneOf": [{ "type": "string" }, { "type": "integer" }] });
        assert_eq!(schema(either, Dialect::V2), json!({ "format": "int-or-string", "type": "string" }));
        let fields = json!({ "properties": { "default": { "description": "d" }, "allOf": { "type": "array" } } });
        assert_eq!(schema(fields.clone(), Dialect::V2), fields);
    }
}
