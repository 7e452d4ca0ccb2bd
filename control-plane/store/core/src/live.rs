//! The live pairs in memory, for as long as they are few bytes: what a range at the newest revision is answered from
//! without a step through older versions.
//!
//! It decides nothing. The pairs of a revision are the same wherever they are read, so it is asked for those of one
//! revision, the one a view stands at, and has them or has not.

use std::collections::BTreeMap;
use std::ops::Bound;

use bytes::Bytes;

use crate::encoding::{group_key, split_kv};
use crate::interval::End;
use crate::overlay::Write;
use crate::range::{At, each_pair};
use crate::record::{State, Version, decode_pair, pair_of};
use crate::{Fault, KeyRange, Revision, Space, View};

/// What an entry takes besides its pair: its place in the map and what is shared with whoever is sent the pair.
const ENTRY: usize = 160;

/// The live pairs, or nothing.
#[derive(Debug, Default)]
pub struct Live(Option<Kept>);

/// The live pairs as they are at a revision.
#[derive(Debug)]
struct Kept {
    revision: Revision,
    /// Encoded pairs by key.
    pairs: BTreeMap<Bytes, Bytes>,
    bytes: usize,
    limit: usize,
}

impl Live {
    /// Reads the pairs of a view; keeps nothing when they are more than `limit` bytes.
    pub fn load(view: &dyn View, limit: usize) -> Result<Self, Fault> {
        let state = State::load(view)?;
        let mut kept = Kept { revision: state.revision, pairs: BTreeMap::new(), bytes: 0, limit };
        let all = KeyRange { start: Bytes::new(), end: End::Open };
        each_pair(view, &all, At::newest(&state), |pair| {
            kept.put(pair.share())?;
            Ok(kept.fits())
        })?;
        Ok(Self(kept.fits().then_some(kept)))
    }

    /// Follows the writes of applied commands to `revision`. They are in the order in which an [overlay](crate::Overlay)
    /// gives them.
    pub fn follow(&mut self, writes: &[Write], revision: Revision) -> Result<(), Fault> {
        // Taken out, so that nothing is kept of what could be followed only halfway.
        let Some(mut kept) = self.0.take() else { return Ok(()) };
        kept.revision = revision;
        // From the back: the newest version of a key comes before its older ones.
        for write in writes.iter().rev().filter(|write| write.space == Space::Kv) {
            let value = write.value.as_ref().ok_or(Fault::Corrupt("a command removed a version"))?;
            if Version::decode(value)?.pair.is_some() {
                kept.put(pair_of(value))?;
            } else {
                kept.remove(&group_key(split_kv(&write.key)?.0));
            }
        }
        self.0 = kept.fits().then_some(kept);
        Ok(())
    }

    /// Visits the pairs of a range as they are at `revision`, in key order, until `visit` says no. `false`, and no visit,
    /// when they are not here.
    pub fn visit(&self, revision: Revision, keys: &KeyRange, visit: &mut dyn FnMut(&Bytes) -> bool) -> bool {
        let Some(kept) = self.0.as_ref().filter(|kept| kept.revision == revision) else { return false };
        let start = keys.start.as_ref();
        let end = match &keys.end {
            End::Single => Bound::Included(start),
            End::Before(_) if keys.is_empty() => return true,
            End::Before(end) => Bound::Excluded(end.as_ref()),
            End::Open => Bound::Unbounded,
        };
        for pair in kept.pairs.range::<[u8], _>((Bound::Included(start), end)).map(|(_, pair)| pair) {
            if !visit(pair) {
                break;
            }
        }
        true
    }
}

impl Kept {
    fn put(&mut self, pair: Bytes) -> Result<(), Fault> {
        // The key is a part of the pair's own bytes.
        let key = decode_pair(pair.clone())?.key;
        self.bytes += ENTRY + pair.len();
        // The entry that is there keeps the old pair's key, and with it the old pair.
        self.remove(&key);
        self.pairs.insert(key, pair);
        Ok(())
    }

    fn remove(&mut self, key: &[u8]) {
        if let Some(pair) = self.pairs.remove(key) {
            self.bytes -= ENTRY + pair.len();
        }
    }

