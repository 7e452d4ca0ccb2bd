//! Pod Security Standards: what a pod may ask of its node, by the level that its namespace's labels choose.
//!
//! [`PodSecurity`] is the admission plugin of this name without its lookups. A server does, for every create and update of
//! what [`PodSecurity::handles`] names:
//!
//! ```text
//!   let answer = security.admit(&request, namespace);     namespace: the object from the watch cache, or why it is missing
//!   warnings  += answer.warnings                          one `Warning` header each
//!   audit     += answer.annotations                       keys are complete
//!   metrics   += answer.records                           see `Record`
//!   if let Some(check) = answer.existing                  a namespace became stricter: look at its pods
//!       warnings += check.warnings(pods of the namespace, || there is still time)
//!   answer.denial?                                        see `Denial` for the Status of each
//! ```
//!
//! Objects are JSON trees in version v1, decoded and defaulted. Nothing here reads a clock.

mod admission;
mod checks;
mod configuration;
mod existing;
mod level;
mod pod;
mod policy;
mod record;
mod significance;

pub use admission::{Answer, Denial, Operation, PodSecurity, Request};
pub use checks::{Verdict, evaluate};
pub use configuration::{Configuration, Exemptions};
pub use existing::{Existing, LIMIT, TIME};
pub use level::{Level, LevelVersion, Version};
pub use policy::Policy;
pub use record::{Decision, Mode, Record};
