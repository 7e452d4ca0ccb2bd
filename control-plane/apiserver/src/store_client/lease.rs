//! Leases for objects that expire. Many objects share one lease, because a lease costs the store more than a key.

use std::time::{Duration, Instant};

use proto::etcdserverpb::LeaseGrantRequest;
use proto::etcdserverpb::lease_client::LeaseClient;
use tokio::sync::Mutex;

use super::{StoreClient, StoreError};

/// How long a lease is handed out at most; objects may live that much longer than asked.
const SHARED_FOR: Duration = Duration::from_mins(1);
/// Objects on one lease: expiry deletes them in one transaction, which must stay small.
const SHARED_BY: u32 = 1000;

/// Hands out leases of one time to live.
pub(crate) struct LeasePool {
    ttl: Duration,
    shared_for: Duration,
    open: Mutex<Option<Open>>,
}

struct Open {
    id: i64,
    granted: Instant,
    objects: u32,
}

impl LeasePool {
    /// A pool of leases that last at least `ttl`.
    pub(crate) fn new(ttl: Duration) -> Self {
        Self { ttl, shared_for: SHARED_FOR.min(ttl), open: Mutex::new(None) }
    }

    /// A lease for one more object.
    pub(crate) async fn lease(&self, client: &StoreClient) -> Result<i64, StoreError> {
        let mut open = self.open.lock().await;
        if let Some(lease) =
            open.as_mut().filter(|open| open.granted.elapsed() < self.shared_for && open.objects < SHARED_BY)
        {
            lease.objects += 1;
            return Ok(lease.id);
        }
        let id = client.grant(self.ttl + self.shared_for).await?;
        *open = Some(Open { id, granted: Instant::now(), objects: 1 });
        Ok(id)
    }

    /// Forgets the open lease: the store said that it does not exist any more.
    pub(crate) async fn forget(&self, id: i64) {
        let mut open = self.open.lock().await;
        if open.as_ref().is_some_and(|open| open.id == id) {
            *open = None;
        }
    }
}

impl StoreClient {
    /// Grants a lease that ends `ttl` from now.
    pub(crate) async fn grant(&self, ttl: Duration) -> Result<i64, StoreError> {
        let request = LeaseGrantRequest { ttl: ttl.as_secs() as i64, id: 0 };
        let answer = self
            .call("leaseGrant", |channel| async move { LeaseClient::new(channel).lease_grant(request).await })
            .await?;
        Ok(answer.value.id)
    }
}
