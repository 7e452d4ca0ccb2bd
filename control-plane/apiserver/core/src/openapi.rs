//! OpenAPI documents, derived from the rows and the schemas of the kinds.

use serde_json::{Value, json};

use crate::registry::Registry;

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
    let _ = (registry, name);
    None
}

/// `/openapi/v3`: the index. `hash` gives the content hash of a named document.
pub fn v3_index(registry: &Registry, hash: impl Fn(&str) -> String) -> Value {
    let paths: serde_json::Map<String, Value> = v3_names(registry)
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
    let _ = registry;
    json!({ "swagger": "2.0", "info": { "title": "Kubernetes", "version": "v1.37.0" }, "paths": {}, "definitions": {} })
}

fn v3_name(group: &str, version: &str) -> String {
    if group.is_empty() { format!("api/{version}") } else { format!("apis/{group}/{version}") }
}
