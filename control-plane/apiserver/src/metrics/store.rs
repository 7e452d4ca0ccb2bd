//! How the store answers.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::Duration;

use super::head;
use super::histogram::{Histogram, SECONDS};

#[derive(Debug)]
struct Series {
    durations: Histogram,
    errors: u64,
}

/// Writes how large the store is, if it says so.
pub(super) fn write_size(bytes: Option<i64>, out: &mut String) {
    head(out, "apiserver_storage_size_bytes", "gauge", "Size of the store's data, in bytes.");
    if let Some(bytes) = bytes {
        let _ = writeln!(out, "apiserver_storage_size_bytes{{storage_cluster_id=\"etcd-0\"}} {bytes}");
    }
}

/// All calls to the store, by operation.
#[derive(Debug, Default)]
pub(super) struct StoreCalls(BTreeMap<&'static str, Series>);

impl StoreCalls {
    pub(super) fn answered(&mut self, operation: &'static str, took: Duration, well: bool) {
        let new = || Series { durations: Histogram::new(SECONDS), errors: 0 };
        let series = self.0.entry(operation).or_insert_with(new);
        series.durations.observe(took.as_secs_f64());
        series.errors += u64::from(!well);
    }

    pub(super) fn write(&self, out: &mut String) {
        head(out, "etcd_request_duration_seconds", "histogram", "Time the store took to answer.");
        for (operation, series) in &self.0 {
            series.durations.write("etcd_request_duration_seconds", &format!("operation=\"{operation}\""), out);
        }
        head(out, "etcd_requests_total", "counter", "Calls to the store.");
        for (operation, series) in &self.0 {
            let _ = writeln!(out, "etcd_requests_total{{operation=\"{operation}\"}} {}", series.durations.count());
        }
        head(out, "etcd_request_errors_total", "counter", "Calls the store did not answer well.");
        for (operation, series) in self.0.iter().filter(|(_, series)| series.errors > 0) {
            let _ = writeln!(out, "etcd_request_errors_total{{operation=\"{operation}\"}} {}", series.errors);
        }
    }
}
