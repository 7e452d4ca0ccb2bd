//! A transaction is seen whole or not at all, by readers and by watchers.

use std::time::Duration;

use proto::etcdserverpb::kv_client::KvClient;
use proto::etcdserverpb::request_op::Request;
use proto::etcdserverpb::{PutRequest, RangeRequest, RequestOp, TxnRequest};
use tests_store::history::changes;
use tokio::sync::mpsc;

use super::{Client, watches};

const PREFIX: &str = "pair/";
const SIDES: [&str; 2] = ["pair/left", "pair/right"];

/// Writes both sides at once and reads them at once, until told to finish.
pub async fn work(mut client: Client, number: u64) {
    let mut count = 0;
    while !client.is_done() {
        if client.dice.below(2) == 0 {
            count += 1;
            let value = format!("{number}-{count}");
            let put = |key: &str| {
                let request =
                    PutRequest { key: key.to_owned().into(), value: value.clone().into(), ..PutRequest::default() };
                RequestOp { request: Some(Request::RequestPut(request)) }
            };
            let request = TxnRequest { success: SIDES.map(put).into(), ..TxnRequest::default() };
            client.ask(|routes| async move { KvClient::new(routes).txn(request).await }).await;
        } else {
            let serializable = client.dice.below(2) == 0;
            let range =
                RangeRequest { key: PREFIX.into(), range_end: "pair0".into(), serializable, ..RangeRequest::default() };
            let answer = client.ask(|routes| async move { KvClient::new(routes).range(range).await }).await;
            if let Some(answer) = answer {
                let kvs = answer.into_inner().kvs;
                let same = kvs
                    .windows(2)
                    .all(|pair| pair[0].value == pair[1].value && pair[0].mod_revision == pair[1].mod_revision);
                if !same || kvs.len() == 1 {
                    client.findings.add(format!("a reader saw half of a transaction: {kvs:?}"));
                }
            }
        }
        client.pause(8000).await;
    }
}

/// Watches both sides, until told to finish.
pub async fn watch(mut client: Client) {
    while !client.is_done() {
        let (answers, mut queue) = mpsc::channel(16);
        let patience = Duration::from_mins(1);
        let watching =
            client.doors.ask(client.place, patience, move |routes| watches::follow(routes, PREFIX, 0, answers));
        let reading = async {
            while let Some(answer) = queue.recv().await {
                let news: Vec<_> = changes(&answer.events).collect();
                let halves = news.chunks(2).find(|pair| {
                    pair.len() != 2 || pair[0].revision != pair[1].revision || pair[0].value != pair[1].value
                });
                if let Some(half) = halves {
                    client.findings.add(format!("a watcher was told of half of a transaction: {half:?}"));
                }
            }
        };
        tokio::select! {
            biased;
            () = reading => {}
            _ = watching => {}
        }
        client.place = client.dice.below(client.doors.count().max(1) as u64) as usize;
        client.rest(500).await;
    }
}
