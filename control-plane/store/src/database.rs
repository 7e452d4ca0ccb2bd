//! The state on disk: a RocksDB without a write-ahead log, flushed as a whole, so that a crash takes it back to one earlier
//! moment from which the replicated log is applied again.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use bytes::Bytes;
use rocksdb::properties;
use rocksdb::{
    BlockBasedOptions, Cache, ColumnFamily, ColumnFamilyDescriptor, DB, DBRawIterator, FlushOptions, Options,
    ReadOptions, Snapshot, WriteBatch, WriteBufferManager,
};
use store_core::compaction::Step;
use store_core::live::Live;
use store_core::overlay::Write;
use store_core::{Cursor, Fault, KeyRange, Revision, Space, View};

use crate::closing::Open;
use crate::folder;

/// Blocks read from files, their indexes and filters.
const CACHE_BYTES: usize = 12 << 20;
/// Writes that are not in files yet, of all spaces together. More: longer replay after a crash, fewer and larger files.
const WRITE_BUFFER_BYTES: usize = 24 << 20;
/// Live pairs that are kept in memory. A state that has more is read from its files.
const LIVE_BYTES: usize = 48 << 20;
/// The name of the file that says which generation of the database counts.
const CURRENT: &str = "state";

/// The database. It can be replaced as a whole by a snapshot; readers of the old one finish with it.
pub struct Database {
    folder: PathBuf,
    cache: Cache,
    write_buffers: WriteBufferManager,
    /// Whether files are rewritten in the background, which takes space before it gives some back.
    rewrites: AtomicBool,
    current: RwLock<Arc<Generation>>,
    newest: Arc<AtomicU64>,
    live: RwLock<Live>,
}

/// One generation of the database.
pub struct Generation {
    db: DB,
    number: u64,
    /// Dropped after the database is closed.
    _leftover: Leftover,
    _open: Open,
}

/// The folder of a generation, which goes with it once another one counts.
struct Leftover {
    folder: PathBuf,
    number: u64,
    newest: Arc<AtomicU64>,
}

impl Drop for Leftover {
    fn drop(&mut self) {
        if self.newest.load(Ordering::Acquire) > self.number
            && let Err(error) = std::fs::remove_dir_all(&self.folder)
        {
            tracing::warn!(%error, folder = %self.folder.display(), "a replaced state could not be removed");
        }
    }
}

fn generation_folder(folder: &Path, number: u64) -> PathBuf {
    folder.join(format!("{CURRENT}-{number}"))
}

impl Database {
    /// Opens the current generation in `folder`, making the first one if there is none, and removes leftovers of others.
    pub fn open(folder: &Path) -> io::Result<Self> {
        Self::open_rewriting(folder, true)
    }

