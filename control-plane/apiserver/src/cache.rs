//! The watch cache: one per resource, fed by one watch of the store, read by every list and watch.
//!
//! ```text
//!   store ──watch──> feed ──> state: ordered copy-on-write set + history ──> lists (a snapshot each)
//!                                          └── new revision ──────────────> watchers (a cursor each)
//! ```
//!
//! A watcher owns no queue: it holds a position in the shared history and is woken when there is more. One that falls
//! behind the history is closed; it costs the others nothing. What the history holds is bounded in events and in bytes.

mod event;
mod feed;
mod kept;
mod object;
mod state;
mod texts;

use std::collections::BTreeSet;
use std::ops::Bound;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::Duration;

use apiserver_core::Resource;
use tokio::sync::watch;

pub(crate) use event::{CacheEvent, EventType, Form, Shown, Style, Wire, frame};
pub(crate) use object::{CachedObject, Entry, Unreadable, message, metadata, served, with_resource_version};
pub(crate) use state::{Batch, Cursor, Overrun, Snapshot};

use crate::metrics::ResourceCounts;
use state::State;

/// How long a read waits for the cache to reach a revision.
pub(crate) const FRESHNESS_WAIT: Duration = Duration::from_secs(3);

/// The cache of one resource.
pub(crate) struct Cache {
    /// The row it holds objects of.
    pub(crate) resource: Arc<Resource>,
    state: RwLock<State>,
    /// The revision everything up to which has been seen; changes after each step of the feed.
    revision: watch::Sender<i64>,
    /// The highest revision a reader waits for.
    wanted: watch::Sender<i64>,
    /// The revision to reach before the cache serves; 0 while unknown.
    target: watch::Sender<i64>,
    /// Whether the store's progress notifications tell when the cache is as new as a revision.
    tells_progress: AtomicBool,
    /// The revision of this server's own newest write to the resource.
    written: AtomicI64,
    /// Keys of stored values that cannot be read.
    unreadable: Mutex<BTreeSet<Box<str>>>,
    /// What is counted of the resource.
    pub(crate) counts: ResourceCounts,
}

/// The cache did not reach a revision in time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Behind {
    /// What it has reached.
    pub(crate) current: i64,
}

impl Cache {
    /// An empty cache; [`run`](Self::run) fills it.
    pub(crate) fn new(resource: Arc<Resource>) -> Self {
        Self {
            resource,
            state: RwLock::new(State::default()),
            revision: watch::Sender::new(0),
            wanted: watch::Sender::new(0),
            target: watch::Sender::new(0),
            tells_progress: AtomicBool::new(false),
            written: AtomicI64::new(0),
            unreadable: Mutex::default(),
            counts: ResourceCounts::default(),
        }
    }

    /// Whether the first list is complete. Once true it stays true, also while the store is away.
    pub(crate) fn is_ready(&self) -> bool {
        let target = *self.target.borrow();
        target > 0 && *self.revision.borrow() >= target
    }

    /// Waits until the cache can be read.
    pub(crate) async fn ready(&self) {
        let mut target = self.target.subscribe();
        // The senders live as long as the cache, so neither wait can fail.
        let Ok(target) = target.wait_for(|target| *target > 0).await.map(|target| *target) else { return };
        let _ = self.revision.subscribe().wait_for(|revision| *revision >= target).await;
    }

    /// Whether [`reach`](Self::reach) works although nothing changes in this resource.
    pub(crate) fn tells_progress(&self) -> bool {
        self.tells_progress.load(Ordering::Relaxed)
    }

    /// Everything up to this revision has been seen.
    pub(crate) fn revision(&self) -> i64 {
        *self.revision.borrow()
    }

    /// Notes a write of this server.
    pub(crate) fn wrote(&self, revision: i64) {
        self.written.fetch_max(revision, Ordering::AcqRel);
    }

    /// Whether every write of this server before the call has been seen.
    pub(crate) fn has_seen_own_writes(&self) -> bool {
        self.revision() >= self.written.load(Ordering::Acquire)
    }

    /// Waits until it has, at most [`FRESHNESS_WAIT`].
    pub(crate) async fn reach_own_writes(&self) -> Result<(), Behind> {
        self.reach(self.written.load(Ordering::Acquire)).await
    }

    /// Waits until everything up to `revision` has been seen, at most [`FRESHNESS_WAIT`].
    pub(crate) async fn reach(&self, revision: i64) -> Result<(), Behind> {
        if self.revision() >= revision {
            return Ok(());
        }
        let mut reached = self.revision.subscribe();
        self.wanted.send_if_modified(|wanted| {
            let more = *wanted < revision;
            *wanted = revision.max(*wanted);
            more
        });
        match tokio::time::timeout(FRESHNESS_WAIT, reached.wait_for(|reached| *reached >= revision)).await {
            Ok(_) => Ok(()),
            Err(_) => Err(Behind { current: self.revision() }),
        }
    }

    /// All objects as of now.
    pub(crate) fn snapshot(&self) -> Snapshot {
        self.read().snapshot()
    }

    /// All objects as of `revision`, if the history reaches back to it and the cache has seen it.
    pub(crate) fn snapshot_at(&self, revision: i64) -> Option<Snapshot> {
        self.read().snapshot_at(revision)
    }

    /// One object as of now.
    pub(crate) fn get(&self, key: &str) -> Option<Arc<CachedObject>> {
        self.read().get(key)
    }

    /// The objects as of now together with the position right behind them.
    pub(crate) fn snapshot_and_cursor(&self) -> (Snapshot, Cursor) {
        let state = self.read();
        (state.snapshot(), state.end())
    }

    /// The position right behind `revision`.
    pub(crate) fn cursor_after(&self, revision: i64) -> Result<Cursor, Overrun> {
        self.read().cursor_after(revision)
    }

    /// Up to `limit` events from `cursor` on, which moves behind them.
    pub(crate) fn events(&self, cursor: &mut Cursor, limit: usize) -> Result<Batch, Overrun> {
        self.read().events(cursor, limit)
    }

    /// Wakes up whenever the cache has seen more.
    pub(crate) fn changes(&self) -> watch::Receiver<i64> {
        self.revision.subscribe()
    }

    /// How many stored values below a prefix cannot be read, and are in no snapshot.
    pub(crate) fn unreadable(&self, prefix: &str) -> usize {
        self.unreadable_keys()
            .range::<str, _>((Bound::Included(prefix), Bound::Unbounded))
            .take_while(|key| key.starts_with(prefix))
            .count()
    }

    fn unreadable_keys(&self) -> MutexGuard<'_, BTreeSet<Box<str>>> {
        self.unreadable.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Number of objects.
    pub(crate) fn count(&self) -> usize {
        self.read().count()
    }

    /// Number of objects, and the bytes of all of them.
    pub(crate) fn size(&self) -> (u64, u64) {
        let state = self.read();
        (state.count() as u64, state.size())
    }

    fn read(&self) -> RwLockReadGuard<'_, State> {
        // Nothing inside the lock can panic half way: a poisoned state is still whole.
        self.state.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, State> {
        self.state.write().unwrap_or_else(PoisonError::into_inner)
    }
}
