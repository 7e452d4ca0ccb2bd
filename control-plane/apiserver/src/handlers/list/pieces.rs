//! A list as it is written: in pieces of about the same size, as the client reads them, so that a list of any size needs no
//! more memory than its pieces and the objects, which are shared.

use std::sync::Arc;

use apiserver_core::options::IncludeObject;
use apiserver_core::table::row as row_of;
use apiserver_core::{Object, Resource, Status, protobuf};
use bytes::{Bytes, BytesMut};
use http::StatusCode;
use serde_json::{Map, Value, json};

use super::super::{in_version, meta_version, partial, table};
use crate::cache::CachedObject;
use crate::call::Call;
use crate::http::negotiate::Transform;
use crate::http::respond::{self, Answer};

/// Size of the pieces a list is sent in.
const PIECE: usize = 64 << 10;
/// Objects between two chances for other requests while messages are made: some milliseconds.
const STEP: usize = 64;

/// A list in JSON.
pub(super) fn text(
    call: &Call,
    metadata: &Map<String, Value>,
    objects: Vec<Arc<CachedObject>>,
) -> Result<Answer, Status> {
    let (head, item) = match call.form.transform {
        Transform::None => {
            let head =
                json!({ "kind": call.row.list_kind(), "apiVersion": call.row.api_version(), "metadata": metadata });
            (opened(head, "items"), Item::Whole)
        }
        Transform::Metadata { beta } => {
            let head = in_version(apiserver_core::table::partial_object_list(metadata, []), beta);
            (opened(head, "items"), Item::Metadata { beta })
        }
        Transform::Table { beta } => {
            let include = IncludeObject::parse(&call.query)?;
            let item = Item::Row { row: Arc::clone(&call.row), include, beta, now: jiff::Timestamp::now() };
            (opened(table(call, metadata, &[], true, beta)?, "rows"), item)
        }
    };
    let total = head.len() + objects.iter().map(|object| object.json.len() + 1).sum::<usize>();
    let rest = Rest::Text { objects: objects.into_iter(), item, first: true };
    Ok(answer(call, Pieces { head: Some(head.into()), rest, ended: false }, total))
}

/// A list in protobuf. The first to ask for an object pays for its message.
pub(super) async fn messages(call: &Call, metadata: &Map<String, Value>, objects: Vec<Arc<CachedObject>>) -> Answer {
    let row = &call.row;
    let (mut messages, mut total) = (Vec::with_capacity(objects.len()), 0);
    for (number, object) in objects.iter().enumerate() {
        let mut message = object.message(&row.schema);
        if let Transform::Metadata { .. } = call.form.transform {
            message.truncate(protobuf::metadata_length(&message));
        }
        total += protobuf::item_head(message.len()).len() + message.len();
        messages.push(message);
        if number % STEP == STEP - 1 {
            tokio::task::yield_now().await;
        }
    }
    let head = match call.form.transform {
        Transform::None | Transform::Table { .. } => {
            protobuf::list_head(&row.api_version(), &row.list_kind(), metadata, total)
        }
        Transform::Metadata { beta } => {
            protobuf::list_head(meta_version(beta), "PartialObjectMetadataList", metadata, total)
        }
    };
    let total = head.len() + total + protobuf::TAIL.len();
    answer(call, Pieces { head: Some(head.into()), rest: Rest::Messages(messages.into_iter()), ended: false }, total)
}

/// Sends a list whole if it is small, else in pieces.
fn answer(call: &Call, mut pieces: Pieces, total: usize) -> Answer {
    if total <= PIECE * 2 {
        let mut whole = BytesMut::with_capacity(total);
        for piece in pieces.by_ref() {
            whole.extend_from_slice(&piece);
        }
        return respond::encoded(StatusCode::OK, call.form.encoding, whole.freeze(), call.form);
    }
    respond::pieces(pieces, total, call.form)
}

