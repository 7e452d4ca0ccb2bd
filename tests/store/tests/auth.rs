//! Users, roles, permissions and tokens.

use std::path::Path;
use std::process::Command;

use proto::authpb::permission::Type;
use proto::authpb::{Permission, UserAddOptions};
use proto::etcdserverpb::alarm_request::AlarmAction;
use proto::etcdserverpb::request_op::Request;
use proto::etcdserverpb::{
    AlarmRequest, AuthDisableRequest, AuthEnableRequest, AuthRoleAddRequest, AuthRoleDeleteRequest, AuthRoleGetRequest,
    AuthRoleGrantPermissionRequest, AuthRoleListRequest, AuthRoleRevokePermissionRequest, AuthStatusRequest,
    AuthUserAddRequest, AuthUserChangePasswordRequest, AuthUserDeleteRequest, AuthUserGetRequest,
    AuthUserGrantRoleRequest, AuthUserListRequest, AuthUserRevokeRoleRequest, AuthenticateRequest, CompactionRequest,
    DefragmentRequest, DeleteRangeRequest, HashKvRequest, LeaseGrantRequest, LeaseKeepAliveRequest, LeaseRevokeRequest,
    LeaseTimeToLiveRequest, MemberAddRequest, MemberListRequest, MoveLeaderRequest, PutRequest, RangeRequest,
    RequestOp, StatusRequest, TxnRequest, WatchCreateRequest, WatchRequest,
};
use tests_store::{Client, Kind, Server, code_and_text, conformance, run_with, with_token};
use tonic::{Code, Status};

/// Who shows no token is nobody: the name in his certificate does not count.
const TOKENS_ONLY: &str = "--client-cert-auth=false";
/// Cheap hashes: the tests are not about how long a password holds out.
const CHEAP: &str = "--bcrypt-cost=4";

fn text(status: &Status) -> (Code, &str) {
    code_and_text(status)
}

const DENIED: (Code, &str) = (Code::PermissionDenied, "etcdserver: permission denied");
const NOBODY: (Code, &str) = (Code::InvalidArgument, "etcdserver: user name is empty");

/// Refused with this code and these words.
macro_rules! refused {
    ($call:expr, $expected:expr) => {
        assert_eq!(text(&$call.await.expect_err("a refusal")), $expected, "{}", stringify!($call))
    };
}

async fn add_user(client: &mut Client, token: &str, name: &str, password: &str) {
    let options = Some(UserAddOptions { no_password: password.is_empty() });
    let (name, password) = (name.into(), password.into());
    let request = AuthUserAddRequest { name, password, options, hashed_password: String::new() };
    client.auth.user_add(with_token(token, request)).await.expect("user add");
}

async fn add_role(client: &mut Client, token: &str, name: &str, permissions: &[(Type, &'static str, &'static str)]) {
    client.auth.role_add(with_token(token, AuthRoleAddRequest { name: name.into() })).await.expect("role add");
    for (kind, key, end) in permissions {
        let perm = Permission { perm_type: (*kind).into(), key: (*key).into(), range_end: (*end).into() };
        let request = AuthRoleGrantPermissionRequest { name: name.into(), perm: Some(perm) };
        client.auth.role_grant_permission(with_token(token, request)).await.expect("grant");
    }
}

async fn grant_role(client: &mut Client, token: &str, user: &str, role: &str) {
    let request = AuthUserGrantRoleRequest { user: user.into(), role: role.into() };
    client.auth.user_grant_role(with_token(token, request)).await.expect("grant a role");
}

async fn login(client: &mut Client, name: &str, password: &str) -> Result<String, Status> {
    let request = AuthenticateRequest { name: name.into(), password: password.into() };
    client.auth.authenticate(request).await.map(|answer| answer.into_inner().token)
}

/// `root` with password `r`, a user `u` with password `p` who may do this, and authentication on: their tokens.
async fn guarded(client: &mut Client, permissions: &[(Type, &'static str, &'static str)]) -> (String, String) {
    add_user(client, "", "root", "r").await;
    grant_role(client, "", "root", "root").await;
    add_user(client, "", "u", "p").await;
    add_role(client, "", "role", permissions).await;
    grant_role(client, "", "u", "role").await;
    client.auth.auth_enable(AuthEnableRequest {}).await.expect("enable");
    let root = login(client, "root", "r").await.expect("root's token");
    (root, login(client, "u", "p").await.expect("a token"))
}

