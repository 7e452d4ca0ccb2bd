//! The requests of one priority level: who is served, who waits, and who goes next.
//!
//! ```text
//!   arrive ──room──────────────> served ──leave──> lingering ──release──> gone
//!      │                           ^          └──(no lingering)──────────> gone
//!      ├──none, queues not full──> waiting ──leave──> gone
//!      └──none──> refused
//! ```
//!
//! Each queue has a progress: the moment, in the virtual time of a server that serves all busy queues at once and alike, at which
//! its next request begins. The queue whose next request would end first goes first.

mod queue;

use std::collections::BTreeMap;
use std::time::Duration;

use crate::deal::deal;
use crate::demand::Demand;
use crate::moment::{Moment, SeatTime};
pub use queue::QueueView;
use queue::{Queue, Request, State};

/// How long a request is taken to run until it is known; upstream's guess.
const GUESS: Duration = Duration::from_millis(3);

/// A request, while it is in the queues.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ticket(u64);

/// What a request costs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Width {
    /// Seats while it runs.
    pub initial: u64,
    /// Seats for what it leaves to be done when it is answered.
    pub last: u64,
    /// How long that takes.
    pub lingering: Duration,
}

impl Width {
    /// One seat while it runs, nothing after.
    pub const ONE: Self = Self { initial: 1, last: 0, lingering: Duration::ZERO };

    /// The seats it holds, from its start to the end of its lingering.
    pub fn seats(&self) -> u64 {
        self.initial.max(self.last)
    }

    fn work(&self) -> SeatTime {
        SeatTime::of(self.initial, GUESS) + SeatTime::of(self.last, self.lingering)
    }

    /// The same work after the answer, on no more than `limit` seats.
    fn reshaped(mut self, limit: u64) -> Self {
        if self.last > limit {
            self.lingering = SeatTime::of(self.last, self.lingering).per(limit);
            self.last = limit;
        }
        self
    }
}

/// What becomes of requests for which there is no room.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Discipline {
    /// There is always room.
    Exempt,
    /// They are refused.
    Reject,
    /// They wait.
    Queue {
        /// Number of queues.
        queues: usize,
        /// How many of them a flow is dealt.
        hand: usize,
        /// How many requests a queue holds.
        length: usize,
    },
}

/// What became of a request that arrived.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Arrival {
    /// It is served.
    Served(Ticket),
    /// It waits until [`Queues::dispatched`] names it.
    Waiting(Ticket),
    /// It is not let in.
    Refused(Refusal),
}

/// Why a request is not let in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// Its queue holds no more.
    QueueFull,
    /// All seats are taken, and there are no queues.
    ConcurrencyLimit,
}

/// What a request did that is gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Departure {
    /// It waited.
    Waited,
    /// It was served. Its seats stay taken for so long: [`Queues::release`] is due then.
    Served(Option<Duration>),
    /// It was not known.
    Unknown,
}

/// The figures of a level.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counts {
    /// Requests that wait.
    pub waiting: usize,
    /// Requests that are served.
    pub executing: usize,
    /// Seats taken, those of lingering requests included.
    pub seats: u64,
    /// Seats wanted by requests that wait.
    pub seats_waiting: u64,
}

/// The requests of one priority level.
///
/// At no time are more seats taken than the limit, but for a request that is wider than all of it: that one is served when it
/// is alone. A lowered limit takes nothing from those being served.
#[derive(Debug)]
pub struct Queues {
    discipline: Discipline,
    limit: u64,
    lines: Vec<Queue>,
    /// The queues in which somebody waits, in order.
    pending: Vec<usize>,
    /// How many queues have requests that wait or are served.
    busy: usize,
    requests: BTreeMap<Ticket, Request>,
    next: u64,
    arrivals: usize,
    robin: usize,
    counts: Counts,
    /// Virtual time: seat-time each busy queue could have had.
    progress: SeatTime,
    at: Moment,
    demand: Demand,
    dispatched: Vec<Ticket>,
    unaccommodated: u64,
}

