//! The loads. A client asks, waits for the answer, and asks again; a load is so many clients for so long.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use proto::etcdserverpb::{CompactionRequest, DefragmentRequest, PutRequest, RangeRequest, WatchCreateRequest};
use tests_store::dice::Dice;
use tests_store::{Client, within};

use super::subject::Subject;
use crate::outcome::Outcome;

/// Keys that puts and gets choose from.
const KEYS: u64 = 10_000;
/// Keys that a range returns.
pub const RANGE: u64 = 10_000;
/// Streams that the watchers of a fan-out share.
const STREAMS: usize = 20;

/// The key of this number; 48 bytes, as long as those of Kubernetes.
fn key(number: u64) -> String {
    format!("/registry/benchmark/namespace/object-{number:011}")
}

/// What a client asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ask {
    /// Puts of so many bytes.
    Put {
        /// Bytes of the value.
        bytes: usize,
    },
    /// Gets of one key.
    Get {
        /// Whether an older answer would do.
        serializable: bool,
    },
    /// Ranges of [`RANGE`] keys.
    Range,
    /// One put of 256 bytes for four gets.
    Mixed,
}

impl Ask {
    async fn once(self, client: &mut Client, dice: &mut Dice) {
        let number = dice.below(KEYS);
        let asked = match self {
            Self::Put { bytes } => put(client, number, bytes).await,
            Self::Get { serializable } => get(client, number, serializable).await,
            Self::Mixed if dice.below(5) == 0 => put(client, number, 256).await,
            Self::Mixed => get(client, number, false).await,
            Self::Range => {
                let request = RangeRequest {
                    key: key(0).into(),
                    range_end: "/registry/benchmark0".into(),
                    limit: RANGE as i64,
                    ..RangeRequest::default()
                };
                client.kv.range(request).await.map(drop)
            }
        };
        asked.expect("the server answers");
    }
}

async fn put(client: &mut Client, number: u64, bytes: usize) -> Result<(), tonic::Status> {
    let value = vec![b'v'; bytes].into();
    client.kv.put(PutRequest { key: key(number).into(), value, ..PutRequest::default() }).await.map(drop)
}

async fn get(client: &mut Client, number: u64, serializable: bool) -> Result<(), tonic::Status> {
    let request = RangeRequest { key: key(number).into(), serializable, ..RangeRequest::default() };
    client.kv.range(request).await.map(drop)
}

/// So many clients ask for so long.
pub async fn closed_loop(subject: &Subject, ask: Ask, clients: usize, period: Duration) -> Outcome {
    let connections = subject.connections(clients).await;
    let load = async {
        let started = Instant::now();
        let mut tasks = Vec::new();
        for number in 0..clients {
            let mut client = connections[number % connections.len()].clone();
            tasks.push(tokio::spawn(async move {
                let mut dice = Dice::new(number as u64);
                let mut latencies = Vec::new();
                while started.elapsed() < period {
                    let asked = Instant::now();
                    ask.once(&mut client, &mut dice).await;
                    latencies.push(asked.elapsed());
                }
                latencies
            }));
        }
        let mut latencies = Vec::new();
        for task in tasks {
            latencies.extend(task.await.expect("a client does not fail"));
        }
        Outcome::of(latencies, started.elapsed())
    };
    subject.measure(load).await
}

/// Puts every key of the loads once, with this many bytes each, and as many more as are asked for.
pub async fn fill(subject: &Subject, keys: u64, bytes: usize) {
    let connections = subject.connections(16).await;
    let counter = Arc::new(AtomicU64::new(0));
    let tasks: Vec<_> = (0..64)
        .map(|number: usize| {
            let (mut client, counter) = (connections[number % connections.len()].clone(), Arc::clone(&counter));
            tokio::spawn(async move {
                loop {
                    let number = counter.fetch_add(1, Ordering::Relaxed);
                    if number >= keys.max(KEYS) {
                        return;
                    }
                    put(&mut client, number, bytes).await.expect("the server answers");
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.expect("a client does not fail");
    }
}

/// Watchers of one prefix, and writers that put below it: events that arrived, and how long after their put was begun.
pub async fn fan_out(subject: &Subject, watchers: usize, period: Duration) -> Outcome {
    let connections = subject.connections(STREAMS).await;
    let started = Instant::now();
    let mut tasks = Vec::new();
    for mut client in connections.iter().cloned() {
        let share = watchers / STREAMS;
        let watch = WatchCreateRequest {
            key: "/fan-out/".into(),
            range_end: "/fan-out0".into(),
            ..WatchCreateRequest::default()
        };
        let mut watcher = client.watch(watch.clone()).await;
        for _ in 1..share {
            watcher.send(proto::etcdserverpb::watch_request::RequestUnion::CreateRequest(watch.clone())).await;
        }
        // Every watcher is told that it is there before the first event is made.
        let mut created = 1;
        while created < share {
            created += usize::from(watcher.next().await.created);
        }
        tasks.push(tokio::spawn(async move {
            let mut latencies = Vec::new();
            loop {
                let answer = watcher.next().await;
                for event in &answer.events {
                    let value = &event.kv.as_ref().expect("an event has a key").value;
                    if value.as_ref() == b"end" {
                        return latencies;
                    }
                    let micros: u64 = std::str::from_utf8(value).ok().and_then(|text| text.parse().ok()).unwrap_or(0);
                    latencies.push(started.elapsed().saturating_sub(Duration::from_micros(micros)));
                }
            }
        }));
    }
    let load = async {
        let begun = Instant::now();
        let mut writer = connections[0].clone();
        while begun.elapsed() < period {
            writer.put("/fan-out/key", &started.elapsed().as_micros().to_string()).await;
        }
        // Each stream ends at its first watcher's last event; the others' are on their way, a fraction of one put.
        writer.put("/fan-out/key", "end").await;
        let mut latencies = Vec::new();
        for task in tasks {
            latencies.extend(within("the last event", task).await.expect("a watcher does not fail"));
        }
        Outcome::of(latencies, begun.elapsed())
    };
    subject.measure(load).await
}

/// The longest that a put took while the store was compacted and its space was given back.
pub async fn longest_stall(subject: &Subject) -> Outcome {
    let connections = subject.connections(2).await;
    let (mut writer, mut keeper) = (connections[0].clone(), connections[1].clone());
    let load = async {
        let done = Arc::new(AtomicBool::new(false));
        let stop = Arc::clone(&done);
        let started = Instant::now();
        let writing = tokio::spawn(async move {
            let (mut latencies, mut dice) = (Vec::new(), Dice::new(0));
            while !stop.load(Ordering::Relaxed) {
                let asked = Instant::now();
                Ask::Put { bytes: 256 }.once(&mut writer, &mut dice).await;
                latencies.push(asked.elapsed());
            }
            latencies
        });
        let revision = keeper.put("/stall", "x").await;
        let compaction = CompactionRequest { revision, physical: true };
        keeper.kv.compact(compaction).await.expect("the server compacts");
        keeper.maintenance.defragment(DefragmentRequest {}).await.expect("the server gives space back");
        // Ours answers before it is done: what it does afterwards counts as well.
        tokio::time::sleep(Duration::from_secs(2)).await;
        done.store(true, Ordering::Relaxed);
        Outcome::of(writing.await.expect("the writer does not fail"), started.elapsed())
    };
    subject.measure(load).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_as_long_as_those_of_kubernetes() {
        assert_eq!((key(0).len(), key(KEYS).len()), (48, 48));
    }
}
