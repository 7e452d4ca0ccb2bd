//! What clients asked and were told, and whether one order of events explains all of it.
//!
//! Every answer carries a revision, so the order need not be searched for: writes are put in the order of their
//! revisions, which an observer has watched from the first on, and everything else is held against that.
//!
//! ```text
//! writes     each at its own revision, exactly once, never before something that was answered earlier (real time)
//! reads      show the state at the revision they name, which is no older than anything answered before they were asked
//! watches    show every change once, in order, without a gap
//! ```
//!
//! A write without an answer may have happened or not; if it did, once, and not before it was asked for.

mod ask;
mod check;
mod replay;

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

pub use ask::{ask, changes};
pub use check::Violation;
pub use replay::Change;

/// What a client asked for. Values are unique, so that a change names the write it comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Asked {
    /// A put.
    Put {
        /// The key.
        key: String,
        /// The value.
        value: String,
    },
    /// A put, if the key was last changed at this revision (0: does not exist); else a read.
    Swap {
        /// The key.
        key: String,
        /// The revision.
        expected: i64,
        /// The value.
        value: String,
    },
    /// A deletion.
    Delete {
        /// The key.
        key: String,
    },
    /// A read.
    Get {
        /// The key.
        key: String,
        /// Whether an older state would do.
        serializable: bool,
    },
}

/// What a client was told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Told {
    /// It was written, at this revision.
    Written(i64),
    /// Nothing was written; this is what the key held at this revision.
    Found {
        /// The revision.
        revision: i64,
        /// Value and revision of the last change, if the key existed. Not told for deletions that deleted nothing.
        state: Option<(String, i64)>,
    },
    /// Nothing: it failed, or there was no answer in time.
    Nothing,
}

/// One question and its answer, with the times of both, since the beginning of the history.
#[derive(Debug, Clone)]
pub struct Operation {
    /// The question.
    pub asked: Asked,
    /// The answer.
    pub told: Told,
    /// When it was asked.
    pub begun: Duration,
    /// When it was answered, or given up.
    pub ended: Duration,
}

/// What one watcher was told, from one revision on.
#[derive(Debug, Clone, Default)]
pub struct Watched {
    /// Where it began.
    pub start: i64,
    /// The changes, in the order they came.
    pub changes: Vec<Change>,
}

/// Everything that happened.
#[derive(Debug)]
pub struct History {
    started: Instant,
    operations: Mutex<Vec<Operation>>,
}

impl Default for History {
    fn default() -> Self {
        Self { started: Instant::now(), operations: Mutex::default() }
    }
}

impl History {
    /// Asks, waits for the answer, and writes both down. Returns the answer.
    pub async fn record(&self, asked: Asked, answer: impl Future<Output = Told>) -> Told {
        let begun = self.started.elapsed();
        let told = answer.await;
        let operation = Operation { asked, told: told.clone(), begun, ended: self.started.elapsed() };
        self.operations.lock().unwrap_or_else(PoisonError::into_inner).push(operation);
        told
    }

    /// How many questions were answered.
    pub fn answered(&self) -> usize {
        let operations = self.operations.lock().unwrap_or_else(PoisonError::into_inner);
        operations.iter().filter(|operation| operation.told != Told::Nothing).count()
    }

    /// Holds everything against what an observer saw from the first revision to the last, and what other watchers saw.
    pub fn check(self, observed: &[Change], watched: &[Watched]) -> Vec<Violation> {
        check::check(&self.operations.into_inner().unwrap_or_else(PoisonError::into_inner), observed, watched)
    }
}
