//! The control socket: bounded connections, one request each, answered line by line.
//!
//! ```text
//!   Asking ---- request ----> Waiting (for the supervisor) ----> Closing (what is pending is sent)
//!      |                                                           ^
//!      '------- logs -------> Reading a ring (for ever, if followed) ---'
//! ```

use std::collections::BTreeMap;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::{UnixListener, UnixStream};
use std::time::Duration;

use init_core::ids::{Asker, ServiceId, Uptime};
use init_core::log::{LineNumber, Ring};
use init_sys::notify::peer_is_root;
use supervision::{Answer, LogLine, Request};

/// Connections at the same time. The machine API holds one per call; more than this is a leak or an attack, and PID 1 must
/// not run out of descriptors.
const CONNECTIONS_LIMIT: usize = 64;
/// Of these, the ones that follow a log, so that followers cannot keep an order to shut down out.
const FOLLOWERS_LIMIT: usize = 48;
/// The longest request in bytes.
const REQUEST_LIMIT: usize = 4096;
/// A connection must bring its request in this time.
const ASKING_LIMIT: Duration = Duration::from_secs(10);
/// A client that takes nothing for so long is gone or hangs.
const STALL_LIMIT: Duration = Duration::from_secs(30);
/// Bytes of answer that are made ahead of what the client has taken.
const PENDING_LIMIT: usize = 64 * 1024;

/// The log that a connection reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Log {
    /// PID 1's own.
    Init,
    /// That of a service.
    Service(ServiceId),
}

/// Where a connection is.
#[derive(Debug)]
enum Phase {
    Asking {
        line: Vec<u8>,
        until: Uptime,
    },
    Waiting,
    /// Without `until` it goes on for ever. A log that is filled as fast as it is read would have no end otherwise.
    Reading {
        log: Log,
        at: LineNumber,
        until: Option<LineNumber>,
    },
    Closing,
}

/// One client.
#[derive(Debug)]
struct Connection {
    stream: UnixStream,
    phase: Phase,
    pending: Vec<u8>,
    /// When the client last took something, while something is pending.
    moved: Uptime,
}

/// All clients.
#[derive(Debug)]
pub(crate) struct Control {
    listener: UnixListener,
    connections: BTreeMap<Asker, Connection>,
    next: u64,
}

/// What a connection's readiness led to.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Progress {
    /// Nothing to do for others.
    None,
    /// A whole request.
    Asked(Request),
}

impl Control {
    /// Serves nobody yet.
    pub(crate) const fn new(listener: UnixListener) -> Self {
        Self { listener, connections: BTreeMap::new(), next: 0 }
    }

