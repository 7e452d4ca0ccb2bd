//! What this server counts, under upstream's names, in the text format of Prometheus.

mod deprecated;
mod health;
mod histogram;
mod process;
mod requests;
mod resource;
mod store;

use std::fmt::Write as _;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use apiserver_core::Resource;
use bytes::Bytes;
use futures::Stream;
use serde_json::Value;

use crate::http::respond::Body;
use deprecated::Deprecated;
use health::HealthMetrics;
pub(crate) use histogram::Histogram;
pub(crate) use requests::RequestLabels;
use requests::Requests;
pub(crate) use resource::{ResourceCounts, ResourceSample};
use store::StoreCalls;

/// Everything counted. One per server; cheap calls from any task.
pub(crate) struct Metrics {
    started: Instant,
    requests: Mutex<Requests>,
    store: Mutex<StoreCalls>,
    deprecated: Mutex<Deprecated>,
    /// Reading requests being served.
    pub(crate) reads: AtomicI64,
    /// Changing requests being served.
    pub(crate) writes: AtomicI64,
    /// Watches being served, in whatever way.
    pub(crate) watchers: AtomicI64,
    /// Open connections.
    pub(crate) connections: AtomicI64,
    /// Requests refused because too many are being served.
    pub(crate) rejected: AtomicI64,
    /// Handshakes that failed.
    pub(crate) handshake_errors: AtomicI64,
    /// Requests of users who are known.
    authenticated: AtomicI64,
    /// Requests of users who are not.
    unauthenticated: AtomicI64,
    /// Checks of health.
    pub(crate) health: HealthMetrics,
}

