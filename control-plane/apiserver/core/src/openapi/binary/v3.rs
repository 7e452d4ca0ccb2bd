//! A v3 document, by the messages of gnostic's `openapi.v3.Document`. Where a reference may stand for a thing, either is one field
//! of a message around both.

use serde_json::Value;

use super::{Field, Holds, Write, entries, object};
use crate::protobuf::encode::{FIXED64, nested, number, tag, text};

/// The document.
pub(in super::super) fn document(value: &Value) -> Vec<u8> {
    const TABLE: &[Field] = &[
        (1, "openapi", Holds::Text),
        (2, "info", Holds::One(info)),
        (4, "paths", Holds::One(paths)),
        (5, "components", Holds::One(components)),
    ];
    let mut out = Vec::new();
    object(TABLE, 9, value, &mut out);
    out
}

fn info(value: &Value, out: &mut Vec<u8>) {
    object(&[(1, "title", Holds::Text), (2, "description", Holds::Text), (6, "version", Holds::Text)], 7, value, out);
}

fn paths(value: &Value, out: &mut Vec<u8>) {
    entries(1, value, path, out);
}

fn path(value: &Value, out: &mut Vec<u8>) {
    const TABLE: &[Field] = &[
        (4, "get", Holds::One(operation)),
        (5, "put", Holds::One(operation)),
        (6, "post", Holds::One(operation)),
        (7, "delete", Holds::One(operation)),
        (8, "options", Holds::One(operation)),
        (9, "head", Holds::One(operation)),
        (10, "patch", Holds::One(operation)),
        (13, "parameters", Holds::Many(parameter)),
    ];
    object(TABLE, 14, value, out);
}

fn operation(value: &Value, out: &mut Vec<u8>) {
    const TABLE: &[Field] = &[
        (1, "tags", Holds::Texts),
        (2, "summary", Holds::Text),
        (3, "description", Holds::Text),
        (5, "operationId", Holds::Text),
        (6, "parameters", Holds::Many(parameter)),
        (7, "requestBody", Holds::One(body)),
        (8, "responses", Holds::One(responses)),
        (10, "deprecated", Holds::Flag),
    ];
    object(TABLE, 13, value, out);
}

fn parameter(value: &Value, out: &mut Vec<u8>) {
    const TABLE: &[Field] = &[
        (1, "name", Holds::Text),
        (2, "in", Holds::Text),
        (3, "description", Holds::Text),
        (4, "required", Holds::Flag),
        (10, "schema", Holds::One(schema)),
    ];
    nested(1, out, |out| object(TABLE, 14, value, out));
}

fn body(value: &Value, out: &mut Vec<u8>) {
    const TABLE: &[Field] =
        &[(1, "description", Holds::Text), (2, "content", Holds::One(content)), (3, "required", Holds::Flag)];
    nested(1, out, |out| object(TABLE, 4, value, out));
}

fn responses(value: &Value, out: &mut Vec<u8>) {
    const TABLE: &[Field] = &[(1, "description", Holds::Text), (3, "content", Holds::One(content))];
    let response: Write = |value, out| nested(1, out, |out| object(TABLE, 5, value, out));
    entries(2, value, response, out);
}

fn content(value: &Value, out: &mut Vec<u8>) {
    let media_type: Write = |value, out| object(&[(1, "schema", Holds::One(schema))], 5, value, out);
    entries(1, value, media_type, out);
}

fn components(value: &Value, out: &mut Vec<u8>) {
    let securities: Write = |value, out| entries(1, value, security, out);
    object(&[(1, "schemas", Holds::One(schemas)), (7, "securitySchemes", Holds::One(securities))], 10, value, out);
}

fn security(value: &Value, out: &mut Vec<u8>) {
    const TABLE: &[Field] =
        &[(1, "type", Holds::Text), (2, "description", Holds::Text), (3, "name", Holds::Text), (4, "in", Holds::Text)];
    nested(1, out, |out| object(TABLE, 9, value, out));
}

fn schemas(value: &Value, out: &mut Vec<u8>) {
    entries(1, value, schema, out);
}

