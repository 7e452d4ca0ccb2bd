//! The one worker that writes the log: everything that waits goes to disk in one batch with one fdatasync. While that
//! runs, the next batch gathers, so the load sets the size of the batches and no timer is needed.

use std::io;
use std::sync::Arc;

use bytes::Bytes;
use openraft::storage::IOFlushed;
use rocksdb::{WriteBatch, WriteOptions};
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;

use super::{COMMITTED, LOG, META, PURGED, Shared, VOTE};
use crate::host::{Host, Worker};
use crate::raft::{LogId, Types, codec};

/// A batch is closed at this size even if more waits: a larger one delays those in front for little gain.
const MAX_BATCH_BYTES: usize = 8 << 20;
/// A batch is closed at this many jobs.
const MAX_BATCH_JOBS: usize = 4096;
/// After this many purged entries whole files in front of the log are dropped, so that its tombstones do not pile up.
const DROP_FILES_EVERY: u64 = 50_000;

/// Told once the write is durable, or has failed.
pub(super) type Done = oneshot::Sender<io::Result<()>>;

/// A write of the log.
pub(super) enum Job {
    Append { records: Vec<(u64, Bytes)>, done: IOFlushed<Types> },
    Vote { record: Vec<u8>, done: Done },
    Truncate { from: u64, done: Done },
    Purge { upto: LogId, done: Done },
    Sync(Done),
}

/// Whoever waits for a job of the batch under way.
enum Waiter {
    Entries(IOFlushed<Types>),
    Other(Done),
}

impl Waiter {
    fn tell(self, result: io::Result<()>) {
        match self {
            Self::Entries(done) => done.io_completed(result),
            // Nobody waits any more: the caller was cancelled, and the write is done all the same.
            Self::Other(done) => drop(done.send(result)),
        }
    }
}

pub(super) fn start(host: &dyn Host, shared: Arc<Shared>, queue: mpsc::Receiver<Job>) -> io::Result<Worker> {
    host.start("log-writer", Box::pin(run(shared, queue)))
}

/// Runs until every handle to the log is gone.
async fn run(shared: Arc<Shared>, mut queue: mpsc::Receiver<Job>) {
    let shared = &*shared;
    let mut dropped_upto = 0;
    while let Some(first) = queue.recv().await {
        let mut batch = Batch::default();
        let mut job = Some(first);
        let mut result = Ok(());
        while let Some(next) = job {
            result = result.and(batch.add(shared, next));
            let room = batch.waiters.len() < MAX_BATCH_JOBS && batch.writes.size_in_bytes() < MAX_BATCH_BYTES;
            job = if room { queue.try_recv().ok() } else { None };
        }
        let result = match shared.poison.check().and(result) {
            Ok(()) => batch.write(shared).await,
            Err(error) => Err(error),
        };
        if let Err(error) = &result {
            // What is on disk now is unknown: nothing may be written behind it, and nothing acknowledged.
            shared.poison.spread(format!("the log cannot be written: {error}"));
        }
        let (durable, purged) = (batch.durable, batch.purged);
        if result.is_ok()
            && let Some(durable) = durable
        {
            shared.memory().tail.made_durable(durable);
        }
        for waiter in batch.waiters {
            waiter.tell(match &result {
                Ok(()) => Ok(()),
                Err(error) => Err(io::Error::other(error.to_string())),
            });
        }
        if let (Ok(()), Some(upto)) = (&result, purged)
            && upto.saturating_sub(dropped_upto) >= DROP_FILES_EVERY
        {
            dropped_upto = upto;
            drop_files(shared, upto);
        }
    }
}

fn drop_files(shared: &Shared, upto: u64) {
    let dropped = shared.family(LOG).and_then(|family| {
        let (start, end) = (0u64.to_be_bytes(), upto.to_be_bytes());
        shared.db.delete_file_in_range_cf(family, start, end).map_err(io::Error::other)
    });
    if let Err(error) = dropped {
        tracing::warn!(%error, "files of purged log entries could not be dropped; compaction will get them");
    }
}

#[derive(Default)]
struct Batch {
    writes: WriteBatch,
    waiters: Vec<Waiter>,
    /// The first index that is not durable once this batch is.
    durable: Option<u64>,
    /// The first index that is not purged once this batch is written.
    purged: Option<u64>,
}

impl Batch {
    /// Adds a job. Its waiter is kept whatever happens.
    fn add(&mut self, shared: &Shared, job: Job) -> io::Result<()> {
        match job {
            Job::Append { records, done } => {
                self.waiters.push(Waiter::Entries(done));
                let family = shared.family(LOG)?;
                for (index, record) in records {
                    self.writes.put_cf(family, index.to_be_bytes(), record);
                    self.durable = Some(index + 1);
                }
            }
            Job::Vote { record, done } => {
                self.waiters.push(Waiter::Other(done));
                self.writes.put_cf(shared.family(META)?, VOTE, record);
            }
            Job::Truncate { from, done } => {
                self.waiters.push(Waiter::Other(done));
                self.writes.delete_range_cf(shared.family(LOG)?, from.to_be_bytes(), u64::MAX.to_be_bytes());
                self.durable = self.durable.map(|durable| durable.min(from));
            }
            Job::Purge { upto, done } => {
                self.waiters.push(Waiter::Other(done));
                let end = upto.index + 1;
                self.writes.delete_range_cf(shared.family(LOG)?, 0u64.to_be_bytes(), end.to_be_bytes());
                self.writes.put_cf(shared.family(META)?, PURGED, codec::encode_log_id(&upto));
                self.purged = Some(end);
            }
            Job::Sync(done) => {
                self.waiters.push(Waiter::Other(done));
                // Something must be in the batch for the sync to happen: the committed id below, or this.
                self.writes.put_log_data(b"sync");
            }
        }
        Ok(())
    }

    async fn write(&mut self, shared: &Shared) -> io::Result<()> {
        let committed = shared.memory().committed;
        if let Some(committed) = committed {
            self.writes.put_cf(shared.family(META)?, COMMITTED, codec::encode_log_id(&committed));
        }
        let started = Instant::now();
        let writes = std::mem::take(&mut self.writes);
        *shared.writing() = Some(started);
        let result = reach(shared, writes).await;
        *shared.writing() = None;
        shared.metrics.disk.log_synced(started.elapsed());
        result
    }
}

/// Writes and flushes, past whatever the member's host puts in front of the disk and behind it.
async fn reach(shared: &Shared, writes: WriteBatch) -> io::Result<()> {
    shared.host.reach_disk().await?;
    {
        let mut options = WriteOptions::default();
        options.set_sync(true);
        shared.db.write_opt(writes, &options).map_err(io::Error::other)?;
    }
    shared.host.reach_disk().await
}
