//! Protobuf: the second form objects travel in, from the JSON everything else works on and back to it.
//!
//! ```text
//!   k8s\0  Unknown { 1: { 1: apiVersion, 2: kind }, 2: the object's message, 3: "", 4: "" }     an object, a list, a Status
//!   length WatchEvent { 1: type, 2: { 1: an object as above } }                                 a frame of a watch
//! ```
//!
//! An object's message is read and written by the table of field numbers in [`kinds::wire`] and by the types of its schema, so
//! that a kind needs no code of its own. The message of an object does not hold its type: the messages of a list's items are
//! those of the objects alone, byte for byte, and are encoded once for all.

mod decode;
pub(crate) mod encode;
mod meta;
#[cfg(test)]
mod tests;

use serde_json::{Map, Value};

pub use decode::to_json;
use encode::{LENGTH_DELIMITED, nested, tag, text, varint};

/// Media type of bodies in this form.
pub const MEDIA_TYPE: &str = "application/vnd.kubernetes.protobuf";

/// Definition of [`crate::Status`].
pub const STATUS: &str = "io.k8s.apimachinery.pkg.apis.meta.v1.Status";

/// Stands for the definition of `PartialObjectMetadata`, which has none among the kinds.
pub const PARTIAL: &str = "io.k8s.apimachinery.pkg.apis.meta.v1.PartialObjectMetadata";

/// Stands for the definition of `PartialObjectMetadataList`.
pub const PARTIAL_LIST: &str = "io.k8s.apimachinery.pkg.apis.meta.v1.PartialObjectMetadataList";

/// Stands for the definition of `APIGroupDiscoveryList`.
pub const AGGREGATED: &str = "io.k8s.api.apidiscovery.v2.APIGroupDiscoveryList";

/// What follows the message in an envelope: the encoding and the type of the content, both empty.
pub const TAIL: &[u8] = &[3 << 3 | 2, 0, 4 << 3 | 2, 0];

const MAGIC: &[u8] = b"k8s\0";
const LIST_META: &str = "io.k8s.apimachinery.pkg.apis.meta.v1.ListMeta";

/// The message of an object, without its type. What the table of numbers does not know is left out.
pub fn message(definition: &str, object: &Map<String, Value>) -> Vec<u8> {
    let mut out = Vec::new();
    if !meta::write(definition, object, &mut out) {
        encode::structure(definition, object, &mut out);
    }
    out
}

/// An object whole, with its type in front of its message.
pub fn object(definition: &str, tree: &Value) -> Vec<u8> {
    let name = |member: &str| tree.get(member).and_then(Value::as_str).unwrap_or_default();
    let message = tree.as_object().map(|object| message(definition, object)).unwrap_or_default();
    wrap(name("apiVersion"), name("kind"), &message)
}

/// A message with its type in front.
pub fn wrap(api_version: &str, kind: &str, message: &[u8]) -> Vec<u8> {
    let mut out = head(api_version, kind, message.len());
    out.reserve_exact(message.len() + TAIL.len());
    out.extend_from_slice(message);
    out.extend_from_slice(TAIL);
    out
}

/// What comes before a message of `length` bytes; [`TAIL`] comes behind it.
pub fn head(api_version: &str, kind: &str, length: usize) -> Vec<u8> {
    let mut out = Vec::with_capacity(64);
    out.extend_from_slice(MAGIC);
    nested(1, &mut out, |out| {
        text(1, api_version, out);
        text(2, kind, out);
    });
    tag(2, LENGTH_DELIMITED, &mut out);
    varint(length as u64, &mut out);
    out
}

/// What comes before the items of a list whose items, each with its [`item_head`], take `items` bytes. [`TAIL`] ends the list.
pub fn list_head(api_version: &str, kind: &str, metadata: &Map<String, Value>, items: usize) -> Vec<u8> {
    let mut meta = Vec::new();
    nested(1, &mut meta, |out| encode::structure(LIST_META, metadata, out));
    let mut out = head(api_version, kind, meta.len() + items);
    out.extend_from_slice(&meta);
    out
}

/// What comes before one item of a list: its place and its length.
pub fn item_head(length: usize) -> Vec<u8> {
    let mut out = Vec::with_capacity(11);
    tag(2, LENGTH_DELIMITED, &mut out);
    varint(length as u64, &mut out);
    out
}

/// How much of an object's message is its metadata, which comes first: that part is the message of its
/// `PartialObjectMetadata`.
pub fn metadata_length(message: &[u8]) -> usize {
    let Some((1, decode::Wire::Bytes(metadata))) = decode::first(message) else { return 0 };
    // The borrowed metadata ends where the field does.
    metadata.as_ptr() as usize + metadata.len() - message.as_ptr() as usize
}

/// A frame of a watch around an object with its type in front.
pub fn watch_frame(kind: &str, object: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(object.len() + kind.len() + 24);
    out.extend_from_slice(&[0; 4]);
    text(1, kind, &mut out);
    nested(2, &mut out, |out| encode::bytes(1, object, out));
    let length = (out.len() - 4) as u32;
    out[..4].copy_from_slice(&length.to_be_bytes());
    out
}
