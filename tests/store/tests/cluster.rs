//! Several members: one history, whichever of them is asked and whichever is gone.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use proto::etcdserverpb::watch_request::RequestUnion;
use proto::etcdserverpb::{
    HashKvRequest, LeaseGrantRequest, LeaseKeepAliveRequest, LeaseTimeToLiveRequest, MemberListRequest,
    MoveLeaderRequest, PutRequest, RangeRequest, WatchCreateRequest, WatchRequest,
};
use tests_store::{Client, Cluster, Kind, cluster_conformance, range_of_prefix, run_cluster, within, within_a_minute};
use tokio_stream::wrappers::ReceiverStream;

/// Writers that put, each its own keys, at any member that answers, until they are told to stop.
struct Load {
    stop: Arc<AtomicUsize>,
    writers: Vec<(String, tokio::task::JoinHandle<Vec<usize>>)>,
    acknowledged: Arc<AtomicUsize>,
}

impl Load {
    async fn start(cluster: &Cluster, members: &[usize], writers: usize) -> Self {
        let (stop, acknowledged) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let mut tasks = Vec::new();
        for writer in 0..writers {
            let mut clients = Vec::new();
            for offset in 0..members.len() {
                clients.push(cluster.client(members[(writer + offset) % members.len()]).await);
            }
            let (stop, count, prefix) = (Arc::clone(&stop), Arc::clone(&acknowledged), format!("load/{writer}/"));
            let (name, members) = (prefix.clone(), members.len());
            let task = tokio::spawn(async move {
                let (mut done, mut turn) = (Vec::new(), 0);
                for index in 0.. {
                    if stop.load(Ordering::SeqCst) != 0 {
                        break;
                    }
                    let request = PutRequest {
                        key: format!("{prefix}{index:06}").into(),
                        value: "v".repeat(200).into(),
                        ..PutRequest::default()
                    };
                    let asked = clients[turn % members].kv.put(request);
                    if let Ok(Ok(_)) = tokio::time::timeout(Duration::from_secs(10), asked).await {
                        done.push(index);
                        count.fetch_add(1, Ordering::SeqCst);
                    } else {
                        // It may be there or not: the next one goes elsewhere.
                        turn += 1;
                        tokio::time::sleep(Duration::from_millis(20)).await;
                    }
                }
                done
            });
            tasks.push((name, task));
        }
        Self { stop, writers: tasks, acknowledged }
    }

    fn count(&self) -> usize {
        self.acknowledged.load(Ordering::SeqCst)
    }

