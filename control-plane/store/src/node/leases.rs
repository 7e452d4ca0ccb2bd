//! Leases as clients of any member see them: only the leader's clock counts, and only once a quorum confirmed that it leads.

use std::future::Future;
use std::time::Duration;

use proto::etcdserverpb::{LeaseCheckpoint, LeaseCheckpointRequest};
use proto::peer::{LeaseTimeRequest, RenewLeaseRequest};
use proto::store::command::Op;
use store_core::lease::Renewal;
use store_core::{LeaseId, Refusal};

use super::Node;
use crate::leadership::Leader;
use crate::peers::links::Purpose;

/// A leader that does not answer is asked again after a change of leaders, or this.
const AGAIN: Duration = Duration::from_millis(50);

impl Node {
    /// Keeps a lease alive: its seconds, 0 when it is gone.
    pub async fn renew(&self, id: LeaseId) -> Result<i64, Refusal> {
        self.at_the_leader(
            || self.renew_as_leader(id),
            |leader| async move {
                let request = RenewLeaseRequest { route: Some(self.links.route(leader.id)), id: id.0 };
                let answer = self.links.client(leader.id, Purpose::Control).renew_lease(request).await?;
                Ok(answer.into_inner().ttl)
            },
        )
        .await
    }

    /// Granted and remaining seconds of a lease.
    pub async fn lease_time(&self, id: LeaseId) -> Result<Option<(i64, i64)>, Refusal> {
        self.at_the_leader(
            || self.lease_time_as_leader(id),
            |leader| async move {
                let request = LeaseTimeRequest { route: Some(self.links.route(leader.id)), id: id.0 };
                let answer = self.links.client(leader.id, Purpose::Control).lease_time(request).await?.into_inner();
                Ok(answer.found.then_some((answer.granted, answer.remaining)))
            },
        )
        .await
    }

    /// Keeps a lease alive, if this member leads.
    pub async fn renew_as_leader(&self, id: LeaseId) -> Result<i64, Refusal> {
        // A leader that does not know yet that it no longer leads must not promise anything.
        self.lead_for_sure().await?;
        match self.leases.renew(id) {
            Renewal::Gone => Ok(0),
            Renewal::Renewed { ttl, written: false } => Ok(ttl),
            Renewal::Renewed { ttl, written: true } => {
                let full = LeaseCheckpoint { id: id.0, remaining_ttl: 0 };
                self.propose(Op::LeaseCheckpoint(LeaseCheckpointRequest { checkpoints: vec![full] })).await?;
                Ok(ttl)
            }
        }
    }

    /// Granted and remaining seconds of a lease, if this member leads.
    pub async fn lease_time_as_leader(&self, id: LeaseId) -> Result<Option<(i64, i64)>, Refusal> {
        self.lead_for_sure().await?;
        Ok(self.leases.remaining(id))
    }

    /// Refuses unless this member leads, its clocks run, and everything granted before is known to them.
    pub(super) async fn lead_for_sure(&self) -> Result<(), Refusal> {
        let term = self.leading_term().ok_or(Refusal::NotLeader)?;
        if !self.is_only_voter() {
            let index = self.read_index().await?;
            self.applied(index).await?;
        }
        if self.leading_term() == Some(term) && self.leases.running() == Some(term) {
            Ok(())
        } else {
            Err(Refusal::NotLeader)
        }
    }

    /// Has the leader answer, whoever it is, until the time of a request is over.
    pub(super) async fn at_the_leader<T, H, E>(
        &self,
        here: impl Fn() -> H,
        elsewhere: impl Fn(Leader) -> E,
    ) -> Result<T, Refusal>
    where
        H: Future<Output = Result<T, Refusal>>,
        E: Future<Output = Result<T, tonic::Status>>,
    {
        let mut leaders = self.leadership.watch();
        let asked = async {
            loop {
                let leader = *leaders.wait_for(Option::is_some).await.map_err(|_| Refusal::Stopped)?;
                let Some(leader) = leader else { continue };
                if leader.id == self.identity.member_id {
                    match here().await {
                        Err(Refusal::NotLeader) => {}
                        result => return result,
                    }
                } else if let Ok(asked) = tokio::time::timeout(self.config.request_timeout(), elsewhere(leader)).await {
                    match asked.map_err(|status| Refusal::passed_on(status.message())) {
                        Ok(found) => return Ok(found),
                        Err(Some(Refusal::NotLeader) | None) => {}
                        Err(Some(refusal)) => return Err(refusal),
                    }
                }
                drop(tokio::time::timeout(AGAIN, leaders.changed()).await);
            }
        };
        tokio::time::timeout(self.config.request_timeout(), asked).await.unwrap_or(Err(Refusal::TimedOut))
    }
}
