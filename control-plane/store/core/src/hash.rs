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
/// What compaction will remove does not count, so it does not matter how far the removal has come. etcd goes further: of the
/// changes up to the compacted revision, only those puts count that are still the live version of their key at `revision`, or
/// all puts that are left when no key is alive there.
pub fn hash_kv(view: &dyn View, state: &State, revision: i64) -> Result<HistoryHash, Failure> {
    let revision = if revision == 0 { state.revision } else { Revision(revision) };
    if revision > state.revision {
        return Err(Refusal::FutureRevision.into());
    }
    if revision < state.compacted {
        return Err(Refusal::Compacted.into());
    }
    let mut hash = crc32c::crc32c(b"key");
    let mut something_lives = None;
    let mut cursor = view.cursor(Space::Rev, &rev_start(Revision(0)), Some(&rev_start(revision.next())))?;
    while let Some((key, value)) = cursor.entry() {
        let (place, deletion) = split_rev(key)?;
        let change = Change::decode(Bytes::copy_from_slice(value))?;
        let counts = if place.revision > state.compacted {
            true
        } else if deletion {
            false
        } else if newest_at(view, &change.key, revision)? == Some(place.revision) {
            true
        } else {
            let lives = match something_lives {
                Some(known) => known,
                None => *something_lives.insert(anything_lives(view, revision)?),
            };
            !lives && newest_at(view, &change.key, state.compacted)? == Some(place.revision)
        };
        if counts {
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

/// Hashes everything that went through the log: equal on members that applied the same entries.
pub fn hash_all(view: &dyn View, state: &State) -> Result<u32, Failure> {
    let mut hash = hash_kv(view, state, 0)?.hash;
    let mut add = |space: Space, lower: &[u8], upper: Option<&[u8]>| -> Result<(), Fault> {
        hash = crc32c::crc32c_append(hash, space.name().as_bytes());
        let mut cursor = view.cursor(space, lower, upper)?;
        while let Some((key, value)) = cursor.entry() {
            for part in [key, value] {
                hash = crc32c::crc32c_append(hash, &(part.len() as u64).to_be_bytes());
                hash = crc32c::crc32c_append(hash, part);
            }
            cursor.next()?;
        }
        Ok(())
    };
    for space in [Space::Cur, Space::Lease, Space::LeaseKey] {
        add(space, &[], None)?;
    }
    // Not all of `meta`: how far a member has come with removing what is compacted is its own affair.
    for prefix in [&b"alarm/"[..], b"auth/"] {
        add(Space::Meta, prefix, crate::interval::prefix_end(prefix).as_deref())?;
    }
    let (_, standing) = state.record();
    Ok(crc32c::crc32c_append(hash, &standing))
}

/// The revision of the newest change of a key up to `revision`.
fn newest_at(view: &dyn View, key: &[u8], revision: Revision) -> Result<Option<Revision>, Fault> {
    let mut newest = kv_key(key, revision);
    let group = newest.len() - 8;
    let cursor = view.cursor(Space::Kv, &newest, None)?;
    let Some((found, _)) = cursor.entry() else { return Ok(None) };
    newest.truncate(group);
    if found.starts_with(&newest) { Ok(Some(crate::encoding::split_kv(found)?.1)) } else { Ok(None) }
}

/// Whether any key is alive at `revision`. Found with the first key as a rule.
fn anything_lives(view: &dyn View, revision: Revision) -> Result<bool, Fault> {
    let mut cursor = view.cursor(Space::Rev, &rev_start(Revision(0)), Some(&rev_start(revision.next())))?;
    while let Some((key, value)) = cursor.entry() {
        let (place, deletion) = split_rev(key)?;
        let change = Change::decode(Bytes::copy_from_slice(value))?;
        if !deletion && newest_at(view, &change.key, revision)? == Some(place.revision) {
            return Ok(true);
        }
        cursor.next()?;
    }
    Ok(false)
}
