//! Leases: grant, keep alive, expiry, revoke, and the quirks that clients rely on.

use proto::etcdserverpb::{
    LeaseGrantRequest, LeaseKeepAliveRequest, LeaseLeasesRequest, LeaseRevokeRequest, LeaseTimeToLiveRequest,
    PutRequest,
};
use tests_store::{Client, code_and_text, conformance, within};
use tokio_stream::wrappers::ReceiverStream;
use tonic::Code;

async fn grant(client: &mut Client, id: i64, ttl: i64) -> i64 {
    client.lease.lease_grant(LeaseGrantRequest { ttl, id }).await.expect("grant").into_inner().id
}

async fn attach(client: &mut Client, key: &'static str, lease: i64) {
    let request = PutRequest { key: key.into(), value: "v".into(), lease, ..PutRequest::default() };
    client.put_request(request).await.expect("put with a lease");
}

/// Keeps a lease alive once; the granted TTL.
async fn keep_alive(client: &mut Client, id: i64) -> i64 {
    let (requests, receiver) = tokio::sync::mpsc::channel(1);
    requests.send(LeaseKeepAliveRequest { id }).await.unwrap();
    let mut answers = client.lease.lease_keep_alive(ReceiverStream::new(receiver)).await.unwrap().into_inner();
    within("a keep-alive", answers.message()).await.unwrap().expect("an answer").ttl
}

conformance!(a_lease_is_granted_once, async |server| {
    let mut client = server.client().await;
    let chosen = grant(&mut client, 0, 100).await;
    assert!(chosen > 0);
    assert_eq!(grant(&mut client, 42, 100).await, 42);
    let error = client.lease.lease_grant(LeaseGrantRequest { ttl: 100, id: 42 }).await.unwrap_err();
    assert_eq!(code_and_text(&error), (Code::FailedPrecondition, "etcdserver: lease already exists"));
    let error = client.lease.lease_grant(LeaseGrantRequest { ttl: 9_000_000_001, id: 0 }).await.unwrap_err();
    assert_eq!(code_and_text(&error), (Code::OutOfRange, "etcdserver: too large lease TTL"));
    let leases = client.lease.lease_leases(LeaseLeasesRequest {}).await.unwrap().into_inner().leases;
    let mut ids: Vec<_> = leases.iter().map(|lease| lease.id).collect();
    ids.sort_unstable();
    let mut expected = vec![42, chosen];
    expected.sort_unstable();
    assert_eq!(ids, expected);
});

conformance!(a_grant_moves_no_revision, async |server| {
    let mut client = server.client().await;
    client.put("a", "1").await;
    grant(&mut client, 0, 100).await;
    assert_eq!(client.get("a").await.unwrap().header.unwrap().revision, 2);
});

conformance!(revoking_deletes_the_keys_in_one_revision, async |server| {
    let mut client = server.client().await;
    let lease = grant(&mut client, 0, 100).await;
    for key in ["p/c", "p/a", "p/b"] {
        attach(&mut client, key, lease).await;
    }
    let mut watcher = client.watch_prefix("p/", 5).await;
    client.lease.lease_revoke(LeaseRevokeRequest { id: lease }).await.unwrap();
    let events = watcher.events(3).await;
    let deleted: Vec<_> =
        events.iter().map(|event| event.kv.as_ref().unwrap()).map(|kv| (kv.key.as_ref(), kv.mod_revision)).collect();
    assert_eq!(deleted, [(b"p/a".as_ref(), 5), (b"p/b", 5), (b"p/c", 5)]);
    let error = client.lease.lease_revoke(LeaseRevokeRequest { id: lease }).await.unwrap_err();
    assert_eq!(code_and_text(&error), (Code::NotFound, "etcdserver: requested lease not found"));
});

conformance!(an_unkept_lease_expires, async |server| {
    let mut client = server.client().await;
    let lease = grant(&mut client, 0, 2).await;
    attach(&mut client, "a", lease).await;
    let mut watcher = client.watch_prefix("a", 0).await;
    let event = watcher.events(1).await.remove(0);
    assert_eq!(event.prev_kv.unwrap().lease, lease);
    assert_eq!(client.value("a").await, None);
});

conformance!(a_kept_lease_lives, async |server| {
    let mut client = server.client().await;
    let lease = grant(&mut client, 0, 2).await;
    attach(&mut client, "a", lease).await;
    for _ in 0..6 {
        assert_eq!(keep_alive(&mut client, lease).await, 2);
        tokio::time::sleep(std::time::Duration::from_millis(700)).await;
    }
    assert!(client.value("a").await.is_some());
});

conformance!(dead_leases_answer_without_an_error, async |server| {
    let mut client = server.client().await;
    assert_eq!(keep_alive(&mut client, 99).await, 0);
    let request = LeaseTimeToLiveRequest { id: 99, keys: true };
    let answer = client.lease.lease_time_to_live(request).await.unwrap().into_inner();
    assert_eq!((answer.ttl, answer.granted_ttl), (-1, 0));
});

conformance!(time_to_live_names_the_keys, async |server| {
    let mut client = server.client().await;
    let lease = grant(&mut client, 0, 100).await;
    attach(&mut client, "b", lease).await;
    attach(&mut client, "a", lease).await;
    let request = LeaseTimeToLiveRequest { id: lease, keys: true };
    let answer = client.lease.lease_time_to_live(request).await.unwrap().into_inner();
    assert_eq!(answer.granted_ttl, 100);
    assert!((90..=100).contains(&answer.ttl), "{}", answer.ttl);
    let mut keys: Vec<_> = answer.keys.iter().map(AsRef::as_ref).collect();
    keys.sort_unstable();
    assert_eq!(keys, [b"a", b"b"]);
});

conformance!(a_put_without_the_lease_detaches_the_key, async |server| {
    let mut client = server.client().await;
    let lease = grant(&mut client, 0, 100).await;
    attach(&mut client, "a", lease).await;
    let keep = PutRequest { key: "a".into(), value: "2".into(), ignore_lease: true, ..PutRequest::default() };
    client.put_request(keep).await.unwrap();
    assert_eq!(client.get("a").await.unwrap().kvs[0].lease, lease);
    client.put("a", "3").await;
    client.lease.lease_revoke(LeaseRevokeRequest { id: lease }).await.unwrap();
    assert_eq!(client.value("a").await.as_deref(), Some("3"));
});

conformance!(leases_survive_a_kill, async |server| {
    let mut server = server;
    let mut client = server.client().await;
    let lease = grant(&mut client, 0, 100).await;
    let short = grant(&mut client, 0, 2).await;
    attach(&mut client, "long", lease).await;
    attach(&mut client, "short", short).await;
    server.kill();
    server.restart().await;
    let mut client = server.client().await;
    assert_eq!(client.get("long").await.unwrap().kvs[0].lease, lease);
    within("expiry after a restart", async {
        while client.value("short").await.is_some() {
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
    })
    .await;
    assert!(client.value("long").await.is_some());
});
