//! Priority and fairness: which flow and which level a request belongs to, what it costs, and what the server does about the
//! objects that say so.
//!
//! ```text
//!   FlowSchemas, PriorityLevelConfigurations ──> Configuration ──classify──> schema, level, flow
//!                                                     └── estimate ──> seats
//! ```
//!
//! Who of those classified is served next is decided in `fair`.

mod configuration;
mod estimate;
mod level;
mod schema;
mod upkeep;

pub use configuration::{Configuration, DANGLING, dangling};
pub use estimate::{Listing, list, most_seats, mutation};
pub use level::Level;
pub use schema::{Digest, Schema, Target};
pub use upkeep::{Upkeep, upkeep};

/// The group of the two kinds.
pub const GROUP: &str = "flowcontrol.apiserver.k8s.io";
/// The plural of the levels.
pub const LEVELS: &str = "prioritylevelconfigurations";
/// The plural of the schemas.
pub const SCHEMAS: &str = "flowschemas";
/// The level and the schema of requests that are never held up.
pub(crate) const EXEMPT: &str = "exempt";
/// The level and the schema of what nothing else takes.
pub(crate) const CATCH_ALL: &str = "catch-all";

/// The annotation that tells whether the server keeps an object as it has it.
pub(crate) const KEPT: &str = "apf.kubernetes.io/autoupdate-spec";

#[cfg(test)]
mod tests;
