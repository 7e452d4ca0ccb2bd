//! Upstream's conformance behaviours, one test each, and the list that says which of them hold.
//!
//! A behaviour runs as a test of its own on a cluster of its own, and together with all others on one cluster of each further
//! store. `ORLOP_TEST_STORE` chooses the store of the former.

mod list;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use crate::rig::{Cluster, Options, StoreKind};
use crate::stage::Stage;

pub use list::{Count, Entry, List, State};

/// Often enough that a behaviour which waits for history to be forgotten need not wait long, and seldom enough that none loses
/// what it still needs: those that look back do so within this time.
const COMPACTION: &str = "--etcd-compaction-interval=8s";
/// Behaviours that share a cluster run so many at a time: as many as keep two processors busy.
const AT_A_TIME: usize = 6;

/// The play of a behaviour.
pub type Play = Pin<Box<dyn Future<Output = ()>>>;

/// One behaviour.
#[derive(Clone, Copy)]
pub struct Behaviour {
    /// Its path, from the test program on.
    pub path: &'static str,
    /// Plays it.
    pub play: fn(Stage) -> Play,
}

impl Behaviour {
    /// The path within the suite.
    pub fn name(&self) -> &'static str {
        self.path.split_once("::").map_or(self.path, |(_, name)| name)
    }

    /// Plays it on a cluster of its own.
    pub fn alone(self) {
        let runtime = runtime();
        let cluster = Arc::new(runtime.block_on(start(StoreKind::chosen())));
        runtime.block_on(async { (self.play)(Stage::new(cluster, self.name()).await).await });
    }
}

/// Plays behaviours on one cluster, several at a time; all of them, whoever fails.
pub fn together(store: StoreKind, behaviours: &[Behaviour]) {
    let cluster = Arc::new(runtime().block_on(start(store)));
    let (next, failed) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    std::thread::scope(|scope| {
        for _ in 0..AT_A_TIME {
            scope.spawn(|| {
                while let Some(behaviour) = behaviours.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let play = || {
                        let cluster = Arc::clone(&cluster);
                        runtime().block_on(async {
                            (behaviour.play)(Stage::new(cluster, behaviour.name()).await).await;
                        });
                    };
                    if catch_unwind(AssertUnwindSafe(play)).is_err() {
                        failed.lock().unwrap_or_else(PoisonError::into_inner).push(behaviour.name());
                    }
                }
            });
        }
    });
    let failed = failed.into_inner().unwrap_or_else(PoisonError::into_inner);
    assert!(failed.is_empty(), "{} of {} failed on {store:?}: {failed:#?}", failed.len(), behaviours.len());
}

async fn start(store: StoreKind) -> Cluster {
    Cluster::start(Options { store, flags: vec![COMPACTION.to_owned()] }).await
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime")
}

/// Makes a test of each behaviour of a file, and the file's part of the suite. A behaviour is an `async fn(Stage)`.
#[macro_export]
macro_rules! behaviours {
    ($($name:ident),* $(,)?) => {
        pub(crate) const BEHAVIOURS: &[$crate::conformance::Behaviour] = &[$($crate::conformance::Behaviour {
            path: concat!(module_path!(), "::", stringify!($name)),
            play: |stage| Box::pin($name(stage)),
        }),*];

        mod test {
            $(#[test]
            fn $name() {
                let path = concat!("::", stringify!($name));
                super::BEHAVIOURS.iter().find(|one| one.path.ends_with(path)).expect("it is one of them").alone();
            })*
        }
    };
}
