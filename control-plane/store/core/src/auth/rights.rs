//! What a caller may do, judged by the users and roles of one moment.

use bytes::Bytes;
use proto::authpb::permission::Type;
use proto::authpb::{Permission, User};
use proto::etcdserverpb::request_op::Request;
use proto::etcdserverpb::{DeleteRangeRequest, PutRequest, RequestOp, TxnRequest};
use proto::store::command::Op;

use super::{Caller, ROOT, has_role, role, user};
use crate::apply::attached;
use crate::interval::End;
use crate::record::State;
use crate::{Failure, Fault, KeyRange, LeaseId, Refusal, View};

/// A caller's rights over one state.
#[derive(Debug)]
pub struct Rights(Whose);

#[derive(Debug)]
enum Whose {
    /// Nobody is asked who he is.
    Everybody,
    /// There are no credentials.
    Stranger,
    /// There are, for a user who does not exist any more.
    Gone { stale: bool },
    /// The user has the role `root`.
    Root { stale: bool },
    /// Anybody else.
    User { stale: bool, read: Keys, write: Keys },
}

impl Rights {
    /// Reads the rights of a caller.
    pub fn load(view: &dyn View, state: &State, caller: Option<&Caller>) -> Result<Self, Fault> {
        if !state.auth.enabled {
            return Ok(Self(Whose::Everybody));
        }
        let Some(caller) = caller.filter(|caller| !caller.user.is_empty()) else { return Ok(Self(Whose::Stranger)) };
        let stale = caller.revision < state.auth.revision;
        let Some(user) = user(view, &caller.user)? else { return Ok(Self(Whose::Gone { stale })) };
        if has_role(&user, ROOT) {
            return Ok(Self(Whose::Root { stale }));
        }
        let permissions = permissions(view, &user)?;
        let keys = |without: Type| {
            Keys::new(permissions.iter().filter(|one| one.perm_type() != without).map(|one| {
                let range = KeyRange::new(one.key.clone(), &one.range_end);
                Span::of(&range)
            }))
        };
        Ok(Self(Whose::User { stale, read: keys(Type::Write), write: keys(Type::Read) }))
    }

    /// Whether there is nobody who could be refused anything, so that what a request touches need not be looked at.
    #[must_use]
    pub const fn are_unlimited(&self) -> bool {
        matches!(self.0, Whose::Everybody | Whose::Root { stale: false })
    }

    /// Whether the caller may do what only administrators may.
    pub const fn admin(&self) -> Result<(), Refusal> {
        match self.0 {
            Whose::Everybody | Whose::Root { .. } => Ok(()),
            Whose::Stranger => Err(Refusal::UserEmpty),
            Whose::Gone { .. } | Whose::User { .. } => Err(Refusal::PermissionDenied),
        }
    }

    /// Whether the caller is somebody.
    pub const fn member(&self) -> Result<(), Refusal> {
        match self.0 {
            Whose::Everybody | Whose::Root { .. } | Whose::User { .. } => Ok(()),
            Whose::Stranger => Err(Refusal::UserEmpty),
            Whose::Gone { .. } => Err(Refusal::PermissionDenied),
        }
    }

    fn touch(&self, keys: &KeyRange, of: impl Fn(&Whose) -> Option<&Keys>) -> Result<(), Refusal> {
        match &self.0 {
            Whose::Everybody | Whose::Root { stale: false } => Ok(()),
            Whose::Stranger => Err(Refusal::UserEmpty),
            Whose::Gone { stale: true } | Whose::Root { stale: true } | Whose::User { stale: true, .. } => {
                Err(Refusal::AuthOldRevision)
            }
            Whose::Gone { stale: false } => Err(Refusal::PermissionDenied),
            Whose::User { stale: false, .. } => {
                let allowed = of(&self.0).is_some_and(|allowed| allowed.cover(&Span::of(keys)));
                if allowed { Ok(()) } else { Err(Refusal::PermissionDenied) }
            }
        }
    }

    /// Whether the caller may read all of a range.
    pub fn read(&self, key: &Bytes, range_end: &Bytes) -> Result<(), Refusal> {
        self.touch(&KeyRange::new(key.clone(), range_end), |whose| match whose {
            Whose::User { read, .. } => Some(read),
            Whose::Everybody | Whose::Stranger | Whose::Gone { .. } | Whose::Root { .. } => None,
        })
    }

    /// Whether the caller may write all of a range.
    pub fn write(&self, key: &Bytes, range_end: &Bytes) -> Result<(), Refusal> {
        self.touch(&KeyRange::new(key.clone(), range_end), |whose| match whose {
            Whose::User { write, .. } => Some(write),
            Whose::Everybody | Whose::Stranger | Whose::Gone { .. } | Whose::Root { .. } => None,
        })
    }

    /// Whether the caller may put; he must be able to take back the lease as well, which removes its other keys.
    pub fn put(&self, view: &dyn View, request: &PutRequest) -> Result<(), Failure> {
        let single = Bytes::new();
        self.write(&request.key, &single)?;
        self.lease(view, LeaseId(request.lease))?;
        if request.prev_kv {
            self.read(&request.key, &single)?;
        }
        Ok(())
    }

    /// Whether the caller may delete.
    pub fn delete(&self, request: &DeleteRangeRequest) -> Result<(), Refusal> {
        self.write(&request.key, &request.range_end)?;
        if request.prev_kv {
            self.read(&request.key, &request.range_end)?;
        }
        Ok(())
    }

