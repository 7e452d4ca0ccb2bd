//! The state as a file: a database of etcd 3.5, which etcd's own tools read, followed by its SHA-256.
//!
//! [`export`](mod@export) makes one from a moment of the state, [`restore`](mod@restore) makes a data folder of one, wherever it comes from,
//! [`status`] looks into one, [`verify`](mod@verify) proves it. [`stream`] sends one to a client, [`schedule`] makes some from
//! time to time. `store snapshot …` is in [`command`].

pub mod command;
pub mod export;
pub mod file;
pub mod restore;
pub mod save;
pub mod schedule;
pub mod status;
pub mod stream;
pub mod verify;