    /// The socket to wait on for new clients.
    pub(crate) fn listener(&self) -> BorrowedFd<'_> {
        self.listener.as_fd()
    }

    /// Takes one waiting client; `None` if there is none, or none that may stay.
    pub(crate) fn accept(&mut self, now: Uptime) -> io::Result<Option<(Asker, BorrowedFd<'_>)>> {
        let (stream, _) = match self.listener.accept() {
            Ok(accepted) => accepted,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(None),
            Err(error) => return Err(error),
        };
        stream.set_nonblocking(true)?;
        let mut connection = Connection {
            stream,
            phase: Phase::Asking { line: Vec::new(), until: now + ASKING_LIMIT },
            pending: Vec::new(),
            moved: now,
        };
        if !peer_is_root(&connection.stream) {
            connection.refuse("only root may ask".to_owned(), now);
        } else if self.connections.len() >= CONNECTIONS_LIMIT {
            connection.refuse("too many connections".to_owned(), now);
        }
        self.next += 1;
        let asker = Asker(self.next);
        if matches!(connection.phase, Phase::Closing) {
            // The refusal fits into an empty socket; the client is not kept beyond it.
            let _ = connection.send(now);
            return Ok(None);
        }
        let connection = self.connections.entry(asker).or_insert(connection);
        Ok(Some((asker, connection.stream.as_fd())))
    }

    /// Reads what a client has sent.
    pub(crate) fn read(&mut self, asker: Asker, now: Uptime) -> Progress {
        let Some(connection) = self.connections.get_mut(&asker) else { return Progress::None };
        connection.read(now).unwrap_or_else(|_| {
            self.connections.remove(&asker);
            Progress::None
        })
    }

    /// Ends a connection whose client is gone.
    pub(crate) fn hang_up(&mut self, asker: Asker) {
        self.connections.remove(&asker);
    }

    /// Gives a whole answer; the connection ends behind it.
    pub(crate) fn answer(&mut self, asker: Asker, answer: &Answer, now: Uptime) {
        if let Some(connection) = self.connections.get_mut(&asker) {
            connection.append(answer, now);
            connection.phase = Phase::Closing;
        }
    }

    /// Gives the lines of a log from `at` on.
    pub(crate) fn answer_log(
        &mut self,
        asker: Asker,
        log: Log,
        at: LineNumber,
        until: Option<LineNumber>,
        now: Uptime,
    ) {
        let following = |connection: &Connection| matches!(connection.phase, Phase::Reading { until: None, .. });
        let followers = self.connections.values().filter(|connection| following(connection)).count();
        if until.is_none() && followers >= FOLLOWERS_LIMIT {
            self.answer(asker, &Answer::Refused("too many logs are followed".to_owned()), now);
        } else if let Some(connection) = self.connections.get_mut(&asker) {
            connection.phase = Phase::Reading { log, at, until };
        }
    }

    /// Moves every connection on: takes new lines from the rings, sends what clients take, drops the ones that are done,
    /// gone or stuck.
    pub(crate) fn pump<'a>(&mut self, ring: impl Fn(Log) -> Option<&'a Ring>, now: Uptime) {
        self.connections.retain(|_, connection| connection.pump(&ring, now).is_ok_and(|open| open));
    }

    /// Each connection with whether it waits to be read, and whether to be written.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (Asker, BorrowedFd<'_>, bool, bool)> {
        self.connections.iter().map(|(asker, connection)| {
            let asking = matches!(connection.phase, Phase::Asking { .. });
            (*asker, connection.stream.as_fd(), asking, !connection.pending.is_empty())
        })
    }

    /// When the next connection runs out of time.
    pub(crate) fn wake_at(&self) -> Option<Uptime> {
        self.connections.values().filter_map(Connection::deadline).min()
    }
}

impl Connection {
    fn read(&mut self, now: Uptime) -> io::Result<Progress> {
        let Phase::Asking { line, .. } = &mut self.phase else { return Ok(Progress::None) };
        let mut buffer = [0_u8; 1024];
        loop {
            match self.stream.read(&mut buffer) {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(length) => line.extend_from_slice(&buffer[..length]),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(Progress::None),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            }
            let end = line.iter().position(|&byte| byte == b'\n');
            if end.unwrap_or(line.len()) > REQUEST_LIMIT {
                self.refuse(format!("the request is longer than {REQUEST_LIMIT} bytes"), now);
                return Ok(Progress::None);
            }
            if let Some(end) = end {
                let request = serde_json::from_slice::<Request>(&line[..end]);
                return Ok(match request {
                    Ok(request) => {
                        self.phase = Phase::Waiting;
                        Progress::Asked(request)
                    }
                    Err(error) => {
                        self.refuse(format!("the request cannot be read: {error}"), now);
                        Progress::None
                    }
                });
            }
        }
    }

    fn refuse(&mut self, why: String, now: Uptime) {
        self.append(&Answer::Refused(why), now);
        self.phase = Phase::Closing;
    }

    fn append(&mut self, answer: &Answer, now: Uptime) {
        if self.pending.is_empty() {
            self.moved = now;
        }
        // Answers are plain data with text keys, which always can be written.
        if serde_json::to_writer(&mut self.pending, answer).is_ok() {
            self.pending.push(b'\n');
        }
    }

