//! Users, roles and permissions, rule by rule, through the state machine.

use bytes::Bytes;
use proto::authpb::UserAddOptions;
use proto::authpb::permission::Type;
use proto::etcdserverpb::request_op::Request;
use proto::etcdserverpb::{
    AuthDisableRequest, AuthEnableRequest, AuthRoleAddRequest, AuthRoleDeleteRequest, AuthUserDeleteRequest,
    CompactionRequest, DeleteRangeRequest, LeaseGrantRequest, LeaseRevokeRequest, PutRequest, RangeRequest, RequestOp,
    TxnRequest,
};
use proto::store::Command;
use proto::store::command::Op;

use super::*;
use crate::apply::{Applied, Reply};
use crate::auth::Caller;
use crate::memory::Memory;

struct Store {
    memory: Memory,
    state: State,
}

impl Store {
    fn new() -> Self {
        Self { memory: Memory::default(), state: State::EMPTY }
    }

    fn apply_as(&mut self, user: &str, op: Op) -> Applied {
        let caller = Caller { user: user.to_owned(), revision: self.state.auth.revision };
        self.command(&Command {
            op: Some(op),
            caller: (!user.is_empty()).then(|| caller.message()),
            ..Command::default()
        })
    }

    fn command(&mut self, command: &Command) -> Applied {
        let mut overlay = Overlay::new(&self.memory);
        let applied = crate::apply::apply(&mut overlay, &mut self.state, command).unwrap();
        let (key, value) = self.state.record();
        overlay.put(Space::Meta, key, value);
        let writes = overlay.into_writes();
        self.memory.absorb(writes);
        assert_eq!(State::load(&self.memory).unwrap(), self.state);
        applied
    }

    fn change(&mut self, change: Change) -> Result<(), Refusal> {
        outcome(&self.apply_as(ROOT, Op::Auth(AuthChange { change: Some(change) })))
    }

    fn user(&mut self, name: &'static str, roles: &[&str]) {
        self.change(Change::UserAdd(User { name: name.into(), ..User::default() })).unwrap();
        for role in roles {
            self.change(grant_role(name, role)).unwrap();
        }
    }

    /// `root`, and a role and a user `u` with what it may do.
    fn guarded(permissions: &[(Type, &'static str, &'static str)]) -> Self {
        let mut store = Self::new();
        store.user(ROOT, &[ROOT]);
        store.change(Change::RoleAdd(AuthRoleAddRequest { name: "r".into() })).unwrap();
        for (kind, key, end) in permissions {
            store.change(grant("r", *kind, key, end)).unwrap();
        }
        store.user("u", &["r"]);
        store.change(Change::Enable(AuthEnableRequest {})).unwrap();
        store
    }
}

fn outcome(applied: &Applied) -> Result<(), Refusal> {
    match applied.reply {
        Reply::Refused(refusal) => Err(refusal),
        _ => Ok(()),
    }
}

fn grant_role(user: &str, role: &str) -> Change {
    Change::UserGrantRole(AuthUserGrantRoleRequest { user: user.into(), role: role.into() })
}

fn grant(role: &str, kind: Type, key: &'static str, end: &'static str) -> Change {
    let perm = Permission { perm_type: kind.into(), key: key.into(), range_end: end.into() };
    Change::RoleGrantPermission(AuthRoleGrantPermissionRequest { name: role.into(), perm: Some(perm) })
}

fn put(key: &'static str) -> PutRequest {
    PutRequest { key: key.into(), ..PutRequest::default() }
}

fn delete(key: &'static str, end: &'static str, prev_kv: bool) -> DeleteRangeRequest {
    DeleteRangeRequest { key: key.into(), range_end: end.into(), prev_kv }
}

fn txn(request: Request) -> TxnRequest {
    TxnRequest { compare: vec![], success: vec![], failure: vec![RequestOp { request: Some(request) }] }
}

#[test]
fn authentication_needs_root_with_its_role_and_moves_the_revision_when_it_ends() {
    let mut store = Store::new();
    assert_eq!(store.state.auth, Standing::FIRST);
    assert_eq!(store.change(Change::Enable(AuthEnableRequest {})), Err(Refusal::RootUserNotExist));
    store.user(ROOT, &[]);
    assert_eq!(store.change(Change::Enable(AuthEnableRequest {})), Err(Refusal::RootRoleNotExist));
    store.change(grant_role(ROOT, ROOT)).unwrap();
    assert_eq!(store.state.auth, Standing { enabled: false, revision: 3 });
    store.change(Change::Enable(AuthEnableRequest {})).unwrap();
    store.change(Change::Enable(AuthEnableRequest {})).unwrap();
    assert_eq!(store.state.auth, Standing { enabled: true, revision: 3 });

    for (user, refusal) in [("", Refusal::UserEmpty), ("nobody", Refusal::PermissionDenied)] {
        let op = Op::Auth(AuthChange { change: Some(Change::Disable(AuthDisableRequest {})) });
        assert_eq!(outcome(&store.apply_as(user, op)), Err(refusal));
    }
    let op = Op::Auth(AuthChange { change: Some(Change::Disable(AuthDisableRequest {})) });
    assert_eq!(store.apply_as(ROOT, op).tokens, [TokenChange::AllRevoked]);
    assert_eq!(store.state.auth, Standing { enabled: false, revision: 4 });
    assert_eq!(outcome(&store.apply_as("", Op::Put(put("a")))), Ok(()));
}

