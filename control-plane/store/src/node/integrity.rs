//! Whether this member still holds what the others hold, and what it wrote itself.
//!
//! The leader compares the fingerprints of all members every few seconds, which finds whatever was applied differently;
//! every member reads its whole state again from time to time, slowly, which finds what changed on the disk. Who is wrong is
//! named in a CORRUPT alarm and serves no client until somebody disarms it; the others go on.

use std::sync::{Arc, Weak};
use std::thread;
use std::time::{Duration, Instant};

use proto::etcdserverpb::alarm_request::AlarmAction;
use proto::etcdserverpb::{AlarmRequest, AlarmType};
use proto::peer::FingerprintRequest;
use proto::store::command::Op;
use store_core::fingerprint::{Added, Removed, Statement, Sum, Verdict, judge};
use store_core::scrub::{self, Damage};
use tokio::sync::oneshot;

use super::Node;
use crate::database::Database;
use crate::peers::links::Purpose;
use crate::peers::messages;

/// Bytes of the state that are read again in a second: little enough not to be noticed beside the work.
const BYTES_PER_SECOND: u64 = 32 << 20;
/// After so many bytes it is looked at the clock.
const LOOK_EVERY: u64 = 1 << 20;

impl Node {
    /// For ever: compares members' states while this one leads.
    pub(super) async fn compare_states(self: Arc<Self>) {
        let Some(every) = self.config.integrity.compare_every else { return };
        let mut tick = tokio::time::interval(every);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tick.tick().await;
            if self.leading_term().is_none() {
                continue;
            }
            if self.alarms.own_corrupt() {
                // Whoever cannot trust its state decides on no lease and no learner.
                if let Err(refusal) = self.hand_over_to_any().await {
                    tracing::warn!(%refusal, "a member with a corrupt state leads, and nobody takes the lead over");
                }
                continue;
            }
            let verdict = self.verdict().await;
            // Asked again, because a state may have been replaced while it was asked for.
            if verdict != Verdict::Equal && self.verdict().await == verdict {
                self.accuse(verdict).await;
            }
        }
    }

    async fn accuse(&self, verdict: Verdict) {
        let wrong = match verdict {
            Verdict::Equal => return,
            Verdict::Wrong(members) => members,
            // As etcd has it: member 0 is everybody.
            Verdict::Unclear => vec![0],
        };
        for member in wrong.into_iter().filter(|member| !self.alarms.is_corrupt(*member)) {
            tracing::error!(
                member = format_args!("{member:x}"),
                "the state of a member differs from that of the others"
            );
            self.raise_corrupt(member).await;
        }
    }

    async fn raise_corrupt(&self, member: u64) {
        let alarm =
            AlarmRequest { action: AlarmAction::Activate.into(), member_id: member, alarm: AlarmType::Corrupt.into() };
        if let Err(refusal) = self.propose(Op::Alarm(alarm)).await {
            tracing::warn!(%refusal, "the alarm could not be raised yet");
        }
    }

    async fn verdict(&self) -> Verdict {
        let standing = self.standing();
        let asked = standing.members.iter().map(|(id, _)| self.statement_of(*id));
        let said: Vec<_> = futures::future::join_all(asked).await.into_iter().flatten().collect();
        judge(&said, standing.voters.len())
    }

    /// What a member says of its state; `None` when it says nothing now.
    async fn statement_of(&self, id: u64) -> Option<Statement> {
        if id == self.identity.member_id {
            return self.statement();
        }
        let request = FingerprintRequest { route: Some(self.links.route(id)) };
        let mut client = self.links.client(id, Purpose::Control);
        let asked = tokio::time::timeout(self.config.election, client.fingerprint(request)).await;
        let answer = asked.ok()?.ok()?.into_inner();
        messages::statement(id, &answer)
            .inspect_err(|error| tracing::warn!(%error, member = format_args!("{id:x}"), "a malformed answer"))
            .ok()?
    }

    /// What this member says of its state; `None` when that changes right now.
    pub(crate) fn statement(&self) -> Option<Statement> {
        let said = self.fingerprints.statement(&self.database, self.identity.member_id);
        said.inspect_err(|error| tracing::warn!(%error, "the fingerprint of the state cannot be read")).ok()?
    }

    /// Whether most of the others have another state than this member, as far as they answer.
    pub(super) async fn differs_from_most(&self) -> bool {
        self.config.integrity.compare_first
            && matches!(self.verdict().await, Verdict::Wrong(members) if members.contains(&self.identity.member_id))
    }

    /// For ever: reads the whole state again from time to time.
    pub(super) async fn scrub(self: Arc<Self>) {
        let Some(every) = self.config.integrity.scrub_every else { return };
        let (database, node) = (Arc::clone(&self.database), Arc::downgrade(&self));
        drop(self);
        loop {
            tokio::time::sleep(every).await;
            let (done, found) = oneshot::channel();
            let (database, watched) = (Arc::clone(&database), node.clone());
            let started = thread::Builder::new().name("scrub".to_owned()).spawn(move || {
                // Nobody waits any more when the member stops.
                drop(done.send(look_at_all(&database, &watched)));
            });
            if let Err(error) = started {
                tracing::warn!(%error, "the state cannot be read again now");
                continue;
            }
            let (Ok(found), Some(node)) = (found.await, node.upgrade()) else { return };
            match found {
                Ok(Some(bytes)) => tracing::info!(bytes, "the whole state was read and is as it was written"),
                Ok(None) => {}
                Err(found) => {
                    tracing::error!(error = %chain::Chain(&found), "the state on the disk is not what was written");
                    if !node.alarms.own_corrupt() {
                        node.raise_corrupt(node.identity.member_id).await;
                    }
                }
            }
        }
    }
}

/// What a look at the whole state has found.
#[derive(Debug, thiserror::Error)]
enum Found {
    #[error("the state is damaged")]
    Damaged(#[from] Damage),
    #[error("the state adds up to {found:x}, and what was written to {kept:x}")]
    AddsUpToElse { found: u128, kept: u128 },
}

/// Adds up the state as it is now, slowly; how many bytes it has. `None` when nobody needs the answer any more, or nothing was
/// kept to compare with.
fn look_at_all(database: &Database, node: &Weak<Node>) -> Result<Option<u64>, Found> {
    let (started, mut bytes, mut next) = (Instant::now(), 0u64, LOOK_EVERY);
    let mut go_on = |more: usize| {
        bytes += more as u64;
        if bytes < next {
            return true;
        }
        next = bytes + LOOK_EVERY;
        let due = Duration::from_secs_f64(bytes as f64 / BYTES_PER_SECOND as f64);
        thread::sleep(due.saturating_sub(started.elapsed()));
        node.strong_count() > 0
    };
    let looked = database.read(|view| {
        let added = Added::load(view).map_err(Damage::from)?;
        let removed = Removed::load(view).map_err(Damage::from)?.map_or(Sum::default(), |removed| removed.sum);
        let found = scrub::sum(view, &mut go_on)?;
        Ok::<_, Damage>(added.zip(found).map(|(added, found)| (added.sum.minus(removed), found)))
    });
    match looked? {
        None => Ok(None),
        Some((kept, found)) if kept == found => Ok(Some(bytes)),
        Some((kept, found)) => Err(Found::AddsUpToElse { found: found.0, kept: kept.0 }),
    }
}