fn put(key: &'static str) -> PutRequest {
    PutRequest { key: key.into(), ..PutRequest::default() }
}

fn range(key: &'static str, end: &'static str) -> RangeRequest {
    RangeRequest { key: key.into(), range_end: end.into(), ..RangeRequest::default() }
}

fn delete(key: &'static str, end: &'static str, prev_kv: bool) -> DeleteRangeRequest {
    DeleteRangeRequest { key: key.into(), range_end: end.into(), prev_kv }
}

fn txn(request: Request) -> TxnRequest {
    TxnRequest { success: vec![RequestOp { request: Some(request) }], ..TxnRequest::default() }
}

conformance!(names_and_grants_are_checked, [CHEAP], async |server| {
    let mut client = server.client().await;
    let failed = |text: &'static str| (Code::FailedPrecondition, text);
    let invalid = |text: &'static str| (Code::InvalidArgument, text);
    let auth = &mut client.auth;
    refused!(auth.auth_enable(AuthEnableRequest {}), failed("etcdserver: root user does not exist"));
    let user = |name: &str| AuthUserAddRequest { name: name.into(), password: "p".into(), ..Default::default() };
    refused!(auth.user_add(user("")), invalid("etcdserver: user name is empty"));
    auth.user_add(user("root")).await.unwrap();
    refused!(auth.user_add(user("root")), failed("etcdserver: user name already exists"));
    refused!(auth.auth_enable(AuthEnableRequest {}), failed("etcdserver: root user does not have root role"));
    refused!(
        auth.authenticate(AuthenticateRequest { name: "root".into(), password: "p".into() }),
        failed("etcdserver: authentication is not enabled")
    );
    let named = |name: &str| AuthRoleAddRequest { name: name.into() };
    refused!(auth.role_add(named("")), invalid("etcdserver: role name is empty"));
    auth.role_add(named("r")).await.unwrap();
    refused!(auth.role_add(named("r")), failed("etcdserver: role name already exists"));
    let grant = |user: &str, role: &str| AuthUserGrantRoleRequest { user: user.into(), role: role.into() };
    refused!(auth.user_grant_role(grant("x", "r")), failed("etcdserver: user name not found"));
    refused!(auth.user_grant_role(grant("root", "x")), failed("etcdserver: role name not found"));
    let revoke = |name: &str, role: &str| AuthUserRevokeRoleRequest { name: name.into(), role: role.into() };
    refused!(auth.user_revoke_role(revoke("x", "r")), failed("etcdserver: user name not found"));
    refused!(auth.user_revoke_role(revoke("root", "r")), failed("etcdserver: role is not granted to the user"));
    refused!(auth.user_delete(AuthUserDeleteRequest { name: "x".into() }), failed("etcdserver: user name not found"));
    refused!(auth.role_delete(AuthRoleDeleteRequest { role: "x".into() }), failed("etcdserver: role name not found"));
    refused!(auth.user_get(AuthUserGetRequest { name: "x".into() }), failed("etcdserver: user name not found"));
    refused!(auth.role_get(AuthRoleGetRequest { role: "x".into() }), failed("etcdserver: role name not found"));
    let change = AuthUserChangePasswordRequest { name: "x".into(), password: "p".into(), ..Default::default() };
    refused!(auth.user_change_password(change), failed("etcdserver: user name not found"));
    let perm = |name: &str, key: &'static str, end: &'static str| AuthRoleGrantPermissionRequest {
        name: name.into(),
        perm: Some(Permission { perm_type: 0, key: key.into(), range_end: end.into() }),
    };
    refused!(auth.role_grant_permission(perm("x", "a", "")), failed("etcdserver: role name not found"));
    if server.kind() == Kind::Ours {
        // etcd 3.4 takes permissions for no key.
        refused!(auth.role_grant_permission(perm("r", "b", "a")), invalid("etcdserver: invalid auth management"));
        refused!(auth.role_grant_permission(perm("r", "", "")), invalid("etcdserver: invalid auth management"));
        // And dies of no permission.
        let nothing = AuthRoleGrantPermissionRequest { name: "r".into(), perm: None };
        refused!(auth.role_grant_permission(nothing), invalid("etcdserver: permission not given"));
    }
    let taken =
        |role: &str| AuthRoleRevokePermissionRequest { role: role.into(), key: "a".into(), ..Default::default() };
    refused!(auth.role_revoke_permission(taken("x")), failed("etcdserver: role name not found"));
    refused!(auth.role_revoke_permission(taken("r")), failed("etcdserver: permission is not granted to the role"));
});

