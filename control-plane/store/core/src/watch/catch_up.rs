//! Reading the history for a watcher that is behind.

use bytes::Bytes;

use crate::encoding::{kv_key, rev_start, split_rev};
use crate::record::{Change, Event, State, Version};
use crate::watch::{Message, Spec, WatchId, pack};
use crate::{Fault, Revision, Space, View};

/// A part of the history, as messages for the watcher.
#[derive(Debug, PartialEq, Eq)]
pub enum Chunk {
    /// Whole revisions, in order.
    Part {
        /// The messages; none when nothing in this part is of interest.
        messages: Vec<Message>,
        /// The revision the next part begins with.
        next: Revision,
        /// Whether this part reaches the newest revision of the view.
        level: bool,
    },
    /// The history it needs is gone: the watcher is cancelled.
    Compacted {
        /// The compacted revision.
        compacted: Revision,
        /// The newest one.
        revision: Revision,
    },
}

/// Reads about `budget` changes from revision `from` on, never part of a revision.
pub fn read(
    view: &dyn View,
    watch: WatchId,
    spec: &Spec,
    from: Revision,
    budget: usize,
    max_bytes: usize,
) -> Result<Chunk, Fault> {
    let state = State::load(view)?;
    if from < state.compacted {
        return Ok(Chunk::Compacted { compacted: state.compacted, revision: state.revision });
    }
    let mut events = Vec::new();
    let mut bytes = 0;
    let mut seen = 0;
    let mut at = from;
    let mut next = state.revision.next().max(from);
    let mut level = true;
    let mut cursor = view.cursor(Space::Rev, &rev_start(from), Some(&rev_start(state.revision.next())))?;
    while let Some((key, value)) = cursor.entry() {
        let (place, deletion) = split_rev(key)?;
        if place.revision != at {
            if seen >= budget || bytes >= max_bytes {
                (next, level) = (place.revision, false);
                break;
            }
            at = place.revision;
        }
        seen += 1;
        let change = Change::decode(Bytes::copy_from_slice(value))?;
        let wanted = if deletion { spec.deletions } else { spec.puts };
        if wanted && spec.keys.contains(&change.key) {
            let event = if deletion {
                Event::delete(change.key, place, change.previous)
            } else {
                let stored = view
                    .get(Space::Kv, &kv_key(&change.key, place.revision))?
                    .ok_or(Fault::Corrupt("a change without its version"))?;
                let pair = Version::decode(&stored)?.pair.ok_or(Fault::Corrupt("a put whose version is a deletion"))?;
                Event::put(change.key, place, change.previous, pair)
            };
            let encoded = if spec.previous { event.with_previous(view)? } else { event.encoded };
            bytes += encoded.len();
            events.push((place.revision, encoded));
        }
        cursor.next()?;
    }
    let messages = pack(watch, spec, state.revision, events, max_bytes);
    Ok(Chunk::Part { messages, next, level })
}
