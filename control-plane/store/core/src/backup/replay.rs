//! Applying backed-up entries to a restored state, up to a point.

use bytes::Bytes;
use prost::Message;
use proto::etcdserverpb::AlarmType;
use proto::store::command::Op;
use proto::store::{Command, LeaseExpire};

use super::Moment;
use super::record::Record;
use crate::apply::apply;
use crate::overlay::Write;
use crate::record::State;
use crate::{Fault, Overlay, Revision, Space};

/// Where to stop: in front of the first entry that goes beyond any of these.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Limit {
    /// The last revision.
    pub revision: Option<Revision>,
    /// The last time.
    pub time: Option<Moment>,
    /// The last index.
    pub index: Option<u64>,
}

/// What became of an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// It was applied, or there was nothing to apply.
    Done,
    /// It lies beyond the limit, at least in part; what lies before the limit was applied.
    Beyond,
}

/// Applies one entry, unless it goes beyond the limit. `state` moves along; its record is for the caller to write.
///
/// The cluster that is restored is another one: what was said of members of the old one, and of its disks, is left out.
pub fn step(overlay: &mut Overlay, state: &mut State, record: &Record, limit: &Limit) -> Result<Step, Fault> {
    let beyond = limit.time.is_some_and(|time| record.time > time)
        || limit.index.is_some_and(|index| record.place.index > index);
    if beyond {
        return Ok(Step::Beyond);
    }
    let Some(command) = &record.command else { return Ok(Step::Done) };
    for command in parts(command.clone())? {
        // No part moves the revision by more than one.
        if limit.revision.is_none_or(|revision| state.revision < revision) {
            apply(overlay, state, &command)?;
            continue;
        }
        let mut after = *state;
        let mut tried = Overlay::new(&*overlay);
        apply(&mut tried, &mut after, &command)?;
        if limit.revision.is_some_and(|revision| after.revision > revision) {
            return Ok(Step::Beyond);
        }
        let writes = tried.into_writes();
        absorb(overlay, writes);
        *state = after;
    }
    Ok(Step::Done)
}

/// A command as commands of which none makes more than one revision.
fn parts(command: Bytes) -> Result<Vec<Command>, Fault> {
    let command = Command::decode(command).map_err(|error| Fault::Decode(Space::Meta, error))?;
    let Command { op, caller, .. } = command;
    let one = |op| Command { op: Some(op), caller: caller.clone(), ..Command::default() };
    Ok(match op {
        None | Some(Op::MemberPublish(_) | Op::MemberClaim(_)) => Vec::new(),
        Some(Op::Alarm(request)) if request.alarm == AlarmType::Nospace as i32 => Vec::new(),
        Some(Op::LeaseExpire(expired)) => {
            expired.ids.into_iter().map(|id| one(Op::LeaseExpire(LeaseExpire { ids: vec![id] }))).collect()
        }
        Some(
            op @ (Op::Put(_)
            | Op::DeleteRange(_)
            | Op::Txn(_)
            | Op::Compact(_)
            | Op::LeaseGrant(_)
            | Op::LeaseRevoke(_)
            | Op::LeaseCheckpoint(_)
            | Op::Alarm(_)
            | Op::Auth(_)),
        ) => vec![one(op)],
    })
}

fn absorb(overlay: &mut Overlay, writes: Vec<Write>) {
    for Write { space, key, value } in writes {
        match value {
            Some(value) => overlay.put(space, key, value),
            None => overlay.remove(space, key),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::LogPlace;
    use super::*;
    use crate::memory::Memory;
    use proto::etcdserverpb::{AlarmRequest, LeaseGrantRequest, PutRequest, alarm_request::AlarmAction};
    use proto::store::MemberPublish;

    fn record(index: u64, op: Op) -> Record {
        let command = Command { op: Some(op), ..Command::default() };
        Record {
            place: LogPlace { index, term: 1 },
            time: Moment(index as i64 * 100),
            command: Some(command.encode_to_vec().into()),
        }
    }

    fn put(key: &'static str, lease: i64) -> Op {
        Op::Put(PutRequest { key: key.into(), value: "v".into(), lease, ..PutRequest::default() })
    }

    /// Three keys with a lease each, which end together in revisions 5, 6 and 7; then one more put.
    fn history() -> Vec<Record> {
        let mut ops = Vec::new();
        for (id, key) in [(1, "a"), (2, "b"), (3, "c")] {
            ops.push(Op::LeaseGrant(LeaseGrantRequest { ttl: 60, id }));
            ops.push(put(key, id));
        }
        ops.push(Op::LeaseExpire(LeaseExpire { ids: vec![1, 2, 3] }));
        ops.push(put("d", 0));
        ops.into_iter().enumerate().map(|(index, op)| record(index as u64 + 1, op)).collect()
    }

    fn replay(limit: Limit) -> (Memory, State, bool) {
        let (mut memory, mut state) = (Memory::default(), State::EMPTY);
        for record in history() {
            let mut overlay = Overlay::new(&memory);
            let step = step(&mut overlay, &mut state, &record, &limit).unwrap();
            let writes = overlay.into_writes();
            memory.absorb(writes);
            if step == Step::Beyond {
                return (memory, state, true);
            }
        }
        (memory, state, false)
    }

    #[test]
    fn a_revision_in_the_middle_of_an_entry_can_be_restored() {
        for revision in 1..=8 {
            let limit = Limit { revision: Some(Revision(revision)), ..Limit::default() };
            let (memory, state, beyond) = replay(limit);
            assert_eq!((state.revision.0, beyond), (revision, revision < 8));
            let live = [0, 0, 1, 2, 3, 2, 1, 0, 1][revision as usize];
            assert_eq!(memory.len(Space::Cur), live, "at {revision}");
            // The lease that the next put is for was granted before it.
            let leases = [0, 1, 2, 3, 3, 2, 1, 0, 0][revision as usize];
            assert_eq!(memory.len(Space::Lease), leases, "at {revision}");
        }
    }

    #[test]
    fn times_and_indexes_are_limits_too() {
        let (_, state, beyond) = replay(Limit { time: Some(Moment(499)), ..Limit::default() });
        assert_eq!((state.revision.0, beyond), (3, true));
        let (_, state, beyond) = replay(Limit { index: Some(6), ..Limit::default() });
        assert_eq!((state.revision.0, beyond), (4, true));
        assert!(!replay(Limit::default()).2);
    }

    #[test]
    fn what_belongs_to_the_old_cluster_is_left_out() {
        let alarm = |kind: AlarmType| {
            Op::Alarm(AlarmRequest { action: AlarmAction::Activate.into(), member_id: 9, alarm: kind.into() })
        };
        let (mut memory, mut state) = (Memory::default(), State::EMPTY);
        let ops = [
            Op::MemberPublish(MemberPublish { id: 9, ..MemberPublish::default() }),
            alarm(AlarmType::Nospace),
            alarm(AlarmType::Corrupt),
        ];
        for (index, op) in ops.into_iter().enumerate() {
            let mut overlay = Overlay::new(&memory);
            step(&mut overlay, &mut state, &record(index as u64 + 1, op), &Limit::default()).unwrap();
            let writes = overlay.into_writes();
            memory.absorb(writes);
        }
        assert_eq!(crate::record::alarms(&memory).unwrap(), [(9, AlarmType::Corrupt as i32)]);
        assert_eq!(memory.len(Space::Meta), 1);
    }
}
