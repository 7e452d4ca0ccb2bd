//! Which members answer their leader, as an operator is told: once when one falls silent, again from time to time while it
//! stays so, and once when it is back. No I/O and no clock.

use std::collections::BTreeMap;
use std::time::Duration;

/// A member that stays silent is named again after so long. More often: lines that say nothing new push others out of the
/// log; more seldom: whoever looks at the end of the log does not see what is wrong.
const REMIND_EVERY: Duration = Duration::from_mins(1);

/// What there is to say of a member.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Remark {
    /// It does not answer any more.
    Silent,
    /// It still does not.
    StillSilent,
    /// It answers again.
    Back {
        /// After so long.
        silent_for: Duration,
    },
}

#[derive(Debug, Clone, Copy)]
struct Silence {
    since: Duration,
    said: Duration,
}

/// The members that were silent when they were looked at last. A leader begins with a new one.
#[derive(Debug)]
pub struct RollCall {
    patience: Duration,
    silent: BTreeMap<u64, Silence>,
}

impl RollCall {
    /// Nobody is silent; a member is once nothing was heard of it for longer than `patience`.
    #[must_use]
    pub fn new(patience: Duration) -> Self {
        Self { patience, silent: BTreeMap::new() }
    }

    /// Looks at a member of which nothing was heard for `silent_for`; `now` is any clock that goes on evenly.
    pub fn look(&mut self, member: u64, silent_for: Duration, now: Duration) -> Option<Remark> {
        if silent_for <= self.patience {
            let silence = self.silent.remove(&member)?;
            return Some(Remark::Back { silent_for: now.saturating_sub(silence.since) });
        }
        let Some(silence) = self.silent.get_mut(&member) else {
            self.silent.insert(member, Silence { since: now.saturating_sub(silent_for), said: now });
            return Some(Remark::Silent);
        };
        if now.saturating_sub(silence.said) < REMIND_EVERY {
            return None;
        }
        silence.said = now;
        Some(Remark::StillSilent)
    }

    /// Forgets members that are none any more.
    pub fn keep(&mut self, is_member: impl Fn(u64) -> bool) {
        self.silent.retain(|member, _| is_member(*member));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATIENCE: Duration = Duration::from_secs(2);

    fn seconds(count: u64) -> Duration {
        Duration::from_secs(count)
    }

    #[test]
    fn a_silent_member_is_named_once_then_once_a_minute_and_once_when_it_is_back() {
        let mut call = RollCall::new(PATIENCE);
        assert_eq!(call.look(1, PATIENCE, seconds(10)), None);
        assert_eq!(call.look(1, seconds(3), seconds(11)), Some(Remark::Silent));
        let said = (12..131).filter_map(|now| call.look(1, seconds(now - 8), seconds(now)).map(|remark| (now, remark)));
        assert_eq!(said.collect::<Vec<_>>(), [(71, Remark::StillSilent)]);
        assert_eq!(call.look(1, seconds(123), seconds(131)), Some(Remark::StillSilent));
        assert_eq!(call.look(1, seconds(0), seconds(138)), Some(Remark::Back { silent_for: seconds(130) }));
        assert_eq!(call.look(1, seconds(1), seconds(139)), None);
    }

    #[test]
    fn each_member_has_a_silence_of_its_own_until_it_is_none() {
        let mut call = RollCall::new(PATIENCE);
        assert_eq!(call.look(1, seconds(3), seconds(5)), Some(Remark::Silent));
        assert_eq!(call.look(2, seconds(1), seconds(5)), None);
        assert_eq!(call.look(2, seconds(3), seconds(7)), Some(Remark::Silent));
        call.keep(|member| member == 2);
        assert_eq!(call.look(1, seconds(0), seconds(8)), None, "it is not back: it is another member's number");
        assert_eq!(call.look(2, seconds(0), seconds(8)), Some(Remark::Back { silent_for: seconds(4) }));
    }
}
