//! A lease that is kept alive does not end before its time, and one that is not does end.
//!
//! The leader's clock counts, and it may be wrong: by how much is known, so a lease must live for the share of its time
//! that passes on the fastest clock.

use std::time::Duration;

use proto::etcdserverpb::kv_client::KvClient;
use proto::etcdserverpb::lease_client::LeaseClient;
use proto::etcdserverpb::{LeaseGrantRequest, LeaseKeepAliveRequest, PutRequest, RangeRequest};
use tokio::time::Instant;

use super::Client;

const PREFIX: &str = "lease/";
/// The share of its time that a lease has on the fastest clock, with a little to spare.
const SURE: f64 = 0.74;
/// The longest time of a lease.
pub const LONGEST: Duration = Duration::from_mins(1);

/// Grants leases, keeps them alive for a while and forgets them, until told to finish.
pub async fn work(mut client: Client, number: u64) {
    let mut count = 0;
    while !client.is_done() {
        count += 1;
        one(&mut client, format!("{PREFIX}{number}-{count}")).await;
        client.pause(20_000).await;
    }
}

async fn one(client: &mut Client, key: String) -> Option<()> {
    let ttl = 10 + client.dice.below(LONGEST.as_secs() - 10) as i64;
    let mut alive = Instant::now();
    let grant = LeaseGrantRequest { ttl, ..LeaseGrantRequest::default() };
    let granted = client.ask(|routes| async move { LeaseClient::new(routes).lease_grant(grant).await }).await?;
    let id = granted.into_inner().id;
    let put = PutRequest { key: key.clone().into(), value: "held".into(), lease: id, ..PutRequest::default() };
    client.ask(|routes| async move { KvClient::new(routes).put(put).await }).await?;
    for _ in 0..client.dice.below(20) {
        let asked = Instant::now();
        let renewed = client.ask(move |routes| renew(routes, id)).await;
        let sure = alive + Duration::from_secs(ttl as u64).mul_f64(SURE);
        match renewed {
            Some(0) if Instant::now() < sure => {
                client
                    .findings
                    .add(format!("lease {id:x} of {ttl} s ended {:?} after it was kept alive", alive.elapsed()));
                return None;
            }
            Some(0) => return None,
            Some(_) => alive = asked,
            None => {}
        }
        look(client, &key, id, alive, ttl).await;
        tokio::time::sleep(Duration::from_millis(client.dice.below(ttl as u64 * 500))).await;
        look(client, &key, id, alive, ttl).await;
    }
    Some(())
}

async fn renew(routes: tonic::service::Routes, id: i64) -> Result<i64, tonic::Status> {
    let request = tokio_stream::once(LeaseKeepAliveRequest { id });
    let mut answers = LeaseClient::new(routes).lease_keep_alive(request).await?.into_inner();
    let answer = answers.message().await?;
    answer.map(|answer| answer.ttl).ok_or_else(|| tonic::Status::unavailable("no answer"))
}

/// The lease's key must be there as long as the lease surely lives.
async fn look(client: &mut Client, key: &str, id: i64, alive: Instant, ttl: i64) {
    let range = RangeRequest { key: key.to_owned().into(), ..RangeRequest::default() };
    let found = client.ask(|routes| async move { KvClient::new(routes).range(range).await }).await;
    let sure = alive + Duration::from_secs(ttl as u64).mul_f64(SURE);
    if let Some(found) = found
        && found.get_ref().kvs.is_empty()
        && Instant::now() < sure
    {
        let after = alive.elapsed();
        client.findings.add(format!("{key} of lease {id:x} of {ttl} s was gone {after:?} after it was kept alive"));
    }
}

/// Once nobody keeps any alive, all are gone.
pub async fn all_are_gone(mut client: Client) {
    let range = || RangeRequest { key: PREFIX.into(), range_end: "lease0".into(), ..RangeRequest::default() };
    for _ in 0..10 {
        let found = client.ask(|routes| async move { KvClient::new(routes).range(range()).await }).await;
        let Some(found) = found else { continue };
        let kvs = found.into_inner().kvs;
        if !kvs.is_empty() {
            client.findings.add(format!("{} keys outlived their leases, the first: {:?}", kvs.len(), kvs[0]));
        }
        return;
    }
    client.findings.add("leases could not be looked for");
}
