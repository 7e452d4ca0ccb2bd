//! Writes the schemas of the kinds we serve: k8s-openapi's types and texts, joined with our own table of list rules.
//!
//! The output is one JSON object from definition name to `OpenAPI` v3 schema. The program then carries data instead of 100,000 lines
//! of code that would build the same data.

use std::collections::BTreeMap;
use std::env;
use std::fs;
use std::path::PathBuf;

use k8s_openapi::Resource;
use k8s_openapi::api::coordination::v1 as coordination;
use k8s_openapi::api::core::v1 as core;
use k8s_openapi::api::events::v1 as events;
use k8s_openapi::apimachinery::pkg::apis::meta::v1 as meta;
use schemars::generate::SchemaSettings;
use schemars::{JsonSchema, SchemaGenerator};
use serde_json::{Map, Value, json};

const REF: &str = "#/components/schemas/";
const LISTS: &str = "lists.txt";

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-changed={LISTS}");
    let mut builder = Builder { generator: SchemaSettings::openapi3().into_generator(), kinds: Vec::new() };
    builder.kind::<core::Binding>();
    builder.kind_with_list::<core::ConfigMap>();
    builder.kind_with_list::<core::Endpoints>();
    builder.kind_with_list::<core::Event>();
    builder.kind_with_list::<core::Namespace>();
    builder.kind_with_list::<core::Node>();
    builder.kind_with_list::<core::Pod>();
    builder.kind_with_list::<core::Secret>();
    builder.kind_with_list::<core::Service>();
    builder.kind_with_list::<core::ServiceAccount>();
    builder.kind_with_list::<coordination::Lease>();
    builder.kind_with_list::<events::Event>();
    builder.kind::<meta::APIGroup>();
    builder.kind::<meta::APIGroupList>();
    builder.kind::<meta::APIResourceList>();
    builder.kind::<meta::APIVersions>();
    builder.kind::<meta::Status>();
    builder.plain::<meta::DeleteOptions>();
    builder.plain::<meta::ListMeta>();
    let mut definitions = builder.finish();
    apply_list_rules(&mut definitions);

    let out = PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets OUT_DIR")).join("definitions.json");
    fs::write(out, serde_json::to_string(&definitions).expect("JSON of JSON")).expect("OUT_DIR is writable");
}

struct Kind {
    definition: String,
    group: &'static str,
    version: &'static str,
    name: &'static str,
    listed: bool,
}

struct Builder {
    generator: SchemaGenerator,
    kinds: Vec<Kind>,
}

impl Builder {
    fn plain<T: JsonSchema>(&mut self) {
        self.generator.subschema_for::<T>();
    }

    fn kind<T: JsonSchema + Resource>(&mut self) {
        self.add::<T>(false);
    }

    fn kind_with_list<T: JsonSchema + Resource>(&mut self) {
        self.add::<T>(true);
    }

    fn add<T: JsonSchema + Resource>(&mut self, listed: bool) {
        self.generator.subschema_for::<T>();
        self.kinds.push(Kind {
            definition: T::schema_name().into_owned(),
            group: T::GROUP,
            version: T::VERSION,
            name: T::KIND,
            listed,
        });
    }

    fn finish(mut self) -> BTreeMap<String, Value> {
        let mut definitions: BTreeMap<String, Value> = self.generator.take_definitions(true).into_iter().collect();
        for kind in &self.kinds {
            let definition = definitions.get_mut(&kind.definition).expect("just generated");
            definition["x-kubernetes-group-version-kind"] =
                json!([{ "group": kind.group, "version": kind.version, "kind": kind.name }]);
            // The crate calls metadata required because its structs have it by value; the API does not.
            if let Some(required) = definition.get_mut("required").and_then(Value::as_array_mut) {
                required.retain(|field| field != "metadata");
                if required.is_empty() {
                    definition.as_object_mut().expect("a schema is an object").remove("required");
                }
            }
            if kind.listed {
                definitions.insert(format!("{}List", kind.definition), list_definition(kind));
            }
        }
        let scalars = [
            ("io.k8s.apimachinery.pkg.util.intstr.IntOrString", "integer", Some("int-or-string")),
            ("io.k8s.apimachinery.pkg.api.resource.Quantity", "number", None),
        ];
        for (name, other, format) in scalars {
            if let Some(Value::Object(schema)) = definitions.get_mut(name) {
                schema.remove("x-kubernetes-int-or-string");
                schema.insert("oneOf".into(), json!([{ "type": "string" }, { "type": other }]));
                if let Some(format) = format {
                    schema.insert("format".into(), format.into());
                }
            }
        }
        definitions
    }
}