impl Queues {
    /// Empty queues.
    pub fn new(discipline: Discipline, limit: u64) -> Self {
        let mut queues = Self {
            discipline,
            limit,
            lines: Vec::new(),
            pending: Vec::new(),
            busy: 0,
            requests: BTreeMap::new(),
            next: 0,
            arrivals: 0,
            robin: 0,
            counts: Counts::default(),
            progress: SeatTime::default(),
            at: Moment::default(),
            demand: Demand::default(),
            dispatched: Vec::new(),
            unaccommodated: 0,
        };
        queues.resize();
        queues
    }

    /// Changes the rules for what comes. Requests that wait stay where they are.
    pub fn configure(&mut self, now: Moment, discipline: Discipline, limit: u64) {
        self.advance(now);
        self.discipline = discipline;
        self.limit = limit;
        self.resize();
        self.dispatch(now);
    }

    /// A request of the flow with this hash arrives.
    pub fn arrive(&mut self, now: Moment, width: Width, flow: u64) -> Arrival {
        self.advance(now);
        let Discipline::Queue { queues, hand, length } = self.discipline else {
            if !self.has_room(width.seats()) {
                return Arrival::Refused(Refusal::ConcurrencyLimit);
            }
            let ticket = self.admit(width, State::Executing { queue: None, since: now });
            self.counts.executing += 1;
            self.counts.seats += width.seats();
            self.note_demand(now);
            return Arrival::Served(ticket);
        };
        let index = self.choose(flow, queues, hand);
        if self.counts.seats >= self.limit && self.lines[index].waiting.len() >= length {
            return Arrival::Refused(Refusal::QueueFull);
        }
        let ticket = self.admit(width, State::Waiting { queue: index, arrived: self.progress });
        self.enqueue(index, ticket, width);
        self.note_demand(now);
        self.dispatch(now);
        match self.dispatched.iter().position(|one| *one == ticket) {
            Some(place) => {
                self.dispatched.swap_remove(place);
                Arrival::Served(ticket)
            }
            None => Arrival::Waiting(ticket),
        }
    }

    /// A request goes: it is answered, or its client has gone.
    pub fn leave(&mut self, now: Moment, ticket: Ticket) -> Departure {
        self.advance(now);
        let Some(request) = self.requests.get(&ticket).copied() else { return Departure::Unknown };
        match request.state {
            State::Waiting { queue, .. } => {
                self.requests.remove(&ticket);
                self.lines[queue].waiting.retain(|one| *one != ticket);
                self.unqueue(queue, request.width);
                self.note_idle(queue);
                self.bound(queue);
                self.note_demand(now);
                self.dispatch(now);
                Departure::Waited
            }
            State::Executing { queue, since } => {
                self.counts.executing -= 1;
                if let Some(queue) = queue {
                    let (guessed, took) = (
                        SeatTime::of(request.width.initial, GUESS),
                        SeatTime::of(request.width.initial, now.since(since)),
                    );
                    let own = &mut self.lines[queue];
                    own.executing -= 1;
                    // It was charged a guess; now it is known.
                    own.next += took - guessed;
                    self.note_idle(queue);
                    self.bound(queue);
                }
                let lingering = request.width.lingering;
                if lingering.is_zero() {
                    self.requests.remove(&ticket);
                    self.free(now, queue, request.width);
                    return Departure::Served(None);
                }
                if let Some(request) = self.requests.get_mut(&ticket) {
                    request.state = State::Lingering { queue };
                }
                self.dispatch(now);
                Departure::Served(Some(lingering))
            }
            State::Lingering { .. } => Departure::Unknown,
        }
    }

