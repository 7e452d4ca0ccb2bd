//! What a client begins at one member it can go on with at another: tokens, locks, elections.

use std::time::Duration;

use proto::etcdserverpb::{
    AuthEnableRequest, AuthUserAddRequest, AuthUserChangePasswordRequest, AuthUserDeleteRequest,
    AuthUserGrantRoleRequest, AuthenticateRequest, LeaseGrantRequest, LeaseRevokeRequest, PutRequest, RangeRequest,
};
use proto::v3electionpb::{CampaignRequest, LeaderRequest, ProclaimRequest, ResignRequest};
use proto::v3lockpb::{LockRequest, UnlockRequest};
use tests_store::{Client, Cluster, Kind, cluster_conformance, run_cluster, with_token, within, within_a_minute};
use tonic::Code;

/// A client of each member.
async fn everywhere(cluster: &Cluster) -> Vec<Client> {
    let mut clients = Vec::new();
    for index in 0..cluster.size() {
        clients.push(cluster.client(index).await);
    }
    clients
}

async fn a_token_counts_everywhere(cluster: Cluster) {
    let mut clients = everywhere(&cluster).await;
    let auth = &mut clients[0].auth;
    let (name, password) = ("root".to_owned(), "r".to_owned());
    let user = AuthUserAddRequest { name: name.clone(), password: password.clone(), ..AuthUserAddRequest::default() };
    auth.user_add(user).await.unwrap();
    auth.user_grant_role(AuthUserGrantRoleRequest { user: name.clone(), role: name.clone() }).await.unwrap();
    auth.auth_enable(AuthEnableRequest {}).await.unwrap();
    let put = PutRequest { key: "k".into(), ..PutRequest::default() };
    for giver in 0..clients.len() {
        let request = AuthenticateRequest { name: name.clone(), password: password.clone() };
        let token = within_a_minute("a token", async {
            loop {
                // A member that has not heard yet that it is to ask says so.
                match clients[giver].auth.authenticate(request.clone()).await {
                    Ok(answer) => return answer.into_inner().token,
                    Err(status) if status.message().contains("authentication is not enabled") => {}
                    Err(status) => panic!("{status}"),
                }
            }
        })
        .await;
        for client in &mut clients {
            // It is given out at once everywhere, as soon as the member has heard of it.
            within_a_minute("the token at another member", async {
                while let Err(status) = client.kv.put(with_token(&token, put.clone())).await {
                    assert_eq!(status.code(), Code::Unauthenticated, "{status}");
                }
            })
            .await;
        }
    }
}

mod a_token_counts_at_every_member {
    use super::*;

    const FLAGS: &[&str] = &["--client-cert-auth=false", "--bcrypt-cost=4"];

    #[test]
    fn etcd() {
        run_cluster(Kind::Etcd, 3, FLAGS, a_token_counts_everywhere);
    }

    #[test]
    fn ours() {
        run_cluster(Kind::Ours, 3, FLAGS, a_token_counts_everywhere);
    }
}

async fn add_user(client: &mut Client, name: &str, password: &str) {
    let (name, password) = (name.to_owned(), password.to_owned());
    client.auth.user_add(AuthUserAddRequest { name, password, ..AuthUserAddRequest::default() }).await.unwrap();
}

async fn new_token(client: &mut Client, name: &str, password: &str) -> String {
    let request = AuthenticateRequest { name: name.to_owned(), password: password.to_owned() };
    client.auth.authenticate(request).await.expect("a token").into_inner().token
}

