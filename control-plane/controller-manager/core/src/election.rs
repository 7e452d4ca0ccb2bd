//! Who leads: one of several copies of the program, by a claim on a Lease object that is renewed in time.
//!
//! ```text
//!               the claim is free, ours, or has not moved for its duration; our write succeeds
//!   Following ------------------------------------------------------------------------------> Leading
//!       ^                                                                                        |
//!       '---------- somebody else's claim was written, or ours not renewed before the deadline --'
//! ```
//!
//! Nobody's wall clock is compared with another's: a claim is judged by how long *we* have seen it unchanged.
//!
//! # Guarantees
//!
//! While clocks run at the same speed and `renew_deadline` is shorter than `lease_duration`, no two candidates are in
//! [`Election::leads`] at the same time, whatever the network delays or drops.

use std::time::Duration;

use crate::uptime::Uptime;

/// The three times of an election.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timing {
    /// Others wait this long for a leader that is silent before they take over.
    pub lease_duration: Duration,
    /// A leader that could not renew for this long stops leading.
    pub renew_deadline: Duration,
    /// The time between tries.
    pub retry_period: Duration,
}

/// Why the three times do not go together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TimingError {
    /// Two leaders would overlap.
    #[error("the lease duration must be greater than the renew deadline")]
    LeaseTooShort,
    /// A leader would have no second try.
    #[error("the renew deadline must be greater than 1.2 times the retry period")]
    DeadlineTooShort,
    /// Lease objects count whole seconds, and there is no such thing as no pause.
    #[error("the lease duration must be at least one second and the retry period greater than zero")]
    TooSmall,
}

impl Timing {
    /// Checks that the times go together.
    pub fn check(self) -> Result<Self, TimingError> {
        if self.lease_duration < Duration::from_secs(1) || self.retry_period.is_zero() {
            Err(TimingError::TooSmall)
        } else if self.lease_duration <= self.renew_deadline {
            Err(TimingError::LeaseTooShort)
        } else if self.renew_deadline <= self.retry_period.mul_f64(1.2) {
            Err(TimingError::DeadlineTooShort)
        } else {
            Ok(self)
        }
    }
}

/// A claim as it stands in the Lease object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claim {
    /// Who holds it; empty when it was given back.
    pub holder: String,
    /// How long it holds without being renewed.
    pub duration: Duration,
    /// The revision of the object: it differs whenever anything about the claim does.
    pub revision: String,
}

/// What to do about the Lease object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Move {
    /// Write the first claim; must fail when somebody else was faster.
    Create,
    /// Write our claim over one that is free or stale; must fail when it was changed since it was read.
    Take,
    /// Write a new time into our own claim; must fail when it was changed since it was read.
    Renew,
    /// Somebody else leads.
    Leave,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum State {
    Following { seen: Option<Seen> },
    Leading { renewed_at: Uptime },
}

/// A foreign claim, and since when we have known it in this form.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Seen {
    claim: Claim,
    since: Uptime,
}

/// One candidate's part in the election.
#[derive(Debug)]
pub struct Election {
    identity: String,
    timing: Timing,
    state: State,
}

impl Election {
    /// A candidate that has seen nothing yet. `identity` must be unique among all candidates that ever were.
    #[must_use]
    pub fn new(identity: String, timing: Timing) -> Self {
        Self { identity, timing, state: State::Following { seen: None } }
    }

    /// Judges the claim that was just read (`None`: there is no Lease object).
    ///
    /// Reading somebody else's claim ends our own leadership at once.
    #[must_use]
    pub fn judge(&mut self, claim: Option<Claim>, now: Uptime) -> Move {
        let Some(claim) = claim else { return Move::Create };
        if claim.holder == self.identity {
            return Move::Renew;
        }
        if claim.holder.is_empty() {
            self.state = State::Following { seen: None };
            return Move::Take;
        }
        let since = match &self.state {
            State::Following { seen: Some(seen) } if seen.claim == claim => seen.since,
            State::Following { .. } | State::Leading { .. } => now,
        };
        let stale = since + claim.duration <= now;
        self.state = State::Following { seen: Some(Seen { claim, since }) };
        if stale { Move::Take } else { Move::Leave }
    }

