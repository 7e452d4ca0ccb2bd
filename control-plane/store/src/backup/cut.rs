//! Cuts the next segment from the log.

use std::io;
use std::sync::{Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use openraft::EntryPayload;
use store_core::backup::marks::Marks;
use store_core::backup::name::{ChainName, SegmentName};
use store_core::backup::plan::Tip;
use store_core::backup::record::Record;
use store_core::backup::{LogPlace, Moment};

use super::segment::Packer;
use crate::raft::Entry;
use crate::raft::log::Log;

/// Bytes of entries after which a segment ends; so much is in memory while one is made, and again packed.
const SEGMENT_BYTES: usize = 4 << 20;
/// Bytes of entries that are read at once.
const READ_BYTES: usize = 1 << 20;

/// What comes behind the tip of a chain.
pub enum Cut {
    /// These entries.
    Segment(SegmentName, Bytes),
    /// Nothing yet.
    Level,
    /// Entries that are gone from the log.
    Purged {
        /// The first one that is still there; 0 when none is.
        next: u64,
    },
}

/// When what was applied.
#[derive(Debug, Default)]
pub struct Looks(Mutex<Marks>);

impl Looks {
    /// The looks.
    pub fn lock(&self) -> MutexGuard<'_, Marks> {
        // Whoever panicked with it left whole looks behind.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// An entry of the log as a record.
#[must_use]
pub fn record(entry: Entry, time: Moment) -> Record {
    let place = LogPlace { index: entry.log_id.index, term: entry.log_id.leader_id.term };
    let command = match entry.payload {
        EntryPayload::Normal(proposal) => Some(proposal.0),
        EntryPayload::Blank | EntryPayload::Membership(_) => None,
    };
    Record { place, time, command }
}

/// Cuts what lies between the tip and the last look.
pub fn cut(log: &Log, looks: &Looks, cluster_id: u64, chain: &ChainName, tip: &Tip) -> io::Result<Cut> {
    let Some(newest) = looks.lock().newest().filter(|newest| newest.index > tip.place.index) else {
        return Ok(Cut::Level);
    };
    let first = tip.place.index + 1;
    let mut packer = Packer::new(tip.digest, first);
    let mut next = first;
    let mut revision = None;
    while next <= newest.index && packer.bytes() < SEGMENT_BYTES {
        let entries = log.entries(next..newest.index + 1, READ_BYTES)?;
        let found = entries.first().map_or(0, |entry| entry.log_id.index);
        if found != next {
            // Purged under our hands at worst: what is packed already is good.
            if next == first {
                return Ok(Cut::Purged { next: found });
            }
            break;
        }
        for entry in entries {
            let index = entry.log_id.index;
            let Some(mark) = looks.lock().of(index) else { break };
            packer.push(&record(entry, mark.time.max(tip.time)))?;
            revision = (mark.index == index).then_some(mark.revision);
            next = index + 1;
        }
    }
    Ok(packer.finish(cluster_id, chain, revision)?.map_or(Cut::Level, |(name, bytes)| Cut::Segment(name, bytes)))
}