/// What a member says to a token, once it takes part again.
async fn answer(client: &mut Client, token: &str) -> Result<(), Code> {
    within_a_minute("an answer of a member that was away", async {
        loop {
            let read = RangeRequest { key: "k".into(), ..RangeRequest::default() };
            match client.kv.range(with_token(token, read)).await {
                Ok(_) => return Ok(()),
                Err(status) if status.code() == Code::Unavailable => {
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
                Err(status) => return Err(status.code()),
            }
        }
    })
    .await
}

/// A member that was held still knows tokens that were taken back meanwhile; one that began anew knows none. Either takes
/// the state over, because the log behind it is gone.
#[test]
fn tokens_count_at_a_member_that_takes_the_state_over() {
    let flags = ["--client-cert-auth=false", "--bcrypt-cost=4", "--snapshot-count=50"];
    run_cluster(Kind::Ours, 3, &flags, async |mut cluster: Cluster| {
        let away = (cluster.leader().await + 1) % 3;
        let mut clients = everywhere(&cluster).await;
        let mut client = clients[(away + 1) % 3].clone();
        add_user(&mut client, "root", "r").await;
        add_user(&mut client, "guest", "g").await;
        for name in ["root", "guest"] {
            let request = AuthUserGrantRoleRequest { user: name.to_owned(), role: "root".to_owned() };
            client.auth.user_grant_role(request).await.unwrap();
        }
        client.auth.auth_enable(AuthEnableRequest {}).await.unwrap();
        let (root, guest) = (new_token(&mut client, "root", "r").await, new_token(&mut client, "guest", "g").await);
        for token in [&root, &guest] {
            assert_eq!(answer(&mut clients[away], token).await, Ok(()));
        }

        cluster.signal(away, "STOP");
        let password = AuthUserChangePasswordRequest {
            name: "guest".to_owned(),
            password: "h".to_owned(),
            ..AuthUserChangePasswordRequest::default()
        };
        client.auth.user_change_password(with_token(&root, password)).await.unwrap();
        let fresh = new_token(&mut client, "guest", "h").await;
        for index in 0..400 {
            let put =
                PutRequest { key: format!("{index}").into(), value: vec![0; 1000].into(), ..PutRequest::default() };
            client.kv.put(with_token(&fresh, put)).await.unwrap();
        }
        cluster.signal(away, "CONT");
        let mut back = cluster.client(away).await;
        assert_eq!(answer(&mut back, &guest).await, Err(Code::Unauthenticated));
        assert_eq!(answer(&mut back, &fresh).await, Ok(()));
        assert_eq!(answer(&mut back, &root).await, Ok(()));

        cluster.kill(away);
        for index in 0..400 {
            let put =
                PutRequest { key: format!("{index}").into(), value: vec![1; 1000].into(), ..PutRequest::default() };
            client.kv.put(with_token(&fresh, put)).await.unwrap();
        }
        let before = cluster.log(away).len();
        cluster.spawn(away);
        within_a_minute("the state from the leader", async {
            let said = |words: &str| cluster.log(away)[before..].contains(words);
            while !said("ready to serve client requests") || !said("the state was taken over from the leader") {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        })
        .await;
        let mut back = cluster.client(away).await;
        assert_eq!(answer(&mut back, &fresh).await, Ok(()));
        assert_eq!(answer(&mut back, &root).await, Ok(()));
        assert_eq!(answer(&mut back, &guest).await, Err(Code::Unauthenticated));
        // Taken back now, it is taken back there, too.
        let delete = AuthUserDeleteRequest { name: "guest".to_owned() };
        client.auth.user_delete(with_token(&root, delete)).await.unwrap();
        assert_eq!(answer(&mut back, &fresh).await, Err(Code::Unauthenticated));
    });
}

cluster_conformance!(a_lock_is_one_lock_at_every_member, async |cluster| {
    let clients = everywhere(&cluster).await;
    let mut held = within("lock", clients[0].lock.clone().lock(LockRequest { name: "l".into(), lease: 0 }))
        .await
        .unwrap()
        .into_inner();
    for round in 1..4 {
        let (waiter, holder) = (&clients[round % 3], &clients[(round + 1) % 3]);
        let id = 100 + round as i64;
        waiter.lease.clone().lease_grant(LeaseGrantRequest { ttl: 600, id }).await.unwrap();
        let mut lock = waiter.lock.clone();
        let waiting = tokio::spawn(async move { lock.lock(LockRequest { name: "l".into(), lease: id }).await });
        holder.clone().wait_for(&format!("l/{id:x}")).await;
        assert!(!waiting.is_finished(), "two hold it");
        // Given back at a member that neither of them had asked.
        holder.lock.clone().unlock(UnlockRequest { key: held.key }).await.unwrap();
        held = within("the lock", waiting).await.unwrap().unwrap().into_inner();
        assert_eq!(held.key, format!("l/{id:x}"));
    }
});

cluster_conformance!(an_election_is_one_election_at_every_member, async |cluster| {
    let mut clients = everywhere(&cluster).await;
    let campaign = |lease| CampaignRequest { name: "e".into(), lease, value: format!("by {lease}").into() };
    for (index, id) in [(0, 7), (1, 8)] {
        clients[index].lease.lease_grant(LeaseGrantRequest { ttl: 600, id }).await.unwrap();
    }
    let first = clients[0].election.campaign(campaign(7)).await.unwrap().into_inner().leader.unwrap();
    let mut other = clients[1].election.clone();
    let waiting = tokio::spawn(async move { other.campaign(campaign(8)).await });
    clients[2].wait_for("e/8").await;
    let proclaim = ProclaimRequest { leader: Some(first.clone()), value: "anew".into() };
    clients[2].election.proclaim(proclaim).await.unwrap();
    let leader = clients[1].election.leader(LeaderRequest { name: "e".into() }).await.unwrap().into_inner();
    assert_eq!(leader.kv.unwrap().value, "anew");
    clients[1].election.resign(ResignRequest { leader: Some(first) }).await.unwrap();
    let second = within("the second leader", waiting).await.unwrap().unwrap().into_inner().leader.unwrap();
    assert_eq!(second.lease, 8);
    // Its lease ends elsewhere, and with it the lead.
    clients[0].lease.lease_revoke(LeaseRevokeRequest { id: 8 }).await.unwrap();
    assert!(clients[2].election.leader(LeaderRequest { name: "e".into() }).await.is_err());
});
