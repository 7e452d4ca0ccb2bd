//! The steps of this boot, each with its time.

use supervision::TimelineStep;

use crate::ids::Uptime;

/// More steps than this are not recorded: the boot is over by then, and a crash loop must not grow the list.
const CAPACITY: usize = 256;

/// The first time each step happened, in order.
#[derive(Debug, Clone, Default)]
pub struct Timeline {
    steps: Vec<TimelineStep>,
}

impl Timeline {
    /// Records a step; a step that was recorded before keeps its first time.
    pub fn record(&mut self, what: impl Into<String>, at: Uptime) {
        let what = what.into();
        if self.steps.len() < CAPACITY && !self.steps.iter().any(|step| step.what == what) {
            self.steps.push(TimelineStep { uptime_ms: at.as_millis(), what });
        }
    }

    /// The steps so far.
    #[must_use]
    pub fn steps(&self) -> &[TimelineStep] {
        &self.steps
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_keeps_its_first_time() {
        let mut timeline = Timeline::default();
        timeline.record("store ready", Uptime::from_millis(5));
        timeline.record("store ready", Uptime::from_millis(9));
        assert_eq!(timeline.steps(), [TimelineStep { uptime_ms: 5, what: "store ready".into() }]);
    }

    #[test]
    fn the_list_is_bounded() {
        let mut timeline = Timeline::default();
        for step in 0..1000 {
            timeline.record(format!("step {step}"), Uptime::from_millis(step));
        }
        assert_eq!(timeline.steps().len(), CAPACITY);
    }
}