    /// The same, and says whether files may be rewritten from the beginning on.
    pub fn open_rewriting(folder: &Path, rewrites: bool) -> io::Result<Self> {
        let number = match std::fs::read_to_string(folder.join(CURRENT)) {
            Ok(text) => text.trim().parse().map_err(|_| {
                io::Error::new(io::ErrorKind::InvalidData, "the file that names the state's folder holds no number")
            })?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                durable::write(&folder.join(CURRENT), b"1", 0o600)?;
                1
            }
            Err(error) => return Err(error),
        };
        remove_others(folder, number)?;
        let cache = Cache::new_lru_cache(CACHE_BYTES);
        let write_buffers = WriteBufferManager::new_write_buffer_manager(WRITE_BUFFER_BYTES, false);
        let newest = Arc::new(AtomicU64::new(number));
        let generation = open_generation(folder, number, &cache, &write_buffers, &newest, rewrites)?;
        let current = RwLock::new(Arc::new(generation));
        let rewrites = AtomicBool::new(rewrites);
        let live = RwLock::default();
        Ok(Self { folder: folder.into(), cache, write_buffers, rewrites, current, newest, live })
    }

    /// Whether there has never been a state in `folder`.
    pub fn is_new(folder: &Path) -> bool {
        !folder.join(CURRENT).exists()
    }

    fn generation(&self) -> Arc<Generation> {
        Arc::clone(&self.current.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Reads everything at one moment.
    pub fn read<T>(&self, read: impl FnOnce(&dyn View) -> T) -> T {
        let generation = self.generation();
        read(&self.moment(&generation))
    }

    fn moment<'a>(&'a self, generation: &'a Generation) -> Moment<'a> {
        Moment { db: &generation.db, snapshot: generation.db.snapshot(), live: &self.live }
    }

    /// Reads what is newest at each look: for the one thread that also writes, and for versions that do not change.
    pub fn read_newest<T>(&self, read: impl FnOnce(&dyn View) -> T) -> T {
        let generation = self.generation();
        read(&Newest { db: &generation.db })
    }

    /// Keeps the live pairs in memory from now on, until [`Self::write`] or [`Self::replace`] changes the state otherwise.
    /// For the one thread that also writes.
    pub fn keep_live(&self) -> Result<(), Fault> {
        let live = self.read(|view| Live::load(view, LIVE_BYTES))?;
        self.set_live(live);
        Ok(())
    }

    fn set_live(&self, live: Live) {
        *self.live.write().unwrap_or_else(PoisonError::into_inner) = live;
    }

    /// Writes records, all or none. In memory only until it is flushed.
    pub fn write(&self, writes: &[Write]) -> io::Result<()> {
        self.set_live(Live::default());
        self.write_batch(writes)
    }

    /// Writes what applied commands changed, which takes the state to `revision`.
    pub fn advance(&self, writes: &[Write], revision: Revision) -> io::Result<()> {
        self.write_batch(writes)?;
        let mut live = self.live.write().unwrap_or_else(PoisonError::into_inner);
        live.follow(writes, revision).map_err(io::Error::other)
    }

    fn write_batch(&self, writes: &[Write]) -> io::Result<()> {
        let generation = self.generation();
        let mut batch = WriteBatch::default();
        for write in writes {
            let family = generation.family(write.space)?;
            match &write.value {
                Some(value) => batch.put_cf(family, &write.key, value),
                None => batch.delete_cf(family, &write.key),
            }
        }
        generation.db.write_without_wal(batch).map_err(io::Error::other)
    }

    /// Plans a step of compaction, removes what it found and notes how far it came; whether there was anything left to do,
    /// and whether there still is. A state that is replaced meanwhile is left alone.
    pub fn compact(&self, plan: impl FnOnce(&dyn View) -> Result<Option<Step>, Fault>) -> io::Result<Option<bool>> {
        let generation = self.generation();
        let planned = plan(&self.moment(&generation));
        let Some(step) = planned.map_err(io::Error::other)? else { return Ok(None) };
        let mut batch = WriteBatch::default();
        for (space, key) in &step.removals {
            // Written once and removed once: a single deletion, which cancels out early.
            batch.single_delete_cf(generation.family(*space)?, key);
        }
        for (key, value) in step.records() {
            batch.put_cf(generation.family(Space::Meta)?, key, value);
        }
        generation.db.write_without_wal(batch).map_err(io::Error::other)?;
        Ok(Some(step.finished))
    }

    /// Everything written before is on disk on return.
    pub fn flush(&self) -> io::Result<()> {
        let generation = self.generation();
        let families = Space::ALL.into_iter().map(|space| generation.family(space)).collect::<io::Result<Vec<_>>>()?;
        let mut options = FlushOptions::default();
        options.set_wait(true);
        generation.db.flush_cfs_opt(&families, &options).map_err(io::Error::other)
    }

    /// Whether nothing waits to be written to files, so that a write cannot wait for the disk.
    pub fn is_level(&self) -> bool {
        let generation = self.generation();
        let waiting = generation.family(Space::Kv).ok().and_then(|family| {
            generation.db.property_int_value_cf(family, properties::NUM_IMMUTABLE_MEM_TABLE).ok().flatten()
        });
        waiting == Some(0)
    }

    /// Bytes in files and memory, and an estimate of how many of them are still of use.
    pub fn size(&self) -> io::Result<(u64, u64)> {
        let generation = self.generation();
        let (mut all, mut live) = (0, 0);
        for space in Space::ALL {
            let family = generation.family(space)?;
            let number = |name| {
                generation
                    .db
                    .property_int_value_cf(family, name)
                    .map(Option::unwrap_or_default)
                    .map_err(io::Error::other)
            };
            let memory = number(properties::CUR_SIZE_ALL_MEM_TABLES)?;
            all += memory + number(properties::TOTAL_SST_FILES_SIZE)?;
            live += memory + number(properties::ESTIMATE_LIVE_DATA_SIZE)?;
        }
        Ok((all, live.min(all)))
    }

    /// Says whether files may be rewritten in the background from now on.
    pub fn let_rewrite(&self, rewrites: bool) -> io::Result<()> {
        if self.rewrites.swap(rewrites, Ordering::AcqRel) == rewrites {
            return Ok(());
        }
        let generation = self.generation();
        let disabled = if rewrites { "false" } else { "true" };
        for space in Space::ALL {
            let family = generation.family(space)?;
            let changed = generation.db.set_options_cf(family, &[("disable_auto_compactions", disabled)]);
            changed.map_err(io::Error::other)?;
        }
        Ok(())
    }

    /// Rewrites files so that space nobody uses is given back; reads and writes go on meanwhile.
    pub fn reclaim(&self) -> io::Result<()> {
        let generation = self.generation();
        for space in Space::ALL {
            generation.db.compact_range_cf(generation.family(space)?, None::<&[u8]>, None::<&[u8]>);
        }
        Ok(())
    }

    /// Puts a copy of the present state into `target`, which must not exist. Files are shared, so it takes no time and
    /// little space.
    pub fn checkpoint(&self, target: &Path) -> io::Result<()> {
        let generation = self.generation();
        let checkpoint = rocksdb::checkpoint::Checkpoint::new(&generation.db).map_err(io::Error::other)?;
        checkpoint.create_checkpoint(target).map_err(io::Error::other)
    }

    /// Takes a checkpoint in `source` as the new state. The old one is gone once its last reader is.
    pub fn replace(&self, source: &Path) -> io::Result<()> {
        self.set_live(Live::default());
        let mut current = self.current.write().unwrap_or_else(PoisonError::into_inner);
        let number = current.number + 1;
        let target = generation_folder(&self.folder, number);
        std::fs::rename(source, &target)?;
        std::fs::File::open(&self.folder)?.sync_all()?;
        let generation = open_generation(
            &self.folder,
            number,
            &self.cache,
            &self.write_buffers,
            &self.newest,
            self.rewrites.load(Ordering::Acquire),
        )?;
        durable::write(&self.folder.join(CURRENT), number.to_string().as_bytes(), 0o600)?;
        self.newest.store(number, Ordering::Release);
        *current = Arc::new(generation);
        Ok(())
    }

    /// A folder for checkpoints, on the same file system as the state.
    pub fn checkpoint_folder(&self) -> PathBuf {
        self.folder.join("checkpoints")
    }
}

/// Removes generations that do not count and checkpoints nobody finished.
fn remove_others(folder: &Path, number: u64) -> io::Result<()> {
    let keep = generation_folder(folder, number);
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        if path != keep && (name.starts_with("state-") || name == "checkpoints") {
            std::fs::remove_dir_all(&path)?;
        }
    }
    Ok(())
}

