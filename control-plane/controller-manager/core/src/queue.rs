//! Which object is looked at next: each key at most once at a time, failing ones less and less often.
//!
//! ```text
//!             add_at              due                take
//!   (absent) -------> Waiting ----------> Ready ------------> Running
//!      |                 |      add         ^                  |  |
//!      |      add        '----------------->|   changed while  |  |
//!      '----------------------------------->|      running     |  |
//!                                           |<-----------------'  |
//!   (absent) <---------------------------------------- done -------|
//!               Waiting <----------------- retry, or look again ---'
//! ```

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::hash::Hash;
use std::time::Duration;

use backoff::Backoff;

use crate::uptime::Uptime;

/// How fast a failing key comes back: after `first`, then doubling up to `last`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pace {
    /// The delay after the first failure.
    pub first: Duration,
    /// The longest delay. Larger values leave objects unattended longer after an outage; smaller ones load the API
    /// server with hopeless tries.
    pub last: Duration,
}

/// How a run over one key ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// Nothing is left to do until the object changes.
    Done,
    /// All is well; look again after this time.
    Again(Duration),
    /// It failed, or waits for somebody else: look again with growing delays.
    Retry,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Waiting { at: Uptime },
    Ready,
    Running { again: Again },
}

/// What was asked for while the key was running.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Again {
    No,
    At(Uptime),
    Now,
}

#[derive(Debug)]
struct Item {
    phase: Phase,
    tries: u32,
    backoff: Backoff,
}

/// A work queue without duplicates. Its size is bounded by the number of distinct keys.
#[derive(Debug)]
pub struct Queue<K> {
    pace: Pace,
    items: HashMap<K, Item>,
    ready: VecDeque<K>,
    waiting: BTreeSet<(Uptime, K)>,
    running: usize,
}

impl<K: Clone + Eq + Hash + Ord> Queue<K> {
    /// An empty queue.
    #[must_use]
    pub fn new(pace: Pace) -> Self {
        Self { pace, items: HashMap::new(), ready: VecDeque::new(), waiting: BTreeSet::new(), running: 0 }
    }

    /// The object changed: look at it as soon as possible. A pending delay is cut short; a key that is running will
    /// run once more.
    pub fn add(&mut self, key: K) {
        let Some(item) = self.items.get_mut(&key) else {
            self.items.insert(key.clone(), self.item(Phase::Ready));
            self.ready.push_back(key);
            return;
        };
        match item.phase {
            Phase::Ready => {}
            Phase::Running { .. } => item.phase = Phase::Running { again: Again::Now },
            Phase::Waiting { at } => {
                item.phase = Phase::Ready;
                self.waiting.remove(&(at, key.clone()));
                self.ready.push_back(key);
            }
        }
    }

    /// Look at the object at `at`, unless that happens earlier anyway.
    pub fn add_at(&mut self, key: K, at: Uptime) {
        let Some(item) = self.items.get_mut(&key) else {
            self.items.insert(key.clone(), self.item(Phase::Waiting { at }));
            self.waiting.insert((at, key));
            return;
        };
        match item.phase {
            Phase::Ready | Phase::Running { again: Again::Now } => {}
            Phase::Running { again: Again::At(earlier) } if earlier <= at => {}
            Phase::Running { again: Again::At(_) | Again::No } => {
                item.phase = Phase::Running { again: Again::At(at) };
            }
            Phase::Waiting { at: earlier } if earlier <= at => {}
            Phase::Waiting { at: later } => {
                item.phase = Phase::Waiting { at };
                self.waiting.remove(&(later, key.clone()));
                self.waiting.insert((at, key));
            }
        }
    }

