//! Members come and go, one at a time, while clients go on.

use std::time::Duration;

use proto::etcdserverpb::{
    Member, MemberAddRequest, MemberListRequest, MemberPromoteRequest, MemberRemoveRequest, MemberUpdateRequest,
    MoveLeaderRequest, PutRequest,
};
use tests_store::etcdctl::{Etcdctl, NEW};
use tests_store::{Client, Kind, cluster_conformance, code_and_text, range_of_prefix, within_a_minute};
use tonic::Code;

async fn members(client: &mut Client) -> Vec<Member> {
    client.cluster.member_list(MemberListRequest { linearizable: true }).await.unwrap().into_inner().members
}

async fn add(client: &mut Client, url: &str, is_learner: bool) -> Result<Member, tonic::Status> {
    let request = MemberAddRequest { peer_ur_ls: vec![url.to_owned()], is_learner };
    // Right after its start a cluster may not be sure yet that all of its members are well.
    for _ in 0..100 {
        match client.cluster.member_add(request.clone()).await {
            Err(status) if status.message() == "etcdserver: unhealthy cluster" => {
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
            result => return result.map(|answer| answer.into_inner().member.unwrap()),
        }
    }
    panic!("the cluster does not become healthy")
}

async fn remove(client: &mut Client, id: u64) {
    for _ in 0..100 {
        match client.cluster.member_remove(MemberRemoveRequest { id }).await {
            Err(status) if status.message() == "etcdserver: unhealthy cluster" => {
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
            result => {
                result.unwrap();
                return;
            }
        }
    }
    panic!("the cluster does not become healthy")
}

async fn wait_for_voters(client: &mut Client, count: usize) {
    within_a_minute("voters", async {
        while members(client).await.iter().filter(|member| !member.is_learner && !member.name.is_empty()).count()
            != count
        {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    })
    .await;
}

/// Puts until it is told to stop; how many were acknowledged.
fn load(mut client: Client) -> (std::sync::Arc<std::sync::atomic::AtomicBool>, tokio::task::JoinHandle<Vec<usize>>) {
    let stop = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
    let stopped = std::sync::Arc::clone(&stop);
    let task = tokio::spawn(async move {
        let mut done = Vec::new();
        for index in 0.. {
            if stopped.load(std::sync::atomic::Ordering::SeqCst) {
                break;
            }
            let key = format!("load/{index:06}");
            let request = PutRequest { key: key.into(), value: "v".repeat(100).into(), ..PutRequest::default() };
            if let Ok(Ok(_)) = tokio::time::timeout(Duration::from_secs(10), client.kv.put(request)).await {
                done.push(index);
            }
        }
        done
    });
    (stop, task)
}

cluster_conformance!(a_member_is_added_and_removed_under_load, async |cluster| {
    let mut cluster = cluster;
    let mut client = cluster.client(0).await;
    let (stop, task) = load(cluster.client(0).await);
    let newcomer = cluster.join(&[0, 1, 2]);
    let added = add(&mut client, &cluster.peer_url(newcomer), false).await.unwrap();
    assert_eq!((added.name.as_str(), added.peer_ur_ls), ("", vec![cluster.peer_url(newcomer)]));
    cluster.restart(newcomer).await;
    wait_for_voters(&mut client, 4).await;
    assert_eq!(cluster.id(newcomer).await, added.id);
    let mut own = cluster.client(newcomer).await;
    own.put("at the newcomer", "1").await;
    assert_eq!(client.value("at the newcomer").await.as_deref(), Some("1"));

    remove(&mut client, added.id).await;
    cluster.ended(newcomer).await;
    assert!(cluster.log(newcomer).contains("removed"), "{}", cluster.log(newcomer));
    assert_eq!(members(&mut client).await.len(), 3);
    stop.store(true, std::sync::atomic::Ordering::SeqCst);
    let done = within_a_minute("the load", task).await.unwrap();
    assert!(!done.is_empty());
    let keys = client.keys("load/").await;
    for index in done {
        assert!(keys.binary_search(&format!("load/{index:06}")).is_ok(), "{index} was acknowledged and is lost");
    }
});

cluster_conformance!(a_lost_member_is_replaced, async |cluster| {
    let mut cluster = cluster;
    let lost = (cluster.leader().await + 1) % 3;
    let stays = (lost + 1) % 3;
    let mut client = cluster.client(stays).await;
    client.put("before", "1").await;
    let id = cluster.id(lost).await;
    cluster.kill(lost);
    remove(&mut client, id).await;
    let others: Vec<_> = (0..3).filter(|index| *index != lost).collect();
    let newcomer = cluster.join(&others);
    add(&mut client, &cluster.peer_url(newcomer), false).await.unwrap();
    cluster.restart(newcomer).await;
    wait_for_voters(&mut client, 3).await;
    cluster.client(newcomer).await.wait_for("before").await;
    // It counts: one of the old ones may go.
    let other = others.into_iter().find(|index| *index != stays).unwrap();
    cluster.kill(other);
    within_a_minute("a write with two of three", async {
        let request = PutRequest { key: "after".into(), value: "1".into(), ..PutRequest::default() };
        while client.kv.put(request.clone()).await.is_err() {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    })
    .await;
    cluster.client(newcomer).await.wait_for("after").await;
});

cluster_conformance!(a_learner_is_promoted_by_hand, async |cluster| {
    let mut cluster = cluster;
    let mut client = cluster.client(0).await;
    let learner = cluster.join(&[0, 1, 2]);
    let added = add(&mut client, &cluster.peer_url(learner), true).await.unwrap();
    assert!(added.is_learner);
    // It has not even started.
    for index in 0..20 {
        client.put(&format!("k/{index}"), "v").await;
    }
    let promote = MemberPromoteRequest { id: added.id };
    let error = client.cluster.member_promote(promote).await.unwrap_err();
    let text = "etcdserver: can only promote a learner member which is in sync with leader";
    assert_eq!(code_and_text(&error), (Code::FailedPrecondition, text));
    cluster.spawn(learner);
    let mut own = within_a_minute("the learner", async {
        loop {
            if cluster.status(learner).await.is_some_and(|status| status.is_learner && status.leader != 0) {
                return cluster.client(learner).await;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    })
    .await;
    own.wait_for("k/19").await;
    let refused = "etcdserver: rpc not supported for learner";
    assert_eq!(own.get("k/1").await.unwrap_err().message(), refused);
    let put = PutRequest { key: "k".into(), value: "v".into(), ..PutRequest::default() };
    assert_eq!(own.put_request(put).await.unwrap_err().message(), refused);
    assert_eq!(members(&mut client).await.iter().filter(|member| member.is_learner).count(), 1);
    within_a_minute("the promotion", async {
        while let Err(error) = client.cluster.member_promote(promote).await {
            assert_eq!(error.message(), text);
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    })
    .await;
    let error = client.cluster.member_promote(promote).await.unwrap_err();
    assert_eq!(code_and_text(&error), (Code::FailedPrecondition, "etcdserver: can only promote a learner member"));
    within_a_minute("a write at the new voter", async {
        let request = PutRequest { key: "k".into(), value: "v".into(), ..PutRequest::default() };
        while own.kv.put(request.clone()).await.is_err() {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    })
    .await;
});

cluster_conformance!(a_member_moves_to_another_address, async |cluster| {
    let mut cluster = cluster;
    let moved = (cluster.leader().await + 1) % 3;
    let stays = (moved + 1) % 3;
    let mut client = cluster.client(stays).await;
    let (stop, task) = load(cluster.client(stays).await);
    let id = cluster.id(moved).await;
    cluster.kill(moved);
    cluster.move_peer_port(moved);
    let request = MemberUpdateRequest { id, peer_ur_ls: vec![cluster.peer_url(moved)] };
    client.cluster.member_update(request).await.unwrap();
    cluster.set_flag(moved, "--initial-cluster", format!("{}={}", cluster.name(moved), cluster.peer_url(moved)));
    cluster.restart(moved).await;
    client.put("after", "1").await;
    let mut back = cluster.client(moved).await;
    back.wait_for("after").await;
    assert_eq!(cluster.id(moved).await, id);
    let there = members(&mut back).await.into_iter().find(|member| member.id == id).unwrap();
    assert_eq!(there.peer_ur_ls, [cluster.peer_url(moved)]);
    stop.store(true, std::sync::atomic::Ordering::SeqCst);
    let done = within_a_minute("the load", task).await.unwrap();
    let keys = client.keys("load/").await;
    assert!(done.iter().all(|index| keys.binary_search(&format!("load/{index:06}")).is_ok()));
});

cluster_conformance!(wrong_changes_are_refused, async |cluster| {
    let mut client = cluster.client(1).await;
    let error = client.cluster.member_remove(MemberRemoveRequest { id: 42 }).await.unwrap_err();
    assert_eq!(code_and_text(&error), (Code::NotFound, "etcdserver: member not found"));
    let error = client.cluster.member_promote(MemberPromoteRequest { id: 42 }).await.unwrap_err();
    assert_eq!(code_and_text(&error), (Code::NotFound, "etcdserver: member not found"));
    let request = MemberUpdateRequest { id: 42, peer_ur_ls: vec!["https://127.0.0.1:1".into()] };
    let error = client.cluster.member_update(request).await.unwrap_err();
    assert_eq!(code_and_text(&error), (Code::NotFound, "etcdserver: member not found"));
    let error = add(&mut client, &cluster.peer_url(2), false).await.unwrap_err();
    assert_eq!(code_and_text(&error), (Code::FailedPrecondition, "etcdserver: Peer URLs already exists"));
    let error = add(&mut client, "nonsense", false).await.unwrap_err();
    assert_eq!(code_and_text(&error), (Code::InvalidArgument, "etcdserver: given member URLs are invalid"));
    assert_eq!(members(&mut client).await.len(), 3);
});

cluster_conformance!(the_lead_is_moved, async |cluster| {
    let leader = cluster.leader().await;
    let target = (leader + 1) % 3;
    let target_id = cluster.id(target).await;
    let mut follower = cluster.client(target).await;
    let error = follower.maintenance.move_leader(MoveLeaderRequest { target_id }).await.unwrap_err();
    assert_eq!(code_and_text(&error), (Code::FailedPrecondition, "etcdserver: not leader"));
    let mut client = cluster.client(leader).await;
    let error = client.maintenance.move_leader(MoveLeaderRequest { target_id: 42 }).await.unwrap_err();
    assert_eq!(code_and_text(&error), (Code::FailedPrecondition, "etcdserver: bad leader transferee"));
    client.maintenance.move_leader(MoveLeaderRequest { target_id }).await.unwrap();
    assert_eq!(cluster.leader().await, target);
    client.put("after", "1").await;
});

cluster_conformance!(a_member_of_another_authority_is_not_let_in, async |cluster| {
    let mut cluster = cluster;
    let out = (cluster.leader().await + 1) % 3;
    let mut client = cluster.client((out + 1) % 3).await;
    cluster.kill(out);
    for (flag, file) in [
        ("--peer-cert-file", "foreign-peer.crt"),
        ("--peer-key-file", "foreign-peer.key"),
        ("--peer-trusted-ca-file", "foreign-ca.crt"),
    ] {
        let file = cluster.file(file).display().to_string();
        cluster.set_flag(out, flag, file);
    }
    cluster.spawn(out);
    let mark = cluster.log((out + 1) % 3).len();
    within_a_minute("a refusal", async {
        while !cluster.log((out + 1) % 3)[mark..].contains("rejected connection") {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    })
    .await;
    client.put("without it", "1").await;
    assert!(cluster.status(out).await.is_none_or(|status| status.leader == 0));
});

cluster_conformance!(etcdctl_manages_members, async |cluster| {
    let mut cluster = cluster;
    let etcdctl = Etcdctl::of_cluster(NEW, &cluster, cluster.endpoint(0));
    let everywhere = Etcdctl::of_cluster(NEW, &cluster, cluster.endpoints());
    let mut client = cluster.client(0).await;
    assert_eq!(etcdctl.run(&["member", "list"]).matches("started").count(), 3);
    let status = etcdctl.run(&["endpoint", "status", "--cluster", "--write-out=table"]);
    assert_eq!(status.matches(" true ").count(), 1, "{status}");
    everywhere.run(&["endpoint", "health"]);
    // The leader may not be sure yet that everybody is well.
    add(&mut client, "https://127.0.0.1:1", true).await.unwrap();
    let id = members(&mut client).await.into_iter().find(|member| member.is_learner).unwrap().id;
    assert_eq!(etcdctl.run(&["member", "list"]).matches("unstarted").count(), 1);
    let id = format!("{id:x}");
    etcdctl.run(&["member", "update", &id, "--peer-urls=https://127.0.0.1:2"]);
    assert!(etcdctl.run(&["member", "list"]).contains("https://127.0.0.1:2"));
    assert!(etcdctl.run(&["member", "remove", &id]).contains("removed from cluster"));

    let newcomer = cluster.join(&[0, 1, 2]);
    let urls = format!("--peer-urls={}", cluster.peer_url(newcomer));
    let name = cluster.name(newcomer).to_owned();
    let added = etcdctl.run(&["member", "add", &name, &urls, "--learner"]);
    assert!(added.contains("ETCD_INITIAL_CLUSTER_STATE=\"existing\""), "{added}");
    cluster.spawn(newcomer);
    let id = members(&mut client).await.into_iter().find(|member| member.is_learner).unwrap().id;
    within_a_minute("a promotion", async {
        while client.cluster.member_promote(MemberPromoteRequest { id }).await.is_err() {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    })
    .await;
    wait_for_voters(&mut client, 4).await;
    let leader = cluster.leader().await;
    let target = format!("{:x}", cluster.id((leader + 1) % 3).await);
    let moved = Etcdctl::of_cluster(NEW, &cluster, cluster.endpoints()).run(&["move-leader", &target]);
    assert!(moved.contains("Leadership transferred"), "{moved}");
});

/// Ours alone: a member without its disk is another member, and says so.
#[test]
fn a_member_without_its_disk_is_refused() {
    tests_store::run_cluster(Kind::Ours, 3, &[], async |cluster| {
        let mut cluster = cluster;
        let lost = (cluster.leader().await + 1) % 3;
        cluster.client((lost + 1) % 3).await.put("k", "v").await;
        cluster.kill(lost);
        std::fs::remove_dir_all(cluster.data(lost)).unwrap();
        cluster.spawn(lost);
        assert_eq!(cluster.ended(lost).await, Some(1));
        assert!(cluster.log(lost).contains("has already been bootstrapped"), "{}", cluster.log(lost));
        // The others go on without it.
        let mut client = cluster.client((lost + 1) % 3).await;
        client.put("k", "w").await;
        assert_eq!(client.keys("k").await.len(), 1);
        assert_eq!(client.range(range_of_prefix("k")).await.unwrap().kvs[0].value, "w");
    });
}

/// Ours alone: the lead is handed over before a leader stops, so that nobody waits for an election.
#[test]
fn a_leader_hands_over_before_it_stops() {
    tests_store::run_cluster(Kind::Ours, 3, &[], async |cluster| {
        let mut cluster = cluster;
        let leader = cluster.leader().await;
        cluster.signal(leader, "TERM");
        assert_eq!(cluster.ended(leader).await, Some(0));
        assert!(cluster.log(leader).contains("the lead goes to another member"));
        let next = cluster.leader().await;
        assert_ne!(next, leader);
        cluster.client(next).await.put("k", "v").await;
    });
}
