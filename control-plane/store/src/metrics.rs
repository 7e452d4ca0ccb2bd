//! Counters and gauges, under the names etcd's dashboards know.

pub mod calls;
pub mod process;

use std::fmt::Write;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

/// Bounds of etcd's disk histograms, in seconds: 1 ms doubled thirteen times.
const SYNC_BOUNDS: [f64; 14] =
    [0.001, 0.002, 0.004, 0.008, 0.016, 0.032, 0.064, 0.128, 0.256, 0.512, 1.024, 2.048, 4.096, 8.192];

/// The figures of one member.
#[derive(Debug, Default)]
pub struct Metrics {
    sync_buckets: [AtomicU64; SYNC_BOUNDS.len()],
    sync_count: AtomicU64,
    sync_micros: AtomicU64,
    /// Writes that were answered.
    pub proposals_committed: AtomicU64,
    /// Writes under way.
    pub proposals_pending: AtomicU64,
    /// Writes that failed.
    pub proposals_failed: AtomicU64,
    /// How often a leader was elected or changed.
    pub leader_changes: AtomicU64,
    /// Answered puts, on their own or in transactions that went through the log.
    pub puts: AtomicU64,
    /// Answered transactions.
    pub txns: AtomicU64,
    /// Answered ranges.
    pub ranges: AtomicU64,
    /// Watch streams that are open.
    pub watch_streams: AtomicU64,
    /// Watchers.
    pub watchers: AtomicU64,
    /// Watchers that are behind.
    pub slow_watchers: AtomicU64,
    /// Events told to the hub.
    pub events: AtomicU64,
    /// Answered deletions, on their own or in transactions.
    pub deletes: AtomicU64,
    /// Calls by method.
    pub calls: calls::Calls,
    /// Leases that live.
    pub leases: AtomicU64,
    /// Leases that expired.
    pub leases_expired: AtomicU64,
    /// The backup.
    pub backup: crate::backup::figures::Figures,
}

/// Figures that are looked up when asked for.
#[derive(Debug, Clone, Copy)]
pub struct Gauges {
    /// Whether a leader is known.
    pub has_leader: bool,
    /// Whether this member leads.
    pub is_leader: bool,
    /// Whether it does not vote.
    pub is_learner: bool,
    /// The last applied index.
    pub applied: u64,
    /// Bytes of the state.
    pub db_total: u64,
    /// Bytes of it in use.
    pub db_in_use: u64,
    /// The quota.
    pub quota: u64,
    /// The newest revision.
    pub revision: i64,
    /// The compacted revision.
    pub compacted: i64,
    /// How often users and roles changed.
    pub auth_revision: u64,
    /// This member's id.
    pub member: u64,
}

impl Metrics {
    /// A batch of the log became durable.
    pub fn log_synced(&self, took: Duration) {
        let seconds = took.as_secs_f64();
        if let Some(bucket) = SYNC_BOUNDS.iter().position(|bound| seconds <= *bound) {
            self.sync_buckets[bucket].fetch_add(1, Relaxed);
        }
        self.sync_count.fetch_add(1, Relaxed);
        self.sync_micros.fetch_add(u64::try_from(took.as_micros()).unwrap_or(u64::MAX), Relaxed);
    }

