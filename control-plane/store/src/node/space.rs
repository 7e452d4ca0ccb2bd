//! Room for the state: the quota, the disk under it, and a log that does not fill it.

use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use openraft::errors::Fatal;
use proto::etcdserverpb::alarm_request::AlarmAction;
use proto::etcdserverpb::{AlarmRequest, AlarmType};
use proto::store::command::Op;
use store_core::{Refusal, Revision};

use super::Node;
use crate::raft::Types;
use crate::room::Room;

/// Bytes of entries that the log may hold; then it is purged to half of that. Entries are also purged by their number
/// (`--snapshot-count`), but large ones would fill the disk long before. A member that was away for longer gets a snapshot.
const MAX_LOG_BYTES: u64 = 128 << 20;
/// The same for a member with a backup, which reads the log behind what it has backed up: so much may happen while its target
/// cannot be reached without a gap in the backup.
const MAX_LOG_BYTES_WITH_BACKUP: u64 = 512 << 20;
/// Files are rewritten in the background only while so much room is left, or as much as the state takes.
const REWRITE_ROOM: u64 = 256 << 20;
/// How often the size of the state and the room on the disk are measured.
const MEASURE_EVERY: Duration = Duration::from_secs(1);

impl Node {
    /// For ever: measures the state and its disk, keeps the log short, makes space when there is none, and ends an alarm
    /// for want of space when its cause is gone.
    pub(super) async fn watch_space(self: Arc<Self>, room: Room) {
        let mut tick = tokio::time::interval(MEASURE_EVERY);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut reclaimed = self.compactor.progress();
        loop {
            tick.tick().await;
            if let Err(error) = room.keep_reserve() {
                tracing::debug!(%error, "no reserve could be made");
            }
            let (in_use, left) = match self.measure() {
                Ok(measured) => measured,
                Err(error) => {
                    tracing::warn!(%error, "the size of the state could not be measured");
                    continue;
                }
            };
            // Whoever rewrites files has both on the disk for a while.
            let has_room = left > in_use.min(REWRITE_ROOM);
            if let Err(error) = self.database.let_rewrite(has_room) {
                tracing::warn!(%error, "the rewriting of files could not be switched");
            }
            if self.shorten_log().await.is_err() {
                return;
            }
            self.reclaim_log().await;
            // What was compacted is still in files, of which RocksDB rewrites few as long as nothing is written.
            if self.alarms.own_no_space() && has_room && reclaimed != self.compactor.progress() {
                reclaimed = self.compactor.progress();
                if let Err(error) = self.reclaim().await {
                    tracing::warn!(%error, "space could not be given back");
                }
            }
            if self.alarms.has_space_again(self.config.quota)
                && self.no_space_alarm(AlarmAction::Deactivate).await.is_ok()
            {
                tracing::info!("there is space again: writes are taken");
            }
        }
    }

    /// Measures the state and its disk: bytes in use, and bytes that may still be written. Writes are judged by them from
    /// now on.
    fn measure(&self) -> io::Result<(u64, u64)> {
        let ((_, in_use), left) = (self.database.size()?, self.room.left()?);
        self.alarms.measured(in_use, left);
        Ok((in_use, left))
    }

    /// Purges what makes the log longer than it should be, in bytes. What is not in files of the state yet stays until it
    /// is. Fails when the log has stopped.
    async fn shorten_log(&self) -> Result<(), Fatal<Types>> {
        let limit = if self.config.backup.is_some() { MAX_LOG_BYTES_WITH_BACKUP } else { MAX_LOG_BYTES };
        let Some(upto) = self.log.excess(limit) else { return Ok(()) };
        self.raft.trigger().snapshot().await?;
        self.raft.trigger().purge_log(upto).await
    }

    /// Gives what was purged back to the disk, when it is much.
    async fn reclaim_log(&self) {
        let log = self.log.clone();
        let reclaimed = tokio::task::spawn_blocking(move || log.reclaim(MAX_LOG_BYTES / 2)).await;
        if let Err(error) = reclaimed.map_err(io::Error::other).and_then(|result| result) {
            tracing::warn!(%error, "purged entries of the log still take space");
        }
    }

    /// Gives space that nobody uses back to the disk; other requests go on meanwhile.
    async fn reclaim(&self) -> io::Result<()> {
        let database = Arc::clone(&self.database);
        tokio::task::spawn_blocking(move || database.reclaim()).await.map_err(io::Error::other)?
    }

    /// Removes what was compacted before the call and gives its space back: on return writes are judged by what is left.
    /// Whoever defragments, disarms the alarm and writes has done all there is to do, and must not have to wait and try again.
    ///
    /// A removal that takes longer than a request may is not waited for: it gives its space back by itself.
    pub async fn defragment(&self) -> io::Result<()> {
        let compacted = Revision(self.position.compacted.load(Ordering::Acquire));
        if let Ok(removed) =
            tokio::time::timeout(self.config.request_timeout(), self.compactor.removed(compacted)).await
        {
            removed?;
        }
        self.reclaim().await?;
        self.measure().map(drop)
    }

    async fn no_space_alarm(&self, action: AlarmAction) -> Result<(), Refusal> {
        let change = AlarmRequest {
            action: action.into(),
            member_id: self.identity.member_id,
            alarm: AlarmType::Nospace.into(),
        };
        self.propose(Op::Alarm(change)).await.map(drop)
    }

    /// Refuses a write of `cost` bytes that does not fit, and raises the alarm.
    pub async fn check_space(&self, cost: u64) -> Result<(), Refusal> {
        if self.alarms.check_space(cost, self.config.quota)? {
            return Ok(());
        }
        tracing::warn!(
            quota = self.config.quota,
            "the quota or the disk is used up: writes are refused until space is made"
        );
        self.no_space_alarm(AlarmAction::Activate).await?;
        Err(Refusal::NoSpace)
    }
}
