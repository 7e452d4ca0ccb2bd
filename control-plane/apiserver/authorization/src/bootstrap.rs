//! The roles and bindings every cluster has, and how those that are there are brought up to date.
//!
//! They are written in [`policy.txt`](../src/bootstrap/policy.txt), which says how.

mod policy;
mod reconcile;

pub use policy::{Policy, Wanted, policy};
pub use reconcile::{is_of_another_role, reconciled};

#[cfg(test)]
mod tests;
