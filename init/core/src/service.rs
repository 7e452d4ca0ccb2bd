//! One supervised service: what happened to it, and what to do next. No I/O and no clock.
//!
//! ```text
//!            Spawn             Spawned            Ready
//!   Down ----------> Starting --------> Running --------> Ready
//!    ^ ^                |                | |  |            | |
//!    | '-- SpawnFailed -'                | |  | Terminate  | |
//!    |                                   | |  v            | |
//!    |                            Exited | | Stopping <----|-'
//!    |                                   | |    |          |
//!    |   Cleared                         v v    | Exited   |
//!    '----------- Clearing <-------------+------+----------'
//! ```
//!
//! `Clearing` is the time between the end of the main process and the end of everything that it left behind: a service is
//! started again only when its group is empty, so that two generations never share its files.

use std::time::Duration;

use backoff::Backoff;

use crate::ids::{Pid, Uptime};

/// How often an order to kill is repeated while the process (or what it left behind) is still there.
///
/// Shorter only costs wake-ups; longer delays a restart when a process was forked while its group was being killed.
pub const KILL_AGAIN: Duration = Duration::from_secs(1);

/// The most often the time to become ready is doubled after late starts: 2^5 = 32 times the first limit.
///
/// Without a growing limit a store that needs longer to recover than the limit would be killed for ever; without a bound a
/// hanging service would be left alone for days.
const LATE_START_DOUBLINGS: u32 = 5;

/// How long things may take, and how a service is started again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Policy {
    /// The first process must be ready after this time; each late start doubles it (at most 32 times).
    pub ready_within: Duration,
    /// From the polite signal to the killing one.
    pub grace: Duration,
    /// Wait before the first start after a failure; doubles with each failure.
    pub restart_first: Duration,
    /// The longest wait between two starts. Starting never ends: this bounds its rate.
    pub restart_last: Duration,
    /// A process that was ready for so long was healthy: the next wait is `restart_first` again.
    pub healthy_after: Duration,
}

/// What the rest of the machine wants from the service now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Want {
    /// It runs, and is started again whenever it ends.
    Run,
    /// It is left as it is: not started, not stopped (its dependencies were not ready yet, or its dependents still stop).
    Hold,
    /// It does not run.
    Stop,
}

/// What is true now. A variant holds a pid only if a process exists.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// No process of it exists.
    Down {
        /// It is not started before this time.
        not_before: Uptime,
    },
    /// The order to spawn was given; its result is not known yet.
    Starting,
    /// The main process exists and has not said that it serves.
    Running {
        /// Main process.
        pid: Pid,
        /// It is stopped when it is not ready at this time.
        ready_by: Uptime,
    },
    /// The main process serves.
    Ready {
        /// Main process.
        pid: Pid,
        /// When it became ready.
        since: Uptime,
    },
    /// The main process was asked to stop (or said that it does).
    Stopping {
        /// Main process.
        pid: Pid,
        /// It is killed at this time.
        kill_at: Uptime,
    },
    /// The main process ended; what it left behind is being killed.
    Clearing {
        /// The rest is killed (again) at this time.
        kill_at: Uptime,
    },
}

/// What to do with the processes of a service.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Command {
    /// Start the main process. Answered by [`Happened::Spawned`] or [`Happened::SpawnFailed`].
    Spawn,
    /// Ask the main process to stop.
    Terminate(Pid),
    /// Kill every process of the service. Answered by `Exited` of the main process, then by [`Happened::Cleared`].
    Kill,
    /// Ask again at this time.
    WakeAt(Uptime),
}

/// What happened to a service.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Happened {
    /// The main process exists.
    Spawned(Pid),
    /// There is no new process.
    SpawnFailed,
    /// The service says that it serves.
    SaysReady,
    /// The service says that it is about to end.
    SaysStopping,
    /// This process ended and was reaped.
    Exited(Pid),
    /// No process of the service is left.
    Cleared,
}

impl State {
    /// The main process, if one exists.
    #[must_use]
    pub const fn pid(self) -> Option<Pid> {
        match self {
            Self::Running { pid, .. } | Self::Ready { pid, .. } | Self::Stopping { pid, .. } => Some(pid),
            Self::Down { .. } | Self::Starting | Self::Clearing { .. } => None,
        }
    }

    /// Whether no process of the service exists or is being made.
    #[must_use]
    pub const fn is_down(self) -> bool {
        matches!(self, Self::Down { .. })
    }

