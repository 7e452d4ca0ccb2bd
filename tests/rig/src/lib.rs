//! What the black-box suites stand on: a store and an API server as processes of their own, with fresh credentials, in a
//! temporary folder, gone when the test is.
//!
//! Programs are found beside the test's own executable, where cargo puts them, or in the folder `ORLOP_BIN_DIR` names.
//! Everything here panics when it fails: a test cannot go on without its rig, and the panic says what was tried.

mod cluster;
mod controllers;
mod credentials;
mod https;
mod process;
mod responder;
mod store;

pub use cluster::{Cluster, Options, Server};
pub use credentials::{Credentials, Login};
pub use https::{Answer, Client, Connection, Watch};
pub use process::{Process, binary, free_port, until};
pub use responder::Responder;
pub use store::{StoreKind, StoreProcess};
