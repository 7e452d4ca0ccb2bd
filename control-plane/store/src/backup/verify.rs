//! Proves a backup: each snapshot is restored, the entries up to the next one are replayed, and both must be the same state.
//!
//! The two were written by different ways: a snapshot is a picture of a member's state, which went through all that ever
//! happened to it; the segments are the log. Damage to either of them, or to that member, shows as a difference.

use store_core::backup::Moment;
use store_core::backup::name::{ChainName, SnapshotName};
use store_core::backup::plan::{Chain, End};
use store_core::backup::replay::Limit;
use store_core::hash::{hash_all, hash_kv};
use store_core::{Failure, Revision};
use tempfile::TempDir;

use super::look_up;
use super::restore::{BackupError, Restored, Source};
use crate::database::Database;

/// How often a backup is looked at anew because what was to be proven grew too old for its retention meanwhile.
const ROUNDS: usize = 3;

/// A backup is not what it should be.
#[derive(Debug, thiserror::Error)]
pub enum VerifyError {
    /// A part of it cannot be restored.
    #[error(transparent)]
    Backup(#[from] BackupError),
    /// A restored state cannot be read.
    #[error("read the restored state")]
    Unreadable(#[from] Failure),
    /// A snapshot and the entries up to it do not lead to the same state.
    #[error(
        "the state replayed up to entry {index} has the hash {replayed:08x}, the snapshot there has {snapshot:08x}"
    )]
    Differs {
        /// The entry.
        index: u64,
        /// Of the replayed state.
        replayed: u32,
        /// Of the snapshot.
        snapshot: u32,
    },
    /// There is nothing to prove.
    #[error("there is no backup of this cluster")]
    Empty,
    /// Even the newest snapshots were removed before they could be proven.
    #[error("the retention removes snapshots faster than they can be proven")]
    Overtaken,
}

impl VerifyError {
    fn is_not_found(&self) -> bool {
        matches!(self, Self::Backup(BackupError::Target(error)) if error.is_not_found())
    }
}

/// What was proven of one chain.
#[derive(Debug, Clone, serde::Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Proof {
    /// The chain.
    #[serde(serialize_with = "as_text")]
    pub chain: ChainName,
    /// Snapshots that were restored.
    pub snapshots: usize,
    /// Of those, how many were compared with the entries that lead to them.
    pub compared: usize,
    /// Segments that were replayed.
    pub segments: usize,
    /// Entries that were replayed.
    pub entries: u64,
    /// Where the state stands at the end.
    #[serde(serialize_with = "as_number")]
    pub revision: Revision,
    /// When the last entry had been applied.
    #[serde(serialize_with = "as_time")]
    pub until: Moment,
    /// What `HashKV` says of the state at the end.
    pub hash: u32,
}

#[allow(clippy::trivially_copy_pass_by_ref)] // serde wants it so
fn as_number<S: serde::Serializer>(revision: &Revision, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_i64(revision.0)
}

#[allow(clippy::trivially_copy_pass_by_ref)] // serde wants it so
fn as_time<S: serde::Serializer>(time: &Moment, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&time.rfc3339())
}

fn as_text<S: serde::Serializer>(chain: &ChainName, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(chain.as_str())
}

/// Proves every chain of a backup. One that goes on being written, and being removed from, is proven as far as it stays.
pub fn verify(source: Source<'_>) -> Result<Vec<Proof>, VerifyError> {
    for _ in 0..ROUNDS {
        let chains = look_up(source.target, source.cluster_id).map_err(BackupError::from)?;
        let useful = chains.iter().filter(|chain| !chain.snapshots.is_empty());
        match useful.map(|chain| prove(source, chain)).collect::<Result<Option<Vec<_>>, _>>()? {
            Some(proofs) if proofs.is_empty() => return Err(VerifyError::Empty),
            Some(proofs) => return Ok(proofs),
            None => {}
        }
    }
    Err(VerifyError::Overtaken)
}

/// A database that goes with its folder.
struct Scratch {
    database: Database,
    _folder: TempDir,
}

impl Scratch {
    fn new(source: Source<'_>) -> Result<Self, BackupError> {
        let folder = tempfile::Builder::new().prefix(".verify-").tempdir_in(source.scratch)?;
        Ok(Self { database: Database::open(folder.path())?, _folder: folder })
    }

    fn hash(&self, restored: &Restored) -> Result<u32, Failure> {
        self.database.read(|view| hash_all(view, &restored.state))
    }
}

/// Proves a chain; `None`: its newest snapshot is not there any more.
fn prove(source: Source<'_>, chain: &Chain) -> Result<Option<Proof>, VerifyError> {
    let mut proof = Proof {
        chain: chain.name.clone(),
        snapshots: 0,
        compared: 0,
        segments: 0,
        entries: 0,
        revision: Revision::FIRST,
        until: Moment(0),
        hash: 0,
    };
    let mut newest_is_there = false;
    for (position, name) in chain.snapshots.iter().enumerate() {
        match prove_from(source, chain, position, &mut proof) {
            Ok(()) => newest_is_there = true,
            // Snapshots grow too old one after the other, and the segments that only they need with them.
            Err(error) if error.is_not_found() && !is_there(source, &chain.name, name)? => newest_is_there = false,
            Err(error) => return Err(error),
        }
    }
    Ok(newest_is_there.then_some(proof))
}

/// Whether the backup has a snapshot now.
fn is_there(source: Source<'_>, chain: &ChainName, name: &SnapshotName) -> Result<bool, BackupError> {
    let chains = look_up(source.target, source.cluster_id)?;
    Ok(chains.iter().any(|other| other.name == *chain && other.snapshots.contains(name)))
}

/// Restores the snapshot at `position`, replays what follows it, and compares that with the next snapshot.
fn prove_from(source: Source<'_>, chain: &Chain, position: usize, proof: &mut Proof) -> Result<(), VerifyError> {
    let name = &chain.snapshots[position];
    let next = chain.snapshots.get(position + 1);
    let (mut segments, end) = chain.follow(name);
    if let Some(next) = next {
        segments.retain(|segment| segment.first <= next.place.index);
    }
    let limit = Limit { index: next.map(|next| next.place.index), ..Limit::default() };
    let scratch = Scratch::new(source)?;
    let begin = source.snapshot(&chain.name, name, &scratch.database)?;
    let (replayed, _) = source.replay(&chain.name, &segments, begin, &limit, &scratch.database)?;
    match (next, end) {
        (Some(next), _) if replayed.place == next.place => {
            let other = Scratch::new(source)?;
            let pictured = source.snapshot(&chain.name, next, &other.database)?;
            let (replayed, snapshot) = (scratch.hash(&replayed)?, other.hash(&pictured)?);
            if replayed != snapshot {
                return Err(VerifyError::Differs { index: next.place.index, replayed, snapshot });
            }
            proof.compared += 1;
        }
        // Behind the last segment there may be snapshots that no segment leads to yet.
        (Some(_) | None, End::Newest | End::Gap(_)) => {}
        (Some(_) | None, End::Missing { from, to }) => {
            return Err(BackupError::Missing { chain: chain.name.clone(), from, to }.into());
        }
    }
    if next.is_none() {
        (proof.revision, proof.until) = (replayed.state.revision, replayed.time);
        proof.hash = scratch.database.read(|view| hash_kv(view, &replayed.state, 0))?.hash;
    }
    proof.snapshots += 1;
    proof.segments += segments.len();
    proof.entries += replayed.replayed;
    Ok(())
}
