//! The names of a backup's objects. They hold all that is needed to choose among the objects without opening any.

use std::fmt;

use super::record::Digest;
use super::{LogPlace, Moment};
use crate::Revision;

const SNAPSHOT: &str = "snapshot-";
const DATABASE: &str = ".db";
const SEGMENT: &str = "segment-";
const ENTRIES: &str = ".seg";

/// A chain: when it began, and a number that no other chain of that moment has. Later chains sort behind earlier ones.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct ChainName(String);

impl ChainName {
    /// Names a new chain.
    #[must_use]
    pub fn new(began: Moment, random: u32) -> Self {
        Self(format!("{began}-{random:08x}"))
    }

    /// Reads a name.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (began, random) = text.split_once('-')?;
        let name = Self::new(Moment::parse(began)?, u32::from_str_radix(random, 16).ok()?);
        (name.0 == text).then_some(name)
    }

    /// When it began.
    #[must_use]
    pub fn began(&self) -> Option<Moment> {
        Moment::parse(self.0.split_once('-')?.0)
    }

    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ChainName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A snapshot within its chain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SnapshotName {
    /// The last entry that is in it.
    pub place: LogPlace,
    /// Where the state stands.
    pub revision: Revision,
    /// When it was taken.
    pub time: Moment,
}

/// A segment within its chain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SegmentName {
    /// The index of its first entry.
    pub first: u64,
    /// Its last entry.
    pub last: LogPlace,
    /// Where the state stood behind the last entry, if the writer knew.
    pub revision: Option<Revision>,
    /// When the last entry had been applied.
    pub time: Moment,
    /// The chain's digest behind the last entry.
    pub digest: Digest,
}

/// What an object of a chain is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ObjectName {
    /// The state at one moment.
    Snapshot(SnapshotName),
    /// Entries of the log.
    Segment(SegmentName),
}

impl fmt::Display for SnapshotName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { place, revision, time } = self;
        write!(f, "{SNAPSHOT}{:016}-{}-r{revision}-{time}{DATABASE}", place.index, place.term)
    }
}

impl fmt::Display for SegmentName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { first, last, revision, time, digest } = self;
        let revision = revision.map_or(0, |revision| revision.0);
        write!(f, "{SEGMENT}{first:016}-{:016}-{}-r{revision}-{time}-{digest}{ENTRIES}", last.index, last.term)
    }
}

impl ObjectName {
    /// Reads the last part of a name; `None` for anything that is no object of a backup.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let found = if let Some(rest) = text.strip_prefix(SNAPSHOT) {
            Self::Snapshot(snapshot(rest.strip_suffix(DATABASE)?)?)
        } else {
            Self::Segment(segment(text.strip_prefix(SEGMENT)?.strip_suffix(ENTRIES)?)?)
        };
        // There is one way to write a name.
        let same = match &found {
            Self::Snapshot(name) => name.to_string() == text,
            Self::Segment(name) => name.to_string() == text && name.first <= name.last.index,
        };
        same.then_some(found)
    }
}

fn snapshot(text: &str) -> Option<SnapshotName> {
    let [index, term, revision, time] = parts(text)?;
    let place = LogPlace { index: index.parse().ok()?, term: term.parse().ok()? };
    Some(SnapshotName { place, revision: read_revision(revision)?, time: Moment::parse(time)? })
}

fn segment(text: &str) -> Option<SegmentName> {
    let [first, last, term, revision, time, digest] = parts(text)?;
    Some(SegmentName {
        first: first.parse().ok()?,
        last: LogPlace { index: last.parse().ok()?, term: term.parse().ok()? },
        revision: Some(read_revision(revision)?).filter(|revision| revision.0 != 0),
        time: Moment::parse(time)?,
        digest: Digest::parse(digest)?,
    })
}

fn read_revision(text: &str) -> Option<Revision> {
    text.strip_prefix('r')?.parse().ok().map(Revision)
}

fn parts<const N: usize>(text: &str) -> Option<[&str; N]> {
    text.split('-').collect::<Vec<_>>().try_into().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_as_they_were_written() {
        let place = LogPlace { index: 42, term: 3 };
        let time = Moment(1_767_323_045_678);
        let snapshot = SnapshotName { place, revision: Revision(17), time };
        assert_eq!(snapshot.to_string(), "snapshot-0000000000000042-3-r17-20260102T030405.678Z.db");
        assert_eq!(ObjectName::parse(&snapshot.to_string()), Some(ObjectName::Snapshot(snapshot)));
        for revision in [None, Some(Revision(19))] {
            let segment = SegmentName { first: 40, last: place, revision, time, digest: Digest::seed("x") };
            assert_eq!(ObjectName::parse(&segment.to_string()), Some(ObjectName::Segment(segment)));
        }
        let chain = ChainName::new(time, 0xab);
        assert_eq!(chain.to_string(), "20260102T030405.678Z-000000ab");
        assert_eq!(ChainName::parse(chain.as_str()), Some(chain.clone()));
        assert!(chain < ChainName::new(Moment(time.0 + 1), 0));
    }

    #[test]
    fn anything_else_is_no_name() {
        let good = "snapshot-0000000000000042-3-r17-20260102T030405.678Z.db";
        for wrong in ["", "notes.txt", &good[1..], &good.replace("0042", "42"), &good.replace("-r", "-")] {
            assert_eq!(ObjectName::parse(wrong), None, "{wrong}");
        }
        let digest = "00112233445566778899aabbccddeeff";
        let backwards = format!("segment-{:016}-{:016}-1-r0-20260102T030405.678Z-{digest}.seg", 9, 8);
        assert_eq!(ObjectName::parse(&backwards), None);
        for wrong in ["", "20260102T030405.678Z", "20260102T030405.678Z-xyz", "20260102T030405.678Z-ab"] {
            assert_eq!(ChainName::parse(wrong), None, "{wrong}");
        }
    }
}
