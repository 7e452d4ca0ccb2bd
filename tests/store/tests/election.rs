//! Elections.

use proto::etcdserverpb::{LeaseGrantRequest, LeaseRevokeRequest};
use proto::v3electionpb::{
    CampaignRequest, CampaignResponse, LeaderKey, LeaderRequest, LeaderResponse, ProclaimRequest, ResignRequest,
};
use tests_store::{Client, conformance, within};
use tokio::task::JoinHandle;
use tonic::{Status, Streaming};

async fn lease(client: &mut Client, id: i64) {
    client.lease.lease_grant(LeaseGrantRequest { ttl: 600, id }).await.expect("grant");
}

async fn campaign(client: &Client, lease: i64, value: &'static str) -> Result<CampaignResponse, Status> {
    let mut election = client.election.clone();
    let request = CampaignRequest { name: "e".into(), lease, value: value.into() };
    within("campaign", election.campaign(request)).await.map(tonic::Response::into_inner)
}

/// Campaigns and comes back when the candidate stands in the queue.
async fn queued(client: &mut Client, lease: i64, value: &'static str) -> JoinHandle<Result<CampaignResponse, Status>> {
    let other = client.clone();
    let waiting = tokio::spawn(async move { campaign(&other, lease, value).await });
    let key = format!("e/{lease:x}");
    within("the candidate's key", async {
        while client.value(&key).await.is_none() {
            tokio::task::yield_now().await;
        }
    })
    .await;
    waiting
}

async fn leader(client: &Client) -> Result<String, Status> {
    let answer = client.election.clone().leader(LeaderRequest { name: "e".into() }).await?.into_inner();
    Ok(String::from_utf8(answer.kv.expect("a leader").value.to_vec()).expect("text"))
}

async fn proclaim(client: &Client, leader: &LeaderKey, value: &'static str) -> Result<(), Status> {
    let request = ProclaimRequest { leader: Some(leader.clone()), value: value.into() };
    client.election.clone().proclaim(request).await.map(drop)
}

async fn resign(client: &Client, leader: &LeaderKey) -> Result<(), Status> {
    client.election.clone().resign(ResignRequest { leader: Some(leader.clone()) }).await.map(drop)
}

async fn seen(observed: &mut Streaming<LeaderResponse>) -> (String, i64) {
    let answer = within("a leader", observed.message()).await.expect("observe").expect("the stream goes on");
    let kv = answer.kv.expect("a leader");
    assert!(answer.header.expect("a header").revision >= kv.mod_revision);
    (String::from_utf8(kv.value.to_vec()).expect("text"), kv.mod_revision)
}

conformance!(a_leader_speaks_until_he_resigns, async |server| {
    let mut client = server.client().await;
    assert_eq!(leader(&client).await.unwrap_err().message(), "election: no leader");
    lease(&mut client, 0xa).await;
    let won = campaign(&client, 0xa, "one").await.unwrap().leader.unwrap();
    assert_eq!((&won.name[..], &won.key[..], won.rev, won.lease), (&b"e"[..], &b"e/a"[..], 2, 0xa));
    assert_eq!(leader(&client).await.unwrap(), "one");
    proclaim(&client, &won, "two").await.unwrap();
    assert_eq!(leader(&client).await.unwrap(), "two");
    // A campaign of the leader is a proclamation.
    let again = campaign(&client, 0xa, "three").await.unwrap().leader.unwrap();
    assert_eq!((again.rev, leader(&client).await.unwrap()), (2, "three".to_owned()));
    resign(&client, &won).await.unwrap();
    assert_eq!(leader(&client).await.unwrap_err().message(), "election: no leader");
    assert_eq!(proclaim(&client, &won, "four").await.unwrap_err().message(), "election: not leader");
    resign(&client, &won).await.unwrap();
    for refused in [
        client.election.resign(ResignRequest { leader: None }).await.map(drop).unwrap_err(),
        client.election.proclaim(ProclaimRequest { leader: None, value: "x".into() }).await.map(drop).unwrap_err(),
    ] {
        assert_eq!(refused.message(), "\"leader\" field must be provided");
    }
    assert!(campaign(&client, 99, "x").await.unwrap_err().message().ends_with("requested lease not found"));
});

conformance!(candidates_follow_each_other, async |server| {
    let mut client = server.client().await;
    for id in [3, 1, 2] {
        lease(&mut client, id).await;
    }
    let first = campaign(&client, 3, "first").await.unwrap().leader.unwrap();
    let second = queued(&mut client, 1, "second").await;
    let third = queued(&mut client, 2, "third").await;
    assert!(!second.is_finished() && !third.is_finished());
    assert_eq!(leader(&client).await.unwrap(), "first");
    resign(&client, &first).await.unwrap();
    assert_eq!(within("the second", second).await.unwrap().unwrap().leader.unwrap().key, "e/1");
    assert!(!third.is_finished());
    client.lease.lease_revoke(LeaseRevokeRequest { id: 1 }).await.unwrap();
    within("the third", third).await.unwrap().unwrap();
    assert_eq!(leader(&client).await.unwrap(), "third");
});

conformance!(observers_hear_of_every_leader_and_all_they_say, async |server| {
    let mut client = server.client().await;
    for id in [1, 2] {
        lease(&mut client, id).await;
    }
    let first = campaign(&client, 1, "first").await.unwrap().leader.unwrap();
    let mut election = client.election.clone();
    let observed = election.observe(LeaderRequest { name: "e".into() });
    let mut observed = within("observe", observed).await.unwrap().into_inner();
    assert_eq!(seen(&mut observed).await, ("first".to_owned(), 2));
    proclaim(&client, &first, "more").await.unwrap();
    assert_eq!(seen(&mut observed).await, ("more".to_owned(), 3));
    let second = queued(&mut client, 2, "second").await;
    resign(&client, &first).await.unwrap();
    assert_eq!(seen(&mut observed).await, ("second".to_owned(), 4));
    let second = within("the second", second).await.unwrap().unwrap().leader.unwrap();
    resign(&client, &second).await.unwrap();
    // Nobody leads for a while; the observer waits.
    let won = campaign(&client, 0, "last").await.unwrap().leader.unwrap();
    assert_eq!(seen(&mut observed).await, ("last".to_owned(), won.rev));
});