#[test]
fn names_must_fit_and_root_cannot_be_locked_out() {
    let mut store = Store::guarded(&[]);
    let user = |name: &'static str| Change::UserAdd(User { name: name.into(), ..User::default() });
    assert_eq!(store.change(user("")), Err(Refusal::UserEmpty));
    assert_eq!(store.change(user("u")), Err(Refusal::UserAlreadyExist));
    assert_eq!(store.change(Change::RoleAdd(AuthRoleAddRequest { name: String::new() })), Err(Refusal::RoleEmpty));
    assert_eq!(store.change(Change::RoleAdd(AuthRoleAddRequest { name: "r".into() })), Err(Refusal::RoleAlreadyExist));
    assert_eq!(store.change(grant_role("x", "r")), Err(Refusal::UserNotFound));
    assert_eq!(store.change(grant_role("u", "x")), Err(Refusal::RoleNotFound));
    assert_eq!(store.change(grant("x", Type::Read, "a", "")), Err(Refusal::RoleNotFound));
    assert_eq!(store.change(grant("r", Type::Read, "", "")), Err(Refusal::InvalidAuthManagement));
    assert_eq!(store.change(grant("r", Type::Read, "b", "a")), Err(Refusal::InvalidAuthManagement));
    let none = AuthRoleGrantPermissionRequest { name: "r".into(), perm: None };
    assert_eq!(store.change(Change::RoleGrantPermission(none)), Err(Refusal::PermissionNotGiven));
    let revoke = |key: &'static str| {
        let (role, range_end) = ("r".into(), Bytes::new());
        Change::RoleRevokePermission(AuthRoleRevokePermissionRequest { role, key: key.into(), range_end })
    };
    assert_eq!(store.change(revoke("a")), Err(Refusal::PermissionNotGranted));
    let take = |name: &str, role: &str| {
        Change::UserRevokeRole(AuthUserRevokeRoleRequest { name: name.into(), role: role.into() })
    };
    assert_eq!(store.change(take("u", "x")), Err(Refusal::RoleNotGranted));
    assert_eq!(store.change(take(ROOT, ROOT)), Err(Refusal::InvalidAuthManagement));
    let gone = |name: &str| Change::UserDelete(AuthUserDeleteRequest { name: name.into() });
    assert_eq!(store.change(gone(ROOT)), Err(Refusal::InvalidAuthManagement));
    assert_eq!(store.change(gone("x")), Err(Refusal::UserNotFound));
    let gone = |name: &str| Change::RoleDelete(AuthRoleDeleteRequest { role: name.into() });
    assert_eq!(store.change(gone(ROOT)), Err(Refusal::InvalidAuthManagement));
    let op = Op::Auth(AuthChange { change: Some(gone("r")) });
    assert_eq!(store.apply_as(ROOT, op).tokens, [TokenChange::Revoked { user: "u".into() }]);
    assert!(crate::auth::user(&store.memory, "u").unwrap().unwrap().roles.is_empty());
}

#[test]
fn a_permission_given_again_takes_the_place_of_the_old_one() {
    let mut store = Store::guarded(&[(Type::Read, "b", "c"), (Type::Read, "a", "")]);
    store.change(grant("r", Type::Readwrite, "b", "c")).unwrap();
    let role = role(&store.memory, "r").unwrap().unwrap();
    let shown: Vec<_> = role.key_permission.iter().map(|one| (one.perm_type(), &one.key[..])).collect();
    assert_eq!(shown, [(Type::Read, &b"a"[..]), (Type::Readwrite, b"b")]);
}

