//! When most members are lost for ever.

use std::time::Duration;

use proto::etcdserverpb::{MemberAddRequest, MemberListRequest, PutRequest};
use tests_store::{Cluster, Kind, cluster_conformance};

cluster_conformance!(the_last_member_goes_on_alone, async |cluster| {
    let mut cluster: Cluster = cluster;
    let leader = cluster.leader().await;
    let last = (leader + 1) % 3;
    for index in 0..50 {
        cluster.client(leader).await.put(&format!("k/{index:02}"), "v").await;
    }
    // A read here shows that it has all of them.
    assert_eq!(cluster.client(last).await.keys("k/").await.len(), 50);
    let id = cluster.id(last).await;
    for index in 0..3 {
        cluster.kill(index);
    }
    cluster.set_flag(last, "--force-new-cluster", "true".to_owned());
    cluster.restart(last).await;
    let mut client = cluster.client(last).await;
    // etcd throws away what it does not know to be committed, even if it was acknowledged.
    let kept = client.keys("k/").await.len();
    assert!(kept == 50 || (kept >= 49 && cluster.kind() == Kind::Etcd), "{kept}");
    client.put("k/more", "v").await;
    let request = MemberListRequest { linearizable: true };
    let members = client.cluster.member_list(request).await.expect("list members").into_inner().members;
    assert_eq!(members.iter().map(|member| member.id).collect::<Vec<_>>(), [id]);

    if cluster.kind() == Kind::Ours {
        // A lost one that comes back is told that it is none any more.
        cluster.spawn(leader);
        assert_ne!(cluster.ended(leader).await, Some(0));
        assert!(cluster.log(leader).contains("permanently removed"), "{}", cluster.log(leader));
    }

    // Left on the command line it does no harm once the flag has done its work: with etcd it must go.
    if cluster.kind() == Kind::Etcd {
        cluster.set_flag(last, "--force-new-cluster", "false".to_owned());
    }
    cluster.kill(last);
    cluster.restart(last).await;
    let joiner = cluster.join(&[last]);
    let peer_ur_ls = vec![cluster.peer_url(joiner)];
    let mut client = cluster.client(last).await;
    let added = tokio::time::timeout(Duration::from_secs(20), async {
        loop {
            let request = MemberAddRequest { peer_ur_ls: peer_ur_ls.clone(), is_learner: false };
            if client.cluster.member_add(request).await.is_ok() {
                return;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    });
    added.await.expect("a member is added");
    cluster.restart(joiner).await;
    let taken = tokio::time::timeout(Duration::from_secs(20), async {
        // As long as it learns, it takes nothing.
        while cluster.client(joiner).await.kv.put(again()).await.is_err() {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    });
    taken.await.expect("the new member takes writes");
    assert_eq!(cluster.client(joiner).await.keys("k/").await.len(), kept + 2);
});

fn again() -> PutRequest {
    PutRequest { key: "k/again".into(), ..PutRequest::default() }
}
