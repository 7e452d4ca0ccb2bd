//! The traffic with other members, by member.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::time::Instant;

use super::histogram::Histogram;

/// Bounds of etcd's round trips, in seconds: 0.1 ms doubled fifteen times.
const BOUNDS: [f64; 16] = [
    0.0001, 0.0002, 0.0004, 0.0008, 0.0016, 0.0032, 0.0064, 0.0128, 0.0256, 0.0512, 0.1024, 0.2048, 0.4096, 0.8192,
    1.6384, 3.2768,
];

/// The figures of one other member.
#[derive(Debug)]
pub struct Peer {
    /// Bytes sent to it on connections to it.
    pub sent: AtomicU64,
    /// Bytes received from it: answers on connections to it, and the messages it sends on its own.
    pub received: AtomicU64,
    failures: AtomicU64,
    round_trips: Histogram,
}

impl Default for Peer {
    fn default() -> Self {
        let zero = || AtomicU64::new(0);
        Self { sent: zero(), received: zero(), failures: zero(), round_trips: Histogram::new(&BOUNDS) }
    }
}

impl Peer {
    /// It did not get a message, or did not answer it.
    pub fn failed(&self) {
        self.failures.fetch_add(1, Relaxed);
    }
}

/// A heartbeat on its way. One that is dropped without an answer has failed: openraft waits for the next one's time only.
#[derive(Debug)]
pub struct Heartbeat {
    peer: Arc<Peer>,
    began: Instant,
    answered: bool,
}

impl Heartbeat {
    /// It is sent.
    pub fn begin(peer: Arc<Peer>) -> Self {
        Self { peer, began: Instant::now(), answered: false }
    }

    /// It was answered; a second answer changes nothing.
    pub fn answered(&mut self) {
        if !self.answered {
            self.answered = true;
            self.peer.round_trips.observe(self.began.elapsed());
        }
    }
}

impl Drop for Heartbeat {
    fn drop(&mut self) {
        if !self.answered {
            self.peer.failed();
        }
    }
}

/// One counter of a member.
type Counter = fn(&Peer) -> &AtomicU64;

/// The figures of every other member.
#[derive(Debug, Default)]
pub struct Peers(Mutex<BTreeMap<u64, Arc<Peer>>>);

impl Peers {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<u64, Arc<Peer>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Those of a member that this one sends to.
    pub fn of(&self, member: u64) -> Arc<Peer> {
        Arc::clone(self.lock().entry(member).or_default())
    }

    /// A message of so many bytes came. From whom is what the message says: only members that are known have figures.
    pub fn received(&self, from: u64, bytes: usize) {
        if let Some(peer) = self.lock().get(&from) {
            peer.received.fetch_add(bytes as u64, Relaxed);
        }
    }

    /// Has figures of these members from now on, and of no other.
    pub fn keep(&self, members: impl Iterator<Item = u64>) {
        let mut peers = self.lock();
        let mut before = std::mem::take(&mut *peers);
        peers.extend(members.map(|member| (member, before.remove(&member).unwrap_or_default())));
    }

    /// In Prometheus' text form.
    pub fn render(&self, out: &mut String) {
        let counters: [(&str, &str, Counter); 3] = [
            ("etcd_network_peer_sent_bytes_total", "To", |peer| &peer.sent),
            ("etcd_network_peer_received_bytes_total", "From", |peer| &peer.received),
            ("etcd_network_peer_sent_failures_total", "To", |peer| &peer.failures),
        ];
        let peers = self.lock();
        for (name, label, figure) in counters {
            // Writing to a string cannot fail; so below.
            let _ = writeln!(out, "# TYPE {name} counter");
            for (id, peer) in &*peers {
                let _ = writeln!(out, "{name}{{{label}=\"{id:x}\"}} {}", figure(peer).load(Relaxed));
            }
        }
        let name = "etcd_network_peer_round_trip_time_seconds";
        let _ = writeln!(out, "# TYPE {name} histogram");
        for (id, peer) in &*peers {
            peer.round_trips.render(out, name, &format!("To=\"{id:x}\""));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn each_member_has_its_own_figures_as_long_as_it_is_one() {
        let peers = Peers::default();
        peers.keep([10, 11].into_iter());
        peers.received(10, 5);
        peers.received(12, 5);
        peers.of(11).sent.fetch_add(7, Relaxed);
        peers.of(11).round_trips.observe(Duration::from_micros(150));
        peers.keep([11, 13].into_iter());
        let mut text = String::new();
        peers.render(&mut text);
        assert!(text.contains("etcd_network_peer_sent_bytes_total{To=\"b\"} 7\n"), "{text}");
        assert!(text.contains("etcd_network_peer_received_bytes_total{From=\"d\"} 0\n"), "{text}");
        assert!(
            text.contains("etcd_network_peer_round_trip_time_seconds_bucket{To=\"b\",le=\"0.0002\"} 1\n"),
            "{text}"
        );
        assert!(!text.contains("\"a\"") && !text.contains("\"c\""), "{text}");
    }

    #[test]
    fn a_heartbeat_is_answered_or_has_failed() {
        let peer = Arc::new(Peer::default());
        let mut heartbeat = Heartbeat::begin(Arc::clone(&peer));
        heartbeat.answered();
        heartbeat.answered();
        drop(heartbeat);
        assert_eq!(peer.failures.load(Relaxed), 0);
        drop(Heartbeat::begin(Arc::clone(&peer)));
        assert_eq!(peer.failures.load(Relaxed), 1);
        let mut text = String::new();
        peer.round_trips.render(&mut text, "h", "");
        assert!(text.contains("h_count 1\n"), "{text}");
    }
}