impl Default for Metrics {
    fn default() -> Self {
        Self {
            started: Instant::now(),
            requests: Mutex::default(),
            store: Mutex::default(),
            deprecated: Mutex::default(),
            reads: AtomicI64::new(0),
            writes: AtomicI64::new(0),
            watchers: AtomicI64::new(0),
            connections: AtomicI64::new(0),
            rejected: AtomicI64::new(0),
            handshake_errors: AtomicI64::new(0),
            authenticated: AtomicI64::new(0),
            unauthenticated: AtomicI64::new(0),
            health: HealthMetrics::default(),
        }
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Metrics {
    /// How long the server has been running.
    pub(crate) fn uptime(&self) -> Duration {
        self.started.elapsed()
    }

    /// A request was answered, with `body` on its way to the client, which is counted as it goes.
    pub(crate) fn answered(self: &Arc<Self>, labels: RequestLabels, code: u16, took: Duration, body: &mut Body) {
        let known = if code == 401 { &self.unauthenticated } else { &self.authenticated };
        known.fetch_add(1, Ordering::Relaxed);
        let mut requests = locked(&self.requests);
        requests.answered(&labels, code, took);
        match body {
            Body::Whole(bytes) => requests.sent(&labels, bytes.as_ref().map_or(0, Bytes::len) as u64),
            Body::Stream(stream) => {
                let inner = std::mem::replace(stream, Box::pin(futures::stream::empty()));
                *stream = Box::pin(Counted { inner, bytes: 0, labels, metrics: Arc::clone(self) });
            }
        }
    }

    /// A long-running request ended.
    pub(crate) fn ended(&self, labels: &RequestLabels, code: u16, took: Duration) {
        locked(&self.requests).answered(labels, code, took);
    }

    /// The store answered, or did not in time.
    pub(crate) fn store_request(&self, operation: &'static str, took: Duration, answered: bool) {
        locked(&self.store).answered(operation, took, answered);
    }

    /// Somebody asked for something deprecated.
    pub(crate) fn asked_for_deprecated(&self, row: &Resource, subresource: &str) {
        locked(&self.deprecated).asked(&row.group, &row.version, &row.plural, subresource);
    }

    /// A long-running request began (`1`) or ended (`-1`).
    pub(crate) fn long_running(&self, labels: &RequestLabels, change: i64) {
        locked(&self.requests).running(labels, change);
    }

    /// The page. `version` is what `/version` tells, and `stored` how large the store says it is.
    pub(crate) fn render(&self, resources: &[ResourceSample<'_>], version: &Value, stored: Option<i64>) -> String {
        let mut out = String::with_capacity(64 << 10);
        locked(&self.requests).write(&mut out);
        head(&mut out, "apiserver_current_inflight_requests", "gauge", "Requests being served.");
        for (kind, count) in [("mutating", &self.writes), ("readOnly", &self.reads)] {
            let count = count.load(Ordering::Relaxed);
            let _ = writeln!(out, "apiserver_current_inflight_requests{{request_kind=\"{kind}\"}} {count}");
        }
        for (name, kind, help, value) in [
            (
                "apiserver_rejected_requests_total",
                "counter",
                "Requests refused because too many are being served.",
                &self.rejected,
            ),
            ("apiserver_open_connections", "gauge", "Open connections.", &self.connections),
            ("apiserver_tls_handshake_errors_total", "counter", "Handshakes that failed.", &self.handshake_errors),
        ] {
            head(&mut out, name, kind, help);
            let _ = writeln!(out, "{name} {}", value.load(Ordering::Relaxed));
        }
        head(&mut out, "authentication_attempts", "counter", "Requests by whether their user is known.");
        for (result, count) in [("failure", &self.unauthenticated), ("success", &self.authenticated)] {
            let _ = writeln!(out, "authentication_attempts{{result=\"{result}\"}} {}", count.load(Ordering::Relaxed));
        }
        resource::write(resources, &mut out);
        locked(&self.store).write(&mut out);
        store::write_size(stored, &mut out);
        locked(&self.deprecated).write(&mut out);
        build(version, &mut out);
        process::write(&mut out, self.started);
        out
    }
}

/// A body that counts itself, and tells when it ends or is given up.
struct Counted {
    inner: std::pin::Pin<Box<dyn Stream<Item = Bytes> + Send>>,
    bytes: u64,
    labels: RequestLabels,
    metrics: Arc<Metrics>,
}

impl Stream for Counted {
    type Item = Bytes;

    fn poll_next(
        mut self: std::pin::Pin<&mut Self>,
        context: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Bytes>> {
        let next = self.inner.as_mut().poll_next(context);
        if let std::task::Poll::Ready(Some(bytes)) = &next {
            self.bytes += bytes.len() as u64;
        }
        next
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        locked(&self.metrics.requests).sent(&self.labels, self.bytes);
    }
}

/// Which program this is, from what `/version` tells.
fn build(version: &Value, out: &mut String) {
    const LABELS: [(&str, &str); 9] = [
        ("build_date", "buildDate"),
        ("compiler", "compiler"),
        ("git_commit", "gitCommit"),
        ("git_tree_state", "gitTreeState"),
        ("git_version", "gitVersion"),
        ("go_version", "goVersion"),
        ("major", "major"),
        ("minor", "minor"),
        ("platform", "platform"),
    ];
    let labels =
        LABELS.map(|(label, name)| format!("{label}=\"{}\"", escape(version[name].as_str().unwrap_or_default())));
    head(out, "kubernetes_build_info", "gauge", "Which program this is.");
    let _ = writeln!(out, "kubernetes_build_info{{{}}} 1", labels.join(","));
}

/// Begins a metric.
pub(crate) fn head(out: &mut String, name: &str, kind: &str, help: &str) {
    let _ = writeln!(out, "# HELP {name} {help}\n# TYPE {name} {kind}");
}

/// A value of a label.
pub(crate) fn escape(text: &str) -> String {
    text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

#[cfg(test)]
mod tests {
    use futures::StreamExt as _;
    use serde_json::json;

    use super::*;

    fn labels() -> RequestLabels {
        RequestLabels {
            verb: "LIST",
            group: String::new(),
            version: "v1".into(),
            resource: "pods".into(),
            subresource: String::new(),
            scope: "cluster",
            dry_run: false,
        }
    }

    const SHOWN: &str = r#"group="",resource="pods",scope="cluster",subresource="",verb="LIST",version="v1""#;

    #[test]
    fn a_request_appears_under_its_labels_and_in_its_buckets() {
        let metrics = Arc::new(Metrics::default());
        let mut body = Body::Whole(Some(Bytes::from(vec![0; 5000])));
        metrics.answered(labels(), 200, Duration::from_millis(30), &mut body);
        let endpoints = apiserver_core::Registry::built_in().lookup("", "v1", "endpoints").cloned().expect("endpoints");
        metrics.asked_for_deprecated(&endpoints, "");
        let page = metrics.render(&[], &json!({ "minor": "37" }), Some(4096));
        for line in [
            format!("apiserver_request_total{{code=\"200\",component=\"apiserver\",dry_run=\"\",{SHOWN}}} 1\n"),
            format!(
                "apiserver_request_duration_seconds_bucket{{component=\"apiserver\",dry_run=\"\",{SHOWN},le=\"0.025\"}} 0\n"
            ),
            format!("apiserver_request_sli_duration_seconds_bucket{{component=\"apiserver\",{SHOWN},le=\"0.05\"}} 1\n"),
            format!("apiserver_response_sizes_bucket{{component=\"apiserver\",{SHOWN},le=\"1000\"}} 0\n"),
            format!("apiserver_response_sizes_bucket{{component=\"apiserver\",{SHOWN},le=\"10000\"}} 1\n"),
            "authentication_attempts{result=\"success\"} 1\n".to_owned(),
            "minor=\"37\"".to_owned(),
            "process_start_time_seconds ".to_owned(),
            "apiserver_storage_size_bytes{storage_cluster_id=\"etcd-0\"} 4096\n".to_owned(),
            "apiserver_requested_deprecated_apis{group=\"\",removed_release=\"\",resource=\"endpoints\",subresource=\"\",version=\"v1\"} 1\n"
                .to_owned(),
        ] {
            assert!(page.contains(&line), "{line} is not in {page}");
        }
    }

    #[tokio::test]
    async fn a_stream_is_counted_when_it_ends() {
        let metrics = Arc::new(Metrics::default());
        let pieces = futures::stream::iter([Bytes::from_static(b"abc"), Bytes::from_static(b"de")]);
        let mut body = Body::Stream(Box::pin(pieces));
        metrics.answered(labels(), 200, Duration::ZERO, &mut body);
        let sum = format!("apiserver_response_sizes_sum{{component=\"apiserver\",{SHOWN}}} 5\n");
        assert!(!metrics.render(&[], &Value::Null, None).contains(&sum));
        let Body::Stream(stream) = body else { panic!("still a stream") };
        assert_eq!(stream.collect::<Vec<_>>().await.concat(), b"abcde");
        assert!(metrics.render(&[], &Value::Null, None).contains(&sum));
    }
}
