//! The replicated log on disk: a RocksDB of its own, whose write-ahead log gets one fdatasync per batch.
//!
//! `append` only puts entries into the memory tail, where they can be read at once, and into the queue of the
//! [writer](writer), which makes them durable. Votes, truncations and purges go through the same queue, so nothing later
//! becomes durable before something earlier.

mod extent;
mod missing;
mod tail;
mod writer;

use std::fmt::Debug;
use std::io;
use std::ops::{Bound, Range, RangeBounds};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use openraft::storage::{IOFlushed, RaftLogReader, RaftLogStorage};
use openraft::{LogState, OptionalSend};
use prost::Message;
use proto::store::Identity;
use rocksdb::properties;
use rocksdb::{ColumnFamily, ColumnFamilyDescriptor, DB, Direction, IteratorMode, Options, ReadOptions, WriteOptions};
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;

use super::codec;
use super::{Entry, LogId, Types, Vote};
use crate::closing::Open;
use crate::folder;
use crate::host::{Host, Worker};
use crate::metrics::Metrics;
use crate::peers::BATCH_BYTES;
use crate::poison::Poison;
use extent::Extent;
use missing::Missing;
use tail::Tail;
use writer::Job;

const LOG: &str = "log";
const META: &str = "meta";
const VOTE: &[u8] = b"vote";
const PURGED: &[u8] = b"purged";
const COMMITTED: &[u8] = b"committed";
const IDENTITY: &[u8] = b"identity";

/// How many writes may wait for the disk. `RaftCore` waits (without blocking a thread) when it is full.
const QUEUE: usize = 4096;

/// The log. Clones are handles to the same one.
#[derive(Clone)]
pub struct Log {
    shared: Arc<Shared>,
    jobs: mpsc::Sender<Job>,
    writer: Arc<Worker>,
}

/// What the log, its readers and its writer share.
struct Shared {
    db: DB,
    memory: Mutex<Memory>,
    poison: Poison,
    metrics: Arc<Metrics>,
    host: Arc<dyn Host>,
    /// Since when the disk has a write to do.
    writing: Mutex<Option<Instant>>,
    missing: Missing,
    /// Behind the database: it is closed first.
    _open: Open,
}

/// What is known without asking the disk.
#[derive(Default)]
struct Memory {
    vote: Option<Vote>,
    purged: Option<LogId>,
    last: Option<LogId>,
    tail: Tail,
    extent: Extent,
    /// Not worth a write of its own: it goes with the next batch.
    committed: Option<LogId>,
}

impl Shared {
    fn memory(&self) -> std::sync::MutexGuard<'_, Memory> {
        // A panic while it was held cannot leave it half changed: every change is a single assignment or push.
        self.memory.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn writing(&self) -> std::sync::MutexGuard<'_, Option<Instant>> {
        self.writing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn family(&self, name: &str) -> io::Result<&ColumnFamily> {
        self.db.cf_handle(name).ok_or_else(|| io::Error::other("the log has lost a column family"))
    }

    fn meta(&self, key: &[u8]) -> io::Result<Option<Vec<u8>>> {
        self.db.get_cf(self.family(META)?, key).map_err(io::Error::other)
    }

    /// About how many bytes the entries on the disk have.
    fn stored_bytes(&self) -> io::Result<u64> {
        let family = self.family(LOG)?;
        let number = |name| self.db.property_int_value_cf(family, name).map_err(io::Error::other);
        let memory = number(properties::CUR_SIZE_ALL_MEM_TABLES)?.unwrap_or(0);
        Ok(memory + number(properties::ESTIMATE_LIVE_DATA_SIZE)?.unwrap_or(0))
    }

    /// Reads entries from the disk, at most `max_bytes` of them but always one.
    fn stored(&self, start: u64, end: u64, max_bytes: usize) -> io::Result<(Vec<Entry>, usize)> {
        let mut entries = Vec::new();
        let mut bytes = 0;
        if start >= end {
            return Ok((entries, bytes));
        }
        let mut options = ReadOptions::default();
        // Purged entries lie in front of the range, hidden by a range tombstone that is slow to walk over.
        options.set_iterate_lower_bound(start.to_be_bytes());
        options.set_iterate_upper_bound(end.to_be_bytes());
        let from = start.to_be_bytes();
        let walk = self.db.iterator_cf_opt(self.family(LOG)?, options, IteratorMode::From(&from, Direction::Forward));
        for item in walk {
            let (key, value) = item.map_err(io::Error::other)?;
            let index = index(&key)?;
            bytes += value.len();
            if bytes > max_bytes && !entries.is_empty() {
                break;
            }
            entries.push(codec::decode_entry(&Bytes::from(value.into_vec()), index)?);
        }
        Ok((entries, bytes))
    }
}

