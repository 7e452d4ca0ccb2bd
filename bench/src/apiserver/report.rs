//! What the loads found, for people.

use std::time::Duration;

use crate::outcome::Outcome;
use crate::{Table, megabytes};

fn millis(time: Duration) -> String {
    format!("{:.1}", time.as_secs_f64() * 1000.0)
}

/// Adds the row of a load of requests.
pub fn requests(table: &mut Table, name: &str, outcome: &Outcome) {
    let beside = format!(
        "p50 {} p99 {} ms, {} and {:.3} CPU s per 1000, {:.3} GB/s",
        millis(outcome.p50),
        millis(outcome.p99),
        megabytes(outcome.bytes * 1000 / outcome.operations.max(1)),
        outcome.cpu_per_thousand(),
        outcome.bytes as f64 / 1e9 / outcome.elapsed.as_secs_f64().max(f64::EPSILON),
    );
    table.row(name, format!("{:.0}/s", outcome.rate()), beside);
}

/// Adds the row of changes that went to so many watchers.
pub fn changes(table: &mut Table, watchers: usize, outcome: &Outcome) {
    let verdict = if outcome.p50 < Duration::from_millis(100) { "" } else { "  MISSED" };
    let beside = format!(
        "p99 {} ms, {:.0} events/s, {:.3} CPU s a change; aim 100 ms{verdict}",
        millis(outcome.p99),
        outcome.rate() * watchers as f64,
        outcome.cpu_per_thousand() / 1000.0,
    );
    table.row(
        format!("until the last of {watchers} watchers has a change"),
        format!("{} ms", millis(outcome.p50)),
        beside,
    );
}

/// Adds a time against its aim.
pub fn time(table: &mut Table, name: &str, found: Option<Duration>, aim: Duration) {
    if let Some(found) = found {
        let verdict = if found <= aim { "" } else { "  MISSED" };
        table.row(name, format!("{:.3} s", found.as_secs_f64()), format!("aim {} s{verdict}", aim.as_secs_f64()));
    }
}
