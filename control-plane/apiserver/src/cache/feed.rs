//! Fills the cache: a list, then a watch for ever.
//!
//! The list is made at a revision a little in the past where the store still has it, and the watch replays from there: so
//! the history survives a restart of this server, and watchers resume instead of listing everything again.

use std::sync::Arc;
use std::time::Duration;

use backoff::Backoff;
use imbl::OrdSet;
use proto::mvccpb::KeyValue;
use tokio::time::{Instant, MissedTickBehavior, interval_at};

use super::object::{CachedObject, Entry};
use super::state::Snapshot;
use super::{Cache, Unreadable};
use crate::store_client::{StoreClient, StoreError, StoreEvent, StoreWatch, WatchError, WatchStep};

/// How many revisions of the whole store are replayed at the start. More let watchers resume over a longer restart and
/// make the start slower.
const REPLAYED: i64 = 1000;
/// How often progress is asked for while a reader waits.
const PROGRESS_RETRY: Duration = Duration::from_millis(50);
/// How often progress is asked for while nobody waits, so that bookmarks keep up with compaction.
const PROGRESS_IDLE: Duration = Duration::from_secs(10);

#[derive(Debug, thiserror::Error)]
enum FeedError {
    #[error("list from the store")]
    List(#[from] StoreError),
    #[error("watch the store")]
    Watch(#[from] WatchError),
}

impl Cache {
    /// Keeps the cache filled until the task is dropped.
    pub(crate) async fn run(self: Arc<Self>, store: Arc<StoreClient>) {
        let mut backoff = Backoff::new(Duration::from_millis(50), Duration::from_secs(2));
        let mut listed = false;
        loop {
            let mut followed = false;
            let error = match self.connect(&store, listed).await {
                Ok(mut watch) => {
                    listed = true;
                    self.follow(&mut watch, &mut followed).await
                }
                Err(error) => error,
            };
            if followed {
                backoff.reset();
            }
            let resource = &self.resource.plural;
            if let FeedError::Watch(WatchError::Compacted { compacted }) = error {
                tracing::warn!(%resource, compacted, "history was compacted away; listing again");
                listed = false;
            } else {
                tracing::warn!(%resource, error = %chain::Chain(&error), "the feed of the watch cache broke");
            }
            tokio::time::sleep(backoff.next_delay(rand::random())).await;
        }
    }

    /// Opens the watch, behind what is known already or behind a new list.
    async fn connect(&self, store: &StoreClient, listed: bool) -> Result<StoreWatch, FeedError> {
        let prefix = self.resource.key_prefix(None);
        if listed {
            return Ok(store.watch(&prefix, self.revision() + 1).await?);
        }
        let now = store.revision().await?.max(1);
        let past = (now - REPLAYED).max(1);
        let watch = store.watch(&prefix, past + 1).await?;
        self.note_progress(&watch);
        if watch.reports_progress {
            match self.list(store, &prefix, past).await {
                Ok(snapshot) => {
                    self.start(snapshot, now);
                    return Ok(watch);
                }
                Err(StoreError::Compacted) => {}
                Err(error) => return Err(error.into()),
            }
        }
        drop(watch);
        let snapshot = self.list(store, &prefix, 0).await?;
        let revision = snapshot.revision;
        self.start(snapshot, revision);
        Ok(store.watch(&prefix, revision + 1).await?)
    }

    fn start(&self, snapshot: Snapshot, target: i64) {
        let revision = snapshot.revision;
        self.counts.initializations.one();
        self.write().reset(snapshot);
        self.revision.send_replace(revision);
        self.target.send_if_modified(|known| {
            // A later list does not make a serving cache unready.
            let first = *known == 0;
            if first {
                *known = target;
            }
            first
        });
    }

    fn note_progress(&self, watch: &StoreWatch) {
        self.tells_progress.store(watch.reports_progress, std::sync::atomic::Ordering::Relaxed);
    }

    /// Reads all objects at `revision` (0: now).
    async fn list(&self, store: &StoreClient, prefix: &str, revision: i64) -> Result<Snapshot, StoreError> {
        let mut objects = OrdSet::new();
        self.unreadable_keys().clear();
        let take = |kvs: Vec<KeyValue>| {
            for kv in kvs {
                if let Some(object) = self.object(&kv.key, &kv.value, kv.mod_revision) {
                    objects.insert(Entry(Arc::new(object)));
                }
            }
        };
        let revision = store.list_all(prefix, revision, take).await?;
        Ok(Snapshot { revision, objects })
    }

    /// Takes in steps until the watch breaks. `followed` says whether there was any.
    async fn follow(&self, watch: &mut StoreWatch, followed: &mut bool) -> FeedError {
        self.note_progress(watch);
        let mut wanted = self.wanted.subscribe();
        let mut asking = interval_at(Instant::now(), PROGRESS_RETRY);
        asking.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut idle = interval_at(Instant::now() + PROGRESS_IDLE, PROGRESS_IDLE);
        loop {
            let behind = self.revision() < (*wanted.borrow_and_update()).max(*self.target.borrow());
            tokio::select! {
                biased;
                step = watch.next() => match step {
                    Ok(step) => {
                        *followed = true;
                        self.take(step, watch.reports_progress);
                    }
                    Err(error) => return error.into(),
                },
                changed = wanted.changed() => {
                    // Ask at once for the first reader; `asking` repeats it.
                    if changed.is_ok() && self.revision() < *wanted.borrow() {
                        watch.request_progress();
                        asking.reset();
                    }
                }
                _ = asking.tick(), if behind => watch.request_progress(),
                _ = idle.tick() => watch.request_progress(),
            }
        }
    }

    fn take(&self, step: WatchStep, sound: bool) {
        let revision = {
            let mut state = self.write();
            match step {
                WatchStep::Progress { revision } if sound => {
                    self.counts.bookmarks.one();
                    state.advance(revision);
                }
                WatchStep::Progress { .. } => return,
                WatchStep::Events(events) => {
                    self.counts.received.add(events.len());
                    for event in events {
                        let key = String::from_utf8_lossy(&event.kv.key);
                        let object = self.changed(&key, &event);
                        state.apply(&key, event.kv.mod_revision, object);
                    }
                }
            }
            state.snapshot().revision
        };
        self.revision.send_if_modified(|known| {
            let more = *known < revision;
            *known = revision.max(*known);
            more
        });
    }

    fn changed(&self, key: &str, event: &StoreEvent) -> Option<Arc<CachedObject>> {
        if event.deleted {
            self.unreadable_keys().remove(key);
            return None;
        }
        self.object(key.as_bytes(), &event.kv.value, event.kv.mod_revision).map(Arc::new)
    }

    /// Reads one stored value. What cannot be read is left out and said loudly, here and to whoever lists: one broken value must
    /// not take the whole resource away.
    fn object(&self, key: &[u8], value: &[u8], revision: i64) -> Option<CachedObject> {
        let read = |key: &str| -> Result<CachedObject, Unreadable> {
            CachedObject::read(&self.resource, key, value, revision)
        };
        let key = String::from_utf8_lossy(key);
        self.resource.parse_key(&key)?;
        match read(&key) {
            Ok(object) => {
                self.unreadable_keys().remove(&*key);
                Some(object)
            }
            Err(error) => {
                self.unreadable_keys().insert((&*key).into());
                tracing::error!(%key, error = %chain::Chain(&error), "a stored object cannot be read and is left out");
                None
            }
        }
    }
}
