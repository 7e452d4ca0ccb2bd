//! The one loop of PID 1: waits, turns what the kernel says into events, and carries the supervisor's commands out.
//!
//! Nothing in a turn blocks: descriptors are read without waiting and up to a bound, consoles and clients take what they
//! take, and the one thing that may hang (writing disks back) runs in a thread of its own.

use std::collections::{BTreeMap, VecDeque};
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use chain::Chain;
use init_core::boot::SERVICES;
use init_core::console::Severity;
use init_core::ids::{Asker, Exit, Pid, ServiceId, Uptime};
use init_core::log::Splitter;
use init_core::notice::{DATAGRAM_LIMIT, Notice};
use init_core::process_status;
use init_core::service::State;
use init_core::supervisor::{Command, Event, LAST_LINES, Order, Supervisor};
use init_sys::cgroup;
use init_sys::child::{self, End, Reaped};
use init_sys::entropy;
use init_sys::signals::{self, Meaning, Signals};
use init_sys::watchdog::Watchdog;
use rustix::buffer::spare_capacity;
use rustix::event::{Timespec, epoll};
use supervision::{Answer, Request, ServiceStatus, ShutdownMode};

use crate::control::{Control, Log, Progress};
use crate::report::Report;
use crate::services::Services;
use crate::set_up::Machine;
use crate::{ending, now};

/// Descriptors that are looked at in one turn; the others come in the next one.
const READY_LIMIT: usize = 64;
/// Datagrams, new clients and ended children that are taken in one turn, so that a flood of them leaves time for everything else.
const BATCH_LIMIT: usize = 64;
/// Turns that may fail one after the other. PID 1 that only fails is no PID 1: its end lets the kernel start the machine
/// again.
const FAILURES_LIMIT: u32 = 20;
/// Between two looks at the random number generator while it is not ready.
const ENTROPY_AGAIN: Duration = Duration::from_millis(500);

/// PID 1 in the list of services and as the owner of a log.
const OWN_NAME: &str = "init";

/// What a descriptor stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Source {
    Signals,
    Notify,
    Control,
    Unmount,
    Console(u32),
    Output(u32),
    Connection(u32),
}

impl Source {
    /// As the number that the kernel gives back.
    fn to_u64(self) -> u64 {
        let (kind, place) = match self {
            Self::Signals => (0, 0),
            Self::Notify => (1, 0),
            Self::Control => (2, 0),
            Self::Unmount => (3, 0),
            Self::Console(place) => (4, place),
            Self::Output(place) => (5, place),
            Self::Connection(place) => (6, place),
        };
        kind << 32 | u64::from(place)
    }

    fn from_u64(number: u64) -> Option<Self> {
        let place = number as u32;
        Some(match number >> 32 {
            0 => Self::Signals,
            1 => Self::Notify,
            2 => Self::Control,
            3 => Self::Unmount,
            4 => Self::Console(place),
            5 => Self::Output(place),
            6 => Self::Connection(place),
            _ => return None,
        })
    }
}

/// Everything that PID 1 owns.
#[derive(Debug)]
struct EventLoop {
    epoll: OwnedFd,
    /// What is registered, with the descriptor's number: a new descriptor for the same source is seen by its number.
    watched: BTreeMap<Source, (i32, epoll::EventFlags)>,
    signals: Signals,
    notify: init_sys::notify::NotifySocket,
    control: Control,
    report: Report,
    services: Services,
    supervisor: Supervisor,
    inbox: VecDeque<Event>,
    watchdog: Option<(Watchdog, Uptime)>,
    entropy_at: Option<Uptime>,
    unmounting: Option<(File, Splitter)>,
    end_tries: u32,
    /// When the loop began.
    since: Uptime,
    /// More children may have ended than were collected.
    reap_again: bool,
}

/// Runs the machine; never returns.
pub(crate) fn run(machine: Machine) -> ! {
    let mut event_loop = match EventLoop::new(machine) {
        Ok(event_loop) => event_loop,
        Err(error) => ending::give_up(&error),
    };
    survive(&mut event_loop, EventLoop::turn, |event_loop, error| match error {
        Some(error) => event_loop.report.say(Severity::Error, format!("init: {error}")),
        // The panic hook has told about it.
        None => event_loop.look_again(),
    });
    crate::console::emergency("init: cannot go on");
    std::process::abort();
}

