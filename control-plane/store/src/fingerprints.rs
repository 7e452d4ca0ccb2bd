//! The fingerprint of the state, for comparison with other members: kept with every change, and remembered for the last
//! entries, because members are never asked at the same moment.

use std::collections::VecDeque;
use std::io;
use std::sync::{Mutex, MutexGuard, PoisonError};

use store_core::fingerprint::{Added, Removed, Statement, Sum, kept};
use store_core::record::State;
use store_core::{Space, compaction, scrub};

use crate::database::Database;
use crate::raft::machine;

/// Batches that are remembered. Members cut the log into batches differently: with so many, two that are in step have some in
/// common.
const REMEMBERED: usize = 256;

/// The sums at the end of the last batches.
#[derive(Debug, Default)]
pub struct Fingerprints(Mutex<VecDeque<Added>>);

impl Fingerprints {
    fn recent(&self) -> MutexGuard<'_, VecDeque<Added>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A batch was applied.
    pub fn applied(&self, added: Added) {
        let mut recent = self.recent();
        if recent.len() == REMEMBERED {
            recent.pop_front();
        }
        recent.push_back(added);
    }

    /// The state is another one: what is remembered says nothing about it.
    pub fn replaced(&self, database: &Database) -> io::Result<()> {
        let added = database.read(Added::load).map_err(io::Error::other)?;
        let mut recent = self.recent();
        recent.clear();
        recent.extend(added);
        Ok(())
    }

    /// What this member says of its state; `None` while it removes what was compacted.
    pub fn statement(&self, database: &Database, member: u64) -> io::Result<Option<Statement>> {
        let added = self.recent().iter().copied().collect();
        let removed = database.read(|view| {
            let done = compaction::removed(view)?;
            let kept = Removed::load(view)?.unwrap_or(Removed { revision: done, sum: Sum::default() });
            Ok::<_, store_core::Fault>((State::load(view)?.compacted == done).then_some(kept))
        });
        let removed = removed.map_err(io::Error::other)?;
        Ok(removed.map(|removed| Statement { member, removed, added }))
    }
}

/// Makes sure that there are sums: a state that was written by an earlier program, or restored, is added up once.
pub fn establish(database: &Database) -> io::Result<()> {
    let scanned = database.read(|view| {
        let applied = machine::standing(view)?.0.map_or(0, |id| id.index);
        if kept(view, applied).map_err(io::Error::other)?.is_some() {
            return Ok(None);
        }
        tracing::info!("the state is added up for the first time");
        let sum = scrub::sum(view, &mut |_| true).map_err(io::Error::other)?.unwrap_or_default();
        let removed = compaction::removed(view).map_err(io::Error::other)?;
        Ok::<_, io::Error>(Some((Added { index: applied, sum }, Removed { revision: removed, sum: Sum::default() })))
    });
    let Some((added, removed)) = scanned? else { return Ok(()) };
    let writes = [added.record(), removed.record()].map(|(key, value)| store_core::overlay::Write {
        space: Space::Meta,
        key: key.into(),
        value: Some(value.into()),
    });
    database.write(&writes)
}
