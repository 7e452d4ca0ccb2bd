//! A state that is damaged on its disk, in a way no checksum shows, is found; its member is named and serves nobody.

use std::path::Path;
use std::time::{Duration, Instant};

use proto::etcdserverpb::alarm_request::AlarmAction;
use proto::etcdserverpb::{
    AlarmMember, AlarmRequest, AlarmType, CompactionRequest, DeleteRangeRequest, LeaseGrantRequest, PutRequest,
};
use store::database::Database;
use store_core::encoding::kv_bounds;
use store_core::fingerprint::{self, Added};
use store_core::overlay::Write;
use store_core::{KeyRange, Space};
use tests_store::{Client, Kind, Server, code_and_text, run_cluster, run_with};
use tonic::Code;

/// Longest wait for an alarm.
const DEADLINE: Duration = Duration::from_secs(30);

/// Changes the newest value of a key behind the back of a member that does not run; with what was kept to notice it, as a
/// member that applied something else would have it.
fn damage(data: &Path, key: &str, with_its_sum: bool) {
    let database = Database::open(&data.join("member")).expect("open the state");
    let key = KeyRange::new(bytes::Bytes::copy_from_slice(key.as_bytes()), &bytes::Bytes::new());
    let writes = database.read(|view| {
        let (lower, upper) = kv_bounds(&key);
        let cursor = view.cursor(Space::Kv, &lower, upper.as_deref()).expect("a cursor");
        let (key, old) = cursor.entry().expect("the key is there");
        let mut value = old.to_vec();
        // The last field is the value itself.
        *value.last_mut().expect("it has a value") ^= 1;
        let mut writes = vec![Write { space: Space::Kv, key: key.to_vec().into(), value: Some(value.clone().into()) }];
        if with_its_sum {
            let kept = Added::load(view).expect("the sum").expect("there is a sum");
            let new = fingerprint::of_record(Space::Kv, key, &value);
            let sum = kept.sum.plus(new).minus(fingerprint::of_record(Space::Kv, key, old));
            let (key, value) = Added { sum, ..kept }.record();
            writes.push(Write { space: Space::Meta, key: key.into(), value: Some(value.into()) });
        }
        writes
    });
    database.write(&writes).expect("write");
    database.flush().expect("flush");
}

async fn corrupt(client: &mut Client) -> Vec<u64> {
    let ask = AlarmRequest { action: AlarmAction::Get.into(), member_id: 0, alarm: AlarmType::Corrupt.into() };
    let raised = client.maintenance.alarm(ask).await.expect("list alarms").into_inner().alarms;
    raised.into_iter().map(|AlarmMember { member_id, .. }| member_id).collect()
}

async fn wait_for_alarm(client: &mut Client) -> u64 {
    let started = Instant::now();
    loop {
        if let [member] = corrupt(client).await[..] {
            return member;
        }
        assert!(started.elapsed() < DEADLINE, "no alarm");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// Some history: versions, deletions, leases, and a compaction that removed a part of it.
async fn some_history(client: &mut Client) {
    let lease = client.lease.lease_grant(LeaseGrantRequest { ttl: 3600, id: 0 }).await.expect("grant").into_inner().id;
    for index in 0..60 {
        client.put(&format!("k/{:02}", index % 20), &format!("value {index}")).await;
    }
    let put = PutRequest { key: "k/leased".into(), value: "v".into(), lease, ..PutRequest::default() };
    client.put_request(put).await.expect("a put");
    let some = DeleteRangeRequest { key: "k/10".into(), range_end: "k/15".into(), ..DeleteRangeRequest::default() };
    client.delete_request(some).await.expect("a deletion");
    let revision = client.put("k/99", "last").await;
    client.kv.compact(CompactionRequest { revision: revision - 10, physical: true }).await.expect("a compaction");
    client.put("k/99", "newest").await;
}

#[test]
fn a_member_with_another_state_is_named_and_the_others_serve_on() {
    let flags = ["--compact-hash-check-time=500ms", "--corrupt-check-time=0s"];
    run_cluster(Kind::Ours, 3, &flags, async |mut cluster| {
        let leader = cluster.leader().await;
        let (wrong, right) = ((leader + 1) % 3, (leader + 2) % 3);
        let id = cluster.id(wrong).await;
        let mut client = cluster.client(right).await;
        some_history(&mut client).await;
        cluster.signal(wrong, "TERM");
        cluster.ended(wrong).await;
        damage(&cluster.data(wrong), "k/07", true);

        cluster.spawn(wrong);
        assert_ne!(cluster.ended(wrong).await, Some(0));
        assert!(cluster.log(wrong).contains("differs from that of most other members"), "{}", cluster.log(wrong));

        cluster.set_flag(wrong, "--initial-corrupt-check", "false".to_owned());
        cluster.restart(wrong).await;
        assert_eq!(wait_for_alarm(&mut client).await, id);
        let mut refused = cluster.client(wrong).await;
        let status = refused.get("k/01").await.expect_err("a corrupt member serves nobody");
        assert_eq!(code_and_text(&status), (Code::DataLoss, "etcdserver: corrupt cluster"));
        let put = PutRequest { key: "more".into(), ..PutRequest::default() };
        assert_eq!(refused.put_request(put).await.expect_err("nor writes").code(), Code::DataLoss);
        client.put("more", "1").await;
        assert_eq!(client.value("k/07").await.as_deref(), Some("value 47"));
    });
}

/// Runs a case on a server with some history, whose data was altered while it did not run.
fn run_altered(alter: impl FnOnce(&Path), case: impl AsyncFnOnce(&Server, Client)) {
    run_with(Kind::Ours, &["--corrupt-check-time=2s"], async |server| {
        let mut server: Server = server;
        some_history(&mut server.client().await).await;
        server.stop();
        alter(&server.data());
        server.restart().await;
        case(&server, server.client().await).await;
    });
}

#[test]
fn damage_on_the_disk_is_found_by_reading_it_again() {
    run_altered(
        |data| damage(data, "k/07", false),
        async |_, mut client| {
            wait_for_alarm(&mut client).await;
            let status = client.get("k/01").await.expect_err("a corrupt member serves nobody");
            assert_eq!(status.code(), Code::DataLoss);
        },
    );
}

/// Takes away what states did not have before sums were kept.
fn forget_the_sums(data: &Path) {
    let database = Database::open(&data.join("member")).expect("open the state");
    let writes = ["sum/added", "sum/removed"].map(|key| Write { space: Space::Meta, key: key.into(), value: None });
    database.write(&writes).expect("write");
    database.flush().expect("flush");
}

#[test]
fn an_older_state_is_added_up_once() {
    run_altered(forget_the_sums, async |server, mut client| {
        some_history(&mut client).await;
        let (before, started) = (server.log().len(), Instant::now());
        while !server.log()[before..].contains("is as it was written") {
            assert!(started.elapsed() < DEADLINE, "{}", server.log());
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        assert!(server.log().contains("added up for the first time"));
        assert!(corrupt(&mut client).await.is_empty());
    });
}
