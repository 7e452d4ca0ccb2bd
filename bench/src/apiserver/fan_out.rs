//! One change, many watchers: when the last of them has it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::Method;
use http_body_util::BodyExt;
use tokio::sync::Notify;

use super::objects;
use super::target::{JSON, Target};
use crate::outcome::Outcome;

/// The namespace that is watched.
pub const WATCHED: &str = "bench-watched";
/// Watches on one connection; servers allow some hundred.
const SHARE: usize = 100;
/// Between the last arrival of a change and the next change, so that each is alone.
const PAUSE: Duration = Duration::from_millis(50);
/// A change that has not arrived everywhere by then has been lost.
const LOST: Duration = Duration::from_secs(30);

/// Where a change has arrived.
#[derive(Default)]
struct Arrivals {
    /// Of the change under way.
    count: AtomicU64,
    bytes: AtomicU64,
    all: Notify,
}

/// Changes one object again and again; each time is the one after which the last of the watchers had the change.
pub async fn fan_out(target: &Target, watchers: usize, changes: usize) -> Outcome {
    let mut writer = target.connect().await;
    let name = format!("changing-{watchers}");
    let maps = format!("/api/v1/namespaces/{WATCHED}/configmaps");
    writer.ask(Method::POST, &maps, JSON, JSON, objects::config_map(&name)).await;
    let list = writer.json(&maps).await;
    let version = list["metadata"]["resourceVersion"].as_str().expect("a list has a version").to_owned();
    let path = format!("{maps}?watch=1&resourceVersion={version}&timeoutSeconds=3000");

    let arrivals = Arc::new(Arrivals::default());
    let mut tasks = Vec::new();
    for connection in target.connections(watchers, SHARE).await {
        for _ in 0..SHARE.min(watchers - tasks.len()) {
            let mut stream = connection.clone().open(Method::GET, &path, JSON, JSON, Bytes::new()).await;
            let arrivals = Arc::clone(&arrivals);
            tasks.push(tokio::spawn(async move {
                while let Some(frame) = stream.frame().await {
                    let frame = frame.expect("the watch goes on");
                    let Some(data) = frame.data_ref() else { continue };
                    arrivals.bytes.fetch_add(data.len() as u64, Ordering::Relaxed);
                    // Each event ends its line.
                    let events = data.split(|byte| *byte == b'\n').count() as u64 - 1;
                    if events > 0 && arrivals.count.fetch_add(events, Ordering::AcqRel) + events == watchers as u64 {
                        arrivals.all.notify_one();
                    }
                }
            }));
        }
    }

    let mut latencies = Vec::new();
    for change in 0..changes {
        arrivals.count.store(0, Ordering::Release);
        let body = format!("{{\"data\":{{\"change\":\"{change}\"}}}}");
        let began = Instant::now();
        writer.ask(Method::PATCH, &format!("{maps}/{name}"), JSON, "application/merge-patch+json", body.into()).await;
        tokio::time::timeout(LOST, arrivals.all.notified()).await.expect("every watcher is told");
        latencies.push(began.elapsed());
        tokio::time::sleep(PAUSE).await;
    }
    for task in tasks {
        task.abort();
    }
    let elapsed = latencies.iter().sum();
    Outcome { bytes: arrivals.bytes.load(Ordering::Relaxed), ..Outcome::of(latencies, elapsed) }
}
