//! PID 1, through its control socket: one request per connection.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use supervision::{Answer, LogLine, Request, ServiceStatus, TimelineStep};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::UnixStream;

/// PID 1 never waits, so an answer that takes this long will not come.
const PATIENCE: Duration = Duration::from_secs(5);

/// Longest line of an answer: the list of all services or the whole timeline has a few KiB.
const LONGEST: u64 = 1 << 20;

/// Why PID 1 did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// There is no PID 1 of ours, for example on a developer's machine.
    #[error("reach PID 1 at {}", path.display())]
    Connect {
        /// The socket.
        path: PathBuf,
        /// The cause.
        #[source]
        source: io::Error,
    },
    /// The connection broke.
    #[error("talk to PID 1")]
    Talk(#[from] io::Error),
    /// No answer came.
    #[error("PID 1 did not answer within {} s", PATIENCE.as_secs())]
    Silent,
    /// The answer is none.
    #[error("understand PID 1's answer")]
    Understand(#[from] serde_json::Error),
    /// The answer belongs to another question.
    #[error("PID 1 gave an unexpected answer")]
    Unexpected,
    /// PID 1 refused, with its words.
    #[error("{0}")]
    Refused(String),
}

/// The way to PID 1.
#[derive(Debug, Clone)]
pub(crate) struct Supervisor {
    socket: PathBuf,
}

impl Supervisor {
    pub(crate) fn new(socket: PathBuf) -> Self {
        Self { socket }
    }

    /// All services, in start order.
    pub(crate) async fn services(&self) -> Result<Vec<ServiceStatus>, Error> {
        match self.ask(&Request::Services).await? {
            Answer::Services(services) => Ok(services),
            other => Err(unexpected(other)),
        }
    }

    /// Every step of this boot.
    pub(crate) async fn timeline(&self) -> Result<Vec<TimelineStep>, Error> {
        match self.ask(&Request::Timeline).await? {
            Answer::Timeline(steps) => Ok(steps),
            other => Err(unexpected(other)),
        }
    }

    /// Gives an order.
    pub(crate) async fn order(&self, request: &Request) -> Result<(), Error> {
        match self.ask(request).await? {
            Answer::Done => Ok(()),
            other => Err(unexpected(other)),
        }
    }

    /// Opens a log. Fails at once if PID 1 refuses.
    pub(crate) async fn logs(&self, service: String, tail: Option<u32>, follow: bool) -> Result<Logs, Error> {
        self.send(&Request::Logs { service, tail, follow }).await.map(Logs)
    }

    async fn ask(&self, request: &Request) -> Result<Answer, Error> {
        let exchange = async { self.send(request).await?.next().await?.ok_or(Error::Unexpected) };
        tokio::time::timeout(PATIENCE, exchange).await.map_err(|_| Error::Silent)?
    }

    async fn send(&self, request: &Request) -> Result<Answers, Error> {
        let connect = |source| Error::Connect { path: self.socket.clone(), source };
        let mut stream = UnixStream::connect(&self.socket).await.map_err(connect)?;
        let mut line = serde_json::to_vec(request)?;
        line.push(b'\n');
        stream.write_all(&line).await?;
        Ok(Answers { stream: BufReader::new(stream), partial: Vec::new() })
    }
}

/// An open log.
#[derive(Debug)]
pub(crate) struct Logs(Answers);

impl Logs {
    /// The next line; `None` at the end. Cancel safe: what was read of a line is kept.
    pub(crate) async fn next(&mut self) -> Result<Option<LogLine>, Error> {
        match self.0.next().await? {
            None => Ok(None),
            Some(Answer::LogLine(line)) => Ok(Some(line)),
            Some(other) => Err(unexpected(other)),
        }
    }
}

/// The lines that PID 1 sends.
#[derive(Debug)]
struct Answers {
    stream: BufReader<UnixStream>,
    partial: Vec<u8>,
}

impl Answers {
    async fn next(&mut self) -> Result<Option<Answer>, Error> {
        let room = LONGEST.saturating_sub(self.partial.len() as u64);
        (&mut self.stream).take(room).read_until(b'\n', &mut self.partial).await?;
        if self.partial.is_empty() {
            return Ok(None);
        }
        let line = std::mem::take(&mut self.partial);
        Ok(Some(serde_json::from_slice(&line)?))
    }
}

fn unexpected(answer: Answer) -> Error {
    match answer {
        Answer::Refused(why) => Error::Refused(why),
        Answer::Done | Answer::Services(_) | Answer::LogLine(_) | Answer::Timeline(_) => Error::Unexpected,
    }
}
