//! Keeps a backup as long as this member leads: everything that was applied goes to the target, a little later.
//!
//! ```text
//!             begins to lead            a round: segments, now and then a snapshot
//!   waiting ----------------> looking up --------------------------------> following --.
//!      ^                          |  the chain there cannot be continued       |   ^   |  again and again
//!      |                          '------------> a new chain begins -----------'   '---'
//!      '------------------------- no longer leads ------------------------------'
//! ```
//!
//! Only what is committed is ever backed up. A leader that does not know yet that it was replaced writes what its successor
//! writes as well; readers take either.

use std::sync::Arc;
use std::time::Duration;

use backoff::Backoff;
use chain::Chain as Causes;
use store_core::backup::marks::Mark;
use store_core::backup::name::{ChainName, SegmentName};
use store_core::backup::plan::{Chain, Tip, newest_moment};
use store_core::backup::record::Digest;
use store_core::backup::retention::{cutoff, expired};
use store_core::backup::{LogPlace, Moment};
use store_core::record::State;
use tokio::sync::watch;
use tokio::time::Instant;

use super::cut::{Cut, Looks, cut, record};
use super::options::Plan;
use super::segment::{SegmentError, unpack};
use super::snapshot;
use super::target::{Contents, Target, TargetError};
use super::{folder, look_up, now};
use crate::node::Node;
use crate::raft::machine::standing;
use crate::snapshot::export::ExportError;

/// How often the state is looked at, so that it is known when what was applied: the precision of a restore to a time.
const LOOK_EVERY: Duration = Duration::from_millis(200);
/// From a failure to the next try, at first and at most.
const AGAIN: (Duration, Duration) = (Duration::from_secs(1), Duration::from_mins(1));

