//! Events that are handed on together, and not too often.

use std::collections::VecDeque;
use std::time::Duration;

/// How often batches may go out: a bucket of tokens.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Throttle {
    /// Batches a second.
    pub rate: f64,
    /// Batches at once after a pause.
    pub burst: u32,
}

/// How events are batched.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct BatchOptions {
    /// Most events that wait. More are lost: the log must not hold up the server, nor fill its memory.
    pub buffer_size: usize,
    /// Most events of a batch.
    pub max_batch_size: usize,
    /// How long the first event of a batch waits for more.
    pub max_batch_wait: Duration,
    /// How often; as often as there is something if nothing is said.
    pub throttle: Option<Throttle>,
}

impl BatchOptions {
    /// As the webhook backend has them.
    pub const WEBHOOK: Self = Self {
        buffer_size: 10_000,
        max_batch_size: 400,
        max_batch_wait: Duration::from_secs(30),
        throttle: Some(Throttle { rate: 10.0, burst: 15 }),
    };
    /// As the log backend has them.
    pub const LOG: Self =
        Self { buffer_size: 10_000, max_batch_size: 1, max_batch_wait: Duration::ZERO, throttle: None };
}

/// The buffer is full: the event is counted as lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Full;

/// What to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Next<T> {
    /// Hand these on.
    Send(Vec<T>),
    /// Ask again then, or when an event came.
    WakeAt(Duration),
    /// Ask again when an event came.
    Wait,
}

/// Collects events. Times are those of one clock that does not go back.
#[derive(Debug)]
pub struct Batcher<T> {
    options: BatchOptions,
    waiting: VecDeque<(Duration, T)>,
    /// Tokens there were at `refilled`.
    tokens: f64,
    refilled: Duration,
    ending: bool,
}

impl<T> Batcher<T> {
    /// An empty one, at `now`.
    pub fn new(options: BatchOptions, now: Duration) -> Self {
        let tokens = options.throttle.map_or(0.0, |throttle| f64::from(throttle.burst));
        Self { options, waiting: VecDeque::new(), tokens, refilled: now, ending: false }
    }

    /// Takes an event.
    pub fn push(&mut self, event: T, now: Duration) -> Result<(), Full> {
        if self.ending || self.waiting.len() >= self.options.buffer_size {
            return Err(Full);
        }
        self.waiting.push_back((now, event));
        Ok(())
    }

    /// No event comes any more: what is there goes out without waiting for more.
    pub fn end(&mut self) {
        self.ending = true;
    }

    /// What to do at `now`. Asked again after each `Send`.
    pub fn next(&mut self, now: Duration) -> Next<T> {
        let Some((oldest, _)) = self.waiting.front() else { return Next::Wait };
        let due = oldest.saturating_add(self.options.max_batch_wait);
        let size = self.options.max_batch_size.max(1);
        if self.waiting.len() < size && now < due && !self.ending {
            return Next::WakeAt(due);
        }
        if let Some(until) = self.held_back(now) {
            return Next::WakeAt(until);
        }
        let count = size.min(self.waiting.len());
        Next::Send(self.waiting.drain(..count).map(|(_, event)| event).collect())
    }

    /// Takes a token; if there is none, says when there is one.
    fn held_back(&mut self, now: Duration) -> Option<Duration> {
        let Throttle { rate, burst } = self.options.throttle.filter(|throttle| throttle.rate > 0.0)?;
        let since = now.saturating_sub(self.refilled).as_secs_f64();
        self.tokens = (self.tokens + since * rate).min(f64::from(burst.max(1)));
        self.refilled = self.refilled.max(now);
        if self.tokens < 1.0 {
            // A little more than is missing: rounding must not make it wake up for nothing.
            let missing = Duration::from_secs_f64((1.0 - self.tokens) / rate);
            return Some(now + missing + Duration::from_micros(1));
        }
        self.tokens -= 1.0;
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OPTIONS: BatchOptions =
        BatchOptions { buffer_size: 5, max_batch_size: 2, max_batch_wait: Duration::from_secs(30), throttle: None };

    fn at(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn a_full_batch_goes_at_once_and_the_rest_when_its_time_has_come() {
        let mut batcher = Batcher::new(OPTIONS, at(0));
        assert_eq!(batcher.next(at(0)), Next::Wait);
        for event in 1..=3 {
            assert_eq!(batcher.push(event, at(event)), Ok(()));
        }
        assert_eq!(batcher.next(at(3)), Next::Send(vec![1, 2]));
        assert_eq!(batcher.next(at(3)), Next::WakeAt(at(33)));
        assert_eq!(batcher.next(at(33)), Next::Send(vec![3]));
        assert_eq!(batcher.next(at(33)), Next::Wait);
    }

    #[test]
    fn more_than_the_buffer_holds_is_lost() {
        let mut batcher = Batcher::new(OPTIONS, at(0));
        let taken = (0..10).filter(|event| batcher.push(*event, at(0)).is_ok()).count();
        assert_eq!(taken, 5);
        assert_eq!(batcher.next(at(0)), Next::Send(vec![0, 1]));
        assert_eq!(batcher.push(9, at(0)), Ok(()));
    }

    #[test]
    fn at_the_end_nothing_is_waited_for() {
        let mut batcher = Batcher::new(OPTIONS, at(0));
        assert_eq!(batcher.push(1, at(0)), Ok(()));
        batcher.end();
        assert_eq!(batcher.push(2, at(0)), Err(Full));
        assert_eq!(batcher.next(at(0)), Next::Send(vec![1]));
        assert_eq!(batcher.next(at(0)), Next::Wait);
    }

    #[test]
    fn batches_are_held_back() {
        let throttle = Some(Throttle { rate: 0.5, burst: 2 });
        let options = BatchOptions { max_batch_size: 1, buffer_size: 100, throttle, ..OPTIONS };
        let mut batcher = Batcher::new(options, at(0));
        for event in 0..10 {
            assert_eq!(batcher.push(event, at(0)), Ok(()));
        }
        assert_eq!(batcher.next(at(0)), Next::Send(vec![0]));
        assert_eq!(batcher.next(at(0)), Next::Send(vec![1]));
        let Next::WakeAt(then) = batcher.next(at(0)) else { panic!("the bucket is empty") };
        assert!(then > at(2) && then < at(3), "{then:?}");
        assert!(matches!(batcher.next(at(1)), Next::WakeAt(_)));
        assert_eq!(batcher.next(then), Next::Send(vec![2]));
        assert_eq!(batcher.next(at(60)), Next::Send(vec![3]));
        assert_eq!(batcher.next(at(60)), Next::Send(vec![4]));
        assert!(matches!(batcher.next(at(60)), Next::WakeAt(_)), "no more than the burst is saved up");
    }

    #[test]
    fn the_log_writes_each_event_at_once() {
        let mut batcher = Batcher::new(BatchOptions::LOG, at(0));
        assert_eq!(batcher.push(1, at(0)), Ok(()));
        assert_eq!(batcher.next(at(0)), Next::Send(vec![1]));
    }
}