/// Lists are generic in the crate, and have no schema there.
fn list_definition(kind: &Kind) -> Value {
    let meta = format!("{REF}io.k8s.apimachinery.pkg.apis.meta.v1.ListMeta");
    let name = kind.name;
    json!({
        "description": format!("{name}List is a list of {name} objects."),
        "type": "object",
        "required": ["items"],
        "properties": {
            "apiVersion": { "type": "string", "description": "APIVersion defines the versioned schema of this representation of an object. Servers should convert recognized schemas to the latest internal value, and may reject unrecognized values. More info: https://git.k8s.io/community/contributors/devel/sig-architecture/api-conventions.md#resources" },
            "kind": { "type": "string", "description": "Kind is a string value representing the REST resource this object represents. Servers may infer this from the endpoint the client submits requests to. Cannot be updated. In CamelCase. More info: https://git.k8s.io/community/contributors/devel/sig-architecture/api-conventions.md#types-kinds" },
            "metadata": { "allOf": [{ "$ref": meta }], "description": "Standard list metadata. More info: https://git.k8s.io/community/contributors/devel/sig-architecture/api-conventions.md#types-kinds" },
            "items": { "type": "array", "description": format!("The {name} objects."), "items": { "allOf": [{ "$ref": format!("{REF}{}", kind.definition) }] } },
        },
        "x-kubernetes-group-version-kind": [{ "group": kind.group, "version": kind.version, "kind": format!("{name}List") }],
    })
}

/// Joins the table into the schemas, and fails the build when the two do not cover each other.
fn apply_list_rules(definitions: &mut BTreeMap<String, Value>) {
    let text = fs::read_to_string(LISTS).expect("lists.txt is beside build.rs");
    let mut rules: BTreeMap<(String, String), [String; 4]> = BTreeMap::new();
    for line in text.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
        let words: Vec<&str> = line.split(' ').collect();
        let [definition, field, strategy, key, list_type, map_keys] = words.as_slice() else {
            panic!("{LISTS}: not six columns: {line}");
        };
        let cells = [strategy, key, list_type, map_keys].map(|cell| (*cell).to_owned());
        let old = rules.insert((format!("io.k8s.{definition}"), (*field).to_owned()), cells);
        assert!(old.is_none(), "{LISTS}: twice: {line}");
    }
    for (name, definition) in definitions.iter_mut() {
        let Some(properties) = definition.get_mut("properties").and_then(Value::as_object_mut) else { continue };
        if properties.contains_key("items") && name.ends_with("List") {
            continue;
        }
        for (field, schema) in properties.iter_mut() {
            if schema.get("type").and_then(Value::as_str) != Some("array") {
                continue;
            }
            let rule = rules
                .remove(&(name.clone(), field.clone()))
                .unwrap_or_else(|| panic!("{LISTS}: no row for {name} {field}"));
            annotate(schema.as_object_mut().expect("a schema is an object"), &rule);
        }
    }
    assert!(rules.is_empty(), "{LISTS}: rows for no field: {:?}", rules.keys());
}

fn annotate(schema: &mut Map<String, Value>, [strategy, key, list_type, map_keys]: &[String; 4]) {
    for (name, cell) in [
        ("x-kubernetes-patch-strategy", strategy),
        ("x-kubernetes-patch-merge-key", key),
        ("x-kubernetes-list-type", list_type),
    ] {
        if cell != "-" {
            schema.insert(name.into(), cell.clone().into());
        }
    }
    if map_keys != "-" {
        schema.insert("x-kubernetes-list-map-keys".into(), map_keys.split(',').collect());
    }
}
