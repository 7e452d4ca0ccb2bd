//! Makes a snapshot of a moment of the state.

use std::io::{self, Seek, Write};

use bolt::{WriteError, Writer};
use prost::Message;
use prost::bytes::Bytes;
use store_core::foreign::{
    self, ALARM, AUTH, AUTH_ENABLED, AUTH_REVISION, CONF_STATE, CONSISTENT_INDEX, FINISHED, History, KEY, LEASE, META,
    ROLES, SCHEDULED, TERM, USERS,
};
use store_core::record::{State, alarms};
use store_core::{Fault, Revision, Space, View, auth, compaction};

use crate::raft::machine::standing;
use crate::raft::{LogId, StoredMembership};

/// A snapshot could not be made.
#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    /// The state could not be read.
    #[error("read the state")]
    Read(#[source] io::Error),
    /// A record of the state makes no sense.
    #[error(transparent)]
    Fault(#[from] Fault),
    /// The file could not be written.
    #[error(transparent)]
    Write(#[from] WriteError),
    /// Nobody waits for it any more.
    #[error("nobody waits for the snapshot any more")]
    Abandoned,
}

/// How many changes are written between two looks at whether anybody still waits.
const LOOK_EVERY: usize = 1024;

/// Writes everything `view` holds to `out`, except who else is in the cluster's log. Returns the file, its size and the
/// state it holds.
///
/// `abandoned` is asked now and then; once it says yes, the work ends with [`ExportError::Abandoned`].
pub fn export<W: Write + Seek>(
    view: &dyn View,
    out: W,
    abandoned: &dyn Fn() -> bool,
) -> Result<(W, u64, State), ExportError> {
    let state = State::load(view)?;
    let (applied, membership) = standing(view).map_err(ExportError::Read)?;
    let mut writer = Writer::new(out)?;
    writer.bucket(KEY)?;
    let mut history = History::open(view, Revision(0), state.revision)?;
    let mut written = 0;
    while let Some((key, value)) = history.entry()? {
        writer.put(&key, &value)?;
        written += 1;
        if written % LOOK_EVERY == 0 && abandoned() {
            return Err(ExportError::Abandoned);
        }
    }
    writer.bucket(LEASE)?;
    let mut leases = view.cursor(Space::Lease, b"", None)?;
    while let Some((key, value)) = leases.entry() {
        let (key, value) = foreign::lease(key, value)?;
        writer.put(&key, &value)?;
        leases.next()?;
    }
    writer.bucket(ALARM)?;
    let mut raised: Vec<_> = alarms(view)?.into_iter().map(|(member, alarm)| foreign::alarm(member, alarm)).collect();
    raised.sort();
    for key in raised {
        writer.put(&key, b"")?;
    }
    writer.bucket(META)?;
    for (key, value) in meta(view, &state, applied, &membership)? {
        writer.put(key, &value)?;
    }
    writer.bucket(b"members")?;
    for (key, value) in members(&membership) {
        writer.put(key.as_bytes(), value.as_bytes())?;
    }
    // What etcd expects to find, with nothing in it. In particular no version of the cluster: any etcd may restore this.
    for name in ["members_removed", "cluster"] {
        writer.bucket(name.as_bytes())?;
    }
    writer.bucket(AUTH)?;
    writer.put(AUTH_ENABLED, &[u8::from(state.auth.enabled)])?;
    writer.put(AUTH_REVISION, &state.auth.revision.to_be_bytes())?;
    writer.bucket(USERS)?;
    for user in auth::users(view)? {
        writer.put(&user.name, &user.encode_to_vec())?;
    }
    writer.bucket(ROLES)?;
    for role in auth::roles(view)? {
        writer.put(&role.name, &role.encode_to_vec())?;
    }
    let (out, size) = writer.finish()?;
    Ok((out, size, state))
}

/// The records of the bucket `meta`, sorted.
fn meta(
    view: &dyn View,
    state: &State,
    applied: Option<LogId>,
    membership: &StoredMembership,
) -> Result<Vec<(&'static [u8], Bytes)>, Fault> {
    let number = |number: u64| Bytes::copy_from_slice(&number.to_be_bytes());
    let mut records = vec![
        (CONSISTENT_INDEX, number(applied.map_or(0, |id| id.index))),
        (TERM, number(applied.map_or(0, |id| id.leader_id.term))),
        (CONF_STATE, conf_state(membership).into()),
    ];
    records.extend(foreign::compacted(state.compacted).map(|value| (SCHEDULED, value.into())));
    // Members remove what was compacted in their own time: etcd goes on where this one is.
    let removed = compaction::removed(view)?.min(state.compacted);
    records.extend(foreign::compacted(removed).map(|value| (FINISHED, value.into())));
    records.sort_unstable();
    Ok(records)
}

fn conf_state(membership: &StoredMembership) -> String {
    let voters: Vec<u64> = membership.membership().voter_ids().collect();
    serde_json::json!({ "voters": voters, "auto_leave": false }).to_string()
}

/// The records of the bucket `members`, sorted by their keys as text.
fn members(membership: &StoredMembership) -> Vec<(String, String)> {
    let mut members: Vec<_> = membership
        .membership()
        .nodes()
        .map(|(id, node)| {
            let (peers, clients) = (&node.peer_urls, &node.client_urls);
            let member = serde_json::json!({ "id": id, "peerURLs": peers, "name": node.name, "clientURLs": clients });
            (format!("{id:x}"), member.to_string())
        })
        .collect();
    members.sort();
    members
}
