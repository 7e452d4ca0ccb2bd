//! The store's decisions: revisions, transactions, ranges, leases, compaction and watches. No I/O and no clock.
//!
//! [`apply`] is the heart: it turns a command of the replicated log into changes of the state, with nothing but the state
//! to look at, so that every member comes to the same answer. State is read through [`View`] and written through
//! [`Overlay`]; the program brings the database, the log, the clock and the sockets.

pub mod apply;
pub mod auth;
pub mod auto_compaction;
pub mod backup;
pub mod check;
pub mod compaction;
pub mod encoding;
pub mod error;
pub mod fingerprint;
pub mod foreign;
pub mod founding;
pub mod hash;
pub mod ids;
pub mod interval;
pub mod lease;
pub mod live;
pub mod members;
#[cfg(test)]
mod memory;
pub mod overlay;
pub mod range;
pub mod record;
pub mod roll_call;
pub mod scrub;
pub mod txn;
pub mod view;
pub mod watch;

pub use error::{Code, Failure, Refusal};
pub use ids::{LeaseId, Revision};
pub use interval::KeyRange;
pub use overlay::Overlay;
pub use view::{Cursor, Fault, Space, View};
