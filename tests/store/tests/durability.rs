//! Acknowledged means on disk: a kill at any moment loses nothing, and moves no revision back.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use proto::etcdserverpb::CompactionRequest;
use tests_store::{Server, conformance, range_of_prefix, within};

/// Writers that put, each its own keys, until the server is gone; how many of each were acknowledged.
async fn load(server: &Server, writers: usize, round: usize) -> Vec<(Arc<AtomicUsize>, tokio::task::JoinHandle<()>)> {
    let mut tasks = Vec::new();
    for writer in 0..writers {
        let mut client = server.client().await;
        let acknowledged = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&acknowledged);
        let task = tokio::spawn(async move {
            for index in 0.. {
                let request = proto::etcdserverpb::PutRequest {
                    key: format!("r{round}/w{writer}/{index:06}").into(),
                    value: "v".repeat(200).into(),
                    ..Default::default()
                };
                if client.kv.put(request).await.is_err() {
                    return;
                }
                count.store(index + 1, Ordering::SeqCst);
            }
        });
        tasks.push((acknowledged, task));
    }
    tasks
}

conformance!(a_kill_under_load_loses_nothing_acknowledged, async |server| {
    let mut server = server;
    let mut highest = 0;
    let mut expected = Vec::new();
    for round in 0..4 {
        let tasks = load(&server, 8, round).await;
        within("some acknowledged writes", async {
            while tasks.iter().map(|(count, _)| count.load(Ordering::SeqCst)).sum::<usize>() < 400 {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        })
        .await;
        server.kill();
        for (writer, (count, task)) in tasks.into_iter().enumerate() {
            within("the end of a writer", task).await.unwrap();
            expected.push((format!("r{round}/w{writer}/"), count.load(Ordering::SeqCst)));
        }
        server.restart().await;
        let mut client = server.client().await;
        for (prefix, count) in &expected {
            let keys = client.keys(prefix).await;
            // A write that was under way may or may not be there; one that was acknowledged must be.
            assert!(
                keys.len() == *count || keys.len() == *count + 1,
                "{prefix}: {} keys, {count} acknowledged",
                keys.len()
            );
            assert!(keys.iter().enumerate().all(|(index, key)| key.ends_with(&format!("{index:06}"))));
        }
        let revision = client.put("end", "of round").await;
        assert!(revision > highest, "the revision went back: {revision} after {highest}");
        highest = revision;
    }
});

conformance!(a_clean_stop_keeps_everything, async |server| {
    let mut server = server;
    let mut client = server.client().await;
    for index in 0..100 {
        client.put(&format!("p/{index:03}"), "v").await;
    }
    let before = client.get("p/000").await.unwrap().header.unwrap();
    drop(client);
    // etcd ends itself with the signal it got; ours with success.
    if let Some(code) = server.stop() {
        assert_eq!(code, 0, "{}", server.log());
    }
    server.restart().await;
    let mut client = server.client().await;
    assert_eq!(client.keys("p/").await.len(), 100);
    let after = client.get("p/000").await.unwrap().header.unwrap();
    assert_eq!(
        (after.cluster_id, after.member_id, after.revision),
        (before.cluster_id, before.member_id, before.revision)
    );
});

conformance!(history_survives_a_kill, async |server| {
    let mut server = server;
    let mut client = server.client().await;
    for value in 0..20 {
        client.put("p/a", &value.to_string()).await;
    }
    client.delete("p/a").await;
    client.kv.compact(CompactionRequest { revision: 10, physical: true }).await.unwrap();
    server.kill();
    server.restart().await;
    let mut client = server.client().await;
    let mut at = range_of_prefix("p/");
    at.revision = 15;
    assert_eq!(client.range(at.clone()).await.unwrap().kvs[0].value.as_ref(), b"13");
    at.revision = 9;
    let error = client.range(at).await.unwrap_err();
    assert_eq!(error.message(), "etcdserver: mvcc: required revision has been compacted");
    let mut watcher = client.watch_prefix("p/", 11).await;
    let events = watcher.events(12).await;
    assert_eq!(events[11].prev_kv.as_ref().unwrap().value.as_ref(), b"19");
});