    /// Our claim is written. `asked_at` is the instant *before* the request was sent: others count from a later one.
    pub fn written(&mut self, asked_at: Uptime) {
        self.state = match self.state {
            State::Leading { renewed_at } => State::Leading { renewed_at: renewed_at.max(asked_at) },
            State::Following { .. } => State::Leading { renewed_at: asked_at },
        };
    }

    /// Whether we lead at `now`.
    #[must_use]
    pub fn leads(&self, now: Uptime) -> bool {
        self.leads_until().is_some_and(|until| now < until)
    }

    /// The end of our leadership unless it is renewed; `None` when we do not lead.
    #[must_use]
    pub fn leads_until(&self) -> Option<Uptime> {
        match &self.state {
            State::Leading { renewed_at } => Some(*renewed_at + self.timing.renew_deadline),
            State::Following { .. } => None,
        }
    }

    /// Leadership is over: given back, or not renewed in time.
    pub fn resign(&mut self) {
        self.state = State::Following { seen: None };
    }

    /// The other candidate that leads as far as we know.
    #[must_use]
    pub fn other_leader(&self) -> Option<&str> {
        match &self.state {
            State::Following { seen: Some(seen) } => Some(&seen.claim.holder),
            State::Following { seen: None } | State::Leading { .. } => None,
        }
    }

    /// How long to wait before the next try. Followers spread by up to a fifth, so that they do not all come at once.
    #[must_use]
    pub fn pause(&self, jitter: f64) -> Duration {
        match &self.state {
            State::Leading { .. } => self.timing.retry_period,
            State::Following { .. } => self.timing.retry_period.mul_f64(1.0 + jitter.clamp(0.0, 1.0) / 5.0),
        }
    }

    /// Who we are.
    #[must_use]
    pub fn identity(&self) -> &str {
        &self.identity
    }

