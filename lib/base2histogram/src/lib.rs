//! Counts of numbers by their size, in a kilobyte or two: what openraft keeps its figures in.
//!
//! openraft links a crate of this name, which lays out 26 MB of tables when it is first used. This one takes its place and has of
//! its interface what openraft uses. To be removed when a release lays out what it looks at.

mod chart;

use std::fmt;
use std::marker::PhantomData;

pub use chart::AsciiChart;

/// Below this, every number has a bucket of its own.
const EXACT: u64 = 8;
/// Above, so many buckets share the way from one power of two to the next: figures are right to an eighth.
const STEPS: u64 = 4;
/// Sixty-one powers of two from the first that is shared on.
const BUCKETS: usize = (EXACT + 61 * STEPS) as usize;

/// How often which sizes were seen. `T` is for the interface: nothing is kept of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Histogram<T = ()> {
    counts: Box<[u64]>,
    of: PhantomData<T>,
}

/// How many numbers there were, and below which one so many hundredths of them lie. All 0 when there was none.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[allow(missing_docs)] // each is what its name says
pub struct PercentileStats {
    pub samples: u64,
    pub p0_1: u64,
    pub p1: u64,
    pub p5: u64,
    pub p10: u64,
    pub p50: u64,
    pub p90: u64,
    pub p99: u64,
    pub p99_9: u64,
}

impl fmt::Display for PercentileStats {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { samples, p0_1, p1, p5, p10, p50, p90, p99, p99_9 } = self;
        write!(
            f,
            "[samples: {samples}, P0.1: {p0_1}, P1: {p1}, P5: {p5}, P10: {p10}, P50: {p50}, P90: {p90}, P99: {p99}, \
             P99.9: {p99_9}]"
        )
    }
}

fn bucket(number: u64) -> usize {
    if number < EXACT {
        return number as usize;
    }
    let power = u64::from(number.ilog2());
    let step = (number >> (power - 2)) - STEPS;
    (EXACT + (power - 3) * STEPS + step) as usize
}

/// The middle of the numbers of a bucket.
fn middle(bucket: usize) -> u64 {
    let bucket = bucket as u64;
    if bucket < EXACT {
        return bucket;
    }
    let (power, step) = ((bucket - EXACT) / STEPS + 3, (bucket - EXACT) % STEPS);
    let width = 1 << (power - 2);
    (STEPS + step) * width + width / 2
}

impl<T> Default for Histogram<T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T> Histogram<T> {
    /// Nothing seen yet.
    #[must_use]
    pub fn new() -> Self {
        Self { counts: vec![0; BUCKETS].into(), of: PhantomData }
    }

    /// Counts a number.
    pub fn record(&mut self, number: u64) {
        self.record_n(number, 1);
    }

    /// Counts a number `times` times.
    pub fn record_n(&mut self, number: u64, times: u64) {
        let count = &mut self.counts[bucket(number)];
        *count = count.saturating_add(times);
    }

    /// How many were counted.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// The figures people ask for.
    #[must_use]
    pub fn percentile_stats(&self) -> PercentileStats {
        let samples = self.total();
        let below = |thousandths: u64| {
            let wanted = (samples.saturating_mul(thousandths)).div_ceil(1000).max(1);
            let mut seen = 0;
            let found = self.counts.iter().position(|count| {
                seen += count;
                seen >= wanted
            });
            found.map_or(0, middle)
        };
        PercentileStats {
            samples,
            p0_1: below(1),
            p1: below(10),
            p5: below(50),
            p10: below(100),
            p50: below(500),
            p90: below(900),
            p99: below(990),
            p99_9: below(999),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_follow_each_other_and_hold_their_middle() {
        let mut last = 0;
        for number in (0..5000).chain([u64::MAX / 3, u64::MAX - 1, u64::MAX]) {
            let found = bucket(number);
            assert!(found == last || found == last + 1 || number > 5000, "{number}");
            assert_eq!(bucket(middle(found)), found, "{number}");
            last = found;
        }
        assert_eq!(bucket(u64::MAX), BUCKETS - 1);
    }

    #[test]
    fn figures_are_right_to_an_eighth() {
        let mut histogram = Histogram::<()>::new();
        assert_eq!(histogram.percentile_stats(), PercentileStats::default());
        (1..=500).for_each(|number| histogram.record(number));
        (501..=1000).for_each(|number| histogram.record_n(number, 1));
        let found = histogram.percentile_stats();
        assert_eq!((found.samples, found.p0_1), (1000, 1));
        for (figure, right) in [(found.p10, 100), (found.p50, 500), (found.p90, 900), (found.p99, 990)] {
            assert!(figure.abs_diff(right) * 8 <= right, "{figure} for {right}");
        }
    }
}