/// Takes turns for ever, also past panics; returns when too many turns in a row have failed.
///
/// `failed` is told about each failed turn: its error, or nothing if it panicked.
fn survive<T>(state: &mut T, turn: impl Fn(&mut T) -> io::Result<()>, failed: impl Fn(&mut T, Option<io::Error>)) {
    let mut failures = 0;
    while failures < FAILURES_LIMIT {
        match catch_unwind(AssertUnwindSafe(|| turn(state))) {
            Ok(Ok(())) => {
                failures = 0;
                continue;
            }
            Ok(Err(error)) => failed(state, Some(error)),
            Err(_) => failed(state, None),
        }
        failures += 1;
    }
}

impl EventLoop {
    fn new(machine: Machine) -> io::Result<Self> {
        let Machine { report, signals, notify, control, tree, watchdog, timeline } = machine;
        let mut supervisor = Supervisor::new(&SERVICES);
        *supervisor.timeline() = timeline;
        let services = Services::new(&SERVICES, tree, report.level);
        let mut event_loop = Self {
            epoll: epoll::create(epoll::CreateFlags::CLOEXEC)?,
            watched: BTreeMap::new(),
            signals,
            notify,
            control: Control::new(control),
            report,
            services,
            supervisor,
            inbox: VecDeque::from([Event::Tick]),
            watchdog: watchdog.map(|watchdog| (watchdog, now())),
            entropy_at: None,
            unmounting: None,
            end_tries: 0,
            since: now(),
            reap_again: false,
        };
        if !entropy::is_ready() {
            event_loop.report.say(Severity::Info, "entropy: the random number generator is not ready yet");
            event_loop.entropy_at = Some(now());
        }
        Ok(event_loop)
    }

    /// Waits for something to happen and deals with it.
    fn turn(&mut self) -> io::Result<()> {
        self.work();
        self.pump();
        self.watch()?;
        let timeout = self.wake_at().map(|at| at.since(now()));
        let timeout = timeout.and_then(|wait| Timespec::try_from(wait).ok());
        let mut ready: Vec<epoll::Event> = Vec::with_capacity(READY_LIMIT);
        match epoll::wait(&self.epoll, spare_capacity(&mut ready), timeout.as_ref()) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        for event in ready {
            // The fields of a packed structure are copied, not borrowed.
            let (data, flags) = (event.data, event.flags);
            if let Some(source) = Source::from_u64(data.u64()) {
                self.take(source, flags)?;
            }
        }
        self.reap()?;
        self.feed_watchdog();
        self.look_for_entropy();
        self.inbox.push_back(Event::Tick);
        self.work();
        Ok(())
    }

    /// The next time at which something is due without anything else happening.
    fn wake_at(&self) -> Option<Uptime> {
        let feed_at = self.watchdog.as_ref().map(|(_, at)| *at);
        let due_now = (self.reap_again || !self.inbox.is_empty()).then(now);
        [self.supervisor.wake_at(), self.control.wake_at(), feed_at, self.entropy_at, due_now]
            .into_iter()
            .flatten()
            .min()
    }