fn index(key: &[u8]) -> io::Result<u64> {
    let bytes = key.try_into().map_err(|_| io::Error::new(io::ErrorKind::InvalidData, "malformed key in the log"))?;
    Ok(u64::from_be_bytes(bytes))
}

fn options(is_new: bool) -> Options {
    let mut options = Options::default();
    options.create_if_missing(is_new);
    options.create_missing_column_families(true);
    options.set_paranoid_checks(true);
    options.set_use_fsync(false); // fdatasync
    // A file whose blocks exist needs no metadata write with each sync.
    options.set_recycle_log_file_num(4);
    options.set_track_and_verify_wals_in_manifest(true);
    options.set_max_total_wal_size(64 << 20);
    options.set_max_open_files(128);
    options.set_keep_log_file_num(2);
    options.set_max_log_file_size(1 << 20);
    options.set_log_level(rocksdb::LogLevel::Warn);
    options.set_max_background_jobs(2);
    options.set_max_write_buffer_number(4);
    // Entries are purged in order and read rarely: rewriting them early gains nothing.
    options.set_level_zero_file_num_compaction_trigger(8);
    options.set_level_zero_slowdown_writes_trigger(32);
    options.set_level_zero_stop_writes_trigger(64);
    options.set_arena_block_size(256 << 10);
    let mut table = rocksdb::BlockBasedOptions::default();
    table.set_block_cache(&rocksdb::Cache::new_lru_cache(2 << 20));
    options.set_block_based_table_factory(&table);
    options
}

/// Options of one family. They are a copy: RocksDB's own defaults come with a cache of six megabytes each time they are
/// made, and stay with every family (the unused `default` too) that is opened without others.
fn family_options(options: &Options, write_buffer: usize) -> Options {
    let mut options = options.clone();
    options.set_write_buffer_size(write_buffer);
    options
}

impl Log {
    /// Opens the log in `folder`, making it if it is not there, and starts its writer.
    pub fn open(folder: &Path, poison: Poison, metrics: Arc<Metrics>, host: Arc<dyn Host>) -> io::Result<Self> {
        let options = options(folder::is_new(folder)?);
        let families = [(LOG, 8 << 20), (META, 1 << 20), (rocksdb::DEFAULT_COLUMN_FAMILY_NAME, 1 << 20)];
        let families = families.map(|(name, size)| ColumnFamilyDescriptor::new(name, family_options(&options, size)));
        let db = DB::open_cf_descriptors(&options, folder, families).map_err(io::Error::other)?;
        let memory = Memory::default();
        let (memory, writing, missing) = (Mutex::new(memory), Mutex::default(), Missing::default());
        let shared = Shared { db, memory, poison, metrics, host, writing, missing, _open: Open::new() };
        let vote = shared.meta(VOTE)?.map(|bytes| codec::decode_vote(&bytes)).transpose()?;
        let purged = shared.meta(PURGED)?.map(|bytes| codec::decode_log_id(&bytes)).transpose()?;
        let last = {
            let mut options = ReadOptions::default();
            options.set_iterate_lower_bound(purged.map_or(0, |id| id.index + 1).to_be_bytes());
            let mut walk = shared.db.iterator_cf_opt(shared.family(LOG)?, options, IteratorMode::End);
            match walk.next().transpose().map_err(io::Error::other)? {
                Some((key, value)) => {
                    let index = index(&key)?;
                    Some(codec::decode_entry(&Bytes::from(value.into_vec()), index)?.log_id)
                }
                None => purged,
            }
        };
        let bytes = shared.stored_bytes()?;
        {
            let mut memory = shared.memory();
            (memory.vote, memory.purged, memory.last) = (vote, purged, last);
            memory.tail = Tail::behind(last.map(|id| id.index));
            memory.extent = Extent::found(last.map_or(0, |id| id.index), bytes);
        }
        let shared = Arc::new(shared);
        let (jobs, queue) = mpsc::channel(QUEUE);
        let writer = Arc::new(writer::start(&*shared.host, Arc::clone(&shared), queue)?);
        Ok(Self { shared, jobs, writer })
    }

