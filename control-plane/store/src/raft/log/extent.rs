//! How many bytes the log holds, and up to where it must be purged to hold fewer: entries are counted by openraft, but
//! ten thousand of them may be a megabyte or fifteen gigabytes.

use std::collections::VecDeque;

/// Entries are counted together until they have this many bytes, so that a long log of small entries costs no memory.
const GROUP_BYTES: u64 = 1 << 20;

/// Consecutive entries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Group {
    last: u64,
    bytes: u64,
}

/// The sizes of the entries of a log, to about a mebibyte.
#[derive(Debug, Default)]
pub(super) struct Extent {
    groups: VecDeque<Group>,
    bytes: u64,
    /// Bytes that were removed and may still be on the disk.
    purged: u64,
}

impl Extent {
    /// A log that was found with entries up to `last`, which take about `bytes`.
    pub(super) fn found(last: u64, bytes: u64) -> Self {
        Self { groups: VecDeque::from([Group { last, bytes }]), bytes, purged: 0 }
    }

    /// An entry was appended.
    pub(super) fn push(&mut self, index: u64, bytes: u64) {
        self.bytes += bytes;
        match self.groups.back_mut() {
            Some(group) if group.bytes < GROUP_BYTES => {
                group.last = index;
                group.bytes += bytes;
            }
            Some(_) | None => self.groups.push_back(Group { last: index, bytes }),
        }
    }

    /// Entries from `from` on were removed. A group that is cut keeps its bytes: they are counted too high until it goes.
    pub(super) fn truncate(&mut self, from: u64) {
        while let Some(group) = self.groups.pop_back_if(|group| group.last >= from) {
            let before = self.groups.back().map_or(0, |group| group.last);
            if before + 1 < from {
                self.groups.push_back(Group { last: from - 1, ..group });
                return;
            }
            self.bytes -= group.bytes;
        }
    }

    /// Entries below `next` were removed.
    pub(super) fn purge(&mut self, next: u64) {
        while let Some(group) = self.groups.pop_front_if(|group| group.last < next) {
            self.bytes -= group.bytes;
            self.purged += group.bytes;
        }
    }

    /// Whether so many bytes were removed since this was last true.
    pub(super) fn take_purged(&mut self, bytes: u64) -> bool {
        let enough = self.purged >= bytes;
        if enough {
            self.purged = 0;
        }
        enough
    }

    /// The last entry that must go for the log to hold half of `limit`; `None` when it holds no more than `limit`.
    pub(super) fn excess(&self, limit: u64) -> Option<u64> {
        if self.bytes <= limit {
            return None;
        }
        let mut left = self.bytes;
        let mut upto = None;
        for group in &self.groups {
            if left <= limit / 2 {
                break;
            }
            left -= group.bytes;
            upto = Some(group.last);
        }
        upto
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn log(entries: u64) -> Extent {
        let mut extent = Extent::default();
        (1..=entries).for_each(|index| extent.push(index, GROUP_BYTES / 4));
        extent
    }

    #[test]
    fn small_entries_share_a_group() {
        let extent = log(9);
        assert_eq!(extent.groups.len(), 3);
        assert_eq!(extent.bytes, 9 * GROUP_BYTES / 4);
    }

    #[test]
    fn what_is_too_much_is_named_by_its_last_entry() {
        let mut extent = log(40);
        assert_eq!(extent.excess(10 * GROUP_BYTES), None);
        assert_eq!(extent.excess(8 * GROUP_BYTES), Some(24), "four of ten mebibytes are left");
        extent.purge(25);
        assert_eq!(extent.bytes, 4 * GROUP_BYTES);
        assert!(!extent.take_purged(7 * GROUP_BYTES) && extent.take_purged(6 * GROUP_BYTES));
        assert!(!extent.take_purged(GROUP_BYTES), "they are counted once");
        assert_eq!(extent.excess(8 * GROUP_BYTES), None);
        assert_eq!(extent.excess(0), Some(40));
    }

    #[test]
    fn a_truncated_log_goes_on() {
        let mut extent = log(40);
        extent.truncate(21);
        assert_eq!(extent.bytes, 5 * GROUP_BYTES);
        extent.push(21, 1);
        assert_eq!(extent.excess(GROUP_BYTES), Some(20), "the new entry is a group of its own");
        extent.truncate(0);
        assert_eq!((extent.bytes, extent.groups.len()), (0, 0));
    }

    #[test]
    fn what_was_found_goes_as_a_whole() {
        let mut extent = Extent::found(1000, 5 * GROUP_BYTES);
        extent.push(1001, 10);
        assert_eq!(extent.excess(GROUP_BYTES), Some(1000));
        extent.purge(1000);
        assert_eq!(extent.bytes, 5 * GROUP_BYTES + 10, "its last entry is still there");
        extent.truncate(900);
        assert_eq!(extent.groups, [Group { last: 899, bytes: 5 * GROUP_BYTES }]);
        extent.purge(1002);
        assert_eq!(extent.bytes, 0);
    }
}