    /// Tells the kernel what to wait for. Closed descriptors have left its list by themselves.
    fn watch(&mut self) -> io::Result<()> {
        use epoll::EventFlags as Flags;
        let mut wanted: Vec<(Source, BorrowedFd<'_>, Flags)> = vec![
            (Source::Signals, self.signals.as_fd(), Flags::IN),
            (Source::Notify, self.notify.as_fd(), Flags::IN),
            (Source::Control, self.control.listener(), Flags::IN),
        ];
        if let Some((pipe, _)) = &self.unmounting {
            wanted.push((Source::Unmount, pipe.as_fd(), Flags::IN));
        }
        for (place, (console, pending)) in self.report.consoles.iter().enumerate() {
            if pending {
                wanted.push((Source::Console(place as u32), console, Flags::OUT));
            }
        }
        for id in self.services.ids() {
            if let Some(output) = self.services.output(id) {
                wanted.push((Source::Output(id.0 as u32), output, Flags::IN));
            }
        }
        for (asker, stream, reads, writes) in self.control.iter() {
            let mut flags = Flags::empty();
            flags.set(Flags::IN, reads);
            flags.set(Flags::OUT, writes);
            wanted.push((Source::Connection(asker.0 as u32), stream, flags));
        }
        let mut watched = BTreeMap::new();
        for (source, descriptor, flags) in wanted {
            let entry = (descriptor.as_raw_fd(), flags);
            let data = epoll::EventData::new_u64(source.to_u64());
            if self.watched.get(&source) != Some(&entry) {
                // Whether the number is registered already depends on whether it was closed in between: try both.
                let result = match epoll::modify(&self.epoll, descriptor, data, flags) {
                    Err(rustix::io::Errno::NOENT) => epoll::add(&self.epoll, descriptor, data, flags),
                    other => other,
                };
                match (result, source) {
                    // A console that is a plain file never needs to be waited for.
                    (Err(rustix::io::Errno::PERM), Source::Console(_)) | (Ok(()), _) => {}
                    (Err(error), _) => return Err(error.into()),
                }
            }
            watched.insert(source, entry);
        }
        // What is still open but no longer wanted (a console that took everything) must not wake the loop.
        for (place, (console, _)) in self.report.consoles.iter().enumerate() {
            let source = Source::Console(place as u32);
            if self.watched.contains_key(&source) && !watched.contains_key(&source) {
                let _ = epoll::delete(&self.epoll, console);
            }
        }
        self.watched = watched;
        Ok(())
    }

    /// Deals with one ready descriptor.
    fn take(&mut self, source: Source, flags: epoll::EventFlags) -> io::Result<()> {
        match source {
            Source::Signals => self.take_signals()?,
            Source::Notify => self.take_notices()?,
            Source::Control => self.take_clients(),
            Source::Unmount => self.take_unmounted(),
            Source::Console(_) => self.report.consoles.flush(),
            Source::Output(place) => {
                self.read_output(ServiceId(place as usize));
            }
            Source::Connection(place) => {
                let asker = Asker(u64::from(place));
                if flags.contains(epoll::EventFlags::IN) {
                    if let Progress::Asked(request) = self.control.read(asker, now()) {
                        self.ask(asker, request);
                    }
                } else if flags.intersects(epoll::EventFlags::HUP | epoll::EventFlags::ERR) {
                    self.control.hang_up(asker);
                }
            }
        }
        Ok(())
    }

    fn take_signals(&mut self) -> io::Result<()> {
        while let Some(meaning) = self.signals.take()? {
            let (mode, reason) = match meaning {
                // Looked for in every turn anyway.
                Meaning::Child => continue,
                Meaning::CtrlAltDel => (ShutdownMode::Reboot, "Ctrl-Alt-Del"),
                Meaning::PowerFailing => (ShutdownMode::PowerOff, "power is failing"),
                Meaning::Terminate => (ShutdownMode::PowerOff, "SIGTERM"),
            };
            let order = Order::Shutdown { mode, reason: reason.to_owned() };
            self.inbox.push_back(Event::Ordered { by: None, order });
        }
        Ok(())
    }

    fn take_notices(&mut self) -> io::Result<()> {
        let mut buffer = [0; DATAGRAM_LIMIT];
        for _ in 0..BATCH_LIMIT {
            let Some(datagram) = self.notify.receive(&mut buffer)? else { break };
            let notice = Notice::parse(&buffer[..datagram.length]);
            if let Some(service) = datagram.sender.and_then(|pid| self.service_of(pid)) {
                self.inbox.push_back(Event::Notified { service, notice });
            } else {
                self.report.say(Severity::Debug, format!("init: a notice from a stranger: {:?}", datagram.sender));
            }
        }
        Ok(())
    }

