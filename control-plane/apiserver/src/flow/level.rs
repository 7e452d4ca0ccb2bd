//! One priority level: its requests, and what they are waiting for.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use apiserver_core::flow::Digest;
use fair::{Arrival, Departure, Discipline, Moment, Pressure, Queues, Refusal, Smoothed, Ticket, Width};
use tokio::runtime::Handle;
use tokio::sync::oneshot;
use tokio::time::Instant;

use super::Asking;
use super::force::Route;
use super::metrics::{Reason, Tally};
use crate::request_info::{RequestInfo, Verb};

/// A level at work.
pub(super) struct Level {
    epoch: Instant,
    state: Mutex<State>,
}

/// What the lock of a level guards.
pub(super) struct State {
    pub(super) queues: Queues,
    pub(super) guests: BTreeMap<Ticket, Guest>,
    /// By schema.
    pub(super) tallies: BTreeMap<Arc<str>, Tally>,
    pub(super) smoothed: Smoothed,
    /// The seats it was to get at the last division, and the factor that everybody's were scaled by.
    pub(super) target: f64,
    pub(super) factor: f64,
    pressure: Pressure,
}

/// A request that is here.
pub(super) struct Guest {
    pub(super) schema: Arc<str>,
    pub(super) flow: String,
    pub(super) width: Width,
    pub(super) arrived: SystemTime,
    /// When it was let in.
    pub(super) began: Option<SystemTime>,
    pub(super) user: String,
    pub(super) info: Arc<RequestInfo>,
    /// Wakes it up when it may go.
    call: Option<oneshot::Sender<()>>,
}

/// What became of a request.
pub(crate) enum Turn {
    /// It may go, while it holds its place.
    Served(Place),
    /// It is turned away, and may come back after so many seconds.
    Refused(u64),
}

/// A place among the requests of a level. Dropping it lets the next one in, or takes the request out of the line.
pub(crate) struct Place {
    level: Arc<Level>,
    /// None once it has left.
    ticket: Option<Ticket>,
    schema: Arc<str>,
    watch: bool,
    arrived: Instant,
    /// When it was let in.
    began: Option<Instant>,
}

impl Level {
    /// A level without requests.
    pub(super) fn new(discipline: Discipline, limit: u64, epoch: Instant) -> Self {
        let state = State {
            queues: Queues::new(discipline, limit),
            guests: BTreeMap::new(),
            tallies: BTreeMap::new(),
            smoothed: Smoothed::default(),
            target: 0.0,
            factor: 0.0,
            pressure: Pressure::default(),
        };
        Self { epoch, state: Mutex::new(state) }
    }

    /// What is known of it now.
    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn is_idle(&self) -> bool {
        self.state().queues.is_idle()
    }

    /// Changes what becomes of requests without room.
    pub(super) fn rule(&self, now: Moment, discipline: Discipline) {
        let mut state = self.state();
        let limit = state.queues.limit();
        state.queues.configure(now, discipline, limit);
        state.call();
    }

    /// Ends a period of demand, and tells what all of them come to.
    pub(super) fn wanted(&self, now: Moment) -> Smoothed {
        let mut state = self.state();
        let observed = state.queues.demand().take(now);
        state.smoothed.update(observed);
        state.smoothed
    }

    /// Sets the seats, and the factor all were scaled by; without them they stay.
    pub(super) fn lend(&self, now: Moment, part: Option<(u64, f64)>, target: f64) {
        let mut state = self.state();
        state.target = target;
        if let Some((seats, factor)) = part {
            state.factor = factor;
            let discipline = state.queues.discipline();
            state.queues.configure(now, discipline, seats);
            state.call();
        }
    }

