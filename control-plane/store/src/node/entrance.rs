//! Where commands gather before they go into the log.
//!
//! The log's own task is woken by the first command it is sent and runs next, before all those that have another one ready:
//! it would append them one by one, each with a write of its own. So they are put here, and taken together once whoever was
//! ready has run; under no load that is at once.

use openraft::errors::{ClientWriteError, Fatal};
use openraft::impls::ProgressResponder;
use openraft::raft::ClientWriteResult;
use store_core::apply::Reply;
use tokio::sync::mpsc;

use crate::raft::{Proposal, Raft, Types};

/// Commands that may wait here; more wait to be put here.
const QUEUE: usize = 1024;

/// A command and whom to tell.
struct Command {
    proposal: Proposal,
    responder: ProgressResponder<Types, ClientWriteResult<Types>>,
}

/// The way in.
pub(super) struct Entrance(mpsc::Sender<Command>);

/// Why a command was not applied.
pub(super) enum Turned {
    /// The log said so.
    Away(ClientWriteError<Types>),
    /// The log has stopped.
    Off,
}

impl Entrance {
    /// Opens the way into a log.
    pub(super) fn open(raft: Raft) -> Self {
        let (entrance, commands) = mpsc::channel(QUEUE);
        tokio::spawn(take(raft, commands));
        Self(entrance)
    }

    /// Has a command appended if this member leads, and waits until it is applied.
    pub(super) async fn write(&self, proposal: Proposal) -> Result<Reply, Turned> {
        let (responder, outcome) = ProgressResponder::complete_only();
        self.0.send(Command { proposal, responder }).await.map_err(|_| Turned::Off)?;
        match outcome.await {
            Ok(Ok(answer)) => Ok(answer.data),
            Ok(Err(error)) => Err(Turned::Away(error)),
            Err(_) => Err(Turned::Off),
        }
    }
}

/// Passes on what has gathered until the log stops or nobody can come any more.
async fn take(raft: Raft, mut commands: mpsc::Receiver<Command>) -> Result<(), Fatal<Types>> {
    while let Some(first) = commands.recv().await {
        tokio::task::yield_now().await;
        let mut next = Some(first);
        while let Some(Command { proposal, responder }) = next {
            raft.client_write_ff(proposal, Some(responder)).await?;
            next = commands.try_recv().ok();
        }
    }
    Ok(())
}
