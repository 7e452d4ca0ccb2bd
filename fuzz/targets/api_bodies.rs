//! Bodies of objects: JSON, YAML and protobuf. The first byte chooses the kind, the second the form.

#![no_main]

use std::sync::LazyLock;

use apiserver_core::decode::{FieldValidation, Format, decode_object};
use apiserver_core::{Registry, Resource, protobuf};
use libfuzzer_sys::fuzz_target;
use serde_json::{Map, Value};

static ROWS: LazyLock<Vec<std::sync::Arc<Resource>>> =
    LazyLock::new(|| Registry::built_in().iter().cloned().collect());

fuzz_target!(|data: &[u8]| {
    let [kind, form, body @ ..] = data else { return };
    let row = &ROWS[usize::from(*kind) % ROWS.len()];
    let json = match form % 3 {
        0 => return drop(decode_object(row, None, Format::Json, body, FieldValidation::Strict)),
        1 => return drop(decode_object(row, None, Format::Yaml, body, FieldValidation::Warn)),
        // Past the envelope, where there is more to find.
        _ => match protobuf::to_json(&row.schema, &protobuf::wrap(&row.api_version(), &row.kind, body)) {
            Ok(json) => json,
            Err(_) => return drop(protobuf::to_json(&row.schema, body)),
        },
    };
    drop(decode_object(row, None, Format::Json, &json, FieldValidation::Ignore));
    // What was understood can be said, and is then understood as the same.
    let object: Map<String, Value> = serde_json::from_slice(&json).expect("JSON of our own");
    let said = protobuf::wrap(&row.api_version(), &row.kind, &protobuf::message(&row.schema, &object));
    let again = protobuf::to_json(&row.schema, &said).expect("a message of our own");
    let once: Map<String, Value> = serde_json::from_slice(&again).expect("JSON of our own");
    let said = protobuf::wrap(&row.api_version(), &row.kind, &protobuf::message(&row.schema, &once));
    assert_eq!(protobuf::to_json(&row.schema, &said).ok(), Some(again));
});
