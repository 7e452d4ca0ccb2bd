//! A watcher is told everything once, in order and without a gap, whichever members it watches at one after the other; and
//! what it was told to be complete is.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use proto::etcdserverpb::watch_client::WatchClient;
use proto::etcdserverpb::watch_request::RequestUnion;
use proto::etcdserverpb::{WatchCreateRequest, WatchRequest, WatchResponse};
use tests_store::history::{Watched, changes};
use tokio::sync::mpsc;
use tokio_stream::StreamExt;
use tonic::Status;
use tonic::service::Routes;

use super::Client;
use super::order::PREFIX;

/// Silence after which a watcher goes elsewhere. Longer than members are silent that have nothing to tell.
const SILENCE: Duration = Duration::from_secs(15);
/// Answers that may wait for a watcher.
const ANSWERS: usize = 256;

/// How far a watcher has got, for whoever compacts.
pub type Reached = Arc<AtomicI64>;

/// Watches from the first revision on, at one member after the other, until `end` (0: not known yet) was seen.
pub async fn watch(mut client: Client, reached: Reached, end: Reached) -> Watched {
    let mut watched = Watched { start: 1, changes: Vec::new() };
    loop {
        let mut next = watched.changes.last().map_or(1, |change| change.revision + 1);
        let (answers, mut queue) = mpsc::channel(ANSWERS);
        let Client { doors, findings, dice, place, .. } = &mut client;
        let watching = doors.ask(*place, Duration::from_hours(1), move |routes| follow(routes, PREFIX, next, answers));
        let mut bookmark = 0;
        let reading = async {
            while let Ok(Some(answer)) = tokio::time::timeout(SILENCE, queue.recv()).await {
                if answer.canceled {
                    findings.add(format!("a watcher was cancelled at {next}: {answer:?}"));
                    return;
                }
                let revision = answer.header.as_ref().map_or(0, |header| header.revision);
                if answer.events.is_empty() && !answer.created && revision != 0 {
                    bookmark = revision;
                }
                let news: Vec<_> = changes(&answer.events).collect();
                if let Some(late) = news.iter().find(|change| change.revision <= bookmark) {
                    findings.add(format!("a watcher was told that it had everything up to {bookmark}, then {late:?}"));
                }
                if let Some(last) = news.last() {
                    next = last.revision + 1;
                    reached.store(last.revision, Ordering::Relaxed);
                }
                watched.changes.extend(news);
                let end = end.load(Ordering::Relaxed);
                if end != 0 && watched.changes.last().is_some_and(|change| change.revision >= end) {
                    return;
                }
                // From time to time a watcher goes elsewhere without need.
                if dice.below(400) == 0 {
                    return;
                }
            }
        };
        tokio::select! {
            biased;
            () = reading => {}
            _ = watching => {}
        }
        let end = end.load(Ordering::Relaxed);
        if end != 0 && watched.changes.last().is_some_and(|change| change.revision >= end) {
            return watched;
        }
        client.place = client.dice.below(client.doors.count().max(1) as u64) as usize;
        client.rest(300).await;
    }
}

/// Follows one watch to its end, at the member.
pub async fn follow(
    routes: Routes,
    prefix: &'static str,
    start: i64,
    answers: mpsc::Sender<WatchResponse>,
) -> Result<(), Status> {
    let mut range_end = prefix.as_bytes().to_vec();
    if let Some(last) = range_end.last_mut() {
        *last += 1;
    }
    let create = WatchCreateRequest {
        key: prefix.into(),
        range_end: range_end.into(),
        start_revision: start,
        progress_notify: true,
        ..WatchCreateRequest::default()
    };
    let create = WatchRequest { request_union: Some(RequestUnion::CreateRequest(create)) };
    // A stream that goes on: its end would be that of the client.
    let requests = tokio_stream::once(create).chain(tokio_stream::pending());
    let mut stream = WatchClient::new(routes).watch(requests).await?.into_inner();
    while let Some(answer) = stream.message().await? {
        if answers.send(answer).await.is_err() {
            break;
        }
    }
    Ok(())
}
