//! Removing what was compacted, in the background and in small steps.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use store_core::{Revision, compaction};
use tokio::sync::watch;

use crate::database::Database;
use crate::poison::Poison;

/// Changes looked at in one step. Larger: longer batches in front of other writes.
const STEP: usize = 1000;
/// Rest between steps, so that removal takes a part of the disk's and processor's time, never all of it.
const REST: Duration = Duration::from_millis(2);

/// The handle to the thread that removes.
#[derive(Debug, Clone)]
pub struct Compactor {
    target: watch::Sender<Revision>,
    removed: watch::Receiver<Revision>,
}

impl Compactor {
    /// Starts the thread; it goes on where it stopped.
    pub fn start(database: Arc<Database>, poison: Poison, compacted: Revision) -> io::Result<Self> {
        let (target, targets) = watch::channel(compacted);
        let (progress, removed) = watch::channel(Revision::NEVER);
        let runtime = tokio::runtime::Handle::current();
        std::thread::Builder::new().name("compactor".to_owned()).spawn(move || {
            if let Err(error) = run(&database, targets, &progress, &runtime) {
                poison.spread(format!("compacted revisions cannot be removed: {error}"));
            }
        })?;
        Ok(Self { target, removed })
    }

    /// Everything up to `revision` may go, once nobody needs it any more.
    pub fn compacted(&self, revision: Revision) {
        self.target.send_if_modified(|target| {
            let newer = revision > *target;
            *target = revision.max(*target);
            newer
        });
    }

    /// Up to which revision everything is removed.
    pub fn progress(&self) -> Revision {
        *self.removed.borrow()
    }

    /// Waits until everything up to `revision` is removed.
    pub async fn removed(&self, revision: Revision) -> io::Result<()> {
        let mut removed = self.removed.clone();
        let waited = removed.wait_for(|removed| *removed >= revision).await;
        waited.map(drop).map_err(|_| io::Error::other("the compactor is gone"))
    }
}

fn run(
    database: &Database,
    mut targets: watch::Receiver<Revision>,
    progress: &watch::Sender<Revision>,
    runtime: &tokio::runtime::Handle,
) -> io::Result<()> {
    loop {
        let target = *targets.borrow_and_update();
        while let Some(finished) = database.compact(|view| compaction::step(view, target, STEP))? {
            if finished {
                break;
            }
            std::thread::sleep(REST);
        }
        progress.send_replace(target);
        // The sender lives in the node: its end is the end of this thread.
        if runtime.block_on(targets.changed()).is_err() {
            return Ok(());
        }
    }
}
