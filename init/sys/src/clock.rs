//! The one clock of PID 1.

use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

/// Time since the kernel started, including time asleep. It never jumps and is the same for every process.
#[must_use]
pub fn since_kernel_start() -> Duration {
    let time = clock_gettime(ClockId::Boottime);
    // The boot clock is never negative and its nanoseconds are always below a second.
    Duration::new(u64::try_from(time.tv_sec).unwrap_or(0), u32::try_from(time.tv_nsec).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_clock_runs_forward_from_the_start_of_the_kernel() {
        let first = since_kernel_start();
        assert!(first > Duration::ZERO);
        assert!(since_kernel_start() >= first);
    }
}