    fn fits(&self) -> bool {
        self.bytes <= self.limit
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Overlay;
    use crate::apply::apply;
    use crate::memory::Memory;
    use proto::etcdserverpb::{DeleteRangeRequest, PutRequest};
    use proto::store::Command;
    use proto::store::command::Op;

    struct Store {
        memory: Memory,
        live: Live,
        state: State,
    }

    impl Store {
        fn new(limit: usize) -> Self {
            let memory = Memory::default();
            let live = Live::load(&memory, limit).unwrap();
            Self { memory, live, state: State::EMPTY }
        }

        /// Applies commands in one batch.
        fn apply(&mut self, ops: Vec<Op>) {
            let mut overlay = Overlay::new(&self.memory);
            for op in ops {
                apply(&mut overlay, &mut self.state, &Command { op: Some(op), ..Command::default() }).unwrap();
            }
            let (key, value) = self.state.record();
            overlay.put(Space::Meta, key, value);
            let writes = overlay.into_writes();
            self.live.follow(&writes, self.state.revision).unwrap();
            self.memory.absorb(writes);
        }

        fn kept(&self, keys: &KeyRange) -> Option<Vec<Bytes>> {
            let mut found = Vec::new();
            let had = self.live.visit(self.state.revision, keys, &mut |pair| {
                found.push(pair.clone());
                true
            });
            had.then_some(found)
        }

        fn stored(&self, keys: &KeyRange) -> Vec<Bytes> {
            let mut found = Vec::new();
            each_pair(&self.memory, keys, At::newest(&self.state), |pair| {
                found.push(pair.share());
                Ok(true)
            })
            .unwrap();
            found
        }
    }

    fn put(key: &'static [u8], value: &str) -> Op {
        Op::Put(PutRequest { key: Bytes::from_static(key), value: value.to_owned().into(), ..PutRequest::default() })
    }

    fn delete(key: &'static [u8]) -> Op {
        Op::DeleteRange(DeleteRangeRequest { key: Bytes::from_static(key), ..DeleteRangeRequest::default() })
    }

    fn ranges() -> Vec<KeyRange> {
        let ends: [&[u8]; 6] = [b"", b"\0", b"a\0", b"b", b"c", b"\xff"];
        let starts: [&[u8]; 5] = [b"\0", b"a", b"a\0", b"b", b"x"];
        let range = |start, end| KeyRange::new(Bytes::from_static(start), &Bytes::from_static(end));
        starts.iter().flat_map(|start| ends.iter().map(move |end| range(start, end))).collect()
    }

    #[test]
    fn it_holds_what_a_walk_through_the_state_finds() {
        let mut store = Store::new(1 << 20);
        let batches = [
            vec![put(b"a", "1"), put(b"b", "1"), put(b"\0", "1"), put(b"a\0b", "1")],
            vec![put(b"a", "2"), put(b"a", "3"), delete(b"b"), put(b"c", "1")],
            vec![delete(b"a\0b"), put(b"a\0b", "2"), put(b"b", "2"), delete(b"b"), delete(b"\0")],
            vec![],
            vec![put(b"\xff", "1")],
        ];
        for batch in batches {
            store.apply(batch);
            for keys in ranges() {
                assert_eq!(store.kept(&keys), Some(store.stored(&keys)), "{keys:?}");
            }
            let again = Live::load(&store.memory, 1 << 20).unwrap().0.unwrap();
            let kept = store.live.0.as_ref().unwrap();
            assert_eq!((&again.pairs, again.bytes), (&kept.pairs, kept.bytes));
        }
        assert!(!store.live.visit(Revision(store.state.revision.0 - 1), &ranges()[0], &mut |_| true));
    }

    #[test]
    fn what_is_too_much_is_not_kept() {
        let mut store = Store::new(2 * ENTRY + 100);
        store.apply(vec![put(b"a", "1"), put(b"b", "1")]);
        store.apply(vec![put(b"a", "2"), put(b"b", "2")]);
        assert!(store.kept(&ranges()[0]).is_some());
        store.apply(vec![put(b"c", "1")]);
        assert_eq!(store.kept(&ranges()[0]), None);
        store.apply(vec![delete(b"c")]);
        assert_eq!(store.kept(&ranges()[0]), None, "what was not followed is not known");
        assert!(Live::load(&store.memory, 100).unwrap().0.is_none());
    }
}
