//! Conformance of the store, seen from outside. Each case runs against real etcd first and then against ours.
//!
//! ```text
//! conformance!(a_put_is_read_back, |server| { … });     makes   etcd::a_put_is_read_back   and   ours::a_put_is_read_back
//! ```
//!
//! Servers run on free ports of the loopback, over mutual TLS, with a fresh data folder, and end with the test.

pub mod backup;
mod client;
mod cluster;
pub mod dice;
pub mod etcdctl;
pub mod history;
pub mod kept;
pub mod metrics;
pub mod network;
pub mod object_store;
mod server;
pub mod victim;

pub use client::{Client, Watcher, code_and_text, range_of_prefix, with_token};
pub use cluster::Cluster;
pub use server::{Kind, Server, program};

/// Longest wait for anything that must happen.
pub const DEADLINE: std::time::Duration = std::time::Duration::from_secs(20);

/// Defines one case for both servers. The closure gets a running [`Server`] and returns a future.
#[macro_export]
macro_rules! conformance {
    ($name:ident, $case:expr) => {
        $crate::conformance!($name, [], $case);
    };
    // With further flags for the server.
    ($name:ident, [$($flag:expr),*], $case:expr) => {
        mod $name {
            use super::*;

            #[test]
            fn etcd() {
                $crate::run_with($crate::Kind::Etcd, &[$($flag),*], $case);
            }

            #[test]
            fn ours() {
                $crate::run_with($crate::Kind::Ours, &[$($flag),*], $case);
            }
        }
    };
}

/// Defines one case for a cluster of several members, for both programs. The closure gets a running [`Cluster`].
#[macro_export]
macro_rules! cluster_conformance {
    ($name:ident, $case:expr) => {
        mod $name {
            use super::*;

            #[test]
            fn etcd() {
                $crate::run_cluster($crate::Kind::Etcd, 3, &[], $case);
            }

            #[test]
            fn ours() {
                $crate::run_cluster($crate::Kind::Ours, 3, &[], $case);
            }
        }
    };
}

/// Runs one case against a fresh cluster of this many members, started with further flags.
pub fn run_cluster<F>(kind: Kind, size: usize, extra: &[&str], case: impl FnOnce(Cluster) -> F)
where
    F: Future<Output = ()>,
{
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let cluster = Cluster::start(kind, size, extra).await;
        case(cluster).await;
    });
}

/// Runs one case that prepares everything itself.
pub fn run_prepared(case: impl Future<Output = ()>) {
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime");
    runtime.block_on(case);
}

/// Runs one case against a fresh server of this kind.
pub fn run<F>(kind: Kind, case: impl FnOnce(Server) -> F)
where
    F: Future<Output = ()>,
{
    run_with(kind, &[], case);
}

/// Runs one case against a fresh server of this kind with further flags.
pub fn run_with<F>(kind: Kind, extra: &[&str], case: impl FnOnce(Server) -> F)
where
    F: Future<Output = ()>,
{
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let server = Server::start_with(kind, extra).await;
        case(server).await;
    });
}

/// Waits for a future, with the suite's deadline; `what` names it when it does not come.
pub async fn within<T>(what: &str, future: impl Future<Output = T>) -> T {
    let outcome = tokio::time::timeout(DEADLINE, future).await;
    outcome.unwrap_or_else(|_| panic!("{what}: not within {DEADLINE:?}"))
}

/// Waits for what a whole cluster must do.
pub async fn within_a_minute<T>(what: &str, future: impl Future<Output = T>) -> T {
    let outcome = tokio::time::timeout(std::time::Duration::from_mins(1), future).await;
    outcome.unwrap_or_else(|_| panic!("{what}: not within a minute"))
}