    /// Everything in Prometheus' text form.
    #[must_use]
    pub fn render(&self, gauges: &Gauges, version: &str) -> String {
        let mut out = String::new();
        let mut line = |name: &str, kind: &str, value: f64| {
            // Writing to a string cannot fail.
            let _ = writeln!(out, "# TYPE {name} {kind}\n{name} {value}");
        };
        let get = |counter: &AtomicU64| counter.load(Relaxed) as f64;
        let flag = |value: bool| f64::from(u8::from(value));
        line("etcd_server_has_leader", "gauge", flag(gauges.has_leader));
        line("etcd_server_is_leader", "gauge", flag(gauges.is_leader));
        line("etcd_server_is_learner", "gauge", flag(gauges.is_learner));
        line("etcd_server_leader_changes_seen_total", "counter", get(&self.leader_changes));
        line("etcd_server_proposals_committed_total", "gauge", gauges.applied as f64);
        line("etcd_server_proposals_applied_total", "gauge", gauges.applied as f64);
        line("etcd_server_proposals_pending", "gauge", get(&self.proposals_pending));
        line("etcd_server_proposals_failed_total", "counter", get(&self.proposals_failed));
        line("etcd_server_quota_backend_bytes", "gauge", gauges.quota as f64);
        line("etcd_server_lease_expired_total", "counter", get(&self.leases_expired));
        line("etcd_mvcc_db_total_size_in_bytes", "gauge", gauges.db_total as f64);
        line("etcd_mvcc_db_total_size_in_use_in_bytes", "gauge", gauges.db_in_use as f64);
        line("etcd_mvcc_put_total", "counter", get(&self.puts));
        line("etcd_mvcc_delete_total", "counter", get(&self.deletes));
        line("etcd_mvcc_txn_total", "counter", get(&self.txns));
        line("etcd_mvcc_range_total", "counter", get(&self.ranges));
        line("etcd_debugging_mvcc_current_revision", "gauge", gauges.revision as f64);
        line("etcd_debugging_mvcc_compact_revision", "gauge", gauges.compacted as f64);
        line("etcd_debugging_auth_revision", "gauge", gauges.auth_revision as f64);
        line("etcd_debugging_mvcc_watch_stream_total", "gauge", get(&self.watch_streams));
        line("etcd_debugging_mvcc_watcher_total", "gauge", get(&self.watchers));
        line("etcd_debugging_mvcc_slow_watcher_total", "gauge", get(&self.slow_watchers));
        line("etcd_debugging_mvcc_events_total", "counter", get(&self.events));
        line("etcd_debugging_lease_total", "gauge", get(&self.leases));
        let name = "etcd_disk_wal_fsync_duration_seconds";
        let _ = writeln!(out, "# TYPE {name} histogram");
        let mut below = 0;
        for (bound, bucket) in SYNC_BOUNDS.iter().zip(&self.sync_buckets) {
            below += bucket.load(Relaxed);
            let _ = writeln!(out, "{name}_bucket{{le=\"{bound}\"}} {below}");
        }
        let count = self.sync_count.load(Relaxed);
        let sum = get(&self.sync_micros) / 1e6;
        let _ = writeln!(out, "{name}_bucket{{le=\"+Inf\"}} {count}\n{name}_sum {sum}\n{name}_count {count}");
        let _ =
            writeln!(out, "# TYPE etcd_server_version gauge\netcd_server_version{{server_version=\"{version}\"}} 1");
        let _ = writeln!(out, "# TYPE etcd_server_id gauge\netcd_server_id{{server_id=\"{:x}\"}} 1", gauges.member);
        let cluster = version.rsplit_once('.').map_or(version, |(minor, _)| minor);
        let _ =
            writeln!(out, "# TYPE etcd_cluster_version gauge\netcd_cluster_version{{cluster_version=\"{cluster}\"}} 1");
        self.calls.render(&mut out);
        self.backup.render(&mut out);
        process::render(&mut out);
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_histogram_counts_upwards() {
        let metrics = Metrics::default();
        for millis in [0, 3, 3, 20_000] {
            metrics.log_synced(Duration::from_millis(millis));
        }
        let gauges = Gauges {
            has_leader: true,
            is_leader: true,
            is_learner: false,
            applied: 4,
            db_total: 0,
            db_in_use: 0,
            quota: 0,
            revision: 1,
            compacted: -1,
            auth_revision: 1,
            member: 10,
        };
        let text = metrics.render(&gauges, "3.7.1");
        assert!(text.contains("etcd_server_has_leader 1\n"));
        assert!(text.contains("etcd_disk_wal_fsync_duration_seconds_bucket{le=\"0.004\"} 3\n"));
        assert!(text.contains("etcd_disk_wal_fsync_duration_seconds_bucket{le=\"8.192\"} 3\n"));
        assert!(text.contains("etcd_disk_wal_fsync_duration_seconds_bucket{le=\"+Inf\"} 4\n"));
    }
}
