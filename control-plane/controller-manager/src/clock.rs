//! The two clocks: one that never goes back, for decisions, and the wall clock, for what users read.

use controller_manager_core::uptime::Uptime;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, Time};
use k8s_openapi::jiff::Timestamp;
use tokio::time::Instant;

/// Tells the time since it was made. Copies agree.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Clock {
    start: Instant,
}

impl Clock {
    pub(crate) fn new() -> Self {
        Self { start: Instant::now() }
    }

    pub(crate) fn now(self) -> Uptime {
        Uptime::new(self.start.elapsed())
    }

    /// Sleeps until `at`; returns at once when that is past.
    pub(crate) async fn sleep_until(self, at: Uptime) {
        tokio::time::sleep_until(self.start + at.since_start()).await;
    }
}

/// The wall clock in whole seconds, as conditions hold it.
pub(crate) fn wall_time() -> Time {
    let now = Timestamp::now();
    Time(Timestamp::from_second(now.as_second()).unwrap_or(now))
}

/// The wall clock in microseconds, as leases hold it.
pub(crate) fn wall_micro_time() -> MicroTime {
    let now = Timestamp::now();
    MicroTime(Timestamp::from_microsecond(now.as_microsecond()).unwrap_or(now))
}

/// A number in `0.0..1.0` for spreading retries.
pub(crate) fn jitter() -> f64 {
    rand::random()
}
