//! The audit log: every call of the machine API and every local trigger, in a chain of records on the state partition.
//!
//! One thread owns the files ([`journal`]). Whoever records something waits until it is on disk; what many record at once
//! is flushed at once.
//!
//! When a record cannot be written (a full or failing disk), its caller gets [`Unrecorded`] and decides: what acts is
//! refused, what looks goes on. The number of records that are missing is the first thing that is recorded afterwards.

mod journal;
mod reader;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use ledger::Event;
use tokio::sync::{mpsc, oneshot, watch};

use self::journal::Journal;
pub(crate) use self::reader::Reader;
use crate::report::Report;

/// Where it lies, below the state partition.
const FOLDER: &str = "audit";
/// The part of the machine in its conditions.
const PART: &str = "audit";
/// Records that wait for the disk; further callers wait for room.
const QUEUE: usize = 256;
/// How long a caller waits for the disk.
const PATIENCE: Duration = Duration::from_secs(5);

/// The event is not on disk, or not known to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the audit log cannot be written")]
pub(crate) struct Unrecorded;

struct Entry {
    event: Event,
    written: oneshot::Sender<Result<u64, Unrecorded>>,
}

/// The way to the audit log.
#[derive(Debug, Clone)]
pub(crate) struct Audit {
    entries: mpsc::Sender<Entry>,
    last: watch::Receiver<u64>,
    folder: Arc<Path>,
}

impl Audit {
    /// Opens the log below `state` and begins to write. What is wrong with it is reported; there always is a log to
    /// write to, though writing may fail.
    pub(crate) fn open(state: &Path, boot: String, report: &Report) -> Self {
        let folder: Arc<Path> = Arc::from(state.join(FOLDER));
        let (entries, waiting) = mpsc::channel(QUEUE);
        let (last, last_seen) = watch::channel(0);
        let path = PathBuf::from(&*folder);
        // A thread of its own: a disk that does not answer must not hold up anything else.
        let started = std::thread::Builder::new().name("audit".into()).spawn({
            let report = report.clone();
            move || Writer { journal: Journal::new(path, boot), waiting, last, report, lost: 0 }.run()
        });
        if let Err(error) = started {
            report.error(PART, format!("the thread that writes the audit log cannot be started: {error}"));
        }
        Self { entries, last: last_seen, folder }
    }

    /// Records an event and waits until it is on disk. Returns its number.
    ///
    /// Not cancel safe in one way: an event whose caller goes away is recorded all the same.
    pub(crate) async fn record(&self, event: Event) -> Result<u64, Unrecorded> {
        let (written, answer) = oneshot::channel();
        let recording = async {
            self.entries.send(Entry { event, written }).await.map_err(|_| Unrecorded)?;
            answer.await.unwrap_or(Err(Unrecorded))
        };
        tokio::time::timeout(PATIENCE, recording).await.unwrap_or(Err(Unrecorded))
    }

    /// Records something that happened on the machine itself; whoever reads the log of machined sees if it failed.
    pub(crate) async fn happened(&self, from: &str, what: &str, detail: impl Into<String>) {
        let event = Event::local(from, what, detail);
        if self.record(event.clone()).await.is_err() {
            tracing::error!(?event, "not in the audit log");
        }
    }

    /// Reads the log from record `first` on, or from the oldest that is kept.
    pub(crate) fn reader(&self, first: u64) -> Reader {
        Reader::new(self.folder.to_path_buf(), first)
    }

    /// The number of the last record; changes with each.
    pub(crate) fn last(&self) -> watch::Receiver<u64> {
        self.last.clone()
    }
}

/// Owns the files.
struct Writer {
    journal: Journal,
    waiting: mpsc::Receiver<Entry>,
    last: watch::Sender<u64>,
    report: Report,
    lost: u64,
}

impl Writer {
    fn run(mut self) {
        match self.journal.open() {
            Ok(found) => {
                for note in found {
                    self.report.warn(PART, note);
                }
            }
            Err(error) => self.failed(&error),
        }
        self.tell();
        let mut batch = Vec::with_capacity(QUEUE);
        while let Some(entry) = self.waiting.blocking_recv() {
            batch.push(entry);
            while let Ok(entry) = self.waiting.try_recv() {
                batch.push(entry);
            }
            self.write(&mut batch);
        }
    }

    fn write(&mut self, batch: &mut Vec<Entry>) {
        let now = now_ms();
        let mut events = Vec::with_capacity(batch.len() + 1);
        if self.lost > 0 {
            let detail = format!("{} records before this one could not be written", self.lost);
            events.push(Event::local("audit", "records-lost", detail));
        }
        events.extend(batch.iter().map(|entry| entry.event.clone()));
        match self.journal.append(now, events) {
            Ok(last) => {
                if self.lost > 0 {
                    self.lost = 0;
                    self.report.clear(PART);
                }
                self.tell();
                let first = last + 1 - batch.len() as u64;
                for (place, entry) in batch.drain(..).enumerate() {
                    // Whoever waited may have gone away.
                    let _ = entry.written.send(Ok(first + place as u64));
                }
            }
            Err(error) => {
                self.lost += batch.len() as u64;
                self.failed(&error);
                for entry in batch.drain(..) {
                    let _ = entry.written.send(Err(Unrecorded));
                }
            }
        }
    }

    fn tell(&self) {
        self.last.send_replace(self.journal.last());
    }

    fn failed(&self, error: &io::Error) {
        let what = "the audit log cannot be written; calls that change something are refused";
        self.report.error(PART, format!("{what}: {error}"));
    }
}

fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests;
