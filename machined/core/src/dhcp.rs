//! A DHCP lease: what it gives, and when it is renewed.

use std::net::Ipv4Addr;
use std::time::Duration;

/// A server that promises less is not believed: with a shorter lease the machine would do little else than renew it.
const SHORTEST: Duration = Duration::from_mins(1);

/// The wire's word for "for ever"; also the longest time that is waited for in one piece.
const FOREVER: u32 = u32::MAX;

/// RFC 2131 says not to ask again earlier than this while renewing.
const RENEW_PAUSE: Duration = Duration::from_mins(1);

/// What a server gave.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lease {
    /// The address.
    pub address: Ipv4Addr,
    /// Bits of its network.
    pub prefix: u8,
    /// The default router.
    pub router: Option<Ipv4Addr>,
    /// Name servers.
    pub nameservers: Vec<Ipv4Addr>,
    /// Time servers.
    pub time_servers: Vec<Ipv4Addr>,
    /// A name for this machine.
    pub hostname: Option<String>,
    /// Largest packet.
    pub mtu: Option<u32>,
    /// The server that gave it.
    pub server: Ipv4Addr,
    /// When to do something about it.
    pub times: Times,
}

/// When a lease is renewed, counted from when it was granted: `renew <= rebind <= end`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Times {
    /// Ask the server that gave it.
    pub renew: Duration,
    /// Ask any server.
    pub rebind: Duration,
    /// The address must no longer be used.
    pub end: Duration,
}

impl Times {
    /// From the seconds of the answer. What contradicts itself is replaced by the usual half and seven eighths.
    #[must_use]
    pub fn new(lease: u32, renew: Option<u32>, rebind: Option<u32>) -> Self {
        let seconds = |value: u32| Duration::from_secs(value.into());
        let end = seconds(lease).max(SHORTEST);
        let rebind = rebind.map(seconds).filter(|rebind| *rebind < end).unwrap_or(end / 8 * 7);
        let renew = renew.map(seconds).filter(|renew| *renew < rebind).unwrap_or((end / 2).min(rebind));
        Self { renew, rebind, end }
    }

    /// Whether the lease never ends.
    pub fn is_endless(self) -> bool {
        self.end >= Duration::from_secs(FOREVER.into())
    }
}

/// What to do with a lease that was granted `age` ago.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// Nothing for so long.
    Wait(Duration),
    /// Ask the server that gave it; if it does not answer, decide again after so long.
    Renew(Duration),
    /// Ask any server; if none answers, decide again after so long.
    Rebind(Duration),
    /// Take the address away and start anew.
    GiveUp,
}

impl Times {
    /// Decides what to do at `age`.
    ///
    /// # Guarantees
    ///
    /// Every duration in the answer is longer than zero, and none reaches beyond the next of the three times.
    #[must_use]
    pub fn decide(self, age: Duration) -> Step {
        if self.is_endless() {
            return Step::Wait(self.end);
        }
        // Half of what is left, but not more often than once a minute, and not beyond the next time.
        let pause = |until: Duration| {
            let left = until.saturating_sub(age);
            (left / 2).max(RENEW_PAUSE).min(left)
        };
        if age < self.renew {
            Step::Wait(self.renew.saturating_sub(age))
        } else if age < self.rebind {
            Step::Renew(pause(self.rebind))
        } else if age < self.end {
            Step::Rebind(pause(self.end))
        } else {
            Step::GiveUp
        }
    }
}

/// Bits of the network from a mask; `None` if the mask has holes.
#[must_use]
pub fn prefix_of_mask(mask: Ipv4Addr) -> Option<u8> {
    let bits = mask.to_bits();
    let length = bits.leading_ones();
    (bits.count_ones() == length).then_some(length as u8)
}

/// Whether a machine may use an address that a server offers.
#[must_use]
pub fn is_usable(address: Ipv4Addr) -> bool {
    !address.is_unspecified() && !address.is_loopback() && !address.is_multicast() && !address.is_broadcast()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const fn s(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn a_lease_is_renewed_rebound_and_given_up() {
        let times = Times::new(86_400, None, None);
        assert_eq!(times, Times { renew: s(43_200), rebind: s(75_600), end: s(86_400) });
        assert_eq!(times.decide(s(0)), Step::Wait(s(43_200)));
        assert_eq!(times.decide(s(43_200)), Step::Renew(s(16_200)));
        assert_eq!(times.decide(s(75_590)), Step::Renew(s(10)));
        assert_eq!(times.decide(s(75_600)), Step::Rebind(s(5_400)));
        assert_eq!(times.decide(s(86_400)), Step::GiveUp);
    }

    #[test]
    fn contradictions_and_extremes_are_put_right() {
        assert_eq!(
            Times::new(1000, Some(900), Some(100)),
            Times { renew: s(500).min(s(100)), rebind: s(100), end: s(1000) }
        );
        assert_eq!(Times::new(0, None, None).end, s(60));
        assert_eq!(Times::new(u32::MAX, None, None).decide(s(1)), Step::Wait(s(u32::MAX.into())));
    }

    #[test]
    fn masks_are_read() {
        assert_eq!(prefix_of_mask(Ipv4Addr::new(255, 255, 240, 0)), Some(20));
        assert_eq!(prefix_of_mask(Ipv4Addr::UNSPECIFIED), Some(0));
        assert_eq!(prefix_of_mask(Ipv4Addr::BROADCAST), Some(32));
        assert_eq!(prefix_of_mask(Ipv4Addr::new(255, 0, 255, 0)), None);
    }

    proptest! {
        #[test]
        fn every_lease_makes_progress_and_ends(lease: u32, renew: Option<u32>, rebind: Option<u32>) {
            let times = Times::new(lease, renew, rebind);
            prop_assert!(times.renew <= times.rebind && times.rebind <= times.end);
            let mut age = Duration::ZERO;
            for _ in 0..200_000 {
                let (pause, bound) = match times.decide(age) {
                    Step::Wait(_) if times.is_endless() => return Ok(()),
                    Step::Wait(pause) => (pause, times.renew),
                    Step::Renew(pause) => (pause, times.rebind),
                    Step::Rebind(pause) => (pause, times.end),
                    Step::GiveUp => return Ok(()),
                };
                prop_assert!(!pause.is_zero() && age + pause <= bound);
                age += pause;
            }
            prop_assert!(false, "it never ended");
        }
    }
}