    /// The service that a process belongs to: its main process, or one in its group, or one in its session.
    fn service_of(&self, pid: u32) -> Option<ServiceId> {
        self.supervisor
            .owner(Pid(pid))
            .or_else(|| cgroup::service_of(pid).and_then(|name| self.supervisor.find(&name)))
            .or_else(|| child::session_of(pid).and_then(|leader| self.supervisor.owner(Pid(leader))))
    }

    fn take_clients(&mut self) {
        for _ in 0..BATCH_LIMIT {
            // The new client is waited for from the next turn on; what it sent already is seen then.
            match self.control.accept(now()) {
                Ok(Some(_)) => {}
                Ok(None) => break,
                // Too many descriptors, or a client that gave up: the others are still served.
                Err(error) => {
                    self.report.say(Severity::Warning, format!("control: cannot accept: {error}"));
                    break;
                }
            }
        }
    }

    fn take_unmounted(&mut self) {
        let Some((pipe, splitter)) = &mut self.unmounting else { return };
        let mut buffer = [0; 1024];
        let report = &mut self.report;
        match pipe.read(&mut buffer) {
            Ok(length) if length > 0 => splitter.feed(&buffer[..length], |line| report.say(Severity::Warning, line)),
            Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => {}
            Ok(_) | Err(_) => {
                self.unmounting = None;
                self.inbox.push_back(Event::Unmounted);
            }
        }
    }

    fn read_output(&mut self, id: ServiceId) -> bool {
        let (name, report) = (self.services.name(id), &mut self.report);
        self.services.read_output(id, now(), |line| report.mirror(name, line))
    }

    /// Answers a request, or hands it to the supervisor.
    fn ask(&mut self, asker: Asker, request: Request) {
        let order = match request {
            Request::Services => return self.control.answer(asker, &self.statuses(), now()),
            Request::Timeline => {
                let steps = self.supervisor.timeline().steps().to_vec();
                return self.control.answer(asker, &Answer::Timeline(steps), now());
            }
            Request::Logs { service, tail, follow } => return self.ask_for_log(asker, &service, tail, follow),
            Request::Restart { service } => Order::Restart { service },
            Request::Signal { signal, .. } if !child::is_signal(signal) => {
                let why = format!("{signal} is not the number of a signal");
                return self.control.answer(asker, &Answer::Refused(why), now());
            }
            Request::Signal { service, signal } => Order::Signal { service, signal },
            Request::Shutdown { mode, reason } => Order::Shutdown { mode, reason },
        };
        self.inbox.push_back(Event::Ordered { by: Some(asker), order });
    }

    fn statuses(&self) -> Answer {
        let mut statuses = self.supervisor.statuses();
        for (place, status) in statuses.iter_mut().enumerate() {
            status.memory_bytes = self.services.memory(ServiceId(place));
            status.confinement = status.pid.and_then(confinement);
        }
        statuses.insert(0, self.own_status());
        Answer::Services(statuses)
    }

    fn own_status(&self) -> ServiceStatus {
        let state = if self.supervisor.is_ending() { "stopping" } else { "ready" };
        ServiceStatus {
            name: OWN_NAME.to_owned(),
            state: state.to_owned(),
            pid: Some(std::process::id()),
            restarts: 0,
            last_exit: None,
            status_text: None,
            since_ms: self.since.as_millis(),
            memory_bytes: own_memory(),
            confinement: confinement(std::process::id()),
        }
    }

    fn ask_for_log(&mut self, asker: Asker, service: &str, tail: Option<u32>, follow: bool) {
        let log = if service == OWN_NAME { Some(Log::Init) } else { self.supervisor.find(service).map(Log::Service) };
        let found = log.and_then(|log| {
            let ring = ring(&self.report, &self.services, log)?;
            Some((log, ring.tail(tail), (!follow).then(|| ring.end())))
        });
        if let Some((log, at, until)) = found {
            self.control.answer_log(asker, log, at, until, now());
        } else {
            let name = init_core::log::printable(service, 64);
            self.control.answer(asker, &Answer::Refused(format!("there is no service {name:?}")), now());
        }
    }

