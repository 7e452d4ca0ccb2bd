//! Space: a store that is full, one whose log is full of large entries, and one that lost a part of its folder.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use proto::etcdserverpb::alarm_request::AlarmAction;
use proto::etcdserverpb::{AlarmRequest, CompactionRequest, DefragmentRequest, DeleteRangeRequest, PutRequest};
use tests_store::{Client, DEADLINE, Kind, Server, code_and_text, conformance, run, run_with, within};
use tonic::Code;

const MIB: u64 = 1 << 20;

async fn alarms(client: &mut Client) -> usize {
    client.maintenance.alarm(AlarmRequest::default()).await.expect("the alarms").into_inner().alarms.len()
}

/// etcd's alarm stays until somebody disarms it; ours ends with its cause.
#[test]
fn a_full_store_takes_writes_again_once_there_is_space() {
    run_with(Kind::Ours, &["--quota-backend-bytes=8388608"], async |server| {
        let mut client = server.client().await;
        let value = "v".repeat(1 << 20);
        let started = Instant::now();
        let refused = loop {
            let request = PutRequest {
                key: format!("full/{}", client.keys("full/").await.len()).into(),
                value: value.clone().into(),
                ..Default::default()
            };
            match client.put_request(request).await {
                Ok(_) => assert!(started.elapsed() < DEADLINE, "the store does not become full"),
                Err(status) => break status,
            }
        };
        let full = (Code::ResourceExhausted, "etcdserver: mvcc: database space exceeded");
        assert_eq!(code_and_text(&refused), full);
        assert_eq!(alarms(&mut client).await, 1);
        let written = client.keys("full/").await.len();
        assert!(written >= 6, "only {written} values of a mebibyte fit into eight");

        let all = DeleteRangeRequest { key: "full/".into(), range_end: "full0".into(), ..Default::default() };
        let deleted = client.delete_request(all).await.expect("deletions are taken");
        let revision = deleted.header.expect("a header").revision;
        let compaction = CompactionRequest { revision, physical: true };
        client.kv.compact(compaction).await.expect("compactions are taken");
        while alarms(&mut client).await > 0 {
            assert!(started.elapsed() < 2 * DEADLINE, "the alarm does not end");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        client.put("full/again", &value).await;
    });
}

// Four keys that are written again and again: nearly everything is history, which compaction makes worthless and
// defragmenting gives back.
conformance!(a_put_is_taken_once_defragmented_and_disarmed, ["--quota-backend-bytes=16777216"], async |server| {
    let mut client = server.client().await;
    let put = |number: usize| PutRequest {
        key: format!("full/{}", number % 4).into(),
        value: vec![b'v'; MIB as usize].into(),
        ..PutRequest::default()
    };
    for round in 0..3 {
        let started = Instant::now();
        let refused = loop {
            match client.put_request(put(round)).await {
                Ok(_) => assert!(started.elapsed() < DEADLINE, "the store does not become full"),
                Err(status) => break status,
            }
        };
        let full = (Code::ResourceExhausted, "etcdserver: mvcc: database space exceeded");
        assert_eq!(code_and_text(&refused), full);
        let revision = client.get("full/0").await.unwrap().header.unwrap().revision;
        // etcd removes what was compacted behind its answer, and defragments whatever is there at that moment.
        let physical = server.kind() == Kind::Etcd;
        client.kv.compact(CompactionRequest { revision, physical }).await.expect("compact");
        let defragment = client.maintenance.defragment(DefragmentRequest {});
        within("defragmenting", defragment).await.expect("defragment");
        let raised = client.maintenance.alarm(AlarmRequest::default()).await.expect("the alarms").into_inner().alarms;
        for alarm in raised {
            let action = AlarmAction::Deactivate.into();
            let disarm = AlarmRequest { action, member_id: alarm.member_id, alarm: alarm.alarm };
            client.maintenance.alarm(disarm).await.expect("disarm");
        }
        client.put_request(put(round)).await.unwrap_or_else(|status| panic!("round {round}: {status}"));
    }
});

fn bytes(folder: &Path) -> u64 {
    let entries = fs::read_dir(folder).expect("the folder is there");
    // Files come and go meanwhile.
    entries.flatten().filter_map(|entry| entry.metadata().ok()).map(|metadata| metadata.len()).sum()
}

/// Ten thousand entries are kept, but not if they are large: the log would take more of the disk than the state.
#[test]
fn a_log_of_large_entries_is_purged_by_its_size() {
    run(Kind::Ours, async |server| {
        let mut client = server.client().await;
        let value = "v".repeat(1 << 20);
        let mut tasks = Vec::new();
        for writer in 0..4 {
            let (mut client, value) = (server.client().await, value.clone());
            tasks.push(tokio::spawn(async move {
                for _ in 0..150 {
                    client.put(&format!("large/{writer}"), &value).await;
                }
            }));
        }
        for task in tasks {
            task.await.expect("the writes");
        }
        let started = Instant::now();
        let folder = server.data().join("member/raft");
        while bytes(&folder) > 400 * MIB {
            assert!(started.elapsed() < DEADLINE, "the log still has {} MiB", bytes(&folder) / MIB);
            client.put("large/next", "x").await;
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        let mut server = server;
        server.kill();
        server.restart().await;
        let keys = server.client().await.keys("large/").await;
        assert!(keys.len() >= 4, "{keys:?}");
    });
}

fn hide(path: &Path) -> impl Fn() + use<> {
    let (path, hidden) = (path.to_owned(), path.with_extension("hidden"));
    fs::rename(&path, &hidden).expect("hide it");
    move || {
        // What was made in its place goes.
        let _ = fs::remove_dir_all(&path);
        fs::rename(&hidden, &path).expect("bring it back");
    }
}

/// A store that lost a part of its data does not begin anew with the rest, and does not touch it.
#[test]
fn a_store_with_a_part_missing_does_not_start() {
    run(Kind::Ours, async |server| {
        let mut server: Server = server;
        server.client().await.put("kept", "1").await;
        server.stop();
        let member = server.data().join("member");
        for (part, complaint) in
            [("raft/CURRENT", "CURRENT"), ("raft", "its log is gone"), ("state-1/CURRENT", "CURRENT")]
        {
            let bring_back = hide(&member.join(part));
            let said = server.start_in_vain();
            assert!(said.contains(complaint), "without {part}: {said}");
            bring_back();
        }
        server.restart().await;
        assert_eq!(server.client().await.value("kept").await.as_deref(), Some("1"));
    });
}
