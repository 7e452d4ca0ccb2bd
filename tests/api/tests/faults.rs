//! Killed stores and servers: nothing acknowledged is lost, and clients recover.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use serde_json::json;
use tests_api::rig::{Client, Cluster};
use tests_api::{CONFIG_MAPS, config_map, names, on_every_store};

on_every_store!(
    a_killed_store_loses_nothing,
    a_killed_server_loses_nothing,
    a_server_asked_to_stop_ends_its_watches,
    a_server_waits_for_its_store,
    events_expire,
    compacted_history_is_gone_and_says_how_to_go_on,
    a_client_that_does_not_read_holds_nobody_up,
);

/// What writers share with those who watch over them.
#[derive(Default)]
struct Load {
    stop: AtomicBool,
    acknowledged: AtomicUsize,
}

impl Load {
    /// Waits until some more writes have got through.
    async fn goes_on(&self) {
        let wanted = self.acknowledged.load(Ordering::Relaxed) + 20;
        for _ in 0..600 {
            if self.acknowledged.load(Ordering::Relaxed) >= wanted {
                return;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        panic!("only {} of {wanted} writes got through", self.acknowledged.load(Ordering::Relaxed));
    }
}

/// Creates objects until told to stop; returns the names of those that were acknowledged.
async fn load(client: Client, prefix: String, load: Arc<Load>) -> Vec<String> {
    let mut acknowledged = Vec::new();
    let mut number = 0;
    while !load.stop.load(Ordering::Relaxed) {
        let name = format!("{prefix}-{number:05}");
        number += 1;
        let body = config_map(&name, "1").to_string();
        let headers = [("content-type", "application/json")];
        match client.try_send("POST", CONFIG_MAPS, &headers, &body).await {
            Ok(answer) if answer.code == 201 => {
                acknowledged.push(name);
                load.acknowledged.fetch_add(1, Ordering::Relaxed);
            }
            Ok(answer) => assert!(matches!(answer.code, 409 | 429 | 500 | 503 | 504), "{}", answer.text()),
            Err(_) => tokio::time::sleep(Duration::from_millis(5)).await,
        }
    }
    acknowledged
}

async fn under_load(cluster: &mut Cluster, fault: impl AsyncFn(&mut Cluster)) {
    let shared = Arc::new(Load::default());
    let writers: Vec<_> =
        (0..4).map(|writer| tokio::spawn(load(cluster.admin(), format!("w{writer}"), Arc::clone(&shared)))).collect();
    for _ in 0..3 {
        shared.goes_on().await;
        fault(cluster).await;
    }
    shared.goes_on().await;
    shared.stop.store(true, Ordering::Relaxed);
    let mut acknowledged = BTreeSet::new();
    for writer in writers {
        acknowledged.extend(writer.await.unwrap());
    }
    cluster.ready().await;
    let listed: BTreeSet<String> = names(&cluster.admin().get(CONFIG_MAPS).await.json()).into_iter().collect();
    let lost: Vec<_> = acknowledged.difference(&listed).collect();
    assert!(lost.is_empty(), "{} of {} acknowledged writes are lost: {lost:?}", lost.len(), acknowledged.len());
    // The cache comes to show what the store has.
    let started = Instant::now();
    loop {
        let cached = names(&cluster.admin().get(&format!("{CONFIG_MAPS}?resourceVersion=0")).await.json());
        if cached.len() == listed.len() {
            break;
        }
        assert!(started.elapsed() < Duration::from_secs(20), "{} of {} are cached", cached.len(), listed.len());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

async fn a_killed_store_loses_nothing(mut cluster: Cluster) {
    under_load(&mut cluster, async |cluster| {
        cluster.store.process().kill();
        cluster.store.restart();
    })
    .await;
    assert!(cluster.server().ended().is_none());
}

async fn a_killed_server_loses_nothing(mut cluster: Cluster) {
    under_load(&mut cluster, async |cluster| cluster.restart_server().await).await;
}

async fn a_server_asked_to_stop_ends_its_watches(mut cluster: Cluster) {
    let admin = cluster.admin();
    let mut watch =
        admin.connect(false).await.unwrap().watch(&format!("{CONFIG_MAPS}?watch=true&resourceVersion=0")).await;
    assert_eq!(watch.code, 200);
    let ended = tokio::spawn(async move { while watch.next().await.is_some() {} });
    let started = Instant::now();
    let status = tokio::task::block_in_place(|| cluster.server().terminate());
    assert_eq!(status.code(), Some(0));
    assert!(started.elapsed() < Duration::from_secs(8), "it took {:?}", started.elapsed());
    ended.await.unwrap();
    // Its address is taken out of the endpoints before it goes.
    cluster.restart_server().await;
}

async fn a_server_waits_for_its_store(mut cluster: Cluster) {
    cluster.server().kill();
    cluster.store.process().kill();
    let started = Instant::now();
    // Both come back, the server first: it must wait, not give up.
    let restart = async { tokio::time::timeout(Duration::from_secs(3), cluster.restart_server()).await };
    assert!(restart.await.is_err(), "ready without a store after {:?}", started.elapsed());
    assert!(cluster.server().ended().is_none());
    cluster.store.restart();
    cluster.ready().await;
    assert_eq!(cluster.admin().post(CONFIG_MAPS, &config_map("a", "1")).await.code, 201);
    // With the store away a read fails in upstream's words, and in time.
    cluster.store.process().kill();
    let answer = cluster.admin().get(CONFIG_MAPS).await;
    assert_eq!((answer.code, answer.json()["reason"].clone()), (500, json!("ServerTimeout")), "{}", answer.text());
    assert_eq!(answer.header("retry-after"), "2");
    cluster.store.restart();
    cluster.ready().await;
}

async fn events_expire(mut cluster: Cluster) {
    cluster.restart_server_with(&["--event-ttl=2s"]).await;
    let admin = cluster.admin();
    let event = json!({
        "apiVersion": "v1", "kind": "Event", "metadata": { "name": "e.1", "namespace": "default" },
        "involvedObject": { "kind": "Pod", "namespace": "default", "name": "p" },
        "reason": "Testing", "message": "one", "type": "Normal",
        "firstTimestamp": "2026-01-01T00:00:00Z", "lastTimestamp": "2026-01-01T00:00:00Z", "count": 1,
    });
    let made = admin.post("/api/v1/namespaces/default/events", &event).await;
    assert_eq!(made.code, 201, "{}", made.text());
    let found = admin.get("/api/v1/events?fieldSelector=involvedObject.name%3Dp").await.json();
    assert_eq!(names(&found), ["e.1"]);
    let started = Instant::now();
    while !names(&admin.get("/api/v1/events").await.json()).is_empty() {
        assert!(started.elapsed() < Duration::from_secs(30), "the event is still there");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

async fn compacted_history_is_gone_and_says_how_to_go_on(mut cluster: Cluster) {
    cluster.restart_server_with(&["--etcd-compaction-interval=300ms"]).await;
    let admin = cluster.admin();
    for name in ["a", "b", "c"] {
        assert_eq!(admin.post(CONFIG_MAPS, &config_map(name, "1")).await.code, 201);
    }
    let page = admin.get(&format!("{CONFIG_MAPS}?limit=1")).await.json();
    let token = page["metadata"]["continue"].as_str().unwrap().to_owned();
    let version = page["metadata"]["resourceVersion"].as_str().unwrap().to_owned();
    // The store forgets the revision of the page; a restarted server cannot know it any more either.
    let started = Instant::now();
    loop {
        admin.post(CONFIG_MAPS, &config_map("other", "1")).await;
        admin.delete(&format!("{CONFIG_MAPS}/other")).await;
        tokio::time::sleep(Duration::from_millis(700)).await;
        cluster.restart_server().await;
        let answer = admin.get(&format!("{CONFIG_MAPS}?limit=1&continue={token}")).await;
        if answer.code == 200 {
            assert!(started.elapsed() < Duration::from_secs(30), "the revision is never compacted");
            continue;
        }
        assert_eq!((answer.code, answer.json()["reason"].clone()), (410, json!("Expired")), "{}", answer.text());
        let inconsistent = answer.json()["metadata"]["continue"].as_str().unwrap().to_owned();
        let rest = admin.get(&format!("{CONFIG_MAPS}?continue={inconsistent}")).await.json();
        assert_eq!(names(&rest), ["b", "c"]);
        break;
    }
    let exact = admin.get(&format!("{CONFIG_MAPS}?resourceVersion={version}&resourceVersionMatch=Exact")).await;
    assert_eq!(exact.code, 410, "{}", exact.text());
}

async fn a_client_that_does_not_read_holds_nobody_up(mut cluster: Cluster) {
    let admin = cluster.admin();
    let path = format!("{CONFIG_MAPS}?watch=true&resourceVersion=0");
    let mut stuck = Vec::new();
    for _ in 0..20 {
        stuck.push(admin.connect(false).await.unwrap().watch(&path).await);
    }
    let mut reader = admin.connect(false).await.unwrap().watch(&path).await;
    let before = cluster.server().kilobytes("VmRSS");
    let big = "x".repeat(300_000);
    for number in 0..150 {
        let name = format!("big-{number}");
        assert_eq!(admin.post(CONFIG_MAPS, &config_map(&name, &big)).await.code, 201);
        assert_eq!(reader.next_change().await, ("ADDED".to_owned(), name.clone()));
        assert_eq!(admin.delete(&format!("{CONFIG_MAPS}/{name}")).await.code, 200);
        assert_eq!(reader.next_change().await, ("DELETED".to_owned(), name));
    }
    // 90 MB went by. The history may hold 24 MB twice (object and frame), a stuck connection its window.
    let grown = cluster.server().kilobytes("VmRSS").saturating_sub(before) / 1024;
    assert!(grown < 160, "the server grew by {grown} MB");
}
