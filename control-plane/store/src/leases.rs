//! The clock of the leases: the leader lets those end whose time is over, and has remaining times written down.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use proto::etcdserverpb::{LeaseCheckpoint, LeaseCheckpointRequest};
use proto::store::LeaseExpire;
use proto::store::command::Op;
use store_core::apply::LeaseChange;
use store_core::encoding::split_lease;
use store_core::lease::{Lessor, Renewal};
use store_core::record::LeaseRecord;
use store_core::{Fault, LeaseId, Space, View};
use tokio::time::Instant;

use crate::node::Node;

/// How often the clock is looked at.
const TICK: Duration = Duration::from_millis(500);
/// Leases ended with one entry of the log. With the tick: a thousand a second, so that a pile-up does not crowd out writes.
const ENDS_PER_TICK: usize = 500;
/// Remaining times written down with one entry.
const NOTES_PER_TICK: usize = 1000;

/// Every lease's clock.
#[derive(Debug)]
pub struct Leases {
    started: Instant,
    lessor: Mutex<Lessor>,
    /// The term for whose leader the clocks run; 0 = they do not.
    term: AtomicU64,
}

impl Default for Leases {
    fn default() -> Self {
        Self { started: Instant::now(), lessor: Mutex::default(), term: AtomicU64::new(0) }
    }
}

impl Leases {
    fn lessor(&self) -> MutexGuard<'_, Lessor> {
        self.lessor.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn now(&self) -> Duration {
        self.started.elapsed()
    }

    /// Follows what was applied.
    pub fn follow(&self, changes: &[LeaseChange]) {
        if changes.is_empty() {
            return;
        }
        let now = self.now();
        let mut lessor = self.lessor();
        for change in changes {
            match change {
                LeaseChange::Granted { id, ttl } => lessor.grant(*id, *ttl, now),
                LeaseChange::Ended(id) => lessor.end(*id),
            }
        }
    }

    /// Starts every clock from what is written down: a new leader does, and gives `grace` for the time without one.
    pub fn resume(&self, grace: Duration, read: impl FnOnce() -> Result<Records, Fault>) -> Result<(), Fault> {
        // Held while reading: a lease that ends meanwhile is taken out right after.
        let mut lessor = self.lessor();
        *lessor = Lessor::resume(read()?, self.now(), grace);
        Ok(())
    }

    /// The term for whose leader the clocks run.
    pub fn running(&self) -> Option<u64> {
        Some(self.term.load(Ordering::Acquire)).filter(|term| *term != 0)
    }

    /// A client keeps a lease alive.
    pub fn renew(&self, id: LeaseId) -> Renewal {
        self.lessor().renew(id, self.now())
    }

    /// Granted and remaining seconds.
    pub fn remaining(&self, id: LeaseId) -> Option<(i64, i64)> {
        self.lessor().remaining(id, self.now())
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.lessor().len()
    }
}

/// Leases as they are written down.
pub type Records = Vec<(LeaseId, LeaseRecord)>;

/// Reads every lease, in the order of their ids.
pub fn records(view: &dyn View) -> Result<Records, Fault> {
    let mut cursor = view.cursor(Space::Lease, &[], None)?;
    let mut found = Vec::new();
    while let Some((key, value)) = cursor.entry() {
        found.push((split_lease(key)?, LeaseRecord::decode(bytes::Bytes::copy_from_slice(value))?));
        cursor.next()?;
    }
    Ok(found)
}

/// Runs the clock for as long as the node lives.
pub async fn run(node: Arc<Node>) {
    let mut tick = tokio::time::interval(TICK);
    tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut leading = None;
    loop {
        tick.tick().await;
        let term = node.leading_term();
        if term != leading {
            leading = term;
            node.leases.term.store(0, Ordering::Release);
            if let Some(term) = term {
                let read = || node.database.read(records);
                // Nobody could keep a lease alive while there was no leader: clients get the time of one election.
                if let Err(fault) = node.leases.resume(node.config.election, read) {
                    node.poison.spread(format!("the leases cannot be read: {fault}"));
                    return;
                }
                node.leases.term.store(term, Ordering::Release);
            }
        }
        if leading.is_none() {
            continue;
        }
        let (ends, notes) = {
            let mut lessor = node.leases.lessor();
            let now = node.leases.now();
            (lessor.expired(now, ENDS_PER_TICK), lessor.checkpoints(now, NOTES_PER_TICK))
        };
        if !ends.is_empty() {
            let ids: Vec<_> = ends.iter().map(|id| id.0).collect();
            node.metrics.leases_expired.fetch_add(ids.len() as u64, Ordering::Relaxed);
            // Not done: the lessor names them again a little later.
            if let Err(error) = node.propose_as_leader(Op::LeaseExpire(LeaseExpire { ids })).await {
                tracing::warn!(%error, "leases whose time is over could not be ended yet");
            }
        }
        if !notes.is_empty() {
            let checkpoints =
                notes.iter().map(|(id, left)| LeaseCheckpoint { id: id.0, remaining_ttl: *left }).collect();
            if let Err(error) =
                node.propose_as_leader(Op::LeaseCheckpoint(LeaseCheckpointRequest { checkpoints })).await
            {
                tracing::warn!(%error, "remaining times of leases could not be written down");
            }
        }
    }
}
