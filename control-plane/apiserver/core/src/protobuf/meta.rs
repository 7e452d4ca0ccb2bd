//! Answers that are no kinds of the API, so that their numbers are here instead of in the table of the kinds: metadata alone,
//! and the aggregated form of discovery.

use serde_json::{Map, Value};

use super::encode::{self, nested, text};
use super::{AGGREGATED, PARTIAL, PARTIAL_LIST};

/// What a field holds.
enum Holds {
    Text,
    Texts,
    One(&'static [Field]),
    Many(&'static [Field]),
    Kind(&'static str),
}

type Field = (u32, &'static str, Holds);

const GROUP_VERSION_KIND: &[Field] =
    &[(1, "group", Holds::Text), (2, "version", Holds::Text), (3, "kind", Holds::Text)];
const SUBRESOURCE: &[Field] = &[
    (1, "subresource", Holds::Text),
    (2, "responseKind", Holds::One(GROUP_VERSION_KIND)),
    (3, "acceptedTypes", Holds::Many(GROUP_VERSION_KIND)),
    (4, "verbs", Holds::Texts),
];
const RESOURCE: &[Field] = &[
    (1, "resource", Holds::Text),
    (2, "responseKind", Holds::One(GROUP_VERSION_KIND)),
    (3, "scope", Holds::Text),
    (4, "singularResource", Holds::Text),
    (5, "verbs", Holds::Texts),
    (6, "shortNames", Holds::Texts),
    (7, "categories", Holds::Texts),
    (8, "subresources", Holds::Many(SUBRESOURCE)),
];
const VERSION: &[Field] =
    &[(1, "version", Holds::Text), (2, "resources", Holds::Many(RESOURCE)), (3, "freshness", Holds::Text)];
const GROUP: &[Field] = &[(1, "metadata", Holds::Kind(encode::OBJECT_META)), (2, "versions", Holds::Many(VERSION))];
const LIST: &[Field] = &[(1, "metadata", Holds::Kind(super::LIST_META)), (2, "items", Holds::Many(GROUP))];

const METADATA: &[Field] = &[(1, "metadata", Holds::Kind(encode::OBJECT_META))];
const METADATA_LIST: &[Field] = &[(1, "metadata", Holds::Kind(super::LIST_META)), (2, "items", Holds::Many(METADATA))];

/// Writes the message of an object if its definition is one of ours.
pub(super) fn write(definition: &str, object: &Map<String, Value>, out: &mut Vec<u8>) -> bool {
    let table = match definition {
        PARTIAL => METADATA,
        PARTIAL_LIST => METADATA_LIST,
        AGGREGATED => LIST,
        _ => return false,
    };
    fields(table, object, out);
    true
}

fn fields(table: &[Field], object: &Map<String, Value>, out: &mut Vec<u8>) {
    for (number, name, holds) in table {
        let Some(value) = object.get(*name) else { continue };
        let list = || value.as_array().into_iter().flatten();
        match holds {
            Holds::Text => text(*number, value.as_str().unwrap_or_default(), out),
            Holds::Texts => list().filter_map(Value::as_str).for_each(|one| text(*number, one, out)),
            Holds::One(table) => {
                if let Some(one) = value.as_object() {
                    nested(*number, out, |out| fields(table, one, out));
                }
            }
            Holds::Many(table) => {
                for one in list().filter_map(Value::as_object) {
                    nested(*number, out, |out| fields(table, one, out));
                }
            }
            Holds::Kind(definition) => {
                if let Some(one) = value.as_object() {
                    nested(*number, out, |out| encode::structure(definition, one, out));
                }
            }
        }
    }
}