conformance!(users_and_roles_are_shown, [CHEAP], async |server| {
    let mut client = server.client().await;
    add_user(&mut client, "", "b", "p").await;
    add_user(&mut client, "", "a", "").await;
    let permissions = [(Type::Write, "k", ""), (Type::Read, "a", "c"), (Type::Readwrite, "k", "")];
    add_role(&mut client, "", "z", &permissions).await;
    add_role(&mut client, "", "y", &[]).await;
    for role in ["z", "y", "root", "z"] {
        grant_role(&mut client, "", "b", role).await;
    }
    let users = client.auth.user_list(AuthUserListRequest {}).await.unwrap().into_inner();
    assert_eq!(users.users, ["a", "b"]);
    let header = users.header.expect("a header");
    assert!(header.revision == 1 && header.member_id != 0 && header.raft_term != 0, "{header:?}");
    let roles = client.auth.role_list(AuthRoleListRequest {}).await.unwrap().into_inner();
    assert_eq!(roles.roles, ["y", "z"]);
    let user = client.auth.user_get(AuthUserGetRequest { name: "b".into() }).await.unwrap().into_inner();
    assert_eq!(user.roles, ["root", "y", "z"]);
    let role = client.auth.role_get(AuthRoleGetRequest { role: "z".into() }).await.unwrap().into_inner();
    let shown: Vec<_> = role.perm.iter().map(|one| (one.perm_type(), &one.key[..], &one.range_end[..])).collect();
    assert_eq!(shown, [(Type::Read, &b"a"[..], &b"c"[..]), (Type::Readwrite, b"k", b"")]);

    let key = "k".into();
    let revoke = AuthRoleRevokePermissionRequest { role: "z".into(), key, ..Default::default() };
    client.auth.role_revoke_permission(revoke).await.unwrap();
    client.auth.role_delete(AuthRoleDeleteRequest { role: "y".into() }).await.unwrap();
    let user = client.auth.user_get(AuthUserGetRequest { name: "b".into() }).await.unwrap().into_inner();
    assert_eq!(user.roles, ["root", "z"]);
    let role = client.auth.role_get(AuthRoleGetRequest { role: "z".into() }).await.unwrap().into_inner();
    assert_eq!(role.perm.len(), 1);
});

