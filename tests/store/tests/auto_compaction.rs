//! Compaction without being asked.

use proto::etcdserverpb::{AuthEnableRequest, AuthUserAddRequest, AuthUserGrantRoleRequest, RangeRequest};
use tests_store::{Client, Kind, Server, code_and_text, conformance, run_with, with_token, within};
use tonic::{Code, Status};

/// Reads a key at the revision it was written at until that is refused; keeps the store busy meanwhile, since a store in which
/// nothing happens has nothing to compact.
async fn until_compacted(client: &mut Client, token: &str, revision: i64) -> Status {
    within("a compaction", async {
        loop {
            let put = proto::etcdserverpb::PutRequest { key: "busy".into(), ..Default::default() };
            client.kv.put(with_token(token, put)).await.expect("put");
            let read = RangeRequest { key: "a".into(), revision, ..RangeRequest::default() };
            if let Err(status) = client.kv.range(with_token(token, read)).await {
                return status;
            }
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
    })
    .await
}

const COMPACTED: (Code, &str) = (Code::OutOfRange, "etcdserver: mvcc: required revision has been compacted");

conformance!(
    what_is_older_than_the_period_goes,
    ["--auto-compaction-mode=periodic", "--auto-compaction-retention=1s"],
    async |server| {
        let mut client = server.client().await;
        let first = client.put("a", "1").await;
        let refused = until_compacted(&mut client, "", first).await;
        assert_eq!(code_and_text(&refused), COMPACTED);
        assert_eq!(client.value("a").await.as_deref(), Some("1"), "what is live stays");
    }
);

/// Nobody is asked for a password by himself.
#[test]
fn it_goes_on_when_clients_are_asked_who_they_are() {
    let flags = ["--client-cert-auth=false", "--bcrypt-cost=4", "--auto-compaction-retention=1s"];
    run_with(Kind::Ours, &flags, async |server: Server| {
        let mut client = server.client().await;
        let first = client.put("a", "1").await;
        let user = AuthUserAddRequest { name: "root".into(), password: "r".into(), ..Default::default() };
        client.auth.user_add(user).await.expect("user add");
        let grant = AuthUserGrantRoleRequest { user: "root".into(), role: "root".into() };
        client.auth.user_grant_role(grant).await.expect("grant");
        client.auth.auth_enable(AuthEnableRequest {}).await.expect("enable");
        let login = proto::etcdserverpb::AuthenticateRequest { name: "root".into(), password: "r".into() };
        let token = client.auth.authenticate(login).await.expect("a token").into_inner().token;
        let refused = until_compacted(&mut client, &token, first).await;
        assert_eq!(code_and_text(&refused), COMPACTED);
    });
}
