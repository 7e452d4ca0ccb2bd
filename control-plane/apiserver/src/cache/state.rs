//! What the cache knows: the objects, and how they came to be so for a bounded while back.

use std::collections::VecDeque;
use std::ops::Bound;
use std::sync::Arc;

use imbl::OrdSet;

use super::event::CacheEvent;
use super::object::{CachedObject, Entry};

/// Events kept per resource. More let watchers be away or slow for longer and cost memory.
const MAX_EVENTS: usize = 8192;
/// Bytes of objects kept alive by the history per resource; the count above rules where objects are small.
const MAX_BYTES: usize = 24 << 20;
/// Events kept however large they are, so that a few large objects do not leave watchers without history.
const MIN_EVENTS: usize = 64;

/// Events whose frames are kept: what watchers that keep up have still to read. More would help those behind, and cost every
/// resource its history over again for each form it is watched in.
const FRAMED: usize = 512;

/// Every how many events the whole set is remembered. Fewer make old states slower to find, more cost memory.
const CHECKPOINT: u64 = 64;

/// The objects at one revision. Cheap to clone: the set is shared.
#[derive(Debug, Clone, Default)]
pub(crate) struct Snapshot {
    /// The revision.
    pub(crate) revision: i64,
    /// The objects, ordered by key.
    pub(crate) objects: OrdSet<Entry>,
}

impl Snapshot {
    /// The objects with keys from `start` on that begin with `prefix`.
    pub(crate) fn range<'a>(
        &'a self,
        prefix: &'a str,
        start: &'a str,
    ) -> impl Iterator<Item = &'a Arc<CachedObject>> + 'a {
        self.objects
            .range::<_, str>((Bound::Included(start.max(prefix)), Bound::Unbounded))
            .map(|entry| &entry.0)
            .take_while(move |object| object.key.starts_with(prefix))
    }

    /// One object.
    pub(crate) fn get(&self, key: &str) -> Option<&Arc<CachedObject>> {
        self.objects.get(key).map(|entry| &entry.0)
    }
}

/// A position in the history, between two events.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Cursor(u64);

/// The history does not reach back to the position asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Overrun {
    /// Revision from which on the history is whole.
    pub(crate) oldest: i64,
}

/// Some events in order.
#[derive(Debug, Default)]
pub(crate) struct Batch {
    /// The events.
    pub(crate) events: Vec<Arc<CacheEvent>>,
    /// If the batch ends at the present: everything up to this revision has been seen.
    pub(crate) reached: Option<i64>,
}

/// Objects and history.
#[derive(Debug, Default)]
pub(super) struct State {
    now: Snapshot,
    /// Bytes of the objects there are now.
    size: u64,
    history: VecDeque<Arc<CacheEvent>>,
    bytes: usize,
    /// Number of the first event in `history`.
    first: u64,
    /// The set before the first event in `history`; the history is whole for revisions after its revision.
    before: Snapshot,
}

impl State {
    /// Starts anew from a list. Every position handed out before is overrun.
    pub(super) fn reset(&mut self, snapshot: Snapshot) {
        self.first = self.end().0 + 1;
        self.history.clear();
        self.bytes = 0;
        self.size = snapshot.objects.iter().map(|entry| entry.0.json.len() as u64).sum();
        self.before = snapshot.clone();
        self.now = snapshot;
    }

    /// Takes in the change of one key at `revision`: its new object, or none for a deletion. Returns false if nothing
    /// changes, as for the deletion of a key that was never readable.
    pub(super) fn apply(&mut self, key: &str, revision: i64, object: Option<Arc<CachedObject>>) -> bool {
        let previous = match &object {
            Some(object) => self.now.objects.insert(Entry(Arc::clone(object))).map(|entry| entry.0),
            None => self.now.objects.remove(key).map(|entry| entry.0),
        };
        let bytes = |object: &Option<Arc<CachedObject>>| object.as_ref().map_or(0, |object| object.json.len() as u64);
        self.size = self.size + bytes(&object) - bytes(&previous);
        self.now.revision = self.now.revision.max(revision);
        if object.is_none() && previous.is_none() {
            return false;
        }
        // A clone shares the set, and what is shared must be copied by the next change: hence not after every event.
        let number = self.first + self.history.len() as u64;
        let checkpoint = number.is_multiple_of(CHECKPOINT).then(|| self.now.clone());
        let event = CacheEvent::new(revision, object, previous, checkpoint);
        self.bytes += event.size();
        self.history.push_back(Arc::new(event));
        if let Some(old) = self.history.len().checked_sub(FRAMED + 1) {
            self.history[old].forget_frames();
        }
        while self.history.len() > MAX_EVENTS || (self.bytes > MAX_BYTES && self.history.len() > MIN_EVENTS) {
            let Some(event) = self.history.pop_front() else { break };
            self.bytes -= event.size();
            self.first += 1;
            event.apply_to(&mut self.before);
        }
        true
    }