    /// Waits for more acknowledged writes; how long that took.
    async fn more(&self, writes: usize) -> Duration {
        let (begin, start) = (Instant::now(), self.count());
        within_a_minute("acknowledged writes", async {
            while self.count() < start + writes {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        })
        .await;
        begin.elapsed()
    }

    /// Ends the load; what was acknowledged.
    async fn stop(self) -> Vec<(String, Vec<usize>)> {
        self.stop.store(1, Ordering::SeqCst);
        let mut all = Vec::new();
        for (prefix, task) in self.writers {
            all.push((prefix, within_a_minute("the end of a writer", task).await.unwrap()));
        }
        all
    }
}

/// Everything that was acknowledged is there, at this member.
async fn assert_holds(client: &mut Client, acknowledged: &[(String, Vec<usize>)]) {
    for (prefix, expected) in acknowledged {
        let keys = client.keys(prefix).await;
        for index in expected {
            let key = format!("{prefix}{index:06}");
            assert!(keys.binary_search(&key).is_ok(), "{key} was acknowledged and is lost");
        }
    }
}

cluster_conformance!(members_agree_on_who_they_are, async |cluster| {
    let leader = cluster.leader().await;
    let mut seen = Vec::new();
    for index in 0..3 {
        let mut client = cluster.client(index).await;
        let list = client.cluster.member_list(MemberListRequest { linearizable: true }).await.unwrap().into_inner();
        let header = list.header.unwrap();
        let mut members: Vec<_> = list
            .members
            .into_iter()
            .map(|member| (member.name, member.id, member.peer_ur_ls, member.client_ur_ls, member.is_learner))
            .collect();
        members.sort();
        assert_eq!(members.len(), 3);
        for (position, (name, id, peers, clients, learner)) in members.iter().enumerate() {
            assert_eq!((name.as_str(), *learner), (cluster.name(position), false));
            assert_eq!((peers, clients), (&vec![cluster.peer_url(position)], &vec![cluster.endpoint(position)]));
            assert!(position != index || *id == header.member_id);
        }
        seen.push((header.cluster_id, members));
        let status = cluster.status(index).await.unwrap();
        assert_eq!(status.leader, cluster.id(leader).await);
    }
    assert!(seen.iter().all(|one| *one == seen[0]), "{seen:?}");
});

cluster_conformance!(a_write_at_any_member_is_read_at_any_other, async |cluster| {
    let mut clients = Vec::new();
    for index in 0..3 {
        clients.push(cluster.client(index).await);
    }
    let mut last = 1;
    for round in 0..30 {
        let (writer, reader) = (round % 3, (round + 1 + round / 3) % 3);
        let value = format!("{round}");
        let revision = clients[writer].put("k", &value).await;
        assert_eq!(revision, last + 1);
        last = revision;
        // Linearizable: whoever is asked after the answer has it.
        let answer = clients[reader].get("k").await.unwrap();
        assert_eq!(answer.kvs[0].value, value);
        assert!(answer.header.unwrap().revision >= revision);
        // A member has what was written through it, even when it asks nobody.
        let own = RangeRequest { key: "k".into(), serializable: true, ..RangeRequest::default() };
        assert_eq!(clients[writer].range(own).await.unwrap().kvs[0].value, value);
    }
});

cluster_conformance!(refusals_come_from_every_member, async |cluster| {
    for index in 0..3 {
        let mut client = cluster.client(index).await;
        let request = PutRequest { key: "k".into(), value: "v".into(), lease: 99, ..PutRequest::default() };
        let error = client.put_request(request).await.unwrap_err();
        assert_eq!(error.message(), "etcdserver: requested lease not found");
    }
});

cluster_conformance!(a_watch_on_one_member_sees_writes_on_another, async |cluster| {
    let (mut one, mut other) = (cluster.client(0).await, cluster.client(1).await);
    let mut watcher = one.watch_prefix("w/", 0).await;
    for index in 0..10 {
        other.put(&format!("w/{index}"), "v").await;
    }
    let events = watcher.events(10).await;
    let revisions: Vec<_> = events.iter().map(|event| event.kv.as_ref().unwrap().mod_revision).collect();
    assert!(revisions.is_sorted_by(|one, other| one < other), "{revisions:?}");
});

cluster_conformance!(killing_the_leader_under_load_loses_nothing, async |cluster| {
    let mut cluster = cluster;
    let load = Load::start(&cluster, &[0, 1, 2], 8).await;
    load.more(300).await;
    for _ in 0..2 {
        let leader = cluster.leader().await;
        cluster.kill(leader);
        let gap = load.more(100).await;
        println!("{:?}: writes went on after {gap:?}", cluster.kind());
        cluster.restart(leader).await;
        load.more(100).await;
    }
    let acknowledged = load.stop().await;
    let mut end = cluster.client(0).await;
    end.put("end", "1").await;
    for index in 0..3 {
        let mut client = cluster.client(index).await;
        assert_holds(&mut client, &acknowledged).await;
        client.wait_for("end").await;
    }
});

cluster_conformance!(a_member_that_was_away_catches_up, async |cluster| {
    let mut cluster = cluster;
    let away = (cluster.leader().await + 1) % 3;
    let mut client = cluster.client((away + 1) % 3).await;
    client.put("before", "1").await;
    cluster.kill(away);
    for index in 0..200 {
        client.put(&format!("p/{index:03}"), "v").await;
    }
    cluster.restart(away).await;
    let mut back = cluster.client(away).await;
    back.wait_for("p/199").await;
    let mut own = range_of_prefix("p/");
    own.serializable = true;
    assert_eq!(back.range(own).await.unwrap().count, 200);
    assert_eq!(back.put("after", "1").await, 203);
});

/// What a member says that got the state as a whole. It says so once all is cleared away, a little later than the state is there.
const TAKEN_OVER: &str = "the state was taken over from the leader";

/// What is no longer in the log comes as the whole state; a member that has part of it goes on from there.
async fn catch_up_without_the_log(cluster: Cluster) {
    let mut cluster = cluster;
    let away = (cluster.leader().await + 1) % 3;
    let mut client = cluster.client((away + 1) % 3).await;
    client.put("before", "1").await;
    let mut watcher = cluster.client(away).await.watch_prefix("p/", 0).await;
    client.put("p/first", "1").await;
    watcher.events(1).await;
    for round in 0..2 {
        cluster.signal(away, "STOP");
        for index in 0..400 {
            client.put(&format!("p/{round}/{index:03}"), &"v".repeat(1000)).await;
        }
        cluster.signal(away, "CONT");
        let mut back = cluster.client(away).await;
        back.wait_for(&format!("p/{round}/399")).await;
        let mut own = range_of_prefix(&format!("p/{round}/"));
        own.serializable = true;
        assert_eq!(back.range(own).await.unwrap().count, 400);
        // A watch that was open all the time misses nothing.
        let events = watcher.events(400).await;
        assert_eq!(events[399].kv.as_ref().unwrap().key, format!("p/{round}/399"));
    }
    // The leader clears its log away in its own time: if it has not come to that, the log was enough, and the member dies again.
    let mut taken_over = false;
    for round in 0..6 {
        cluster.kill(away);
        for index in 0..400 {
            client.put(&format!("q/{round}/{index:03}"), &"v".repeat(1000)).await;
        }
        cluster.restart(away).await;
        cluster.client(away).await.wait_for(&format!("q/{round}/399")).await;
        taken_over = cluster.kind() == Kind::Etcd || is_said_soon(&cluster, away, TAKEN_OVER).await;
        if taken_over {
            break;
        }
    }
    assert!(taken_over, "the log was always enough");
    let mut back = cluster.client(away).await;
    assert!(client.put("end", "1").await > 1200);
    back.wait_for("end").await;
    let hash = |client: &mut Client| client.maintenance.clone();
    let (mut one, mut other) = (hash(&mut client), hash(&mut back));
    let request = HashKvRequest { revision: 1000 };
    let one = one.hash_kv(request).await.unwrap().into_inner().hash;
    assert_eq!(one, other.hash_kv(request).await.unwrap().into_inner().hash);
}

mod a_member_catches_up_without_the_log {
    use super::*;

