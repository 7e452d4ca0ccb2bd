//! When a trouble that lasts is worth a log line: at its beginning, now and then while it lasts, and at its end.

use std::time::Duration;

use crate::uptime::Uptime;

/// While a trouble lasts it is mentioned this often. More often floods the log of an outage; more seldom looks hung.
const REMINDER: Duration = Duration::from_mins(1);

/// One thing that works or does not.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Trouble(Option<Since>);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Since {
    began: Uptime,
    said: Uptime,
}

impl Trouble {
    /// It does not work. Returns whether to say so now.
    #[must_use]
    pub fn failed(&mut self, now: Uptime) -> bool {
        let Some(since) = &mut self.0 else {
            self.0 = Some(Since { began: now, said: now });
            return true;
        };
        let due = now.since(since.said) >= REMINDER;
        if due {
            since.said = now;
        }
        due
    }

    /// It works. Returns how long it did not, if so.
    pub fn worked(&mut self, now: Uptime) -> Option<Duration> {
        self.0.take().map(|since| now.since(since.began))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Uptime {
        Uptime::new(Duration::from_secs(seconds))
    }

    #[test]
    fn an_outage_is_told_at_its_beginning_each_minute_and_at_its_end() {
        let mut trouble = Trouble::default();
        assert_eq!(trouble.worked(at(0)), None);
        let said: Vec<_> = (1..=130).filter(|second| trouble.failed(at(*second))).collect();
        assert_eq!(said, [1, 61, 121]);
        assert_eq!(trouble.worked(at(131)), Some(Duration::from_secs(130)));
        assert_eq!(trouble.worked(at(132)), None);
        assert!(trouble.failed(at(133)));
    }
}
