//! Changes of members: one at a time, decided and carried out by the leader, asked for at any member.
//!
//! Whoever is added begins as a learner, which counts in no quorum, so an addition can never cost one. Unless it is to stay
//! a learner it becomes a voter by itself once it has caught up.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use openraft::async_runtime::WatchReceiver;
use openraft::errors::{ClientWriteError, RaftError};
use openraft::{ChangeMembers, Instant as _};
use proto::peer::change_members_request::Change as Message;
use proto::peer::{AddMember, ChangeMembersRequest, UpdateMember};
use proto::store::MemberClaim;
use proto::store::Node as Member;
use proto::store::command::Op;
use store_core::{Refusal, members};

use super::Node;
use crate::peers::address::PeerAddress;
use crate::peers::links::Purpose;

/// How often the leader looks whether a change is to be finished or a learner has caught up.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// A learner that has this share of the leader's log is in step, as etcd has it.
const IN_STEP_PERCENT: u64 = 90;
/// A learner becomes a voter by itself when no more entries than this are missing.
const CAUGHT_UP: u64 = 100;
/// How often a change is tried again that is in the way of an earlier one's end.
const AGAIN: Duration = Duration::from_millis(50);

/// What is to be changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// A member comes.
    Add {
        /// Where it will be.
        peer_urls: Vec<String>,
        /// It stays a learner until it is promoted by hand.
        learner: bool,
    },
    /// A member goes, for ever.
    Remove(u64),
    /// A member is elsewhere.
    Update {
        /// The member.
        id: u64,
        /// Where it is.
        peer_urls: Vec<String>,
    },
    /// A learner becomes a voter.
    Promote(u64),
}

/// The entry that made a change, and whom it is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Changed {
    /// The entry.
    pub index: u64,
    /// The member.
    pub id: u64,
}

impl Change {
    /// As a message.
    pub fn message(&self) -> Message {
        match self.clone() {
            Self::Add { peer_urls, learner } => Message::Add(AddMember { peer_urls, learner }),
            Self::Remove(id) => Message::Remove(id),
            Self::Update { id, peer_urls } => Message::Update(UpdateMember { id, peer_urls }),
            Self::Promote(id) => Message::Promote(id),
        }
    }

    /// From a message.
    pub fn asked(message: Message) -> Self {
        match message {
            Message::Add(AddMember { peer_urls, learner }) => Self::Add { peer_urls, learner },
            Message::Remove(id) => Self::Remove(id),
            Message::Update(UpdateMember { id, peer_urls }) => Self::Update { id, peer_urls },
            Message::Promote(id) => Self::Promote(id),
        }
    }
}

/// The members of the moment, as the leader sees them.
struct Roll {
    nodes: BTreeMap<u64, Member>,
    voters: BTreeSet<u64>,
    joint: bool,
    /// Up to where each has the log.
    matched: BTreeMap<u64, u64>,
    last: u64,
    /// Those that answered lately.
    active: BTreeSet<u64>,
}

/// Whether a member has ever said that it started.
fn has_started(node: &Node, id: u64) -> bool {
    let known = || node.database.read(|view| members::record(view, id));
    id == node.identity.member_id || known().is_ok_and(|known| known.is_some_and(|known| known.started))
}

/// Whether enough of these voters have ever started.
fn enough_started(node: &Node, voters: &BTreeSet<u64>) -> bool {
    let started = voters.iter().filter(|id| has_started(node, **id)).count();
    started > voters.len() / 2
}

impl Roll {
    fn has_url(&self, urls: &[String], except: Option<u64>) -> bool {
        let others = self.nodes.iter().filter(|(id, _)| Some(**id) != except);
        others.flat_map(|(_, node)| &node.peer_urls).any(|url| urls.contains(url))
    }
}

impl Node {
    /// Changes members, at whichever member this is; it has heard of the change itself when this returns.
    pub async fn change_members(&self, change: Change) -> Result<u64, Refusal> {
        let change = &change;
        let changed = self
            .at_the_leader(
                || self.change_members_as_leader(change),
                |leader| async move {
                    let request = ChangeMembersRequest {
                        route: Some(self.links.route(leader.id)),
                        change: Some(change.message()),
                    };
                    let answer = self.links.client(leader.id, Purpose::Control).change_members(request).await?;
                    let answer = answer.into_inner();
                    Ok(Changed { index: answer.index, id: answer.id })
                },
            )
            .await?;
        self.applied(changed.index).await?;
        Ok(changed.id)
    }

    /// Changes members, if this one leads.
    pub async fn change_members_as_leader(&self, change: &Change) -> Result<Changed, Refusal> {
        let turn = tokio::time::timeout(self.config.request_timeout(), self.changing.lock()).await;
        let _turn = turn.map_err(|_| Refusal::TimedOut)?;
        if self.leading_term().is_none() {
            return Err(Refusal::NotLeader);
        }
        let roll = self.roll();
        match change {
            Change::Add { peer_urls, learner } => self.add(&roll, peer_urls, *learner).await,
            Change::Remove(id) => self.remove(&roll, *id).await,
            Change::Update { id, peer_urls } => self.update(&roll, *id, peer_urls).await,
            Change::Promote(id) => self.promote(&roll, *id).await,
        }
    }

