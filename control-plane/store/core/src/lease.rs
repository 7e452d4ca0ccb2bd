//! The leader's clock of leases. Time is an argument: what has passed since the process started.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};
use std::time::Duration;

use crate::LeaseId;
use crate::record::LeaseRecord;

/// A lease is asked to end again after this long if it still has not.
const END_AGAIN_AFTER: Duration = Duration::from_secs(3);
/// Remaining times are written down no more often than this, so that idle leases cost next to nothing.
const CHECKPOINT_AFTER: Duration = Duration::from_secs(10);
/// Nor is a lease that nobody keeps alive left without a note for longer than this, however long it was granted for.
const FIRST_CHECKPOINT: Duration = Duration::from_mins(1);

/// What became of a keep-alive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Renewal {
    /// The lease lives for this many seconds again.
    Renewed {
        /// Its granted seconds.
        ttl: i64,
        /// A shorter time is written down and must be taken back before the client is told.
        written: bool,
    },
    /// There is no such lease, or its time is over.
    Gone,
}

#[derive(Debug)]
struct Held {
    ttl: i64,
    expires: Duration,
    renewed: Duration,
    /// When its remaining time was last written down, since it was renewed.
    written: Option<Duration>,
}

/// Every lease with the moment it ends. Only the leader's is asked.
#[derive(Debug, Default)]
pub struct Lessor {
    leases: HashMap<LeaseId, Held>,
    /// The moment to look at a lease; it may have been renewed since, and is then put back.
    due: BinaryHeap<Reverse<(Duration, LeaseId)>>,
}

fn seconds(count: i64) -> Duration {
    Duration::from_secs(count.max(0).unsigned_abs())
}

impl Lessor {
    /// Starts the clocks of a new leader: every lease gets what was left of it, and `grace` for the time without a leader.
    #[must_use]
    pub fn resume(records: impl IntoIterator<Item = (LeaseId, LeaseRecord)>, now: Duration, grace: Duration) -> Self {
        let mut lessor = Self::default();
        for (id, record) in records {
            let expires = now.saturating_add(seconds(record.remaining)).saturating_add(grace);
            let written = (record.remaining != record.ttl).then_some(now);
            lessor.leases.insert(id, Held { ttl: record.ttl, expires, renewed: now, written });
            lessor.due.push(Reverse((expires, id)));
        }
        lessor
    }

    /// A lease began.
    pub fn grant(&mut self, id: LeaseId, ttl: i64, now: Duration) {
        let expires = now.saturating_add(seconds(ttl));
        self.leases.insert(id, Held { ttl, expires, renewed: now, written: None });
        self.due.push(Reverse((expires, id)));
    }

    /// A lease ended.
    pub fn end(&mut self, id: LeaseId) {
        self.leases.remove(&id);
    }

    /// A client keeps a lease alive.
    pub fn renew(&mut self, id: LeaseId, now: Duration) -> Renewal {
        let Some(held) = self.leases.get_mut(&id) else { return Renewal::Gone };
        if held.expires <= now {
            return Renewal::Gone; // its end is on the way already
        }
        held.expires = now.saturating_add(seconds(held.ttl));
        held.renewed = now;
        let written = held.written.take().is_some();
        Renewal::Renewed { ttl: held.ttl, written }
    }

    /// The granted and the remaining seconds of a lease.
    #[must_use]
    pub fn remaining(&self, id: LeaseId, now: Duration) -> Option<(i64, i64)> {
        let held = self.leases.get(&id)?;
        let left = held.expires.saturating_sub(now).as_secs();
        Some((held.ttl, i64::try_from(left).unwrap_or(i64::MAX)))
    }

