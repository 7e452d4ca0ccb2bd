//! Snapshots into a folder of this machine, again and again; each can be restored at once and is proven to be.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use jiff::Timestamp;
use store_core::hash::hash_kv;
use store_core::record::State;
use tokio::sync::watch;

use super::export::ExportError;
use super::file::{PARTIAL, save};
use super::verify::verify;
use crate::database::Database;

/// What is kept of a failed attempt before the next one.
const TRY_AGAIN: Duration = Duration::from_mins(1);
const PREFIX: &str = "snapshot-";
const SUFFIX: &str = ".db";

/// When snapshots are made and how many are kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Schedule {
    /// Where they go.
    pub folder: PathBuf,
    /// From one to the next.
    pub every: Duration,
    /// How many are kept.
    pub keep: usize,
    /// Whether each is restored and compared before older ones are removed.
    pub verify: bool,
}

/// Makes snapshots until `stopping` turns true. After a restart, the next one is made when it would have been made anyway.
pub async fn run(schedule: Schedule, database: Arc<Database>, mut stopping: watch::Receiver<bool>) {
    loop {
        let due = match prepare(&schedule.folder) {
            Ok(newest) => newest.map_or(Duration::ZERO, |newest| schedule.every.saturating_sub(age(newest))),
            Err(error) => {
                let folder = schedule.folder.display();
                tracing::error!(%error, %folder, "the folder for snapshots cannot be used");
                TRY_AGAIN
            }
        };
        tokio::select! {
            () = tokio::time::sleep(due) => {}
            _ = stopping.wait_for(|stopping| *stopping) => return,
        }
        let (plan, source, stop) = (schedule.clone(), Arc::clone(&database), stopping.clone());
        let made = tokio::task::spawn_blocking(move || make(&plan, &source, &|| *stop.borrow()));
        let failed = match made.await {
            Ok(Ok(path)) => {
                tracing::info!(path = %path.display(), "a snapshot was made");
                continue;
            }
            Ok(Err(error)) => error.to_string(),
            Err(error) => error.to_string(),
        };
        if *stopping.borrow() {
            return;
        }
        tracing::error!(error = failed, "a snapshot could not be made");
        tokio::select! {
            () = tokio::time::sleep(TRY_AGAIN.min(schedule.every)) => {}
            _ = stopping.wait_for(|stopping| *stopping) => return,
        }
    }
}

fn age(of: SystemTime) -> Duration {
    // A clock that was set back must not stop the snapshots.
    SystemTime::now().duration_since(of).unwrap_or(Duration::MAX)
}

/// Makes the folder, clears away what an earlier process did not finish; when the newest snapshot was made.
fn prepare(folder: &Path) -> io::Result<Option<SystemTime>> {
    std::fs::create_dir_all(folder)?;
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        if entry.file_name().to_string_lossy().starts_with(PARTIAL) {
            std::fs::remove_file(entry.path())?;
        }
    }
    let Some(newest) = snapshots(folder)?.pop() else { return Ok(None) };
    Ok(Some(std::fs::metadata(newest)?.modified()?))
}

/// The snapshots in a folder, oldest first: their names begin with the time.
fn snapshots(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        let name = entry.file_name();
        let name = name.to_string_lossy();
        if name.starts_with(PREFIX) && name.ends_with(SUFFIX) {
            found.push(entry.path());
        }
    }
    found.sort();
    Ok(found)
}

type Failure = Box<dyn std::error::Error + Send + Sync>;

fn text(error: &(dyn std::error::Error + 'static)) -> Failure {
    chain::Chain(error).to_string().into()
}

fn make(schedule: &Schedule, database: &Database, abandoned: &dyn Fn() -> bool) -> Result<PathBuf, Failure> {
    let folder = &schedule.folder;
    let now = Timestamp::now().strftime("%Y%m%dT%H%M%SZ").to_string();
    let name = |state: &State| format!("{PREFIX}{now}-r{}{SUFFIX}", state.revision);
    let (path, state) = save(database, folder, name, abandoned).map_err(|error: ExportError| text(&error))?;
    if schedule.verify {
        // The history up to there is still what it was, unless it was compacted meanwhile.
        let hash = database.read(|view| {
            let unchanged = State::load(view).is_ok_and(|now| now.compacted == state.compacted);
            if unchanged { hash_kv(view, &state, state.revision.0).ok().map(|hash| hash.hash) } else { None }
        });
        verify(&path, folder, hash).map_err(|error| text(&error))?;
    }
    let all = snapshots(folder)?;
    for old in &all[..all.len().saturating_sub(schedule.keep)] {
        std::fs::remove_file(old)?;
    }
    Ok(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_are_kept_and_leftovers_go() {
        let folder = tempfile::tempdir().unwrap();
        let target = folder.path().join("snapshots");
        let database = Database::open(&folder.path().join("state")).or_else(|_| {
            std::fs::create_dir_all(folder.path().join("state"))?;
            Database::open(&folder.path().join("state"))
        });
        let database = database.unwrap();
        assert_eq!(prepare(&target).unwrap(), None);
        std::fs::write(target.join(format!("{PARTIAL}x")), "").unwrap();
        std::fs::write(target.join("mine"), "").unwrap();
        for old in ["snapshot-20200101T000000Z-r1.db", "snapshot-20200102T000000Z-r1.db"] {
            std::fs::write(target.join(old), "").unwrap();
        }
        let schedule = Schedule { folder: target.clone(), every: Duration::from_secs(1), keep: 2, verify: true };
        let path = make(&schedule, &database, &|| false).unwrap();
        assert!(path.to_string_lossy().ends_with("-r1.db"));
        assert!(prepare(&target).unwrap().is_some());
        let mut names: Vec<_> = std::fs::read_dir(&target)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        let made = path.file_name().unwrap().to_string_lossy().into_owned();
        assert_eq!(names, ["mine".to_owned(), "snapshot-20200102T000000Z-r1.db".to_owned(), made]);
        assert!(make(&schedule, &database, &|| true).is_ok(), "nothing to look up from");
    }
}
