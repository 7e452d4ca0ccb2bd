//! Commands on their way through the log, from whichever member they come.

use std::sync::atomic::Ordering;
use std::time::Duration;

use openraft::errors::ClientWriteError;
use prost::Message;
use proto::store::Command;
use proto::store::command::Op;
use store_core::Refusal;
use store_core::apply::Reply;
use store_core::auth::Caller;

use super::Node;
use super::entrance::Turned;
use crate::forward::Fate;
use crate::leadership::Leader;
use crate::raft::Proposal;

/// A command that was not taken is sent again after a change of leaders, or this.
const AGAIN: Duration = Duration::from_millis(50);

/// Why a command was not taken by a leader.
enum Failure {
    /// It was not done and will not be: another leader may take it.
    NotTaken,
    /// The client is told.
    Refused(Refusal),
}

/// Who may put a command into the log.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Way {
    /// Whoever leads.
    ToTheLeader,
    /// This member or nobody.
    Here,
}

impl Node {
    /// Takes a command through the log and answers once it is applied here.
    pub async fn propose(&self, op: Op) -> Result<Reply, Refusal> {
        self.propose_as(op, None).await
    }

    /// The same on behalf of a client.
    pub async fn propose_as(&self, op: Op, caller: Option<Caller>) -> Result<Reply, Refusal> {
        let caller = caller.map(|caller| caller.message());
        let command = Command { op: Some(op), caller, ..Command::default() };
        self.admit(command, Way::ToTheLeader).await
    }

    /// Has an operation written if this member leads, and never by way of another leader: for what only a leader's own clock
    /// can know. A leader that was deposed unnoticed must not end, through its successor, what the successor has renewed.
    pub(crate) async fn propose_as_leader(&self, op: Op) -> Result<Reply, Refusal> {
        self.admit(Command { op: Some(op), ..Command::default() }, Way::Here).await
    }

    async fn admit(&self, command: Command, way: Way) -> Result<Reply, Refusal> {
        let bytes = command.encoded_len();
        if bytes > self.config.max_request_bytes {
            return Err(Refusal::RequestTooLarge);
        }
        let places = u32::try_from(bytes).unwrap_or(u32::MAX);
        let (Ok(_place), Ok(_bytes)) = (self.pending.try_acquire(), self.pending_bytes.try_acquire_many(places)) else {
            return Err(Refusal::TooManyRequests);
        };
        self.metrics.proposals_pending.fetch_add(1, Ordering::Relaxed);
        let written = tokio::time::timeout(self.config.request_timeout(), self.write(command, way)).await;
        self.metrics.proposals_pending.fetch_sub(1, Ordering::Relaxed);
        let result = match written {
            Ok(Ok(Reply::Refused(refusal))) => {
                self.metrics.proposals_committed.fetch_add(1, Ordering::Relaxed);
                return Err(refusal);
            }
            Ok(result) => result,
            Err(_elapsed) if self.leadership.now().is_none() => Err(Refusal::TimedOutLeaderFailed),
            Err(_elapsed) => Err(Refusal::TimedOut),
        };
        let outcome = if result.is_ok() { &self.metrics.proposals_committed } else { &self.metrics.proposals_failed };
        outcome.fetch_add(1, Ordering::Relaxed);
        result
    }

    /// Finds a leader that takes the command, for as long as the caller waits.
    async fn write(&self, mut command: Command, way: Way) -> Result<Reply, Refusal> {
        if way == Way::Here {
            return match self.write_here(&mut command).await {
                Ok(reply) => Ok(reply),
                Err(Failure::Refused(refusal)) => Err(refusal),
                Err(Failure::NotTaken) => Err(Refusal::NotLeader),
            };
        }
        let mut leaders = self.leadership.watch();
        loop {
            let leader = *leaders.wait_for(Option::is_some).await.map_err(|_| Refusal::Stopped)?;
            let Some(leader) = leader else { continue };
            let written = if leader.id == self.identity.member_id {
                self.write_here(&mut command).await
            } else {
                self.write_there(&mut command, leader).await
            };
            match written {
                Ok(reply) => return Ok(reply),
                Err(Failure::Refused(refusal)) => return Err(refusal),
                Err(Failure::NotTaken) => drop(tokio::time::timeout(AGAIN, leaders.changed()).await),
            }
        }
    }

    async fn write_here(&self, command: &mut Command) -> Result<Reply, Failure> {
        (command.origin, command.request) = (0, 0);
        match self.entrance.write(Proposal(command.encode_to_vec().into())).await {
            Ok(reply) => Ok(reply),
            // Told only of what was never appended.
            Err(Turned::Away(ClientWriteError::ForwardToLeader(_))) => Err(Failure::NotTaken),
            Err(Turned::Away(
                ClientWriteError::LogEntryDiscarded(_)
                | ClientWriteError::ChangeMembershipError(_)
                | ClientWriteError::PreconditionFailed(_),
            )) => Err(Failure::Refused(Refusal::LeaderChanged)),
            Err(Turned::Off) => Err(Failure::Refused(Refusal::Stopped)),
        }
    }

    async fn write_there(&self, command: &mut Command, leader: Leader) -> Result<Reply, Failure> {
        let mut ticket = self.forwarder.expect(leader);
        (command.origin, command.request) = (self.identity.member_id, ticket.request());
        if !self.forwarder.send(leader, ticket.request(), command.encode_to_vec().into()) {
            return Err(Failure::Refused(Refusal::TooManyRequests));
        }
        match ticket.fate().await {
            Fate::Applied(reply) => Ok(reply),
            Fate::Dropped => Err(Failure::NotTaken),
            Fate::Unknown => Err(Failure::Refused(Refusal::TimedOut)),
        }
    }
}
