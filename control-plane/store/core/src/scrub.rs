//! A look at every record: whether all can be read and understood, whether what is kept twice is the same twice, and
//! whether the sum of all is the one that was kept along with every change.

use bytes::Bytes;

use crate::encoding::{kv_group, split_kv, split_rev};
use crate::fingerprint::{self, Sum};
use crate::record::{Change, Current, Version, decode_pair};
use crate::{Fault, Revision, Space, View};

/// What is wrong with a state.
#[derive(Debug, thiserror::Error)]
pub enum Damage {
    /// A record cannot be read or understood.
    #[error("a record cannot be read")]
    Unreadable(#[from] Fault),
    /// A version has another key or revision than the place where it is.
    #[error("a version of a key is in the wrong place")]
    Misplaced,
    /// Keys and history do not tell the same.
    #[error("the versions of keys and the history of changes differ")]
    HistoryDiffers,
    /// The live versions are not the newest ones.
    #[error("the live versions and the newest ones differ")]
    LiveDiffers,
}

/// Adds up a whole state. `go_on` hears of the bytes that were looked at, and says whether to go on; `None` when it did not.
///
/// # Errors
///
/// Says what is wrong with the state.
pub fn sum(view: &dyn View, go_on: &mut dyn FnMut(usize) -> bool) -> Result<Option<Sum>, Damage> {
    let mut all = Sum::default();
    // Two sums each, made from different spaces, which are equal if these say the same.
    let (mut versions, mut changes) = (Sum::default(), Sum::default());
    let (mut newest, mut live) = (Sum::default(), Sum::default());
    let mut last_group: Vec<u8> = Vec::new();
    for space in Space::ALL {
        let mut cursor = view.cursor(space, &[], None)?;
        while let Some((key, value)) = cursor.entry() {
            if !go_on(key.len() + value.len()) {
                return Ok(None);
            }
            if fingerprint::counts(space, key) {
                all = all.plus(fingerprint::of_record(space, key, value));
            }
            match space {
                Space::Kv => {
                    let (group, revision) = split_kv(key)?;
                    let version = Version::decode(value)?;
                    versions = versions.plus(link(group, revision, version.sub, version.pair.is_none()));
                    let is_newest = group != last_group;
                    if is_newest {
                        last_group = group.to_vec();
                    }
                    if let Some(pair) = version.pair {
                        let pair = decode_pair(Bytes::copy_from_slice(pair))?;
                        // A restored store may begin with a change that only moves the revision: it has nothing in it.
                        let is_empty = version.pair.is_some_and(<[u8]>::is_empty);
                        if kv_group(&pair.key) != group || (pair.mod_revision != revision.0 && !is_empty) {
                            return Err(Damage::Misplaced);
                        }
                        if is_newest {
                            let numbers = [pair.create_revision, pair.version, pair.lease];
                            newest = newest.plus(standing(group, revision, version.sub, numbers));
                        }
                    }
                }
                Space::Rev => {
                    let (place, deletion) = split_rev(key)?;
                    let change = Change::decode(Bytes::copy_from_slice(value))?;
                    changes = changes.plus(link(&kv_group(&change.key), place.revision, place.sub, deletion));
                }
                Space::Cur => {
                    let current = Current::decode(Bytes::copy_from_slice(value))?;
                    let numbers = [current.created.0, current.version, current.lease.0];
                    live = live.plus(standing(&kv_group(key), current.place.revision, current.place.sub, numbers));
                }
                Space::Lease | Space::LeaseKey | Space::Meta => {}
            }
            cursor.next()?;
        }
    }
    if versions != changes {
        return Err(Damage::HistoryDiffers);
    }
    if newest != live {
        return Err(Damage::LiveDiffers);
    }
    Ok(Some(all))
}

fn link(group: &[u8], revision: Revision, sub: u32, deletion: bool) -> Sum {
    fingerprint::hash(&[group, &revision.0.to_be_bytes(), &sub.to_be_bytes(), &[u8::from(deletion)]])
}

fn standing(group: &[u8], revision: Revision, sub: u32, numbers: [i64; 3]) -> Sum {
    let [created, version, lease] = numbers.map(i64::to_be_bytes);
    fingerprint::hash(&[group, &revision.0.to_be_bytes(), &sub.to_be_bytes(), &created, &version, &lease])
}
