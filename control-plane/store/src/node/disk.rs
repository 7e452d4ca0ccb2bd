//! A disk that does not answer: a leader whose log is not flushed for the time of an election lets somebody else lead.

use std::sync::Arc;

use super::Node;

impl Node {
    /// For ever: looks how long the write of the log that is under way has taken.
    pub(super) async fn watch_disk(self: Arc<Self>) {
        let mut tick = tokio::time::interval(self.config.heartbeat);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut said = false;
        loop {
            tick.tick().await;
            let stalled = self.log.stalled_for();
            if stalled < self.config.election {
                if said {
                    tracing::info!("the disk under the log answers again");
                }
                said = false;
                continue;
            }
            if !said {
                tracing::warn!(?stalled, "the disk under the log does not answer");
                said = true;
            }
            if self.leading_term().is_some() && self.standing().voters.len() > 1 {
                // It may take no answer from a log that waits for the disk: the others then find out by themselves.
                let moved = tokio::time::timeout(self.config.election_max(), self.hand_over_to_any()).await;
                if let Ok(Err(refusal)) = moved {
                    tracing::warn!(%refusal, "nobody took the lead over");
                }
            }
        }
    }
}
