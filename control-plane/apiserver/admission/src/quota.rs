//! Quotas of namespaces: what an object uses, and whether that fits.
//!
//! ```text
//!   request ─> usage (by the kind's evaluator) ─> each quota that matches by resource and scope ─> used + delta <= hard
//! ```
//!
//! The server keeps what is used in the status of the quotas, and lets nobody else between reading and writing it.

mod check;
mod evaluator;
mod pod;
mod scope;

pub use crate::pods::Amounts;
pub use check::{Charge, Limited, Quota, charge, limited};
pub use evaluator::{Evaluator, usage};
pub(crate) use scope::is_best_effort;