    async fn add(&self, roll: &Roll, peer_urls: &[String], learner: bool) -> Result<Changed, Refusal> {
        check_urls(peer_urls)?;
        if roll.has_url(peer_urls, None) {
            return Err(Refusal::PeerUrlExists);
        }
        let kept_back = |(id, node): (&u64, &Member)| !roll.voters.contains(id) && !node.promote;
        if learner && roll.nodes.iter().any(kept_back) {
            return Err(Refusal::TooManyLearners);
        }
        let id = rand::random_range(1..u64::MAX);
        let node = Member { peer_urls: peer_urls.to_vec(), added: true, promote: !learner, ..Member::default() };
        tracing::info!(member = format_args!("{id:x}"), ?peer_urls, learner, "adding a member");
        let index = self.commit(ChangeMembers::AddNodes(BTreeMap::from([(id, node)]))).await?;
        Ok(Changed { index, id })
    }

    async fn remove(&self, roll: &Roll, id: u64) -> Result<Changed, Refusal> {
        if !roll.nodes.contains_key(&id) {
            return Err(Refusal::MemberNotFound);
        }
        tracing::info!(member = format_args!("{id:x}"), "removing a member");
        if !roll.voters.contains(&id) {
            let index = self.commit(ChangeMembers::RemoveNodes(BTreeSet::from([id]))).await?;
            return Ok(Changed { index, id });
        }
        let rest: BTreeSet<_> = roll.voters.iter().copied().filter(|voter| *voter != id).collect();
        if rest.is_empty() || self.config.strict_reconfig_check && !enough_started(self, &rest) {
            return Err(Refusal::NotEnoughStarted);
        }
        let active = rest.iter().filter(|voter| roll.active.contains(voter)).count();
        if self.config.strict_reconfig_check && roll.active.contains(&id) && active <= rest.len() / 2 {
            return Err(Refusal::Unhealthy);
        }
        if id == self.identity.member_id {
            // A leader cannot see its own removal through: another one does.
            self.hand_over_to_any().await?;
            return Err(Refusal::NotLeader);
        }
        let index = self.commit(ChangeMembers::RemoveVoters(BTreeSet::from([id]))).await?;
        Ok(Changed { index, id })
    }

    async fn update(&self, roll: &Roll, id: u64, peer_urls: &[String]) -> Result<Changed, Refusal> {
        check_urls(peer_urls)?;
        let node = roll.nodes.get(&id).ok_or(Refusal::MemberNotFound)?;
        if roll.has_url(peer_urls, Some(id)) {
            return Err(Refusal::PeerUrlExists);
        }
        tracing::info!(member = format_args!("{id:x}"), ?peer_urls, "a member moves");
        let node = Member { peer_urls: peer_urls.to_vec(), ..node.clone() };
        let index = self.commit(ChangeMembers::SetNodes(BTreeMap::from([(id, node)]))).await?;
        Ok(Changed { index, id })
    }

    async fn promote(&self, roll: &Roll, id: u64) -> Result<Changed, Refusal> {
        if !roll.nodes.contains_key(&id) {
            return Err(Refusal::MemberNotFound);
        }
        if roll.voters.contains(&id) {
            return Err(Refusal::NotLearner);
        }
        let matched = roll.matched.get(&id).copied().unwrap_or(0);
        if matched.saturating_mul(100) < roll.last.saturating_mul(IN_STEP_PERCENT) {
            return Err(Refusal::LearnerNotReady);
        }
        let mut voters = roll.voters.clone();
        voters.insert(id);
        if self.config.strict_reconfig_check && !enough_started(self, &voters) {
            return Err(Refusal::NotEnoughStarted);
        }
        self.make_voter(id).await
    }

    async fn make_voter(&self, id: u64) -> Result<Changed, Refusal> {
        tracing::info!(member = format_args!("{id:x}"), "promoting a learner");
        let index = self.commit(ChangeMembers::AddVoterIds(BTreeSet::from([id]))).await?;
        Ok(Changed { index, id })
    }

    /// Takes a change through the log; the entry that completed it.
    async fn commit(&self, change: ChangeMembers<u64, Member>) -> Result<u64, Refusal> {
        let committed = async {
            loop {
                // What is no longer a voter is no longer a member either.
                match self.raft.change_membership(change.clone(), false).await {
                    Ok(done) => return Ok(done.log_id.index),
                    Err(RaftError::APIError(ClientWriteError::ForwardToLeader(_))) => return Err(Refusal::NotLeader),
                    // The membership that the log began with, or a leader before this one had begun with, is on its way.
                    Err(RaftError::APIError(ClientWriteError::ChangeMembershipError(error))) => {
                        tracing::debug!(%error, "a change of members has to wait");
                        tokio::time::sleep(AGAIN).await;
                    }
                    Err(RaftError::APIError(
                        ClientWriteError::LogEntryDiscarded(_) | ClientWriteError::PreconditionFailed(_),
                    )) => return Err(Refusal::LeaderChanged),
                    Err(RaftError::Fatal(_)) => return Err(Refusal::Stopped),
                }
            }
        };
        tokio::time::timeout(self.config.request_timeout(), committed).await.unwrap_or(Err(Refusal::TimedOut))
    }

