//! All services together, and the end of the machine: folds what happened into the state and orders what to do.
//!
//! The event loop owns one [`Supervisor`]. It hands over each [`Event`] with the present time, carries out the
//! [`Command`]s in their order, and comes back with [`Event::Tick`] at [`Supervisor::wake_at`].

use supervision::{ServiceStatus, ShutdownMode};

use crate::boot::Spec;
use crate::console::Severity;
use crate::ids::{Asker, Exit, Pid, ServiceId, Uptime};
use crate::notice::Notice;
use crate::service::{self, Happened, Service, State, Want};
use crate::shutdown::{self, Rung, Sight, word};
use crate::timeline::Timeline;

/// The longest reason for a shutdown that is shown and kept, in bytes.
const REASON_LIMIT: usize = 256;

/// How many of a service's last log lines are shown on the console when it fails.
pub const LAST_LINES: u32 = 3;

/// What happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// Time has passed.
    Tick,
    /// The main process of a service exists.
    Spawned {
        /// Which service.
        service: ServiceId,
        /// Its main process.
        pid: Pid,
    },
    /// A service could not be started; no process of it exists.
    SpawnFailed {
        /// Which service.
        service: ServiceId,
        /// What was tried and why it failed.
        why: String,
    },
    /// A child of PID 1 ended and was reaped: the main process of a service, or an orphan.
    Exited {
        /// Which process.
        pid: Pid,
        /// How it ended.
        exit: Exit,
    },
    /// The group of a service holds no process.
    Cleared {
        /// Which service.
        service: ServiceId,
    },
    /// A process of a service said something about the service.
    Notified {
        /// Which service.
        service: ServiceId,
        /// What it said.
        notice: Notice,
    },
    /// Somebody wants something.
    Ordered {
        /// Who gets the answer; `None` for signals from the kernel.
        by: Option<Asker>,
        /// What is wanted.
        order: Order,
    },
    /// During a shutdown: PID 1 has no child left.
    Alone,
    /// During a shutdown: the file systems are written back and unmounted, as far as they can be.
    Unmounted,
}

/// What an operator can want.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Order {
    /// A fresh process for this service.
    Restart {
        /// Its name.
        service: String,
    },
    /// A signal for the main process of this service.
    Signal {
        /// Its name.
        service: String,
        /// Number of the signal; one that the kernel knows.
        signal: i32,
    },
    /// The end of the machine.
    Shutdown {
        /// How it ends.
        mode: ShutdownMode,
        /// Who asked and why.
        reason: String,
    },
}

/// What the event loop carries out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    /// Start the main process; answer with [`Event::Spawned`] or [`Event::SpawnFailed`] before any other event.
    Spawn(ServiceId),
    /// Ask the main process to stop.
    Terminate(Pid),
    /// Kill every process of the service; answer with [`Event::Cleared`] when none is left.
    Kill(ServiceId),
    /// Send a signal to the main process of a service.
    Signal {
        /// The process.
        pid: Pid,
        /// The signal's number.
        signal: i32,
    },
    /// Tell the operator.
    Say {
        /// How important it is.
        severity: Severity,
        /// One line.
        text: String,
    },
    /// Show the last lines of the service's log on the console.
    ShowLastLines(ServiceId),
    /// Answer an order.
    Answer {
        /// Who asked.
        to: Asker,
        /// Accepted, or why not.
        result: Result<(), String>,
    },
    /// SIGKILL to every process but PID 1; answer with [`Event::Alone`] when none is left.
    KillEverything,
    /// Write back and unmount without blocking; answer with [`Event::Unmounted`].
    Unmount,
    /// End the machine. When this returns, it is ordered again.
    End(ShutdownMode),
}

/// One service with its place in the graph and what is told about it.
#[derive(Debug)]
struct Member {
    spec: &'static Spec,
    after: Vec<usize>,
    service: Service,
    last_exit: Option<String>,
    status_text: Option<String>,
}

/// The end of the machine, once it is wanted.
#[derive(Debug)]
struct Ending {
    mode: ShutdownMode,
    rung: Rung,
    alone: bool,
    unmounted: bool,
}

/// The state of everything that PID 1 is responsible for.
#[derive(Debug)]
pub struct Supervisor {
    members: Vec<Member>,
    ending: Option<Ending>,
    timeline: Timeline,
    wake_at: Option<Uptime>,
}