    /// Chooses the next command. The event loop asks again until the answer is `None` or `WakeAt`.
    ///
    /// # Guarantees
    ///
    /// `Spawn` is ordered only from `Down`, so a service never has two main processes, and `Down` is reached only when the
    /// group is empty, so it never has two generations of processes either.
    #[must_use]
    pub fn decide(self, want: Want, policy: &Policy, now: Uptime) -> (Self, Option<Command>) {
        match (want, self) {
            (Want::Run, Self::Down { not_before }) if now < not_before => (self, Some(Command::WakeAt(not_before))),
            (Want::Run, Self::Down { .. }) => (Self::Starting, Some(Command::Spawn)),
            (Want::Stop, Self::Running { pid, .. } | Self::Ready { pid, .. }) => {
                (Self::Stopping { pid, kill_at: now + policy.grace }, Some(Command::Terminate(pid)))
            }
            (Want::Run | Want::Hold, Self::Running { pid, ready_by }) if ready_by <= now => {
                (Self::Stopping { pid, kill_at: now + policy.grace }, Some(Command::Terminate(pid)))
            }
            (Want::Run | Want::Hold, Self::Running { ready_by, .. }) => (self, Some(Command::WakeAt(ready_by))),
            (Want::Run | Want::Hold | Want::Stop, Self::Stopping { pid, kill_at }) if kill_at <= now => {
                (Self::Stopping { pid, kill_at: now + KILL_AGAIN }, Some(Command::Kill))
            }
            (Want::Run | Want::Hold | Want::Stop, Self::Clearing { kill_at }) if kill_at <= now => {
                (Self::Clearing { kill_at: now + KILL_AGAIN }, Some(Command::Kill))
            }
            (Want::Run | Want::Hold | Want::Stop, Self::Stopping { kill_at, .. } | Self::Clearing { kill_at }) => {
                (self, Some(Command::WakeAt(kill_at)))
            }
            (Want::Run | Want::Hold, Self::Starting | Self::Ready { .. })
            | (Want::Hold, Self::Down { .. })
            | (Want::Stop, Self::Down { .. } | Self::Starting) => (self, None),
        }
    }
}

/// A service with what must be remembered from one process to the next.
#[derive(Debug, Clone)]
pub struct Service {
    policy: Policy,
    state: State,
    /// When `state` last changed its variant.
    since: Uptime,
    been_ready: bool,
    starts: u32,
    late_starts: u32,
    restart_delay: Backoff,
    /// An operator wants a fresh process: stop the present one, and skip the wait before the next.
    renew: bool,
}

impl Service {
    /// A service that was never started.
    #[must_use]
    pub fn new(policy: Policy) -> Self {
        Self {
            policy,
            state: State::Down { not_before: Uptime::default() },
            since: Uptime::default(),
            been_ready: false,
            starts: 0,
            late_starts: 0,
            restart_delay: Backoff::new(policy.restart_first, policy.restart_last),
            renew: false,
        }
    }

    /// What is true now.
    #[must_use]
    pub const fn state(&self) -> State {
        self.state
    }

    /// When the state last changed.
    #[must_use]
    pub const fn since(&self) -> Uptime {
        self.since
    }

    /// Whether it was ready at least once since boot, which is what its dependents wait for.
    #[must_use]
    pub const fn been_ready(&self) -> bool {
        self.been_ready
    }

    /// Starts after the first one.
    #[must_use]
    pub const fn restarts(&self) -> u32 {
        self.starts.saturating_sub(1)
    }

    /// Whether the present process is being stopped because an operator wants a fresh one.
    #[must_use]
    pub const fn is_renewing(&self) -> bool {
        self.renew
    }

    /// Asks for a fresh process, outside the back-off: a present one is stopped first.
    pub fn renew(&mut self, now: Uptime) {
        match self.state {
            State::Down { .. } => self.set(State::Down { not_before: now }, now),
            // The process that is being made is fresh.
            State::Starting => {}
            State::Running { .. } | State::Ready { .. } | State::Stopping { .. } | State::Clearing { .. } => {
                self.renew = true;
            }
        }
    }