conformance!(keys_are_touched_only_with_permission, [TOKENS_ONLY, CHEAP], async |server| {
    let mut client = server.client().await;
    client.put("b1", "v").await;
    let permissions =
        [(Type::Write, "w", "x"), (Type::Read, "r", "s"), (Type::Readwrite, "b", "c"), (Type::Read, "x", "\0")];
    let (root, token) = guarded(&mut client, &permissions).await;
    let kv = &mut client.kv;
    refused!(kv.range(range("b", "c")), NOBODY);
    refused!(kv.put(put("w1")), NOBODY);
    refused!(kv.delete_range(delete("w", "x", false)), NOBODY);
    refused!(kv.range(with_token("wrong", range("b", ""))), (Code::Unauthenticated, "etcdserver: invalid auth token"));
    refused!(kv.put(with_token("wrong", put("w1"))), (Code::Unauthenticated, "etcdserver: invalid auth token"));

    kv.range(with_token(&token, range("b", "c"))).await.unwrap();
    kv.range(with_token(&token, range("r5", ""))).await.unwrap();
    kv.range(with_token(&token, range("y", "\0"))).await.unwrap();
    refused!(kv.range(with_token(&token, range("b", "s"))), DENIED);
    refused!(kv.range(with_token(&token, range("w", "x"))), DENIED);
    refused!(kv.range(with_token(&token, range("r", "\0"))), DENIED);
    refused!(
        kv.range(with_token(&token, RangeRequest { serializable: true, count_only: true, ..range("a", "") })),
        DENIED
    );
    kv.put(with_token(&token, put("w1"))).await.unwrap();
    refused!(kv.put(with_token(&token, put("r1"))), DENIED);
    refused!(kv.put(with_token(&token, PutRequest { prev_kv: true, ..put("w1") })), DENIED);
    kv.put(with_token(&token, PutRequest { prev_kv: true, ..put("b1") })).await.unwrap();
    refused!(kv.delete_range(with_token(&token, delete("w", "y", false))), DENIED);
    refused!(kv.delete_range(with_token(&token, delete("w", "x", true))), DENIED);
    kv.delete_range(with_token(&token, delete("w", "x", false))).await.unwrap();

    let ask = |request| with_token(&token, txn(request));
    kv.txn(ask(Request::RequestRange(range("r", "s")))).await.unwrap();
    refused!(kv.txn(ask(Request::RequestRange(range("w", "x")))), DENIED);
    kv.txn(ask(Request::RequestPut(put("w1")))).await.unwrap();
    refused!(kv.txn(ask(Request::RequestPut(put("r1")))), DENIED);
    refused!(kv.txn(ask(Request::RequestDeleteRange(delete("w", "x", true)))), DENIED);
    let compare = proto::etcdserverpb::Compare { key: "w".into(), ..Default::default() };
    let compared = TxnRequest { compare: vec![compare], ..txn(Request::RequestPut(put("w1"))) };
    refused!(kv.txn(with_token(&token, compared)), DENIED);
    refused!(kv.txn(txn(Request::RequestPut(put("w1")))), NOBODY);
    if server.kind() == Kind::Ours {
        // Older releases of etcd look neither into nested transactions nor at what a put within one returns.
        refused!(kv.txn(ask(Request::RequestTxn(txn(Request::RequestPut(put("r1")))))), DENIED);
        refused!(kv.txn(ask(Request::RequestPut(PutRequest { prev_kv: true, ..put("w1") }))), DENIED);
    }
    // Whoever has the role `root` may do everything.
    kv.range(with_token(&root, range("\0", "\0"))).await.unwrap();
    kv.put(with_token(&root, put("zzz"))).await.unwrap();
});

async fn watched(client: &mut Client, token: &str, key: &'static str, end: &'static str) -> (bool, String) {
    let create = WatchCreateRequest { key: key.into(), range_end: end.into(), ..WatchCreateRequest::default() };
    let create = proto::etcdserverpb::watch_request::RequestUnion::CreateRequest(create);
    let requests = tokio_stream::iter([WatchRequest { request_union: Some(create) }]);
    let mut request = tonic::Request::new(tokio_stream::StreamExt::chain(requests, tokio_stream::pending()));
    if !token.is_empty() {
        request.metadata_mut().insert("token", token.parse().unwrap());
    }
    let mut answers = client.watch.watch(request).await.expect("a stream").into_inner();
    let answer = tests_store::within("a watch response", answers.message()).await.expect("watch").expect("an answer");
    assert!(answer.created, "{answer:?}");
    assert!(!answer.canceled || answer.watch_id == -1, "{answer:?}");
    (answer.canceled, answer.cancel_reason)
}

conformance!(watches_need_permission_to_read, [TOKENS_ONLY, CHEAP], async |server| {
    let mut client = server.client().await;
    let (root, token) = guarded(&mut client, &[(Type::Read, "r", "s"), (Type::Write, "w", "x")]).await;
    assert_eq!(watched(&mut client, &token, "r1", "").await, (false, String::new()));
    assert_eq!(watched(&mut client, &token, "r", "s").await, (false, String::new()));
    let denied = (true, "rpc error: code = PermissionDenied desc = etcdserver: permission denied".to_owned());
    assert_eq!(watched(&mut client, &token, "w1", "").await, denied);
    assert_eq!(watched(&mut client, &token, "r", "t").await, denied);
    assert_eq!(watched(&mut client, &root, "\0", "\0").await, (false, String::new()));
    if server.kind() == Kind::Ours {
        // Older releases of etcd take a watch of everything that follows a key for one of the key.
        assert_eq!(watched(&mut client, &token, "r", "\0").await, denied);
    }
    assert!(watched(&mut client, "", "r1", "").await.0);
});

