//! How the machine ends: a ladder whose every rung has a deadline, so that no service, process or disk can keep it up.
//!
//! ```text
//!   Services ------> Everything ------> FileSystems ------> End
//!   stopped in       SIGKILL to all     written back and    reboot(2), again every 2 s;
//!   reverse order    that is left       unmounted           then the hardware watchdog
//!   <= 40 s          <= 5 s             <= 10 s
//! ```
//!
//! The hardware watchdog is not fed any more once `End` was reached: it is the last rung when the kernel cannot end the
//! machine.

use std::time::Duration;

use supervision::ShutdownMode;

use crate::ids::Uptime;

/// From the order to the first try to end the machine, whatever happens.
pub const LADDER_LIMIT: Duration = Duration::from_mins(1);

/// All services together. Shorter than the sum of their graces would kill a store that still writes.
const SERVICES_LIMIT: Duration = Duration::from_secs(40);
/// SIGKILL takes effect at once unless a process hangs in the kernel, which more time does not cure.
const EVERYTHING_LIMIT: Duration = Duration::from_secs(5);
/// Writing back dirty pages; a dead disk must not hold the machine.
const FILE_SYSTEMS_LIMIT: Duration = Duration::from_secs(10);
/// Between two tries to end the machine.
const END_AGAIN: Duration = Duration::from_secs(2);
/// Between two rounds of SIGKILL, for processes forked during the first.
const KILL_AGAIN: Duration = Duration::from_secs(1);

const _: () = assert!(
    SERVICES_LIMIT.as_millis() + EVERYTHING_LIMIT.as_millis() + FILE_SYSTEMS_LIMIT.as_millis()
        <= LADDER_LIMIT.as_millis()
);

/// The word for a mode on the console.
#[must_use]
pub const fn word(mode: ShutdownMode) -> &'static str {
    match mode {
        ShutdownMode::PowerOff => "power-off",
        ShutdownMode::Reboot => "reboot",
    }
}

/// Where on the ladder the machine is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rung {
    /// Services stop in reverse order until this time.
    Services {
        /// Then everything is killed.
        until: Uptime,
    },
    /// Everything that is left is being killed.
    Everything {
        /// Then it is left behind.
        until: Uptime,
        /// The next round.
        again_at: Uptime,
    },
    /// File systems are written back and unmounted.
    FileSystems {
        /// Then they are left as they are (a journal replays at the next boot).
        until: Uptime,
    },
    /// The kernel was told to end the machine.
    End {
        /// The next try.
        again_at: Uptime,
    },
}

/// What is known about the rest of the machine when a rung is judged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sight {
    /// No service has a process.
    pub services_down: bool,
    /// PID 1 has no child left.
    pub alone: bool,
    /// The file systems are unmounted.
    pub unmounted: bool,
}

/// What to do on the way down.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Command {
    /// SIGKILL to every process but PID 1.
    KillEverything,
    /// Write back and unmount, without blocking the event loop.
    Unmount,
    /// End the machine.
    End,
    /// Judge again at this time.
    WakeAt(Uptime),
}

impl Rung {
    /// The first rung, at the time of the order.
    #[must_use]
    pub fn first(now: Uptime) -> Self {
        Self::Services { until: now + SERVICES_LIMIT }
    }

    /// Whether the hardware watchdog is still fed: only as long as the machine can end in an orderly way.
    #[must_use]
    pub const fn feeds_watchdog(self) -> bool {
        !matches!(self, Self::End { .. })
    }

    /// Chooses the next command. Ask again until the answer is `WakeAt`.
    ///
    /// # Guarantees
    ///
    /// If asked at each `WakeAt`, `End` is ordered at most [`LADDER_LIMIT`] after [`Rung::first`], whatever `sight` says.
    #[must_use]
    pub fn decide(self, sight: Sight, now: Uptime) -> (Self, Command) {
        match self {
            Self::Services { until } if sight.services_down || until <= now => (
                Self::Everything { until: now + EVERYTHING_LIMIT, again_at: now + KILL_AGAIN },
                Command::KillEverything,
            ),
            Self::Everything { until, .. } if sight.alone || until <= now => {
                (Self::FileSystems { until: now + FILE_SYSTEMS_LIMIT }, Command::Unmount)
            }
            Self::Everything { until, again_at } if again_at <= now => {
                (Self::Everything { until, again_at: now + KILL_AGAIN }, Command::KillEverything)
            }
            Self::Everything { until, again_at } => (self, Command::WakeAt(until.min(again_at))),
            Self::FileSystems { until } if sight.unmounted || until <= now => {
                (Self::End { again_at: now + END_AGAIN }, Command::End)
            }
            Self::Services { until } | Self::FileSystems { until } => (self, Command::WakeAt(until)),
            Self::End { again_at } if again_at <= now => (Self::End { again_at: now + END_AGAIN }, Command::End),
            Self::End { again_at } => (self, Command::WakeAt(again_at)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::boot::SERVICES;

    const BLIND: Sight = Sight { services_down: false, alone: false, unmounted: false };

    #[test]
    fn nothing_that_hangs_holds_the_machine_longer_than_the_limit() {
        let begun = Uptime::from_millis(5_000);
        let (mut rung, mut now) = (Rung::first(begun), begun);
        let mut kills = 0;
        loop {
            let (next, command) = rung.decide(BLIND, now);
            rung = next;
            match command {
                Command::WakeAt(at) => {
                    assert!(at > now, "{rung:?} asks to be woken in the past");
                    now = at;
                }
                Command::KillEverything => kills += 1,
                Command::Unmount => assert!(rung.feeds_watchdog()),
                Command::End => break,
            }
        }
        assert!(now.since(begun) <= LADDER_LIMIT, "{now}");
        assert!(!rung.feeds_watchdog());
        assert!(kills >= 2);
        let (_, again) = rung.decide(BLIND, now + END_AGAIN);
        assert_eq!(again, Command::End, "a refused end is tried again");
    }

    #[test]
    fn what_is_done_is_not_waited_for() {
        let now = Uptime::from_millis(1);
        let (rung, command) = Rung::first(now).decide(Sight { services_down: true, ..BLIND }, now);
        assert_eq!(command, Command::KillEverything);
        let (rung, command) = rung.decide(Sight { alone: true, ..BLIND }, now);
        assert_eq!(command, Command::Unmount);
        let (_, command) = rung.decide(Sight { unmounted: true, ..BLIND }, now);
        assert_eq!(command, Command::End);
    }

    #[test]
    fn every_service_gets_its_whole_grace() {
        let graces: Duration = SERVICES.iter().map(|spec| spec.policy.grace).sum();
        assert!(graces < SERVICES_LIMIT, "{graces:?}");
    }
}
