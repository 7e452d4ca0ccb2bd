//! What follows when a watch ends: go on from the last revision, or list everything again, and how soon.

use std::time::Duration;

use backoff::Backoff;

/// How a watch, or the list before it, ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ended {
    /// The server closed it in order, as it does after the asked time.
    Closed,
    /// The connection broke, could not be made, or stayed silent for too long.
    Broken,
    /// The server answered with a failure instead, or in the midst of the events.
    Refused {
        /// The code of the status.
        code: u16,
        /// Whether it says that the asked revision is newer than anything the server has.
        revision_is_ahead: bool,
    },
    /// What came could not be understood.
    Garbled,
}

/// From where to go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// Watch from the last revision that was seen.
    Resume,
    /// Nothing is known any more: list, then watch.
    List,
}

/// A watch that lived this long was a good one: the next failure is the first of its row.
const GOOD: Duration = Duration::from_secs(10);

/// So many resumptions in a row may fail before everything is listed again: a server that lost its history (restored
/// from a backup) may not say so. More of them leave a stale picture longer; fewer list too often in an outage.
const RESUMPTIONS: u32 = 6;

/// The recovery of one watch. It never gives up and never spins.
#[derive(Debug)]
pub struct Recovery {
    backoff: Backoff,
    failures: u32,
}

impl Recovery {
    /// `first` and `last` bound the delay between tries.
    #[must_use]
    pub const fn new(first: Duration, last: Duration) -> Self {
        Self { backoff: Backoff::new(first, last), failures: 0 }
    }

    /// Chooses what to do after the watch lived for `lived` and ended in this way, and after which delay.
    ///
    /// # Guarantees
    ///
    /// The delay is zero only after a watch that lived long: a server that closes every watch at once is not asked
    /// in a tight loop.
    #[must_use]
    pub fn after(&mut self, ended: &Ended, lived: Duration, jitter: f64) -> (Next, Duration) {
        if lived >= GOOD {
            self.backoff.reset();
            self.failures = 0;
            if *ended == Ended::Closed {
                return (Next::Resume, Duration::ZERO);
            }
        }
        self.failures = self.failures.saturating_add(1);
        let next = match ended {
            Ended::Broken | Ended::Refused { code: 429 | 503, .. } => {
                if self.failures.is_multiple_of(RESUMPTIONS) {
                    Next::List
                } else {
                    Next::Resume
                }
            }
            Ended::Closed | Ended::Refused { code: 504, revision_is_ahead: false } => Next::Resume,
            Ended::Refused { .. } | Ended::Garbled => Next::List,
        };
        (next, self.backoff.next_delay(jitter))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn recovery() -> Recovery {
        Recovery::new(SECOND, SECOND * 30)
    }

    fn refused(code: u16) -> Ended {
        Ended::Refused { code, revision_is_ahead: false }
    }

    #[test]
    fn a_watch_that_ran_its_time_is_resumed_at_once() {
        assert_eq!(recovery().after(&Ended::Closed, SECOND * 300, 0.0), (Next::Resume, Duration::ZERO));
    }

    #[test]
    fn a_server_that_closes_every_watch_is_asked_less_and_less() {
        let mut recovery = recovery();
        let delays: Vec<_> = (0..7).map(|_| recovery.after(&Ended::Closed, Duration::ZERO, 0.0).1.as_secs()).collect();
        assert_eq!(delays, [1, 2, 4, 8, 16, 30, 30]);
    }

    #[test]
    fn a_lost_revision_leads_to_a_list_whatever_way_it_is_said() {
        assert_eq!(recovery().after(&refused(410), SECOND * 60, 0.0).0, Next::List);
        let ahead = Ended::Refused { code: 504, revision_is_ahead: true };
        assert_eq!(recovery().after(&ahead, Duration::ZERO, 0.0).0, Next::List);
        assert_eq!(recovery().after(&refused(400), Duration::ZERO, 0.0).0, Next::List);
        assert_eq!(recovery().after(&Ended::Garbled, Duration::ZERO, 0.0).0, Next::List);
    }

    #[test]
    fn an_outage_is_resumed_but_not_for_ever() {
        let mut recovery = recovery();
        let nexts: Vec<_> = (0..6).map(|_| recovery.after(&Ended::Broken, Duration::ZERO, 0.0).0).collect();
        assert_eq!(nexts[..5], [Next::Resume; 5]);
        assert_eq!(nexts[5], Next::List);
        assert_eq!(recovery.after(&refused(503), Duration::ZERO, 0.0).0, Next::Resume);
    }

    #[test]
    fn a_long_life_forgets_earlier_failures() {
        let mut recovery = recovery();
        for _ in 0..5 {
            let _ = recovery.after(&Ended::Broken, Duration::ZERO, 0.0);
        }
        assert_eq!(recovery.after(&Ended::Broken, SECOND * 60, 0.0), (Next::Resume, SECOND));
    }
}
