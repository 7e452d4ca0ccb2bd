//! A leader says which members do not answer it.

use std::sync::Arc;
use std::time::Duration;

use openraft::Instant as _;
use openraft::async_runtime::WatchReceiver;
use store_core::roll_call::{Remark, RollCall};
use tokio::time::Instant;

use super::Node;

/// The time in which this member leads.
struct Reign {
    term: u64,
    since: Instant,
    call: RollCall,
}

impl Node {
    /// For ever: says what there is to say of the other members. A follower hears of nobody but the leader.
    pub(super) async fn call_the_roll(self: Arc<Self>) {
        let mut tick = tokio::time::interval(self.config.election);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut reign: Option<Reign> = None;
        loop {
            tick.tick().await;
            let Some(term) = self.leading_term() else {
                reign = None;
                continue;
            };
            reign = reign.filter(|reign| reign.term == term);
            let reign = reign.get_or_insert_with(|| {
                let patience = 2 * self.config.election_max();
                Reign { term, since: Instant::now(), call: RollCall::new(patience) }
            });
            let led_for = reign.since.elapsed();
            let silences = self.silences();
            reign.call.keep(|id| silences.iter().any(|(member, _)| *member == id));
            for (id, silence) in silences {
                // Who was never heard of is silent for as long as somebody could have heard.
                let silent_for = silence.unwrap_or(led_for);
                if let Some(remark) = reign.call.look(id, silent_for, led_for) {
                    self.say(id, silent_for, remark);
                }
            }
        }
    }

    /// Every other member, and for how long nothing was heard of it.
    fn silences(&self) -> Vec<(u64, Option<Duration>)> {
        let metrics = self.raft.metrics();
        let now = metrics.borrow_watched();
        let others = now.heartbeat.iter().flatten().filter(|(id, _)| **id != self.identity.member_id);
        others.map(|(id, at)| (*id, at.as_ref().map(|at| at.elapsed()))).collect()
    }

    fn say(&self, id: u64, silent_for: Duration, remark: Remark) {
        let member = format_args!("{id:x}");
        // A connection that was made and is silent all the same has no error.
        let error = self.links.failure(id);
        match remark {
            Remark::Silent => tracing::warn!(member, ?silent_for, error, "a member does not answer"),
            Remark::StillSilent => tracing::warn!(member, ?silent_for, error, "a member still does not answer"),
            Remark::Back { silent_for } => tracing::info!(member, ?silent_for, "a member answers again"),
        }
    }
}
