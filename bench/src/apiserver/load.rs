//! The loads. A client asks, waits for the answer, and asks again; a load is so many clients for so long.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::Method;
use tests_store::dice::Dice;

use super::objects;
use super::target::{Connection, JSON, Target};
use crate::outcome::Outcome;

/// Clients that share a connection, as those of one process do.
const SHARE: usize = 16;
/// Namespaces of the loads.
pub const CREATED: &str = "bench-created";
/// Holds [`MAPS`] config maps.
pub const LISTED: &str = "bench-listed";
/// Holds [`PODS`] pods.
pub const RUNNING: &str = "bench-running";
/// Config maps of a list.
pub const MAPS: u64 = 10_000;
/// Pods of a list.
pub const PODS: u64 = 5_000;
/// Pods that share a label.
const REPLICAS: u64 = 10;
/// No two loads of one run make the same name.
static NUMBER: AtomicU64 = AtomicU64::new(0);
const MERGE_PATCH: &str = "application/merge-patch+json";

/// What a client asks.
#[derive(Debug, Clone, Copy)]
pub enum Ask {
    /// Creates config maps.
    Create,
    /// Gets one config map.
    Get,
    /// Lists every object of a resource in a namespace.
    List {
        /// Below `/api/v1/namespaces/`.
        path: &'static str,
        /// The media type.
        accept: &'static str,
    },
    /// What controllers do: of twenty, twelve gets, four patches, three small lists by label, one object made and removed.
    Controllers,
}

fn map_path(namespace: &str, number: u64) -> String {
    format!("/api/v1/namespaces/{namespace}/configmaps/map-{number:06}")
}

fn pod_name(number: u64) -> String {
    format!("app-{}-7d9c6b8f5d-{number:06}", number / REPLICAS)
}

async fn create(connection: &mut Connection, namespace: &str, plural: &str, body: Bytes) -> u64 {
    let path = format!("/api/v1/namespaces/{namespace}/{plural}");
    connection.ask(Method::POST, &path, JSON, JSON, body).await
}

impl Ask {
    /// Asks once; how many bytes the answer had. `number` is another one each time.
    async fn once(self, connection: &mut Connection, dice: &mut Dice, number: u64) -> u64 {
        match self {
            Self::Create => {
                create(connection, CREATED, "configmaps", objects::config_map(&format!("c-{number:09}"))).await
            }
            Self::Get => {
                let path = map_path(LISTED, dice.below(MAPS));
                connection.ask(Method::GET, &path, JSON, JSON, Bytes::new()).await
            }
            Self::List { path, accept } => {
                let path = format!("/api/v1/namespaces/{path}");
                connection.ask(Method::GET, &path, accept, JSON, Bytes::new()).await
            }
            Self::Controllers => controllers(connection, dice, number).await,
        }
    }
}

async fn controllers(connection: &mut Connection, dice: &mut Dice, number: u64) -> u64 {
    let pods = format!("/api/v1/namespaces/{RUNNING}/pods");
    let one = dice.below(PODS);
    match dice.below(20) {
        0..12 => connection.ask(Method::GET, &format!("{pods}/{}", pod_name(one)), JSON, JSON, Bytes::new()).await,
        12..16 => {
            let path = format!("{pods}/{}", pod_name(one));
            let body = format!("{{\"metadata\":{{\"annotations\":{{\"bench/touched\":\"{number}\"}}}}}}");
            connection.ask(Method::PATCH, &path, JSON, MERGE_PATCH, body.into()).await
        }
        16..19 => {
            let path = format!("{pods}?labelSelector=app%3Dapp-{}", one / REPLICAS);
            connection.ask(Method::GET, &path, JSON, JSON, Bytes::new()).await
        }
        _ => {
            let name = format!("short-{number:09}");
            let made = create(connection, CREATED, "configmaps", objects::config_map(&name)).await;
            let path = format!("/api/v1/namespaces/{CREATED}/configmaps/{name}");
            made + connection.ask(Method::DELETE, &path, JSON, JSON, Bytes::new()).await
        }
    }
}

/// So many clients ask for so long.
pub async fn closed_loop(target: &Target, ask: Ask, clients: usize, period: Duration) -> Outcome {
    let connections = target.connections(clients, SHARE).await;
    let started = Instant::now();
    let mut tasks = Vec::new();
    for client in 0..clients {
        let mut connection = connections[client / SHARE].clone();
        tasks.push(tokio::spawn(async move {
            let (mut dice, mut latencies, mut bytes) = (Dice::new(client as u64), Vec::new(), 0);
            while started.elapsed() < period {
                let asked = Instant::now();
                bytes += ask.once(&mut connection, &mut dice, NUMBER.fetch_add(1, Ordering::Relaxed)).await;
                latencies.push(asked.elapsed());
            }
            (latencies, bytes)
        }));
    }
    let (mut latencies, mut bytes) = (Vec::new(), 0);
    for task in tasks {
        let (took, read) = task.await.expect("a client does not fail");
        latencies.extend(took);
        bytes += read;
    }
    Outcome { bytes, ..Outcome::of(latencies, started.elapsed()) }
}

/// Makes the namespaces and what is listed in them.
pub async fn fill(target: &Target) {
    let mut connection = target.connect().await;
    for name in [CREATED, LISTED, RUNNING, super::fan_out::WATCHED] {
        connection.ask(Method::POST, "/api/v1/namespaces", JSON, JSON, objects::namespace(name)).await;
    }
    make(target, MAPS, |number| (LISTED, "configmaps", objects::config_map(&format!("map-{number:06}")))).await;
    make_pods(target, 0, PODS).await;
}

/// Makes the pods from a number up to another one.
pub async fn make_pods(target: &Target, from: u64, upto: u64) {
    make(target, upto.saturating_sub(from), move |number| {
        let number = from + number;
        (RUNNING, "pods", objects::pod(&pod_name(number), number / REPLICAS))
    })
    .await;
}

async fn make(
    target: &Target,
    count: u64,
    object: impl Fn(u64) -> (&'static str, &'static str, Bytes) + Send + Sync + 'static,
) {
    const CLIENTS: usize = 64;
    let connections = target.connections(CLIENTS, SHARE).await;
    let (next, object) = (Arc::new(AtomicU64::new(0)), Arc::new(object));
    let mut tasks = Vec::new();
    for client in 0..CLIENTS {
        let (mut connection, next, object) =
            (connections[client / SHARE].clone(), Arc::clone(&next), Arc::clone(&object));
        tasks.push(tokio::spawn(async move {
            loop {
                let number = next.fetch_add(1, Ordering::Relaxed);
                if number >= count {
                    return;
                }
                let (namespace, plural, body) = object(number);
                create(&mut connection, namespace, plural, body).await;
            }
        }));
    }
    for task in tasks {
        task.await.expect("a client does not fail");
    }
}