    /// Hands out the next key that is due. The caller reports [`Queue::finished`] for it, whatever happens; until then
    /// the key is not handed out again.
    pub fn take(&mut self, now: Uptime) -> Option<K> {
        while let Some((at, _)) = self.waiting.first()
            && *at <= now
            && let Some((_, key)) = self.waiting.pop_first()
        {
            if let Some(item) = self.items.get_mut(&key) {
                item.phase = Phase::Ready;
            }
            self.ready.push_back(key);
        }
        let key = self.ready.pop_front()?;
        if let Some(item) = self.items.get_mut(&key) {
            item.phase = Phase::Running { again: Again::No };
        }
        self.running += 1;
        Some(key)
    }

    /// The run over `key` ended. Returns how many times in a row it has now been retried (0 after success).
    ///
    /// `jitter` in `0.0..=1.0` spreads the retries. A key that is not running is left as it is.
    pub fn finished(&mut self, key: &K, outcome: Outcome, now: Uptime, jitter: f64) -> u32 {
        let Some(item) = self.items.get_mut(key) else { return 0 };
        let Phase::Running { again } = item.phase else { return item.tries };
        self.running -= 1;
        let own_wish = match outcome {
            Outcome::Done => None,
            Outcome::Again(delay) => Some(now + delay),
            Outcome::Retry => Some(now + item.backoff.next_delay(jitter)),
        };
        match outcome {
            Outcome::Done | Outcome::Again(_) => {
                item.backoff.reset();
                item.tries = 0;
            }
            Outcome::Retry => item.tries = item.tries.saturating_add(1),
        }
        let tries = item.tries;
        let at = match (again, own_wish) {
            (Again::Now, _) => {
                item.phase = Phase::Ready;
                self.ready.push_back(key.clone());
                return tries;
            }
            (Again::No, None) => {
                self.items.remove(key);
                return tries;
            }
            (Again::No, Some(at)) | (Again::At(at), None) => at,
            (Again::At(asked), Some(own)) => asked.min(own),
        };
        item.phase = Phase::Waiting { at };
        self.waiting.insert((at, key.clone()));
        tries
    }

    /// When the next waiting key is due; `None` when no key waits for a time.
    #[must_use]
    pub fn due_at(&self) -> Option<Uptime> {
        self.waiting.first().map(|(at, _)| *at)
    }

    /// How many keys could be taken now or later (those that run are not counted).
    #[must_use]
    pub fn depth(&self) -> usize {
        self.ready.len() + self.waiting.len()
    }

    /// How many keys were handed out and not yet reported.
    #[must_use]
    pub fn running(&self) -> usize {
        self.running
    }