fn open_generation(
    folder: &Path,
    number: u64,
    cache: &Cache,
    write_buffers: &WriteBufferManager,
    newest: &Arc<AtomicU64>,
    rewrites: bool,
) -> io::Result<Generation> {
    let path = generation_folder(folder, number);
    durable::folder(&path)?;
    let mut options = Options::default();
    options.create_if_missing(folder::is_new(&path)?);
    options.create_missing_column_families(true);
    options.set_paranoid_checks(true);
    options.set_atomic_flush(true);
    options.set_disable_auto_compactions(!rewrites);
    options.set_write_buffer_manager(write_buffers);
    options.set_max_open_files(256);
    options.set_keep_log_file_num(2);
    options.set_max_log_file_size(1 << 20);
    options.set_log_level(rocksdb::LogLevel::Warn);
    options.set_max_background_jobs(2);
    options.set_max_write_buffer_number(3);
    options.set_arena_block_size(256 << 10);
    options.set_level_compaction_dynamic_level_bytes(true);
    options.set_target_file_size_base(32 << 20);
    options.set_block_based_table_factory(&table_options(cache));
    let families = Space::ALL.iter().map(|space| (space.name(), family_options(*space, &options, cache)));
    // The family every RocksDB has is not used: it gets the same options only because its own bring a cache of their own.
    let unused = (rocksdb::DEFAULT_COLUMN_FAMILY_NAME, options.clone());
    let families = families.chain([unused]).map(|(name, options)| ColumnFamilyDescriptor::new(name, options));
    let db = DB::open_cf_descriptors(&options, &path, families).map_err(io::Error::other)?;
    let leftover = Leftover { folder: path, number, newest: Arc::clone(newest) };
    Ok(Generation { db, number, _leftover: leftover, _open: Open::new() })
}

fn table_options(cache: &Cache) -> BlockBasedOptions {
    let mut table = BlockBasedOptions::default();
    table.set_block_cache(cache);
    table.set_cache_index_and_filter_blocks(true);
    table.set_pin_l0_filter_and_index_blocks_in_cache(true);
    table.set_format_version(5);
    table
}

