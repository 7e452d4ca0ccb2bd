//! Counters and gauges, under the names etcd's dashboards know.

pub mod calls;
pub mod disk;
pub mod histogram;
pub mod peers;
pub mod process;

use std::fmt::Write;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

/// A batch of the log that took longer to apply counts as slow, as etcd has it.
const SLOW_APPLY: Duration = Duration::from_millis(100);

/// The figures of one member.
#[derive(Debug, Default)]
pub struct Metrics {
    /// What the disk takes.
    pub disk: disk::Disk,
    /// The traffic with other members.
    pub peers: peers::Peers,
    /// Batches of the log that took long to apply.
    slow_applies: AtomicU64,
    /// Questions for the newest index that nobody answered.
    pub read_indexes_failed: AtomicU64,
    /// Pages about this member's health that said that it is well.
    pub healthy: AtomicU64,
    /// And those that said that it is not.
    pub unhealthy: AtomicU64,
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
    /// A batch of the log was applied.
    pub fn applied(&self, took: Duration) {
        if took > SLOW_APPLY {
            self.slow_applies.fetch_add(1, Relaxed);
        }
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
        line("etcd_server_slow_apply_total", "counter", get(&self.slow_applies));
        line("etcd_server_read_indexes_failed_total", "counter", get(&self.read_indexes_failed));
        line("etcd_server_health_success", "counter", get(&self.healthy));
        line("etcd_server_health_failures", "counter", get(&self.unhealthy));
        line("etcd_server_quota_backend_bytes", "gauge", gauges.quota as f64);
        line("etcd_server_lease_expired_total", "counter", get(&self.leases_expired));
        line("etcd_mvcc_db_total_size_in_bytes", "gauge", gauges.db_total as f64);
        line("etcd_mvcc_db_total_size_in_use_in_bytes", "gauge", gauges.db_in_use as f64);
        // Its name before etcd 3.4, which older dashboards still ask for.
        line("etcd_debugging_mvcc_db_total_size_in_bytes", "gauge", gauges.db_total as f64);
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
        let _ =
            writeln!(out, "# TYPE etcd_server_version gauge\netcd_server_version{{server_version=\"{version}\"}} 1");
        let _ = writeln!(out, "# TYPE etcd_server_id gauge\netcd_server_id{{server_id=\"{:x}\"}} 1", gauges.member);
        let cluster = version.rsplit_once('.').map_or(version, |(minor, _)| minor);
        let _ =
            writeln!(out, "# TYPE etcd_cluster_version gauge\netcd_cluster_version{{cluster_version=\"{cluster}\"}} 1");
        self.disk.render(&mut out);
        self.peers.render(&mut out);
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
    fn every_part_is_shown() {
        let metrics = Metrics::default();
        metrics.disk.log_synced(Duration::from_millis(3));
        metrics.applied(SLOW_APPLY);
        metrics.applied(2 * SLOW_APPLY);
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
        assert!(text.contains("etcd_server_slow_apply_total 1\n"));
        assert!(text.contains("etcd_disk_wal_fsync_duration_seconds_bucket{le=\"0.004\"} 1\n"));
        assert!(text.contains("etcd_disk_backend_commit_duration_seconds_count 0\n"));
    }
}
