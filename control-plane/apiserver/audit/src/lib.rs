//! The audit log: what is written about a request, by the rules of an audit policy, and how it is batched, cut and rotated.
//!
//! A server does, for every request, once the user is known:
//!
//! ```text
//!   let plan = policy.plan(&attributes);                   plan.level None: nothing more to do
//!   let mut trail = Trail::new(plan, Event::new(…));
//!   trail.received()             -> an event to write, or nothing: the stage is left out
//!   trail.request_object(…), trail.annotate(…), trail.impersonated(…)         as the request goes on
//!   trail.started(code, now)     -> for a request that lasts, such as a watch, when its headers go out
//!   trail.response_object(…)
//!   trail.complete(now)          -> or trail.panicked(what, now)
//! ```
//!
//! and writes each event as [`Event::to_json`] or [`Event::to_text`], through [`Truncation`], [`Batcher`] and [`Rotation`] as
//! its options say. Files, sockets and clocks are the server's.

mod batch;
mod event;
mod managed;
mod policy;
mod rotation;
mod source;
mod text;
mod trail;
mod truncation;

pub use batch::{BatchOptions, Batcher, Full, Next, Throttle};
pub use event::{Event, Level, ObjectReference, ResponseStatus, Stage, UserInfo};
pub use managed::without_managed_fields;
pub use policy::{Attributes, Error, Plan, Policy, Resource, Stages};
pub use rotation::{Cleaning, Rotation};
pub use source::source_addresses;
pub use trail::Trail;
pub use truncation::{TooLarge, Truncation};
