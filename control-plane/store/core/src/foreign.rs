//! The state as etcd's own database has it: what a snapshot consists of, in both directions.
//!
//! | bucket | key | value |
//! |---|---|---|
//! | `key` | the place of a change, as in `rev` | the pair, or for a deletion the pair with nothing but its key |
//! | `lease` | id (8 bytes) | `leasepb.Lease` |
//! | `alarm` | `etcdserverpb.AlarmMember` | nothing |
//! | `meta` | `consistent_index`, `term` | 8 bytes |
//! | `meta` | `scheduledCompactRev`, `finishedCompactRev` | the place of a change, as in `rev` |
//! | `auth` | `authEnabled` | one byte |
//! | `auth` | `authRevision` | 8 bytes |
//! | `authUsers`, `authRoles` | name | `authpb.User`, `authpb.Role` |
//!
//! The other buckets are about the cluster a snapshot comes from; no restored cluster takes them over.

use bytes::Bytes;
use prost::Message;
use proto::authpb::{Role, User};
use proto::etcdserverpb::AlarmMember;
use proto::leasepb;
use proto::mvccpb::KeyValue;

use crate::encoding::{Place, kv_key, lease_key, lkey, rev_key, split_lease, split_rev};
use crate::overlay::Overlay;
use crate::record::{Change, Current, LeaseRecord, State, Version, live_version_of, tombstone};
use crate::{Cursor, Fault, LeaseId, Revision, Space, View, auth};

/// The history.
pub const KEY: &[u8] = b"key";
/// The leases.
pub const LEASE: &[u8] = b"lease";
/// The raised alarms.
pub const ALARM: &[u8] = b"alarm";
/// Where the state stands.
pub const META: &[u8] = b"meta";
/// In [`META`]: the last entry of the log that is in the state.
pub const CONSISTENT_INDEX: &[u8] = b"consistent_index";
/// In [`META`]: its term.
pub const TERM: &[u8] = b"term";
/// In [`META`]: who votes.
pub const CONF_STATE: &[u8] = b"confState";
/// In [`META`]: the compacted revision.
pub const SCHEDULED: &[u8] = b"scheduledCompactRev";
/// In [`META`]: the revision up to which what was compacted is gone.
pub const FINISHED: &[u8] = b"finishedCompactRev";

/// Whether users are asked who they are.
pub const AUTH: &[u8] = b"auth";
/// In [`AUTH`]: whether they are.
pub const AUTH_ENABLED: &[u8] = b"authEnabled";
/// In [`AUTH`]: how often users and roles changed.
pub const AUTH_REVISION: &[u8] = b"authRevision";
/// The users.
pub const USERS: &[u8] = b"authUsers";
/// The roles.
pub const ROLES: &[u8] = b"authRoles";

/// A record of a snapshot cannot be understood.
#[derive(Debug, thiserror::Error)]
pub enum Foreign {
    /// Its key or value makes no sense.
    #[error("a record of the bucket `{0}` makes no sense")]
    Malformed(&'static str),
    /// The state it goes into cannot be read.
    #[error(transparent)]
    Fault(#[from] Fault),
}

/// The history from `from` on, change by change, with keys and values as etcd has them.
pub struct History<'a> {
    view: &'a dyn View,
    cursor: Box<dyn Cursor + 'a>,
}

impl<'a> History<'a> {
    /// Begins with the first change at or behind `from`, and ends with `to`.
    pub fn open(view: &'a dyn View, from: Revision, to: Revision) -> Result<Self, Fault> {
        let upper = crate::encoding::rev_start(to.next());
        let cursor = view.cursor(Space::Rev, &crate::encoding::rev_start(from), Some(&upper))?;
        Ok(Self { view, cursor })
    }

