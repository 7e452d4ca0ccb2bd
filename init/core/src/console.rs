//! Lines for the console, and how much of them is shown.

use std::fmt;
use std::str::FromStr;

use crate::ids::Uptime;

/// How important a line is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// A step of boot or shutdown that other programs follow: always shown.
    Step,
    /// Something does not work.
    Error,
    /// Something is not as it should be; the machine goes on.
    Warning,
    /// Something to know.
    Info,
    /// The output of services, and details of PID 1's own work.
    Debug,
}

/// What the console shows, from the kernel argument `orlop.log`. The same words are given to each service.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub enum Level {
    /// Only steps.
    Off,
    /// And errors.
    Error,
    /// And warnings.
    Warn,
    /// And information.
    #[default]
    Info,
    /// And the output of services.
    Debug,
    /// The same on the console; services say more.
    Trace,
}

impl Level {
    /// Every level with its word.
    const WORDS: [(&'static str, Self); 6] = [
        ("off", Self::Off),
        ("error", Self::Error),
        ("warn", Self::Warn),
        ("info", Self::Info),
        ("debug", Self::Debug),
        ("trace", Self::Trace),
    ];

    /// The word of this level, as services understand it.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Off => "off",
            Self::Error => "error",
            Self::Warn => "warn",
            Self::Info => "info",
            Self::Debug => "debug",
            Self::Trace => "trace",
        }
    }

    /// Whether the console shows lines of this severity.
    #[must_use]
    pub const fn shows(self, severity: Severity) -> bool {
        match severity {
            Severity::Step => true,
            Severity::Error => self as u8 >= Self::Error as u8,
            Severity::Warning => self as u8 >= Self::Warn as u8,
            Severity::Info => self as u8 >= Self::Info as u8,
            Severity::Debug => self as u8 >= Self::Debug as u8,
        }
    }
}

impl FromStr for Level {
    type Err = UnknownLevel;

    fn from_str(word: &str) -> Result<Self, UnknownLevel> {
        Self::WORDS.iter().find(|(name, _)| *name == word).map(|(_, level)| *level).ok_or(UnknownLevel)
    }
}

/// The word is not the name of a level.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UnknownLevel;

impl fmt::Display for UnknownLevel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("is none of off, error, warn, info, debug, trace")
    }
}

impl std::error::Error for UnknownLevel {}

/// One line as every console shows it, with its line end.
#[must_use]
pub fn line(at: Uptime, text: &str) -> String {
    format!("[ {at}] orlop: {text}\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_form_that_other_programs_follow() {
        assert_eq!(line(Uptime::from_millis(2_045), "boot: init"), "[ 2.045] orlop: boot: init\n");
    }

    #[test]
    fn steps_are_always_shown_and_the_rest_by_level() {
        assert!(Level::Off.shows(Severity::Step) && !Level::Off.shows(Severity::Error));
        assert!(Level::Info.shows(Severity::Info) && !Level::Info.shows(Severity::Debug));
        assert!(Level::Trace.shows(Severity::Debug));
        for (word, level) in Level::WORDS {
            assert_eq!((word.parse(), level.word()), (Ok(level), word));
        }
        assert_eq!("loud".parse::<Level>(), Err(UnknownLevel));
    }
}