    /// Who this member is; `None` before [`Self::set_identity`].
    pub fn identity(&self) -> io::Result<Option<Identity>> {
        let bytes = self.shared.meta(IDENTITY)?;
        bytes.map(|bytes| Identity::decode(&bytes[..]).map_err(io::Error::other)).transpose()
    }

    /// Writes down who this member is; durable on return. For a new, empty log only.
    pub fn set_identity(&self, identity: &Identity) -> io::Result<()> {
        let mut options = WriteOptions::default();
        options.set_sync(true);
        let family = self.shared.family(META)?;
        self.shared.db.put_cf_opt(family, IDENTITY, identity.encode_to_vec(), &options).map_err(io::Error::other)
    }

    /// Lets go of the log; once the last handle has, it is closed on return.
    pub fn close(self) -> io::Result<()> {
        let Self { shared, jobs, writer } = self;
        // The writer ends when nobody can give it anything to write, and closes the database when it is the last to hold it.
        drop((shared, jobs));
        Arc::into_inner(writer).map_or(Ok(()), Worker::join)
    }

    /// Everything queued before is durable on return.
    pub async fn sync(&self) -> io::Result<()> {
        self.write(Job::Sync).await
    }

    /// How long the write that is under way has taken so far.
    pub fn stalled_for(&self) -> Duration {
        self.shared.writing().map_or(Duration::ZERO, |since| since.elapsed())
    }

    /// For how long replication has asked for entries that are purged.
    pub fn purged_wanted_for(&self) -> Duration {
        self.shared.missing.wanted_for()
    }

    /// Whether entries were removed from the front of the log.
    pub fn is_purged(&self) -> bool {
        self.shared.memory().purged.is_some()
    }

    /// The last entry that must be purged for the log to hold half of `limit` bytes; `None` when it holds no more than
    /// `limit`.
    pub fn excess(&self, limit: u64) -> Option<u64> {
        self.shared.memory().extent.excess(limit)
    }

    /// Gives what was purged back to the disk once it is `bytes` or more: removed entries stay in files, of which RocksDB
    /// rewrites none as long as little is written. Takes time; appending goes on meanwhile.
    pub fn reclaim(&self, bytes: u64) -> io::Result<()> {
        let upto = {
            let mut memory = self.shared.memory();
            let Some(purged) = memory.purged else { return Ok(()) };
            if !memory.extent.take_purged(bytes) {
                return Ok(());
            }
            purged.index + 1
        };
        let family = self.shared.family(LOG)?;
        // The record of the removal, too: as long as it is in memory only, no file knows of it.
        self.shared.db.flush_cf(family).map_err(io::Error::other)?;
        self.shared.db.compact_range_cf(family, None::<&[u8]>, Some(upto.to_be_bytes()));
        Ok(())
    }

    /// Queues a write and waits until it is durable.
    async fn write(&self, job: impl FnOnce(writer::Done) -> Job) -> io::Result<()> {
        self.shared.poison.check()?;
        let (done, result) = oneshot::channel();
        let gone = || io::Error::other("the writer of the log is gone");
        self.jobs.send(job(done)).await.map_err(|_| gone())?;
        result.await.map_err(|_| gone())?
    }

    /// Entries of a range, at most about `max_bytes` of them; the first one is not the first of the range when that is
    /// purged. Blocks the thread.
    pub fn entries(&self, range: Range<u64>, max_bytes: usize) -> io::Result<Vec<Entry>> {
        self.read(&range, max_bytes)
    }