impl Supervisor {
    /// A supervisor of the services of `table`, none of which was started yet.
    ///
    /// A dependency must stand earlier in the table than its dependents; [`crate::boot::SERVICES`] is checked for that
    /// when it is compiled.
    #[must_use]
    pub fn new(table: &'static [Spec]) -> Self {
        let place = |name: &&str| table.iter().position(|spec| spec.name == *name);
        let members = table
            .iter()
            .map(|spec| Member {
                spec,
                after: spec.after.iter().filter_map(place).collect(),
                service: Service::new(spec.policy),
                last_exit: None,
                status_text: None,
            })
            .collect();
        Self { members, ending: None, timeline: Timeline::default(), wake_at: None }
    }

    /// When [`Event::Tick`] is due; `None` if only another event can change anything.
    #[must_use]
    pub const fn wake_at(&self) -> Option<Uptime> {
        self.wake_at
    }

    /// Whether the hardware watchdog is fed: always, except when the machine cannot be ended.
    #[must_use]
    pub fn feeds_watchdog(&self) -> bool {
        self.ending.as_ref().is_none_or(|ending| ending.rung.feeds_watchdog())
    }

    /// Whether the machine is about to end.
    #[must_use]
    pub const fn is_ending(&self) -> bool {
        self.ending.is_some()
    }

    /// The steps of this boot so far; the event loop adds its own.
    pub const fn timeline(&mut self) -> &mut Timeline {
        &mut self.timeline
    }

    /// Finds a service by name.
    #[must_use]
    pub fn find(&self, name: &str) -> Option<ServiceId> {
        self.members.iter().position(|member| member.spec.name == name).map(ServiceId)
    }

    /// The service whose main process this is.
    #[must_use]
    pub fn owner(&self, pid: Pid) -> Option<ServiceId> {
        self.members.iter().position(|member| member.service.state().pid() == Some(pid)).map(ServiceId)
    }

    /// The state of a service.
    #[must_use]
    pub fn state(&self, service: ServiceId) -> Option<State> {
        self.members.get(service.0).map(|member| member.service.state())
    }

    /// The services whose main process has ended and whose other processes may still exist.
    pub fn clearing(&self) -> impl Iterator<Item = ServiceId> {
        self.members
            .iter()
            .enumerate()
            .filter(|(_, member)| matches!(member.service.state(), State::Clearing { .. }))
            .map(|(place, _)| ServiceId(place))
    }

    /// All services for the operator, in start order, without what only the kernel knows: their memory and powers.
    #[must_use]
    pub fn statuses(&self) -> Vec<ServiceStatus> {
        self.members
            .iter()
            .enumerate()
            .map(|(place, member)| ServiceStatus {
                name: member.spec.name.to_owned(),
                state: self.state_word(place).to_owned(),
                pid: member.service.state().pid().map(|pid| pid.0),
                restarts: member.service.restarts(),
                last_exit: member.last_exit.clone(),
                status_text: member.status_text.clone(),
                since_ms: member.service.since().as_millis(),
                memory_bytes: None,
                confinement: None,
            })
            .collect()
    }