conformance!(leases_are_shared_only_by_those_who_may_end_them, [TOKENS_ONLY, CHEAP], async |server| {
    let mut client = server.client().await;
    let (root, token) = guarded(&mut client, &[(Type::Write, "w", "x")]).await;
    for id in [1, 2] {
        client.lease.lease_grant(with_token(&token, LeaseGrantRequest { ttl: 600, id })).await.unwrap();
    }
    client.kv.put(with_token(&root, PutRequest { lease: 1, ..put("other") })).await.unwrap();
    refused!(client.kv.put(with_token(&token, PutRequest { lease: 1, ..put("w1") })), DENIED);
    client.kv.put(with_token(&token, PutRequest { lease: 2, ..put("w1") })).await.unwrap();
    let left = |keys| LeaseTimeToLiveRequest { id: 1, keys };
    client.lease.lease_time_to_live(with_token(&token, left(false))).await.unwrap();
    if server.kind() == Kind::Ours {
        refused!(client.lease.lease_time_to_live(with_token(&token, left(true))), DENIED);
        refused!(client.lease.lease_grant(LeaseGrantRequest { ttl: 600, id: 3 }), NOBODY);
        refused!(client.lease.lease_time_to_live(left(false)), NOBODY);
        let requests = tokio_stream::iter([LeaseKeepAliveRequest { id: 1 }]);
        let mut answers = client.lease.lease_keep_alive(requests).await.unwrap().into_inner();
        refused!(answers.message(), NOBODY);
    }
    let seen = client.lease.lease_time_to_live(with_token(&root, left(true))).await.unwrap().into_inner();
    assert_eq!(seen.keys, ["other"]);
    refused!(client.lease.lease_revoke(with_token(&token, LeaseRevokeRequest { id: 1 })), DENIED);
    client.lease.lease_revoke(with_token(&token, LeaseRevokeRequest { id: 2 })).await.unwrap();
    client.lease.lease_revoke(with_token(&root, LeaseRevokeRequest { id: 1 })).await.unwrap();
});

