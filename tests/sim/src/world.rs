//! The world: members, the network between them, and their clients, all on one thread and one time.
//!
//! Time goes in ticks. In each, what is due on the network arrives, and then every member in turn does what it has to do
//! until its own clock has reached the tick's end. Between two ticks nobody has any work, so a fault can strike anywhere.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tests_store::dice::Dice;
use tokio::runtime::{Builder, Runtime};
use tokio::task::JoinHandle;
use tonic::service::Routes;

use crate::member::{Door, Member, Setup};
use crate::network::{Place, Switch};

/// Shorter: finer times, but more of them in an hour.
pub const TICK: Duration = Duration::from_millis(10);
/// A member that ended is started again after this, as a supervisor does.
const RESTART: Duration = Duration::from_secs(1);

/// The ways to the members, for clients.
#[derive(Clone, Default)]
pub struct Doors(Arc<Mutex<Vec<Option<Door>>>>);

impl Doors {
    /// How many places there are.
    pub fn count(&self) -> usize {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).len()
    }

    /// Asks the member at a place; `None` when it is not there, dies meanwhile, or gives no answer in time.
    pub async fn ask<T, F>(&self, place: Place, patience: Duration, ask: impl FnOnce(Routes) -> F) -> Option<T>
    where
        T: Send + 'static,
        F: Future<Output = T> + Send + 'static,
    {
        let door = self.0.lock().unwrap_or_else(PoisonError::into_inner).get(place).cloned().flatten()?;
        let task = door.handle.spawn(ask(door.routes));
        drop(door.handle);
        let abort = task.abort_handle();
        let answer = tokio::time::timeout(patience, task).await;
        abort.abort();
        answer.ok()?.ok()
    }
}

/// Everything there is.
pub struct World {
    /// How members are set up.
    pub setup: Setup,
    /// By place.
    pub members: Vec<Member>,
    /// The network.
    pub switch: Switch,
    /// The ways in.
    pub doors: Doors,
    /// Since the beginning.
    pub now: Duration,
    /// Why members ended that nobody had told to.
    pub ends: Vec<(Duration, Place, String)>,
    /// When members that ended are started again.
    restarts: Vec<(Duration, Place)>,
    clients: Runtime,
    dice: Dice,
}

impl World {
    /// Members whose data is in `folder`, none of which runs yet.
    pub fn new(setup: Setup, folder: &std::path::Path, dice: &mut Dice) -> Self {
        let clients = Builder::new_current_thread().enable_time().start_paused(true).build().expect("a runtime");
        let members = (0..setup.founders).map(|place| Member::new(place, folder, split(dice))).collect();
        Self {
            setup,
            members,
            switch: Switch::new(split(dice)),
            doors: Doors::default(),
            now: Duration::ZERO,
            ends: Vec::new(),
            restarts: Vec::new(),
            clients,
            dice: split(dice),
        }
    }

    /// Starts a member that does not run.
    pub fn start(&mut self, place: Place) {
        let places: Vec<_> = (0..self.members.len()).collect();
        self.members[place].start(&self.setup, &self.switch, &places);
    }

    /// Kills a member that runs. It stays dead until it is started.
    pub fn kill(&mut self, place: Place) {
        self.restarts.retain(|(_, other)| *other != place);
        self.close(place);
        self.members[place].kill(&self.switch).expect("the folder of a member can be copied");
    }

    fn close(&self, place: Place) {
        if let Some(door) = self.doors.0.lock().unwrap_or_else(PoisonError::into_inner).get_mut(place) {
            *door = None;
        }
    }

    /// One tick.
    pub fn step(&mut self) {
        self.now += TICK;
        self.switch.deliver(self.now);
        let due = self.restarts.extract_if(.., |(at, _)| *at <= self.now).map(|(_, place)| place);
        for place in due.collect::<Vec<_>>() {
            self.start(place);
        }
        let first = self.dice.below(self.members.len() as u64) as usize;
        for offset in 0..self.members.len() {
            let place = (first + offset) % self.members.len();
            let _span = tracing::info_span!("member", place, at = ?self.now).entered();
            let Some(why) = self.members[place].run(TICK) else { continue };
            tracing::info!(why, "ended");
            self.kill(place);
            self.restarts.push((self.now + RESTART, place));
            self.ends.push((self.now, place, why));
        }
        let doors = self.members.iter().map(Member::door).collect();
        *self.doors.0.lock().unwrap_or_else(PoisonError::into_inner) = doors;
        self.clients.block_on(async { tokio::time::sleep(TICK).await });
    }

    /// Lets time pass.
    pub fn run_for(&mut self, span: Duration) {
        let until = self.now + span;
        while self.now < until {
            self.step();
        }
    }

    /// Runs something beside the members.
    pub fn spawn<T: Send + 'static>(&self, task: impl Future<Output = T> + Send + 'static) -> JoinHandle<T> {
        self.clients.spawn(task)
    }

    /// Lets time pass until a task is done; `None` when it is not within `at_most`.
    pub fn wait<T: Send + 'static>(&mut self, task: JoinHandle<T>, at_most: Duration) -> Option<T> {
        let until = self.now + at_most;
        while !task.is_finished() && self.now < until {
            self.step();
        }
        if !task.is_finished() {
            task.abort();
            return None;
        }
        self.clients.block_on(task).ok()
    }
}

/// Dice of their own, from others.
pub fn split(dice: &mut Dice) -> Dice {
    Dice::new(dice.below(u64::MAX))
}

impl Drop for World {
    fn drop(&mut self) {
        for place in 0..self.members.len() {
            self.close(place);
            // The data goes with the simulation.
            drop(self.members[place].kill(&self.switch));
        }
    }
}
