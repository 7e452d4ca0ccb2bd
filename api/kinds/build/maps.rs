//! Joins the table of maps and structs into the schemas.

use std::collections::BTreeMap;
use std::fs;

use serde_json::{Value, json};

/// The table.
pub(crate) const FILE: &str = "maps.txt";

const REF: &str = "#/components/schemas/";

/// Writes the rules into the schemas, and fails the build on a row for something that is not there.
pub(crate) fn apply(definitions: &mut BTreeMap<String, Value>) {
    let text = fs::read_to_string(FILE).expect("maps.txt is in the folder of the crate");
    for line in text.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
        let words: Vec<&str> = line.split(' ').collect();
        match words.as_slice() {
            ["atomic", name] => definition(definitions, name)["x-kubernetes-map-type"] = "atomic".into(),
            [word @ ("atomic" | "granular"), name, field] => {
                property(definitions, name, field)["x-kubernetes-map-type"] = (*word).into();
            }
            ["always", "*", field] => everywhere(definitions, field),
            ["always", name, field] => property(definitions, name, field)["default"] = json!({}),
            ["default", name, field, value] => property(definitions, name, field)["default"] = (*value).into(),
            ["default", name, field] => property(definitions, name, field)["default"] = "".into(),
            _ => panic!("{FILE}: what is this? {line}"),
        }
    }
}

fn definition<'a>(definitions: &'a mut BTreeMap<String, Value>, name: &str) -> &'a mut Value {
    definitions.get_mut(&format!("io.k8s.{name}")).unwrap_or_else(|| panic!("{FILE}: no type {name}"))
}

fn property<'a>(definitions: &'a mut BTreeMap<String, Value>, name: &str, field: &str) -> &'a mut Value {
    definition(definitions, name)["properties"]
        .get_mut(field)
        .unwrap_or_else(|| panic!("{FILE}: no field {field} of {name}"))
}

/// Marks every field of that name that holds a struct.
fn everywhere(definitions: &mut BTreeMap<String, Value>, field: &str) {
    let structs: Vec<String> =
        definitions.iter().filter(|(_, one)| one["type"] == "object").map(|(name, _)| format!("{REF}{name}")).collect();
    for definition in definitions.values_mut() {
        let Some(property) = definition.get_mut("properties").and_then(|all| all.get_mut(field)) else { continue };
        let reference = property["$ref"].as_str().or_else(|| property["allOf"][0]["$ref"].as_str());
        if reference.is_some_and(|reference| structs.iter().any(|one| one == reference)) {
            property["default"] = json!({});
        }
    }
}