const SCHEMA: &[Field] = &[
    (1, "nullable", Holds::Flag),
    (3, "readOnly", Holds::Flag),
    (4, "writeOnly", Holds::Flag),
    (7, "example", Holds::Any),
    (8, "deprecated", Holds::Flag),
    (9, "title", Holds::Text),
    (10, "multipleOf", Holds::Amount),
    (11, "maximum", Holds::Amount),
    (12, "exclusiveMaximum", Holds::Flag),
    (13, "minimum", Holds::Amount),
    (14, "exclusiveMinimum", Holds::Flag),
    (15, "maxLength", Holds::Count),
    (16, "minLength", Holds::Count),
    (17, "pattern", Holds::Text),
    (18, "maxItems", Holds::Count),
    (19, "minItems", Holds::Count),
    (20, "uniqueItems", Holds::Flag),
    (21, "maxProperties", Holds::Count),
    (22, "minProperties", Holds::Count),
    (23, "required", Holds::Texts),
    (24, "enum", Holds::Anys),
    (25, "type", Holds::Text),
    (26, "allOf", Holds::Many(schema)),
    (27, "oneOf", Holds::Many(schema)),
    (28, "anyOf", Holds::Many(schema)),
    (29, "not", Holds::One(bare_schema)),
    (30, "items", Holds::One(items)),
    (31, "properties", Holds::One(schemas)),
    (32, "additionalProperties", Holds::One(more_properties)),
    (33, "default", Holds::One(default)),
    (34, "description", Holds::Text),
    (35, "format", Holds::Text),
];

/// A schema or a reference to one.
fn schema(value: &Value, out: &mut Vec<u8>) {
    match value.get("$ref").and_then(Value::as_str) {
        Some(reference) => nested(2, out, |out| text(1, reference, out)),
        None => nested(1, out, |out| bare_schema(value, out)),
    }
}

fn bare_schema(value: &Value, out: &mut Vec<u8>) {
    object(SCHEMA, 36, value, out);
}

fn items(value: &Value, out: &mut Vec<u8>) {
    nested(1, out, |out| schema(value, out));
}

fn more_properties(value: &Value, out: &mut Vec<u8>) {
    match value {
        Value::Bool(allowed) => number(2, u64::from(*allowed), out),
        other => nested(1, out, |out| schema(other, out)),
    }
}

/// A default, of which only the plain ones have a form.
fn default(value: &Value, out: &mut Vec<u8>) {
    match value {
        Value::Number(amount) => {
            tag(1, FIXED64, out);
            out.extend_from_slice(&amount.as_f64().unwrap_or_default().to_bits().to_le_bytes());
        }
        Value::Bool(flag) => number(2, u64::from(*flag), out),
        Value::String(words) => text(3, words, out),
        Value::Null | Value::Array(_) | Value::Object(_) => {}
    }
}

#[cfg(test)]
mod tests {
    use prost::Message;

    use super::*;
    use crate::openapi::{v3_document, v3_names};
    use crate::registry::Registry;

    /// Parts of gnostic's messages, read by a decoder of another make.
    #[derive(Message)]
    struct Document {
        #[prost(string, tag = "1")]
        openapi: String,
        #[prost(message, optional, tag = "4")]
        paths: Option<Named<Path>>,
        #[prost(message, optional, tag = "5")]
        components: Option<Components>,
    }

    /// A map, as a list of name and value.
    #[derive(Message)]
    struct Named<T: Message + Default + std::fmt::Debug> {
        #[prost(message, repeated, tag = "1")]
        entries: Vec<Entry<T>>,
    }

    #[derive(Message)]
    struct Entry<T: Message + Default + std::fmt::Debug> {
        #[prost(string, tag = "1")]
        name: String,
        #[prost(message, optional, tag = "2")]
        value: Option<T>,
    }

    #[derive(Message)]
    struct Path {
        #[prost(message, optional, tag = "10")]
        patch: Option<Operation>,
    }

    #[derive(Message)]
    struct Operation {
        #[prost(string, tag = "5")]
        id: String,
        #[prost(message, repeated, tag = "6")]
        parameters: Vec<ParameterOrReference>,
        #[prost(message, repeated, tag = "13")]
        extensions: Vec<Entry<Text>>,
    }

