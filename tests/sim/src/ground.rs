//! What a simulated member stands on: tasks instead of threads, the switch instead of sockets, and a disk that takes its
//! time or fails.

use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures::future::BoxFuture;
use store::host::{Host, Wire, Worker};
use store::peers::address::PeerAddress;
use tests_store::dice::Dice;

use crate::network::{Place, Switch};

/// How a disk behaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Health {
    /// A write takes no time.
    Fine,
    /// A write takes up to so many milliseconds, twice.
    Slow(u64),
    /// Every write fails.
    Failing,
}

/// A disk. Clones are handles to the same one.
#[derive(Clone)]
pub struct Disk(Arc<Mutex<(Health, Dice)>>);

impl Disk {
    /// A disk in good health whose times come from `dice`.
    pub fn new(dice: Dice) -> Self {
        Self(Arc::new(Mutex::new((Health::Fine, dice))))
    }

    /// Changes the disk's health.
    pub fn set(&self, health: Health) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).0 = health;
    }

    async fn reach(&self) -> io::Result<()> {
        let wait = {
            let mut guard = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            let (health, dice) = &mut *guard;
            match health {
                Health::Fine => return Ok(()),
                Health::Slow(most) => Duration::from_millis(dice.below(*most + 1)),
                Health::Failing => return Err(io::Error::other("the simulated disk fails")),
            }
        };
        tokio::time::sleep(wait).await;
        Ok(())
    }
}

/// What the member at a place stands on.
pub struct Ground {
    /// Where.
    pub place: Place,
    /// Its network.
    pub switch: Switch,
    /// Its disk.
    pub disk: Disk,
}

/// The host name of a place.
pub fn host(place: Place) -> String {
    format!("m{place}")
}

fn place(host: &str) -> io::Result<Place> {
    let unknown = || io::Error::new(io::ErrorKind::NotFound, "no such host");
    host.strip_prefix('m').and_then(|number| number.parse().ok()).ok_or_else(unknown)
}

impl Host for Ground {
    fn start(&self, _: &'static str, work: BoxFuture<'static, ()>) -> io::Result<Worker> {
        tokio::spawn(work);
        Ok(Worker::detached())
    }

    fn reach_disk(&self) -> BoxFuture<'_, io::Result<()>> {
        Box::pin(self.disk.reach())
    }

    fn connect<'a>(&'a self, address: &'a PeerAddress) -> BoxFuture<'a, io::Result<Wire>> {
        Box::pin(async move {
            let wire = self.switch.connect(self.place, place(&address.host)?).await?;
            Ok(Box::new(wire) as Wire)
        })
    }
}
