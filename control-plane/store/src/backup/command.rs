//! `store backup …`: looks into backups, restores from them and proves them. The words are those of `store snapshot`.

mod show;

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use clap::{Args, Parser, Subcommand};
use jiff::Timestamp;
use store_core::Revision;
use store_core::backup::Moment;
use store_core::backup::plan::Point;
use tokio::sync::watch;

use super::options::TargetFlags;
use super::restore::{BackupError, Restored, Source};
use super::target::{Network, Target, TargetError};
use super::verify::{VerifyError, verify};
use crate::command;
use crate::snapshot::command::{Revisions, Target as Destination};
use crate::snapshot::restore::RestoreError;
use crate::snapshot::status::Format;

/// Looks into backups, restores from them and proves them.
#[derive(Debug, Parser)]
#[command(name = "store backup", bin_name = "store backup", args_override_self = true)]
struct Backup {
    /// How answers are written.
    #[arg(short, long, global = true, value_enum, default_value_t = Format::Simple)]
    write_out: Format,
    #[command(subcommand)]
    command: Command,
}

/// Which backup.
#[derive(Debug, Args)]
struct Which {
    #[command(flatten)]
    target: TargetFlags,
    /// The cluster, in hexadecimal; not needed when the target holds the backup of only one.
    #[arg(long)]
    cluster_id: Option<String>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Tell which objects there are.
    List {
        #[command(flatten)]
        which: Which,
    },
    /// Tell what can be restored.
    Status {
        #[command(flatten)]
        which: Which,
    },
    /// Make a data folder of the state at a point in time.
    Restore {
        #[command(flatten)]
        which: Which,
        /// Everything that happened before the revision behind this one; not set, with no time either: all there is.
        #[arg(long, conflicts_with = "to_time")]
        to_revision: Option<i64>,
        /// Everything that had been applied by then, for example 2026-01-02T03:04:05Z.
        #[arg(long)]
        to_time: Option<Timestamp>,
        #[command(flatten)]
        destination: Destination,
        #[command(flatten)]
        revisions: Revisions,
    },
    /// Restore everything into scratch folders and compare snapshots with the log that leads to them.
    Verify {
        #[command(flatten)]
        which: Which,
        /// Where the scratch folders are made; they take two to three times as much as a snapshot.
        #[arg(long)]
        scratch_dir: Option<PathBuf>,
    },
}

/// A command failed.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error("{0}")]
    Usage(String),
    #[error("start a runtime")]
    Runtime(#[source] std::io::Error),
    #[error(transparent)]
    Target(#[from] TargetError),
    #[error(transparent)]
    Backup(#[from] BackupError),
    #[error(transparent)]
    Restore(#[from] RestoreError),
    #[error(transparent)]
    Verify(#[from] VerifyError),
}

/// Runs a command line that begins with the program's name.
pub fn run(args: impl IntoIterator<Item = OsString>) -> ExitCode {
    command::run(args, execute)
}

fn execute(backup: &Backup) -> Result<String, Failure> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
    let runtime = runtime.map_err(Failure::Runtime)?;
    // Held until the end: nothing stops a command.
    let (_stop, stopping) = watch::channel(false);
    let network = Network::new(runtime.handle().clone(), stopping);
    match &backup.command {
        Command::List { which } => {
            let target = which.open(network)?;
            Ok(show::list(&*target, which.cluster(&*target)?, backup.write_out)?)
        }
        Command::Status { which } => {
            let target = which.open(network)?;
            Ok(show::status(&*target, which.cluster(&*target)?, backup.write_out)?)
        }
        Command::Restore { which, to_revision, to_time, destination, revisions } => {
            let target = which.open(network)?;
            let point = match (to_revision, to_time) {
                (Some(revision), _) => Point::Revision(Revision(*revision)),
                (None, Some(time)) => Point::Time(Moment(time.as_millisecond())),
                (None, None) => Point::Latest,
            };
            let folder = destination.folder();
            // On the disk that is to take the state: it has room, or nothing helps.
            let scratch = folder.parent().filter(|above| above.is_dir()).unwrap_or(Path::new("."));
            let source = Source { target: &*target, cluster_id: which.cluster(&*target)?, scratch };
            let restored = source.restore(point, &folder, &destination.founding()?, revisions.bump()?)?;
            let Restored { state, place, time, replayed } = restored;
            let (revision, until, index) = (state.revision, time.rfc3339(), place.index);
            Ok(match backup.write_out {
                Format::Json => serde_json::json!({
                    "revision": revision.0, "compacted": state.compacted.0, "time": until, "index": index,
                    "replayed": replayed, "dataDir": folder,
                })
                .to_string(),
                Format::Simple | Format::Fields | Format::Table => format!(
                    "restored revision {revision} of {until} (entry {index}, {replayed} replayed) into {}",
                    folder.display()
                ),
            })
        }
        Command::Verify { which, scratch_dir } => {
            let target = which.open(network)?;
            let scratch = scratch_dir.clone().unwrap_or_else(std::env::temp_dir);
            let source = Source { target: &*target, cluster_id: which.cluster(&*target)?, scratch: &scratch };
            Ok(show::proofs(&verify(source)?, backup.write_out))
        }
    }
}

impl Which {
    fn open(&self, network: Network) -> Result<Arc<dyn Target>, Failure> {
        let place = self.target.check().map_err(|(flag, problem)| Failure::Usage(format!("--{flag}: {problem}")))?;
        let place = place.ok_or_else(|| Failure::Usage("--backup-url is needed".to_owned()))?;
        Ok(place.open(network)?)
    }

    /// The cluster that was named, or the only one there is.
    fn cluster(&self, target: &dyn Target) -> Result<u64, Failure> {
        let read = |text: &str| u64::from_str_radix(text, 16).ok();
        if let Some(text) = &self.cluster_id {
            return read(text)
                .ok_or_else(|| Failure::Usage(format!("--cluster-id: `{text}` is no hexadecimal number")));
        }
        let mut found: Vec<u64> = Vec::new();
        for object in target.list("")? {
            let folder = object.name.split('/').next().and_then(read);
            found.extend(folder.filter(|id| found.last() != Some(id)));
        }
        match found[..] {
            [one] => Ok(one),
            [] => Err(Failure::Usage("there is no backup".to_owned())),
            _ => {
                let ids: Vec<_> = found.iter().map(|id| format!("{id:x}")).collect();
                Err(Failure::Usage(format!("there are several clusters, name one by --cluster-id: {}", ids.join(", "))))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory as _;

    #[test]
    fn the_command_line_is_well_formed() {
        Backup::command().debug_assert();
    }
}
