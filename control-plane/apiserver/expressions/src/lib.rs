//! CEL as Kubernetes uses it: its function libraries, the variables of each place where expressions stand, and admission
//! policies as decisions. No I/O and no clock: whoever calls gives the objects and asks [`Authorizer`]s.

pub mod environments;
mod libraries;
pub mod policy;

#[cfg(test)]
mod tests;

pub use libraries::authorizer::{Authorizer, Check, Decision, Target, authorizer_value, request_resource_value};

/// What one expression may cost.
pub const PER_EXPRESSION: u64 = 1_000_000;
/// What the expressions of one policy may cost together for one request.
pub const PER_POLICY: u64 = 10_000_000;
/// What match conditions may cost together for one request.
pub const PER_MATCH_CONDITIONS: u64 = PER_POLICY / 4;
