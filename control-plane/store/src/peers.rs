//! How members talk to each other: one gRPC service of our own on the peer URLs, over mutual TLS.
//!
//! Every message says which cluster it belongs to, who sent it and for whom it is; what does not fit is refused before
//! anything else is looked at. [`links`] are the connections to others, [`service`] answers them, [`reception`] takes their
//! connections in, [`messages`] is the words both use.

pub mod address;
pub mod directory;
pub mod links;
pub mod messages;
pub mod reception;
pub mod service;
pub mod snapshots;
pub mod tls;

/// The largest message between members. A batch of log entries is far smaller, unless it is a single large entry.
pub const MAX_MESSAGE: usize = 128 << 20;
/// Log entries are sent in batches of about this many bytes; a larger entry goes alone.
pub const BATCH_BYTES: usize = 1 << 20;
