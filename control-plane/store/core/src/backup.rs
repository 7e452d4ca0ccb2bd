//! Continuous backup, decided: how its objects are called, which of them lead to a point in time, and which may go.
//!
//! A backup is the log itself, kept elsewhere. A *chain* is an unbroken run of it: it begins with a snapshot of the state,
//! goes on with *segments* of log entries, and gets another snapshot now and then, so that no restore has to replay much.
//! Everything a reader has to know to find its way stands in the names of the objects:
//!
//! ```text
//! <cluster>/<chain>/snapshot-<index>-<term>-r<revision>-<time>.db
//! <cluster>/<chain>/segment-<first>-<last>-<term>-r<revision>-<time>-<digest>.seg
//! ```
//!
//! A chain that cannot be continued, because entries that were not backed up are gone from the log, is left as it is, and
//! another one begins.

pub mod marks;
pub mod name;
pub mod plan;
pub mod record;
pub mod replay;
pub mod retention;

use std::fmt;

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;

/// An entry of the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LogPlace {
    /// Its index.
    pub index: u64,
    /// Its term.
    pub term: u64,
}

/// Milliseconds since 1970.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Moment(pub i64);

const TIME: &str = "%Y%m%dT%H%M%S%.3f";

impl Moment {
    /// Reads the form that names have: `20260102T030405.678Z`.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let time = DateTime::strptime("%Y%m%dT%H%M%S%.f", text.strip_suffix('Z')?).ok()?;
        Some(Self(time.to_zoned(TimeZone::UTC).ok()?.timestamp().as_millisecond()))
    }

    /// As people write it: `2026-01-02T03:04:05.678Z`.
    #[must_use]
    pub fn rfc3339(self) -> String {
        self.timestamp().to_string()
    }

    fn timestamp(self) -> Timestamp {
        // Only what lies more than eight thousand years from here cannot be written.
        Timestamp::from_millisecond(self.0).unwrap_or_default()
    }
}

impl fmt::Display for Moment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}Z", self.timestamp().strftime(TIME))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_written_and_read() {
        for (millis, text) in [(0, "19700101T000000.000Z"), (1_767_323_045_678, "20260102T030405.678Z")] {
            assert_eq!(Moment(millis).to_string(), text);
            assert_eq!(Moment::parse(text), Some(Moment(millis)));
        }
        assert_eq!(Moment(1_767_323_045_678).rfc3339(), "2026-01-02T03:04:05.678Z");
        for wrong in ["", "Z", "20260102T030405.678", "20261302T030405.678Z", "yesterdayZ"] {
            assert_eq!(Moment::parse(wrong), None, "{wrong}");
        }
    }
}
