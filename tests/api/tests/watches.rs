//! Watches: order, resumption, selection, bookmarks, streaming lists.

use futures::StreamExt as _;
use serde_json::json;
use tests_api::rig::Cluster;
use tests_api::{CONFIG_MAPS, colored, config_map, on_every_store, version};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::Role;

on_every_store!(
    a_watch_sees_every_change_in_order,
    a_watch_without_a_version_begins_with_what_is_there,
    a_selection_makes_its_own_additions_and_deletions,
    an_old_version_is_gone,
    a_streaming_list_is_marked_at_its_end,
    a_watch_ends_when_it_said,
    a_watch_goes_on_after_the_server_came_back,
    tables_are_watched_too,
    a_watch_ends_cleanly_with_the_server,
    a_watcher_that_does_not_read_is_ended,
    an_old_watch_in_the_new_way_is_marked_only_for_those_who_know,
);

fn pair(kind: &str, name: &str) -> (String, String) {
    (kind.to_owned(), name.to_owned())
}

async fn a_watch_sees_every_change_in_order(cluster: Cluster) {
    let admin = cluster.admin();
    let start = version(&admin.get(CONFIG_MAPS).await.json());
    let path = format!("{CONFIG_MAPS}?watch=true&resourceVersion={start}");
    let mut watch = admin.connect(false).await.unwrap().watch(&path).await;
    let mut one = admin.connect(true).await.unwrap().watch(&path).await;
    assert_eq!((watch.code, one.code), (200, 200));
    let made = admin.post(CONFIG_MAPS, &config_map("a", "1")).await.json();
    let mut new = made.clone();
    new["data"]["k"] = json!("2");
    let changed = admin.put(&format!("{CONFIG_MAPS}/a"), &new).await.json();
    admin.delete(&format!("{CONFIG_MAPS}/a")).await;
    for watch in [&mut watch, &mut one] {
        assert_eq!(watch.next().await.unwrap(), json!({ "type": "ADDED", "object": made }));
        assert_eq!(watch.next().await.unwrap(), json!({ "type": "MODIFIED", "object": changed }));
        let deleted = watch.next().await.unwrap();
        assert_eq!((deleted["type"].clone(), deleted["object"]["data"]["k"].clone()), (json!("DELETED"), json!("2")));
        let (before, after): (u64, u64) =
            (version(&changed).parse().unwrap(), version(&deleted["object"]).parse().unwrap());
        assert!(after > before, "a deletion has a version of its own");
    }
    // From the middle on, later.
    let late = format!("{CONFIG_MAPS}?watch=true&resourceVersion={}", version(&made));
    let mut late = admin.connect(false).await.unwrap().watch(&late).await;
    assert_eq!(late.next_change().await, pair("MODIFIED", "a"));
    assert_eq!(late.next_change().await, pair("DELETED", "a"));
}

async fn a_watch_without_a_version_begins_with_what_is_there(cluster: Cluster) {
    let admin = cluster.admin();
    admin.post(CONFIG_MAPS, &config_map("a", "1")).await;
    admin.post(CONFIG_MAPS, &config_map("b", "1")).await;
    for parameters in ["watch=1", "watch=true&resourceVersion=0"] {
        let mut watch = admin.connect(false).await.unwrap().watch(&format!("{CONFIG_MAPS}?{parameters}")).await;
        assert_eq!(watch.next_change().await, pair("ADDED", "a"));
        if parameters == "watch=1" {
            assert_eq!(watch.next_change().await, pair("ADDED", "b"));
            admin.delete(&format!("{CONFIG_MAPS}/b")).await;
            assert_eq!(watch.next_change().await, pair("DELETED", "b"));
        }
    }
    let one = "/api/v1/watch/namespaces/default/configmaps/a";
    let mut watch = admin.connect(false).await.unwrap().watch(one).await;
    assert_eq!(watch.next_change().await, pair("ADDED", "a"));
}