    fn item(&self, phase: Phase) -> Item {
        Item { phase, tries: 0, backoff: Backoff::new(self.pace.first, self.pace.last) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PACE: Pace = Pace { first: Duration::from_secs(1), last: Duration::from_secs(4) };

    fn at(seconds: u64) -> Uptime {
        Uptime::new(Duration::from_secs(seconds))
    }

    fn queue() -> Queue<&'static str> {
        Queue::new(PACE)
    }

    #[test]
    fn a_key_is_handed_out_once_however_often_it_is_added() {
        let mut queue = queue();
        queue.add("a");
        queue.add("a");
        assert_eq!(queue.take(at(0)), Some("a"));
        assert_eq!(queue.take(at(0)), None);
        queue.finished(&"a", Outcome::Done, at(0), 0.0);
        assert_eq!(queue.take(at(99)), None);
        assert!(queue.items.is_empty(), "a finished key leaves nothing behind");
    }

    #[test]
    fn a_change_during_a_run_leads_to_one_more_run_whatever_the_outcome() {
        for outcome in [Outcome::Done, Outcome::Retry, Outcome::Again(Duration::from_mins(1))] {
            let mut queue = queue();
            queue.add("a");
            assert_eq!(queue.take(at(0)), Some("a"));
            queue.add("a");
            assert_eq!(queue.take(at(0)), None, "never two runs at a time");
            queue.finished(&"a", outcome, at(0), 0.0);
            assert_eq!(queue.take(at(0)), Some("a"), "{outcome:?}");
        }
    }

    #[test]
    fn retries_wait_longer_and_longer_and_success_starts_afresh() {
        let mut queue = queue();
        let mut now = 0;
        for (tries, delay) in [(1, 1), (2, 2), (3, 4), (4, 4)] {
            queue.add("a");
            assert_eq!(queue.take(at(now)), Some("a"));
            assert_eq!(queue.finished(&"a", Outcome::Retry, at(now), 0.0), tries);
            assert_eq!(queue.due_at(), Some(at(now + delay)));
            assert_eq!(queue.take(at(now + delay - 1)), None);
            now += delay;
        }
        assert_eq!(queue.take(at(now)), Some("a"));
        assert_eq!(queue.finished(&"a", Outcome::Done, at(now), 0.0), 0);
        queue.add("a");
        queue.take(at(now));
        queue.finished(&"a", Outcome::Retry, at(now), 0.0);
        assert_eq!(queue.due_at(), Some(at(now + 1)));
    }

    #[test]
    fn the_earliest_wish_wins() {
        let mut queue = queue();
        queue.add_at("a", at(10));
        queue.add_at("a", at(20));
        assert_eq!(queue.due_at(), Some(at(10)));
        queue.add_at("a", at(5));
        assert_eq!((queue.due_at(), queue.depth()), (Some(at(5)), 1));
        queue.add("a");
        assert_eq!((queue.due_at(), queue.take(at(0))), (None, Some("a")));
        queue.add_at("a", at(30));
        queue.finished(&"a", Outcome::Again(Duration::from_mins(1)), at(1), 0.0);
        assert_eq!(queue.due_at(), Some(at(30)));
    }

    #[test]
    fn a_foreign_report_changes_nothing() {
        let mut queue = queue();
        queue.finished(&"a", Outcome::Retry, at(0), 0.0);
        queue.add("a");
        queue.finished(&"a", Outcome::Done, at(0), 0.0);
        assert_eq!(queue.take(at(0)), Some("a"));
        assert_eq!(queue.running(), 1);
    }

    /// Any order of calls: no key runs twice at once, none that was added is lost.
    #[test]
    fn nothing_is_lost_and_nothing_runs_twice() {
        for seed in 0..2_000_u64 {
            let mut chance = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
            let mut roll = |sides: u64| {
                chance ^= chance << 13;
                chance ^= chance >> 7;
                chance ^= chance << 17;
                chance % sides
            };
            let mut queue = Queue::new(PACE);
            let mut running: Vec<u64> = Vec::new();
            // Keys that were added and have not begun a run since.
            let mut owed: BTreeSet<u64> = BTreeSet::new();
            let mut now = 0;
            for _ in 0..200 {
                now += roll(2);
                match roll(4) {
                    0 => {
                        let key = roll(5);
                        queue.add(key);
                        owed.insert(key);
                    }
                    1 => queue.add_at(roll(5), at(now + roll(10))),
                    2 => {
                        if let Some(key) = queue.take(at(now)) {
                            assert!(!running.contains(&key), "seed {seed}: {key} runs twice");
                            running.push(key);
                            owed.remove(&key);
                        }
                    }
                    _ => {
                        if let Some(key) = running.pop() {
                            let outcomes = [Outcome::Done, Outcome::Retry, Outcome::Again(Duration::from_secs(3))];
                            queue.finished(&key, outcomes[roll(3) as usize], at(now), 0.5);
                        }
                    }
                }
                assert_eq!(queue.running(), running.len());
            }
            for key in running.drain(..) {
                queue.finished(&key, Outcome::Done, at(now), 0.0);
            }
            while let Some(key) = queue.take(at(now + 1_000)) {
                queue.finished(&key, Outcome::Done, at(now + 1_000), 0.0);
                owed.remove(&key);
            }
            assert!(owed.is_empty(), "seed {seed}: lost {owed:?}");
            assert!(queue.items.is_empty() && queue.waiting.is_empty(), "seed {seed}: leftovers");
        }
    }
}