    /// Lets the supervisor deal with everything that happened, and carries its commands out.
    fn work(&mut self) {
        while let Some(event) = self.inbox.pop_front() {
            for command in self.supervisor.handle(event, now()) {
                self.carry_out(command);
            }
        }
    }

    fn carry_out(&mut self, command: Command) {
        let failed = match command {
            Command::Spawn(service) => {
                let event = self.start(service);
                // Before anything else that waits: the supervisor counts on it.
                self.inbox.push_front(event);
                return;
            }
            Command::Terminate(pid) => child::terminate(pid.0).err().map(|error| format!("cannot stop {pid}: {error}")),
            Command::Signal { pid, signal } => {
                child::signal(pid.0, signal).err().map(|error| format!("cannot signal {pid}: {error}"))
            }
            Command::Kill(id) => {
                let failed = self.services.kill(id).err();
                self.note_if_cleared(id);
                failed.map(|error| format!("cannot kill {}: {error}", self.services.name(id)))
            }
            Command::Say { severity, text } => return self.report.say(severity, text),
            Command::ShowLastLines(id) => return self.show_last_lines(id),
            Command::Answer { to, result } => {
                let answer = result.map_or_else(Answer::Refused, |()| Answer::Done);
                return self.control.answer(to, &answer, now());
            }
            Command::KillEverything => signals::kill_everything().err().map(|error| format!("cannot kill: {error}")),
            Command::Unmount => {
                let started = ending::unmount_in_background();
                let failed = started.as_ref().err().map(|error| format!("cannot unmount: {error}"));
                self.unmounting = started.ok().map(|pipe| (File::from(pipe), Splitter::default()));
                failed
            }
            Command::End(mode) => {
                self.pump();
                let error = ending::end(mode, &mut self.report.consoles, self.end_tries);
                self.end_tries += 1;
                Some(format!("cannot end the machine: {error}"))
            }
        };
        if let Some(text) = failed {
            self.report.say(Severity::Error, format!("init: {text}"));
        }
    }

    fn start(&mut self, service: ServiceId) -> Event {
        // What the last process printed is read before its pipe is replaced.
        while self.read_output(service) {}
        match self.services.start(service) {
            Ok(pid) => {
                // The new pipe may have the number of the old one, which has left the kernel's list.
                self.watched.remove(&Source::Output(service.0 as u32));
                Event::Spawned { service, pid }
            }
            Err(error) => Event::SpawnFailed { service, why: Chain(&error).to_string() },
        }
    }

    fn show_last_lines(&mut self, id: ServiceId) {
        let Some(ring) = self.services.ring(id) else { return };
        let (name, mut at) = (self.services.name(id), ring.tail(Some(LAST_LINES)));
        while let Some(read) = ring.read(at) {
            self.report.say(Severity::Warning, format!("{name}| {}", read.line.text));
            at = read.next;
        }
    }

    /// Tells the supervisor when a group that it waits for is empty.
    fn note_if_cleared(&mut self, service: ServiceId) {
        let clearing = matches!(self.supervisor.state(service), Some(State::Clearing { .. }));
        if clearing && !self.services.is_populated(service) {
            self.inbox.push_back(Event::Cleared { service });
        }
    }

    /// Collects every child that ended.
    fn reap(&mut self) -> io::Result<()> {
        self.reap_again = true;
        for _ in 0..BATCH_LIMIT {
            match child::reap()? {
                Reaped::Child { pid, end } => {
                    if let Some(service) = self.supervisor.owner(Pid(pid)) {
                        // Its last words come before its end.
                        self.read_output(service);
                    }
                    let exit = match end {
                        End::Code(code) => Exit::Code(code),
                        End::Signal(signal) => Exit::Signal(signal),
                    };
                    self.inbox.push_back(Event::Exited { pid: Pid(pid), exit });
                }
                Reaped::AllAlive => {
                    self.reap_again = false;
                    break;
                }
                Reaped::NoChild => {
                    self.reap_again = false;
                    if self.supervisor.is_ending() {
                        self.inbox.push_back(Event::Alone);
                    }
                    break;
                }
            }
        }
        self.work();
        for service in self.supervisor.clearing().collect::<Vec<_>>() {
            self.note_if_cleared(service);
        }
        Ok(())
    }

