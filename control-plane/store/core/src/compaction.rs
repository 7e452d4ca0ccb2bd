//! Taking away versions nobody may read any more, in steps small enough to run beside everything else.
//!
//! The logical compaction is in [`State::compacted`] at once. What may go is found by walking the history: a change at or
//! below the compacted revision takes away the version it replaced; a deletion *below* it takes away itself. The deletion
//! at exactly the compacted revision stays, so that a watch opened there still sees it. Each record is removed once: a
//! creation names no previous version, and the walk goes on where it stopped.
//!
//! [`State::compacted`]: crate::record::State::compacted

use bytes::Bytes;

use crate::encoding::{kv_key, rev_key, rev_start, split_rev};
use crate::fingerprint::{self, Removed, Sum};
use crate::record::Change;
use crate::{Fault, Revision, Space, View};

const REMOVED: &[u8] = b"removed";

/// The revision up to which everything that may go is gone. Not part of the replicated state: members remove in their own
/// time.
pub fn removed(view: &dyn View) -> Result<Revision, Fault> {
    let Some(bytes) = view.get(Space::Meta, REMOVED)? else { return Ok(Revision::NEVER) };
    let bytes: [u8; 8] =
        bytes.as_ref().try_into().map_err(|_| Fault::Corrupt("malformed record of removed revisions"))?;
    Ok(Revision(i64::from_be_bytes(bytes)))
}

/// A record that is to go.
pub type Removal = (Space, Vec<u8>);

/// What one step removes and where the next one begins.
#[derive(Debug, PartialEq, Eq)]
pub struct Step {
    /// The records, each exactly once.
    pub removals: Vec<Removal>,
    /// What [`removed`] says from then on; written in the same batch.
    pub removed: Revision,
    /// The sum of everything that was ever removed, these records included; written in the same batch.
    pub sum: Sum,
    /// Whether everything up to the compacted revision is done.
    pub finished: bool,
}

impl Step {
    /// The records to write in the same batch as the removals: their keys in `meta` and their values.
    #[must_use]
    pub fn records(&self) -> [(&'static [u8], Vec<u8>); 2] {
        let sum = Removed { revision: self.removed, sum: self.sum };
        [(REMOVED, self.removed.0.to_be_bytes().to_vec()), sum.record()]
    }
}

/// Plans the next step towards `target`: about `budget` changes are looked at, never part of a revision.
///
/// `None`: nothing is left to do.
pub fn step(view: &dyn View, target: Revision, budget: usize) -> Result<Option<Step>, Fault> {
    let done = removed(view)?;
    if done >= target {
        return Ok(None);
    }
    let sum = Removed::load(view)?.map_or(Sum::default(), |removed| removed.sum);
    let mut step = Step { removals: Vec::new(), removed: target, sum, finished: true };
    // The revision where the last walk ended is looked at again: a deletion there stayed then, and may go now.
    let mut at = done.max(Revision(0));
    let mut cursor = view.cursor(Space::Rev, &rev_start(at), Some(&rev_start(target.next())))?;
    let mut seen = 0;
    while let Some((key, value)) = cursor.entry() {
        let (place, deletion) = split_rev(key)?;
        if place.revision != at {
            if seen >= budget {
                (step.removed, step.finished) = (at, false);
                break;
            }
            at = place.revision;
        }
        // What was seen before does not count, so each step gets further.
        seen += usize::from(place.revision > done);
        let change = Change::decode(Bytes::copy_from_slice(value))?;
        if deletion && place.revision < target {
            step.removals.push((Space::Kv, kv_key(&change.key, place.revision)));
            step.removals.push((Space::Rev, rev_key(place, true)));
        }
        if let Some(previous) = change.previous
            && place.revision > done
        {
            step.removals.push((Space::Kv, kv_key(&change.key, previous.revision)));
            step.removals.push((Space::Rev, rev_key(previous, false)));
        }
        cursor.next()?;
    }
    for (space, key) in &step.removals {
        // What is not there any more is missed when members compare their sums.
        if let Some(value) = view.get(*space, key)? {
            step.sum = step.sum.plus(fingerprint::of_record(*space, key, &value));
        }
    }
    Ok(Some(step))
}