/// A round did not work.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error(transparent)]
    Target(#[from] TargetError),
    #[error("make a snapshot for the backup")]
    Snapshot(#[from] ExportError),
    #[error("read the log for the backup")]
    Log(#[source] std::io::Error),
    #[error("read the last segment of the backup, {0}")]
    Last(SegmentName, #[source] SegmentError),
}

/// Where the backup stands.
struct Standing {
    chain: ChainName,
    tip: Tip,
    /// When the next snapshot of the chain is to be made.
    due: Instant,
}

struct Worker {
    plan: Plan,
    target: Arc<dyn Target>,
    node: Arc<Node>,
    looks: Arc<Looks>,
    stopping: watch::Receiver<bool>,
    standing: Option<Standing>,
    /// When it began, by the clock that goes on evenly and by the one on the wall.
    began: (Instant, Moment),
}

/// Backs up until `stopping` turns true.
pub async fn run(plan: Plan, target: Arc<dyn Target>, node: Arc<Node>, mut stopping: watch::Receiver<bool>) {
    let looks = Arc::new(Looks::default());
    node.metrics.backup.plan();
    tokio::spawn(look(Arc::clone(&node), Arc::clone(&looks), stopping.clone()));
    let (every, mut backoff) = (plan.every, Backoff::new(AGAIN.0, AGAIN.1));
    let (stop, began) = (stopping.clone(), (Instant::now(), now()));
    let mut worker = Worker { plan, target, node, looks, stopping: stop, standing: None, began };
    let mut wait = Duration::ZERO;
    loop {
        tokio::select! {
            () = tokio::time::sleep(wait) => {}
            _ = stopping.wait_for(|stopping| *stopping) => return,
        }
        let round = tokio::task::spawn_blocking(move || {
            let outcome = worker.round();
            (worker, outcome)
        });
        let Ok((back, outcome)) = round.await else {
            tracing::error!("the backup has ended: its thread is gone");
            return;
        };
        worker = back;
        wait = match outcome {
            Ok(()) => {
                backoff.reset();
                every
            }
            Err(_) if *stopping.borrow() => return,
            Err(failure) => {
                worker.node.metrics.backup.failed();
                let wait = backoff.next_delay(rand::random());
                tracing::error!(error = %Causes(&failure), again_in = ?wait, "the backup falls behind");
                wait
            }
        };
    }
}

/// Looks at the state again and again, whoever leads: who begins to lead must know when the last entries were applied.
async fn look(node: Arc<Node>, looks: Arc<Looks>, mut stopping: watch::Receiver<bool>) {
    let mut tick = tokio::time::interval(LOOK_EVERY);
    tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = tick.tick() => {}
            _ = stopping.wait_for(|stopping| *stopping) => return,
        }
        let seen = node.database.read(|view| {
            let state = State::load(view).map_err(std::io::Error::other)?;
            Ok::<_, std::io::Error>((standing(view)?.0, state))
        });
        match seen {
            Ok((Some(applied), state)) => {
                looks.lock().push(Mark { index: applied.index, revision: state.revision, time: now() });
            }
            Ok((None, _)) => {}
            Err(error) => tracing::warn!(%error, "the backup cannot look at the state"),
        }
    }
}

impl Worker {
    fn goes_on(&self) -> bool {
        self.node.leading_term().is_some() && !*self.stopping.borrow()
    }

    /// Backs up what was applied since the last round.
    fn round(&mut self) -> Result<(), Failure> {
        let leads = self.goes_on();
        self.node.metrics.backup.set_active(leads);
        if !leads {
            self.standing = None;
            return Ok(());
        }
        let began = now();
        let mut standing = match self.standing.take() {
            Some(standing) => standing,
            None => self.resume()?,
        };
        let outcome = self.follow(&mut standing, began);
        // Whatever failed, what was put is there.
        self.standing = Some(standing);
        outcome
    }

    fn follow(&self, standing: &mut Standing, began: Moment) -> Result<(), Failure> {
        let cluster_id = self.node.identity.cluster_id;
        while self.goes_on() {
            match cut(self.node.log(), &self.looks, cluster_id, &standing.chain, &standing.tip).map_err(Failure::Log)? {
                Cut::Segment(name, bytes) => {
                    let size = bytes.len() as u64;
                    self.put(&standing.chain, &name.to_string(), Contents::Bytes(bytes))?;
                    self.node.metrics.backup.segment(size);
                    standing.tip = Tip { place: name.last, digest: name.digest, time: name.time, segment: Some(name) };
                    self.looks.lock().forget(name.last.index);
                }
                Cut::Level => {
                    self.node.metrics.backup.level(began, standing.tip.place.index);
                    break;
                }
                Cut::Purged { next } => {
                    self.node.metrics.backup.gap();
                    tracing::error!(
                        first = standing.tip.place.index + 1,
                        next,
                        since = standing.tip.time.rfc3339(),
                        "entries of the log were purged before they were backed up: there is no restore to a moment \
                         between then and the new snapshot that is made now"
                    );
                    *standing = self.begin(&look_up(&*self.target, cluster_id)?)?;
                }
            }
        }
        if self.goes_on() && Instant::now() >= standing.due {
            self.snapshot(&standing.chain, standing.tip.time)?;
            standing.due = Instant::now() + self.plan.snapshot_every;
            self.remove_old()?;
        }
        Ok(())
    }

    /// Finds out how far the backup is, and whether it can be continued from there.
    fn resume(&self) -> Result<Standing, Failure> {
        let chains = look_up(&*self.target, self.node.identity.cluster_id)?;
        let Some(chain) = chains.last() else {
            tracing::info!("there is no backup of this cluster yet: it begins with a snapshot");
            return self.begin(&chains);
        };
        if let (Some(tip), Some(snapshot)) = (chain.tip(), chain.snapshots.last())
            && self.continues(chain, &tip)?
        {
            tracing::info!(chain = %chain.name, index = tip.place.index, "the backup goes on");
            // Whoever led before may have had another clock; one that was ahead does not put the next one off.
            let age = Duration::from_millis(u64::try_from(now().0 - snapshot.time.0).unwrap_or(0));
            let due = Instant::now() + self.plan.snapshot_every.saturating_sub(age);
            return Ok(Standing { chain: chain.name.clone(), tip, due });
        }
        self.node.metrics.backup.gap();
        tracing::warn!(
            chain = %chain.name,
            "this member's log does not go on where the backup ends: a new chain begins with a snapshot"
        );
        self.begin(&chains)
    }

    /// Whether the last entry of a chain is an entry of this member's log.
    fn continues(&self, chain: &Chain, tip: &Tip) -> Result<bool, Failure> {
        let index = tip.place.index;
        let own = self.node.log().entries(index..index + 1, 1).map_err(Failure::Log)?;
        let Some(own) = own.into_iter().next().map(|entry| record(entry, tip.time)) else { return Ok(false) };
        let Some(segment) = tip.segment else { return Ok(own.place == tip.place) };
        let cluster_id = self.node.identity.cluster_id;
        let name = format!("{}/{}/{segment}", folder(cluster_id), chain.name);
        let found = unpack(&mut *self.target.get(&name)?, cluster_id, &chain.name, &segment);
        match found {
            // The digest ties it to all that is before it.
            Ok((_, records)) => Ok(records.last() == Some(&own)),
            Err(SegmentError::Read(error)) => Err(Failure::Last(segment, SegmentError::Read(error))),
            Err(error) => {
                tracing::error!(name, error = %Causes(&error), "the backup's last segment is of no use");
                Ok(false)
            }
        }
    }

    /// Begins a chain behind all others.
    fn begin(&self, others: &[Chain]) -> Result<Standing, Failure> {
        let floor = newest_moment(others).map_or(Moment(0), |newest| Moment(newest.0 + 1));
        let chain = ChainName::new(now().max(floor), rand::random());
        let (place, time) = self.snapshot(&chain, floor)?;
        let due = Instant::now() + self.plan.snapshot_every;
        let digest = Digest::seed(chain.as_str());
        self.remove_old()?;
        Ok(Standing { chain, tip: Tip { place, digest, time, segment: None }, due })
    }

    fn snapshot(&self, chain: &ChainName, floor: Moment) -> Result<(LogPlace, Moment), Failure> {
        let made = snapshot::make(&self.node.database, self.node.folder(), floor, &|| !self.goes_on());
        let (mut file, size, name) = made?;
        self.put(chain, &name.to_string(), Contents::File(&mut file, size))?;
        self.node.metrics.backup.snapshot(name.time, size);
        tracing::info!(%chain, revision = name.revision.0, size, "a snapshot was backed up");
        Ok((name.place, name.time))
    }

    fn put(&self, chain: &ChainName, name: &str, contents: Contents<'_>) -> Result<(), TargetError> {
        let name = format!("{}/{chain}/{name}", folder(self.node.identity.cluster_id));
        if !self.target.put(&name, contents)? {
            tracing::debug!(name, "it is in the backup already");
        }
        Ok(())
    }

    /// Removes what no restore within the retention needs.
    fn remove_old(&self) -> Result<(), TargetError> {
        let Some(retention) = self.plan.retention else { return Ok(()) };
        let cluster_id = self.node.identity.cluster_id;
        let cutoff = cutoff(self.began.1, self.began.0.elapsed(), now(), retention);
        for name in expired(&look_up(&*self.target, cluster_id)?, cutoff) {
            if !self.goes_on() {
                return Ok(());
            }
            self.target.delete(&format!("{}/{name}", folder(cluster_id)))?;
            self.node.metrics.backup.removed();
            tracing::info!(name, "too old for the backup: removed");
        }
        self.target.tidy()
    }
}
