//! Looking after a member: alarms and the quota, hashes, space, and the pages for probes.

use proto::etcdserverpb::alarm_request::AlarmAction;
use proto::etcdserverpb::downgrade_request::DowngradeAction;
use proto::etcdserverpb::{
    AlarmMember, AlarmRequest, AlarmType, CompactionRequest, DefragmentRequest, DowngradeRequest, HashKvRequest,
    HashRequest, LeaseGrantRequest, MoveLeaderRequest, PutRequest, StatusRequest,
};
use tests_store::{Client, Kind, Server, code_and_text, conformance, range_of_prefix, run_with};
use tonic::Code;

fn ask(action: AlarmAction, member_id: u64, alarm: AlarmType) -> AlarmRequest {
    AlarmRequest { action: action.into(), member_id, alarm: alarm.into() }
}

conformance!(alarms_are_raised_shown_and_cleared, async |server| {
    let mut client = server.client().await;
    client.put("a", "1").await;
    let status = client.maintenance.status(StatusRequest {}).await.unwrap().into_inner();
    let me = status.header.unwrap().member_id;
    let raise = ask(AlarmAction::Activate, me, AlarmType::Nospace);
    client.maintenance.alarm(raise).await.unwrap();
    let shown = client.maintenance.alarm(ask(AlarmAction::Get, 0, AlarmType::None)).await.unwrap().into_inner();
    assert_eq!(shown.alarms, [AlarmMember { member_id: me, alarm: AlarmType::Nospace.into() }]);

    let refused = client.put_request(PutRequest { key: "b".into(), ..PutRequest::default() }).await.unwrap_err();
    assert_eq!(code_and_text(&refused), (Code::ResourceExhausted, "etcdserver: mvcc: database space exceeded"));
    let refused = client.lease.lease_grant(LeaseGrantRequest { ttl: 60, id: 0 }).await.unwrap_err();
    assert_eq!(refused.message(), "etcdserver: mvcc: database space exceeded");
    assert_eq!(client.value("a").await.as_deref(), Some("1"), "reading goes on");
    assert_eq!(client.delete("a").await.deleted, 1, "and so does deleting");
    let status = client.maintenance.status(StatusRequest {}).await.unwrap().into_inner();
    assert_eq!(status.errors, [format!("memberID:{me} alarm:NOSPACE ")]);

    let clear = ask(AlarmAction::Deactivate, me, AlarmType::Nospace);
    let cleared = client.maintenance.alarm(clear).await.unwrap().into_inner();
    assert_eq!(cleared.alarms.len(), 1);
    client.put("b", "2").await;
});

conformance!(defragmenting_keeps_everything, async |server| {
    let mut client = server.client().await;
    for index in 0..50 {
        client.put(&format!("p/{:02}", index % 10), &index.to_string()).await;
    }
    client.kv.compact(CompactionRequest { revision: 45, physical: true }).await.unwrap();
    let before = client.maintenance.hash_kv(HashKvRequest { revision: 0 }).await.unwrap().into_inner();
    client.maintenance.defragment(DefragmentRequest {}).await.unwrap();
    let after = client.maintenance.hash_kv(HashKvRequest { revision: 0 }).await.unwrap().into_inner();
    assert_eq!((before.hash, before.compact_revision), (after.hash, after.compact_revision));
    assert_eq!(after.compact_revision, 45);
    assert_eq!(client.keys("p/").await.len(), 10);
});

/// The hashes of one history, taken after each compaction of it.
async fn hashes(kind: Kind) -> Vec<u32> {
    let server = Server::start(kind).await;
    let mut client = server.client().await;
    client.put("a", "1").await;
    client.put("b", "1").await;
    client.delete("a").await;
    client.put("c", "1").await;
    client.put("b", "2").await;
    client.delete("c").await;
    client.put("a", "2").await;
    let mut hashes = Vec::new();
    for compacted in 2..=8 {
        client.kv.compact(CompactionRequest { revision: compacted, physical: true }).await.unwrap();
        // For the compacted revision itself, etcd answers with what it kept from just before the compaction.
        for revision in [0, 8, 7, 6].into_iter().filter(|revision| *revision == 0 || *revision > compacted) {
            hashes.push(client.maintenance.hash_kv(HashKvRequest { revision }).await.unwrap().into_inner().hash);
        }
    }
    client.delete("a").await;
    client.delete("b").await;
    hashes.push(client.maintenance.hash_kv(HashKvRequest { revision: 0 }).await.unwrap().into_inner().hash);
    client.kv.compact(CompactionRequest { revision: 9, physical: true }).await.unwrap();
    hashes.push(client.maintenance.hash_kv(HashKvRequest { revision: 0 }).await.unwrap().into_inner().hash);
    hashes
}

