//! What this server counts, under upstream's names, in the text format of Prometheus.

mod health;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use health::HealthMetrics;

/// Upper bounds of request durations, in seconds; upstream's.
const REQUEST_BUCKETS: &[f64] = &[
    0.005, 0.025, 0.05, 0.1, 0.2, 0.4, 0.6, 0.8, 1.0, 1.25, 1.5, 2.0, 3.0, 4.0, 5.0, 6.0, 8.0, 10.0, 15.0, 20.0, 30.0,
    45.0, 60.0,
];
/// Upper bounds of durations of the store's answers, in seconds; upstream's.
const STORE_BUCKETS: &[f64] = &[
    0.005, 0.025, 0.05, 0.1, 0.2, 0.4, 0.6, 0.8, 1.0, 1.25, 1.5, 2.0, 3.0, 4.0, 5.0, 6.0, 8.0, 10.0, 15.0, 20.0, 30.0,
    45.0, 60.0,
];

/// The labels of one request.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct RequestLabels {
    /// The verb in capitals, as upstream writes it.
    pub(crate) verb: &'static str,
    /// API group.
    pub(crate) group: String,
    /// API version.
    pub(crate) version: String,
    /// Plural, empty for other paths.
    pub(crate) resource: String,
    /// Subresource or, for other paths, nothing.
    pub(crate) subresource: String,
    /// `resource`, `namespace` or `cluster`; empty for other paths.
    pub(crate) scope: &'static str,
    /// Whether nothing is stored.
    pub(crate) dry_run: bool,
}

impl RequestLabels {
    fn write(&self, out: &mut String) {
        let _ = write!(
            out,
            "dry_run=\"{}\",group=\"{}\",resource=\"{}\",scope=\"{}\",subresource=\"{}\",verb=\"{}\",version=\"{}\"",
            if self.dry_run { "All" } else { "" },
            escape(&self.group),
            escape(&self.resource),
            self.scope,
            escape(&self.subresource),
            self.verb,
            escape(&self.version),
        );
    }
}

/// A distribution over fixed buckets.
#[derive(Debug, Clone)]
struct Histogram {
    bounds: &'static [f64],
    counts: Vec<u64>,
    sum: f64,
}

impl Histogram {
    fn new(bounds: &'static [f64]) -> Self {
        Self { bounds, counts: vec![0; bounds.len() + 1], sum: 0.0 }
    }

    fn observe(&mut self, seconds: f64) {
        self.counts[self.bounds.partition_point(|bound| *bound < seconds)] += 1;
        self.sum += seconds;
    }

    fn write(&self, name: &str, labels: &str, out: &mut String) {
        let comma = if labels.is_empty() { "" } else { "," };
        let mut total = 0;
        for (index, count) in self.counts.iter().enumerate() {
            total += count;
            let bound = self.bounds.get(index).map_or_else(|| "+Inf".to_owned(), ToString::to_string);
            let _ = writeln!(out, "{name}_bucket{{{labels}{comma}le=\"{bound}\"}} {total}");
        }
        let _ = writeln!(out, "{name}_sum{{{labels}}} {}\n{name}_count{{{labels}}} {total}", self.sum);
    }
}

#[derive(Default)]
struct Tables {
    requests: BTreeMap<(RequestLabels, u16), u64>,
    durations: BTreeMap<RequestLabels, Histogram>,
    store: BTreeMap<&'static str, Histogram>,
    store_errors: BTreeMap<&'static str, u64>,
    long_running: BTreeMap<RequestLabels, i64>,
    watch_events: BTreeMap<(String, String), u64>,
}

/// Everything counted. One per server; cheap calls from any task.
pub(crate) struct Metrics {
    started: Instant,
    tables: Mutex<Tables>,
    /// Reading requests being served.
    pub(crate) reads: AtomicI64,
    /// Changing requests being served.
    pub(crate) writes: AtomicI64,
    /// Open connections.
    pub(crate) connections: AtomicI64,
    /// Requests refused because too many are being served.
    pub(crate) rejected: AtomicI64,
    /// Watchers closed because they fell behind.
    pub(crate) slow_watchers: AtomicI64,
    /// Watchers now.
    pub(crate) watchers: AtomicI64,
    /// Checks of health.
    pub(crate) health: HealthMetrics,
}

/// A sample that is asked for when the page is made.
pub(crate) struct ObjectCount {
    /// API group.
    pub(crate) group: String,
    /// Plural.
    pub(crate) resource: String,
    /// How many there are.
    pub(crate) count: usize,
}

