//! The store against real etcd: the same loads, one server after the other, on the same disk with the same durability.
//!
//! ```text
//! round 1:  etcd  [load, load, …]   ours  [load, load, …]        a fresh folder and a fresh process each time
//! round 2:  ours  [load, load, …]   etcd  [load, load, …]        the other way round, so that neither is always first
//! ```
//!
//! The driver runs on the same processors as the server, for both alike: where it is the limit, the ratio comes out too
//! close to one, never too far from it. Processor time is the server's alone.

pub mod load;
pub mod report;
pub mod subject;
