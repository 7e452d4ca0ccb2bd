//! What the log and the state spend on the disk.

use std::fmt::Write;
use std::time::Duration;

use super::histogram::Histogram;

/// Bounds of etcd's disk histograms, in seconds: 1 ms doubled thirteen times.
const BOUNDS: [f64; 14] =
    [0.001, 0.002, 0.004, 0.008, 0.016, 0.032, 0.064, 0.128, 0.256, 0.512, 1.024, 2.048, 4.096, 8.192];

/// How long the disk takes.
#[derive(Debug)]
pub struct Disk {
    syncs: Histogram,
    commits: Histogram,
}

impl Default for Disk {
    fn default() -> Self {
        Self { syncs: Histogram::new(&BOUNDS), commits: Histogram::new(&BOUNDS) }
    }
}

impl Disk {
    /// A batch of the log became durable.
    pub fn log_synced(&self, took: Duration) {
        self.syncs.observe(took);
    }

    /// A batch of applied entries was written into the state: short, unless the disk does not keep up with what the state
    /// writes behind, and holds writers back.
    pub fn state_written(&self, took: Duration) {
        self.commits.observe(took);
    }

    /// In Prometheus' text form.
    pub fn render(&self, out: &mut String) {
        for (name, histogram) in [
            ("etcd_disk_wal_fsync_duration_seconds", &self.syncs),
            ("etcd_disk_backend_commit_duration_seconds", &self.commits),
        ] {
            // Writing to a string cannot fail.
            let _ = writeln!(out, "# TYPE {name} histogram");
            histogram.render(out, name, "");
        }
    }
}