impl Default for Metrics {
    fn default() -> Self {
        Self {
            started: Instant::now(),
            tables: Mutex::default(),
            reads: AtomicI64::new(0),
            writes: AtomicI64::new(0),
            connections: AtomicI64::new(0),
            rejected: AtomicI64::new(0),
            slow_watchers: AtomicI64::new(0),
            watchers: AtomicI64::new(0),
            health: HealthMetrics::default(),
        }
    }
}

impl Metrics {
    fn tables(&self) -> std::sync::MutexGuard<'_, Tables> {
        self.tables.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How long the server has been running.
    pub(crate) fn uptime(&self) -> Duration {
        self.started.elapsed()
    }

    /// A request was answered.
    pub(crate) fn request(&self, labels: RequestLabels, code: u16, took: Duration) {
        let mut tables = self.tables();
        let labels_of_duration = labels.clone();
        *tables.requests.entry((labels, code)).or_default() += 1;
        let duration = tables.durations.entry(labels_of_duration).or_insert_with(|| Histogram::new(REQUEST_BUCKETS));
        duration.observe(took.as_secs_f64());
    }

    /// The store answered, or did not in time.
    pub(crate) fn store_request(&self, operation: &'static str, took: Duration, answered: bool) {
        let mut tables = self.tables();
        let durations = tables.store.entry(operation).or_insert_with(|| Histogram::new(STORE_BUCKETS));
        durations.observe(took.as_secs_f64());
        if !answered {
            *tables.store_errors.entry(operation).or_default() += 1;
        }
    }

    /// A long-running request began (`1`) or ended (`-1`).
    pub(crate) fn long_running(&self, labels: &RequestLabels, change: i64) {
        let mut tables = self.tables();
        match tables.long_running.get_mut(labels) {
            Some(count) => *count += change,
            None => {
                tables.long_running.insert(labels.clone(), change);
            }
        }
    }

    /// Events were sent to a watcher.
    pub(crate) fn watch_events(&self, group: &str, kind: &str, count: u64) {
        let mut tables = self.tables();
        *tables.watch_events.entry((group.to_owned(), kind.to_owned())).or_default() += count;
    }

    /// The page.
    pub(crate) fn render(&self, objects: &[ObjectCount]) -> String {
        let mut out = String::with_capacity(16 << 10);
        {
            let tables = self.tables();
            head(&mut out, "apiserver_request_total", "counter", "Requests by verb, resource, scope and code.");
            for ((labels, code), count) in &tables.requests {
                let _ = write!(out, "apiserver_request_total{{code=\"{code}\",");
                labels.write(&mut out);
                let _ = writeln!(out, "}} {count}");
            }
            head(&mut out, "apiserver_request_duration_seconds", "histogram", "Time to answer a request.");
            for (labels, histogram) in &tables.durations {
                let mut text = String::new();
                labels.write(&mut text);
                histogram.write("apiserver_request_duration_seconds", &text, &mut out);
            }
            head(&mut out, "apiserver_longrunning_requests", "gauge", "Long-running requests being served.");
            for (labels, count) in &tables.long_running {
                out.push_str("apiserver_longrunning_requests{");
                labels.write(&mut out);
                let _ = writeln!(out, "}} {count}");
            }
            head(&mut out, "apiserver_watch_events_total", "counter", "Events sent to watchers.");
            for ((group, kind), count) in &tables.watch_events {
                let _ = writeln!(
                    out,
                    "apiserver_watch_events_total{{group=\"{}\",kind=\"{}\"}} {count}",
                    escape(group),
                    escape(kind)
                );
            }
            head(&mut out, "etcd_request_duration_seconds", "histogram", "Time the store took to answer.");
            for (operation, histogram) in &tables.store {
                histogram.write("etcd_request_duration_seconds", &format!("operation=\"{operation}\""), &mut out);
            }
            head(&mut out, "etcd_request_errors_total", "counter", "Calls the store did not answer well.");
            for (operation, count) in &tables.store_errors {
                let _ = writeln!(out, "etcd_request_errors_total{{operation=\"{operation}\"}} {count}");
            }
        }
        head(&mut out, "apiserver_current_inflight_requests", "gauge", "Requests being served.");
        let _ = writeln!(
            out,
            "apiserver_current_inflight_requests{{request_kind=\"mutating\"}} {}\napiserver_current_inflight_requests{{request_kind=\"readOnly\"}} {}",
            self.writes.load(Ordering::Relaxed),
            self.reads.load(Ordering::Relaxed),
        );
        for (name, kind, help, value) in [
            (
                "apiserver_rejected_requests_total",
                "counter",
                "Requests refused because too many are being served.",
                &self.rejected,
            ),
            ("apiserver_open_connections", "gauge", "Open connections.", &self.connections),
            (
                "apiserver_terminated_watchers_total",
                "counter",
                "Watchers closed because they fell behind.",
                &self.slow_watchers,
            ),
            ("apiserver_registered_watchers", "gauge", "Watchers being served.", &self.watchers),
        ] {
            head(&mut out, name, kind, help);
            let _ = writeln!(out, "{name} {}", value.load(Ordering::Relaxed));
        }
        head(&mut out, "apiserver_resource_objects", "gauge", "Stored objects per resource.");
        for one in objects {
            let _ = writeln!(
                out,
                "apiserver_resource_objects{{group=\"{}\",resource=\"{}\"}} {}",
                escape(&one.group),
                escape(&one.resource),
                one.count
            );
        }
        process(&mut out, self.started);
        out
    }
}