    /// Folds an event into the state. An event that does not fit the state (a late datagram, the end of an unknown
    /// process) changes nothing.
    pub fn observe(&mut self, happened: Happened, now: Uptime) {
        let next = match (happened, self.state) {
            (Happened::Spawned(pid), State::Starting) => {
                self.starts = self.starts.saturating_add(1);
                State::Running { pid, ready_by: now + self.ready_limit() }
            }
            (Happened::SpawnFailed, State::Starting) => {
                State::Down { not_before: now + self.restart_delay.next_delay(0.0) }
            }
            (Happened::SaysReady, State::Running { pid, .. }) => {
                self.been_ready = true;
                self.late_starts = 0;
                State::Ready { pid, since: now }
            }
            (Happened::SaysStopping, State::Running { pid, .. } | State::Ready { pid, .. }) => {
                self.note_health(now);
                State::Stopping { pid, kill_at: now + self.policy.grace }
            }
            (
                Happened::Exited(gone),
                State::Running { pid, .. } | State::Ready { pid, .. } | State::Stopping { pid, .. },
            ) if gone == pid => {
                self.note_health(now);
                State::Clearing { kill_at: now }
            }
            (Happened::Cleared, State::Clearing { .. }) => {
                let wait =
                    if std::mem::take(&mut self.renew) { Duration::ZERO } else { self.restart_delay.next_delay(0.0) };
                State::Down { not_before: now + wait }
            }
            // A process that was not awaited or is not the main one; a datagram that came too late or twice.
            (
                Happened::Spawned(_) | Happened::SpawnFailed,
                State::Down { .. }
                | State::Running { .. }
                | State::Ready { .. }
                | State::Stopping { .. }
                | State::Clearing { .. },
            )
            | (
                Happened::SaysReady,
                State::Down { .. }
                | State::Starting
                | State::Ready { .. }
                | State::Stopping { .. }
                | State::Clearing { .. },
            )
            | (
                Happened::SaysStopping,
                State::Down { .. } | State::Starting | State::Stopping { .. } | State::Clearing { .. },
            )
            | (Happened::Exited(_), _)
            | (
                Happened::Cleared,
                State::Down { .. }
                | State::Starting
                | State::Running { .. }
                | State::Ready { .. }
                | State::Stopping { .. },
            ) => return,
        };
        self.set(next, now);
    }

    /// Chooses the next command and moves on. Ask again until the answer is `None` or `WakeAt`.
    #[must_use]
    pub fn step(&mut self, want: Want, now: Uptime) -> Option<Command> {
        let up = matches!(self.state, State::Running { .. } | State::Ready { .. });
        let want = if self.renew && up { Want::Stop } else { want };
        let (next, command) = self.state.decide(want, &self.policy, now);
        if let (State::Running { .. }, State::Stopping { .. }, Want::Run | Want::Hold) = (self.state, next, want) {
            self.late_starts = self.late_starts.saturating_add(1);
        }
        if matches!(next, State::Stopping { .. }) {
            self.note_health(now);
        }
        self.set(next, now);
        command
    }

    /// How long the next process may take to become ready.
    fn ready_limit(&self) -> Duration {
        self.policy.ready_within.saturating_mul(1 << self.late_starts.min(LATE_START_DOUBLINGS))
    }

    /// Forgets earlier failures if the process that now leaves `Ready` was healthy.
    fn note_health(&mut self, now: Uptime) {
        if let State::Ready { since, .. } = self.state
            && now.since(since) >= self.policy.healthy_after
        {
            self.restart_delay.reset();
        }
    }