#[test]
fn hashes_are_etcds_however_much_is_compacted() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let (etcd, ours) = runtime.block_on(async { (hashes(Kind::Etcd).await, hashes(Kind::Ours).await) });
    assert_eq!(etcd, ours);
}

conformance!(the_hash_of_everything_changes_with_everything, async |server| {
    let mut client = server.client().await;
    client.put("a", "1").await;
    let hash = async |client: &mut Client| {
        let answer = client.maintenance.hash(HashRequest {}).await.unwrap().into_inner();
        assert!(answer.header.unwrap().revision >= 2);
        answer.hash
    };
    let first = hash(&mut client).await;
    assert_eq!(hash(&mut client).await, first);
    client.lease.lease_grant(LeaseGrantRequest { ttl: 60, id: 1 }).await.unwrap();
    if server.kind() == Kind::Ours {
        // etcd writes behind: what changed is not yet part of it.
        assert_ne!(hash(&mut client).await, first);
    }
});

/// There is no older release that could read what is on disk.
#[test]
fn a_downgrade_is_refused_in_etcds_words() {
    run_with(Kind::Ours, &[], async |server: Server| {
        let mut client = server.client().await;
        for (action, version, expected) in [
            (DowngradeAction::Validate, "3.6", "etcdserver: invalid downgrade target version"),
            (DowngradeAction::Enable, "3.6.0", "etcdserver: invalid downgrade target version"),
            (DowngradeAction::Enable, "old", "etcdserver: wrong downgrade target version format"),
            (DowngradeAction::Cancel, "", "etcdserver: no inflight downgrade job"),
        ] {
            let request = DowngradeRequest { action: action.into(), version: version.into() };
            assert_eq!(client.maintenance.downgrade(request).await.unwrap_err().message(), expected);
        }
    });
}

conformance!(a_future_hash_is_refused, async |server| {
    let mut client = server.client().await;
    client.put("a", "1").await;
    let refused = client.maintenance.hash_kv(HashKvRequest { revision: 99 }).await.unwrap_err();
    assert_eq!(code_and_text(&refused), (Code::OutOfRange, "etcdserver: mvcc: required revision is a future revision"));
});

conformance!(leadership_does_not_go_to_a_stranger, async |server| {
    let mut client = server.client().await;
    let refused = client.maintenance.move_leader(MoveLeaderRequest { target_id: 42 }).await.unwrap_err();
    assert_eq!(refused.message(), "etcdserver: bad leader transferee");
});

/// Fills a small quota: writes are refused before the disk is full, and what is there stays readable.
#[test]
fn a_used_up_quota_refuses_writes() {
    run_with(Kind::Ours, &["--quota-backend-bytes=4000000"], async |server: Server| {
        let mut client = server.client().await;
        let mut written = 0;
        let refused = loop {
            let request = PutRequest {
                key: format!("big/{written:04}").into(),
                value: vec![b'x'; 100_000].into(),
                ..PutRequest::default()
            };
            match client.put_request(request).await {
                Ok(_) => written += 1,
                Err(status) => break status,
            }
            assert!(written < 2000, "the quota is never noticed");
        };
        assert_eq!(code_and_text(&refused), (Code::ResourceExhausted, "etcdserver: mvcc: database space exceeded"));
        let shown = client.maintenance.alarm(ask(AlarmAction::Get, 0, AlarmType::None)).await.unwrap().into_inner();
        assert_eq!(shown.alarms.len(), 1);
        let mut all = range_of_prefix("big/");
        all.count_only = true;
        assert_eq!(client.range(all).await.unwrap().count, written);
    });
}