fn head(out: &mut String, name: &str, kind: &str, help: &str) {
    let _ = writeln!(out, "# HELP {name} {help}\n# TYPE {name} {kind}");
}

fn escape(text: &str) -> String {
    text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

/// The process's own figures, as far as the kernel tells them.
fn process(out: &mut String, started: Instant) {
    let start = SystemTime::now() - started.elapsed();
    let start = start.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64();
    head(out, "process_start_time_seconds", "gauge", "Start of the process since the epoch.");
    let _ = writeln!(out, "process_start_time_seconds {start}");
    if let Ok(status) = std::fs::read_to_string("/proc/self/status") {
        let kilobytes = |name: &str| -> Option<u64> {
            let line = status.lines().find(|line| line.starts_with(name))?;
            line.split_whitespace().nth(1)?.parse().ok()
        };
        for (name, field) in [("process_resident_memory_bytes", "VmRSS:"), ("process_virtual_memory_bytes", "VmSize:")]
        {
            if let Some(kilobytes) = kilobytes(field) {
                head(out, name, "gauge", "Memory of the process.");
                let _ = writeln!(out, "{name} {}", kilobytes * 1024);
            }
        }
    }
    if let Ok(entries) = std::fs::read_dir("/proc/self/fd") {
        head(out, "process_open_fds", "gauge", "Open file descriptors.");
        let _ = writeln!(out, "process_open_fds {}", entries.count());
    }
    if let Ok(stat) = std::fs::read_to_string("/proc/self/stat") {
        // Fields 14 and 15, counted behind the command in parentheses, in ticks of 1/100 s on every Linux of ours.
        let behind = stat.rsplit_once(')').map_or("", |(_, rest)| rest);
        let ticks: u64 = behind.split_whitespace().skip(11).take(2).filter_map(|field| field.parse::<u64>().ok()).sum();
        head(out, "process_cpu_seconds_total", "counter", "Processor time used.");
        let _ = writeln!(out, "process_cpu_seconds_total {}", ticks as f64 / 100.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_appears_under_its_labels_and_in_its_bucket() {
        let metrics = Metrics::default();
        let labels = RequestLabels {
            verb: "LIST",
            group: String::new(),
            version: "v1".into(),
            resource: "pods".into(),
            subresource: String::new(),
            scope: "cluster",
            dry_run: false,
        };
        metrics.request(labels, 200, Duration::from_millis(30));
        let page = metrics.render(&[ObjectCount { group: String::new(), resource: "pods".into(), count: 3 }]);
        let labels = r#"dry_run="",group="",resource="pods",scope="cluster",subresource="",verb="LIST",version="v1""#;
        assert!(page.contains(&format!("apiserver_request_total{{code=\"200\",{labels}}} 1\n")), "{page}");
        assert!(page.contains(&format!("apiserver_request_duration_seconds_bucket{{{labels},le=\"0.025\"}} 0\n")));
        assert!(page.contains(&format!("apiserver_request_duration_seconds_bucket{{{labels},le=\"0.05\"}} 1\n")));
        assert!(page.contains("apiserver_resource_objects{group=\"\",resource=\"pods\"} 3\n"));
        assert!(page.contains("process_start_time_seconds "));
    }
}
