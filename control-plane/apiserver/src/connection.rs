//! The connections that are open: whose they are, which are idle, and telling one to end.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;

use crate::authentication::Peer;

/// An open connection.
pub(crate) struct Connection {
    /// Who is at its other end; nobody knows before the handshake.
    peer: OnceLock<Peer>,
    closing: Notify,
    /// Whether it was told to end.
    told: AtomicBool,
    usage: Mutex<Use>,
}

/// How a connection is used.
#[derive(Debug, Clone, Copy)]
struct Use {
    requests: usize,
    /// When the number of requests last changed.
    since: Instant,
}

/// A request on a connection, until its answer is sent.
pub(crate) struct Busy(Arc<Connection>);

impl Connection {
    fn new() -> Self {
        Self {
            peer: OnceLock::new(),
            closing: Notify::new(),
            told: AtomicBool::new(false),
            usage: Mutex::new(Use { requests: 0, since: Instant::now() }),
        }
    }

    /// The handshake told who this is. The first to say so is right.
    pub(crate) fn introduce(&self, peer: Peer) {
        let _ = self.peer.set(peer);
    }

    /// Who is at its other end.
    pub(crate) fn peer(&self) -> &Peer {
        self.peer.get().unwrap_or(&Peer::UNKNOWN)
    }

    /// A request begins.
    pub(crate) fn busy(self: &Arc<Self>) -> Busy {
        self.change(1);
        Busy(Arc::clone(self))
    }

    /// Lets the requests of the connection finish, and then ends it. The client is told to open another one for new requests.
    pub(crate) fn close(&self) {
        self.told.store(true, Ordering::Relaxed);
        self.closing.notify_one();
    }

    /// Waits for [`close`](Self::close).
    pub(crate) async fn closing(&self) {
        self.closing.notified().await;
    }

    /// Waits until there was no request for so long.
    pub(crate) async fn idle(&self, long: Duration) {
        loop {
            let now = *self.used();
            match now.requests {
                0 if now.since.elapsed() >= long => return,
                0 => tokio::time::sleep_until(now.since + long).await,
                _ => tokio::time::sleep(long).await,
            }
        }
    }

    fn used(&self) -> MutexGuard<'_, Use> {
        self.usage.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn change(&self, by: isize) {
        let mut usage = self.used();
        *usage = Use { requests: usage.requests.saturating_add_signed(by), since: Instant::now() };
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        self.0.change(-1);
    }
}

/// All open connections.
#[derive(Default)]
pub(crate) struct Connections {
    next: AtomicU64,
    open: Mutex<HashMap<u64, Arc<Connection>>>,
}

/// A connection among the others, while it is open.
pub(crate) struct Entered {
    all: Arc<Connections>,
    number: u64,
    /// The connection.
    pub(crate) connection: Arc<Connection>,
}

impl Connections {
    /// A connection was opened.
    pub(crate) fn enter(self: &Arc<Self>) -> Entered {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let connection = Arc::new(Connection::new());
        self.open().insert(number, Arc::clone(&connection));
        Entered { all: Arc::clone(self), number, connection }
    }

    /// Ends a connection without a request: those who keep connections for nothing must not keep others out. Strangers, and those
    /// who have not said who they are, come first, and among equals the one that has been idle for longest.
    pub(crate) fn shed(&self) {
        let open = self.open();
        let idle = open.values().map(|connection| (*connection.used(), connection));
        let rank = |connection: &Connection| connection.peer().is_known();
        let first = idle
            .filter(|(usage, connection)| usage.requests == 0 && !connection.told.load(Ordering::Relaxed))
            .min_by_key(|(usage, connection)| (rank(connection), usage.since));
        if let Some((_, connection)) = first {
            connection.close();
        }
    }

    fn open(&self) -> MutexGuard<'_, HashMap<u64, Arc<Connection>>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Entered {
    fn drop(&mut self) {
        self.all.open().remove(&self.number);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_connection_with_a_request_is_not_idle() {
        let all = Arc::new(Connections::default());
        let entered = all.enter();
        let began = Instant::now();
        let busy = entered.connection.busy();
        let connection = Arc::clone(&entered.connection);
        let idle = tokio::spawn(async move { connection.idle(Duration::from_secs(90)).await });
        tokio::time::sleep(Duration::from_secs(500)).await;
        assert!(!idle.is_finished());
        drop(busy);
        idle.await.unwrap();
        assert!(began.elapsed() >= Duration::from_secs(590));
    }

    #[tokio::test(start_paused = true)]
    async fn the_longest_idle_is_shed_and_a_busy_one_never() {
        let all = Arc::new(Connections::default());
        let busy = all.enter();
        let _request = busy.connection.busy();
        tokio::time::sleep(Duration::from_secs(1)).await;
        let (first, second) = (all.enter(), all.enter());
        tokio::time::sleep(Duration::from_secs(1)).await;
        drop(first.connection.busy());
        let friend = all.enter();
        let until = std::time::SystemTime::now();
        friend.connection.introduce(Peer::known(apiserver_core::user::User::default(), until));
        tokio::time::sleep(Duration::from_secs(1)).await;
        let stranger = all.enter();
        all.shed();
        second.connection.closing().await;
        drop(second);
        all.shed();
        first.connection.closing().await;
        drop(first);
        all.shed();
        stranger.connection.closing().await;
        drop(stranger);
        all.shed();
        friend.connection.closing().await;
        drop(friend);
        all.shed();
        let closed = tokio::time::timeout(Duration::from_secs(9), busy.connection.closing()).await;
        assert!(closed.is_err(), "a connection in use was closed");
    }
}