    /// Everything up to `revision` has been seen.
    pub(super) fn advance(&mut self, revision: i64) {
        self.now.revision = self.now.revision.max(revision);
    }

    pub(super) fn count(&self) -> usize {
        self.now.objects.len()
    }

    pub(super) fn size(&self) -> u64 {
        self.size
    }

    pub(super) fn get(&self, key: &str) -> Option<Arc<CachedObject>> {
        self.now.get(key).cloned()
    }

    pub(super) fn snapshot(&self) -> Snapshot {
        self.now.clone()
    }

    pub(super) fn snapshot_at(&self, revision: i64) -> Option<Snapshot> {
        if revision > self.now.revision || revision < self.before.revision {
            return None;
        }
        let behind = self.history.partition_point(|event| event.revision <= revision);
        let checkpoint = self.history.range(..behind).rposition(|event| event.checkpoint.is_some());
        let found = checkpoint.and_then(|at| Some((at + 1, self.history[at].checkpoint.clone()?)));
        let (from, mut snapshot) = found.unwrap_or_else(|| (0, self.before.clone()));
        for event in self.history.range(from..behind) {
            event.apply_to(&mut snapshot);
        }
        snapshot.revision = revision;
        Some(snapshot)
    }

    pub(super) fn end(&self) -> Cursor {
        Cursor(self.first + self.history.len() as u64)
    }

    pub(super) fn cursor_after(&self, revision: i64) -> Result<Cursor, Overrun> {
        if revision < self.before.revision {
            return Err(Overrun { oldest: self.before.revision });
        }
        Ok(Cursor(self.first + self.history.partition_point(|event| event.revision <= revision) as u64))
    }