    const FLAGS: [&str; 1] = ["--snapshot-count=50"];

    #[test]
    fn etcd() {
        tests_store::run_cluster(Kind::Etcd, 3, &FLAGS, catch_up_without_the_log);
    }

    #[test]
    fn ours() {
        tests_store::run_cluster(Kind::Ours, 3, &FLAGS, catch_up_without_the_log);
    }
}

/// How often a member's log has a line with these words.
fn said(cluster: &Cluster, index: usize, words: &str) -> usize {
    cluster.log(index).lines().filter(|line| line.contains(words)).count()
}

/// Whether a member says these words within some seconds.
async fn is_said_soon(cluster: &Cluster, index: usize, words: &str) -> bool {
    for _ in 0..100 {
        if said(cluster, index, words) > 0 {
            return true;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    false
}

async fn wait_until_said(cluster: &Cluster, index: usize, words: &str) {
    within_a_minute(words, async {
        while said(cluster, index, words) == 0 {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    })
    .await;
}

/// Heartbeats and entries fail ten times a second and more while a member is away: a log of that would have pushed out
/// what the operator looks for.
#[test]
fn a_member_that_is_away_is_named_once_and_once_when_it_is_back() {
    run_cluster(Kind::Ours, 3, &[], async |mut cluster: Cluster| {
        let leader = cluster.leader().await;
        let away = (leader + 1) % 3;
        let mut client = cluster.client(leader).await;
        client.put("a", "1").await;
        let before = cluster.log(leader).len();
        cluster.kill(away);
        wait_until_said(&cluster, leader, "a member does not answer").await;
        for number in 0..100 {
            client.put("a", &number.to_string()).await;
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        assert_eq!(said(&cluster, leader, "a member does not answer"), 1);
        assert_eq!(said(&cluster, leader, "Connection refused"), 1, "the reason is named: {}", cluster.log(leader));
        let written = cluster.log(leader).len() - before;
        assert!(written < 2000, "{written} bytes of log for one event:\n{}", cluster.log(leader));
        cluster.restart(away).await;
        wait_until_said(&cluster, leader, "a member answers again").await;
        assert_eq!(said(&cluster, leader, "a member answers again"), 1);
    });
}

cluster_conformance!(all_members_killed_at_once_keep_everything, async |cluster| {
    let mut cluster = cluster;
    let load = Load::start(&cluster, &[0, 1, 2], 8).await;
    load.more(500).await;
    for index in 0..3 {
        cluster.kill(index);
    }
    let acknowledged = load.stop().await;
    for index in 0..3 {
        cluster.spawn(index);
    }
    for index in 0..3 {
        cluster.wait_until_ready(index).await;
        let mut client = cluster.client(index).await;
        assert_holds(&mut client, &acknowledged).await;
    }
});

cluster_conformance!(without_a_majority_nothing_is_promised, async |cluster| {
    let mut cluster = cluster;
    let mut client = cluster.client(0).await;
    client.put("k", "v").await;
    cluster.kill(1);
    cluster.kill(2);
    let request = PutRequest { key: "k".into(), value: "w".into(), ..PutRequest::default() };
    let error = within("a refusal", client.kv.put(request)).await.unwrap_err();
    assert_eq!(error.code(), tonic::Code::Unavailable, "{error}");
    // What is here can be read by who asks for no more than that.
    let own = RangeRequest { key: "k".into(), serializable: true, ..RangeRequest::default() };
    assert_eq!(client.range(own).await.unwrap().kvs[0].value, "v");
    let error = client.get("k").await.unwrap_err();
    assert_eq!(error.code(), tonic::Code::Unavailable, "{error}");
    cluster.spawn(1);
    cluster.wait_until_ready(1).await;
    within_a_minute("writes again", async {
        while client.kv.put(PutRequest { key: "k".into(), value: "x".into(), ..PutRequest::default() }).await.is_err() {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    })
    .await;
});

cluster_conformance!(a_watch_that_needs_a_leader_does_not_outlive_it, async |cluster| {
    let mut cluster = cluster;
    let mut client = cluster.client(0).await;
    let (requests, receiver) = tokio::sync::mpsc::channel(4);
    let range = range_of_prefix("w/");
    let create = WatchCreateRequest { key: range.key, range_end: range.range_end, ..WatchCreateRequest::default() };
    let create = WatchRequest { request_union: Some(RequestUnion::CreateRequest(create)) };
    requests.send(create).await.unwrap();
    let mut request = tonic::Request::new(ReceiverStream::new(receiver));
    request.metadata_mut().insert("hasleader", "true".parse().unwrap());
    let mut responses = client.watch.watch(request).await.unwrap().into_inner();
    assert!(within("the watch", responses.message()).await.unwrap().unwrap().created);
    cluster.kill(1);
    cluster.kill(2);
    let error = within_a_minute("the end of the watch", responses.message()).await.unwrap_err();
    assert_eq!((error.code(), error.message()), (tonic::Code::Unavailable, "etcdserver: no leader"));
});

cluster_conformance!(another_cluster_at_the_same_address_is_not_heard, async |cluster| {
    let mut cluster = cluster;
    let out = (cluster.leader().await + 1) % 3;
    let mut client = cluster.client((out + 1) % 3).await;
    client.put("k", "v").await;
    cluster.kill(out);
    let elsewhere = cluster.file("elsewhere").display().to_string();
    cluster.set_flag(out, "--data-dir", elsewhere);
    cluster.set_flag(out, "--initial-cluster", format!("{}={}", cluster.name(out), cluster.peer_url(out)));
    cluster.restart(out).await;
    within_a_minute("a refusal", async {
        while !cluster.log(out).contains("cluster ID mismatch") {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    })
    .await;
    client.put("k", "w").await;
    let mut other = cluster.client(out).await;
    assert_eq!(other.value("k").await, None);
    other.put("k", "other").await;
    assert_eq!(client.value("k").await.as_deref(), Some("w"));
});

async fn grant(client: &mut Client, ttl: i64) -> i64 {
    client.lease.lease_grant(LeaseGrantRequest { ttl, id: 0 }).await.unwrap().into_inner().id
}

async fn attach(client: &mut Client, key: &str, lease: i64) {
    let request = PutRequest { key: key.to_owned().into(), value: "v".into(), lease, ..PutRequest::default() };
    client.put_request(request).await.unwrap();
}

async fn keep_alive(client: &mut Client, id: i64) -> i64 {
    let requests = tokio_stream::once(LeaseKeepAliveRequest { id });
    let answers = within("a keep-alive", client.lease.lease_keep_alive(requests)).await.unwrap();
    within("its answer", answers.into_inner().message()).await.unwrap().unwrap().ttl
}

cluster_conformance!(a_lease_is_kept_alive_at_any_member, async |cluster| {
    let leader = cluster.leader().await;
    let mut follower = cluster.client((leader + 1) % 3).await;
    let mut other = cluster.client((leader + 2) % 3).await;
    let lease = grant(&mut follower, 3).await;
    attach(&mut other, "kept", lease).await;
    let dying = grant(&mut other, 2).await;
    attach(&mut follower, "dying", dying).await;
    let mut watcher = follower.watch_prefix("dying", 0).await;
    for _ in 0..6 {
        assert_eq!(keep_alive(&mut follower, lease).await, 3);
        tokio::time::sleep(Duration::from_millis(700)).await;
    }
    // The one that nobody keeps ends, and every member hears of it.
    assert_eq!(watcher.events(1).await[0].r#type, 1);
    assert_eq!(other.value("dying").await, None);
    assert!(other.value("kept").await.is_some());
    assert_eq!(keep_alive(&mut other, dying).await, 0);
    let request = LeaseTimeToLiveRequest { id: lease, keys: true };
    let time = other.lease.lease_time_to_live(request).await.unwrap().into_inner();
    assert_eq!((time.granted_ttl, time.keys.len()), (3, 1));
    assert!(time.ttl <= 3);
});

cluster_conformance!(leases_outlive_the_leader, async |cluster| {
    let mut cluster = cluster;
    let leader = cluster.leader().await;
    let mut client = cluster.client((leader + 1) % 3).await;
    let (long, short) = (grant(&mut client, 100).await, grant(&mut client, 4).await);
    attach(&mut client, "long", long).await;
    attach(&mut client, "short", short).await;
    cluster.kill(leader);
    within_a_minute("the end of the short one", async {
        // There may be no leader for a moment.
        while !client.get("short").await.is_ok_and(|answer| answer.count == 0) {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    })
    .await;
    assert!(client.value("long").await.is_some());
    let request = LeaseTimeToLiveRequest { id: long, keys: false };
    let time = client.lease.lease_time_to_live(request).await.unwrap().into_inner();
    assert!((60..=102).contains(&time.ttl), "{time:?}");
});

/// Ours alone: a new leader goes on where the old one was; etcd begins every lease again.
#[test]
fn a_lease_does_not_begin_again_with_a_new_leader() {
    tests_store::run_cluster(Kind::Ours, 3, &[], async |cluster| {
        let leader = cluster.leader().await;
        let mut client = cluster.client(leader).await;
        let lease = grant(&mut client, 22).await;
        let ask = LeaseTimeToLiveRequest { id: lease, keys: false };
        // What is left is written down after half of the time.
        tokio::time::sleep(Duration::from_secs(13)).await;
        let target_id = cluster.id((leader + 1) % 3).await;
        client.maintenance.move_leader(MoveLeaderRequest { target_id }).await.unwrap();
        let left = client.lease.lease_time_to_live(ask).await.unwrap().into_inner();
        assert!(left.granted_ttl == 22 && left.ttl <= 14, "{left:?}");
    });
}
