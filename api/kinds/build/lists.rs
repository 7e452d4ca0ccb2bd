//! Joins the table of list rules into the schemas.

use std::collections::BTreeMap;
use std::fs;

use serde_json::{Map, Value};

/// The table.
pub(crate) const FILE: &str = "lists.txt";

/// Writes the rules into the schemas, and fails the build when the two do not cover each other.
pub(crate) fn apply(definitions: &mut BTreeMap<String, Value>) {
    let text = fs::read_to_string(FILE).expect("lists.txt is in the folder of the crate");
    let mut rules: BTreeMap<(String, String), [String; 4]> = BTreeMap::new();
    for line in text.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
        let words: Vec<&str> = line.split(' ').collect();
        let [definition, field, strategy, key, list_type, map_keys] = words.as_slice() else {
            panic!("{FILE}: not six columns: {line}");
        };
        let cells = [strategy, key, list_type, map_keys].map(|cell| (*cell).to_owned());
        let old = rules.insert((format!("io.k8s.{definition}"), (*field).to_owned()), cells);
        assert!(old.is_none(), "{FILE}: twice: {line}");
    }
    let mut missing = Vec::new();
    for (name, definition) in definitions.iter_mut() {
        let Some(properties) = definition.get_mut("properties").and_then(Value::as_object_mut) else { continue };
        if properties.contains_key("items") && name.ends_with("List") {
            continue;
        }
        for (field, schema) in properties.iter_mut() {
            if schema.get("type").and_then(Value::as_str) != Some("array") {
                continue;
            }
            match rules.remove(&(name.clone(), field.clone())) {
                Some(rule) => annotate(schema.as_object_mut().expect("a schema is an object"), &rule),
                None => missing.push(format!("{name} {field}")),
            }
        }
    }
    assert!(missing.is_empty(), "{FILE}: no rows for {missing:?}");
    assert!(rules.is_empty(), "{FILE}: rows for no field: {:?}", rules.keys());
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