#[test]
fn every_key_a_request_touches_is_checked() {
    let mut store = Store::guarded(&[(Type::Write, "w", "x"), (Type::Read, "r", "s"), (Type::Readwrite, "b", "c")]);
    let denied = Err(Refusal::PermissionDenied);
    let range = |key: &'static str, end: &'static str| {
        Request::RequestRange(RangeRequest { key: key.into(), range_end: end.into(), ..RangeRequest::default() })
    };
    let with_previous = |key| PutRequest { prev_kv: true, ..put(key) };
    for (op, expected) in [
        (Op::Put(put("w1")), Ok(())),
        (Op::Put(put("r1")), denied),
        (Op::Put(with_previous("w1")), denied),
        (Op::Put(with_previous("b1")), Ok(())),
        (Op::DeleteRange(delete("w", "x", false)), Ok(())),
        (Op::DeleteRange(delete("w", "y", false)), denied),
        (Op::DeleteRange(delete("w", "x", true)), denied),
        (Op::DeleteRange(delete("b", "c", true)), Ok(())),
        (Op::Txn(txn(range("r", "s"))), Ok(())),
        (Op::Txn(txn(range("w", "x"))), denied),
        (Op::Txn(txn(Request::RequestPut(with_previous("w1")))), denied),
        (Op::Txn(txn(Request::RequestTxn(txn(Request::RequestPut(put("r1")))))), denied),
        (Op::Txn(txn(Request::RequestTxn(txn(Request::RequestPut(put("b1")))))), Ok(())),
        (Op::Compact(CompactionRequest { revision: 1, physical: false }), denied),
        (Op::LeaseGrant(LeaseGrantRequest { id: 9, ttl: 9 }), Ok(())),
    ] {
        assert_eq!(outcome(&store.apply_as("u", op.clone())), expected, "{op:?}");
        assert_eq!(outcome(&store.apply_as("", op.clone())), Err(Refusal::UserEmpty), "{op:?}");
    }
    let compare = proto::etcdserverpb::Compare { key: "w".into(), ..Default::default() };
    let request = TxnRequest { compare: vec![compare], success: vec![], failure: vec![] };
    assert_eq!(outcome(&store.apply_as("u", Op::Txn(request))), denied);
}

#[test]
fn a_lease_is_touched_only_by_those_who_may_write_its_keys() {
    let mut store = Store::guarded(&[(Type::Write, "w", "x")]);
    let attached = |key, lease| Op::Put(PutRequest { lease, ..put(key) });
    for id in [1, 2] {
        outcome(&store.apply_as(ROOT, Op::LeaseGrant(LeaseGrantRequest { id, ttl: 9 }))).unwrap();
    }
    outcome(&store.apply_as(ROOT, attached("other", 1))).unwrap();
    assert_eq!(outcome(&store.apply_as("u", attached("w1", 1))), Err(Refusal::PermissionDenied));
    assert_eq!(outcome(&store.apply_as("u", attached("w1", 2))), Ok(()));
    let revoke = |id| Op::LeaseRevoke(LeaseRevokeRequest { id });
    assert_eq!(outcome(&store.apply_as("u", revoke(1))), Err(Refusal::PermissionDenied));
    assert_eq!(outcome(&store.apply_as("", revoke(2))), Err(Refusal::UserEmpty));
    assert_eq!(outcome(&store.apply_as("u", revoke(2))), Ok(()));
    assert_eq!(outcome(&store.apply_as(ROOT, revoke(1))), Ok(()));
}

#[test]
fn credentials_from_before_a_change_are_asked_for_again() {
    let mut store = Store::guarded(&[(Type::Write, "w", "x")]);
    let old = Caller { user: "u".into(), revision: store.state.auth.revision };
    store.user("other", &[]);
    let command = Command { op: Some(Op::Put(put("w1"))), caller: Some(old.message()), ..Command::default() };
    assert_eq!(outcome(&store.command(&command)), Err(Refusal::AuthOldRevision));
    let token = |auth_revision| {
        let (user, token) = ("u".into(), "t".into());
        Op::Auth(AuthChange { change: Some(Change::Token(TokenGrant { user, token, auth_revision })) })
    };
    assert_eq!(outcome(&store.apply_as("", token(old.revision))), Err(Refusal::AuthOldRevision));
    let now = store.state.auth.revision;
    assert_eq!(store.apply_as("", token(now)).tokens.len(), 1);
}

#[test]
fn a_user_without_password_does_not_get_one() {
    let mut store = Store::guarded(&[]);
    let options = Some(UserAddOptions { no_password: true });
    store.change(Change::UserAdd(User { name: "n".into(), options, ..User::default() })).unwrap();
    let change = |user: &str| {
        Change::UserChangePassword(PasswordChange { user: user.into(), hash: Bytes::from_static(b"hash") })
    };
    store.change(change("n")).unwrap();
    store.change(change("u")).unwrap();
    let password = |name| crate::auth::user(&store.memory, name).unwrap().unwrap().password;
    assert_eq!((&password("n")[..], &password("u")[..]), (&b""[..], &b"hash"[..]));
}
