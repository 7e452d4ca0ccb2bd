//! How long things take, in Prometheus' buckets.

use std::fmt::Write;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

/// Counts durations by the first of its bounds that is not shorter.
#[derive(Debug)]
pub struct Histogram {
    /// In seconds, ascending.
    bounds: &'static [f64],
    buckets: Box<[AtomicU64]>,
    /// Those beyond the last bound, too.
    count: AtomicU64,
    nanoseconds: AtomicU64,
}

impl Histogram {
    /// Nothing is counted yet. The bounds are in seconds and ascend.
    pub fn new(bounds: &'static [f64]) -> Self {
        let buckets = bounds.iter().map(|_| AtomicU64::new(0)).collect();
        Self { bounds, buckets, count: AtomicU64::new(0), nanoseconds: AtomicU64::new(0) }
    }

    /// Something took so long.
    pub fn observe(&self, took: Duration) {
        let seconds = took.as_secs_f64();
        if let Some(bucket) = self.bounds.iter().position(|bound| seconds <= *bound) {
            self.buckets[bucket].fetch_add(1, Relaxed);
        }
        self.count.fetch_add(1, Relaxed);
        self.nanoseconds.fetch_add(u64::try_from(took.as_nanos()).unwrap_or(u64::MAX), Relaxed);
    }

    /// Whether nothing was counted yet.
    pub fn is_empty(&self) -> bool {
        self.count.load(Relaxed) == 0
    }

    /// Writes the lines of one set of labels, `a="1",b="2"` or nothing. The line with the type is the caller's.
    pub fn render(&self, out: &mut String, name: &str, labels: &str) {
        let comma = if labels.is_empty() { "" } else { "," };
        let braced = if labels.is_empty() { String::new() } else { format!("{{{labels}}}") };
        // Read first: what is counted meanwhile is in a bucket at most, which may then hold more than the last one says.
        let count = self.count.load(Relaxed);
        let mut below = 0;
        for (bound, bucket) in self.bounds.iter().zip(&self.buckets) {
            below = (below + bucket.load(Relaxed)).min(count);
            // Writing to a string cannot fail; so below.
            let _ = writeln!(out, "{name}_bucket{{{labels}{comma}le=\"{bound}\"}} {below}");
        }
        let _ = writeln!(out, "{name}_bucket{{{labels}{comma}le=\"+Inf\"}} {count}");
        let sum = self.nanoseconds.load(Relaxed) as f64 / 1e9;
        let _ = writeln!(out, "{name}_sum{braced} {sum}\n{name}_count{braced} {count}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_count_upwards_and_the_last_has_everything() {
        let histogram = Histogram::new(&[0.001, 0.004]);
        assert!(histogram.is_empty());
        for millis in [0, 3, 4, 20_000] {
            histogram.observe(Duration::from_millis(millis));
        }
        assert!(!histogram.is_empty());
        let mut text = String::new();
        histogram.render(&mut text, "h", "");
        let expected =
            "h_bucket{le=\"0.001\"} 1\nh_bucket{le=\"0.004\"} 3\nh_bucket{le=\"+Inf\"} 4\nh_sum 20.007\nh_count 4\n";
        assert_eq!(text, expected);
        text.clear();
        histogram.render(&mut text, "h", "To=\"a\"");
        assert!(
            text.contains("h_bucket{To=\"a\",le=\"0.004\"} 3\n") && text.contains("h_count{To=\"a\"} 4\n"),
            "{text}"
        );
    }
}