conformance!(administration_is_for_root, [TOKENS_ONLY, CHEAP], async |server| {
    let mut client = server.client().await;
    let (root, token) = guarded(&mut client, &[(Type::Readwrite, "\0", "\0")]).await;
    let user = |name: &str| AuthUserAddRequest { name: name.into(), password: "p".into(), ..Default::default() };
    refused!(client.auth.user_add(user("x")), NOBODY);
    refused!(client.auth.user_add(with_token(&token, user("x"))), DENIED);
    refused!(client.auth.user_list(with_token(&token, AuthUserListRequest {})), DENIED);
    refused!(client.auth.auth_disable(with_token(&token, AuthDisableRequest {})), DENIED);
    // Everybody may look at himself and his roles.
    let get = |name: &str| with_token(&token, AuthUserGetRequest { name: name.into() });
    assert_eq!(client.auth.user_get(get("u")).await.unwrap().into_inner().roles, ["role"]);
    refused!(client.auth.user_get(get("root")), DENIED);
    let get = |role: &str| with_token(&token, AuthRoleGetRequest { role: role.into() });
    assert_eq!(client.auth.role_get(get("role")).await.unwrap().into_inner().perm.len(), 1);
    refused!(client.auth.role_get(get("root")), DENIED);
    // etcd leaves the code and the server's name out here.
    let denied = client.maintenance.defragment(with_token(&token, DefragmentRequest {})).await.expect_err("a refusal");
    assert!(denied.message().ends_with("permission denied"), "{denied:?}");
    let denied = client.maintenance.hash_kv(with_token(&token, HashKvRequest { revision: 0 })).await;
    assert!(denied.expect_err("a refusal").message().ends_with("permission denied"));
    let member = MemberAddRequest { peer_ur_ls: vec!["https://127.0.0.1:1".into()], is_learner: true };
    refused!(client.cluster.member_add(with_token(&token, member)), DENIED);
    client.maintenance.hash_kv(with_token(&root, HashKvRequest { revision: 0 })).await.unwrap();
    client.cluster.member_list(with_token(&token, MemberListRequest::default())).await.unwrap();
    let invalid = (Code::InvalidArgument, "etcdserver: invalid auth management");
    refused!(client.auth.user_delete(with_token(&root, AuthUserDeleteRequest { name: "root".into() })), invalid);
    let revoke = AuthUserRevokeRoleRequest { name: "root".into(), role: "root".into() };
    refused!(client.auth.user_revoke_role(with_token(&root, revoke)), invalid);
    if server.kind() == Kind::Ours {
        // Released etcds learned these one after the other.
        let raise = AlarmRequest { action: AlarmAction::Activate.into(), member_id: 1, alarm: 1 };
        refused!(client.maintenance.alarm(with_token(&token, raise)), DENIED);
        client.maintenance.alarm(with_token(&token, AlarmRequest::default())).await.unwrap();
        refused!(client.maintenance.alarm(AlarmRequest::default()), NOBODY);
        refused!(client.maintenance.status(StatusRequest {}), NOBODY);
        client.maintenance.status(with_token(&token, StatusRequest {})).await.unwrap();
        refused!(client.maintenance.move_leader(with_token(&token, MoveLeaderRequest { target_id: 1 })), DENIED);
        refused!(client.cluster.member_list(MemberListRequest::default()), NOBODY);
        let compact = || CompactionRequest { revision: 1, physical: false };
        refused!(client.kv.compact(with_token(&token, compact())), DENIED);
        refused!(client.kv.compact(compact()), NOBODY);
        let status = client.auth.auth_status(with_token(&root, AuthStatusRequest {})).await.unwrap().into_inner();
        assert!(status.enabled && status.auth_revision == 7, "{status:?}");
        refused!(client.auth.auth_status(with_token(&token, AuthStatusRequest {})), DENIED);
    }
    client.auth.auth_disable(with_token(&root, AuthDisableRequest {})).await.unwrap();
    client.put("a", "1").await;
});

conformance!(passwords_are_checked_and_changed, [TOKENS_ONLY, CHEAP], async |server| {
    let mut client = server.client().await;
    let (root, token) = guarded(&mut client, &[(Type::Read, "r", "")]).await;
    let failed = (Code::InvalidArgument, "etcdserver: authentication failed, invalid user ID or password");
    refused!(login(&mut client, "u", "wrong"), failed);
    refused!(login(&mut client, "nobody", "p"), failed);
    add_user(&mut client, &root, "n", "").await;
    let without = login(&mut client, "n", "p").await.expect_err("no password");
    assert!(without.message().contains("authentication failed"), "{without:?}");
    client.kv.range(with_token(&token, range("r", ""))).await.unwrap();
    let change = AuthUserChangePasswordRequest { name: "u".into(), password: "q".into(), ..Default::default() };
    refused!(client.auth.user_change_password(with_token(&token, change.clone())), DENIED);
    client.auth.user_change_password(with_token(&root, change)).await.unwrap();
    // What was let in with the old one is out.
    let out = (Code::Unauthenticated, "etcdserver: invalid auth token");
    refused!(client.kv.range(with_token(&token, range("r", ""))), out);
    refused!(login(&mut client, "u", "p"), failed);
    let token = login(&mut client, "u", "q").await.unwrap();
    client.kv.range(with_token(&token, range("r", ""))).await.unwrap();
    // A change of permissions counts at once.
    let perm = Permission { perm_type: Type::Read.into(), key: "s".into(), ..Default::default() };
    refused!(client.kv.range(with_token(&token, range("s", ""))), DENIED);
    let grant = AuthRoleGrantPermissionRequest { name: "role".into(), perm: Some(perm) };
    client.auth.role_grant_permission(with_token(&root, grant)).await.unwrap();
    client.kv.range(with_token(&token, range("s", ""))).await.unwrap();
    client.auth.user_delete(with_token(&root, AuthUserDeleteRequest { name: "u".into() })).await.unwrap();
    refused!(client.kv.range(with_token(&token, range("r", ""))), out);
});