    /// The next change: its key and its value.
    pub fn entry(&mut self) -> Result<Option<(Vec<u8>, Bytes)>, Fault> {
        let Some((key, value)) = self.cursor.entry() else { return Ok(None) };
        let (place, deletion) = split_rev(key)?;
        let change = Change::decode(Bytes::copy_from_slice(value))?;
        let key = key.to_vec();
        let pair = if deletion {
            KeyValue { key: change.key, ..KeyValue::default() }.encode_to_vec().into()
        } else {
            let missing = Fault::Corrupt("a change without its version");
            let stored = self.view.get(Space::Kv, &kv_key(&change.key, place.revision))?.ok_or(missing)?;
            match Version::decode(&stored)?.pair {
                Some(_) => crate::record::pair_of(&stored),
                None => return Err(Fault::Corrupt("a put with the version of a deletion")),
            }
        };
        self.cursor.next()?;
        Ok(Some((key, pair)))
    }
}

/// Takes over one change: the next one in order of places. Returns its place.
///
/// The version it replaced is known only if it was taken over before; otherwise it was compacted.
pub fn take_change(overlay: &mut Overlay, key: &[u8], value: &Bytes) -> Result<Place, Foreign> {
    let wrong = || Foreign::Malformed("key");
    let (place, deletion) = split_rev(key).map_err(|_| wrong())?;
    let pair = KeyValue::decode(value.clone()).map_err(|_| wrong())?;
    if place.revision.0 < 1 || (!deletion && !value.is_empty() && pair.mod_revision != place.revision.0) {
        return Err(wrong());
    }
    let before = Current::load(overlay, &pair.key)?;
    let previous = before.map(|current| current.place);
    // A key changes once in a revision.
    if previous.is_some_and(|previous| previous.revision >= place.revision) {
        return Err(wrong());
    }
    if let Some(before) = before
        && before.lease != LeaseId::NONE
    {
        overlay.remove(Space::LeaseKey, lkey(before.lease, &pair.key));
    }
    if deletion {
        overlay.put(Space::Kv, kv_key(&pair.key, place.revision), tombstone(place.sub));
        overlay.remove(Space::Cur, pair.key.clone());
    } else {
        let lease = LeaseId(pair.lease);
        let current = Current { place, created: Revision(pair.create_revision), version: pair.version, lease };
        overlay.put(Space::Kv, kv_key(&pair.key, place.revision), live_version_of(place.sub, value));
        overlay.put(Space::Cur, pair.key.clone(), current.encode());
        if lease != LeaseId::NONE && LeaseRecord::load(overlay, lease)?.is_some() {
            overlay.put(Space::LeaseKey, lkey(lease, &pair.key), Bytes::new());
        }
    }
    overlay.put(Space::Rev, rev_key(place, deletion), Change { key: pair.key, previous }.encode());
    Ok(place)
}

/// A lease of the state as etcd has it: key and value.
pub fn lease(key: &[u8], value: &[u8]) -> Result<([u8; 8], Vec<u8>), Fault> {
    let id = split_lease(key)?;
    let record = LeaseRecord::decode(Bytes::copy_from_slice(value))?;
    let remaining_ttl = if record.remaining == record.ttl { 0 } else { record.remaining };
    Ok((lease_key(id), leasepb::Lease { id: id.0, ttl: record.ttl, remaining_ttl }.encode_to_vec()))
}

/// Takes over a lease; it must come before the changes of the keys attached to it.
pub fn take_lease(overlay: &mut Overlay, key: &[u8], value: &[u8]) -> Result<(), Foreign> {
    let wrong = || Foreign::Malformed("lease");
    let lease = leasepb::Lease::decode(value).map_err(|_| wrong())?;
    if lease_key(LeaseId(lease.id)) != key || lease.id == 0 || lease.ttl < 1 {
        return Err(wrong());
    }
    let remaining = if lease.remaining_ttl > 0 { lease.remaining_ttl.min(lease.ttl) } else { lease.ttl };
    overlay.put(
        Space::Lease,
        lease_key(LeaseId(lease.id)).to_vec(),
        LeaseRecord { ttl: lease.ttl, remaining }.encode(),
    );
    Ok(())
}

/// The key of an alarm as etcd has it.
#[must_use]
pub fn alarm(member_id: u64, alarm: i32) -> Vec<u8> {
    AlarmMember { member_id, alarm }.encode_to_vec()
}

/// Reads the key of an alarm: the member and the alarm.
pub fn read_alarm(key: &[u8]) -> Result<(u64, i32), Foreign> {
    let alarm = AlarmMember::decode(key).map_err(|_| Foreign::Malformed("alarm"))?;
    Ok((alarm.member_id, alarm.alarm))
}

/// A compacted revision as etcd has it; `None` when nothing was ever compacted.
#[must_use]
pub fn compacted(revision: Revision) -> Option<Vec<u8>> {
    (revision.0 > 0).then(|| rev_key(Place { revision, sub: 0 }, false))
}

/// Reads a compacted revision.
pub fn read_compacted(value: &[u8]) -> Result<Revision, Foreign> {
    let (place, _) = split_rev(value).map_err(|_| Foreign::Malformed("meta"))?;
    Ok(place.revision)
}

/// The change that moves the revision without changing any key: what etcd's own tools write for a revision bump. It belongs
/// to the key without a name, which no range holds.
#[must_use]
pub fn bump(revision: Revision) -> (Vec<u8>, Bytes) {
    (rev_key(Place { revision, sub: 0 }, false), Bytes::new())
}

/// Takes over a record of [`AUTH`]; others than those of this module mean nothing.
pub fn take_auth(auth: &mut auth::Standing, key: &[u8], value: &[u8]) -> Result<(), Foreign> {
    if key == AUTH_ENABLED {
        auth.enabled = value == [1];
    } else if key == AUTH_REVISION {
        let bytes = value.try_into().map_err(|_| Foreign::Malformed("auth"))?;
        auth.revision = u64::from_be_bytes(bytes).max(1);
    }
    Ok(())
}

/// Takes over a user.
pub fn take_user(overlay: &mut Overlay, key: &[u8], value: &[u8]) -> Result<(), Foreign> {
    let wrong = || Foreign::Malformed("authUsers");
    let user = User::decode(value).map_err(|_| wrong())?;
    let name = std::str::from_utf8(&user.name).ok().filter(|name| name.as_bytes() == key).ok_or_else(wrong)?;
    overlay.put(Space::Meta, auth::user_key(name), user.encode_to_vec());
    Ok(())
}

/// Takes over a role.
pub fn take_role(overlay: &mut Overlay, key: &[u8], value: &[u8]) -> Result<(), Foreign> {
    let wrong = || Foreign::Malformed("authRoles");
    let role = Role::decode(value).map_err(|_| wrong())?;
    let name = std::str::from_utf8(&role.name).ok().filter(|name| name.as_bytes() == key).ok_or_else(wrong)?;
    overlay.put(Space::Meta, auth::role_key(name), role.encode_to_vec());
    Ok(())
}

/// Where a state stands that was taken over: behind its last change, and never below what was compacted.
#[must_use]
pub fn standing(last: Option<Place>, compacted: Revision, auth: auth::Standing) -> State {
    let last = last.map_or(Revision::FIRST, |place| place.revision);
    State { revision: last.max(compacted).max(Revision::FIRST), compacted, auth }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::apply::apply;
    use crate::hash::hash_kv;
    use crate::memory::Memory;
    use proto::etcdserverpb::{CompactionRequest, DeleteRangeRequest, LeaseGrantRequest, PutRequest};
    use proto::store::Command;
    use proto::store::command::Op;

    fn run(memory: &mut Memory, state: &mut State, op: Op) {
        let mut overlay = Overlay::new(memory);
        apply(&mut overlay, state, &Command { op: Some(op), ..Command::default() }).unwrap();
        let writes = overlay.into_writes();
        memory.absorb(writes);
    }

    fn put(key: &str, value: &str, lease: i64) -> Op {
        let (key, value) = (Bytes::copy_from_slice(key.as_bytes()), Bytes::copy_from_slice(value.as_bytes()));
        Op::Put(PutRequest { key, value, lease, ..PutRequest::default() })
    }

    fn copy(memory: &Memory, state: &State) -> (Memory, State) {
        let mut target = Memory::default();
        let mut overlay = Overlay::new(&target);
        let mut leases = memory.cursor(Space::Lease, b"", None).unwrap();
        while let Some((key, value)) = leases.entry() {
            let (key, value) = lease(key, value).unwrap();
            take_lease(&mut overlay, &key, &value).unwrap();
            leases.next().unwrap();
        }
        let mut history = History::open(memory, Revision(0), state.revision).unwrap();
        let mut last = None;
        while let Some((key, value)) = history.entry().unwrap() {
            last = Some(take_change(&mut overlay, &key, &value).unwrap());
        }
        let writes = overlay.into_writes();
        target.absorb(writes);
        (target, standing(last, state.compacted, state.auth))
    }

    #[test]
    fn a_state_comes_back_as_it_was() {
        let (mut memory, mut state) = (Memory::default(), State::EMPTY);
        run(&mut memory, &mut state, Op::LeaseGrant(LeaseGrantRequest { ttl: 60, id: 7 }));
        run(&mut memory, &mut state, put("a", "1", 7));
        run(&mut memory, &mut state, put("a\0b", "2", 0));
        run(&mut memory, &mut state, put("a", "3", 0));
        run(&mut memory, &mut state, put("c", "4", 7));
        let delete = DeleteRangeRequest { key: "a".into(), range_end: "b".into(), prev_kv: false };
        run(&mut memory, &mut state, Op::DeleteRange(delete));
        run(&mut memory, &mut state, put("a", "5", 7));
        let (mut copied, at) = copy(&memory, &state);
        assert_eq!(at, state);
        assert!(copied == memory, "every record is the same");

        // With history that was compacted, but not removed yet, the rest stays the same too.
        run(&mut memory, &mut state, Op::Compact(CompactionRequest { revision: 5, physical: false }));
        let (again, at) = copy(&memory, &state);
        copied.absorb(Vec::new());
        assert_eq!(at, state);
        assert_eq!(hash_kv(&again, &at, 0).unwrap(), hash_kv(&memory, &state, 0).unwrap());
    }

    #[test]
    fn a_bump_moves_the_revision_and_no_range_sees_it() {
        let mut memory = Memory::default();
        let mut overlay = Overlay::new(&memory);
        let (key, value) = bump(Revision(100));
        let place = take_change(&mut overlay, &key, &value).unwrap();
        let writes = overlay.into_writes();
        memory.absorb(writes);
        let state = standing(Some(place), Revision(100), auth::Standing::FIRST);
        assert_eq!((state.revision, state.compacted), (Revision(100), Revision(100)));
        let mut history = History::open(&memory, Revision(0), state.revision).unwrap();
        assert_eq!(history.entry().unwrap(), Some(bump(Revision(100))));
        hash_kv(&memory, &state, 0).unwrap();
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        let memory = Memory::default();
        let mut overlay = Overlay::new(&memory);
        let pair = |revision| {
            let pair = KeyValue {
                key: "a".into(),
                mod_revision: revision,
                create_revision: 2,
                version: 1,
                ..KeyValue::default()
            };
            Bytes::from(pair.encode_to_vec())
        };
        let at = |revision| rev_key(Place { revision: Revision(revision), sub: 0 }, false);
        take_change(&mut overlay, &at(5), &pair(5)).unwrap();
        for (key, value) in [(at(4), pair(4)), (at(6), pair(7)), (b"short".to_vec(), pair(8)), (at(9), "\x07".into())] {
            assert!(matches!(take_change(&mut overlay, &key, &value), Err(Foreign::Malformed("key"))), "{key:?}");
        }
        assert!(take_lease(&mut overlay, &[0; 8], b"").is_err());
        assert!(take_lease(&mut overlay, b"x", &[8, 1, 16, 5]).is_err());
        assert!(take_user(&mut overlay, b"a", b"").is_err() && take_role(&mut overlay, b"a", b"\x0a\x01b").is_err());
        let mut standing = auth::Standing::FIRST;
        assert!(take_auth(&mut standing, AUTH_REVISION, b"1").is_err());
        take_auth(&mut standing, AUTH_ENABLED, &[1]).unwrap();
        take_auth(&mut standing, AUTH_REVISION, &9_u64.to_be_bytes()).unwrap();
        assert_eq!(standing, auth::Standing { enabled: true, revision: 9 });
        assert!(read_compacted(b"?").is_err() && read_alarm(b"\x07").is_err());
        assert_eq!(read_alarm(&alarm(9, 1)).unwrap(), (9, 1));
        assert_eq!(read_compacted(&compacted(Revision(3)).unwrap()).unwrap(), Revision(3));
        assert_eq!(compacted(Revision::NEVER), None);
    }
}
