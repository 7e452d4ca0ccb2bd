//! One queue, and one request.

use std::collections::{BTreeMap, VecDeque};

use super::{Ticket, Width};
use crate::moment::{Moment, SeatTime};

/// Where a request is.
#[derive(Debug, Clone, Copy)]
pub(super) enum State {
    /// In the line of a queue, since this virtual time.
    Waiting { queue: usize, arrived: SeatTime },
    /// Being served, out of a queue or not.
    Executing { queue: Option<usize>, since: Moment },
    /// Answered; its seats are still taken.
    Lingering { queue: Option<usize> },
}

impl State {
    pub(super) fn queue(self) -> Option<usize> {
        match self {
            Self::Waiting { queue, .. } => Some(queue),
            Self::Executing { queue, .. } | Self::Lingering { queue } => queue,
        }
    }
}

/// A request that is here.
#[derive(Debug, Clone, Copy)]
pub(super) struct Request {
    pub(super) state: State,
    pub(super) width: Width,
}

/// A line, and what came out of it.
#[derive(Debug, Default)]
pub(super) struct Queue {
    /// The oldest first.
    pub(super) waiting: VecDeque<Ticket>,
    /// The work that waits.
    pub(super) work: SeatTime,
    /// Requests being served.
    pub(super) executing: usize,
    /// Seats taken.
    pub(super) seats: u64,
    /// The virtual time its next request begins at.
    pub(super) next: SeatTime,
}

impl Queue {
    /// Nobody waits or is served.
    pub(super) fn is_inactive(&self) -> bool {
        self.waiting.is_empty() && self.executing == 0
    }

    /// Nothing refers to it.
    pub(super) fn is_empty(&self) -> bool {
        self.is_inactive() && self.seats == 0
    }

    pub(super) fn view(&self, requests: &BTreeMap<Ticket, Request>) -> QueueView {
        let widths = self.waiting.iter().filter_map(|ticket| requests.get(ticket)).map(|request| request.width);
        QueueView {
            waiting: self.waiting.iter().copied().collect(),
            executing: self.executing,
            seats: self.seats,
            next: self.next.seconds(),
            initial_seats: widths.clone().map(|width| width.initial).sum(),
            most_seats: widths.map(|width| width.seats()).sum(),
            work: self.work.seconds(),
        }
    }
}

/// A queue, for people.
#[derive(Debug, Clone, PartialEq)]
pub struct QueueView {
    /// Who waits, the oldest first.
    pub waiting: Vec<Ticket>,
    /// Requests being served.
    pub executing: usize,
    /// Seats taken.
    pub seats: u64,
    /// The virtual time its next request begins at, in seat-seconds.
    pub next: f64,
    /// Seats those who wait begin with.
    pub initial_seats: u64,
    /// Seats those who wait need.
    pub most_seats: u64,
    /// Their work, in seat-seconds.
    pub work: f64,
}
