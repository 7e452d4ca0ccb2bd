//! What dashboards and alerts made for etcd ask a member for: those of etcd's own mixin.

use std::time::{Duration, Instant};

use tests_store::{Cluster, DEADLINE, Kind, metrics, run_cluster};

/// One name that is asked for.
struct Figure {
    name: &'static str,
    kind: &'static str,
    /// What is in the braces, in part.
    labels: &'static [&'static str],
    /// Whether it is more than nothing on a leader that works.
    moves: bool,
}

const fn figure(name: &'static str, kind: &'static str, labels: &'static [&'static str], moves: bool) -> Figure {
    Figure { name, kind, labels, moves }
}

const PUT: &[&str] = &["grpc_service=\"etcdserverpb.KV\"", "grpc_method=\"Put\"", "grpc_type=\"unary\""];
const PUT_DONE: &[&str] =
    &["grpc_service=\"etcdserverpb.KV\"", "grpc_method=\"Put\"", "grpc_type=\"unary\"", "grpc_code=\"OK\""];
const WATCH: &[&str] = &["grpc_service=\"etcdserverpb.Watch\"", "grpc_type=\"bidi_stream\""];
const LEASE: &[&str] = &["grpc_service=\"etcdserverpb.Lease\"", "grpc_type=\"bidi_stream\""];

const FIGURES: [Figure; 31] = [
    figure("etcd_server_has_leader", "gauge", &[], true),
    figure("etcd_server_leader_changes_seen_total", "counter", &[], true),
    figure("etcd_server_proposals_committed_total", "gauge", &[], true),
    figure("etcd_server_proposals_applied_total", "gauge", &[], true),
    figure("etcd_server_proposals_pending", "gauge", &[], false),
    figure("etcd_server_proposals_failed_total", "counter", &[], false),
    figure("etcd_server_slow_apply_total", "counter", &[], false),
    figure("etcd_server_health_success", "counter", &[], false),
    figure("etcd_server_health_failures", "counter", &[], false),
    figure("etcd_server_quota_backend_bytes", "gauge", &[], true),
    figure("etcd_mvcc_db_total_size_in_bytes", "gauge", &[], true),
    figure("etcd_mvcc_db_total_size_in_use_in_bytes", "gauge", &[], true),
    figure("etcd_disk_wal_fsync_duration_seconds", "histogram", &[], true),
    figure("etcd_disk_backend_commit_duration_seconds", "histogram", &[], true),
    figure("etcd_network_client_grpc_received_bytes_total", "counter", &[], true),
    figure("etcd_network_client_grpc_sent_bytes_total", "counter", &[], true),
    figure("etcd_network_peer_received_bytes_total", "counter", &["From="], true),
    figure("etcd_network_peer_sent_bytes_total", "counter", &["To="], true),
    figure("etcd_network_peer_sent_failures_total", "counter", &["To="], true),
    figure("etcd_network_peer_round_trip_time_seconds", "histogram", &["To="], true),
    figure("grpc_server_started_total", "counter", PUT, true),
    figure("grpc_server_started_total", "counter", WATCH, false),
    figure("grpc_server_started_total", "counter", LEASE, false),
    figure("grpc_server_handled_total", "counter", PUT_DONE, true),
    figure("grpc_server_handled_total", "counter", WATCH, false),
    figure("grpc_server_handled_total", "counter", LEASE, false),
    figure("grpc_server_msg_received_total", "counter", PUT, true),
    figure("grpc_server_msg_sent_total", "counter", PUT, true),
    figure("grpc_server_handling_seconds", "histogram", PUT, true),
    figure("process_resident_memory_bytes", "gauge", &[], true),
    figure("process_open_fds", "gauge", &[], true),
];

impl Figure {
    /// Whether a page has it, with its type and labels, and a value that says something.
    fn is_on(&self, page: &str) -> bool {
        let typed = format!("# TYPE {} {}", self.name, self.kind);
        let parts: &[(&str, bool)] = if self.kind == "histogram" {
            &[("_bucket", true), ("_sum", false), ("_count", false)]
        } else {
            &[("", false)]
        };
        page.lines().any(|line| line == typed)
            && parts.iter().all(|(part, bounded)| {
                page.lines().any(|line| {
                    let Some(rest) = line.strip_prefix(self.name).and_then(|rest| rest.strip_prefix(part)) else {
                        return false;
                    };
                    let Some((labels, value)) = rest.rsplit_once(' ') else { return false };
                    (labels.is_empty() || labels.starts_with('{'))
                        && self.labels.iter().all(|label| labels.contains(label))
                        && (!bounded || labels.contains("le=\""))
                        && value.parse::<f64>().is_ok_and(|value| value > 0.0 || !self.moves)
                })
            })
    }
}

/// On the leader of three members, one of which is gone: failures are only then counted.
async fn dashboards_find_everything(mut cluster: Cluster) {
    let leader = cluster.leader().await;
    cluster.kill((leader + 1) % cluster.size());
    let mut client = cluster.client(leader).await;
    let started = Instant::now();
    loop {
        client.put("k", "v").await;
        let page = metrics::page(cluster.folder(), &cluster.endpoint(leader));
        let missing: Vec<_> =
            FIGURES.iter().filter(|figure| !figure.is_on(&page)).map(|figure| (figure.name, figure.labels)).collect();
        if missing.is_empty() {
            return;
        }
        assert!(started.elapsed() < DEADLINE, "not on the page: {missing:?}\n{page}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

mod dashboards_made_for_etcd_find_what_they_ask_for {
    use super::*;

    // etcd tells how long calls took only when it is asked to.
    const FLAGS: &[&str] = &["--metrics=extensive"];

    #[test]
    fn etcd() {
        run_cluster(Kind::Etcd, 3, FLAGS, dashboards_find_everything);
    }

    #[test]
    fn ours() {
        run_cluster(Kind::Ours, 3, FLAGS, dashboards_find_everything);
    }
}
