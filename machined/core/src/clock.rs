//! When the clock is set, and to what.

use std::time::{Duration, SystemTime};

/// A smaller error is left alone: setting the clock is a jump, and clocks of one network differ by this much anyway.
const TOLERANCE: Duration = Duration::from_millis(128);

/// The earliest time it can be: the later one of the build and of the last time that this machine wrote down.
#[must_use]
pub fn floor(build: SystemTime, stamp: Option<SystemTime>) -> SystemTime {
    stamp.map_or(build, |stamp| stamp.max(build))
}

/// What to set a clock to that shows a time before the floor; `None` if it does not.
#[must_use]
pub fn raise(now: SystemTime, floor: SystemTime) -> Option<SystemTime> {
    (now < floor).then_some(floor)
}

/// How far the clock is from that of a time server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Offset {
    /// The server is ahead.
    Behind(Duration),
    /// The server is behind.
    Ahead(Duration),
}

/// What to set the clock to after a server was asked; `None` to leave it. A time before `floor` is not believed.
#[must_use]
pub fn correct(now: SystemTime, offset: Offset, floor: SystemTime) -> Option<SystemTime> {
    let corrected = match offset {
        Offset::Behind(by) if by > TOLERANCE => now.checked_add(by)?,
        Offset::Ahead(by) if by > TOLERANCE => now.checked_sub(by)?,
        Offset::Behind(_) | Offset::Ahead(_) => return None,
    };
    (corrected >= floor).then_some(corrected)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)
    }

    #[test]
    fn a_clock_before_the_floor_is_raised() {
        assert_eq!(floor(at(100), None), at(100));
        assert_eq!(floor(at(100), Some(at(50))), at(100));
        assert_eq!(floor(at(100), Some(at(500))), at(500));
        assert_eq!(raise(at(0), at(100)), Some(at(100)));
        assert_eq!(raise(at(100), at(100)), None);
    }

    #[test]
    fn a_clock_that_is_off_is_set_but_never_before_the_floor() {
        let floor = at(100);
        assert_eq!(correct(at(1000), Offset::Behind(Duration::from_secs(9)), floor), Some(at(1009)));
        assert_eq!(correct(at(1000), Offset::Ahead(Duration::from_secs(9)), floor), Some(at(991)));
        assert_eq!(correct(at(1000), Offset::Ahead(Duration::from_millis(100)), floor), None);
        assert_eq!(correct(at(1000), Offset::Ahead(Duration::from_secs(950)), floor), None);
        assert_eq!(correct(at(1000), Offset::Behind(Duration::MAX), floor), None);
    }
}
