//! What must hold whatever fails. Each has clients of its own that make it fail when it can.

pub mod agreement;
pub mod leases;
pub mod order;
pub mod pairs;
pub mod progress;
pub mod watches;

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tests_store::dice::Dice;
use tonic::service::Routes;

use crate::network::Place;
use crate::world::Doors;

/// A violation is told once; more of the same only fill the screen.
const MOST: usize = 20;

/// What was found to be broken. Clones are handles to the same list.
#[derive(Debug, Clone, Default)]
pub struct Findings(Arc<Mutex<Vec<String>>>);

impl Findings {
    /// One more.
    pub fn add(&self, what: impl Into<String>) {
        let mut findings = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if findings.len() < MOST {
            findings.push(what.into());
        }
    }

    /// All of them.
    pub fn all(&self) -> Vec<String> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// What every client has.
#[derive(Clone)]
pub struct Client {
    /// The ways to the members.
    pub doors: Doors,
    /// Where violations go.
    pub findings: Findings,
    /// How many questions were answered.
    pub answered: Arc<AtomicU64>,
    /// Turns true when clients are to finish.
    pub done: Arc<AtomicBool>,
    /// Turns true for as long as there is more load than usual.
    pub busy: Arc<AtomicBool>,
    /// The member that is asked.
    pub place: Place,
    /// What the client does.
    pub dice: Dice,
}

impl Client {
    /// Whether the client is to finish.
    pub fn is_done(&self) -> bool {
        self.done.load(Ordering::Relaxed)
    }

    /// Asks the client's member. When it gives no answer within the patience of a client, the next one is asked next time.
    pub async fn ask<T, F>(&mut self, ask: impl FnOnce(Routes) -> F) -> Option<T>
    where
        T: Send + 'static,
        F: Future<Output = Result<T, tonic::Status>> + Send + 'static,
    {
        let patience = Duration::from_millis(2000 + self.dice.below(10_000));
        let answer = self.doors.ask(self.place, patience, ask).await;
        if let Some(Ok(answer)) = answer {
            self.answered.fetch_add(1, Ordering::Relaxed);
            return Some(answer);
        }
        self.place = (self.place + 1) % self.doors.count().max(1);
        self.rest(50).await;
        None
    }

    /// Waits for up to so many milliseconds.
    pub async fn rest(&mut self, most: u64) {
        let wait = Duration::from_millis(1 + self.dice.below(most));
        tokio::time::sleep(wait).await;
    }

    /// Waits between two questions, less when the load is high.
    pub async fn pause(&mut self, most: u64) {
        let most = if self.busy.load(Ordering::Relaxed) { most / 20 } else { most };
        self.rest(most.max(1)).await;
    }
}