    fn roll(&self) -> Roll {
        let metrics = self.raft.metrics();
        let now = metrics.borrow_watched();
        let membership = &now.membership_config;
        let replication = now.replication.iter().flatten();
        let mut matched: BTreeMap<_, _> =
            replication.map(|(id, matched)| (*id, matched.as_ref().map_or(0, |id| id.index))).collect();
        let last = now.last_log_index.unwrap_or(0);
        matched.insert(self.identity.member_id, last);
        let patience = 2 * self.config.election_max();
        let heard = now.heartbeat.iter().flatten();
        let mut active: BTreeSet<_> =
            heard.filter(|(_, at)| at.as_ref().is_some_and(|at| at.elapsed() < patience)).map(|(id, _)| *id).collect();
        active.insert(self.identity.member_id);
        Roll {
            nodes: membership.nodes().map(|(id, node)| (*id, node.clone())).collect(),
            voters: membership.voter_ids().collect(),
            joint: membership.membership().get_joint_config().len() > 1,
            matched,
            last,
            active,
        }
    }

    /// Gives the lead to another member.
    pub async fn move_leader(&self, target: u64) -> Result<(), Refusal> {
        let standing = self.standing();
        if self.leading_term().is_none() {
            return Err(Refusal::NotLeader);
        }
        if !standing.voters.contains(&target) {
            return Err(Refusal::BadLeaderTransferee);
        }
        if target == self.identity.member_id {
            return Ok(());
        }
        tracing::info!(to = format_args!("{target:x}"), "the lead goes to another member");
        self.raft.trigger().transfer_leader(target).await.map_err(|_| Refusal::Stopped)?;
        let mut leaders = self.leadership.watch();
        let moved = leaders.wait_for(|leader| leader.is_some_and(|leader| leader.id == target));
        match tokio::time::timeout(self.config.request_timeout(), moved).await {
            Ok(moved) => moved.map(drop).map_err(|_| Refusal::Stopped),
            Err(_elapsed) => Err(Refusal::TimedOutTransfer),
        }
    }

    /// Gives the lead to the voter that has most of the log; an error when there is none that answers.
    pub async fn hand_over_to_any(&self) -> Result<(), Refusal> {
        let roll = self.roll();
        let me = self.identity.member_id;
        let others = roll.voters.iter().filter(|id| **id != me && roll.active.contains(id));
        let best = others.max_by_key(|id| roll.matched.get(id).copied().unwrap_or(0)).copied();
        self.move_leader(best.ok_or(Refusal::Unhealthy)?).await
    }

    /// A member that was added asks for its place, from an empty disk.
    pub async fn admit_newcomer(&self, peer_urls: &[String], claim: u64) -> Result<u64, Refusal> {
        self.barrier().await?;
        let mut wanted = peer_urls.to_vec();
        wanted.sort();
        let standing = self.standing();
        let place = standing.members.into_iter().find(|(_, member)| {
            let mut urls = member.peer_urls.clone();
            urls.sort();
            urls == wanted
        });
        let (id, member) = place.ok_or(Refusal::MemberNotFound)?;
        if !member.added {
            return Err(Refusal::MemberBootstrapped);
        }
        self.propose(Op::MemberClaim(MemberClaim { id, claim })).await?;
        Ok(id)
    }
}

fn check_urls(urls: &[String]) -> Result<(), Refusal> {
    let good = !urls.is_empty() && urls.iter().all(|url| url.parse::<PeerAddress>().is_ok());
    if good { Ok(()) } else { Err(Refusal::MemberUrlsInvalid) }
}

/// For ever: while this member leads, finishes what an earlier leader left half done, and promotes learners that have
/// caught up.
pub(super) async fn look_after(node: Arc<Node>) {
    let mut tick = tokio::time::interval(LOOK_EVERY);
    tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tick.tick().await;
        if node.leading_term().is_none() {
            continue;
        }
        let Ok(_turn) = node.changing.try_lock() else { continue };
        let roll = node.roll();
        let done = if roll.joint {
            tracing::info!("finishing a change of members");
            node.commit(ChangeMembers::AddVoterIds(BTreeSet::new())).await.map(drop)
        } else {
            let ready = roll.nodes.iter().find(|(id, member)| {
                let matched = roll.matched.get(id).copied().unwrap_or(0);
                member.promote
                    && !roll.voters.contains(id)
                    && matched + CAUGHT_UP >= roll.last
                    && roll.active.contains(id)
                    && has_started(&node, **id)
            });
            match ready {
                Some((id, _)) => node.make_voter(*id).await.map(drop),
                None => continue,
            }
        };
        if let Err(refusal) = done {
            tracing::warn!(%refusal, "a change of members could not be finished yet");
        }
    }
}