async fn a_selection_makes_its_own_additions_and_deletions(cluster: Cluster) {
    let admin = cluster.admin();
    let start = version(&admin.get(CONFIG_MAPS).await.json());
    let path = format!("{CONFIG_MAPS}?watch=true&resourceVersion={start}&labelSelector=color%3Dred");
    let mut watch = admin.connect(false).await.unwrap().watch(&path).await;
    admin.post(CONFIG_MAPS, &colored("a", "blue")).await;
    let paint = |color: &'static str| {
        let admin = admin.clone();
        async move {
            let patch = json!({ "metadata": { "labels": { "color": color } } });
            admin.patch(&format!("{CONFIG_MAPS}/a"), "application/merge-patch+json", &patch).await
        }
    };
    paint("red").await;
    paint("green").await;
    admin.delete(&format!("{CONFIG_MAPS}/a")).await;
    admin.post(CONFIG_MAPS, &colored("z", "red")).await;
    assert_eq!(watch.next_change().await, pair("ADDED", "a"));
    let left = watch.next().await.unwrap();
    assert_eq!(left["type"], "DELETED");
    // It is shown as it was when it was selected, under the version at which it left.
    assert_eq!(left["object"]["metadata"]["labels"]["color"], "red");
    assert_eq!(watch.next_change().await, pair("ADDED", "z"));
}

async fn an_old_version_is_gone(cluster: Cluster) {
    let admin = cluster.admin();
    // More changes than the replay at the start brings back lie between version 1 and now only on an old store; a fresh one
    // is asked for a version before its first.
    let big = "x".repeat(400_000);
    for number in 0..140 {
        let answer = if number == 0 {
            admin.post(CONFIG_MAPS, &config_map("big", &big)).await
        } else {
            let patch = json!({ "data": { "n": number.to_string() } });
            admin.patch(&format!("{CONFIG_MAPS}/big"), "application/merge-patch+json", &patch).await
        };
        assert!(answer.code < 300, "{}", answer.text());
    }
    let mut watch =
        admin.connect(false).await.unwrap().watch(&format!("{CONFIG_MAPS}?watch=true&resourceVersion=1")).await;
    assert_eq!(watch.code, 200);
    let event = watch.next().await.unwrap();
    assert_eq!(event["type"], "ERROR", "{}", event["type"]);
    let status = &event["object"];
    assert_eq!((status["code"].clone(), status["reason"].clone()), (json!(410), json!("Expired")));
    assert!(status["message"].as_str().unwrap().starts_with("too old resource version: 1 ("), "{status}");
    assert_eq!(watch.next().await, None);
}

async fn a_streaming_list_is_marked_at_its_end(cluster: Cluster) {
    let admin = cluster.admin();
    admin.post(CONFIG_MAPS, &config_map("a", "1")).await;
    let last = admin.post(CONFIG_MAPS, &config_map("b", "1")).await.json();
    // Not older than the last write here: without a version it would be the store's newest, which may be another
    // resource's, and an etcd that cannot tell progress (before 3.4.31) leaves a quiet cache behind it.
    let path = format!(
        "{CONFIG_MAPS}?watch=true&sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true\
         &resourceVersion={}",
        version(&last)
    );
    let mut watch = admin.connect(false).await.unwrap().watch(&path).await;
    assert_eq!(watch.next_change().await, pair("ADDED", "a"));
    assert_eq!(watch.next_change().await, pair("ADDED", "b"));
    let mark = watch.next().await.unwrap();
    assert_eq!(mark["type"], "BOOKMARK");
    assert_eq!(mark["object"]["metadata"]["annotations"]["k8s.io/initial-events-end"], "true");
    assert_eq!(mark["object"]["kind"], "ConfigMap");
    let marked = version(&mark["object"]);
    admin.post(CONFIG_MAPS, &config_map("c", "1")).await;
    assert_eq!(watch.next_change().await, pair("ADDED", "c"));
    // The mark's version is one to go on from.
    let path = format!("{CONFIG_MAPS}?watch=true&resourceVersion={marked}");
    let mut resumed = admin.connect(false).await.unwrap().watch(&path).await;
    assert_eq!(resumed.next_change().await, pair("ADDED", "c"));
    let wrong = admin.get(&format!("{CONFIG_MAPS}?watch=true&sendInitialEvents=true")).await;
    assert_eq!((wrong.code, wrong.json()["reason"].clone()), (422, json!("Invalid")), "{}", wrong.text());
}

