//! Time, and seats times time.

use std::ops::{Add, AddAssign, Sub, SubAssign};
use std::time::Duration;

/// A moment on a clock that never goes back: nanoseconds since any fixed one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Moment(u64);

impl Moment {
    /// The moment `since` behind the fixed one.
    pub fn after(since: Duration) -> Self {
        Self(u64::try_from(since.as_nanos()).unwrap_or(u64::MAX))
    }

    /// The time from `earlier` to here; none if it is later.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }
}

/// Seats times the time they are held. Wide enough that it never has to be wound back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct SeatTime(i128);

impl SeatTime {
    /// More than any work there is.
    pub const MAX: Self = Self(i128::MAX);

    /// `seats` held for `time`.
    pub fn of(seats: u64, time: Duration) -> Self {
        Self(i128::from(seats) * i128::try_from(time.as_nanos()).unwrap_or(i128::from(u64::MAX)))
    }

    /// An equal part for each of `parts`.
    #[must_use]
    pub fn split(self, parts: usize) -> Self {
        Self(self.0 / i128::try_from(parts.max(1)).unwrap_or(i128::MAX))
    }

    /// How long `seats` must be held for this.
    pub fn per(self, seats: u64) -> Duration {
        Duration::from_nanos(u64::try_from(self.0 / i128::from(seats.max(1))).unwrap_or_default())
    }

    /// In seat-seconds.
    pub fn seconds(self) -> f64 {
        self.0 as f64 / 1e9
    }
}

impl Add for SeatTime {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self(self.0 + other.0)
    }
}

impl Sub for SeatTime {
    type Output = Self;

    fn sub(self, other: Self) -> Self {
        Self(self.0 - other.0)
    }
}

impl AddAssign for SeatTime {
    fn add_assign(&mut self, other: Self) {
        self.0 += other.0;
    }
}

impl SubAssign for SeatTime {
    fn sub_assign(&mut self, other: Self) {
        self.0 -= other.0;
    }
}