conformance!(a_certificates_name_is_a_user, [CHEAP], async |server| {
    let mut client = server.client().await;
    add_user(&mut client, "", "client", "").await;
    grant_role(&mut client, "", "client", "root").await;
    let (_, token) = guarded(&mut client, &[(Type::Read, "r", "")]).await;
    // Without a token, the certificate speaks; with one, the token does.
    client.put("a", "1").await;
    refused!(client.kv.put(with_token(&token, put("a"))), DENIED);
    client.auth.user_delete(AuthUserDeleteRequest { name: "client".into() }).await.unwrap();
    refused!(client.kv.put(put("a")), DENIED);
});

conformance!(users_are_there_after_a_crash, [TOKENS_ONLY, CHEAP], async |mut server| {
    let mut client = server.client().await;
    let (_, token) = guarded(&mut client, &[(Type::Readwrite, "k", "")]).await;
    client.kv.put(with_token(&token, put("k"))).await.unwrap();
    server.kill();
    server.restart().await;
    let mut client = server.client().await;
    refused!(client.kv.range(range("k", "")), NOBODY);
    let token = login(&mut client, "u", "p").await.unwrap();
    let found = client.kv.range(with_token(&token, range("k", ""))).await.unwrap().into_inner();
    assert_eq!(found.count, 1);
    refused!(client.kv.put(with_token(&token, put("l"))), DENIED);
});

fn jwt_keys(folder: &Path) -> String {
    let run = |arguments: &[&str]| {
        let output = Command::new("openssl").current_dir(folder).args(arguments).output().expect("openssl is there");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    };
    run(&["genrsa", "-out", "jwt.key", "2048"]);
    run(&["rsa", "-in", "jwt.key", "-pubout", "-out", "jwt.pub"]);
    let file = |name: &str| folder.join(name).display().to_string();
    format!("--auth-token=jwt,pub-key={},priv-key={},sign-method=RS256,ttl=5m", file("jwt.pub"), file("jwt.key"))
}

fn signed_tokens(kind: Kind) {
    let folder = tempfile::tempdir().expect("a folder");
    let flag = jwt_keys(folder.path());
    run_with(kind, &[TOKENS_ONLY, CHEAP, &flag], async |mut server: Server| {
        let mut client = server.client().await;
        let (root, token) = guarded(&mut client, &[(Type::Readwrite, "k", "")]).await;
        assert_eq!(token.split('.').count(), 3, "{token}");
        client.kv.put(with_token(&token, put("k"))).await.unwrap();
        refused!(client.kv.put(with_token(&token, put("l"))), DENIED);
        let forged = format!("{}x", token.trim_end_matches(|last| last != '.'));
        refused!(
            client.kv.put(with_token(&forged, put("k"))),
            (Code::Unauthenticated, "etcdserver: invalid auth token")
        );
        // Nobody has to remember them.
        server.kill();
        server.restart().await;
        let mut client = server.client().await;
        client.kv.put(with_token(&token, put("k"))).await.unwrap();
        // They tell which users and roles they were made for.
        add_user(&mut client, &root, "other", "p").await;
        let old = (Code::InvalidArgument, "etcdserver: revision of auth store is old");
        refused!(client.kv.put(with_token(&token, put("k"))), old);
        refused!(client.kv.range(with_token(&token, range("k", ""))), old);
        let token = login(&mut client, "u", "p").await.unwrap();
        client.kv.put(with_token(&token, put("k"))).await.unwrap();
    });
}

mod signed_tokens_outlive_a_restart_but_no_change {
    use super::*;

    #[test]
    fn etcd() {
        signed_tokens(Kind::Etcd);
    }

    #[test]
    fn ours() {
        signed_tokens(Kind::Ours);
    }
}

