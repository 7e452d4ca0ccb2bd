//! The network: connections in memory, through a switch that delays, holds back and cuts.
//!
//! A cut holds bytes back as TCP does, until it is healed or the ends give up; what is sent to an end that is gone breaks
//! the connection once it gets there.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use tests_store::dice::Dice;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::mpsc;
use tonic::transport::server::Connected;

/// Where a member is.
pub type Place = usize;

/// Bytes that may be under way in one direction. More would hide from a sender that nobody reads.
const UNDER_WAY: usize = 256 << 10;
/// Connections that may wait to be taken in.
pub const BACKLOG: usize = 64;

/// Every connection of a simulation. Clones are handles to the same one.
#[derive(Clone)]
pub struct Switch(Arc<Mutex<Lines>>);

struct Lines {
    now: Duration,
    dice: Dice,
    /// The longest a packet takes, in milliseconds.
    slowest: u64,
    cuts: BTreeSet<(Place, Place)>,
    lanes: Vec<Arc<Lane>>,
    listeners: HashMap<Place, mpsc::Sender<io::Result<Wire>>>,
}

/// One direction of a connection.
struct Lane {
    from: Place,
    to: Place,
    traffic: Mutex<Traffic>,
}

#[derive(Default)]
#[expect(clippy::struct_excessive_bools, reason = "they change one by one, in any order")]
struct Traffic {
    under_way: VecDeque<(Duration, Vec<u8>)>,
    arrived: VecDeque<u8>,
    bytes: usize,
    writer_gone: bool,
    reader_gone: bool,
    /// Nothing more will arrive.
    ended: bool,
    /// The writer has learnt that nobody reads.
    broken: bool,
    reader: Option<Waker>,
    writer: Option<Waker>,
}

impl Lane {
    fn traffic(&self) -> MutexGuard<'_, Traffic> {
        self.traffic.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Traffic {
    fn deliver(&mut self, now: Duration) {
        while self.under_way.front().is_some_and(|(due, _)| *due <= now) {
            let Some((_, bytes)) = self.under_way.pop_front() else { break };
            if self.reader_gone {
                self.broken = true;
            } else {
                self.arrived.extend(bytes);
            }
        }
        if self.under_way.is_empty() && self.writer_gone {
            self.ended = true;
        }
        if self.reader_gone {
            self.broken = true;
        }
        if (self.ended || !self.arrived.is_empty())
            && let Some(reader) = self.reader.take()
        {
            reader.wake();
        }
        if self.broken
            && let Some(writer) = self.writer.take()
        {
            writer.wake();
        }
    }
}

impl Switch {
    /// A network whose delays come from `dice`.
    pub fn new(dice: Dice) -> Self {
        Self(Arc::new(Mutex::new(Lines {
            now: Duration::ZERO,
            dice,
            slowest: 10,
            cuts: BTreeSet::new(),
            lanes: Vec::new(),
            listeners: HashMap::new(),
        })))
    }

    fn lines(&self) -> MutexGuard<'_, Lines> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Delivers what is due at `now`.
    pub fn deliver(&self, now: Duration) {
        let mut lines = self.lines();
        lines.now = now;
        let Lines { cuts, lanes, .. } = &mut *lines;
        lanes.retain(|lane| {
            let mut traffic = lane.traffic();
            if !cuts.contains(&(lane.from, lane.to)) {
                traffic.deliver(now);
            }
            !(traffic.ended && traffic.reader_gone || traffic.broken && traffic.writer_gone)
        });
    }

    /// From now on a packet takes up to so many milliseconds.
    pub fn slow_down(&self, slowest: u64) {
        self.lines().slowest = slowest;
    }

    /// Nothing gets from one place to another any more.
    pub fn cut(&self, from: Place, to: Place) {
        self.lines().cuts.insert((from, to));
    }

    /// Everything gets everywhere again, at its usual speed.
    pub fn heal(&self) {
        let mut lines = self.lines();
        lines.cuts.clear();
        lines.slowest = 10;
    }

    /// Connections to `place` arrive here.
    pub fn listen(&self, place: Place) -> mpsc::Receiver<io::Result<Wire>> {
        let (arrivals, incoming) = mpsc::channel(BACKLOG);
        self.lines().listeners.insert(place, arrivals);
        incoming
    }

    /// Nobody is at `place` any more.
    pub fn hang_up(&self, place: Place) {
        self.lines().listeners.remove(&place);
    }

    /// Opens a connection. Waits for ever when nothing gets there or back.
    pub async fn connect(&self, from: Place, to: Place) -> io::Result<Wire> {
        let delay = {
            let mut lines = self.lines();
            let slowest = lines.slowest;
            Duration::from_millis(lines.dice.below(slowest + 1))
        };
        tokio::time::sleep(delay).await;
        let lost = {
            let lines = self.lines();
            lines.cuts.contains(&(from, to)) || lines.cuts.contains(&(to, from))
        };
        if lost {
            return std::future::pending().await;
        }
        let refused = || io::Error::from(io::ErrorKind::ConnectionRefused);
        let mut lines = self.lines();
        let listener = lines.listeners.get(&to).cloned().ok_or_else(refused)?;
        let lane = |from, to| Arc::new(Lane { from, to, traffic: Mutex::default() });
        let (there, back) = (lane(from, to), lane(to, from));
        let near = Wire { switch: self.clone(), out: Arc::clone(&there), back: Arc::clone(&back) };
        let far = Wire { switch: self.clone(), out: Arc::clone(&back), back: Arc::clone(&there) };
        lines.lanes.extend([there, back]);
        drop(lines);
        listener.try_send(Ok(far)).map_err(|_| refused())?;
        Ok(near)
    }

    fn due(&self) -> Duration {
        let mut lines = self.lines();
        let slowest = lines.slowest;
        lines.now + Duration::from_millis(lines.dice.below(slowest + 1))
    }
}

/// One end of a connection.
pub struct Wire {
    switch: Switch,
    out: Arc<Lane>,
    back: Arc<Lane>,
}

impl Connected for Wire {
    type ConnectInfo = ();

    fn connect_info(&self) {}
}

impl AsyncRead for Wire {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let mut traffic = self.back.traffic();
        if traffic.arrived.is_empty() {
            if traffic.ended {
                return Poll::Ready(Ok(()));
            }
            traffic.reader = Some(cx.waker().clone());
            return Poll::Pending;
        }
        let size = buffer.remaining().min(traffic.arrived.len());
        let (front, rest) = traffic.arrived.as_slices();
        buffer.put_slice(&front[..size.min(front.len())]);
        buffer.put_slice(&rest[..size.saturating_sub(front.len())]);
        traffic.arrived.drain(..size);
        traffic.bytes -= size;
        if let Some(writer) = traffic.writer.take() {
            writer.wake();
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Wire {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let due = self.switch.due();
        let mut traffic = self.out.traffic();
        if traffic.broken {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        let size = bytes.len().min(UNDER_WAY.saturating_sub(traffic.bytes));
        if size == 0 && !bytes.is_empty() {
            traffic.writer = Some(cx.waker().clone());
            return Poll::Pending;
        }
        let due = traffic.under_way.back().map_or(due, |(last, _)| due.max(*last));
        traffic.bytes += size;
        traffic.under_way.push_back((due, bytes[..size].to_vec()));
        Poll::Ready(Ok(size))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.out.traffic().writer_gone = true;
        Poll::Ready(Ok(()))
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        self.out.traffic().writer_gone = true;
        self.back.traffic().reader_gone = true;
    }
}
