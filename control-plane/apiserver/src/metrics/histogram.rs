//! Distributions over fixed buckets.

use std::fmt::Write as _;
use std::sync::atomic::{AtomicU64, Ordering};

/// Upper bounds of durations of requests and of the store's answers, in seconds; upstream's.
pub(super) const SECONDS: &[f64] = &[
    0.005, 0.025, 0.05, 0.1, 0.2, 0.4, 0.6, 0.8, 1.0, 1.25, 1.5, 2.0, 3.0, 4.0, 5.0, 6.0, 8.0, 10.0, 15.0, 20.0, 30.0,
    45.0, 60.0,
];

/// A distribution behind a lock of its owner's.
#[derive(Debug, Clone)]
pub(crate) struct Histogram {
    bounds: &'static [f64],
    counts: Vec<u64>,
    sum: f64,
}

impl Histogram {
    /// Nothing observed yet; `bounds` are the upper ones, in order.
    pub(crate) fn new(bounds: &'static [f64]) -> Self {
        Self { bounds, counts: vec![0; bounds.len() + 1], sum: 0.0 }
    }

    /// One more value.
    pub(crate) fn observe(&mut self, value: f64) {
        self.counts[place(self.bounds, value)] += 1;
        self.sum += value;
    }

    pub(super) fn count(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// Writes the samples of a series.
    pub(crate) fn write(&self, name: &str, labels: &str, out: &mut String) {
        write(name, labels, self.bounds, self.counts.iter().copied(), self.sum, out);
    }
}

/// A distribution of whole numbers that many tasks write to at once, without a lock.
#[derive(Debug)]
pub(crate) struct Sizes<const BUCKETS: usize> {
    bounds: &'static [f64; BUCKETS],
    counts: [AtomicU64; BUCKETS],
    above: AtomicU64,
    sum: AtomicU64,
}

impl<const BUCKETS: usize> Sizes<BUCKETS> {
    pub(super) fn new(bounds: &'static [f64; BUCKETS]) -> Self {
        Self {
            bounds,
            counts: std::array::from_fn(|_| AtomicU64::new(0)),
            above: AtomicU64::new(0),
            sum: AtomicU64::new(0),
        }
    }

    /// Takes in one more.
    pub(crate) fn observe(&self, size: usize) {
        let bucket = self.counts.get(place(self.bounds, size as f64)).unwrap_or(&self.above);
        bucket.fetch_add(1, Ordering::Relaxed);
        self.sum.fetch_add(size as u64, Ordering::Relaxed);
    }

    pub(super) fn count(&self) -> u64 {
        self.counts.iter().chain([&self.above]).map(|count| count.load(Ordering::Relaxed)).sum()
    }

    pub(super) fn write(&self, name: &str, labels: &str, out: &mut String) {
        let counts = self.counts.iter().chain([&self.above]).map(|count| count.load(Ordering::Relaxed));
        write(name, labels, self.bounds, counts, self.sum.load(Ordering::Relaxed) as f64, out);
    }
}

/// The bucket of a value; one behind the last for what is above all bounds.
fn place(bounds: &[f64], value: f64) -> usize {
    bounds.partition_point(|bound| *bound < value)
}

fn write(name: &str, labels: &str, bounds: &[f64], counts: impl Iterator<Item = u64>, sum: f64, out: &mut String) {
    let comma = if labels.is_empty() { "" } else { "," };
    let mut total = 0;
    for (index, count) in counts.enumerate() {
        total += count;
        let bound = bounds.get(index).map_or_else(|| "+Inf".to_owned(), ToString::to_string);
        let _ = writeln!(out, "{name}_bucket{{{labels}{comma}le=\"{bound}\"}} {total}");
    }
    let _ = writeln!(out, "{name}_sum{{{labels}}} {sum}\n{name}_count{{{labels}}} {total}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_kinds_write_the_same() {
        const BOUNDS: &[f64; 2] = &[10.0, 100.0];
        let (mut plain, shared) = (Histogram::new(BOUNDS), Sizes::new(BOUNDS));
        for size in [1_u8, 10, 11, 200] {
            plain.observe(f64::from(size));
            shared.observe(size.into());
        }
        let (mut one, mut other) = (String::new(), String::new());
        plain.write("x", "a=\"b\"", &mut one);
        shared.write("x", "a=\"b\"", &mut other);
        assert_eq!(one, other);
        let lines = "x_bucket{a=\"b\",le=\"10\"} 2\nx_bucket{a=\"b\",le=\"100\"} 3\nx_bucket{a=\"b\",le=\"+Inf\"} 4\n";
        assert_eq!(one, format!("{lines}x_sum{{a=\"b\"}} 222\nx_count{{a=\"b\"}} 4\n"));
        assert_eq!((plain.count(), shared.count()), (4, 4));
    }
}