/// Options of one space: a copy of the database's, because RocksDB's defaults are slow to make and large.
fn family_options(space: Space, options: &Options, cache: &Cache) -> Options {
    let mut options = options.clone();
    if matches!(space, Space::Kv | Space::Cur | Space::Lease) {
        let mut table = table_options(cache);
        table.set_bloom_filter(10.0, false);
        table.set_optimize_filters_for_memory(true);
        options.set_block_based_table_factory(&table);
    }
    options.set_write_buffer_size(if space == Space::Kv { 12 << 20 } else { 6 << 20 });
    options
}

impl Generation {
    fn family(&self, space: Space) -> io::Result<&ColumnFamily> {
        family(&self.db, space).map_err(io::Error::other)
    }
}

fn family(db: &DB, space: Space) -> Result<&ColumnFamily, Fault> {
    db.cf_handle(space.name()).ok_or(Fault::Corrupt("a column family is missing"))
}

fn read_fault(space: Space) -> impl FnOnce(rocksdb::Error) -> Fault {
    move |error| Fault::Read(space, Box::new(error))
}

/// The state at one moment.
struct Moment<'a> {
    db: &'a DB,
    snapshot: Snapshot<'a>,
    live: &'a RwLock<Live>,
}

/// The state as it is at each look.
struct Newest<'a> {
    db: &'a DB,
}

struct Walk<'a> {
    space: Space,
    iterator: DBRawIterator<'a>,
}

fn walk_options(upper: Option<&[u8]>) -> ReadOptions {
    let mut options = ReadOptions::default();
    if let Some(upper) = upper {
        options.set_iterate_upper_bound(upper);
    }
    options.set_auto_readahead_size(true);
    options
}

impl Walk<'_> {
    fn check(&self) -> Result<(), Fault> {
        if self.iterator.valid() { Ok(()) } else { self.iterator.status().map_err(read_fault(self.space)) }
    }
}

impl Cursor for Walk<'_> {
    fn entry(&self) -> Option<(&[u8], &[u8])> {
        self.iterator.item()
    }

    fn next(&mut self) -> Result<(), Fault> {
        if self.iterator.valid() {
            self.iterator.next();
        }
        self.check()
    }

    fn seek(&mut self, key: &[u8]) -> Result<(), Fault> {
        self.iterator.seek(key);
        self.check()
    }
}

impl View for Moment<'_> {
    fn get(&self, space: Space, key: &[u8]) -> Result<Option<Bytes>, Fault> {
        let found = self.snapshot.get_pinned_cf(family(self.db, space)?, key).map_err(read_fault(space))?;
        Ok(found.map(|value| Bytes::copy_from_slice(&value)))
    }

    fn get_many(&self, space: Space, keys: &[Vec<u8>]) -> Result<Vec<Option<Bytes>>, Fault> {
        let mut options = ReadOptions::default();
        options.set_snapshot(&self.snapshot);
        let found = self.db.batched_multi_get_cf_opt(family(self.db, space)?, keys, true, &options);
        let copied = |value: rocksdb::DBPinnableSlice<'_>| Bytes::copy_from_slice(&value);
        found.into_iter().map(|found| Ok(found.map_err(read_fault(space))?.map(copied))).collect()
    }

    fn cursor<'a>(&'a self, space: Space, lower: &[u8], upper: Option<&[u8]>) -> Result<Box<dyn Cursor + 'a>, Fault> {
        let iterator = self.snapshot.raw_iterator_cf_opt(family(self.db, space)?, walk_options(upper));
        let mut walk = Walk { space, iterator };
        walk.seek(lower)?;
        Ok(Box::new(walk))
    }

    fn visit_live(&self, revision: Revision, keys: &KeyRange, visit: &mut dyn FnMut(&Bytes) -> bool) -> bool {
        self.live.read().unwrap_or_else(PoisonError::into_inner).visit(revision, keys, visit)
    }
}

impl View for Newest<'_> {
    fn get(&self, space: Space, key: &[u8]) -> Result<Option<Bytes>, Fault> {
        let found = self.db.get_pinned_cf(family(self.db, space)?, key).map_err(read_fault(space))?;
        Ok(found.map(|value| Bytes::copy_from_slice(&value)))
    }

    fn cursor<'a>(&'a self, space: Space, lower: &[u8], upper: Option<&[u8]>) -> Result<Box<dyn Cursor + 'a>, Fault> {
        let iterator = self.db.raw_iterator_cf_opt(family(self.db, space)?, walk_options(upper));
        let mut walk = Walk { space, iterator };
        walk.seek(lower)?;
        Ok(Box::new(walk))
    }
}
