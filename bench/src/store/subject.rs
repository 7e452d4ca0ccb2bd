//! A server under load: a fresh one of either kind, and its figures.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::time::Duration;

use tests_store::{Client, Kind, Server};

use super::outcome::Outcome;
use super::process;

/// At most so many connections carry the clients of a load, as one process of a real client would have it.
const CONNECTIONS: usize = 100;
/// A server that is busy still answers this question at once.
const PATIENCE: Duration = Duration::from_secs(10);
const QUOTA: &str = "--quota-backend-bytes=17179869184";

/// A running server.
pub struct Subject {
    server: Server,
    metrics: u16,
}

impl Subject {
    /// Starts a server with an empty folder, a large quota, and otherwise its own defaults.
    pub async fn start(kind: Kind) -> Self {
        let metrics = TcpListener::bind("127.0.0.1:0").and_then(|socket| socket.local_addr()).expect("a port").port();
        let observed = format!("--listen-metrics-urls=http://127.0.0.1:{metrics}");
        Self { server: Server::start_with(kind, &[QUOTA, &observed]).await, metrics }
    }

    /// A connection for each client, or the most there may be; clients share them in turn.
    pub async fn connections(&self, clients: usize) -> Vec<Client> {
        let mut connections = Vec::new();
        for _ in 0..clients.clamp(1, CONNECTIONS) {
            connections.push(self.server.client().await);
        }
        connections
    }

    /// Runs a load and adds what the server spent on it.
    pub async fn measure(&self, load: impl Future<Output = Outcome>) -> Outcome {
        let (cpu, syncs) = (process::cpu(self.server.pid()), self.log_syncs());
        let outcome = load.await;
        Outcome {
            cpu: process::cpu(self.server.pid()).saturating_sub(cpu),
            log_syncs: self.log_syncs().saturating_sub(syncs),
            ..outcome
        }
    }

    /// The most memory it has had resident, and what is its own now, in bytes.
    pub fn memory(&self) -> (u64, u64) {
        process::memory(self.server.pid())
    }

    /// Kills it, starts it again on its data, and waits for its first answer.
    pub async fn restart(&mut self) {
        self.server.kill();
        self.server.restart().await;
    }

    fn log_syncs(&self) -> u64 {
        let page = self.page("/metrics").unwrap_or_default();
        let line = page.lines().find_map(|line| line.strip_prefix("etcd_disk_wal_fsync_duration_seconds_count "));
        line.and_then(|number| number.trim().parse::<f64>().ok()).unwrap_or(0.0) as u64
    }

    fn page(&self, path: &str) -> std::io::Result<String> {
        let mut stream = TcpStream::connect(("127.0.0.1", self.metrics))?;
        stream.set_read_timeout(Some(PATIENCE))?;
        write!(stream, "GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")?;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer)?;
        Ok(String::from_utf8_lossy(&answer).into_owned())
    }
}