    pub(super) fn events(&self, cursor: &mut Cursor, limit: usize) -> Result<Batch, Overrun> {
        let Some(skip) = cursor.0.checked_sub(self.first) else {
            return Err(Overrun { oldest: self.before.revision });
        };
        let events: Vec<_> = self.history.iter().skip(skip as usize).take(limit).cloned().collect();
        cursor.0 += events.len() as u64;
        let reached = (*cursor == self.end()).then_some(self.now.revision);
        Ok(Batch { events, reached })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use apiserver_core::Registry;

    fn object(name: &str, revision: i64, pad: usize) -> Arc<CachedObject> {
        let registry = Registry::built_in();
        let row = registry.lookup("", "v1", "configmaps").unwrap();
        let stored = format!(r#"{{"data":{{"x":"{}"}},"metadata":{{"name":"{name}"}}}}"#, "x".repeat(pad));
        Arc::new(CachedObject::read(row, &key(name), stored.as_bytes(), revision).unwrap())
    }

    fn key(name: &str) -> String {
        format!("/registry/configmaps/default/{name}")
    }

    fn put(state: &mut State, name: &str, revision: i64) {
        state.apply(&key(name), revision, Some(object(name, revision, 0)));
    }

    fn names(snapshot: &Snapshot) -> Vec<String> {
        let prefix = "/registry/configmaps/";
        let registry = Registry::built_in();
        let row = registry.lookup("", "v1", "configmaps").unwrap();
        snapshot.range(prefix, prefix).map(|object| object.field(row, "metadata.name").unwrap().to_owned()).collect()
    }

    #[test]
    fn a_snapshot_of_the_past_shows_the_past() {
        let mut state = State::default();
        state.reset(Snapshot { revision: 10, ..Snapshot::default() });
        put(&mut state, "b", 11);
        put(&mut state, "a", 13);
        state.apply(&key("b"), 15, None);
        assert_eq!(names(&state.snapshot()), ["a"]);
        assert_eq!(state.size(), state.snapshot().objects.iter().map(|entry| entry.0.json.len() as u64).sum::<u64>());
        assert_eq!(names(&state.snapshot_at(14).unwrap()), ["a", "b"]);
        assert_eq!(names(&state.snapshot_at(12).unwrap()), ["b"]);
        assert_eq!(names(&state.snapshot_at(10).unwrap()), Vec::<String>::new());
        assert!(state.snapshot_at(9).is_none());
        assert!(state.snapshot_at(16).is_none());
    }

    #[test]
    fn every_past_state_is_found_between_its_checkpoints() {
        let mut state = State::default();
        state.reset(Snapshot { revision: 0, ..Snapshot::default() });
        for revision in 1..=500 {
            let name = format!("m{:03}", revision % 100);
            if revision % 7 == 0 {
                state.apply(&key(&name), revision, None);
            } else {
                put(&mut state, &name, revision);
            }
        }
        // Each state again, from the beginning on.
        let mut again = State::default();
        again.reset(Snapshot { revision: 0, ..Snapshot::default() });
        for revision in 1..=500 {
            let name = format!("m{:03}", revision % 100);
            if revision % 7 == 0 {
                again.apply(&key(&name), revision, None);
            } else {
                put(&mut again, &name, revision);
            }
            assert_eq!(names(&state.snapshot_at(revision).unwrap()), names(&again.snapshot()), "at {revision}");
        }
    }

    #[test]
    fn a_cursor_sees_each_event_once_and_learns_how_far_it_is() {
        let mut state = State::default();
        state.reset(Snapshot { revision: 10, ..Snapshot::default() });
        for revision in 11..=15 {
            put(&mut state, "a", revision);
        }
        state.advance(20);
        let mut cursor = state.cursor_after(12).unwrap();
        let batch = state.events(&mut cursor, 2).unwrap();
        assert_eq!(batch.events.iter().map(|event| event.revision).collect::<Vec<_>>(), [13, 14]);
        assert_eq!(batch.reached, None);
        let batch = state.events(&mut cursor, 2).unwrap();
        assert_eq!(batch.events.len(), 1);
        assert_eq!(batch.reached, Some(20));
        assert_eq!(state.cursor_after(9), Err(Overrun { oldest: 10 }));
    }

    #[test]
    fn several_deletions_of_one_revision_stay_together() {
        let mut state = State::default();
        state.reset(Snapshot { revision: 1, ..Snapshot::default() });
        put(&mut state, "a", 2);
        put(&mut state, "b", 3);
        state.apply(&key("a"), 4, None);
        state.apply(&key("b"), 4, None);
        assert_eq!(names(&state.snapshot_at(4).unwrap()), Vec::<String>::new());
        assert_eq!(state.events(&mut state.cursor_after(3).unwrap(), 10).unwrap().events.len(), 2);
    }

    #[test]
    fn history_is_bounded_and_a_reader_left_behind_is_told() {
        let mut state = State::default();
        state.reset(Snapshot { revision: 1, ..Snapshot::default() });
        let mut slow = state.cursor_after(1).unwrap();
        for revision in 2..200 {
            state.apply(&key("big"), revision, Some(object("big", revision, 1 << 20)));
        }
        assert!(state.history.len() >= MIN_EVENTS && state.history.len() < 100);
        let overrun = state.events(&mut slow, 10).unwrap_err();
        assert_eq!(overrun.oldest, state.before.revision);
        assert!(state.snapshot_at(overrun.oldest).is_some());
    }

    #[test]
    fn a_fresh_start_overruns_every_position() {
        let mut state = State::default();
        state.reset(Snapshot { revision: 1, ..Snapshot::default() });
        let mut cursor = state.end();
        state.reset(Snapshot { revision: 9, ..Snapshot::default() });
        assert_eq!(state.events(&mut cursor, 1).unwrap_err(), Overrun { oldest: 9 });
    }
}
