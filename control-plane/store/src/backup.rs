//! Continuous backup: the committed log, kept elsewhere as snapshots and segments, and restores to any point in between.
//!
//! The leader's [`worker`] reads the log behind what is backed up ([`cut`]), packs it into [`segment`]s and puts them into a
//! [`target`]. [`restore`](mod@restore) brings a snapshot and the segments behind it back, [`verify`](mod@verify) proves that they lead to the
//! same state. `store backup …` is in [`command`]. What the objects are called and which of them lead where is decided in
//! [`store_core::backup`].

pub mod command;
pub mod cut;
pub mod figures;
pub mod options;
pub mod restore;
pub mod segment;
pub mod snapshot;
pub mod target;
pub mod verify;
pub mod worker;

use store_core::backup::Moment;
use store_core::backup::plan::{Chain, chains};

use target::{Target, TargetError};

/// Now, as far as this machine's clock knows.
#[must_use]
pub fn now() -> Moment {
    Moment(jiff::Timestamp::now().as_millisecond())
}

/// The folder of a cluster's backup within a target.
#[must_use]
pub fn folder(cluster_id: u64) -> String {
    format!("{cluster_id:016x}")
}

/// Looks up the chains of a cluster, oldest first.
pub fn look_up(target: &dyn Target, cluster_id: u64) -> Result<Vec<Chain>, TargetError> {
    let folder = folder(cluster_id);
    let objects = target.list(&folder)?;
    let prefix = format!("{folder}/");
    Ok(chains(objects.iter().filter_map(|object| object.name.strip_prefix(&prefix))))
}