    /// Lets a request in, now or when it is its turn, but not after `until`.
    pub(super) async fn enter(
        self: &Arc<Self>,
        route: &Route,
        digest: &Digest<'_>,
        width: Width,
        asking: &Asking<'_>,
        until: Instant,
    ) -> Turn {
        let arrived = Instant::now();
        let flow = if route.parts_flows { route.schema.distinguisher(digest) } else { "" };
        let hash = if route.parts_flows { route.schema.hash(flow) } else { 0 };
        let (ticket, called) = {
            let mut state = self.state();
            let exempt = state.queues.discipline() == Discipline::Exempt;
            let before = state.queues.unaccommodated();
            let arrival = state.queues.arrive(self.moment(arrived), width, hash);
            // Others may have been let in besides.
            state.call();
            let unaccommodated = state.queues.unaccommodated() - before;
            let mut width = width;
            if let Arrival::Served(ticket) = arrival {
                width = state.queues.width(ticket).unwrap_or(width);
            }
            let tally = state.tally(&route.name);
            tally.estimated(width.seats());
            tally.unaccommodated += unaccommodated;
            let (ticket, call, called) = match arrival {
                Arrival::Refused(refusal) => {
                    let reason = match refusal {
                        Refusal::QueueFull => Reason::QueueFull,
                        Refusal::ConcurrencyLimit => Reason::ConcurrencyLimit,
                    };
                    tally.refused(reason, Duration::ZERO);
                    let second = arrived.duration_since(self.epoch).as_secs();
                    return Turn::Refused(state.pressure.refused(second));
                }
                Arrival::Served(ticket) => {
                    tally.serving(width.seats(), (!exempt).then_some(Duration::ZERO));
                    (ticket, None, None)
                }
                Arrival::Waiting(ticket) => {
                    tally.waiting(width.seats());
                    let (call, called) = oneshot::channel();
                    (ticket, Some(call), Some(called))
                }
            };
            if !exempt && let Some(queue) = state.queues.queue_of(ticket) {
                let length = state.queues.length(queue);
                state.tally(&route.name).queued(length);
            }
            let now = SystemTime::now();
            let guest = Guest {
                schema: Arc::clone(&route.name),
                flow: flow.to_owned(),
                width,
                arrived: now,
                began: called.is_none().then_some(now),
                user: asking.user.name.clone(),
                info: Arc::clone(asking.info),
                call,
            };
            state.guests.insert(ticket, guest);
            (ticket, called)
        };
        let mut place = Place {
            level: Arc::clone(self),
            ticket: Some(ticket),
            schema: Arc::clone(&route.name),
            watch: asking.info.verb == Verb::Watch,
            arrived,
            began: called.is_none().then_some(arrived),
        };
        if let Some(called) = called
            && !matches!(tokio::time::timeout_at(until, called).await, Ok(Ok(())))
            && let Some(again) = self.give_up(ticket, &route.name, arrived)
        {
            place.ticket = None;
            return Turn::Refused(again);
        }
        place.began.get_or_insert_with(Instant::now);
        Turn::Served(place)
    }

    /// Takes a request that has waited long enough out of the line, and tells when to come back; none if it was let in just now.
    fn give_up(&self, ticket: Ticket, schema: &Arc<str>, arrived: Instant) -> Option<u64> {
        let now = Instant::now();
        let mut state = self.state();
        if state.queues.is_served(ticket) {
            return None;
        }
        state.queues.leave(self.moment(now), ticket);
        state.call();
        let seats = state.guests.remove(&ticket).map_or(0, |guest| guest.width.seats());
        let tally = state.tally(schema);
        tally.waited(seats);
        tally.refused(Reason::TimeOut, now - arrived);
        Some(state.pressure.refused(now.duration_since(self.epoch).as_secs()))
    }

    fn leave(self: &Arc<Self>, place: &Place, ticket: Ticket) {
        let now = Instant::now();
        let mut state = self.state();
        let departure = state.queues.leave(self.moment(now), ticket);
        state.call();
        match departure {
            Departure::Unknown => {}
            Departure::Waited => {
                let seats = state.guests.remove(&ticket).map_or(0, |guest| guest.width.seats());
                let tally = state.tally(&place.schema);
                tally.waited(seats);
                tally.refused(Reason::Cancelled, now - place.arrived);
            }
            Departure::Served(lingering) => {
                let began = place.began.unwrap_or(now);
                state.tally(&place.schema).served(place.watch, now - began);
                drop(state);
                if let Some((lingering, runtime)) = lingering.zip(Handle::try_current().ok()) {
                    let level = Arc::clone(self);
                    runtime.spawn(async move {
                        tokio::time::sleep(lingering).await;
                        level.release(ticket);
                    });
                } else {
                    self.release(ticket);
                }
            }
        }
    }

    /// The seats of a request are free.
    fn release(&self, ticket: Ticket) {
        let mut state = self.state();
        state.queues.release(self.moment(Instant::now()), ticket);
        state.call();
        if let Some(guest) = state.guests.remove(&ticket) {
            let seats = guest.width.seats();
            state.tally(&guest.schema).freed(seats);
        }
    }

    fn moment(&self, now: Instant) -> Moment {
        Moment::after(now.duration_since(self.epoch))
    }
}

impl State {
    /// The tally of a schema.
    fn tally(&mut self, schema: &Arc<str>) -> &mut Tally {
        self.tallies.entry(Arc::clone(schema)).or_default()
    }

    /// Wakes up those whose turn it is.
    fn call(&mut self) {
        for ticket in self.queues.dispatched() {
            let Some(guest) = self.guests.get_mut(&ticket) else { continue };
            let now = SystemTime::now();
            guest.began = Some(now);
            let waited = now.duration_since(guest.arrived).unwrap_or_default();
            let (schema, wanted) = (Arc::clone(&guest.schema), guest.width.seats());
            guest.width = self.queues.width(ticket).unwrap_or(guest.width);
            let seats = guest.width.seats();
            if let Some(call) = guest.call.take() {
                // Who does not listen any more leaves by itself.
                let _ = call.send(());
            }
            let tally = self.tally(&schema);
            tally.waited(wanted);
            tally.serving(seats, Some(waited));
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if let Some(ticket) = self.ticket.take() {
            let level = Arc::clone(&self.level);
            level.leave(self, ticket);
        }
    }
}
