//! Brings a backup back: a snapshot, and the entries behind it up to a point.

use std::fs::File;
use std::io;
use std::path::Path;

use bolt::{ReadError, Reader};
use store_core::backup::name::{ChainName, SegmentName, SnapshotName};
use store_core::backup::plan::{End, NoRoute, Point, Route, route};
use store_core::backup::record::{Digest, Record};
use store_core::backup::replay::{Limit, Step, step};
use store_core::backup::{LogPlace, Moment};
use store_core::foreign::{CONSISTENT_INDEX, META};
use store_core::overlay::Overlay;
use store_core::record::State;
use store_core::{Fault, Revision, Space};

use super::segment::{SegmentError, unpack};
use super::target::{Target, TargetError};
use super::{folder, look_up};
use crate::database::Database;
use crate::snapshot::file::verify;
use crate::snapshot::restore::{Bump, Founding, RestoreError, build, bump_revision, finish, take};

/// Entries and bytes of them that are written at once.
const BATCH: usize = 1000;
const BATCH_BYTES: usize = 8 << 20;

/// A backup could not be brought back.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    /// The target failed.
    #[error(transparent)]
    Target(#[from] TargetError),
    /// No way leads to the point.
    #[error(transparent)]
    NoRoute(#[from] NoRoute),
    /// A segment is damaged or in the wrong place.
    #[error("{name}")]
    Segment {
        /// Its name.
        name: String,
        /// What is wrong with it.
        source: SegmentError,
    },
    /// A segment does not go on where the one before ends.
    #[error("{0} is of another history than what is before it")]
    Torn(String),
    /// A snapshot cannot be restored.
    #[error("{name}")]
    Snapshot {
        /// Its name.
        name: String,
        /// What is wrong with it.
        source: RestoreError,
    },
    /// A snapshot is another one than its name says.
    #[error("{0} holds another state than its name says")]
    Foreign(String),
    /// Objects of the backup are not there.
    #[error("the entries {from} to {to} of the log are missing: no object of the chain {chain} holds them")]
    Missing {
        /// The chain.
        chain: ChainName,
        /// The first one.
        from: u64,
        /// The last one.
        to: u64,
    },
    /// The backup ends before the point.
    #[error("the backup ends at revision {}, at {}", revision.0, time.rfc3339())]
    Ends {
        /// The last revision.
        revision: Revision,
        /// When its last entry had been applied.
        time: Moment,
    },
    /// The backup has a gap where the point is.
    #[error(
        "nothing is known of the time from {}, at revision {}, to {}: restore one of these instead",
        from.rfc3339(), revision.0, to.rfc3339()
    )]
    Gap {
        /// When the last entry before the gap had been applied.
        from: Moment,
        /// Where the state stood then.
        revision: Revision,
        /// When the snapshot behind it was taken.
        to: Moment,
    },
    /// The new data folder cannot be made.
    #[error(transparent)]
    Restore(#[from] RestoreError),
    /// The restored state cannot be read.
    #[error(transparent)]
    Fault(#[from] Fault),
    /// A scratch folder cannot be used, or the state cannot be written.
    #[error("write the restored state")]
    Write(#[from] io::Error),
}

/// Where a restored state stands.
#[derive(Debug, Clone, Copy)]
pub struct Restored {
    /// The state.
    pub state: State,
    /// The last entry that is in it.
    pub place: LogPlace,
    /// When that had been applied.
    pub time: Moment,
    /// How many entries were replayed.
    pub replayed: u64,
}

/// A backup of one cluster.
#[derive(Clone, Copy)]
pub struct Source<'a> {
    /// Where it lies.
    pub target: &'a dyn Target,
    /// The cluster.
    pub cluster_id: u64,
    /// Where a snapshot is kept while it is read.
    pub scratch: &'a Path,
}

impl Source<'_> {
    fn full(&self, chain: &ChainName, name: &dyn std::fmt::Display) -> String {
        format!("{}/{chain}/{name}", folder(self.cluster_id))
    }

    /// Restores the state at a point as the new data folder `data_dir`.
    pub fn restore(
        &self,
        point: Point,
        data_dir: &Path,
        founding: &Founding,
        bump: Bump,
    ) -> Result<Restored, BackupError> {
        let route = route(&look_up(self.target, self.cluster_id)?, point)?;
        build(data_dir, founding, |database| {
            let restored = self.fill(&route, point, database)?;
            let state = bump_revision(database, restored.state, bump)?;
            finish(database, state)?;
            // Members that restore the same moment are one cluster; those that restore different ones must not be.
            let LogPlace { index, term } = restored.place;
            let mut origin = self.cluster_id.to_be_bytes().to_vec();
            for number in [index, term, restored.state.revision.0 as u64] {
                origin.extend_from_slice(&number.to_be_bytes());
            }
            Ok((Restored { state, ..restored }, origin))
        })
    }

    /// Restores along a way, and makes sure that it leads to the point.
    fn fill(&self, route: &Route, point: Point, database: &Database) -> Result<Restored, BackupError> {
        let begin = self.snapshot(&route.chain, &route.snapshot, database)?;
        let limit = match point {
            Point::Latest => Limit::default(),
            Point::Revision(revision) => Limit { revision: Some(revision), ..Limit::default() },
            Point::Time(time) => Limit { time: Some(time), ..Limit::default() },
        };
        let (restored, step) = self.replay(&route.chain, &route.segments, begin, &limit, database)?;
        let there = match point {
            // What comes behind the point has been seen, or there is nothing to come.
            Point::Latest | Point::Time(_) => step == Step::Beyond || route.end == End::Newest,
            Point::Revision(revision) => {
                step == Step::Beyond || (restored.state.revision == revision && route.end == End::Newest)
            }
        };
        if there {
            return Ok(restored);
        }
        let revision = restored.state.revision;
        Err(match (route.end, point) {
            (End::Missing { from, to }, _) => BackupError::Missing { chain: route.chain.clone(), from, to },
            (End::Gap(to), _) => BackupError::Gap { from: restored.time, revision, to },
            (End::Newest, _) => BackupError::Ends { revision, time: restored.time },
        })
    }

    /// Restores a snapshot into an empty database.
    pub fn snapshot(
        &self,
        chain: &ChainName,
        name: &SnapshotName,
        database: &Database,
    ) -> Result<Restored, BackupError> {
        let full = self.full(chain, name);
        let mut file = tempfile::tempfile_in(self.scratch)?;
        let mut source = self.target.get(&full)?;
        io::copy(&mut source, &mut file).map_err(|source| TargetError::new(format!("read {full}"), source))?;
        let wrong = |source| BackupError::Snapshot { name: full.clone(), source };
        let (state, index) = read_snapshot(&mut file, database).map_err(wrong)?;
        if (state.revision, index) != (name.revision, name.place.index) {
            return Err(BackupError::Foreign(full));
        }
        finish(database, state)?;
        Ok(Restored { state, place: name.place, time: name.time, replayed: 0 })
    }

    /// Replays segments behind what is restored, up to the limit.
    pub fn replay(
        &self,
        chain: &ChainName,
        segments: &[SegmentName],
        from: Restored,
        limit: &Limit,
        database: &Database,
    ) -> Result<(Restored, Step), BackupError> {
        let mut restored = from;
        // Known behind the first segment: a snapshot does not tell it.
        let mut digest: Option<Digest> = None;
        for name in segments {
            let full = self.full(chain, name);
            let wrong = |source| BackupError::Segment { name: full.clone(), source };
            let mut bytes = self.target.get(&full)?;
            let (header, records) = unpack(&mut *bytes, self.cluster_id, chain, name).map_err(wrong)?;
            // Up to where we are, the segment must tell what the ones before told.
            let mut own = header.previous;
            let known = records.partition_point(|record| record.place.index <= restored.place.index);
            for record in &records[..known] {
                own = own.roll(record);
            }
            if digest.is_some_and(|digest| digest != own) {
                return Err(BackupError::Torn(full));
            }
            digest = Some(name.digest);
            if apply(database, &mut restored, &records[known..], limit)? == Step::Beyond {
                return Ok((restored, Step::Beyond));
            }
            // The writer noted where its own state stood.
            if name.revision.is_some_and(|revision| revision != restored.state.revision) {
                return Err(BackupError::Torn(full));
            }
        }
        Ok((restored, Step::Done))
    }
}