    /// Whether the caller may do everything a transaction could do, in either branch and however deep.
    pub fn txn(&self, view: &dyn View, request: &TxnRequest) -> Result<(), Failure> {
        for compare in &request.compare {
            self.read(&compare.key, &compare.range_end)?;
        }
        for RequestOp { request } in request.success.iter().chain(&request.failure) {
            match request {
                Some(Request::RequestRange(request)) => self.read(&request.key, &request.range_end)?,
                Some(Request::RequestPut(request)) => self.put(view, request)?,
                Some(Request::RequestDeleteRange(request)) => self.delete(request)?,
                Some(Request::RequestTxn(request)) => self.txn(view, request)?,
                None => {}
            }
        }
        Ok(())
    }

    /// Whether the caller may write every key of a lease.
    pub fn lease(&self, view: &dyn View, id: LeaseId) -> Result<(), Failure> {
        if id == LeaseId::NONE || self.admin().is_ok() {
            return Ok(());
        }
        for key in attached(view, id)? {
            self.write(&key, &Bytes::new())?;
        }
        Ok(())
    }

    /// Whether the caller may give a command. What members do of their own accord has no caller and is always allowed.
    pub fn command(&self, view: &dyn View, op: &Op) -> Result<(), Failure> {
        match op {
            Op::Put(request) => self.put(view, request),
            Op::DeleteRange(request) => Ok(self.delete(request)?),
            Op::Txn(request) => self.txn(view, request),
            Op::Compact(_) => Ok(self.admin()?),
            Op::LeaseGrant(_) => Ok(self.member()?),
            Op::LeaseRevoke(request) => {
                self.member()?;
                self.lease(view, LeaseId(request.id))
            }
            Op::Auth(change) => Ok(super::change::judge(self, change)?),
            Op::LeaseExpire(_) | Op::LeaseCheckpoint(_) | Op::Alarm(_) | Op::MemberPublish(_) | Op::MemberClaim(_) => {
                Ok(())
            }
        }
    }
}

fn permissions(view: &dyn View, user: &User) -> Result<Vec<Permission>, Fault> {
    let mut found = Vec::new();
    for name in &user.roles {
        // A role may be granted before it exists only if it is `root`, which needs no permissions.
        if let Some(role) = role(view, name)? {
            found.extend(role.key_permission);
        }
    }
    Ok(found)
}

/// Keys from `start` on, up to `end`; no end: all that follow.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Span {
    start: Bytes,
    end: Option<Bytes>,
}

impl Span {
    fn of(range: &KeyRange) -> Self {
        let behind_start = || {
            let mut end = range.start.to_vec();
            end.push(0);
            Some(Bytes::from(end))
        };
        let end = match &range.end {
            End::Single => behind_start(),
            // No key lies in it; whoever asks must be allowed at least where it begins.
            End::Before(end) if *end <= range.start => behind_start(),
            End::Before(end) => Some(end.clone()),
            End::Open => None,
        };
        Self { start: range.start.clone(), end }
    }

    fn ends_before(&self, key: &Bytes) -> bool {
        self.end.as_ref().is_some_and(|end| end < key)
    }
}

/// A set of keys: spans in order that do not touch each other.
#[derive(Debug, Default)]
struct Keys(Vec<Span>);

impl Keys {
    fn new(spans: impl Iterator<Item = Span>) -> Self {
        let mut spans: Vec<_> = spans.collect();
        spans.sort_by(|left, right| left.start.cmp(&right.start));
        let mut merged: Vec<Span> = Vec::with_capacity(spans.len());
        for span in spans {
            match merged.last_mut() {
                Some(last) if !last.ends_before(&span.start) => {
                    last.end = match (last.end.take(), span.end) {
                        (Some(left), Some(right)) => Some(left.max(right)),
                        (None, _) | (_, None) => None,
                    };
                }
                Some(_) | None => merged.push(span),
            }
        }
        Self(merged)
    }

    fn cover(&self, wanted: &Span) -> bool {
        let behind = self.0.partition_point(|span| span.start <= wanted.start);
        let Some(span) = behind.checked_sub(1).and_then(|index| self.0.get(index)) else { return false };
        match (&span.end, &wanted.end) {
            (None, _) => true,
            (Some(_), None) => false,
            (Some(end), Some(wanted)) => wanted <= end,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn span(key: &'static [u8], end: &'static [u8]) -> Span {
        Span::of(&KeyRange::new(Bytes::from_static(key), &Bytes::from_static(end)))
    }

    #[test]
    fn permissions_that_touch_cover_what_lies_across_them() {
        let keys = Keys::new([span(b"c", b"e"), span(b"a", b"c"), span(b"g", b""), span(b"x", b"\0")].into_iter());
        for (key, end, covered) in [
            (&b"a"[..], &b""[..], true),
            (b"a", b"e", true),
            (b"b", b"d", true),
            (b"a", b"f", false),
            (b"e", b"", false),
            (b"d", b"d", true),
            (b"g", b"", true),
            (b"g", b"g\0", true),
            (b"g", b"h", false),
            (b"g\0", b"", false),
            (b"x", b"\0", true),
            (b"y", b"", true),
            (b"w", b"\0", false),
            (b"a", b"\0", false),
            (b"A", b"", false),
        ] {
            assert_eq!(keys.cover(&span(key, end)), covered, "{key:?} {end:?}");
        }
    }
}