async fn a_watch_ends_when_it_said(cluster: Cluster) {
    let admin = cluster.admin();
    let path = format!("{CONFIG_MAPS}?watch=true&resourceVersion=0&timeoutSeconds=1&allowWatchBookmarks=true");
    let started = std::time::Instant::now();
    let mut watch = admin.connect(false).await.unwrap().watch(&path).await;
    // The end of what was there before, as in a streaming list, and of the watch.
    let first = watch.next().await.unwrap();
    assert_eq!(first["object"]["metadata"]["annotations"]["k8s.io/initial-events-end"], "true", "{first}");
    let last = watch.next().await.unwrap();
    assert_eq!((&last["type"], last["object"]["metadata"].get("annotations")), (&json!("BOOKMARK"), None));
    assert_eq!(watch.next().await, None);
    assert!(started.elapsed().as_secs() < 10);
}

async fn a_watch_goes_on_after_the_server_came_back(mut cluster: Cluster) {
    let admin = cluster.admin();
    let made = admin.post(CONFIG_MAPS, &config_map("a", "1")).await.json();
    admin.post(CONFIG_MAPS, &config_map("b", "1")).await;
    // The store goes away and comes back: the watch does not notice.
    let path = format!("{CONFIG_MAPS}?watch=true&resourceVersion={}", version(&made));
    let mut watch = admin.connect(false).await.unwrap().watch(&path).await;
    assert_eq!(watch.next_change().await, pair("ADDED", "b"));
    cluster.store.process().kill();
    cluster.store.restart();
    let answer = admin.post(CONFIG_MAPS, &config_map("c", "1")).await;
    assert_eq!(answer.code, 201, "{}", answer.text());
    assert_eq!(watch.next_change().await, pair("ADDED", "c"));
    // The server goes away and comes back: what happened before is still known where the store tells it.
    cluster.restart_server().await;
    let etcd = cluster.store.kind() == tests_api::rig::StoreKind::Etcd;
    let from = if etcd { version(&answer.json()) } else { version(&made) };
    let path = format!("{CONFIG_MAPS}?watch=true&resourceVersion={from}");
    let mut watch = cluster.admin().connect(false).await.unwrap().watch(&path).await;
    if !etcd {
        assert_eq!(watch.next_change().await, pair("ADDED", "b"));
        assert_eq!(watch.next_change().await, pair("ADDED", "c"));
    }
    cluster.admin().post(CONFIG_MAPS, &config_map("d", "1")).await;
    assert_eq!(watch.next_change().await, pair("ADDED", "d"));
}

async fn tables_are_watched_too(cluster: Cluster) {
    let admin = cluster.admin();
    admin.post(CONFIG_MAPS, &config_map("a", "1")).await;
    let mut connection = admin.connect(false).await.unwrap();
    let path = format!("{CONFIG_MAPS}?watch=true&timeoutSeconds=1&resourceVersion=0");
    let accept = "application/json;as=Table;v=v1;g=meta.k8s.io";
    let answer = connection.send("GET", &path, &[("accept", accept)], "").await.unwrap();
    let event: serde_json::Value = serde_json::from_str(answer.text().lines().next().unwrap()).unwrap();
    assert_eq!(event["object"]["kind"], "Table");
    assert_eq!(event["object"]["columnDefinitions"][0]["name"], "Name");
    assert_eq!(event["object"]["rows"][0]["cells"][0], "a");
}

