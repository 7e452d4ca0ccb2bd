//! Snapshots into a folder of this machine, again and again; each can be restored at once and is proven to be.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use store_core::hash::hash_kv;
use store_core::record::State;
use tokio::sync::watch;
use tokio::time::Instant;

use super::export::ExportError;
use super::file::{PARTIAL, save};
use super::verify::verify;
use crate::database::Database;

/// What is kept of a failed attempt before the next one.
const TRY_AGAIN: Duration = Duration::from_mins(1);
const PREFIX: &str = "snapshot-";
const SUFFIX: &str = ".db";
/// How times are written in names.
const TIME: &str = "%Y%m%dT%H%M%SZ";

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
    let mut last: Option<Instant> = None;
    loop {
        let due = match prepare(&schedule.folder) {
            Ok(None) => Duration::ZERO,
            // What the clock on the wall says counts only for a snapshot of an earlier process.
            Ok(Some(newest)) => {
                let age = last.map_or_else(|| age(newest, SystemTime::now()), |last| last.elapsed());
                schedule.every.saturating_sub(age)
            }
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
                last = Some(Instant::now());
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

/// How long ago a snapshot was made. If the clock was set back since, it was made just now: the next one is then late, once.
fn age(of: SystemTime, now: SystemTime) -> Duration {
    now.duration_since(of).unwrap_or_default()
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

/// The time in the name of the next snapshot: now, but always later than the newest one's, so that names are in the order
/// in which they were given even when the clock is set back. Otherwise what was made last would be removed as the oldest.
fn stamp(newest: Option<&Path>, now: Timestamp) -> Timestamp {
    let time = |path: &Path| {
        let (time, _) = path.file_name()?.to_str()?.strip_prefix(PREFIX)?.split_once('-')?;
        Some(DateTime::strptime(TIME, time).ok()?.to_zoned(TimeZone::UTC).ok()?.timestamp())
    };
    let next = newest.and_then(time).and_then(|newest| newest.checked_add(Duration::from_secs(1)).ok());
    next.map_or(now, |next| next.max(now))
}

type Failure = Box<dyn std::error::Error + Send + Sync>;

fn text(error: &(dyn std::error::Error + 'static)) -> Failure {
    chain::Chain(error).to_string().into()
}

fn make(schedule: &Schedule, database: &Database, abandoned: &dyn Fn() -> bool) -> Result<PathBuf, Failure> {
    let folder = &schedule.folder;
    let time = stamp(snapshots(folder)?.last().map(PathBuf::as_path), Timestamp::now()).strftime(TIME).to_string();
    let name = |state: &State| format!("{PREFIX}{time}-r{}{SUFFIX}", state.revision);
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
    fn a_clock_that_was_set_back_neither_hurries_nor_stops_the_snapshots() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(100_000);
        assert_eq!(age(now - Duration::from_secs(7), now), Duration::from_secs(7));
        assert_eq!(age(now + Duration::from_hours(5), now), Duration::ZERO);
    }

    #[test]
    fn what_was_made_last_is_the_newest_whatever_the_clock_says() {
        let folder = tempfile::tempdir().unwrap();
        let state = folder.path().join("state");
        std::fs::create_dir(&state).unwrap();
        let database = Database::open(&state).unwrap();
        let target = folder.path().join("snapshots");
        prepare(&target).unwrap();
        // Made while the clock was a hundred years ahead.
        for old in ["snapshot-21260101T235958Z-r1.db", "snapshot-21260101T235959Z-r1.db"] {
            std::fs::write(target.join(old), "").unwrap();
        }
        let schedule = Schedule { folder: target.clone(), every: Duration::from_secs(1), keep: 2, verify: false };
        for made in ["snapshot-21260102T000000Z-r1.db", "snapshot-21260102T000001Z-r1.db"] {
            assert_eq!(make(&schedule, &database, &|| false).unwrap(), target.join(made));
            let kept = snapshots(&target).unwrap();
            assert_eq!((kept.len(), kept.last().unwrap()), (2, &target.join(made)));
        }
        let now = Timestamp::from_second(1_767_323_045).unwrap();
        assert_eq!(stamp(None, now), now);
        assert_eq!(stamp(Some(Path::new("snapshot-20200101T000000Z-r1.db")), now), now);
        assert_eq!(stamp(Some(Path::new("snapshot-of-mine.db")), now), now);
    }

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
