//! What authorization counts, under upstream's names.

use std::fmt::Write as _;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use authorization::Decision;

use super::Mode;
use crate::metrics::{Histogram, head};

/// Upper bounds of the time a decision takes, in seconds; upstream's.
const SECONDS: &[f64] =
    &[0.001, 0.002, 0.004, 0.008, 0.016, 0.032, 0.064, 0.128, 0.256, 0.512, 1.024, 2.048, 4.096, 8.192, 16.384];
const RESULTS: [(Decision, &str); 3] =
    [(Decision::Allow, "allowed"), (Decision::Deny, "denied"), (Decision::NoOpinion, "no-opinion")];

/// The counts.
pub(super) struct Counts {
    /// By authorizer: allowed and denied.
    decisions: Vec<(Mode, [AtomicU64; 2])>,
    attempts: Mutex<[(u64, Histogram); 3]>,
}

fn place(decision: Decision) -> usize {
    match decision {
        Decision::Allow => 0,
        Decision::Deny => 1,
        Decision::NoOpinion => 2,
    }
}

impl Counts {
    pub(super) fn new(modes: &[Mode]) -> Self {
        Self {
            decisions: modes.iter().map(|mode| (*mode, Default::default())).collect(),
            attempts: Mutex::new(std::array::from_fn(|_| (0, Histogram::new(SECONDS)))),
        }
    }

    /// An authorizer was asked.
    pub(super) fn decided(&self, mode: Mode, decision: Decision) {
        let found = self.decisions.iter().find(|(one, _)| *one == mode);
        if let Some(count) = found.and_then(|(_, counts)| counts.get(place(decision))) {
            count.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// A request was judged.
    pub(super) fn attempted(&self, decision: Decision, took: Duration) {
        let mut attempts = self.attempts.lock().unwrap_or_else(PoisonError::into_inner);
        let (count, times) = &mut attempts[place(decision)];
        *count += 1;
        times.observe(took.as_secs_f64());
    }

    pub(super) fn write(&self, out: &mut String) {
        let name = "apiserver_authorization_decisions_total";
        head(out, name, "counter", "Decisions by the authorizer that made them.");
        for (mode, counts) in &self.decisions {
            let kind = mode.name();
            for (count, (_, decision)) in counts.iter().zip(RESULTS) {
                let count = count.load(Ordering::Relaxed);
                if count > 0 {
                    let lower = kind.to_lowercase();
                    let _ = writeln!(out, "{name}{{decision=\"{decision}\",name=\"{lower}\",type=\"{kind}\"}} {count}");
                }
            }
        }
        let attempts = self.attempts.lock().unwrap_or_else(PoisonError::into_inner);
        head(out, "authorization_attempts_total", "counter", "Requests by what the authorizers said.");
        for ((count, _), (_, result)) in attempts.iter().zip(RESULTS).filter(|((count, _), _)| *count > 0) {
            let _ = writeln!(out, "authorization_attempts_total{{result=\"{result}\"}} {count}");
        }
        head(out, "authorization_duration_seconds", "histogram", "Time the authorizers took.");
        for ((_, times), (_, result)) in attempts.iter().zip(RESULTS).filter(|((count, _), _)| *count > 0) {
            times.write("authorization_duration_seconds", &format!("result=\"{result}\""), out);
        }
    }
}