conformance!(a_token_ends_when_it_is_not_used, [TOKENS_ONLY, CHEAP, "--auth-token-ttl=1"], async |server| {
    let mut client = server.client().await;
    let (_, token) = guarded(&mut client, &[(Type::Read, "k", "")]).await;
    let deadline = std::time::Instant::now() + tests_store::DEADLINE;
    // Each look is a use: the looks must be further apart than the token lives.
    loop {
        tokio::time::sleep(std::time::Duration::from_millis(2500)).await;
        match client.kv.range(with_token(&token, range("k", ""))).await {
            Err(status) => {
                assert_eq!(text(&status), (Code::Unauthenticated, "etcdserver: invalid auth token"));
                break;
            }
            Ok(_) => assert!(std::time::Instant::now() < deadline, "the token never ends"),
        }
    }
    login(&mut client, "u", "p").await.unwrap();
});

/// Numbers from a seed.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: usize) -> usize {
        // The constants are Knuth's for MMIX.
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % sides
    }

    fn key(&mut self) -> &'static str {
        ["\0", "a", "a\0", "ab", "b", "c", "d", "d\u{1}", "e"][self.roll(9)]
    }

    /// Often none, sometimes everything that follows. Never in front of the key: of a range in which no key can lie, etcd's
    /// judgement depends on the shape of a tree.
    fn end(&mut self, key: &str) -> &'static str {
        let end = ["", "", "\0", "a", "ac", "b", "c", "d", "e", "f"][self.roll(10)];
        if end == "\0" || end > key { end } else { "" }
    }

    /// A request, the same for the same seed; what became of it in words.
    async fn ask(&mut self, client: &mut Client, token: &str) -> String {
        let key = self.key();
        let (end, prev_kv) = (self.end(key), self.roll(2) == 0);
        let told = |status: Status| (status.code(), status.message().to_owned());
        match self.roll(4) {
            0 => {
                let answer = client.kv.range(with_token(token, range(key, end))).await;
                format!("range {key:?} {end:?}: {:?}", answer.map(|answer| answer.into_inner().count).map_err(told))
            }
            1 => {
                let answer = client.kv.put(with_token(token, PutRequest { prev_kv, ..put(key) })).await;
                format!("put {key:?} {prev_kv}: {:?}", answer.map(drop).map_err(told))
            }
            2 => {
                let answer = client.kv.delete_range(with_token(token, delete(key, end, prev_kv))).await;
                let answer = answer.map(|answer| answer.into_inner().deleted).map_err(told);
                format!("delete {key:?} {end:?} {prev_kv}: {answer:?}")
            }
            _ => {
                let compare = proto::etcdserverpb::Compare { key: self.key().into(), ..Default::default() };
                let success = vec![RequestOp { request: Some(Request::RequestRange(range(key, end))) }];
                let failure = vec![RequestOp { request: Some(Request::RequestPut(put(self.key()))) }];
                let request = TxnRequest { compare: vec![compare], success, failure };
                let answer = client.kv.txn(with_token(token, request.clone())).await;
                let answer = answer.map(|answer| answer.into_inner().succeeded).map_err(told);
                format!("{request:?}: {answer:?}")
            }
        }
    }
}

async fn judgements(kind: Kind, seed: u64) -> Vec<String> {
    let server = Server::start_with(kind, &[TOKENS_ONLY, CHEAP]).await;
    let mut client = server.client().await;
    let mut dice = Dice(seed);
    let mut permissions = Vec::new();
    for _ in 0..4 {
        let kind = [Type::Read, Type::Write, Type::Readwrite][dice.roll(3)];
        let key = dice.key();
        permissions.push((kind, key, dice.end(key)));
    }
    let (_, token) = guarded(&mut client, &permissions).await;
    let mut told = vec![format!("{permissions:?}")];
    for _ in 0..150 {
        told.push(dice.ask(&mut client, &token).await);
    }
    told
}

#[test]
fn permissions_are_judged_as_etcd_does() {
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime");
    runtime.block_on(async {
        for seed in 1..=6 {
            let (etcd, ours) = (judgements(Kind::Etcd, seed).await, judgements(Kind::Ours, seed).await);
            for (expected, found) in etcd.iter().zip(&ours) {
                assert_eq!(found, expected, "seed {seed}, with {}", etcd[0]);
            }
        }
    });
}
