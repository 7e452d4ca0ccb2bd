//! The Common Expression Language: small typed expressions over data, without side effects and with a bounded cost.
//!
//! ```text
//!   text ── parse ──> Expr ── check ──> Checked ── plan ──> Program ── evaluate(variables, limits) ──> Value, cost
//!                            Environment: variables, functions, types, macros
//! ```
//!
//! Texts of errors, overloads, macros and costs are those of cel-go, so that an expression that Kubernetes accepts is
//! accepted here, and one that it refuses is refused with the same words. Data is borrowed: a [`Value`] of a JSON tree
//! is a reference into it, and selecting a field copies nothing.
//!
//! The crate knows no clock, no file and no Kubernetes; functions of a host are added to its [`Environment`].

pub mod ast;
mod check;
mod cost;
mod environment;
mod error;
mod evaluate;
mod functions;
mod parse;
mod plan;
pub mod regular;
mod source;
mod types;
pub mod value;

#[cfg(test)]
mod tests;

pub use check::Checked;
pub use cost::{ceil_tenth, size};
pub use environment::{Cost, Environment, Function, Implementation, Library, ObjectTypes, Overload, Variable};
pub use error::Error;
pub use evaluate::{Activation, Limits, Outcome};
pub use functions::{all_known, encoders, optional, sets, standard, strings, two_variables};
pub use parse::{Macros, parse};
pub use plan::Program;
pub use source::{Issue, Issues};
pub use types::Type;
pub use value::Value;
