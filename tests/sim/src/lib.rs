//! The store in a world that fails: whole members, with their logs, databases, elections, watches and leases, on one thread
//! whose clock jumps from event to event, over a network and disks that do what a seed says.
//!
//! ```text
//! run           one seed: builds the world, lets it fail, and judges
//! world         members, network and clients, tick by tick
//! member        one member on a runtime and a clock of its own
//! ground        what it stands on instead of threads, sockets and a good disk
//! network       the switch between members
//! nemesis       the faults
//! invariants    what must hold, one file each
//! ```
//!
//! `./just sim --seed N` repeats a simulation; how exactly is said in docs/decisions/0009.

pub mod ground;
pub mod invariants;
pub mod member;
pub mod nemesis;
pub mod network;
pub mod panics;
pub mod run;
pub mod world;
