//! openraft's own suite for logs and state machines, and what it does not look at: that the log is there after a restart.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use openraft::errors::ErrorSource;
use openraft::impls::BoxedErrorSource;
use openraft::storage::{RaftLogReader, RaftLogStorage, RaftLogStorageExt};
use openraft::testing::log::{StoreBuilder, Suite};
use openraft::{EntryPayload, StorageError};
use store::database::Database;
use store::host::System;
use store::metrics::Metrics;
use store::poison::Poison;
use store::raft::codec::log_id;
use store::raft::log::Log;
use store::raft::machine::{Applied, Listener, Machine};
use store::raft::{Entry, LogId, Proposal, Types, Vote};
use store_core::apply::Reply;
use store_core::record::State;
use tempfile::TempDir;

struct Deaf;

impl Listener for Deaf {
    fn took(&mut self, _: Duration, _: Duration) {}

    fn member(&self) -> u64 {
        0
    }
    async fn applied(&mut self, _: Applied, _: State) {}
    fn answered(&mut self, _: Vec<(u64, Reply)>, _: LogId) {}
    async fn replaced(&mut self, _: State, _: Option<LogId>) {}
}

struct Builder;

fn open(folder: &TempDir) -> io::Result<Log> {
    Log::open(&folder.path().join("raft"), Poison::default(), Arc::new(Metrics::default()), System::shared())
}

impl StoreBuilder<Types, Log, Machine, TempDir> for Builder {
    async fn build(&self) -> Result<(TempDir, Log, Machine), StorageError<Types>> {
        let make = || {
            let folder = tempfile::tempdir()?;
            let log = open(&folder)?;
            let database = Arc::new(Database::open(folder.path())?);
            let machine = Machine::start(database, Poison::default(), Deaf, &System)?;
            Ok::<_, io::Error>((folder, log, machine))
        };
        make().map_err(|error| StorageError::read(BoxedErrorSource::from_error(&error)))
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn openrafts_suite_passes() {
    Suite::test_all(Builder).await.unwrap();
    workers_end().await;
}

/// Waits until the threads of dropped logs and machines are gone. RocksDB's own statics do not survive those at the end of a process.
async fn workers_end() {
    const WORKERS: [&str; 2] = ["log-writer", "apply"];
    let running = || {
        let names = std::fs::read_dir("/proc/self/task").unwrap().filter_map(|task| {
            // A thread may end while it is looked at.
            std::fs::read_to_string(task.ok()?.path().join("comm")).ok()
        });
        names.filter(|name| WORKERS.contains(&name.trim_end())).count()
    };
    for _ in 0..400 {
        if running() == 0 {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("{} threads do not end", running());
}

fn entry(term: u64, index: u64, text: &'static str) -> Entry {
    Entry { log_id: log_id(term, index), payload: EntryPayload::Normal(Proposal(text.into())) }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_log_is_there_after_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    {
        let mut log = open(&folder).unwrap();
        log.save_vote(&Vote::new_committed(3, 7)).await.unwrap();
        log.blocking_append((0..20).map(|index| entry(1, index, "old"))).await.unwrap();
        log.truncate_after(Some(log_id(1, 9))).await.unwrap();
        log.blocking_append((10..15).map(|index| entry(3, index, "new"))).await.unwrap();
        log.save_committed(Some(log_id(3, 12))).await.unwrap();
        log.purge(log_id(1, 4)).await.unwrap();
    }
    // The writer thread holds the database until it has seen that nobody is left, and then clears old files away.
    let mut log = loop {
        match open(&folder) {
            Ok(log) => break log,
            Err(error) if ["lock", "No such file"].iter().any(|text| error.to_string().contains(text)) => {
                tokio::task::yield_now().await;
            }
            Err(error) => panic!("{error}"),
        }
    };
    let state = log.get_log_state().await.unwrap();
    assert_eq!((state.last_purged_log_id, state.last_log_id), (Some(log_id(1, 4)), Some(log_id(3, 14))));
    assert_eq!(log.read_vote().await.unwrap(), Some(Vote::new_committed(3, 7)));
    assert_eq!(log.read_committed().await.unwrap(), Some(log_id(3, 12)));
    let entries = log.try_get_log_entries(0..100).await.unwrap();
    let expected: Vec<_> =
        (5..10).map(|index| entry(1, index, "old")).chain((10..15).map(|index| entry(3, index, "new"))).collect();
    assert_eq!(entries, expected);
    // Read from the disk and from memory at once.
    log.blocking_append([entry(3, 15, "newest")]).await.unwrap();
    let entries = log.try_get_log_entries(8..16).await.unwrap();
    assert_eq!(entries.iter().map(|entry| entry.log_id.index).collect::<Vec<_>>(), (8..16).collect::<Vec<_>>());
}