    /// A request that lingers is done. Calls for others have no effect.
    pub fn release(&mut self, now: Moment, ticket: Ticket) {
        self.advance(now);
        if let Some(Request { state: State::Lingering { queue }, width }) = self.requests.get(&ticket).copied() {
            self.requests.remove(&ticket);
            self.free(now, queue, width);
        }
    }

    /// The requests that may go since the last call.
    pub fn dispatched(&mut self) -> Vec<Ticket> {
        std::mem::take(&mut self.dispatched)
    }

    /// Whether a request is served.
    pub fn is_served(&self, ticket: Ticket) -> bool {
        matches!(self.requests.get(&ticket), Some(Request { state: State::Executing { .. }, .. }))
    }

    /// The queue a request waits in or came out of; none if it never waited.
    pub fn queue_of(&self, ticket: Ticket) -> Option<usize> {
        self.requests.get(&ticket).and_then(|request| request.state.queue())
    }

    /// What a request costs, as its level has room for it.
    pub fn width(&self, ticket: Ticket) -> Option<Width> {
        self.requests.get(&ticket).map(|request| request.width)
    }

    /// How many wait in a queue.
    pub fn length(&self, queue: usize) -> usize {
        self.lines.get(queue).map_or(0, |queue| queue.waiting.len())
    }

    /// The rules.
    pub fn discipline(&self) -> Discipline {
        self.discipline
    }

    /// The seats there are.
    pub fn limit(&self) -> u64 {
        self.limit
    }

    /// The figures.
    pub fn counts(&self) -> Counts {
        self.counts
    }

    /// Whether nobody is here.
    pub fn is_idle(&self) -> bool {
        self.requests.is_empty()
    }

    /// The demand since the last call.
    pub fn demand(&mut self) -> &mut Demand {
        &mut self.demand
    }

    /// How often the next request had to wait although there were free seats: it needs more than there were.
    pub fn unaccommodated(&self) -> u64 {
        self.unaccommodated
    }

    /// The virtual time, in seat-seconds.
    pub fn progress(&self) -> f64 {
        self.progress.seconds()
    }

