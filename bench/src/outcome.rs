//! What a load found out.

use std::time::Duration;

/// The figures of one load on one server.
#[derive(Debug, Clone, Default)]
pub struct Outcome {
    /// Operations that were answered (events that arrived, for watches).
    pub operations: u64,
    /// From the first to the last.
    pub elapsed: Duration,
    /// How long half of them took at most.
    pub p50: Duration,
    /// How long 99 of 100 took at most.
    pub p99: Duration,
    /// The slowest.
    pub longest: Duration,
    /// Bytes of the answers, where they are counted.
    pub bytes: u64,
    /// Processor time of the server.
    pub cpu: Duration,
    /// Flushes of the log (`etcd_disk_wal_fsync_duration_seconds_count`).
    pub log_syncs: u64,
}

impl Outcome {
    /// Sums up what took how long. `latencies` may be in any order.
    pub fn of(mut latencies: Vec<Duration>, elapsed: Duration) -> Self {
        latencies.sort_unstable();
        let at = |share: f64| {
            let index = (latencies.len() as f64 * share) as usize;
            latencies.get(index.min(latencies.len().saturating_sub(1))).copied().unwrap_or_default()
        };
        Self {
            operations: latencies.len() as u64,
            elapsed,
            p50: at(0.50),
            p99: at(0.99),
            longest: at(1.0),
            ..Self::default()
        }
    }

    /// Operations in a second.
    pub fn rate(&self) -> f64 {
        self.operations as f64 / self.elapsed.as_secs_f64().max(f64::EPSILON)
    }

    /// Processor seconds for a thousand operations.
    pub fn cpu_per_thousand(&self) -> f64 {
        self.cpu.as_secs_f64() * 1000.0 / (self.operations.max(1)) as f64
    }

    /// Both rounds together: operations and times add up, of the percentiles the worse counts.
    #[must_use]
    pub fn and(self, other: &Self) -> Self {
        Self {
            operations: self.operations + other.operations,
            elapsed: self.elapsed + other.elapsed,
            p50: self.p50.max(other.p50),
            p99: self.p99.max(other.p99),
            longest: self.longest.max(other.longest),
            bytes: self.bytes + other.bytes,
            cpu: self.cpu + other.cpu,
            log_syncs: self.log_syncs + other.log_syncs,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_come_from_the_sorted_times() {
        let times = (1..=100).rev().map(Duration::from_millis).collect();
        let outcome = Outcome::of(times, Duration::from_secs(2));
        assert_eq!((outcome.operations, outcome.rate().round() as u64), (100, 50));
        assert_eq!(outcome.p50, Duration::from_millis(51));
        assert_eq!(outcome.p99, Duration::from_millis(100));
        assert_eq!(outcome.longest, Duration::from_millis(100));
        let empty = Outcome::of(Vec::new(), Duration::from_secs(1));
        assert_eq!((empty.operations, empty.p99), (0, Duration::ZERO));
    }

    #[test]
    fn rounds_add_up() {
        let round = |p99| Outcome {
            operations: 10,
            elapsed: Duration::from_secs(1),
            p99: Duration::from_millis(p99),
            ..Outcome::default()
        };
        let both = round(5).and(&round(9));
        assert_eq!((both.operations, both.rate().round() as u64, both.p99), (20, 10, Duration::from_millis(9)));
    }
}
