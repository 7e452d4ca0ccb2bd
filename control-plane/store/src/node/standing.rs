//! Where a member stands among the others: who leads, who belongs to the cluster, and whether it still does itself.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use openraft::async_runtime::WatchReceiver;
use openraft::errors::Fatal;
use proto::peer::ReadIndexRequest;
use proto::store::MemberPublish;
use proto::store::command::Op;
use store_core::Refusal;

use super::{Node, members};
use crate::leadership::Leader;
use crate::peers::links::Purpose;
use crate::raft::Types;
use crate::room::Room;

/// Between two tries to make this member known.
const PUBLISH_AGAIN: Duration = Duration::from_millis(500);

/// The log's view of the cluster.
#[derive(Debug, Clone)]
pub struct Standing {
    /// Who leads.
    pub leader: Option<u64>,
    /// The term.
    pub term: u64,
    /// The last committed index.
    pub committed: u64,
    /// The last applied index.
    pub applied: u64,
    /// Every member.
    pub members: Vec<(u64, proto::store::Node)>,
    /// Those that vote.
    pub voters: Vec<u64>,
}

impl Node {
    /// The log's view of the cluster.
    pub fn standing(&self) -> Standing {
        let metrics = self.raft.metrics();
        let now = metrics.borrow_watched();
        Standing {
            leader: self.leadership.now().map(|leader| leader.id),
            term: now.current_term,
            committed: now.cluster_committed.map_or(0, |id| id.index),
            applied: now.last_applied.map_or(0, |id| id.index),
            members: now.membership_config.nodes().map(|(id, node)| (*id, node.clone())).collect(),
            voters: now.membership_config.voter_ids().collect(),
        }
    }

    /// Tells the others this member's name and where its clients connect to, unless they know. Waits for a leader.
    pub async fn publish(&self) -> Result<(), Refusal> {
        let id = self.identity.member_id;
        let (name, client_urls) = (self.config.name.clone(), self.config.advertised.clone());
        loop {
            let known = self.database.read(|view| store_core::members::record(view, id)).ok().flatten();
            if known.is_some_and(|known| known.started && known.name == name && known.client_urls == client_urls) {
                return Ok(());
            }
            let publish = MemberPublish { id, name: name.clone(), client_urls: client_urls.clone() };
            match self.propose(Op::MemberPublish(publish)).await {
                Ok(_) => return Ok(()),
                Err(Refusal::Stopped) => return Err(Refusal::Stopped),
                Err(refusal) => {
                    tracing::info!(%refusal, "this member could not publish itself to the cluster yet");
                    tokio::time::sleep(PUBLISH_AGAIN).await;
                }
            }
        }
    }

    /// Starts the tasks that follow the log's state, the leases, the disk and the other members.
    pub(super) fn follow(self: &Arc<Self>, room: Room) {
        let leadership = Arc::clone(&self.leadership);
        let (raft, every) = (self.raft.clone(), self.config.heartbeat);
        tokio::spawn(async move { leadership.follow(raft, every).await });
        let mut raft_metrics = self.raft.metrics();
        let (term, poison, links) = (Arc::clone(&self.term), self.poison.clone(), Arc::clone(&self.links));
        let (learner, me) = (Arc::clone(&self.learner), self.identity.member_id);
        let mut known = None;
        let mut look = move |now: &openraft::RaftMetrics<Types>| {
            term.store(now.current_term, Ordering::Release);
            learner.store(!now.membership_config.voter_ids().any(|id| id == me), Ordering::Release);
            if known != Some(*now.membership_config.log_id()) {
                known = Some(*now.membership_config.log_id());
                links.directory().set(now.membership_config.nodes().map(|(id, node)| (*id, &node.peer_urls[..])));
                links.keep(&now.membership_config.nodes().map(|(id, _)| *id).filter(|id| *id != me).collect());
            }
        };
        look(&raft_metrics.borrow_watched());
        tokio::spawn(async move {
            loop {
                {
                    let now = raft_metrics.borrow_watched();
                    look(&now);
                    match &now.running_state {
                        Ok(()) => {}
                        Err(Fatal::Stopped) => return,
                        Err(fatal @ (Fatal::Panicked | Fatal::StorageError(_))) => {
                            poison.spread(format!("the replicated log stopped: {fatal}"));
                            return;
                        }
                    }
                }
                if raft_metrics.changed().await.is_err() {
                    return;
                }
            }
        });
        let (mut leaders, metrics) = (self.leadership.watch(), Arc::clone(&self.metrics));
        tokio::spawn(async move {
            while leaders.changed().await.is_ok() {
                let leader = *leaders.borrow_and_update();
                if let Some(Leader { id, term }) = leader {
                    metrics.leader_changes.fetch_add(1, Ordering::Relaxed);
                    tracing::info!(leader = format_args!("{id:x}"), term, "a leader is there");
                } else {
                    tracing::warn!("no leader is there");
                }
            }
        });
        tokio::spawn(crate::leases::run(Arc::clone(self)));
        tokio::spawn(members::look_after(Arc::clone(self)));
        tokio::spawn(Arc::clone(self).ask_whether_removed());
        if let Some(policy) = self.config.auto_compaction {
            tokio::spawn(crate::auto_compaction::run(Arc::clone(self), policy));
        }
        tokio::spawn(Arc::clone(self).watch_space(room));
        tokio::spawn(Arc::clone(self).watch_disk());
        tokio::spawn(Arc::clone(self).watch_replication());
        tokio::spawn(Arc::clone(self).call_the_roll());
        tokio::spawn(Arc::clone(self).compare_states());
        tokio::spawn(Arc::clone(self).scrub());
    }

    /// Waits until this member was removed from the cluster.
    pub async fn removed(&self) {
        self.links.removed().await;
    }

    /// For ever: a member that hears of no leader asks the others whether it still is one of them.
    async fn ask_whether_removed(self: Arc<Self>) {
        let mut tick = tokio::time::interval(self.config.election_max());
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tick.tick().await;
            if self.leadership.now().is_some() {
                continue;
            }
            for (id, _) in self.standing().members {
                if id == self.identity.member_id {
                    continue;
                }
                let request = ReadIndexRequest { route: Some(self.links.route(id)) };
                let mut client = self.links.client(id, Purpose::Control);
                let asked = tokio::time::timeout(self.config.election, client.read_index(request)).await;
                if let Ok(Err(status)) = asked {
                    self.links.heed(&status);
                }
            }
        }
    }

    /// Waits until there was no leader for the time of three elections.
    pub async fn leaderless(&self) {
        let mut leaders = self.leadership.watch();
        loop {
            if leaders.wait_for(Option::is_none).await.is_err() {
                return;
            }
            let back = leaders.wait_for(Option::is_some);
            if tokio::time::timeout(3 * self.config.election, back).await.is_err() {
                return;
            }
        }
    }
}
