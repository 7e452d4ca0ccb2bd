//! What is counted of each level and schema, under upstream's names.

use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use super::Flow;
use super::force::Force;
use super::level::State;
use crate::metrics::{Histogram, escape, head};

const PREFIX: &str = "apiserver_flowcontrol_";
/// Upper bounds of durations in seconds, of lengths of queues and of seats; upstream's.
const DURATIONS: &[f64] = &[0.0, 0.005, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 15.0, 30.0];
const LENGTHS: &[f64] = &[0.0, 10.0, 25.0, 50.0, 100.0, 250.0, 500.0, 1000.0];
const SEATS: &[f64] = &[1.0, 2.0, 4.0, 10.0];

/// Why a request was turned away.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reason {
    Cancelled,
    ConcurrencyLimit,
    QueueFull,
    TimeOut,
}

impl Reason {
    const ALL: [Self; 4] = [Self::Cancelled, Self::ConcurrencyLimit, Self::QueueFull, Self::TimeOut];

    fn as_str(self) -> &'static str {
        match self {
            Self::Cancelled => "cancelled",
            Self::ConcurrencyLimit => "concurrency-limit",
            Self::QueueFull => "queue-full",
            Self::TimeOut => "time-out",
        }
    }
}

/// What is counted of the requests of one schema in one level.
#[derive(Debug)]
pub(super) struct Tally {
    in_queue: u64,
    seats_in_queue: u64,
    executing: u64,
    executing_seats: u64,
    pub(super) dispatched: u64,
    refused: [u64; 4],
    pub(super) unaccommodated: u64,
    /// Of those who were let in, and of those who were not.
    waits: [Histogram; 2],
    /// Of ordinary requests, and of the beginnings of watches.
    executions: [Histogram; 2],
    lengths: Histogram,
    estimates: Histogram,
}

impl Default for Tally {
    fn default() -> Self {
        let durations = || [Histogram::new(DURATIONS), Histogram::new(DURATIONS)];
        Self {
            in_queue: 0,
            seats_in_queue: 0,
            executing: 0,
            executing_seats: 0,
            dispatched: 0,
            refused: [0; 4],
            unaccommodated: 0,
            waits: durations(),
            executions: durations(),
            lengths: Histogram::new(LENGTHS),
            estimates: Histogram::new(SEATS),
        }
    }
}

impl Tally {
    /// A request was found to need so many seats.
    pub(super) fn estimated(&mut self, seats: u64) {
        self.estimates.observe(seats as f64);
    }

    /// A request came into a queue, which has this length with it.
    pub(super) fn queued(&mut self, length: usize) {
        self.lengths.observe(length as f64);
    }

    /// A request begins to wait.
    pub(super) fn waiting(&mut self, seats: u64) {
        self.in_queue += 1;
        self.seats_in_queue += seats;
    }

    /// It waits no more.
    pub(super) fn waited(&mut self, seats: u64) {
        self.in_queue -= 1;
        self.seats_in_queue -= seats;
    }

    /// A request is let in, after a wait if its level knows waiting.
    pub(super) fn serving(&mut self, seats: u64, waited: Option<Duration>) {
        self.dispatched += 1;
        self.executing += 1;
        self.executing_seats += seats;
        if let Some(waited) = waited {
            self.waits[0].observe(waited.as_secs_f64());
        }
    }

    /// A request that was let in is done.
    pub(super) fn served(&mut self, watch: bool, took: Duration) {
        self.executing -= 1;
        self.executions[usize::from(watch)].observe(took.as_secs_f64());
    }

    /// Its seats are free, which may be later.
    pub(super) fn freed(&mut self, seats: u64) {
        self.executing_seats -= seats;
    }

    /// A request is turned away after a wait.
    pub(super) fn refused(&mut self, reason: Reason, waited: Duration) {
        self.refused[reason as usize] += 1;
        self.waits[1].observe(waited.as_secs_f64());
    }

    /// How many were turned away for a reason.
    pub(super) fn refusals(&self, reason: Reason) -> u64 {
        self.refused[reason as usize]
    }

    /// How many were turned away.
    pub(super) fn all_refusals(&self) -> u64 {
        self.refused.iter().sum()
    }
}

