//! Histograms as lines of text.

use std::fmt;

use super::{Histogram, middle};

/// The longest bar.
const WIDTH: u64 = 40;

/// Histograms one below the other: a bar for each size that was seen.
#[derive(Debug, Clone, Default)]
pub struct AsciiChart {
    named: Vec<(String, Histogram)>,
}

impl AsciiChart {
    /// Nothing to show yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Shows one more.
    #[must_use]
    #[allow(clippy::should_implement_trait)] // the name that openraft calls it by
    pub fn add(mut self, name: impl Into<String>, histogram: Histogram) -> Self {
        self.named.push((name.into(), histogram));
        self
    }
}

impl fmt::Display for AsciiChart {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (name, histogram) in &self.named {
            writeln!(f, "{name}")?;
            let most = histogram.counts.iter().max().copied().unwrap_or(0).max(1);
            for (bucket, count) in histogram.counts.iter().enumerate().filter(|(_, count)| **count > 0) {
                let bar = "#".repeat((count.saturating_mul(WIDTH) / most).max(1) as usize);
                writeln!(f, "{:>20} {count:>12} {bar}", middle(bucket))?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_size_has_its_bar() {
        let mut histogram = Histogram::new();
        (0..4).for_each(|_| histogram.record(3));
        histogram.record(1);
        let shown = AsciiChart::new().add("some", histogram).to_string();
        let lines: Vec<_> = shown.lines().map(str::split_whitespace).map(Iterator::collect::<Vec<_>>).collect();
        assert_eq!(lines[0], ["some"]);
        assert_eq!(lines[1][..2], ["1", "1"]);
        assert_eq!(lines[2], ["3", "4", &"#".repeat(40)]);
    }
}
