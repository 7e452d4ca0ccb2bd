//! Who may do what, without any input or output: what a request is to the authorizers ([`attributes`]), what they say
//! ([`verdict`]), roles and who has them ([`rbac`]), what a node may do because of the pods on it ([`node`]), who may hand on
//! rights ([`escalation`]), the roles every cluster has ([`bootstrap`]), and the questions about all of it ([`review`]).
//!
//! The index of bindings and the graph of nodes are values: whoever follows the objects tells them of each change, and asks.

pub mod attributes;
pub mod bootstrap;
pub mod escalation;
pub mod impersonation;
pub mod node;
pub mod rbac;
pub mod review;
pub mod rule;
pub mod selectors;
pub mod verdict;

pub use attributes::{Attributes, Target};
pub use rule::Rule;
pub use verdict::{Decision, Verdict};

/// The group of roles and bindings.
pub const GROUP: &str = "rbac.authorization.k8s.io";
