//! Compacts without being asked, as `--auto-compaction-retention` wants it. Only the leader does.

use std::sync::Arc;
use std::time::Duration;

use proto::etcdserverpb::CompactionRequest;
use proto::store::command::Op;
use store_core::Refusal;
use store_core::auth::{Caller, ROOT};
use store_core::auto_compaction::{Plan, Policy};
use tokio::time::Instant;

use crate::node::Node;

/// Looks for as long as the node lives.
pub async fn run(node: Arc<Node>, policy: Policy) {
    let started = Instant::now();
    let mut plan = Plan::new(policy);
    let mut tick = tokio::time::interval(policy.look_every().max(Duration::from_millis(1)));
    tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tick.tick().await;
        let leads = node.leading_term().is_some();
        let Some(target) = plan.look(started.elapsed(), node.revision(), leads) else { continue };
        let op = Op::Compact(CompactionRequest { revision: target.0, physical: false });
        // Where clients are asked who they are, compaction is for administrators.
        let caller = Caller { user: ROOT.to_owned(), revision: node.access.revision() };
        match node.propose_as(op, Some(caller)).await {
            Ok(_) => tracing::info!(revision = target.0, "compacted, as the settings want it"),
            Err(Refusal::Compacted) => {}
            Err(error) => {
                // The next look tries again.
                tracing::warn!(%error, revision = target.0, "could not compact");
                continue;
            }
        }
        plan.done(started.elapsed(), target);
    }
}
