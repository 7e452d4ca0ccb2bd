//! `store snapshot …`: etcdutl's commands and etcdctl's `save`, with their names and flags.

use std::ffi::OsString;
use std::fs::File;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};
use store_core::record::State;

use super::restore::{Bump, Founding, RestoreError, restore};
use super::save::{Member, SaveError, save};
use super::status::{Format, summary};
use super::verify::{Proof, VerifyError, verify};
use crate::command;

/// Fetches snapshots, looks into them and restores them.
#[derive(Debug, Parser)]
#[command(name = "store snapshot", bin_name = "store snapshot", args_override_self = true)]
struct Snapshot {
    /// How answers are written.
    #[arg(short, long, global = true, value_enum, default_value_t = Format::Simple)]
    write_out: Format,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Fetch a snapshot from a member.
    Save {
        /// Where to.
        filename: PathBuf,
        #[command(flatten)]
        member: Box<Member>,
    },
    /// Make a data folder of a snapshot, by whatever etcd or store it was made.
    Restore {
        /// The snapshot.
        filename: PathBuf,
        /// Take a snapshot without a checksum, or with a wrong one: a file copied out of a data folder has none.
        #[arg(long)]
        skip_hash_check: bool,
        #[command(flatten)]
        target: Target,
        #[command(flatten)]
        revision: Revisions,
    },
    /// Restore a snapshot into a scratch folder and compare it, change by change.
    Verify {
        /// The snapshot.
        filename: PathBuf,
        /// Where the scratch folder is made; it takes as much as the snapshot.
        #[arg(long)]
        scratch_dir: Option<PathBuf>,
    },
    /// Tell what a snapshot holds.
    Status {
        /// The snapshot.
        filename: PathBuf,
    },
}

/// Where a restored member goes and which cluster it is part of.
#[derive(Debug, Args)]
pub struct Target {
    /// The new data folder; `<name>.etcd` when not given.
    #[arg(long)]
    pub data_dir: Option<PathBuf>,
    /// The name of this member.
    #[arg(long, default_value = "default")]
    pub name: String,
    /// Every member of the new cluster.
    #[arg(long, value_delimiter = ',', default_value = "default=http://localhost:2380")]
    pub initial_cluster: Vec<String>,
    /// Clusters restored from the same snapshot on the same addresses need different ones.
    #[arg(long, default_value = "etcd-cluster")]
    pub initial_cluster_token: String,
    /// This member's peer URLs.
    #[arg(long, value_delimiter = ',', default_value = "http://localhost:2380")]
    pub initial_advertise_peer_urls: Vec<String>,
    /// Accepted for etcd's sake: the log lies in the data folder.
    #[arg(long, hide = true)]
    wal_dir: Option<PathBuf>,
    /// Accepted for etcd's sake.
    #[arg(long, hide = true)]
    initial_memory_map_size: Option<u64>,
}

impl Target {
    /// The cluster, checked.
    pub fn founding(&self) -> Result<Founding, RestoreError> {
        let (cluster, own) = (&self.initial_cluster, &self.initial_advertise_peer_urls);
        Founding::new(&self.name, cluster, own, &self.initial_cluster_token)
    }

    /// The data folder.
    #[must_use]
    pub fn folder(&self) -> PathBuf {
        self.data_dir.clone().unwrap_or_else(|| PathBuf::from(format!("{}.etcd", self.name)))
    }
}

/// How far the revision moves.
#[derive(Debug, Clone, Copy, Args)]
pub struct Revisions {
    /// How much to increase the latest revision after restore
    #[arg(long, default_value_t = 0)]
    bump_revision: u64,
    /// Mark the latest revision after restore as the point of scheduled compaction (required if --bump-revision > 0,
    /// disallowed otherwise)
    #[arg(long)]
    mark_compacted: bool,
}

impl Revisions {
    /// Both, checked.
    pub fn bump(self) -> Result<Bump, RestoreError> {
        Bump::new(self.bump_revision, self.mark_compacted)
    }
}

/// Runs a command line that begins with the program's name.
pub fn run(args: impl IntoIterator<Item = OsString>) -> ExitCode {
    command::run(args, execute)
}

/// A command failed.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error(transparent)]
    Save(#[from] SaveError),
    #[error(transparent)]
    Restore(#[from] RestoreError),
    #[error(transparent)]
    Verify(#[from] VerifyError),
}

fn execute(snapshot: &Snapshot) -> Result<String, Failure> {
    match &snapshot.command {
        Command::Save { filename, member } => {
            let size = save(member, filename)?;
            Ok(format!("Snapshot saved at {} ({size} bytes)", filename.display()))
        }
        Command::Restore { filename, skip_hash_check, target, revision } => {
            let folder = target.folder();
            let state = restore(filename, &folder, &target.founding()?, revision.bump()?, *skip_hash_check)?;
            Ok(format!("restored revision {} into {}", state.revision, folder.display()))
        }
        Command::Verify { filename, scratch_dir } => {
            let scratch = scratch_dir.clone().unwrap_or_else(std::env::temp_dir);
            let Proof { state, hash, changes } = verify(filename, &scratch, None)?;
            let State { revision, compacted, .. } = state;
            Ok(format!("revision {revision}, compacted {compacted}, {changes} changes, hash {}", hash.hash))
        }
        Command::Status { filename } => {
            let file = File::open(filename);
            let file = file.map_err(|source| RestoreError::Open { path: filename.clone(), source })?;
            let summary = summary(std::io::BufReader::new(file)).map_err(RestoreError::from)?;
            Ok(summary.show(snapshot.write_out))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory as _;

    #[test]
    fn the_command_line_is_well_formed() {
        Snapshot::command().debug_assert();
    }
}
