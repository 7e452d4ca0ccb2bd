//! Locks.

use proto::etcdserverpb::{LeaseGrantRequest, LeaseRevokeRequest, LeaseTimeToLiveRequest};
use proto::v3lockpb::{LockRequest, LockResponse, UnlockRequest};
use tests_store::{Client, Kind, conformance, within};
use tokio::task::JoinHandle;
use tonic::Status;

async fn lease(client: &mut Client, id: i64) {
    client.lease.lease_grant(LeaseGrantRequest { ttl: 600, id }).await.expect("grant");
}

async fn lock(client: &Client, lease: i64) -> Result<LockResponse, Status> {
    let mut lock = client.lock.clone();
    let request = LockRequest { name: "name".into(), lease };
    within("lock", lock.lock(request)).await.map(tonic::Response::into_inner)
}

/// Asks for the lock and comes back when the request stands in the queue.
async fn queued(client: &mut Client, lease: i64) -> JoinHandle<Result<LockResponse, Status>> {
    let other = client.clone();
    let waiting = tokio::spawn(async move { lock(&other, lease).await });
    until_keys(client, |keys| keys.contains(&format!("name/{lease:x}"))).await;
    waiting
}

async fn until_keys(client: &mut Client, wanted: impl Fn(&[String]) -> bool) {
    within("the keys of the queue", async {
        while !wanted(&client.keys("name/").await) {
            tokio::task::yield_now().await;
        }
    })
    .await;
}

async fn unlock(client: &Client, key: impl Into<tonic::codegen::Bytes>) -> Result<i64, Status> {
    let answer = client.lock.clone().unlock(UnlockRequest { key: key.into() }).await?;
    Ok(answer.into_inner().header.expect("a header").revision)
}

conformance!(a_lock_is_a_key_that_lives_with_its_lease, async |server| {
    let mut client = server.client().await;
    let held = lock(&client, 0).await.unwrap();
    let key = String::from_utf8(held.key.to_vec()).unwrap();
    let id = i64::from_str_radix(key.strip_prefix("name/").expect("the name"), 16).expect("a lease in hex");
    let pair = client.get(&key).await.unwrap().kvs.remove(0);
    assert_eq!((pair.lease, pair.create_revision), (id, held.header.unwrap().revision));
    let left = client.lease.lease_time_to_live(LeaseTimeToLiveRequest { id, keys: false }).await.unwrap().into_inner();
    assert_eq!(left.granted_ttl, 60);
    assert_eq!(unlock(&client, held.key).await.unwrap(), 3);
    assert!(client.keys("name/").await.is_empty());
    assert!(lock(&client, 0).await.is_ok());
});

conformance!(contenders_get_it_in_the_order_they_came, async |server| {
    let mut client = server.client().await;
    for id in [7, 5, 6] {
        lease(&mut client, id).await;
    }
    let first = lock(&client, 7).await.unwrap();
    assert_eq!(first.key, "name/7");
    // Whoever holds it may ask again.
    assert_eq!(lock(&client, 7).await.unwrap().key, "name/7");
    let second = queued(&mut client, 5).await;
    let third = queued(&mut client, 6).await;
    assert!(!second.is_finished() && !third.is_finished());
    unlock(&client, first.key).await.unwrap();
    let second = within("the second", second).await.unwrap().unwrap();
    assert_eq!(second.key, "name/5");
    assert!(!third.is_finished());
    // The end of the lease is the end of the lock.
    client.lease.lease_revoke(LeaseRevokeRequest { id: 5 }).await.unwrap();
    assert_eq!(within("the third", third).await.unwrap().unwrap().key, "name/6");
});

conformance!(who_goes_away_leaves_the_queue, async |server| {
    let mut client = server.client().await;
    for id in [1, 2, 3] {
        lease(&mut client, id).await;
    }
    let first = lock(&client, 1).await.unwrap();
    let second = queued(&mut client, 2).await;
    let third = queued(&mut client, 3).await;
    second.abort();
    until_keys(&mut client, |keys| !keys.contains(&"name/2".to_owned())).await;
    assert!(!third.is_finished());
    unlock(&client, first.key).await.unwrap();
    assert_eq!(within("the third", third).await.unwrap().unwrap().key, "name/3");
});

conformance!(a_lock_needs_a_lease_that_lives, async |server| {
    let mut client = server.client().await;
    let refused = lock(&client, 99).await.unwrap_err();
    assert_eq!(refused.message(), "etcdserver: requested lease not found");
    for id in [1, 2] {
        lease(&mut client, id).await;
    }
    let first = lock(&client, 1).await.unwrap();
    let second = queued(&mut client, 2).await;
    client.lease.lease_revoke(LeaseRevokeRequest { id: 2 }).await.unwrap();
    unlock(&client, first.key).await.unwrap();
    let refused = within("the second", second).await.unwrap();
    // etcd 3.4 hands out a lock that nobody holds.
    if server.kind() == Kind::Ours {
        assert_eq!(refused.unwrap_err().message(), "mutex: session is expired");
    }
    let refused = unlock(&client, "").await.unwrap_err();
    assert_eq!(refused.message(), "etcdserver: key is not provided");
});
