//! The checksum of the history, as etcd computes it: equal to the one of an etcd that went through the same requests.

use bytes::Bytes;
use prost::Message;
use proto::mvccpb::KeyValue;

use crate::encoding::{kv_key, rev_start, split_rev};
use crate::record::{Change, State, Version};
use crate::{Failure, Fault, Refusal, Revision, Space, View};

/// The result of [`hash_kv`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HistoryHash {
    /// CRC-32C over the bucket's name and every key and value that counts.
    pub hash: u32,
    /// The compacted revision it was made at.
    pub compacted: Revision,
    /// The revision up to which it counts.
    pub revision: Revision,
}

/// Hashes the history up to `revision` (0 = the newest).
///
/// What compaction will remove does not count, so it does not matter how far the removal has come.
pub fn hash_kv(view: &dyn View, state: &State, revision: i64) -> Result<HistoryHash, Failure> {
    let revision = if revision == 0 { state.revision } else { Revision(revision) };
    if revision > state.revision {
        return Err(Refusal::FutureRevision.into());
    }
    if revision < state.compacted {
        return Err(Refusal::Compacted.into());
    }
    let mut hash = crc32c::crc32c(b"key");
    let mut cursor = view.cursor(Space::Rev, &rev_start(Revision(0)), Some(&rev_start(revision.next())))?;
    while let Some((key, value)) = cursor.entry() {
        let (place, deletion) = split_rev(key)?;
        let change = Change::decode(Bytes::copy_from_slice(value))?;
        if place.revision > state.compacted || (!deletion && survives(view, state, &change.key, place.revision)?) {
            hash = crc32c::crc32c_append(hash, key);
            let stored = view
                .get(Space::Kv, &kv_key(&change.key, place.revision))?
                .ok_or(Fault::Corrupt("a change without its version"))?;
            hash = if let Some(pair) = Version::decode(&stored)?.pair {
                crc32c::crc32c_append(hash, pair)
            } else {
                // What etcd stores for a deletion: the pair with nothing but its key.
                let pair = KeyValue { key: change.key, ..KeyValue::default() };
                crc32c::crc32c_append(hash, &pair.encode_to_vec())
            };
        }
        cursor.next()?;
    }
    Ok(HistoryHash { hash, compacted: state.compacted, revision })
}

/// Whether a put at or below the compacted revision is the version of its key that is readable there.
fn survives(view: &dyn View, state: &State, key: &[u8], revision: Revision) -> Result<bool, Fault> {
    let mut newest = kv_key(key, state.compacted);
    let group = newest.len() - 8;
    let cursor = view.cursor(Space::Kv, &newest, None)?;
    let Some((found, _)) = cursor.entry() else { return Ok(false) };
    newest.truncate(group);
    Ok(found.starts_with(&newest) && crate::encoding::split_kv(found)?.1 == revision)
}
