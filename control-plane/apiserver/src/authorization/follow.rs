//! Following several caches as one: each change is told once, in the order of its cache.

use std::sync::{Arc, Mutex, PoisonError};

use apiserver_core::Object;
use tokio::sync::watch;

use crate::cache::{Cache, CachedObject, Cursor};

/// Changes taken from a cache at a time.
const BATCH: usize = 256;

/// What is told.
pub(super) enum Told<'a, K> {
    /// Forget everything: all there is follows.
    Anew,
    /// An object is now so, or gone.
    Is { kind: K, namespace: &'a str, name: &'a str, object: Option<&'a Object> },
}

/// Some caches, and how far they were followed.
pub(super) struct Followed<K> {
    caches: Vec<(K, Arc<Cache>)>,
    cursors: Mutex<Option<Vec<Cursor>>>,
}

impl<K: Copy> Followed<K> {
    pub(super) fn new(caches: impl Iterator<Item = (K, Arc<Cache>)>) -> Self {
        Self { caches: caches.collect(), cursors: Mutex::new(None) }
    }

    /// The caches.
    pub(super) fn caches(&self) -> impl Iterator<Item = &Arc<Cache>> {
        self.caches.iter().map(|(_, cache)| cache)
    }

    /// Waits until each can be read.
    async fn ready(&self) {
        for cache in self.caches() {
            cache.ready().await;
        }
    }

    /// Tells all changes since the last time. `matters` spares the reading of objects that lead nowhere. Whoever is told must be
    /// done with it when this returns: two tasks may come here, and the second relies on the first.
    pub(super) fn catch_up(&self, matters: impl Fn(K, &CachedObject) -> bool, tell: &mut dyn FnMut(Told<'_, K>)) {
        let mut cursors = self.cursors.lock().unwrap_or_else(PoisonError::into_inner);
        let is =
            |(kind, cache): &(K, Arc<Cache>), cached: &CachedObject, gone: bool, tell: &mut dyn FnMut(Told<'_, K>)| {
                let object = if gone || !matters(*kind, cached) { None } else { cached.tree().ok() };
                let (namespace, name) = place(&cached.key);
                let namespace = if cache.resource.is_namespaced() { namespace } else { "" };
                tell(Told::Is { kind: *kind, namespace, name, object: object.as_ref() });
            };
        if let Some(cursors) = cursors.as_mut() {
            let mut behind = false;
            for (one, cursor) in self.caches.iter().zip(cursors.iter_mut()) {
                loop {
                    let Ok(batch) = one.1.events(cursor, BATCH) else {
                        behind = true;
                        break;
                    };
                    for event in &batch.events {
                        if let Some(cached) = event.object.as_ref().or(event.previous.as_ref()) {
                            is(one, cached, event.object.is_none(), tell);
                        }
                    }
                    if batch.reached.is_some() {
                        break;
                    }
                }
            }
            if !behind {
                return;
            }
        }
        tell(Told::Anew);
        let mut fresh = Vec::with_capacity(self.caches.len());
        for one in &self.caches {
            let (snapshot, cursor) = one.1.snapshot_and_cursor();
            fresh.push(cursor);
            for entry in &snapshot.objects {
                is(one, &entry.0, false, tell);
            }
        }
        *cursors = Some(fresh);
    }

    /// Calls `catch_up` at each change, for ever.
    pub(super) async fn follow(&self, catch_up: impl Fn()) {
        self.ready().await;
        let mut changes: Vec<watch::Receiver<i64>> = self.caches().map(|cache| cache.changes()).collect();
        if changes.is_empty() {
            return std::future::pending().await;
        }
        loop {
            for one in &mut changes {
                one.borrow_and_update();
            }
            catch_up();
            let waits = changes.iter_mut().map(|one| Box::pin(one.changed()));
            // The senders live as long as the caches, which are held here.
            let _ = futures::future::select_all(waits).await;
        }
    }
}

/// The last two segments of a key of the store.
fn place(key: &str) -> (&str, &str) {
    let (rest, name) = key.rsplit_once('/').unwrap_or(("", key));
    (rest.rsplit_once('/').map_or("", |(_, namespace)| namespace), name)
}
