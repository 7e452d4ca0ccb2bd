//! What there is to count about a backup.

use std::fmt::Write;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering::Relaxed};

use store_core::backup::Moment;

use super::now;

/// The figures of one member.
#[derive(Debug, Default)]
pub struct Figures {
    /// A backup was asked for.
    planned: AtomicBool,
    /// This member writes it: it leads.
    active: AtomicBool,
    /// When all that had been applied was last found to be backed up, or this member began to lead.
    level: AtomicI64,
    /// The last entry that is backed up.
    index: AtomicU64,
    /// When the last snapshot was taken.
    snapshot: AtomicI64,
    failures: AtomicU64,
    segments: AtomicU64,
    snapshots: AtomicU64,
    bytes: AtomicU64,
    gaps: AtomicU64,
    removed: AtomicU64,
}

impl Figures {
    /// There is to be a backup.
    pub fn plan(&self) {
        self.planned.store(true, Relaxed);
    }

    /// Whether this member is the one that writes it, from now on.
    pub fn set_active(&self, active: bool) {
        if self.active.swap(active, Relaxed) != active {
            self.level.store(now().0, Relaxed);
        }
    }

    /// All that had been applied at a moment is backed up, up to an entry.
    pub fn level(&self, at: Moment, index: u64) {
        self.level.store(at.0, Relaxed);
        self.index.store(index, Relaxed);
    }

    /// Something did not work.
    pub fn failed(&self) {
        self.failures.fetch_add(1, Relaxed);
    }

    /// A segment of so many bytes is backed up.
    pub fn segment(&self, bytes: u64) {
        self.segments.fetch_add(1, Relaxed);
        self.bytes.fetch_add(bytes, Relaxed);
    }

    /// A snapshot of so many bytes is backed up.
    pub fn snapshot(&self, at: Moment, bytes: u64) {
        self.snapshots.fetch_add(1, Relaxed);
        self.snapshot.store(at.0, Relaxed);
        self.bytes.fetch_add(bytes, Relaxed);
    }

    /// The log had lost entries that were not backed up.
    pub fn gap(&self) {
        self.gaps.fetch_add(1, Relaxed);
    }

    /// An object was removed because of its age.
    pub fn removed(&self) {
        self.removed.fetch_add(1, Relaxed);
    }

    /// All of it in Prometheus' text form; nothing when there is no backup.
    pub fn render(&self, out: &mut String) {
        if !self.planned.load(Relaxed) {
            return;
        }
        let active = self.active.load(Relaxed);
        let lag = if active { (now().0 - self.level.load(Relaxed)).max(0) as f64 / 1000.0 } else { 0.0 };
        let seconds = |moment: &AtomicI64| moment.load(Relaxed) as f64 / 1000.0;
        let count = |counter: &AtomicU64| counter.load(Relaxed) as f64;
        let mut line = |name: &str, kind: &str, value: f64| {
            // Writing to a string cannot fail.
            let _ = writeln!(out, "# TYPE orlop_store_backup_{name} {kind}\norlop_store_backup_{name} {value}");
        };
        line("active", "gauge", f64::from(u8::from(active)));
        line("lag_seconds", "gauge", lag);
        line("last_success_timestamp_seconds", "gauge", if active { seconds(&self.level) } else { 0.0 });
        line("last_snapshot_timestamp_seconds", "gauge", seconds(&self.snapshot));
        line("last_index", "gauge", count(&self.index));
        line("failures_total", "counter", count(&self.failures));
        line("segments_total", "counter", count(&self.segments));
        line("snapshots_total", "counter", count(&self.snapshots));
        line("written_bytes_total", "counter", count(&self.bytes));
        line("gaps_total", "counter", count(&self.gaps));
        line("removed_objects_total", "counter", count(&self.removed));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_backup_that_falls_behind_is_seen() {
        let figures = Figures::default();
        let shown = |figures: &Figures| {
            let mut text = String::new();
            figures.render(&mut text);
            text
        };
        assert_eq!(shown(&figures), "");
        figures.plan();
        assert!(shown(&figures).contains("orlop_store_backup_active 0\n"));
        figures.set_active(true);
        figures.level(Moment(now().0 - 90_000), 7);
        let text = shown(&figures);
        let lag = text.lines().find_map(|line| line.strip_prefix("orlop_store_backup_lag_seconds ")).unwrap();
        assert!(lag.parse::<f64>().unwrap() >= 90.0, "{lag}");
        assert!(text.contains("orlop_store_backup_last_index 7\n"));
    }
}
