//! Servers under load: a fresh cluster of either kind, and its figures.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::time::Duration;

use tests_store::{Client, Cluster, Kind};

use crate::outcome::Outcome;
use crate::process;

/// At most so many connections carry the clients of a load, as one process of a real client would have it.
const CONNECTIONS: usize = 100;
/// A server that is busy still answers this question at once.
const PATIENCE: Duration = Duration::from_secs(10);
const QUOTA: &str = "--quota-backend-bytes=17179869184";

/// A running cluster, of one member or several.
pub struct Subject {
    cluster: Cluster,
    metrics: Vec<u16>,
}

impl Subject {
    /// Starts members with empty folders, a large quota, and otherwise their own defaults.
    pub async fn start(kind: Kind, members: usize) -> Self {
        let mut cluster = Cluster::prepare(kind, members, &[QUOTA]);
        let mut metrics = Vec::new();
        for index in 0..members {
            let port = TcpListener::bind("127.0.0.1:0").and_then(|socket| socket.local_addr()).expect("a port").port();
            cluster.set_flag(index, "--listen-metrics-urls", format!("http://127.0.0.1:{port}"));
            metrics.push(port);
        }
        for index in 0..members {
            cluster.spawn(index);
        }
        for index in 0..members {
            cluster.wait_until_ready(index).await;
        }
        Self { cluster, metrics }
    }

    /// A connection for each client, or the most there may be, to all members in turn; clients share them in turn.
    pub async fn connections(&self, clients: usize) -> Vec<Client> {
        let mut connections = Vec::new();
        for number in 0..clients.clamp(1, CONNECTIONS) {
            connections.push(self.cluster.client(number % self.cluster.size()).await);
        }
        connections
    }

    /// Runs a load and adds what the members spent on it.
    pub async fn measure(&self, load: impl Future<Output = Outcome>) -> Outcome {
        let (cpu, syncs) = (self.cpu(), self.log_syncs());
        let outcome = load.await;
        Outcome { cpu: self.cpu().saturating_sub(cpu), log_syncs: self.log_syncs().saturating_sub(syncs), ..outcome }
    }

    /// The most memory that a member has had resident, in bytes.
    pub fn memory(&self) -> u64 {
        self.pids().map(process::peak_memory).max().unwrap_or(0)
    }

    /// Kills the first member, starts it again on its data, and waits for its first answer.
    pub async fn restart(&mut self) {
        self.cluster.kill(0);
        self.cluster.restart(0).await;
    }

    fn pids(&self) -> impl Iterator<Item = u32> {
        (0..self.cluster.size()).filter_map(|index| self.cluster.pid(index))
    }

    fn cpu(&self) -> Duration {
        self.pids().map(process::cpu).sum()
    }

    fn log_syncs(&self) -> u64 {
        let count = |port: &u16| {
            let page = page(*port, "/metrics").unwrap_or_default();
            let line = page.lines().find_map(|line| line.strip_prefix("etcd_disk_wal_fsync_duration_seconds_count "));
            line.and_then(|number| number.trim().parse::<f64>().ok()).unwrap_or(0.0) as u64
        };
        self.metrics.iter().map(count).sum()
    }
}

fn page(port: u16, path: &str) -> std::io::Result<String> {
    let mut stream = TcpStream::connect(("127.0.0.1", port))?;
    stream.set_read_timeout(Some(PATIENCE))?;
    write!(stream, "GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer)?;
    Ok(String::from_utf8_lossy(&answer).into_owned())
}
