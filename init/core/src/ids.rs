//! The small types that must not be mistaken for one another.

use std::fmt;
use std::ops::Add;
use std::time::Duration;

/// Time since the kernel started, in whole milliseconds (the kernel's boot time clock: it never jumps).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Uptime(u64);

impl Uptime {
    /// From milliseconds since the kernel started.
    #[must_use]
    pub const fn from_millis(millis: u64) -> Self {
        Self(millis)
    }

    /// Milliseconds since the kernel started.
    #[must_use]
    pub const fn as_millis(self) -> u64 {
        self.0
    }

    /// How long ago `earlier` was; zero if it lies in the future.
    #[must_use]
    pub const fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(self.0.saturating_sub(earlier.0))
    }
}

impl Add<Duration> for Uptime {
    type Output = Self;

    fn add(self, delay: Duration) -> Self {
        Self(self.0.saturating_add(u64::try_from(delay.as_millis()).unwrap_or(u64::MAX)))
    }
}

/// Seconds with three decimals, as on the console.
impl fmt::Display for Uptime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{:03}", self.0 / 1000, self.0 % 1000)
    }
}

/// A process that exists or existed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Pid(pub u32);

impl fmt::Display for Pid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The place of a service in its table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ServiceId(pub usize);

/// Who waits for the answer to an order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Asker(pub u64);

/// What the kernel ends a process with that breaks the filter of its system calls.
const SIGSYS: i32 = 31;

/// How a process ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// It returned this code.
    Code(i32),
    /// This signal ended it.
    Signal(i32),
}

impl Exit {
    /// Whether the process ended by itself and called it a success.
    #[must_use]
    pub const fn is_success(self) -> bool {
        matches!(self, Self::Code(0))
    }
}

impl fmt::Display for Exit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Code(code) => write!(f, "exit code {code}"),
            Self::Signal(SIGSYS) => write!(f, "killed by SIGSYS: it made a system call that is forbidden to it"),
            Self::Signal(signal) => write!(f, "killed by signal {signal}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_broken_filter_is_named() {
        assert_eq!(Exit::Signal(9).to_string(), "killed by signal 9");
        assert!(Exit::Signal(31).to_string().starts_with("killed by SIGSYS: "));
    }

    #[test]
    fn uptime_shows_seconds_and_never_wraps() {
        assert_eq!(Uptime::from_millis(12_034).to_string(), "12.034");
        assert_eq!(Uptime::from_millis(u64::MAX) + Duration::MAX, Uptime::from_millis(u64::MAX));
        assert_eq!(Uptime::from_millis(1).since(Uptime::from_millis(9)), Duration::ZERO);
    }
}
