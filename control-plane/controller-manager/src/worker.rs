//! Works off a queue of keys: each key by one run at a time, several keys at once, failing ones less and less often.

use std::collections::HashMap;
use std::fmt::Debug;
use std::future::Future;
use std::hash::Hash;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use chain::Chain;
use controller_manager_core::queue::{Outcome, Pace, Queue};
use tokio::sync::Notify;
use tokio::task::{JoinError, JoinSet};

use crate::clock::{Clock, jitter};

/// Why a run failed; shown in the log with its causes.
pub(crate) type Failure = Box<dyn std::error::Error + Send + Sync>;

/// The queue of one controller and those who work it off.
pub(crate) struct Worker<K> {
    name: &'static str,
    clock: Clock,
    queue: Mutex<Queue<K>>,
    changed: Notify,
    counts: Arc<Counts>,
}

/// What a queue counts for /metrics.
#[derive(Debug, Default)]
pub(crate) struct Counts {
    pub(crate) adds: AtomicU64,
    pub(crate) retries: AtomicU64,
    pub(crate) depth: AtomicU64,
    pub(crate) running: AtomicU64,
}

impl<K> Worker<K>
where
    K: Clone + Debug + Eq + Hash + Ord + Send + Sync + 'static,
{
    pub(crate) fn new(name: &'static str, pace: Pace, clock: Clock, counts: Arc<Counts>) -> Arc<Self> {
        Arc::new(Self { name, clock, queue: Mutex::new(Queue::new(pace)), changed: Notify::new(), counts })
    }

    /// The object of this key changed, or must be looked at for the first time.
    pub(crate) fn add(&self, key: K) {
        self.counts.adds.fetch_add(1, Ordering::Relaxed);
        let mut queue = self.queue();
        queue.add(key);
        self.publish(&queue);
        drop(queue);
        self.changed.notify_one();
    }

    /// Runs `reconcile` over the keys for ever, over at most `concurrency` of them at a time.
    ///
    /// A run that panics counts as a failed one. Cancel safe in the sense that dropping this future aborts the runs.
    pub(crate) async fn run<F, R>(&self, concurrency: usize, reconcile: F)
    where
        F: Fn(K) -> R,
        R: Future<Output = Result<Outcome, Failure>> + Send + 'static,
    {
        let mut runs = JoinSet::new();
        let mut keys = HashMap::new();
        loop {
            while runs.len() < concurrency
                && let Some(key) = self.take()
            {
                let handle = runs.spawn(reconcile(key.clone()));
                keys.insert(handle.id(), key);
            }
            let due_at = if runs.len() < concurrency { self.queue().due_at() } else { None };
            let due = async {
                match due_at {
                    Some(at) => self.clock.sleep_until(at).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = self.changed.notified(), if runs.len() < concurrency => {}
                () = due => {}
                Some(ended) = runs.join_next_with_id() => {
                    let id = ended.as_ref().map_or_else(JoinError::id, |(id, _)| *id);
                    if let Some(key) = keys.remove(&id) {
                        self.finished(&key, ended.map(|(_, result)| result));
                    }
                }
            }
        }
    }

    fn take(&self) -> Option<K> {
        let mut queue = self.queue();
        let key = queue.take(self.clock.now());
        self.publish(&queue);
        key
    }

    fn finished(&self, key: &K, result: Result<Result<Outcome, Failure>, JoinError>) {
        let (outcome, failure) = match result {
            Ok(Ok(outcome)) => (outcome, None),
            Ok(Err(failure)) => (Outcome::Retry, Some(Chain(&*failure).to_string())),
            Err(error) => (Outcome::Retry, Some(error.to_string())),
        };
        let mut queue = self.queue();
        let tries = queue.finished(key, outcome, self.clock.now(), jitter());
        self.publish(&queue);
        drop(queue);
        if outcome == Outcome::Retry {
            self.counts.retries.fetch_add(1, Ordering::Relaxed);
        }
        // The 1st, 2nd, 4th, 8th … time: enough to see that it goes on, not enough to flood the log.
        if let Some(failure) = failure.filter(|_| tries.is_power_of_two()) {
            tracing::warn!(controller = self.name, ?key, tries, error = failure, "will try again");
        }
    }

    fn queue(&self) -> MutexGuard<'_, Queue<K>> {
        // The queue's methods do not panic half-way, so what a poisoned lock guards is whole.
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn publish(&self, queue: &Queue<K>) {
        self.counts.depth.store(queue.depth() as u64, Ordering::Relaxed);
        self.counts.running.store(queue.running() as u64, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicUsize;
    use std::time::Duration;

    use super::*;

    const PACE: Pace = Pace { first: Duration::from_millis(5), last: Duration::from_millis(40) };

    fn worker() -> Arc<Worker<u32>> {
        Worker::new("test", PACE, Clock::new(), Arc::default())
    }

    #[tokio::test]
    async fn failing_and_panicking_runs_are_repeated_until_they_work() {
        let worker = worker();
        let tries = Arc::new(AtomicUsize::new(0));
        let (done, mut finished) = tokio::sync::mpsc::channel(1);
        worker.add(7);
        let counted = Arc::clone(&tries);
        let run = worker.run(2, move |key| {
            let (tries, done) = (Arc::clone(&counted), done.clone());
            async move {
                match tries.fetch_add(1, Ordering::SeqCst) {
                    0 => Err("not yet".into()),
                    1 => panic!("a bug"),
                    _ => {
                        let _ = done.send(key).await;
                        Ok(Outcome::Done)
                    }
                }
            }
        });
        tokio::select! {
            () = run => unreachable!("it never ends"),
            key = finished.recv() => assert_eq!(key, Some(7)),
        }
        assert_eq!(tries.load(Ordering::SeqCst), 3);
        assert_eq!(worker.counts.retries.load(Ordering::Relaxed), 2);
    }

    #[tokio::test]
    async fn no_more_than_the_allowed_number_runs_at_once() {
        let worker = worker();
        let (now, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        for key in 0..20 {
            worker.add(key);
        }
        let (running, peak) = (Arc::clone(&now), Arc::clone(&most));
        let run = worker.run(3, move |_| {
            let (running, peak) = (Arc::clone(&running), Arc::clone(&peak));
            async move {
                peak.fetch_max(running.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                tokio::time::sleep(Duration::from_millis(5)).await;
                running.fetch_sub(1, Ordering::SeqCst);
                Ok(Outcome::Done)
            }
        });
        let all_done = async {
            let busy = || {
                let queue = worker.queue();
                queue.depth() + queue.running() > 0
            };
            while busy() {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        };
        tokio::select! {
            () = run => unreachable!("it never ends"),
            done = tokio::time::timeout(Duration::from_secs(20), all_done) => assert!(done.is_ok(), "not worked off"),
        }
        assert_eq!(most.load(Ordering::SeqCst), 3);
    }
}