    /// After a bug, when an event may have been lost: compares what the supervisor believes with what is there.
    fn look_again(&mut self) {
        for service in self.services.ids() {
            match self.supervisor.state(service) {
                Some(State::Starting) => {
                    let why = "a bug in init".to_owned();
                    self.inbox.push_back(Event::SpawnFailed { service, why });
                }
                Some(State::Running { pid, .. } | State::Ready { pid, .. } | State::Stopping { pid, .. })
                    if !child::exists(pid.0) =>
                {
                    self.inbox.push_back(Event::Exited { pid, exit: Exit::Signal(0) });
                }
                Some(
                    State::Running { .. }
                    | State::Ready { .. }
                    | State::Stopping { .. }
                    | State::Down { .. }
                    | State::Clearing { .. },
                )
                | None => {}
            }
        }
    }

    fn feed_watchdog(&mut self) {
        let now = now();
        let feeds = self.supervisor.feeds_watchdog();
        let Some((watchdog, at)) = &mut self.watchdog else { return };
        if *at > now {
            return;
        }
        *at = now + watchdog.timeout() / 3;
        if feeds && let Err(error) = watchdog.feed() {
            self.report.say(Severity::Warning, format!("watchdog: cannot be fed: {error}"));
        }
    }

    fn look_for_entropy(&mut self) {
        let now = now();
        if self.entropy_at.is_none_or(|at| at > now) {
            return;
        }
        if entropy::is_ready() {
            self.entropy_at = None;
            self.report.say(Severity::Info, "entropy: the random number generator is ready");
            self.supervisor.timeline().record("entropy ready", now);
        } else {
            // No such device, or none that answers, is nothing to tell.
            let _ = entropy::stir_from_hardware();
            self.entropy_at = Some(now + ENTROPY_AGAIN);
        }
    }

    /// Gives clients and consoles what they take now.
    fn pump(&mut self) {
        let (report, services) = (&self.report, &self.services);
        self.control.pump(|log| ring(report, services, log), now());
        self.report.consoles.flush();
    }
}

/// What a process may do. `None` for one that has just ended.
fn confinement(pid: u32) -> Option<supervision::Confinement> {
    process_status::parse(&std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?)
}

/// Resident memory of PID 1 in bytes.
fn own_memory() -> Option<u64> {
    let pages: u64 = std::fs::read_to_string("/proc/self/statm").ok()?.split(' ').nth(1)?.parse().ok()?;
    Some(pages * rustix::param::page_size() as u64)
}

fn ring<'a>(report: &'a Report, services: &'a Services, log: Log) -> Option<&'a init_core::log::Ring> {
    match log {
        Log::Init => Some(report.ring()),
        Log::Service(id) => services.ring(id),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn panics_are_survived_unless_nothing_else_happens() {
        let mut turns = 0_u32;
        let told = std::cell::Cell::new((0, 0));
        survive(
            &mut turns,
            |turns| {
                *turns += 1;
                match *turns {
                    1..=100 if turns.is_multiple_of(2) => panic!("a bug"),
                    1..=100 => Ok(()),
                    101..=110 => Err(io::ErrorKind::Other.into()),
                    _ => panic!("a bug"),
                }
            },
            |_, error| {
                let (errors, panics) = told.get();
                told.set(if error.is_some() { (errors + 1, panics) } else { (errors, panics + 1) });
            },
        );
        // The failure of turn 100 and those after it are in a row.
        assert_eq!(turns, 99 + FAILURES_LIMIT);
        assert_eq!(told.get(), (10, 49 + FAILURES_LIMIT - 10));
    }

    #[test]
    fn sources_survive_the_kernel() {
        let sources = [
            Source::Signals,
            Source::Notify,
            Source::Control,
            Source::Unmount,
            Source::Console(3),
            Source::Output(u32::MAX),
            Source::Connection(0),
        ];
        for source in sources {
            assert_eq!(Source::from_u64(source.to_u64()), Some(source));
        }
        assert_eq!(Source::from_u64(u64::MAX), None);
    }
}
