//! Watches: ordered, unique, atomic, resumable; what they say when they cannot go on.

use proto::etcdserverpb::request_op::Request;
use proto::etcdserverpb::watch_create_request::FilterType;
use proto::etcdserverpb::watch_request::RequestUnion;
use proto::etcdserverpb::{
    CompactionRequest, PutRequest, RequestOp, TxnRequest, WatchCancelRequest, WatchCreateRequest,
};
use proto::mvccpb::Event;
use proto::mvccpb::event::EventType;
use tests_store::conformance;

fn keys_and_revisions(events: &[Event]) -> Vec<(String, i64)> {
    let of =
        |event: &Event| event.kv.as_ref().map(|kv| (String::from_utf8_lossy(&kv.key).into_owned(), kv.mod_revision));
    events.iter().filter_map(of).collect()
}

conformance!(changes_arrive_in_order_with_what_they_replaced, async |server| {
    let mut client = server.client().await;
    let mut watcher = client.watch_prefix("p/", 0).await;
    client.put("p/a", "1").await;
    client.put("other", "x").await;
    client.put("p/a", "2").await;
    client.delete("p/a").await;
    let events = watcher.events(3).await;
    let revisions: Vec<_> = events.iter().map(|event| event.kv.as_ref().unwrap().mod_revision).collect();
    assert_eq!(revisions, [2, 4, 5]);
    assert_eq!(events[0].prev_kv, None);
    assert_eq!(events[1].prev_kv.as_ref().unwrap().value.as_ref(), b"1");
    assert_eq!(events[2].r#type(), EventType::Delete);
    let deleted = events[2].kv.as_ref().unwrap();
    assert_eq!((deleted.key.as_ref(), deleted.create_revision, deleted.version), (b"p/a".as_ref(), 0, 0));
    assert!(deleted.value.is_empty());
    assert_eq!(events[2].prev_kv.as_ref().unwrap().value.as_ref(), b"2");
});

conformance!(a_watch_begins_in_the_past, async |server| {
    let mut client = server.client().await;
    for value in 0..50 {
        client.put(&format!("p/{value:02}"), "v").await;
    }
    let mut watcher = client.watch_prefix("p/", 12).await;
    let events = watcher.events(40).await;
    let expected: Vec<_> = (10..50).map(|value| (format!("p/{value:02}"), value + 2)).collect();
    assert_eq!(keys_and_revisions(&events), expected);
    client.put("p/new", "v").await;
    assert_eq!(keys_and_revisions(&watcher.events(1).await), [("p/new".to_owned(), 52)]);
});

conformance!(a_watch_begins_in_the_future, async |server| {
    let mut client = server.client().await;
    let mut watcher = client.watch_prefix("p/", 4).await;
    client.put("p/a", "1").await;
    client.put("p/a", "2").await;
    client.put("p/a", "3").await;
    assert_eq!(keys_and_revisions(&watcher.events(1).await), [("p/a".to_owned(), 4)]);
});

conformance!(one_revision_comes_in_one_response, async |server| {
    let mut client = server.client().await;
    let mut watcher = client.watch_prefix("p/", 0).await;
    let put = |key: &'static str| RequestOp {
        request: Some(Request::RequestPut(PutRequest { key: key.into(), value: "v".into(), ..PutRequest::default() })),
    };
    client
        .txn(TxnRequest { success: vec![put("p/b"), put("p/a"), put("p/c")], ..TxnRequest::default() })
        .await
        .unwrap();
    let response = watcher.next().await;
    let expected = [("p/b", 2), ("p/a", 2), ("p/c", 2)].map(|(key, revision)| (key.to_owned(), revision));
    assert_eq!(keys_and_revisions(&response.events), expected);
});