/// A series of numbers: the end of its name, its type, what it says, and its value.
type Series<T> = (&'static str, &'static str, &'static str, fn(&T) -> f64);

const OF_SCHEMAS: [Series<Tally>; 6] = [
    ("dispatched_requests_total", "counter", "Requests let in.", |tally| tally.dispatched as f64),
    ("current_inqueue_requests", "gauge", "Requests that wait.", |tally| tally.in_queue as f64),
    ("current_inqueue_seats", "gauge", "Seats wanted by requests that wait.", |tally| tally.seats_in_queue as f64),
    ("current_executing_requests", "gauge", "Requests being served.", |tally| tally.executing as f64),
    ("current_executing_seats", "gauge", "Seats taken.", |tally| tally.executing_seats as f64),
    (
        "request_dispatch_no_accommodation_total",
        "counter",
        "Times the next request needed more seats than were free.",
        |tally| tally.unaccommodated as f64,
    ),
];

const OF_LEVELS: [Series<State>; 7] = [
    ("current_limit_seats", "gauge", "Seats the level has now.", |state| state.queues.limit() as f64),
    ("current_r", "gauge", "Virtual time of the level.", |state| state.queues.progress()),
    ("demand_seats_high_watermark", "gauge", "Most seats wanted in the last period.", |state| state.smoothed.last.most),
    ("demand_seats_average", "gauge", "Mean of the seats wanted in the last period.", |state| {
        state.smoothed.last.average
    }),
    ("demand_seats_stdev", "gauge", "Standard deviation of the seats wanted in the last period.", |state| {
        state.smoothed.last.deviation
    }),
    ("demand_seats_smoothed", "gauge", "Seats wanted, smoothed.", |state| state.smoothed.seats),
    ("target_seats", "gauge", "Seats the level was to have at the last division.", |state| state.target),
];

impl Flow {
    /// Writes the part of the metrics page about levels and flows.
    pub(crate) fn write_metrics(&self, out: &mut String) {
        let force = self.in_force();
        for (name, kind, help, value) in OF_SCHEMAS {
            head(out, &format!("{PREFIX}{name}"), kind, help);
            each_tally(&force, |labels, tally| {
                let _ = writeln!(out, "{PREFIX}{name}{{{labels}}} {}", value(tally));
            });
        }
        head(out, &format!("{PREFIX}rejected_requests_total"), "counter", "Requests turned away.");
        each_tally(&force, |labels, tally| {
            for reason in Reason::ALL.into_iter().filter(|reason| tally.refusals(*reason) > 0) {
                let (why, count) = (reason.as_str(), tally.refusals(reason));
                let _ = writeln!(out, "{PREFIX}rejected_requests_total{{{labels},reason=\"{why}\"}} {count}");
            }
        });
        histograms(&force, out);
        for (name, kind, help, value) in OF_LEVELS {
            head(out, &format!("{PREFIX}{name}"), kind, help);
            for (level, ruled) in &force.levels {
                let value = value(&ruled.level.state());
                let _ = writeln!(out, "{PREFIX}{name}{{priority_level=\"{}\"}} {value}", escape(level));
            }
        }
        bounds(&force, out);
    }
}

fn histograms(force: &Force, out: &mut String) {
    let name = |end: &str| format!("{PREFIX}{end}");
    let (waits, executions) = (name("request_wait_duration_seconds"), name("request_execution_seconds"));
    head(out, &waits, "histogram", "Time requests waited for a place.");
    each_tally(force, |labels, tally| {
        for (index, execute) in ["true", "false"].into_iter().enumerate() {
            tally.waits[index].write(&waits, &format!("{labels},execute=\"{execute}\""), out);
        }
    });
    head(out, &executions, "histogram", "Time requests held a place.");
    each_tally(force, |labels, tally| {
        for (index, kind) in ["regular", "watch"].into_iter().enumerate() {
            tally.executions[index].write(&executions, &format!("{labels},type=\"{kind}\""), out);
        }
    });
    let lengths = name("request_queue_length_after_enqueue");
    head(out, &lengths, "histogram", "Length of a queue with the request that just came.");
    each_tally(force, |labels, tally| tally.lengths.write(&lengths, labels, out));
    let estimates = name("work_estimated_seats");
    head(out, &estimates, "histogram", "Seats requests were found to need.");
    each_tally(force, |labels, tally| tally.estimates.write(&estimates, labels, out));
}

fn bounds(force: &Force, out: &mut String) {
    for (name, help, index) in [
        ("nominal_limit_seats", "Seats the level is configured to have.", 0),
        ("lower_limit_seats", "Seats the level has at least.", 1),
        ("upper_limit_seats", "Seats the level has at most.", 2),
    ] {
        head(out, &format!("{PREFIX}{name}"), "gauge", help);
        for (level, ruled) in &force.levels {
            let seats = [ruled.bounds.nominal, ruled.bounds.least, ruled.bounds.most][index];
            let _ = writeln!(out, "{PREFIX}{name}{{priority_level=\"{}\"}} {seats}", escape(level));
        }
    }
    let factor = force.levels.values().next().map_or(0.0, |ruled| ruled.level.state().factor);
    head(out, &format!("{PREFIX}seat_fair_frac"), "gauge", "Factor that all targets were scaled by.");
    let _ = writeln!(out, "{PREFIX}seat_fair_frac {factor}");
}

fn each_tally(force: &Force, mut tell: impl FnMut(&str, &Tally)) {
    for (level, ruled) in &force.levels {
        let state = ruled.level.state();
        for (schema, tally) in &state.tallies {
            let schema: &Arc<str> = schema;
            tell(&format!("flow_schema=\"{}\",priority_level=\"{}\"", escape(schema), escape(level)), tally);
        }
    }
}