async fn a_watch_ends_cleanly_with_the_server(mut cluster: Cluster) {
    let admin = cluster.admin();
    let made = admin.post(CONFIG_MAPS, &config_map("a", "1")).await.json();
    let path = format!("{CONFIG_MAPS}?watch=true&allowWatchBookmarks=true&resourceVersion={}", version(&made));
    let mut two = admin.connect(false).await.unwrap().watch(&path).await;
    let mut one = admin.connect(true).await.unwrap().watch(&path).await;
    let headers = [
        ("connection", "Upgrade"),
        ("upgrade", "websocket"),
        ("sec-websocket-version", "13"),
        ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
    ];
    let (_, stream) = admin.upgrade(&path, &headers).await.unwrap();
    let mut socket = WebSocketStream::from_raw_socket(stream, Role::Client, None).await;
    admin.post(CONFIG_MAPS, &config_map("b", "1")).await;
    for watch in [&mut one, &mut two] {
        assert_eq!(watch.next_change().await, pair("ADDED", "b"));
    }
    assert!(matches!(socket.next().await, Some(Ok(Message::Text(_)))));
    tokio::task::block_in_place(|| cluster.server().terminate());
    for watch in [&mut one, &mut two] {
        let last = watch.next().await.unwrap();
        assert_eq!(last["type"], "BOOKMARK", "{last}");
        assert_eq!(watch.next().await, None);
    }
    let Some(Ok(Message::Text(last))) = socket.next().await else { panic!("no last word") };
    assert!(last.starts_with("{\"type\":\"BOOKMARK\""), "{last}");
    assert!(matches!(socket.next().await, Some(Ok(Message::Close(_)))));
}

async fn a_watcher_that_does_not_read_is_ended(cluster: Cluster) {
    let admin = cluster.admin();
    let start = version(&admin.get(CONFIG_MAPS).await.json());
    let path = format!("{CONFIG_MAPS}?watch=true&resourceVersion={start}");
    let mut watch = admin.connect(true).await.unwrap().watch(&path).await;
    // Far more than the history holds and than fits between the two.
    let big = "x".repeat(400_000);
    assert_eq!(admin.post(CONFIG_MAPS, &config_map("big", &big)).await.code, 201);
    for number in 0..150 {
        let patch = json!({ "data": { "n": number.to_string() } });
        let answer = admin.patch(&format!("{CONFIG_MAPS}/big"), "application/merge-patch+json", &patch).await;
        assert_eq!(answer.code, 200, "{}", answer.text());
    }
    let mut seen = 0;
    while watch.next().await.is_some() {
        seen += 1;
    }
    assert!((1..151).contains(&seen), "it saw {seen} changes, and none was too many");
}

async fn an_old_watch_in_the_new_way_is_marked_only_for_those_who_know(cluster: Cluster) {
    let admin = cluster.admin();
    let last = admin.post(CONFIG_MAPS, &config_map("a", "1")).await.json();
    let list = format!(
        "{CONFIG_MAPS}?watch=true&timeoutSeconds=1&sendInitialEvents=true&resourceVersionMatch=NotOlderThan&resourceVersion={}",
        version(&last)
    );
    let mut watch = admin.connect(false).await.unwrap().watch(&list).await;
    while let Some(event) = watch.next().await {
        assert_eq!(event["type"], "ADDED", "nobody asked for bookmarks: {event}");
    }
    let mut watch = admin.connect(false).await.unwrap().watch(&format!("{list}&allowWatchBookmarks=true")).await;
    let mut types = Vec::new();
    while let Some(event) = watch.next().await {
        types.push(event["type"].as_str().unwrap().to_owned());
    }
    assert!(types.ends_with(&["ADDED".to_owned(), "BOOKMARK".to_owned(), "BOOKMARK".to_owned()]), "{types:?}");
}