    #[derive(Message)]
    struct ParameterOrReference {
        #[prost(message, optional, tag = "1")]
        parameter: Option<Parameter>,
    }

    #[derive(Message)]
    struct Parameter {
        #[prost(string, tag = "1")]
        name: String,
        #[prost(message, optional, tag = "10")]
        schema: Option<SchemaOrReference>,
    }

    #[derive(Message)]
    struct Text {
        #[prost(string, tag = "2")]
        yaml: String,
    }

    #[derive(Message)]
    struct Components {
        #[prost(message, optional, tag = "1")]
        schemas: Option<Named<SchemaOrReference>>,
    }

    #[derive(Message)]
    struct SchemaOrReference {
        #[prost(message, optional, boxed, tag = "1")]
        schema: Option<Box<Schema>>,
        #[prost(message, optional, tag = "2")]
        reference: Option<Reference>,
    }

    #[derive(Message)]
    struct Reference {
        #[prost(string, tag = "1")]
        reference: String,
    }

    #[derive(Message)]
    struct Schema {
        #[prost(string, tag = "25")]
        kind: String,
        #[prost(message, repeated, tag = "26")]
        all_of: Vec<SchemaOrReference>,
        #[prost(message, optional, tag = "31")]
        properties: Option<Named<SchemaOrReference>>,
    }

    fn find<'a, T: Message + Default + std::fmt::Debug>(all: &'a [Entry<T>], name: &str) -> &'a T {
        let found = all.iter().find(|one| one.name == name).and_then(|one| one.value.as_ref());
        found.unwrap_or_else(|| panic!("no {name}"))
    }

    #[test]
    fn a_decoder_of_another_make_reads_the_document() {
        let json = v3_document(&Registry::built_in(), "api/v1").unwrap();
        let document = Document::decode(super::document(&json).as_slice()).unwrap();
        assert_eq!(document.openapi, "3.0.0");
        let paths = document.paths.unwrap().entries;
        assert_eq!(paths.len(), json["paths"].as_object().unwrap().len());
        let patch = find(&paths, "/api/v1/namespaces/{namespace}/pods/{name}").patch.as_ref().unwrap();
        assert_eq!(patch.id, "patchCoreV1NamespacedPod");
        let parameters: Vec<&Parameter> = patch.parameters.iter().filter_map(|one| one.parameter.as_ref()).collect();
        let dry_run = parameters.iter().find(|one| one.name == "dryRun").unwrap();
        assert_eq!(dry_run.schema.as_ref().unwrap().schema.as_ref().unwrap().kind, "string");
        let kind = &find(&patch.extensions, "x-kubernetes-group-version-kind").yaml;
        assert!(kind.contains("\"kind\":\"Pod\""), "{kind}");
        let schemas = document.components.unwrap().schemas.unwrap().entries;
        assert_eq!(schemas.len(), json["components"]["schemas"].as_object().unwrap().len());
        let pod = find(&schemas, "io.k8s.api.core.v1.Pod").schema.as_ref().unwrap();
        let spec = find(&pod.properties.as_ref().unwrap().entries, "spec").schema.as_ref().unwrap();
        let reference = spec.all_of[0].reference.as_ref().unwrap();
        assert_eq!(reference.reference, "#/components/schemas/io.k8s.api.core.v1.PodSpec");
    }

    #[test]
    fn no_word_of_a_schema_is_lost() {
        fn walk(schema: &Value) {
            for (name, value) in schema.as_object().unwrap() {
                let known = name.starts_with("x-") || name == "$ref" || SCHEMA.iter().any(|(_, one, _)| one == name);
                assert!(known, "{name} has no place");
                match name.as_str() {
                    "properties" => value.as_object().unwrap().values().for_each(walk),
                    "items" | "additionalProperties" if value.is_object() => walk(value),
                    "allOf" | "oneOf" => value.as_array().unwrap().iter().for_each(walk),
                    _ => {}
                }
            }
        }
        for name in v3_names(&Registry::built_in()) {
            let json = v3_document(&Registry::built_in(), &name).unwrap();
            json["components"]["schemas"].as_object().unwrap().values().for_each(walk);
        }
    }
}
