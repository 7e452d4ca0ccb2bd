//! The v2 document in protobuf, by the messages of gnostic's `openapi.v2.Document`. Written from the JSON, which stays the one
//! source: maps become lists of name and value, unions a message with one of several fields, and values of any type their text.

pub(super) mod v3;

use serde_json::Value;

use crate::protobuf::encode::{FIXED64, nested, number, tag, text};

/// What a field holds.
enum Holds {
    Text,
    Texts,
    Flag,
    Count,
    Amount,
    /// A value of any type.
    Any,
    Anys,
    One(Write),
    Many(Write),
}

/// Writes the content of a message.
type Write = fn(&Value, &mut Vec<u8>);
type Field = (u32, &'static str, Holds);

/// The document.
pub(super) fn document(value: &Value) -> Vec<u8> {
    const TABLE: &[Field] = &[
        (1, "swagger", Holds::Text),
        (2, "info", Holds::One(info)),
        (8, "paths", Holds::One(paths)),
        (9, "definitions", Holds::One(schemas)),
        (12, "security", Holds::Many(requirement)),
        (13, "securityDefinitions", Holds::One(security_definitions)),
    ];
    let mut out = Vec::new();
    object(TABLE, 16, value, &mut out);
    out
}

fn object(table: &[Field], extensions: u32, value: &Value, out: &mut Vec<u8>) {
    let Some(members) = value.as_object() else { return };
    for (at, name, holds) in table {
        if let Some(value) = members.get(*name) {
            field(*at, holds, value, out);
        }
    }
    for (name, value) in members.iter().filter(|(name, _)| name.starts_with("x-")) {
        named(extensions, name, value, any, out);
    }
}

fn field(at: u32, holds: &Holds, value: &Value, out: &mut Vec<u8>) {
    let list = || value.as_array().into_iter().flatten();
    match holds {
        Holds::Text => text(at, value.as_str().unwrap_or_default(), out),
        Holds::Texts => list().filter_map(Value::as_str).for_each(|one| text(at, one, out)),
        Holds::Flag => number(at, u64::from(value.as_bool().unwrap_or_default()), out),
        Holds::Count => number(at, value.as_i64().unwrap_or_default().cast_unsigned(), out),
        Holds::Amount => {
            tag(at, FIXED64, out);
            out.extend_from_slice(&value.as_f64().unwrap_or_default().to_bits().to_le_bytes());
        }
        Holds::Any => nested(at, out, |out| any(value, out)),
        Holds::Anys => list().for_each(|one| nested(at, out, |out| any(one, out))),
        Holds::One(write) => nested(at, out, |out| write(value, out)),
        Holds::Many(write) => list().for_each(|one| nested(at, out, |out| write(one, out))),
    }
}

/// One entry of a map.
fn named(at: u32, name: &str, value: &Value, write: Write, out: &mut Vec<u8>) {
    nested(at, out, |out| {
        text(1, name, out);
        nested(2, out, |out| write(value, out));
    });
}

fn entries(at: u32, value: &Value, write: Write, out: &mut Vec<u8>) {
    for (name, value) in value.as_object().into_iter().flatten() {
        named(at, name, value, write, out);
    }
}

/// The text of a value; JSON is YAML.
fn any(value: &Value, out: &mut Vec<u8>) {
    text(2, &format!("{value}\n"), out);
}

fn info(value: &Value, out: &mut Vec<u8>) {
    object(&[(1, "title", Holds::Text), (2, "version", Holds::Text), (3, "description", Holds::Text)], 7, value, out);
}

fn paths(value: &Value, out: &mut Vec<u8>) {
    entries(2, value, path, out);
}

fn path(value: &Value, out: &mut Vec<u8>) {
    const TABLE: &[Field] = &[
        (2, "get", Holds::One(operation)),
        (3, "put", Holds::One(operation)),
        (4, "post", Holds::One(operation)),
        (5, "delete", Holds::One(operation)),
        (6, "options", Holds::One(operation)),
        (7, "head", Holds::One(operation)),
        (8, "patch", Holds::One(operation)),
        (9, "parameters", Holds::Many(parameter)),
    ];
    object(TABLE, 10, value, out);
}

fn operation(value: &Value, out: &mut Vec<u8>) {
    const TABLE: &[Field] = &[
        (1, "tags", Holds::Texts),
        (2, "summary", Holds::Text),
        (3, "description", Holds::Text),
        (5, "operationId", Holds::Text),
        (6, "produces", Holds::Texts),
        (7, "consumes", Holds::Texts),
        (8, "parameters", Holds::Many(parameter)),
        (9, "responses", Holds::One(responses)),
        (10, "schemes", Holds::Texts),
        (11, "deprecated", Holds::Flag),
        (12, "security", Holds::Many(requirement)),
    ];
    object(TABLE, 13, value, out);
}

/// A parameter, which is a message of its own for each place it may be in.
fn parameter(value: &Value, out: &mut Vec<u8>) {
    const BODY: &[Field] = &[
        (1, "description", Holds::Text),
        (2, "name", Holds::Text),
        (3, "in", Holds::Text),
        (4, "required", Holds::Flag),
        (5, "schema", Holds::One(schema)),
    ];
    const PATH: &[Field] = &[
        (1, "required", Holds::Flag),
        (2, "in", Holds::Text),
        (3, "description", Holds::Text),
        (4, "name", Holds::Text),
        (5, "type", Holds::Text),
        (6, "format", Holds::Text),
        (19, "uniqueItems", Holds::Flag),
    ];
    const QUERY: &[Field] = &[
        (1, "required", Holds::Flag),
        (2, "in", Holds::Text),
        (3, "description", Holds::Text),
        (4, "name", Holds::Text),
        (6, "type", Holds::Text),
        (7, "format", Holds::Text),
        (20, "uniqueItems", Holds::Flag),
    ];
    nested(1, out, |out| match value.get("in").and_then(Value::as_str) {
        Some("body") => nested(1, out, |out| object(BODY, 6, value, out)),
        Some("path") => nested(2, out, |out| nested(4, out, |out| object(PATH, 22, value, out))),
        _ => nested(2, out, |out| nested(3, out, |out| object(QUERY, 23, value, out))),
    });
}

fn responses(value: &Value, out: &mut Vec<u8>) {
    entries(1, value, |value, out| nested(1, out, |out| response(value, out)), out);
}

fn response(value: &Value, out: &mut Vec<u8>) {
    let whole: Write = |value, out| nested(1, out, |out| schema(value, out));
    object(&[(1, "description", Holds::Text), (2, "schema", Holds::One(whole))], 5, value, out);
}

fn schemas(value: &Value, out: &mut Vec<u8>) {
    entries(1, value, schema, out);
}

const SCHEMA: &[Field] = &[
    (1, "$ref", Holds::Text),
    (2, "format", Holds::Text),
    (3, "title", Holds::Text),
    (4, "description", Holds::Text),
    (5, "default", Holds::Any),
    (6, "multipleOf", Holds::Amount),
    (7, "maximum", Holds::Amount),
    (8, "exclusiveMaximum", Holds::Flag),
    (9, "minimum", Holds::Amount),
    (10, "exclusiveMinimum", Holds::Flag),
    (11, "maxLength", Holds::Count),
    (12, "minLength", Holds::Count),
    (13, "pattern", Holds::Text),
    (14, "maxItems", Holds::Count),
    (15, "minItems", Holds::Count),
    (16, "uniqueItems", Holds::Flag),
    (17, "maxProperties", Holds::Count),
    (18, "minProperties", Holds::Count),
    (19, "required", Holds::Texts),
    (20, "enum", Holds::Anys),
    (21, "additionalProperties", Holds::One(more_properties)),
    (22, "type", Holds::One(types)),
    (23, "items", Holds::One(items)),
    (24, "allOf", Holds::Many(schema)),
    (25, "properties", Holds::One(schemas)),
    (26, "discriminator", Holds::Text),
    (27, "readOnly", Holds::Flag),
    (30, "example", Holds::Any),
];

fn schema(value: &Value, out: &mut Vec<u8>) {
    object(SCHEMA, 31, value, out);
}

fn more_properties(value: &Value, out: &mut Vec<u8>) {
    match value {
        Value::Bool(allowed) => number(2, u64::from(*allowed), out),
        schema => nested(1, out, |out| self::schema(schema, out)),
    }
}

fn types(value: &Value, out: &mut Vec<u8>) {
    match value {
        Value::Array(types) => types.iter().filter_map(Value::as_str).for_each(|one| text(1, one, out)),
        one => text(1, one.as_str().unwrap_or_default(), out),
    }
}

fn items(value: &Value, out: &mut Vec<u8>) {
    nested(1, out, |out| schema(value, out));
}

fn requirement(value: &Value, out: &mut Vec<u8>) {
    let scopes: Write = |value, out| field(1, &Holds::Texts, value, out);
    entries(1, value, scopes, out);
}

/// Security definitions: ours are keys only.
fn security_definitions(value: &Value, out: &mut Vec<u8>) {
    let key: Write = |value, out| {
        const TABLE: &[Field] = &[
            (1, "type", Holds::Text),
            (2, "name", Holds::Text),
            (3, "in", Holds::Text),
            (4, "description", Holds::Text),
        ];
        nested(2, out, |out| object(TABLE, 5, value, out));
    };
    entries(1, value, key, out);
}

#[cfg(test)]
mod tests {
    use prost::Message;

    use super::*;
    use crate::registry::Registry;

    /// Parts of gnostic's messages, read by a decoder of another make.
    #[derive(Message)]
    struct Document {
        #[prost(string, tag = "1")]
        swagger: String,
        #[prost(message, optional, tag = "8")]
        paths: Option<Paths>,
        #[prost(message, optional, tag = "9")]
        definitions: Option<Schemas>,
    }

    #[derive(Message)]
    struct Paths {
        #[prost(message, repeated, tag = "2")]
        paths: Vec<NamedPath>,
    }

    #[derive(Message)]
    struct NamedPath {
        #[prost(string, tag = "1")]
        name: String,
        #[prost(message, optional, tag = "2")]
        value: Option<Path>,
    }

    #[derive(Message)]
    struct Path {
        #[prost(message, optional, tag = "2")]
        get: Option<Operation>,
    }

    #[derive(Message)]
    struct Operation {
        #[prost(string, tag = "5")]
        id: String,
        #[prost(message, repeated, tag = "13")]
        extensions: Vec<NamedAny>,
    }

    #[derive(Message)]
    struct NamedAny {
        #[prost(string, tag = "1")]
        name: String,
        #[prost(message, optional, tag = "2")]
        value: Option<Text>,
    }

    #[derive(Message)]
    struct Text {
        #[prost(string, tag = "2")]
        yaml: String,
    }

    #[derive(Message)]
    struct Schemas {
        #[prost(message, repeated, tag = "1")]
        named: Vec<NamedSchema>,
    }

    #[derive(Message)]
    struct NamedSchema {
        #[prost(string, tag = "1")]
        name: String,
        #[prost(message, optional, tag = "2")]
        value: Option<Schema>,
    }

    #[derive(Message)]
    struct Schema {
        #[prost(string, tag = "1")]
        reference: String,
        #[prost(string, tag = "4")]
        description: String,
        #[prost(message, optional, tag = "22")]
        types: Option<Texts>,
        #[prost(message, optional, tag = "25")]
        properties: Option<Schemas>,
        #[prost(message, repeated, tag = "31")]
        extensions: Vec<NamedAny>,
    }

    #[derive(Message)]
    struct Texts {
        #[prost(string, repeated, tag = "1")]
        value: Vec<String>,
    }

    fn schema_named<'a>(schemas: &'a Schemas, name: &str) -> &'a Schema {
        let found = schemas.named.iter().find(|one| one.name == name).and_then(|one| one.value.as_ref());
        found.unwrap_or_else(|| panic!("no {name}"))
    }

    #[test]
    fn a_decoder_of_another_make_reads_the_document() {
        let json = super::super::v2_document(&Registry::built_in());
        let document = Document::decode(super::document(&json).as_slice()).unwrap();
        assert_eq!(document.swagger, "2.0");
        let count = |member: &str| json[member].as_object().unwrap().len();
        let (paths, definitions) = (document.paths.unwrap().paths, document.definitions.unwrap());
        assert_eq!((paths.len(), definitions.named.len()), (count("paths"), count("definitions")));
        let pods = paths.iter().find(|one| one.name == "/api/v1/namespaces/{namespace}/pods").unwrap();
        let get = pods.value.as_ref().unwrap().get.as_ref().unwrap();
        assert_eq!(get.id, "listCoreV1NamespacedPod");
        let action = get.extensions.iter().find(|one| one.name == "x-kubernetes-action").unwrap();
        assert_eq!(action.value.as_ref().unwrap().yaml, "\"list\"\n");
        let pod = schema_named(&definitions, "io.k8s.api.core.v1.Pod");
        assert_eq!(pod.types.as_ref().unwrap().value, ["object"]);
        let spec = schema_named(pod.properties.as_ref().unwrap(), "spec");
        assert_eq!(spec.reference, "#/definitions/io.k8s.api.core.v1.PodSpec");
        assert!(spec.description.starts_with("Specification"));
        let container = schema_named(&definitions, "io.k8s.api.core.v1.Container");
        let ports = schema_named(container.properties.as_ref().unwrap(), "ports");
        let keys = ports.extensions.iter().find(|one| one.name == "x-kubernetes-list-map-keys").unwrap();
        assert_eq!(keys.value.as_ref().unwrap().yaml, "[\"containerPort\",\"protocol\"]\n");
    }

    #[test]
    fn no_word_of_a_schema_is_lost() {
        fn walk(schema: &Value) {
            for (name, value) in schema.as_object().unwrap() {
                let known = name.starts_with("x-") || SCHEMA.iter().any(|(_, one, _)| one == name);
                assert!(known, "{name} has no place");
                match name.as_str() {
                    "properties" => value.as_object().unwrap().values().for_each(walk),
                    "items" | "additionalProperties" if value.is_object() => walk(value),
                    _ => {}
                }
            }
        }
        let json = super::super::v2_document(&Registry::built_in());
        json["definitions"].as_object().unwrap().values().for_each(walk);
    }
}
