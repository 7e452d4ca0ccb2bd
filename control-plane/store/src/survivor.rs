//! The last member of a cluster whose others are lost for ever: on its operator's word it goes on alone, with everything it
//! has.
//!
//! It adds an entry to its log that makes it the only member, in a term of its own. Entries in front of it that no majority
//! ever confirmed count from then on, too: one of them may have been acknowledged by this member and a lost one. The others,
//! should they come back, are refused as removed.

use std::collections::{BTreeMap, BTreeSet};
use std::io;

use openraft::EntryPayload;
use openraft::storage::{RaftLogReader, RaftLogStorage, RaftLogStorageExt};
use proto::store::Node;

use crate::database::Database;
use crate::raft::log::Log;
use crate::raft::{Entry, Membership, Vote, codec, machine};

/// Makes `me` the only member, unless it is. The log must not run yet.
pub async fn stand_alone(mut log: Log, database: &Database, me: u64, record: Node) -> io::Result<()> {
    let (applied, stored) = database.read(machine::standing)?;
    let mut members = stored.membership().clone();
    let state = log.get_log_state().await?;
    let mut next = applied.map_or(0, |id| id.index + 1);
    // In pieces: the log may be long.
    loop {
        let entries = log.limited_get_log_entries(next, u64::MAX).await?;
        let Some(last) = entries.last() else { break };
        next = last.log_id.index + 1;
        for entry in entries {
            if let EntryPayload::Membership(membership) = entry.payload {
                members = membership;
            }
        }
    }
    let others: Vec<_> = members.nodes().map(|(id, _)| *id).filter(|id| *id != me).collect();
    if others.is_empty() {
        return Ok(());
    }
    let term = log.read_vote().await?.map_or(0, |vote| vote.leader_id.term);
    let term = term.max(state.last_log_id.map_or(0, |id| id.leader_id.term)) + 1;
    let alone =
        Membership::new(vec![BTreeSet::from([me])], BTreeMap::from([(me, record)])).map_err(io::Error::other)?;
    // The vote first: an entry must not be of a term that this member could still vote in.
    log.save_vote(&Vote::new(term, me)).await?;
    let index = state.last_log_id.map_or(0, |id| id.index + 1);
    let entry = Entry { log_id: codec::log_id(term, index), payload: EntryPayload::Membership(alone) };
    log.blocking_append([entry]).await?;
    let lost = others.iter().map(|id| format!("{id:x}")).collect::<Vec<_>>().join(" ");
    tracing::warn!(lost, "this member goes on alone");
    Ok(())
}
