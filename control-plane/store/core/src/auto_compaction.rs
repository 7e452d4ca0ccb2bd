//! When to compact without being asked, and up to where. Time is an argument: what has passed since the process started.

use std::collections::VecDeque;
use std::time::Duration;

use crate::Revision;

const HOUR: Duration = Duration::from_hours(1);
/// How often to look when a number of revisions is kept.
const LOOK_AT_REVISIONS_EVERY: Duration = Duration::from_mins(5);
/// How many looks there are between two compactions when a time is kept: what is kept beyond that time is at most the
/// tenth part of an hour.
const LOOKS: u32 = 10;

/// What of the history is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Policy {
    /// At least this long.
    Period(Duration),
    /// At least this many revisions.
    Revisions(i64),
}

impl Policy {
    /// How often to look.
    #[must_use]
    pub fn look_every(self) -> Duration {
        match self {
            Self::Period(period) => period.min(HOUR) / LOOKS,
            Self::Revisions(_) => LOOK_AT_REVISIONS_EVERY,
        }
    }
}

/// What was seen of the store so far.
#[derive(Debug)]
pub struct Plan {
    policy: Policy,
    /// Moments with the newest revision each; the first is the last one old enough to be compacted up to, once there is one.
    seen: VecDeque<(Duration, Revision)>,
    compacted: Option<Duration>,
    target: Revision,
}

impl Plan {
    /// Begins to look.
    #[must_use]
    pub fn new(policy: Policy) -> Self {
        Self { policy, seen: VecDeque::new(), compacted: None, target: Revision::NEVER }
    }

    /// Looks at the store; the revision to compact up to, if it is time. Members that do not lead look as well, so that a new
    /// leader knows the past.
    pub fn look(&mut self, now: Duration, newest: Revision, leads: bool) -> Option<Revision> {
        let target = match self.policy {
            Policy::Period(period) => {
                self.seen.push_back((now, newest));
                let old_enough = |at: Duration| at.saturating_add(period) <= now;
                while self.seen.get(1).is_some_and(|(at, _)| old_enough(*at)) {
                    self.seen.pop_front();
                }
                let due = self.compacted.is_none_or(|last| last.saturating_add(period.min(HOUR)) <= now);
                self.seen.front().filter(|(at, _)| due && old_enough(*at)).map(|(_, revision)| *revision)?
            }
            Policy::Revisions(kept) => Revision(newest.0.saturating_sub(kept)),
        };
        (leads && target > self.target && target.0 > 0).then_some(target)
    }

    /// It was compacted up to `target`, by this member or another.
    pub fn done(&mut self, now: Duration, target: Revision) {
        self.compacted = Some(now);
        self.target = self.target.max(target);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Looks as often as the policy says; revisions move by one a minute. What is compacted, by minute.
    fn run(policy: Policy, minutes: u64, leads: impl Fn(u64) -> bool) -> Vec<(u64, i64)> {
        let mut plan = Plan::new(policy);
        let mut done = Vec::new();
        let step = policy.look_every();
        let mut now = Duration::ZERO;
        while now <= Duration::from_mins(minutes) {
            now += step;
            let minute = now.as_secs() / 60;
            if let Some(target) = plan.look(now, Revision(minute as i64), leads(minute)) {
                plan.done(now, target);
                done.push((minute, target.0));
            }
        }
        done
    }

    #[test]
    fn a_short_period_is_kept_and_looked_at_as_often() {
        let policy = Policy::Period(Duration::from_mins(30));
        assert_eq!(policy.look_every(), Duration::from_mins(3));
        assert_eq!(run(policy, 100, |_| true), [(33, 3), (63, 33), (93, 63)]);
    }

    #[test]
    fn a_long_period_is_compacted_every_hour() {
        let policy = Policy::Period(Duration::from_hours(5));
        assert_eq!(policy.look_every(), Duration::from_mins(6));
        assert_eq!(run(policy, 440, |_| true), [(306, 6), (366, 66), (426, 126)]);
    }

    #[test]
    fn only_the_leader_compacts_and_a_new_one_knows_the_past() {
        let policy = Policy::Period(Duration::from_mins(10));
        assert_eq!(run(policy, 30, |_| false), []);
        assert_eq!(run(policy, 42, |minute| minute >= 25), [(25, 15), (35, 25)]);
    }

    #[test]
    fn a_number_of_revisions_is_kept() {
        let policy = Policy::Revisions(12);
        assert_eq!(run(policy, 25, |_| true), [(15, 3), (20, 8), (25, 13), (30, 18)]);
        let mut plan = Plan::new(policy);
        assert_eq!(plan.look(HOUR, Revision(20), true), Some(Revision(8)));
        plan.done(HOUR, Revision(8));
        assert_eq!(plan.look(2 * HOUR, Revision(20), true), None, "nothing happened since");
    }
}
