//! The state as a file: a database of etcd 3.5, which etcd's own tools read, followed by its SHA-256.
//!
//! [`export`] makes one from a moment of the state, [`restore`] makes a data folder of one, wherever it comes from,
//! [`status`] looks into one. [`stream`] sends one to a client. `store snapshot …` is in [`command`].

pub mod command;
pub mod export;
pub mod file;
pub mod restore;
pub mod status;
pub mod stream;
