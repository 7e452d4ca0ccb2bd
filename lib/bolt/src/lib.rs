//! The file format of bbolt, etcd's database: a reader for files we did not write, and a writer that makes a whole file in
//! one pass from sorted entries.
//!
//! ```text
//!  page 0   page 1   page 2      page 3 …
//! ┌────────┬────────┬───────────┬───────────────────────────────────────────────────────────┐
//! │ meta   │ meta   │ free list │ leaves and branches of the buckets' trees, and of the tree │
//! │        │        │ (empty)   │ of buckets                                                 │
//! └────────┴────────┴───────────┴───────────────────────────────────────────────────────────┘
//! ```
//!
//! A page has a header, then one header for each element, then the elements' bytes; one that is larger than a page goes on in
//! the pages behind it. The newer of the two metas whose checksum is right says where the tree of buckets begins. Numbers are
//! little-endian, as on every machine such files come from.
//!
//! [`Reader`] trusts nothing: offsets, counts and order are checked, depth and memory are bounded, and whatever is wrong is a
//! [`ReadError`]. [`Writer`] holds one page for each level of a tree and never more.

mod page;
mod reader;
mod writer;

pub use reader::{Bucket, Entry, ReadError, Reader, Walk};
pub use writer::{WriteError, Writer};

/// The longest key.
pub const MAX_KEY: usize = 32_768;
/// The longest value that is read or written. The format has room for 2 GiB; nothing in etcd comes near this.
pub const MAX_VALUE: usize = 128 << 20;
