//! Admission: what a cluster says to a write beyond what its kind says. Plugins change objects on their way in, and refuse.
//!
//! A [`Plugin`] is a decision: from the [attributes](Attributes) of a request, the object, and what is known of other objects
//! ([`Facts`]) to a changed object or a refusal. Nothing here waits, reads a clock or draws a number. The server runs the
//! plugins in [`ORDER`], twice: all that change, then (when the object is valid) all that only look.
//!
//! Facts come from caches, which may be behind. A refusal is only final when all that it missed was looked up in the store: the
//! server runs the plugin again with what it found. So a plugin decides before it changes anything, or changes the same again.

#![cfg_attr(test, allow(clippy::needless_pass_by_value, reason = "tests make trees where they use them"))]

mod attributes;
mod facts;
mod order;
mod plugin;
pub mod plugins;
mod pods;
pub mod quota;
#[cfg(test)]
mod testing;

pub use attributes::{Attributes, Notes, Operation};
pub use facts::{Facts, Phase, Question, View, views};
pub use order::{ORDER, Unknown, enabled};
pub use plugin::Plugin;
