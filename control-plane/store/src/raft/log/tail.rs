//! The newest entries of the log in memory: readable before they are durable, and replicated and applied without a disk
//! read.

use std::collections::VecDeque;

use crate::raft::Entry;

/// Durable entries beyond this many bytes are let go of. Smaller: a slow follower costs disk reads earlier.
const MAX_BYTES: usize = 8 << 20;

/// Consecutive entries, the last one being the last of the log.
#[derive(Debug, Default)]
pub(super) struct Tail {
    entries: VecDeque<(Entry, usize)>,
    /// The index of the first entry held, or of the next one to come.
    first: u64,
    bytes: usize,
    /// The first index that is not yet durable.
    durable: u64,
}

impl Tail {
    /// An empty tail behind the last entry of the log.
    pub(super) fn behind(last: Option<u64>) -> Self {
        let next = last.map_or(0, |index| index + 1);
        Self { first: next, durable: next, ..Self::default() }
    }

    /// The index from which on everything is held.
    pub(super) fn first(&self) -> u64 {
        self.first
    }

    pub(super) fn push(&mut self, entry: Entry, bytes: usize) {
        if self.entries.is_empty() {
            self.first = entry.log_id.index;
        }
        self.bytes += bytes;
        self.entries.push_back((entry, bytes));
        self.shrink();
    }

    /// Everything below `next` is on disk.
    pub(super) fn made_durable(&mut self, next: u64) {
        self.durable = self.durable.max(next);
        self.shrink();
    }

    /// Entries of a range, at most `max_bytes` of them but always one if there is one.
    pub(super) fn range(&self, start: u64, end: u64, max_bytes: usize) -> Vec<Entry> {
        let skip = start.saturating_sub(self.first) as usize;
        let take = end.saturating_sub(start.max(self.first)) as usize;
        let mut sum = 0;
        let fits = |(entry, bytes): &(Entry, usize)| {
            let first = sum == 0;
            sum += bytes;
            (first || sum <= max_bytes).then(|| entry.clone())
        };
        self.entries.iter().skip(skip).take(take).map_while(fits).collect()
    }

    /// Drops everything from index `from` on.
    pub(super) fn truncate(&mut self, from: u64) {
        while let Some((_, bytes)) = self.entries.pop_back_if(|(entry, _)| entry.log_id.index >= from) {
            self.bytes -= bytes;
        }
        if self.entries.is_empty() {
            self.first = from;
        }
        self.durable = self.durable.min(from);
    }

    /// Drops everything before index `upto`.
    pub(super) fn purge(&mut self, upto: u64) {
        while let Some((_, bytes)) = self.entries.pop_front_if(|(entry, _)| entry.log_id.index < upto) {
            self.bytes -= bytes;
            self.first += 1;
        }
        self.first = self.first.max(upto);
    }

    fn shrink(&mut self) {
        while self.bytes > MAX_BYTES
            && let Some((_, bytes)) = self.entries.pop_front_if(|(entry, _)| entry.log_id.index < self.durable)
        {
            self.bytes -= bytes;
            self.first += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::raft::codec::log_id;
    use openraft::EntryPayload;

    fn entry(index: u64) -> Entry {
        Entry { log_id: log_id(1, index), payload: EntryPayload::Blank }
    }

    fn held(tail: &Tail) -> Vec<u64> {
        tail.range(0, u64::MAX, usize::MAX).into_iter().map(|entry| entry.log_id.index).collect()
    }

    #[test]
    fn holds_what_is_not_durable_whatever_its_size() {
        let mut tail = Tail::behind(Some(4));
        for index in 5..9 {
            tail.push(entry(index), MAX_BYTES);
        }
        assert_eq!((tail.first(), held(&tail)), (5, vec![5, 6, 7, 8]));
        tail.made_durable(7);
        assert_eq!((tail.first(), held(&tail)), (7, vec![7, 8]));
        tail.made_durable(9);
        assert_eq!(held(&tail), [8]);
        assert_eq!(tail.range(8, 9, 1).len(), 1);
        assert_eq!(tail.range(2, 8, 1).len(), 0);
    }

    #[test]
    fn follows_truncation_and_purge() {
        let mut tail = Tail::behind(None);
        for index in 0..10 {
            tail.push(entry(index), 1);
        }
        assert_eq!(tail.range(2, 9, 3).len(), 3);
        tail.truncate(6);
        tail.purge(3);
        assert_eq!((tail.first(), held(&tail)), (3, vec![3, 4, 5]));
        tail.push(entry(6), 1);
        assert_eq!(held(&tail), [3, 4, 5, 6]);
        tail.purge(20);
        assert_eq!((tail.first(), held(&tail)), (20, vec![]));
    }
}
