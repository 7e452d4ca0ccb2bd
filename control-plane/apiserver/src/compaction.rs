//! Compaction of the store: what is older than one to two intervals goes.
//!
//! Each server tries every interval; the record `compact_rev_key` lets exactly one of them win a round.

use std::sync::Arc;
use std::time::Duration;

use crate::store_client::StoreClient;

/// Compacts every `interval` until the task is dropped.
pub(crate) async fn run(store: Arc<StoreClient>, interval: Duration) {
    let (mut version, mut revision) = (0, 0);
    loop {
        tokio::time::sleep(interval).await;
        match store.compact(version, revision).await {
            Ok((next_version, compacted, now)) => {
                if compacted > 0 && next_version == version + 1 {
                    tracing::debug!(revision = compacted, "compacted the store");
                }
                version = next_version;
                revision = now;
            }
            Err(error) => tracing::warn!(error = %chain::Chain(&error), "the store could not be compacted"),
        }
    }
}