conformance!(filters_hide_a_kind_of_change, async |server| {
    let mut client = server.client().await;
    let request = WatchCreateRequest {
        key: "a".into(),
        filters: vec![FilterType::Noput.into()],
        ..WatchCreateRequest::default()
    };
    let mut watcher = client.watch(request).await;
    assert!(watcher.next().await.created);
    client.put("a", "1").await;
    client.delete("a").await;
    let events = watcher.events(1).await;
    assert_eq!(events[0].r#type(), EventType::Delete);
    assert_eq!(events[0].prev_kv, None);
});

conformance!(one_stream_carries_many_watches, async |server| {
    let mut client = server.client().await;
    let create =
        |key: &'static str, watch_id| WatchCreateRequest { key: key.into(), watch_id, ..WatchCreateRequest::default() };
    let mut watcher = client.watch(create("a", 0)).await;
    let first = watcher.next().await.watch_id;
    watcher.send(RequestUnion::CreateRequest(create("b", 7))).await;
    let second = watcher.next().await;
    assert!(second.created);
    assert_eq!(second.watch_id, 7);
    client.put("b", "1").await;
    let response = watcher.next().await;
    assert_eq!((response.watch_id, response.events.len()), (7, 1));
    client.put("a", "1").await;
    assert_eq!(watcher.next().await.watch_id, first);

    watcher.send(RequestUnion::CreateRequest(create("c", 7))).await;
    let refused = watcher.next().await;
    assert!(refused.created && refused.canceled, "{refused:?}");
    assert_eq!(
        (refused.watch_id, refused.cancel_reason.as_str()),
        (-1, "mvcc: duplicate watch ID provided on the WatchStream")
    );

    watcher.send(RequestUnion::CancelRequest(WatchCancelRequest { watch_id: 7 })).await;
    let cancelled = watcher.next().await;
    assert!(cancelled.canceled);
    assert_eq!(cancelled.watch_id, 7);
    client.put("b", "2").await;
    client.put("a", "2").await;
    assert_eq!(watcher.next().await.watch_id, first);
});

conformance!(a_compacted_start_is_told, async |server| {
    let mut client = server.client().await;
    for _ in 0..5 {
        client.put("a", "v").await;
    }
    client.kv.compact(CompactionRequest { revision: 4, physical: true }).await.unwrap();
    let request = WatchCreateRequest { key: "a".into(), start_revision: 2, ..WatchCreateRequest::default() };
    let mut watcher = client.watch(request).await;
    assert!(watcher.next().await.created);
    let response = watcher.next().await;
    assert!(response.canceled);
    assert_eq!(response.compact_revision, 4);
    let request = WatchCreateRequest { key: "a".into(), start_revision: 4, ..WatchCreateRequest::default() };
    let mut watcher = client.watch(request).await;
    assert!(watcher.next().await.created);
    assert_eq!(watcher.events(3).await.len(), 3);
});

conformance!(an_empty_range_is_refused, async |server| {
    let mut client = server.client().await;
    let request = WatchCreateRequest { key: "b".into(), range_end: "a".into(), ..WatchCreateRequest::default() };
    let mut watcher = client.watch(request).await;
    let response = watcher.next().await;
    assert!(response.created && response.canceled, "{response:?}");
    assert_eq!(response.watch_id, -1);
});

conformance!(progress_is_told_behind_the_events, async |server| {
    let mut client = server.client().await;
    let mut watcher = client.watch_prefix("p/", 0).await;
    for round in 0..20 {
        let revision = client.put("p/a", &round.to_string()).await;
        // A request may be dropped while a watch is not level: ask until it is answered.
        let mut seen = 0;
        let progress = loop {
            watcher.request_progress().await;
            let response = watcher.next().await;
            if response.events.is_empty() {
                assert_eq!(response.watch_id, -1);
                let told = response.header.unwrap().revision;
                if told >= revision {
                    break told;
                }
            }
            seen = response
                .events
                .iter()
                .filter_map(|event| event.kv.as_ref())
                .map(|kv| kv.mod_revision)
                .fold(seen, i64::max);
        };
        assert_eq!((progress, seen), (revision, revision), "progress overtook an event");
    }
});

conformance!(a_thousand_changes_reach_every_watcher, async |server| {
    let mut client = server.client().await;
    let mut watchers = Vec::new();
    for _ in 0..10 {
        watchers.push(client.watch_prefix("p/", 0).await);
    }
    for index in 0..1000 {
        client.put(&format!("p/{}", index % 17), &index.to_string()).await;
    }
    for watcher in &mut watchers {
        let events = watcher.events(1000).await;
        let revisions: Vec<_> = events.iter().map(|event| event.kv.as_ref().unwrap().mod_revision).collect();
        assert_eq!(revisions, (2..1002).collect::<Vec<_>>());
    }
});

conformance!(large_events_are_not_lost, async |server| {
    let mut client = server.client().await;
    let value = "x".repeat(500_000);
    for _ in 0..12 {
        client.put("p/a", &value).await;
    }
    let mut watcher = client.watch_prefix("p/", 2).await;
    let events = watcher.events(12).await;
    assert!(events.iter().all(|event| event.kv.as_ref().unwrap().value.len() == 500_000));
});