    /// The queues, for people.
    pub fn view(&self) -> impl Iterator<Item = QueueView> + '_ {
        self.lines.iter().map(|queue| queue.view(&self.requests))
    }

    fn admit(&mut self, width: Width, state: State) -> Ticket {
        let ticket = Ticket(self.next);
        self.next += 1;
        self.requests.insert(ticket, Request { state, width });
        ticket
    }

    /// Makes the queues as many as wanted. Those too many go when they are idle, from the end.
    fn resize(&mut self) {
        let wanted = match self.discipline {
            Discipline::Queue { queues, .. } => queues.max(1),
            Discipline::Exempt | Discipline::Reject => 0,
        };
        while self.lines.len() > wanted && self.lines.last().is_some_and(Queue::is_empty) {
            self.lines.pop();
        }
        if self.lines.len() < wanted {
            self.lines.resize_with(wanted, Queue::default);
        }
    }

    /// Moves virtual time on: while nothing happened, every busy queue could have had its part of the seats.
    fn advance(&mut self, now: Moment) {
        let passed = now.since(self.at);
        self.at = self.at.max(now);
        if self.busy > 0 {
            let used = (self.counts.seats + self.counts.seats_waiting).min(self.limit);
            self.progress += SeatTime::of(used, passed).split(self.busy);
        }
    }

    /// The queue of a flow's hand with the least work waiting. The first looked at is another one each time, or flows whose
    /// hands begin alike would meet.
    fn choose(&mut self, flow: u64, queues: usize, hand: usize) -> usize {
        let cards = deal(flow, queues.max(1), hand.max(1));
        let first = self.arrivals % cards.len();
        self.arrivals = self.arrivals.wrapping_add(1);
        let (later, sooner) = cards.split_at(first);
        sooner.iter().chain(later).copied().min_by_key(|index| self.lines[*index].work).unwrap_or(0)
    }

    fn enqueue(&mut self, index: usize, ticket: Ticket, width: Width) {
        let queue = &mut self.lines[index];
        if queue.is_inactive() {
            queue.next = self.progress;
            self.busy += 1;
        }
        if queue.waiting.is_empty()
            && let Err(place) = self.pending.binary_search(&index)
        {
            self.pending.insert(place, index);
        }
        queue.waiting.push_back(ticket);
        queue.work += width.work();
        self.counts.waiting += 1;
        self.counts.seats_waiting += width.seats();
        self.bound(index);
    }

    /// A request has left the line of its queue.
    fn unqueue(&mut self, index: usize, width: Width) {
        let queue = &mut self.lines[index];
        queue.work -= width.work();
        if queue.waiting.is_empty()
            && let Ok(place) = self.pending.binary_search(&index)
        {
            self.pending.remove(place);
        }
        self.counts.waiting -= 1;
        self.counts.seats_waiting -= width.seats();
    }

    fn note_idle(&mut self, index: usize) {
        if self.lines[index].is_inactive() {
            self.busy -= 1;
        }
    }

    /// A queue that did not use its part has no claim on the past: its next request begins no earlier than it arrived.
    fn bound(&mut self, index: usize) {
        let queue = &mut self.lines[index];
        if let Some(State::Waiting { arrived, .. }) =
            queue.waiting.front().and_then(|oldest| self.requests.get(oldest)).map(|request| request.state)
        {
            queue.next = queue.next.max(arrived);
        }
    }

    fn free(&mut self, now: Moment, queue: Option<usize>, width: Width) {
        self.counts.seats -= width.seats();
        if let Some(queue) = queue {
            self.lines[queue].seats -= width.seats();
        }
        self.resize();
        self.note_demand(now);
        self.dispatch(now);
    }

    fn note_demand(&mut self, now: Moment) {
        self.demand.set(now, self.counts.seats + self.counts.seats_waiting);
    }

    fn has_room(&self, seats: u64) -> bool {
        match self.discipline {
            Discipline::Exempt => true,
            Discipline::Reject | Discipline::Queue { .. } if seats > self.limit => self.counts.seats == 0,
            Discipline::Reject | Discipline::Queue { .. } => self.counts.seats + seats <= self.limit,
        }
    }

    fn dispatch(&mut self, now: Moment) {
        while !self.pending.is_empty() && self.counts.seats < self.limit && self.dispatch_one(now) {}
    }

    /// Lets the request go that would end first in virtual time, if there is room for it. Nobody overtakes it: a wide request
    /// would otherwise wait for ever.
    fn dispatch_one(&mut self, now: Moment) -> bool {
        let behind = self.pending.partition_point(|index| *index <= self.robin);
        let (sooner, later) = self.pending.split_at(behind);
        let ends = |index: &usize| {
            let queue = &self.lines[*index];
            let oldest = queue.waiting.front().and_then(|oldest| self.requests.get(oldest));
            oldest.map_or(SeatTime::MAX, |request| queue.next + request.width.work())
        };
        let Some(index) = later.iter().chain(sooner).copied().min_by_key(ends) else { return false };
        let Some(ticket) = self.lines[index].waiting.front().copied() else { return false };
        let Some(width) = self.requests.get(&ticket).map(|request| request.width) else { return false };
        if !self.has_room(width.seats()) {
            self.unaccommodated += 1;
            return false;
        }
        self.robin = index;
        self.lines[index].waiting.pop_front();
        self.unqueue(index, width);
        let width = width.reshaped(self.limit);
        let queue = &mut self.lines[index];
        queue.executing += 1;
        queue.seats += width.seats();
        queue.next += width.work();
        self.counts.executing += 1;
        self.counts.seats += width.seats();
        self.requests.insert(ticket, Request { state: State::Executing { queue: Some(index), since: now }, width });
        self.bound(index);
        self.note_demand(now);
        self.dispatched.push(ticket);
        true
    }
}

#[cfg(test)]
mod tests;
