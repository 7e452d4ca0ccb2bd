//! How long admission takes, and how often it refuses.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use admission::Operation;

use crate::metrics::{Histogram, head};

/// Upper bounds in seconds of one plugin; upstream's.
const PLUGIN_SECONDS: &[f64] = &[0.005, 0.025, 0.1, 0.5, 1.0, 2.5];

/// Which of the two rounds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Step {
    /// That of the plugins that change.
    Admit,
    /// That of those that look.
    Validate,
}

/// Plugin (empty for a whole step), operation, step, whether it refused.
type Labels = (&'static str, &'static str, Step, bool);

/// What is counted.
#[derive(Default)]
pub(super) struct Metrics(Mutex<BTreeMap<Labels, Histogram>>);

impl Metrics {
    /// A plugin was asked.
    pub(super) fn plugin(&self, name: &'static str, operation: Operation, step: Step, took: Duration, rejected: bool) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let series = all.entry((name, operation.as_str(), step, rejected));
        series.or_insert_with(|| Histogram::new(PLUGIN_SECONDS)).observe(took.as_secs_f64());
    }

    /// All plugins were asked.
    pub(super) fn step(&self, operation: Operation, step: Step, took: Duration, rejected: bool) {
        self.plugin("", operation, step, took, rejected);
    }

    /// Writes the samples.
    pub(super) fn write(&self, out: &mut String) {
        const PLUGIN: &str = "apiserver_admission_controller_admission_duration_seconds";
        const STEP: &str = "apiserver_admission_step_admission_duration_seconds";
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for (metric, of_steps, help) in [
            (PLUGIN, false, "Duration of one admission plugin."),
            (STEP, true, "Duration of all admission plugins of a step."),
        ] {
            head(out, metric, "histogram", help);
            for ((name, operation, step, rejected), histogram) in
                all.iter().filter(|((name, ..), _)| name.is_empty() == of_steps)
            {
                let step = match step {
                    Step::Admit => "admit",
                    Step::Validate => "validate",
                };
                let mut labels = String::new();
                if !of_steps {
                    let _ = write!(labels, "name=\"{name}\",");
                }
                let _ = write!(labels, "operation=\"{operation}\",rejected=\"{rejected}\",type=\"{step}\"");
                histogram.write(metric, &labels, out);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plugins_and_steps_are_told_apart() {
        let metrics = Metrics::default();
        metrics.plugin("LimitRanger", Operation::Create, Step::Admit, Duration::from_millis(1), true);
        metrics.step(Operation::Create, Step::Admit, Duration::from_millis(2), true);
        let mut out = String::new();
        metrics.write(&mut out);
        for line in [
            "apiserver_admission_controller_admission_duration_seconds_count{name=\"LimitRanger\",operation=\"CREATE\",rejected=\"true\",type=\"admit\"} 1",
            "apiserver_admission_step_admission_duration_seconds_count{operation=\"CREATE\",rejected=\"true\",type=\"admit\"} 1",
        ] {
            assert!(out.contains(line), "{out}");
        }
    }
}