/// What is written for each object in JSON.
enum Item {
    /// Its cached bytes.
    Whole,
    /// The row of a Table.
    Row { row: Arc<Resource>, include: IncludeObject, beta: bool, now: jiff::Timestamp },
    /// Its metadata.
    Metadata { beta: bool },
}

impl Item {
    fn write(&self, object: &CachedObject, piece: &mut BytesMut) {
        match self {
            Self::Whole => piece.extend_from_slice(&object.json),
            Self::Metadata { beta } => {
                piece.extend_from_slice(&partial(object.metadata(), *beta));
            }
            Self::Row { row, include, beta, now } => {
                let meta = meta_version(*beta);
                piece.extend_from_slice(&row_of(row, &object.json, object.metadata(), *include, meta, *now));
            }
        }
    }
}

/// What is still to be written.
enum Rest {
    Text { objects: std::vec::IntoIter<Arc<CachedObject>>, item: Item, first: bool },
    Messages(std::vec::IntoIter<Bytes>),
}

impl Rest {
    /// Writes the next item, or what comes behind the last and `false`.
    fn write(&mut self, piece: &mut BytesMut) -> bool {
        match self {
            Self::Text { objects, item, first } => {
                let Some(object) = objects.next() else {
                    piece.extend_from_slice(b"]}");
                    return false;
                };
                if !std::mem::take(first) {
                    piece.extend_from_slice(b",");
                }
                item.write(&object, piece);
            }
            Self::Messages(messages) => {
                let Some(message) = messages.next() else {
                    piece.extend_from_slice(protobuf::TAIL);
                    return false;
                };
                piece.extend_from_slice(&protobuf::item_head(message.len()));
                piece.extend_from_slice(&message);
            }
        }
        true
    }
}

/// A list in pieces of about [`PIECE`] bytes.
struct Pieces {
    head: Option<Bytes>,
    rest: Rest,
    ended: bool,
}

/// The text of an object up to and into its list `member`, which goes last.
pub(in super::super) fn opened(mut object: Value, member: &str) -> String {
    if let Some(object) = object.as_object_mut() {
        object.remove(member);
    }
    let mut text = object.to_string();
    text.pop();
    text.push_str(",\"");
    text.push_str(member);
    text.push_str("\":[");
    text
}

impl Iterator for Pieces {
    type Item = Bytes;

    fn next(&mut self) -> Option<Bytes> {
        if self.ended {
            return None;
        }
        let mut piece = BytesMut::with_capacity(PIECE);
        if let Some(head) = self.head.take() {
            piece.extend_from_slice(&head);
        }
        while piece.len() < PIECE && !self.ended {
            self.ended = !self.rest.write(&mut piece);
        }
        Some(piece.freeze())
    }
}

/// A list of encoded objects, whole, in the form the client asked for.
pub(in super::super) fn encoded<'a>(
    call: &Call,
    metadata: &Map<String, Value>,
    objects: impl IntoIterator<Item = &'a Bytes>,
) -> Result<Answer, Status> {
    let trees: Vec<Object> = objects
        .into_iter()
        .map(|json| Object::from_stored(json).map_err(Status::internal))
        .collect::<Result<_, _>>()?;
    let (definition, value) = match call.form.transform {
        Transform::Table { beta } => (String::new(), table(call, metadata, &trees, true, beta)?),
        Transform::Metadata { beta } => {
            let list = in_version(apiserver_core::table::partial_object_list(metadata, &trees), beta);
            (protobuf::PARTIAL_LIST.to_owned(), list)
        }
        Transform::None => {
            let items: Vec<Value> = trees.into_iter().map(Object::into_value).collect();
            let list = json!({
                "kind": call.row.list_kind(),
                "apiVersion": call.row.api_version(),
                "metadata": metadata,
                "items": items,
            });
            (format!("{}List", call.row.schema), list)
        }
    };
    Ok(respond::value(StatusCode::OK, &definition, &value, call.form))
}