    /// Returns whether the connection stays open.
    fn pump<'a>(&mut self, ring: &impl Fn(Log) -> Option<&'a Ring>, now: Uptime) -> io::Result<bool> {
        loop {
            self.fill(ring, now);
            let sent = self.send(now)?;
            if !sent || !matches!(self.phase, Phase::Reading { .. }) || self.pending.is_empty() && self.is_read_up(ring)
            {
                break;
            }
        }
        if self.deadline().is_some_and(|deadline| deadline <= now) {
            return Ok(false);
        }
        Ok(match self.phase {
            Phase::Asking { .. } | Phase::Waiting => true,
            Phase::Reading { until, .. } => until.is_none() || !self.pending.is_empty() || !self.is_read_up(ring),
            Phase::Closing => !self.pending.is_empty(),
        })
    }

    fn is_read_up<'a>(&self, ring: &impl Fn(Log) -> Option<&'a Ring>) -> bool {
        match self.phase {
            Phase::Reading { log, at, until } => {
                ring(log).is_none_or(|ring| at >= ring.end() || until.is_some_and(|until| at >= until))
            }
            Phase::Asking { .. } | Phase::Waiting | Phase::Closing => true,
        }
    }

    /// Takes lines from the ring as long as there is room for them.
    fn fill<'a>(&mut self, ring: &impl Fn(Log) -> Option<&'a Ring>, now: Uptime) {
        let Phase::Reading { log, mut at, until } = self.phase else { return };
        let Some(ring) = ring(log) else { return };
        while self.pending.len() < PENDING_LIMIT && until.is_none_or(|until| at < until) {
            let Some(read) = ring.read(at) else { break };
            if read.lost > 0 {
                let text = format!("[{} lines were lost: the reader was too slow]", read.lost);
                self.append(&Answer::LogLine(LogLine { uptime_ms: read.line.uptime_ms, text }), now);
            }
            self.append(&Answer::LogLine(read.line.clone()), now);
            at = read.next;
        }
        self.phase = Phase::Reading { log, at, until };
    }

    /// Sends what is pending; returns whether all of it is gone.
    fn send(&mut self, now: Uptime) -> io::Result<bool> {
        while !self.pending.is_empty() {
            match self.stream.write(&self.pending) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(length) => {
                    self.pending.drain(..length);
                    self.moved = now;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(false),
                Err(error) => return Err(error),
            }
        }
        Ok(true)
    }

    fn deadline(&self) -> Option<Uptime> {
        match self.phase {
            Phase::Asking { until, .. } => Some(until),
            Phase::Waiting => None,
            Phase::Reading { .. } | Phase::Closing => (!self.pending.is_empty()).then(|| self.moved + STALL_LIMIT),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::BufRead;

    use super::*;

    const START: Uptime = Uptime::from_millis(1000);

    struct Fixture {
        control: Control,
        ring: Ring,
        path: std::path::PathBuf,
        _directory: tempfile::TempDir,
    }

    impl Fixture {
        fn new() -> Self {
            let directory = tempfile::tempdir().expect("a directory");
            let path = directory.path().join("control.sock");
            let listener = UnixListener::bind(&path).expect("a socket");
            listener.set_nonblocking(true).expect("not blocking");
            Self { control: Control::new(listener), ring: Ring::new(1 << 20), path, _directory: directory }
        }

        /// A client that has sent `bytes`, and what came of it.
        fn ask(&mut self, bytes: &[u8]) -> (UnixStream, Option<Asker>, Progress) {
            let mut client = UnixStream::connect(&self.path).expect("a connection");
            let asker = self.control.accept(START).expect("no error").map(|(asker, _)| asker);
            // A refused client's socket may be closed already.
            let _ = client.write_all(bytes);
            let progress = asker.map_or(Progress::None, |asker| self.control.read(asker, START));
            (client, asker, progress)
        }

        fn pump(&mut self, now: Uptime) {
            let ring = &self.ring;
            self.control.pump(|_| Some(ring), now);
        }
    }

    fn answers(client: UnixStream) -> Vec<Answer> {
        let lines = std::io::BufReader::new(client).lines();
        lines.map(|line| serde_json::from_str(&line.expect("a line")).expect("an answer")).collect()
    }

    #[test]
    fn garbage_is_refused_and_the_connection_ends() {
        let long = [b"x".repeat(REQUEST_LIMIT + 1), b"\n".to_vec()].concat();
        let nested = [b"[".repeat(4000), b"\n".to_vec()].concat();
        for garbage in [&b"\0\xff\n"[..], b"\n", b"{\"shutdown\":1}\n", b"{\"logs\":{}}\n", &nested, &long] {
            let mut fixture = Fixture::new();
            let (client, _, progress) = fixture.ask(garbage);
            fixture.pump(START);
            assert_eq!(progress, Progress::None);
            let answers = answers(client);
            assert!(matches!(answers.as_slice(), [Answer::Refused(_)]), "{answers:?}");
            assert_eq!(fixture.control.iter().count(), 0);
        }
    }

    #[test]
    fn a_request_may_come_in_pieces_but_not_for_ever() {
        let mut fixture = Fixture::new();
        let (mut client, asker, progress) = fixture.ask(b"\"serv");
        assert_eq!(progress, Progress::None);
        fixture.pump(START);
        client.write_all(b"ices\"\nignored").expect("sent");
        let asker = asker.expect("a connection");
        assert_eq!(fixture.control.read(asker, START), Progress::Asked(Request::Services));
        fixture.control.answer(asker, &Answer::Done, START);
        fixture.pump(START);
        assert_eq!(answers(client), [Answer::Done]);

        let (client, _, _) = fixture.ask(b"\"serv");
        assert_eq!(fixture.control.wake_at(), Some(START + ASKING_LIMIT));
        fixture.pump(START + ASKING_LIMIT);
        assert_eq!(answers(client), []);
    }

    #[test]
    fn connections_are_bounded() {
        let mut fixture = Fixture::new();
        let clients: Vec<_> = (0..CONNECTIONS_LIMIT).map(|_| fixture.ask(b"")).collect();
        assert!(clients.iter().all(|(_, asker, _)| asker.is_some()));
        let (client, asker, _) = fixture.ask(b"");
        assert_eq!(asker, None);
        assert_eq!(answers(client), [Answer::Refused("too many connections".into())]);
    }

    #[test]
    fn a_log_is_read_to_its_end_or_followed() {
        let mut fixture = Fixture::new();
        let line = |text: &str| Answer::LogLine(LogLine { uptime_ms: 5, text: text.into() });
        for text in ["one", "two", "three"] {
            fixture.ring.push(Uptime::from_millis(5), text.into());
        }
        let (reader, once, _) = fixture.ask(b"");
        let (follower, for_ever, _) = fixture.ask(b"");
        let (once, for_ever) = (once.expect("a connection"), for_ever.expect("a connection"));
        let at = fixture.ring.tail(Some(2));
        let until = fixture.ring.end();
        fixture.control.answer_log(once, Log::Init, at, Some(until), START);
        fixture.control.answer_log(for_ever, Log::Init, at, None, START);
        // What comes after the question is for the follower.
        fixture.ring.push(Uptime::from_millis(5), "four".into());
        fixture.pump(START);
        assert_eq!(answers(reader), [line("two"), line("three")]);
        fixture.pump(START + Duration::from_hours(1));
        fixture.control.hang_up(for_ever);
        assert_eq!(answers(follower), [line("two"), line("three"), line("four")]);
    }

    #[test]
    fn a_follower_that_takes_nothing_is_bounded_then_dropped() {
        let mut fixture = Fixture::new();
        let (client, asker, _) = fixture.ask(b"");
        fixture.control.answer_log(asker.expect("a connection"), Log::Init, LineNumber::default(), None, START);
        for _ in 0..2000 {
            fixture.ring.push(START, "x".repeat(1000));
            fixture.pump(START);
        }
        let pending: usize = fixture.control.connections.values().map(|connection| connection.pending.len()).sum();
        assert!(pending > 0 && pending < PENDING_LIMIT + 2 * REQUEST_LIMIT, "{pending}");
        fixture.pump(START + STALL_LIMIT);
        assert_eq!(fixture.control.iter().count(), 0);
        drop(client);
    }

    #[test]
    fn followers_leave_room_for_orders() {
        let mut fixture = Fixture::new();
        let mut clients: Vec<_> = (0..=FOLLOWERS_LIMIT).map(|_| fixture.ask(b"")).collect();
        for (_, asker, _) in &clients {
            fixture.control.answer_log(asker.expect("a connection"), Log::Init, LineNumber::default(), None, START);
        }
        fixture.pump(START);
        let (last, _, _) = clients.pop().expect("a client");
        assert_eq!(answers(last), [Answer::Refused("too many logs are followed".into())]);
        assert_eq!(fixture.control.iter().count(), FOLLOWERS_LIMIT);
    }
}
