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
            let mut row = json!({ "cells": cells(resource, object, now) });
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

/// The row of an object, from its bytes, of which no more is read than the cells look at; one that cannot be read has the cells
/// of an empty one. `metadata` is its metadata as it is written there, and `meta` the group and version of the answer.
pub fn row(
    resource: &Resource,
    json: &[u8],
    metadata: &[u8],
    include: IncludeObject,
    meta: &str,
    now: Timestamp,
) -> Vec<u8> {
    let object = resource.cells_outline.read(json).unwrap_or_default();
    let cells = Value::Array(cells(resource, &object, now)).to_string();
    let cells: &[&[u8]] = &[br#"{"cells":"#, cells.as_bytes()];
    let object: &[&[u8]] = match include {
        IncludeObject::None => &[],
        IncludeObject::Metadata => &[
            br#","object":{"apiVersion":""#,
            meta.as_bytes(),
            br#"","kind":"PartialObjectMetadata","metadata":"#,
            metadata,
            b"}",
        ],
        IncludeObject::Object => &[br#","object":"#, json],
    };
    [cells, object, &[b"}"]].concat().concat()
}

fn cells(resource: &Resource, object: &Object, now: Timestamp) -> Vec<Value> {
    let mut cells = resource.strategy.cells(object, now);
    cells.resize(resource.columns.len(), Value::from(""));
    cells
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::robustness::Noise;
    use crate::registry::Registry;

    /// Objects per kind: enough to fill every member that cells look at, in many ways.
    const OBJECTS: u64 = 1000;

    #[test]
    fn a_row_from_bytes_is_that_of_the_tree_for_objects_of_every_kind() {
        let now = "2026-08-01T10:00:00Z".parse().unwrap();
        for resource in Registry::built_in().iter() {
            for number in 0..OBJECTS {
                let Value::Object(mut map) = Noise(number).fields(&resource.schema, 0) else { panic!("no object") };
                map.insert("metadata".into(), noisy_metadata(number));
                let object = Object::from_value(Value::Object(map)).unwrap();
                let json = object.to_bytes();
                let metadata = serde_json::to_vec(&object.at(&["metadata"])).unwrap();
                for include in [IncludeObject::None, IncludeObject::Metadata, IncludeObject::Object] {
                    let table = table(resource, &Map::new(), [&object], include, false, now);
                    let row = row(resource, &json, &metadata, include, "meta.k8s.io/v1", now);
                    let row = String::from_utf8(row).unwrap();
                    assert_eq!(row, table["rows"][0].to_string(), "{} {number}", resource.plural);
                }
            }
        }
    }

    fn noisy_metadata(number: u64) -> Value {
        let mut metadata = Noise(number + OBJECTS).fields("io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta", 0);
        if number.is_multiple_of(3) {
            metadata["deletionTimestamp"] = "2026-08-01T09:00:00Z".into();
        }
        metadata["annotations"]["storageclass.kubernetes.io/is-default-class"] = "true".into();
        metadata["annotations"]["other"] = "x".into();
        metadata["labels"]["node-role.kubernetes.io/a"] = "".into();
        metadata
    }

    #[test]
    fn bytes_that_cannot_be_read_still_have_a_row() {
        let registry = Registry::built_in();
        let now = "2026-08-01T10:00:00Z".parse().unwrap();
        let resource = registry.lookup("", "v1", "configmaps").unwrap();
        let row = row(resource, b"{", b"{}", IncludeObject::None, "meta.k8s.io/v1", now);
        assert_eq!(String::from_utf8(row).unwrap(), r#"{"cells":["",0,"<unknown>"]}"#);
    }
}
