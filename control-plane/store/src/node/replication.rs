//! Replication that stands still: openraft (0.10.0-alpha.37) may go on for ever to offer a member entries that are purged meanwhile,
//! instead of the state. A leader that begins anew does not.

use std::sync::Arc;

use super::Node;

/// A leader that could not give the lead away so often ends, and begins anew itself.
const TRIES: u32 = 5;

impl Node {
    /// For ever: looks whether purged entries are wanted for longer than an election takes.
    pub(super) async fn watch_replication(self: Arc<Self>) {
        let mut tick = tokio::time::interval(self.config.election);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut tries = 0;
        loop {
            tick.tick().await;
            if self.leading_term().is_none() || self.log.purged_wanted_for() < self.config.election_max() {
                tries = 0;
                continue;
            }
            tracing::warn!("a member is offered entries that are purged: somebody else has to lead");
            if tries == TRIES {
                self.poison.spread("a member is offered entries that are purged, and nobody takes the lead over");
                return;
            }
            tries += 1;
            let moved = tokio::time::timeout(self.config.election_max(), self.hand_over_to_any()).await;
            if let Ok(Err(refusal)) = moved {
                tracing::warn!(%refusal, "nobody took the lead over");
            }
        }
    }
}