    /// How many leases there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.leases.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.leases.is_empty()
    }

    /// The leases whose time is over, at most `max`. One that has not [ended](Self::end) a while later is named again.
    pub fn expired(&mut self, now: Duration, max: usize) -> Vec<LeaseId> {
        let mut over = Vec::new();
        while over.len() < max
            && let Some(Reverse((when, id))) = self.due.peek().copied()
            && when <= now
        {
            self.due.pop();
            let Some(held) = self.leases.get(&id) else { continue };
            if held.expires <= now {
                over.push(id);
                self.due.push(Reverse((now.saturating_add(END_AGAIN_AFTER), id)));
            } else {
                self.due.push(Reverse((held.expires, id)));
            }
        }
        over
    }

    /// The remaining seconds worth writing down, at most `max` leases: those that were not kept alive for half of their time
    /// (or a minute) and lost another tenth (or ten seconds) since the last note. Leases that are kept alive regularly never get there.
    pub fn checkpoints(&mut self, now: Duration, max: usize) -> Vec<(LeaseId, i64)> {
        let mut notes = Vec::new();
        for (id, held) in &mut self.leases {
            if notes.len() >= max {
                break;
            }
            let ttl = seconds(held.ttl);
            let (since, pause) = match held.written {
                Some(written) => (written, (ttl / 10).max(CHECKPOINT_AFTER)),
                None => (held.renewed, (ttl / 2).clamp(CHECKPOINT_AFTER, FIRST_CHECKPOINT)),
            };
            let left = held.expires.saturating_sub(now).as_secs();
            if now.saturating_sub(since) >= pause && left > 0 {
                held.written = Some(now);
                notes.push((*id, i64::try_from(left).unwrap_or(i64::MAX)));
            }
        }
        notes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: LeaseId = LeaseId(1);
    const B: LeaseId = LeaseId(2);

    fn at(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn a_lease_ends_when_nobody_keeps_it() {
        let mut lessor = Lessor::default();
        lessor.grant(A, 10, at(0));
        lessor.grant(B, 10, at(0));
        assert_eq!(lessor.renew(B, at(5)), Renewal::Renewed { ttl: 10, written: false });
        assert_eq!(lessor.expired(at(9), 10), []);
        assert_eq!(lessor.expired(at(10), 10), [A]);
        assert_eq!(lessor.renew(A, at(10)), Renewal::Gone);
        assert_eq!(lessor.expired(at(11), 10), [], "asked once");
        assert_eq!(lessor.expired(at(14), 10), [A], "and again when it still lives");
        lessor.end(A);
        assert_eq!(lessor.expired(at(20), 10), [B]);
        assert_eq!(lessor.remaining(A, at(20)), None);
        assert_eq!(lessor.remaining(B, at(12)), Some((10, 3)));
    }

    #[test]
    fn ends_are_handed_out_in_portions() {
        let mut lessor = Lessor::default();
        for id in 1..=5 {
            lessor.grant(LeaseId(id), id, at(0));
        }
        assert_eq!(lessor.expired(at(9), 3), [LeaseId(1), LeaseId(2), LeaseId(3)]);
        assert_eq!(lessor.expired(at(9), 3), [LeaseId(4), LeaseId(5)]);
    }

    #[test]
    fn what_is_left_is_written_down_and_taken_back() {
        let mut lessor = Lessor::default();
        lessor.grant(A, 100, at(0));
        assert_eq!(lessor.checkpoints(at(40), 10), []);
        assert_eq!(lessor.checkpoints(at(50), 10), [(A, 50)]);
        assert_eq!(lessor.checkpoints(at(55), 10), []);
        assert_eq!(lessor.checkpoints(at(60), 10), [(A, 40)]);
        assert_eq!(lessor.renew(A, at(61)), Renewal::Renewed { ttl: 100, written: true });
        assert_eq!(lessor.renew(A, at(62)), Renewal::Renewed { ttl: 100, written: false });
        lessor.grant(B, 3600, at(62));
        lessor.end(A);
        assert_eq!(lessor.checkpoints(at(121), 10), []);
        assert_eq!(lessor.checkpoints(at(122), 10), [(B, 3540)]);
    }

    #[test]
    fn a_new_leader_goes_on_where_the_old_one_was() {
        let record = LeaseRecord { ttl: 100, remaining: 30 };
        let mut lessor = Lessor::resume([(A, record)], at(1000), at(2));
        assert_eq!(lessor.remaining(A, at(1000)), Some((100, 32)));
        assert_eq!(lessor.expired(at(1031), 10), []);
        assert_eq!(lessor.renew(A, at(1031)), Renewal::Renewed { ttl: 100, written: true });
    }
}
