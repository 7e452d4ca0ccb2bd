//! The forms an object can be asked for in: Table and metadata only.

use jiff::Timestamp;
use serde_json::{Map, Value, json};

use crate::object::Object;
use crate::options::IncludeObject;
use crate::resource::Resource;
pub use crate::time::age;

/// A `meta.k8s.io/v1` Table of objects. `metadata` is the list's (or, for one object, holds its resource version).
/// Column definitions are left out when `with_columns` is false: only the first event of a watch carries them.
pub fn table<'a>(
    resource: &Resource,
    metadata: &Map<String, Value>,
    objects: impl IntoIterator<Item = &'a Object>,
    include: IncludeObject,
    with_columns: bool,
    now: Timestamp,
) -> Value {
    let columns: Vec<Value> = if with_columns {
        resource
            .columns
            .iter()
            .map(|column| {
                json!({
                    "name": column.name, "type": column.kind, "format": column.format, "description": column.description,
                    "priority": column.priority,
                })
            })
            .collect()
    } else {
        Vec::new()
    };
    let rows: Vec<Value> = objects
        .into_iter()
        .map(|object| {
            let mut cells = resource.strategy.cells(object, now);
            cells.resize(resource.columns.len(), Value::from(""));
            let mut row = json!({ "cells": cells });
            match include {
                IncludeObject::None => {}
                IncludeObject::Metadata => row["object"] = partial_object(object),
                IncludeObject::Object => row["object"] = object.clone().into_value(),
            }
            row
        })
        .collect();
    json!({
        "kind": "Table", "apiVersion": "meta.k8s.io/v1", "metadata": metadata, "columnDefinitions": columns, "rows": rows,
    })
}

/// `PartialObjectMetadata` of an object.
pub fn partial_object(object: &Object) -> Value {
    json!({
        "kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1",
        "metadata": object.at(&["metadata"]).cloned().unwrap_or_else(|| json!({})),
    })
}

/// `PartialObjectMetadataList` of objects.
pub fn partial_object_list<'a>(metadata: &Map<String, Value>, objects: impl IntoIterator<Item = &'a Object>) -> Value {
    let items: Vec<Value> = objects.into_iter().map(partial_object).collect();
    json!({ "kind": "PartialObjectMetadataList", "apiVersion": "meta.k8s.io/v1", "metadata": metadata, "items": items })
}

/// The cells `Name` and `Age`.
pub fn name_and_age(object: &Object, now: Timestamp) -> Vec<Value> {
    vec![object.name().unwrap_or_default().into(), age(object.creation_timestamp(), now).into()]
}

/// The cells `Name` and `Created At`, of kinds whose tables upstream leaves to its default.
pub fn name_and_creation(object: &Object) -> Vec<Value> {
    vec![object.name().unwrap_or_default().into(), object.creation_timestamp().unwrap_or_default().into()]
}
