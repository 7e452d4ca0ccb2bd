//! Reads that see everything that was answered before, on any member: the leader says up to where the log must be applied,
//! after a quorum confirmed that it still leads.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use openraft::ReadPolicy;
use openraft::errors::RaftError;
use proto::peer::ReadIndexRequest;
use store_core::Refusal;
use tokio::sync::{mpsc, oneshot};

use super::Node;
use crate::peers::links::Purpose;

/// Reads that may wait for the same barrier.
const MAX_WAITING: usize = 65_536;
/// A question that was not answered is asked again after a change of leaders, or this.
const AGAIN: Duration = Duration::from_millis(50);

/// Whoever waits for the next round.
pub(super) enum Waiter {
    /// A read on this member.
    Here(oneshot::Sender<Result<(), Refusal>>),
    /// Another member asks this one as the leader.
    Elsewhere(oneshot::Sender<Result<u64, Refusal>>),
}

/// The queue of those who wait.
pub(super) type Queue = mpsc::Sender<Waiter>;

/// Makes the queue.
pub(super) fn queue() -> (Queue, mpsc::Receiver<Waiter>) {
    mpsc::channel(MAX_WAITING)
}

impl Node {
    /// Waits until a read sees everything that was answered before.
    pub async fn barrier(&self) -> Result<(), Refusal> {
        if self.is_only_voter_and_leads() {
            // Nothing can be answered that is not applied here.
            return Ok(());
        }
        let (tell, told) = oneshot::channel();
        self.wait(Waiter::Here(tell), told).await
    }

    /// Up to where another member must have applied the log; only a leader knows.
    pub async fn read_index(&self) -> Result<u64, Refusal> {
        let (tell, told) = oneshot::channel();
        self.wait(Waiter::Elsewhere(tell), told).await
    }

    async fn wait<T>(&self, waiter: Waiter, told: oneshot::Receiver<Result<T, Refusal>>) -> Result<T, Refusal> {
        self.barriers.try_send(waiter).map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => Refusal::TooManyRequests,
            mpsc::error::TrySendError::Closed(_) => Refusal::Stopped,
        })?;
        match tokio::time::timeout(self.config.request_timeout(), told).await {
            Ok(Ok(result)) => result,
            Ok(Err(_)) => Err(Refusal::Stopped),
            Err(_elapsed) => Err(Refusal::TimedOut),
        }
    }

    /// Waits until the log is applied here up to `index`.
    pub(super) async fn applied(&self, index: u64) -> Result<(), Refusal> {
        let mut applied = self.applied.subscribe();
        let reached = applied.wait_for(|applied| *applied >= index);
        match tokio::time::timeout(self.config.request_timeout(), reached).await {
            Ok(reached) => reached.map(drop).map_err(|_| Refusal::Stopped),
            Err(_elapsed) => Err(Refusal::TimedOut),
        }
    }

    fn leads(&self) -> bool {
        self.leadership.now().is_some_and(|leader| leader.id == self.identity.member_id)
    }

    /// Asks the leader, whoever it is, until the time of a request is over.
    async fn ask_for_index(&self) -> Result<u64, Refusal> {
        let mut leaders = self.leadership.watch();
        let asked = async {
            loop {
                let leader = *leaders.wait_for(Option::is_some).await.map_err(|_| Refusal::Stopped)?;
                let Some(leader) = leader else { continue };
                let index = if leader.id == self.identity.member_id {
                    self.confirm().await?
                } else {
                    let request = ReadIndexRequest { route: Some(self.links.route(leader.id)) };
                    let mut client = self.links.client(leader.id, Purpose::Control);
                    let asked = tokio::time::timeout(self.config.election_max(), client.read_index(request)).await;
                    asked.ok().and_then(Result::ok).map(|answer| answer.into_inner().index)
                };
                match index {
                    Some(index) => return Ok(index),
                    None => drop(tokio::time::timeout(AGAIN, leaders.changed()).await),
                }
            }
        };
        let index = tokio::time::timeout(self.config.request_timeout(), asked).await.unwrap_or(Err(Refusal::TimedOut));
        if index.is_err() {
            self.metrics.read_indexes_failed.fetch_add(1, Ordering::Relaxed);
        }
        index
    }

    /// Has a quorum confirm that this member leads; `None` when it does not (now).
    async fn confirm(&self) -> Result<Option<u64>, Refusal> {
        match self.raft.get_read_linearizer(ReadPolicy::ReadIndex).await {
            Ok(linearizer) => Ok(Some(linearizer.read_log_id().index())),
            Err(RaftError::APIError(_)) => Ok(None),
            Err(RaftError::Fatal(_)) => Err(Refusal::Stopped),
        }
    }
}

/// One question answers everybody who waited when it was asked.
pub(super) async fn serve(node: Arc<Node>, mut queue: mpsc::Receiver<Waiter>) {
    let mut waiters = Vec::new();
    while queue.recv_many(&mut waiters, MAX_WAITING).await > 0 {
        let (mut here, mut elsewhere) = (Vec::new(), Vec::new());
        for waiter in waiters.drain(..) {
            match waiter {
                Waiter::Here(tell) => here.push(tell),
                Waiter::Elsewhere(tell) => elsewhere.push(tell),
            }
        }
        if !node.leads() {
            answer(elsewhere.drain(..), Err(Refusal::NotLeader));
        }
        if here.is_empty() && elsewhere.is_empty() {
            continue;
        }
        let index = if here.is_empty() {
            node.confirm().await.and_then(|index| index.ok_or(Refusal::NotLeader))
        } else {
            node.ask_for_index().await
        };
        answer(elsewhere, index);
        let node = Arc::clone(&node);
        let finish = async move {
            let result = match index {
                Ok(index) => node.applied(index).await,
                Err(refusal) => Err(refusal),
            };
            answer(here, result);
        };
        // A member that is behind does not keep the next round from its question.
        tokio::spawn(finish);
    }
}

fn answer<T: Copy>(waiters: impl IntoIterator<Item = oneshot::Sender<Result<T, Refusal>>>, result: Result<T, Refusal>) {
    for waiter in waiters {
        // Whoever is gone does not mind.
        let _ = waiter.send(result);
    }
}