/// The state in a snapshot's file, and the index of the last entry that is in it.
fn read_snapshot(file: &mut File, database: &Database) -> Result<(State, u64), RestoreError> {
    verify(file, false)?;
    let file = file.try_clone().map_err(ReadError::from)?;
    let mut reader = Reader::open(file)?;
    let mut index = 0;
    let buckets = reader.buckets()?;
    if let Some(meta) = buckets.iter().find(|bucket| bucket.name == META) {
        let mut walk = reader.walk(meta)?;
        while let Some((key, value)) = walk.entry()? {
            if key == CONSISTENT_INDEX {
                index = value.try_into().map(u64::from_be_bytes).unwrap_or_default();
            }
        }
    }
    Ok((take(&mut reader, database)?, index))
}

/// Applies records up to the limit, batch by batch.
fn apply(
    database: &Database,
    restored: &mut Restored,
    mut records: &[Record],
    limit: &Limit,
) -> Result<Step, BackupError> {
    while !records.is_empty() {
        let mut bytes = 0;
        let fits = |record: &&Record| {
            bytes += record.command.as_ref().map_or(0, bytes::Bytes::len);
            bytes <= BATCH_BYTES
        };
        let count = records.iter().take(BATCH).take_while(fits).count().max(1);
        let (batch, rest) = records.split_at(count);
        let mut after = *restored;
        let (writes, outcome) = database.read_newest(|view| {
            let mut overlay = Overlay::new(view);
            let mut outcome = Step::Done;
            for record in batch {
                outcome = step(&mut overlay, &mut after.state, record, limit)?;
                if outcome == Step::Beyond {
                    break;
                }
                (after.place, after.time) = (record.place, record.time);
                after.replayed += 1;
            }
            let (key, value) = after.state.record();
            overlay.put(Space::Meta, key, value);
            Ok::<_, Fault>((overlay.into_writes(), outcome))
        })?;
        database.write(&writes)?;
        *restored = after;
        if outcome == Step::Beyond {
            return Ok(Step::Beyond);
        }
        records = rest;
    }
    Ok(Step::Done)
}
