//! How often a claim code may be guessed, and what a claim is worth.

use std::time::Duration;

use crate::roles::Role;

/// Guesses for one code. Each is counted when it begins, so that breaking off does not help.
const GUESSES: u32 = 8;
/// After the first guess this long must pass; after each further one twice as long...
const FIRST_DELAY_MS: u64 = 1_000;
/// ...and after the last one this long. The code is another one then.
const LOCK_OUT_MS: u64 = 15 * 60_000;
/// A handshake that takes longer is given up.
const HANDSHAKE_MS: u64 = 10_000;

/// Why a claim is open.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Occasion {
    /// Nobody has claimed the machine yet.
    First,
    /// Somebody at the console has asked for it with a kernel argument, though the machine is claimed.
    Again,
}

impl Occasion {
    /// The role that a claim gives.
    #[must_use]
    pub const fn role(self) -> Role {
        match self {
            Self::First => Role::Admin,
            Self::Again => Role::BreakGlass,
        }
    }

    /// How long what a claim gives is valid.
    #[must_use]
    pub const fn lifetime(self) -> Duration {
        match self {
            Self::First => OPERATOR_LIFETIME,
            Self::Again => Duration::from_hours(1),
        }
    }
}

/// How long an operator's certificate is valid. None can be revoked, so it is a day; a valid one gets the next.
pub const OPERATOR_LIFETIME: Duration = Duration::from_hours(24);

/// Whether the machine may be claimed. `introduced` says that the hypervisor has introduced an operator, `again` that the
/// kernel argument asks for a claim.
#[must_use]
pub const fn occasion(claimed: bool, introduced: bool, again: bool) -> Option<Occasion> {
    match (claimed || introduced, again) {
        (false, _) => Some(Occasion::First),
        (true, true) => Some(Occasion::Again),
        (true, false) => None,
    }
}

/// A guess that may not begin, with the milliseconds after which one may.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refused {
    /// Another handshake is under way.
    Busy(u64),
    /// The last guess was too recent.
    TooSoon(u64),
}

/// A guess that may begin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Begun {
    /// It is the last one for this code: the next needs another code.
    pub last: bool,
}

/// Counts guesses. `now_ms` is always a clock that only goes forward, of this boot: a reboot begins anew, with another code.
#[derive(Debug, Clone, Default)]
pub struct Limiter {
    guesses: u32,
    not_before_ms: u64,
    busy_until_ms: u64,
}

impl Limiter {
    /// Begins a guess, if it may.
    pub fn begin(&mut self, now_ms: u64) -> Result<Begun, Refused> {
        if now_ms < self.busy_until_ms {
            return Err(Refused::Busy(self.busy_until_ms.max(self.not_before_ms) - now_ms));
        }
        if now_ms < self.not_before_ms {
            return Err(Refused::TooSoon(self.not_before_ms - now_ms));
        }
        if self.guesses == GUESSES {
            self.guesses = 0;
        }
        let delay = FIRST_DELAY_MS << self.guesses;
        self.guesses += 1;
        let last = self.guesses == GUESSES;
        self.not_before_ms = now_ms + if last { LOCK_OUT_MS } else { delay };
        self.busy_until_ms = now_ms + HANDSHAKE_MS;
        Ok(Begun { last })
    }

    /// Whether the handshake that began last may still go on.
    #[must_use]
    pub fn in_time(&self, now_ms: u64) -> bool {
        now_ms < self.busy_until_ms
    }

    /// The handshake has ended.
    pub fn ended(&mut self) {
        self.busy_until_ms = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn guesses_take_longer_and_longer() {
        let mut limiter = Limiter::default();
        let mut now = 5;
        let mut waits = Vec::new();
        loop {
            let begun = limiter.begin(now).unwrap();
            assert!(limiter.in_time(now));
            assert_eq!(limiter.begin(now), Err(Refused::Busy(limiter.not_before_ms.max(now + HANDSHAKE_MS) - now)));
            limiter.ended();
            let Err(Refused::TooSoon(wait)) = limiter.begin(now) else { panic!("no delay") };
            assert_eq!(limiter.begin(now + wait - 1), Err(Refused::TooSoon(1)));
            waits.push(wait / 1000);
            now += wait;
            if begun.last {
                break;
            }
        }
        assert_eq!(waits, [1, 2, 4, 8, 16, 32, 64, 900]);
        assert_eq!(limiter.begin(now), Ok(Begun { last: false }), "with another code it begins anew");
    }

    #[test]
    fn who_breaks_off_has_guessed_all_the_same() {
        let mut limiter = Limiter::default();
        limiter.begin(0).unwrap();
        assert_eq!(limiter.begin(9_999), Err(Refused::Busy(1)), "the handshake may still go on");
        assert!(!limiter.in_time(10_000));
        // Without a word from the first, which took longer than its delay.
        limiter.begin(10_000).unwrap();
        assert_eq!(limiter.guesses, 2);
    }

    #[test]
    fn a_day_of_guesses_is_a_thousand_at_most() {
        let mut limiter = Limiter::default();
        let day = 24 * 3_600_000;
        let mut guesses = 0;
        for now in (0..day).step_by(100) {
            if limiter.begin(now).is_ok() {
                limiter.ended();
                guesses += 1;
            }
        }
        assert!(guesses < 1_000, "{guesses}");
    }

    #[test]
    fn a_machine_is_claimed_once_or_from_its_console() {
        assert_eq!(occasion(false, false, false), Some(Occasion::First));
        assert_eq!(occasion(false, true, false), None);
        assert_eq!(occasion(true, false, false), None);
        assert_eq!(occasion(true, false, true), Some(Occasion::Again));
        assert_eq!(occasion(false, true, true), Some(Occasion::Again));
        assert_eq!((Occasion::First.role(), Occasion::Again.role()), (Role::Admin, Role::BreakGlass));
    }
}