    /// The three times.
    #[must_use]
    pub const fn timing(&self) -> Timing {
        self.timing
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TIMING: Timing = Timing {
        lease_duration: Duration::from_secs(15),
        renew_deadline: Duration::from_secs(10),
        retry_period: Duration::from_secs(2),
    };

    fn at(seconds: u64) -> Uptime {
        Uptime::new(Duration::from_secs(seconds))
    }

    fn claim(holder: &str, revision: &str) -> Claim {
        Claim { holder: holder.into(), duration: TIMING.lease_duration, revision: revision.into() }
    }

    fn candidate() -> Election {
        Election::new("me".into(), TIMING)
    }

    #[test]
    fn the_first_one_creates_the_claim_and_leads_until_the_deadline() {
        let mut me = candidate();
        assert_eq!(me.judge(None, at(0)), Move::Create);
        assert!(!me.leads(at(0)), "a wish is not a claim");
        me.written(at(0));
        assert!(me.leads(at(9)));
        assert!(!me.leads(at(10)));
        me.written(at(8));
        assert!(me.leads(at(17)));
    }

    #[test]
    fn a_foreign_claim_is_taken_only_when_it_has_not_moved_for_its_duration() {
        let mut me = candidate();
        assert_eq!(me.judge(Some(claim("other", "1")), at(100)), Move::Leave);
        assert_eq!(me.judge(Some(claim("other", "1")), at(114)), Move::Leave);
        assert_eq!(me.judge(Some(claim("other", "2")), at(115)), Move::Leave, "it was renewed");
        assert_eq!(me.other_leader(), Some("other"));
        assert_eq!(me.judge(Some(claim("other", "2")), at(129)), Move::Leave);
        assert_eq!(me.judge(Some(claim("other", "2")), at(130)), Move::Take);
    }

    #[test]
    fn a_claim_that_was_given_back_is_taken_at_once() {
        assert_eq!(candidate().judge(Some(claim("", "7")), at(0)), Move::Take);
    }

    #[test]
    fn reading_a_foreign_claim_ends_leadership() {
        let mut me = candidate();
        me.written(at(0));
        assert_eq!(me.judge(Some(claim("me", "1")), at(1)), Move::Renew);
        assert!(me.leads(at(1)));
        assert_eq!(me.judge(Some(claim("other", "2")), at(2)), Move::Leave);
        assert!(!me.leads(at(2)));
    }

    #[test]
    fn times_that_let_two_lead_are_refused() {
        assert_eq!(TIMING.check(), Ok(TIMING));
        let equal = Timing { renew_deadline: TIMING.lease_duration, ..TIMING };
        assert_eq!(equal.check(), Err(TimingError::LeaseTooShort));
        assert_eq!(
            Timing { retry_period: TIMING.renew_deadline, ..TIMING }.check(),
            Err(TimingError::DeadlineTooShort)
        );
        assert_eq!(Timing { retry_period: Duration::ZERO, ..TIMING }.check(), Err(TimingError::TooSmall));
    }

    /// Three candidates on one Lease with optimistic concurrency, lost answers and long delays.
    #[test]
    fn there_are_never_two_leaders_and_sooner_or_later_there_is_one() {
        struct InFlight {
            who: usize,
            based_on: u64,
            asked_at: Uptime,
            arrives: u64,
            answered: u64,
        }
        for seed in 1..=1_000_u64 {
            let mut chance = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15);
            let mut roll = |sides: u64| {
                chance ^= chance << 13;
                chance ^= chance >> 7;
                chance ^= chance << 17;
                chance % sides
            };
            let mut candidates: Vec<_> = (0..3).map(|n| Election::new(format!("c{n}"), TIMING)).collect();
            let mut lease: (u64, String) = (0, String::new());
            let mut flying: Vec<InFlight> = Vec::new();
            let mut next_try = [0; 3];
            let mut leaders_seen = 0;
            // Tenths of a second.
            for tick in 0..6_000_u64 {
                let now = Uptime::new(Duration::from_millis(tick * 100));
                // The last minute is calm: somebody must lead at its end.
                let stormy = tick < 5_400;
                for (who, candidate) in candidates.iter_mut().enumerate() {
                    let waits = flying.iter().any(|request| request.who == who);
                    if waits || tick < next_try[who] {
                        continue;
                    }
                    let pause = candidate.pause(roll(100) as f64 / 100.0).as_millis() as u64 / 100;
                    next_try[who] = tick + pause + if stormy { roll(60) } else { 0 };
                    let seen = (lease.0 > 0).then(|| Claim {
                        holder: lease.1.clone(),
                        duration: TIMING.lease_duration,
                        revision: lease.0.to_string(),
                    });
                    if candidate.judge(seen, now) != Move::Leave {
                        let delay = if stormy && roll(4) == 0 { roll(300) } else { roll(5) };
                        let arrives = tick + delay;
                        let answered = arrives + if stormy { roll(100) } else { 1 };
                        flying.push(InFlight { who, based_on: lease.0, asked_at: now, arrives, answered });
                    }
                }
                for request in &mut flying {
                    if request.arrives == tick && request.based_on != u64::MAX {
                        if lease.0 == request.based_on {
                            lease = (lease.0 + 1, format!("c{}", request.who));
                        } else {
                            // A conflict: mark it as refused.
                            request.based_on = u64::MAX;
                        }
                    }
                }
                flying.retain(|request| {
                    if request.answered > tick {
                        return true;
                    }
                    if request.based_on != u64::MAX && !(stormy && roll(5) == 0) {
                        candidates[request.who].written(request.asked_at);
                    }
                    false
                });
                let leading = candidates.iter().filter(|candidate| candidate.leads(now)).count();
                assert!(leading <= 1, "seed {seed}: {leading} leaders at {now:?}");
                leaders_seen += leading;
            }
            assert!(leaders_seen > 0, "seed {seed}: nobody ever led");
            let end = Uptime::new(Duration::from_millis(5_999 * 100));
            assert!(
                candidates.iter().any(|candidate| candidate.leads(end)),
                "seed {seed}: nobody leads in calm weather"
            );
        }
    }
}
