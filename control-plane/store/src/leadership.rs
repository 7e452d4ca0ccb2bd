//! Who leads, as this member may believe it now: a leader that was not heard of for the time of an election counts as none.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use openraft::async_runtime::WatchReceiver;
use openraft::{Instant as _, ServerState};
use tokio::sync::watch;
use tokio::time::Instant;

use crate::raft::{Raft, Types, Vote};

/// A leader.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Leader {
    /// The member.
    pub id: u64,
    /// The term it leads in.
    pub term: u64,
}

/// What is known of the leader.
#[derive(Debug)]
pub struct Leadership {
    member: u64,
    /// How long a leader may be silent.
    patience: Duration,
    heard: Mutex<Option<(Leader, Instant)>>,
    now: watch::Sender<Option<Leader>>,
}

impl Leadership {
    /// Nothing is known yet.
    #[must_use]
    pub fn new(member: u64, patience: Duration) -> Self {
        Self { member, patience, heard: Mutex::default(), now: watch::Sender::new(None) }
    }

    /// The leader of the moment.
    pub fn now(&self) -> Option<Leader> {
        *self.now.borrow()
    }

    /// Follows the leader as it changes.
    pub fn watch(&self) -> watch::Receiver<Option<Leader>> {
        self.now.subscribe()
    }

    /// A message of the leader with this vote was accepted.
    pub fn heard(&self, vote: &Vote) {
        let leader = Leader { id: vote.leader_id.voted_for, term: vote.leader_id.term };
        *self.heard.lock().unwrap_or_else(PoisonError::into_inner) = Some((leader, Instant::now()));
        if self.now() != Some(leader) {
            self.set(Some(leader));
        }
    }

    fn set(&self, leader: Option<Leader>) {
        self.now.send_if_modified(|now| {
            let changed = *now != leader;
            *now = leader;
            changed
        });
    }

    /// Follows the log until it stops: looks at every change, and `every` so often at the clock.
    pub async fn follow(&self, raft: Raft, every: Duration) {
        let mut metrics = raft.metrics();
        let mut tick = tokio::time::interval(every);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            let leader = {
                let now = metrics.borrow_watched();
                if now.running_state.is_err() { None } else { self.judge(&now) }
            };
            self.set(leader);
            tokio::select! {
                _ = tick.tick() => {}
                changed = metrics.changed() => {
                    if changed.is_err() {
                        self.set(None);
                        return;
                    }
                }
            }
        }
    }

    fn judge(&self, metrics: &openraft::RaftMetrics<Types>) -> Option<Leader> {
        if metrics.state == ServerState::Leader {
            // A leader that no quorum has answered for so long may have been replaced.
            let mut voters = metrics.membership_config.voter_ids();
            let alone = voters.next() == Some(self.member) && voters.next().is_none();
            let acked = metrics.last_quorum_acked.as_ref().is_some_and(|at| at.elapsed() < self.patience);
            return (alone || acked).then_some(Leader { id: self.member, term: metrics.current_term });
        }
        let (leader, at) = (*self.heard.lock().unwrap_or_else(PoisonError::into_inner))?;
        (leader.term >= metrics.current_term && at.elapsed() < self.patience).then_some(leader)
    }
}
