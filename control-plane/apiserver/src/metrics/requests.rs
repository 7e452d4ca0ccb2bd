//! What is counted for each request, under labels that only names of rows get into.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::time::Duration;

use super::histogram::{Histogram, SECONDS};
use super::{escape, head};

/// Upper bounds of sizes of answers, in bytes; upstream's.
const ANSWER_SIZES: &[f64] = &[1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9];

/// The labels of one request.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
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
    /// In the order of upstream's pages, with `dry_run` where a metric has it.
    fn shown(&self, dry_run: bool) -> String {
        let dry_run = match (dry_run, self.dry_run) {
            (true, true) => "dry_run=\"All\",",
            (true, false) => "dry_run=\"\",",
            (false, _) => "",
        };
        format!(
            "component=\"apiserver\",{dry_run}group=\"{}\",resource=\"{}\",scope=\"{}\",subresource=\"{}\",verb=\"{}\",version=\"{}\"",
            escape(&self.group),
            escape(&self.resource),
            self.scope,
            escape(&self.subresource),
            self.verb,
            escape(&self.version),
        )
    }

    /// Whether a request is one that objectives are set for: it ends by itself, and soon.
    fn is_short(&self) -> bool {
        !matches!(self.verb, "WATCH" | "CONNECT" | "PROXY")
    }
}

/// What is known of requests with the same labels.
#[derive(Debug)]
struct Series {
    codes: Vec<(u16, u64)>,
    durations: Histogram,
    sizes: Histogram,
    running: i64,
}

/// All requests. Behind one lock, which is held for a look into a table and some sums.
#[derive(Debug, Default)]
pub(super) struct Requests(HashMap<RequestLabels, Series>);

impl Requests {
    fn series(&mut self, labels: &RequestLabels) -> &mut Series {
        if !self.0.contains_key(labels) {
            let codes = Vec::new();
            let (durations, sizes) = (Histogram::new(SECONDS), Histogram::new(ANSWER_SIZES));
            self.0.insert(labels.clone(), Series { codes, durations, sizes, running: 0 });
        }
        self.0.get_mut(labels).expect("it was inserted above")
    }

    pub(super) fn answered(&mut self, labels: &RequestLabels, code: u16, took: Duration) {
        let series = self.series(labels);
        match series.codes.iter_mut().find(|(one, _)| *one == code) {
            Some((_, count)) => *count += 1,
            None => series.codes.push((code, 1)),
        }
        series.durations.observe(took.as_secs_f64());
    }

    pub(super) fn sent(&mut self, labels: &RequestLabels, bytes: u64) {
        self.series(labels).sizes.observe(bytes as f64);
    }

    pub(super) fn running(&mut self, labels: &RequestLabels, change: i64) {
        self.series(labels).running += change;
    }

    pub(super) fn write(&self, out: &mut String) {
        let mut all: Vec<_> = self.0.iter().collect();
        all.sort_unstable_by_key(|(labels, _)| *labels);
        let counted = || all.iter().filter(|(_, series)| !series.codes.is_empty());
        head(out, "apiserver_request_total", "counter", "Requests by verb, resource, scope and code.");
        for (labels, series) in counted() {
            for (code, count) in &series.codes {
                let _ = writeln!(out, "apiserver_request_total{{code=\"{code}\",{}}} {count}", labels.shown(true));
            }
        }
        head(out, "apiserver_request_duration_seconds", "histogram", "Time to answer a request.");
        for (labels, series) in counted() {
            series.durations.write("apiserver_request_duration_seconds", &labels.shown(true), out);
        }
        head(
            out,
            "apiserver_request_sli_duration_seconds",
            "histogram",
            "Time to answer a request that ends by itself.",
        );
        for (labels, series) in counted().filter(|(labels, _)| labels.is_short()) {
            series.durations.write("apiserver_request_sli_duration_seconds", &labels.shown(false), out);
        }
        head(out, "apiserver_response_sizes", "histogram", "Sizes of answers, in bytes.");
        for (labels, series) in all.iter().filter(|(_, series)| series.sizes.count() > 0) {
            series.sizes.write("apiserver_response_sizes", &labels.shown(false), out);
        }
        head(out, "apiserver_longrunning_requests", "gauge", "Long-running requests being served.");
        for (labels, series) in all.iter().filter(|(labels, _)| !labels.is_short()) {
            let _ = writeln!(out, "apiserver_longrunning_requests{{{}}} {}", labels.shown(false), series.running);
        }
    }
}
