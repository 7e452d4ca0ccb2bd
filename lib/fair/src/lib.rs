//! Who is served next when more ask than can be served at once, and how much of a server each kind of request gets.
//!
//! A request takes seats. [`Queues`] holds the seats of one priority level and deals the requests of each flow to a few of
//! many queues, which take turns by the seat-time they have used: a flow that asks for much waits behind itself, not before
//! the others. [`divide`] lends the seats of levels that do not need them to those that do, by the demand [`Demand`] has seen.
//!
//! Nothing here waits, reads a clock or draws a random number: every call is told the [`Moment`], and says who may go.

mod deal;
mod demand;
mod moment;
mod pressure;
mod queues;
mod shares;

pub use deal::deal;
pub use demand::{Demand, Observed, Smoothed};
pub use moment::{Moment, SeatTime};
pub use pressure::Pressure;
pub use queues::{Arrival, Counts, Departure, Discipline, QueueView, Queues, Refusal, Ticket, Width};
pub use shares::{Bounds, Claim, Division, Share, divide};