    fn state_word(&self, place: usize) -> &'static str {
        match self.members[place].service.state() {
            State::Down { .. } if self.ending.is_none() && !self.may_start(place) => "waiting",
            State::Down { .. } => "down",
            State::Starting => "starting",
            State::Running { .. } => "running",
            State::Ready { .. } => "ready",
            State::Stopping { .. } | State::Clearing { .. } => "stopping",
        }
    }

    /// Folds an event into the state and returns what to do, in this order.
    #[must_use]
    pub fn handle(&mut self, event: Event, now: Uptime) -> Vec<Command> {
        let mut commands = Vec::new();
        match event {
            Event::Tick => {}
            Event::Spawned { service, pid } => self.observe(service, Happened::Spawned(pid), now),
            Event::SpawnFailed { service, why } => self.spawn_failed(service, &why, now, &mut commands),
            Event::Exited { pid, exit } => self.exited(pid, exit, now, &mut commands),
            Event::Cleared { service } => self.cleared(service, now, &mut commands),
            Event::Notified { service, notice } => self.notified(service, notice, now, &mut commands),
            Event::Ordered { by, order } => {
                let result = self.order(order, now, &mut commands);
                if let Some(to) = by {
                    commands.push(Command::Answer { to, result });
                }
            }
            Event::Alone => {
                if let Some(ending) = &mut self.ending {
                    ending.alone = true;
                }
            }
            Event::Unmounted => {
                if let Some(ending) = &mut self.ending {
                    ending.unmounted = true;
                }
            }
        }
        self.settle(now, &mut commands);
        commands
    }

    fn observe(&mut self, service: ServiceId, happened: Happened, now: Uptime) {
        if let Some(member) = self.members.get_mut(service.0) {
            member.service.observe(happened, now);
        }
    }

    fn spawn_failed(&mut self, service: ServiceId, why: &str, now: Uptime, commands: &mut Vec<Command>) {
        let Some(member) = self.members.get_mut(service.0) else { return };
        if member.service.state() != State::Starting {
            return;
        }
        member.service.observe(Happened::SpawnFailed, now);
        commands.push(say(Severity::Error, format!("service {}: cannot start: {why}", member.spec.name)));
        commands.extend(next_start(member, now));
        member.last_exit = Some(format!("could not start: {why}"));
    }

    fn exited(&mut self, pid: Pid, exit: Exit, now: Uptime, commands: &mut Vec<Command>) {
        let Some(service) = self.owner(pid) else { return };
        let member = &mut self.members[service.0];
        let wanted = matches!(member.service.state(), State::Stopping { .. });
        member.service.observe(Happened::Exited(pid), now);
        member.status_text = None;
        member.last_exit = Some(exit.to_string());
        commands.push(say(Severity::Step, format!("service {}: exited ({exit})", member.spec.name)));
        if !wanted && !exit.is_success() {
            commands.push(Command::ShowLastLines(service));
        }
    }

    fn cleared(&mut self, service: ServiceId, now: Uptime, commands: &mut Vec<Command>) {
        let ending = self.ending.is_some();
        let Some(member) = self.members.get_mut(service.0) else { return };
        if !matches!(member.service.state(), State::Clearing { .. }) {
            return;
        }
        member.service.observe(Happened::Cleared, now);
        if !ending {
            commands.extend(next_start(member, now));
        }
    }

    fn notified(&mut self, service: ServiceId, notice: Notice, now: Uptime, commands: &mut Vec<Command>) {
        let Some(member) = self.members.get_mut(service.0) else { return };
        if member.service.state().pid().is_none() {
            return;
        }
        if let Some(text) = notice.status {
            member.status_text = Some(text).filter(|text| !text.is_empty());
        }
        if notice.ready && matches!(member.service.state(), State::Running { .. }) {
            member.service.observe(Happened::SaysReady, now);
            let name = member.spec.name;
            commands.push(say(Severity::Step, format!("service {name}: ready")));
            self.timeline.record(format!("{name} ready"), now);
        }
        if notice.stopping {
            self.observe(service, Happened::SaysStopping, now);
        }
    }

    fn order(&mut self, order: Order, now: Uptime, commands: &mut Vec<Command>) -> Result<(), String> {
        match order {
            Order::Restart { service } => self.restart(&service, now, commands),
            Order::Signal { service, signal } => {
                let id = self.find(&service).ok_or_else(|| unknown(&service))?;
                let pid = self.members[id.0].service.state().pid();
                let pid = pid.ok_or_else(|| format!("service {service} has no process now"))?;
                commands.push(say(Severity::Info, format!("service {service}: signal {signal} by order")));
                commands.push(Command::Signal { pid, signal });
                Ok(())
            }
            Order::Shutdown { mode, reason } => {
                if let Some(ending) = &self.ending {
                    return Err(format!("the machine is already ending ({})", word(ending.mode)));
                }
                let reason = crate::log::printable(&reason, REASON_LIMIT);
                commands.push(say(Severity::Step, format!("shutdown: {} ({reason})", word(mode))));
                self.timeline.record(format!("shutdown {}", word(mode)), now);
                self.ending = Some(Ending { mode, rung: Rung::first(now), alone: false, unmounted: false });
                Ok(())
            }
        }
    }

    fn restart(&mut self, name: &str, now: Uptime, commands: &mut Vec<Command>) -> Result<(), String> {
        if let Some(ending) = &self.ending {
            return Err(format!("the machine is ending ({})", word(ending.mode)));
        }
        let id = self.find(name).ok_or_else(|| unknown(name))?;
        if let Some(missing) = self.missing(id.0) {
            return Err(format!("service {name} waits until {missing} was ready once"));
        }
        commands.push(say(Severity::Info, format!("service {name}: restart by order")));
        self.members[id.0].service.renew(now);
        Ok(())
    }

    /// The first dependency that was never ready.
    fn missing(&self, place: usize) -> Option<&'static str> {
        let missing = self.members[place].after.iter().find(|&&need| !self.members[need].service.been_ready());
        missing.map(|&need| self.members[need].spec.name)
    }

    fn may_start(&self, place: usize) -> bool {
        self.missing(place).is_none()
    }

    /// What is wanted from each service now.
    fn want(&self, place: usize) -> Want {
        match &self.ending {
            None if self.may_start(place) => Want::Run,
            None => Want::Hold,
            Some(_) => {
                let held = self
                    .members
                    .iter()
                    .any(|dependent| dependent.after.contains(&place) && !dependent.service.state().is_down());
                if held { Want::Hold } else { Want::Stop }
            }
        }
    }

    /// Asks every part for its next command until nobody has one before some later time.
    fn settle(&mut self, now: Uptime, commands: &mut Vec<Command>) {
        self.wake_at = None;
        // The last service first: during a shutdown its end frees the ones before it in the same turn.
        for place in (0..self.members.len()).rev() {
            let want = self.want(place);
            while let Some(command) = self.members[place].service.step(want, now) {
                if let service::Command::WakeAt(at) = command {
                    self.wake_by(at);
                    break;
                }
                self.carry(ServiceId(place), want, command, now, commands);
            }
        }
        self.climb(now, commands);
    }

    /// Turns the command of one service into one for the event loop.
    fn carry(
        &mut self,
        id: ServiceId,
        want: Want,
        command: service::Command,
        now: Uptime,
        commands: &mut Vec<Command>,
    ) {
        let member = &self.members[id.0];
        let name = member.spec.name;
        match command {
            service::Command::Spawn => {
                commands.push(say(Severity::Step, format!("service {name}: starting")));
                self.timeline.record(format!("{name} starting"), now);
                commands.push(Command::Spawn(id));
            }
            service::Command::Terminate(pid) => {
                let why = match want {
                    Want::Stop => "stopping",
                    Want::Run | Want::Hold if member.service.is_renewing() => "stopping for a restart",
                    Want::Run | Want::Hold => "not ready in time, stopping",
                };
                commands.push(say(Severity::Info, format!("service {name}: {why}")));
                commands.push(Command::Terminate(pid));
            }
            service::Command::Kill => {
                if member.service.state().pid().is_some() {
                    commands.push(say(Severity::Warning, format!("service {name}: does not stop, killing it")));
                }
                commands.push(Command::Kill(id));
            }
            service::Command::WakeAt(at) => self.wake_by(at),
        }
    }

    /// Goes down the ladder of shutdown as far as it can now.
    fn climb(&mut self, now: Uptime, commands: &mut Vec<Command>) {
        let alive: Vec<&str> =
            self.members.iter().filter(|m| !m.service.state().is_down()).map(|member| member.spec.name).collect();
        let Some(ending) = &mut self.ending else { return };
        let wake = loop {
            let sight = Sight { services_down: alive.is_empty(), alone: ending.alone, unmounted: ending.unmounted };
            let (rung, command) = ending.rung.decide(sight, now);
            let before = std::mem::replace(&mut ending.rung, rung);
            match command {
                shutdown::Command::WakeAt(at) => break at,
                shutdown::Command::KillEverything => {
                    if matches!(before, Rung::Services { .. }) && !alive.is_empty() {
                        let text = format!("shutdown: still alive, killing everything: {}", alive.join(", "));
                        commands.push(say(Severity::Error, text));
                    }
                    commands.push(Command::KillEverything);
                }
                shutdown::Command::Unmount => {
                    if !ending.alone {
                        let text = "shutdown: some processes cannot be killed, leaving them behind";
                        commands.push(say(Severity::Error, text.to_owned()));
                    }
                    commands.push(Command::Unmount);
                }
                shutdown::Command::End => {
                    if !ending.unmounted {
                        let text = "shutdown: file systems could not be written back in time";
                        commands.push(say(Severity::Error, text.to_owned()));
                    }
                    commands.push(Command::End(ending.mode));
                }
            }
        };
        self.wake_by(wake);
    }

    fn wake_by(&mut self, at: Uptime) {
        self.wake_at = Some(self.wake_at.map_or(at, |earlier| earlier.min(at)));
    }
}

fn say(severity: Severity, text: String) -> Command {
    Command::Say { severity, text }
}

fn unknown(name: &str) -> String {
    format!("there is no service {:?}", crate::log::printable(name, 64))
}

/// Tells when a service that went down will be started again.
fn next_start(member: &Member, now: Uptime) -> Option<Command> {
    let State::Down { not_before } = member.service.state() else { return None };
    let wait = not_before.since(now);
    let text = format!("service {}: starts again in {:.2} s", member.spec.name, wait.as_secs_f64());
    (!wait.is_zero()).then(|| say(Severity::Info, text))
}

#[cfg(test)]
mod tests;