    /// Reads entries, at most about `max_bytes` of them but always one if there is one.
    fn read<RB: RangeBounds<u64>>(&self, range: &RB, max_bytes: usize) -> io::Result<Vec<Entry>> {
        let start = match range.start_bound() {
            Bound::Included(start) => *start,
            Bound::Excluded(start) => start.saturating_add(1),
            Bound::Unbounded => 0,
        };
        let end = match range.end_bound() {
            Bound::Included(end) => end.saturating_add(1),
            Bound::Excluded(end) => *end,
            Bound::Unbounded => u64::MAX,
        };
        let (recent, stored_end, start) = {
            let memory = self.shared.memory();
            let start = start.max(memory.purged.map_or(0, |id| id.index + 1));
            let first = memory.tail.first();
            // What comes from the disk counts first; the tail is looked at only if it can fit.
            (memory.tail.range(start, end, max_bytes), end.min(first), start)
        };
        // What is not in the tail is on the disk: the tail lets go of durable entries only.
        let (mut entries, bytes) = self.shared.stored(start, stored_end, max_bytes)?;
        if bytes <= max_bytes {
            entries.extend(recent);
        }
        Ok(entries)
    }
}

impl RaftLogReader<Types> for Log {
    async fn try_get_log_entries<RB: RangeBounds<u64> + Clone + Debug + OptionalSend>(
        &mut self,
        range: RB,
    ) -> io::Result<Vec<Entry>> {
        self.read(&range, usize::MAX)
    }

    async fn limited_get_log_entries(&mut self, start: u64, end: u64) -> io::Result<Vec<Entry>> {
        let entries = self.read(&(start..end), BATCH_BYTES)?;
        if entries.is_empty() && start < end {
            self.shared.missing.note();
        }
        Ok(entries)
    }

    async fn read_vote(&mut self) -> io::Result<Option<Vote>> {
        Ok(self.shared.memory().vote)
    }
}

impl RaftLogStorage<Types> for Log {
    type LogReader = Self;

    async fn get_log_state(&mut self) -> io::Result<LogState<Types>> {
        let memory = self.shared.memory();
        Ok(LogState { last_purged_log_id: memory.purged, last_log_id: memory.last })
    }

    async fn get_log_reader(&mut self) -> Self {
        self.clone()
    }

    async fn save_vote(&mut self, vote: &Vote) -> io::Result<()> {
        let record = codec::encode_vote(vote);
        self.write(|done| Job::Vote { record, done }).await?;
        self.shared.memory().vote = Some(*vote);
        Ok(())
    }

    async fn save_committed(&mut self, committed: Option<LogId>) -> io::Result<()> {
        self.shared.memory().committed = committed;
        Ok(())
    }

    async fn read_committed(&mut self) -> io::Result<Option<LogId>> {
        if let Some(committed) = self.shared.memory().committed {
            return Ok(Some(committed));
        }
        self.shared.meta(COMMITTED)?.map(|bytes| codec::decode_log_id(&bytes)).transpose()
    }

    async fn append<I>(&mut self, entries: I, callback: IOFlushed<Types>) -> io::Result<()>
    where
        I: IntoIterator<Item = Entry> + OptionalSend,
        I::IntoIter: OptionalSend,
    {
        self.shared.poison.check()?;
        let records = {
            let mut memory = self.shared.memory();
            let mut records = Vec::new();
            for entry in entries {
                let record = codec::encode_entry(&entry);
                memory.last = Some(entry.log_id);
                memory.extent.push(entry.log_id.index, record.len() as u64);
                records.push((entry.log_id.index, record.clone()));
                memory.tail.push(entry, record.len());
            }
            records
        };
        self.jobs
            .send(Job::Append { records, done: callback })
            .await
            .map_err(|_| io::Error::other("the writer of the log is gone"))
    }

    async fn truncate_after(&mut self, last_log_id: Option<LogId>) -> io::Result<()> {
        let from = last_log_id.map_or(0, |id| id.index + 1);
        {
            let mut memory = self.shared.memory();
            memory.tail.truncate(from);
            memory.extent.truncate(from);
            memory.last = memory.last.min(last_log_id);
        }
        self.write(|done| Job::Truncate { from, done }).await
    }

    async fn purge(&mut self, log_id: LogId) -> io::Result<()> {
        {
            let mut memory = self.shared.memory();
            memory.tail.purge(log_id.index + 1);
            memory.extent.purge(log_id.index + 1);
            memory.purged = memory.purged.max(Some(log_id));
            memory.last = memory.last.max(Some(log_id));
        }
        self.write(|done| Job::Purge { upto: log_id, done }).await
    }
}