    fn set(&mut self, next: State, now: Uptime) {
        if std::mem::discriminant(&next) != std::mem::discriminant(&self.state) {
            self.since = now;
        }
        self.state = next;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const POLICY: Policy = Policy {
        ready_within: Duration::from_secs(20),
        grace: Duration::from_secs(5),
        restart_first: Duration::from_millis(500),
        restart_last: Duration::from_secs(8),
        healthy_after: Duration::from_secs(10),
    };
    const PID: Pid = Pid(7);

    fn at(seconds: u64) -> Uptime {
        Uptime::from_millis(seconds * 1000)
    }

    fn running(now: Uptime) -> Service {
        let mut service = Service::new(POLICY);
        assert_eq!(service.step(Want::Run, now), Some(Command::Spawn));
        service.observe(Happened::Spawned(PID), now);
        service
    }

    /// Ends the present process and returns the wait before the next start.
    fn crash(service: &mut Service, now: Uptime) -> Duration {
        service.observe(Happened::Exited(PID), now);
        service.observe(Happened::Cleared, now);
        let State::Down { not_before } = service.state() else { panic!("{:?}", service.state()) };
        not_before.since(now)
    }

    #[test]
    fn a_start_is_held_back_until_its_time() {
        let down = State::Down { not_before: at(105) };
        assert_eq!(down.decide(Want::Run, &POLICY, at(101)).1, Some(Command::WakeAt(at(105))));
        assert_eq!(down.decide(Want::Run, &POLICY, at(105)).1, Some(Command::Spawn));
        assert_eq!(down.decide(Want::Hold, &POLICY, at(105)).1, None);
        assert_eq!(down.decide(Want::Stop, &POLICY, at(105)).1, None);
    }

    #[test]
    fn what_a_process_left_behind_is_killed_before_the_next_start() {
        let mut service = running(at(1));
        service.observe(Happened::Exited(PID), at(2));
        assert_eq!(service.step(Want::Run, at(2)), Some(Command::Kill));
        assert_eq!(service.step(Want::Run, at(2)), Some(Command::WakeAt(at(3))));
        assert_eq!(service.step(Want::Run, at(3)), Some(Command::Kill));
        service.observe(Happened::Cleared, at(4));
        assert_eq!(service.step(Want::Run, at(5)), Some(Command::Spawn));
    }

    #[test]
    fn the_wait_doubles_to_its_bound_and_starts_again_after_health() {
        let mut service = Service::new(POLICY);
        let mut now = at(1);
        let mut waits = Vec::new();
        for _ in 0..7 {
            now = now + Duration::from_mins(1);
            assert_eq!(service.step(Want::Run, now), Some(Command::Spawn));
            service.observe(Happened::Spawned(PID), now);
            service.observe(Happened::SaysReady, now);
            waits.push(crash(&mut service, now + Duration::from_secs(9)).as_millis());
        }
        assert_eq!(waits, [500, 1000, 2000, 4000, 8000, 8000, 8000]);
        now = now + Duration::from_mins(1);
        assert_eq!(service.step(Want::Run, now), Some(Command::Spawn));
        service.observe(Happened::Spawned(PID), now);
        service.observe(Happened::SaysReady, now);
        assert_eq!(crash(&mut service, now + Duration::from_secs(10)), Duration::from_millis(500));
        assert_eq!(service.restarts(), 7);
    }

    #[test]
    fn a_late_start_is_stopped_and_the_next_one_gets_twice_the_time() {
        let mut service = running(at(0));
        assert_eq!(service.step(Want::Run, at(19)), Some(Command::WakeAt(at(20))));
        assert_eq!(service.step(Want::Run, at(20)), Some(Command::Terminate(PID)));
        assert_eq!(service.step(Want::Run, at(20)), Some(Command::WakeAt(at(25))));
        assert_eq!(service.step(Want::Run, at(25)), Some(Command::Kill));
        crash(&mut service, at(26));
        assert_eq!(service.step(Want::Run, at(30)), Some(Command::Spawn));
        service.observe(Happened::Spawned(PID), at(30));
        assert_eq!(service.step(Want::Run, at(30)), Some(Command::WakeAt(at(70))));
    }

    #[test]
    fn an_operator_skips_the_wait_and_gets_a_fresh_process() {
        let mut service = running(at(0));
        service.renew(at(1));
        assert_eq!(service.step(Want::Run, at(1)), Some(Command::Terminate(PID)));
        assert_eq!(crash(&mut service, at(2)), Duration::ZERO);
        let mut service = running(at(0));
        assert_eq!(crash(&mut service, at(2)), Duration::from_millis(500));
        service.renew(at(2));
        assert_eq!(service.step(Want::Run, at(2)), Some(Command::Spawn));
    }

    #[test]
    fn strangers_and_late_datagrams_change_nothing() {
        let mut service = running(at(0));
        let before = service.state();
        service.observe(Happened::Exited(Pid(8)), at(1));
        service.observe(Happened::Spawned(Pid(9)), at(1));
        service.observe(Happened::Cleared, at(1));
        assert_eq!(service.state(), before);
        crash(&mut service, at(2));
        let down = service.state();
        service.observe(Happened::SaysReady, at(3));
        service.observe(Happened::SaysStopping, at(3));
        assert_eq!(service.state(), down);
        assert!(!service.been_ready());
    }
}
