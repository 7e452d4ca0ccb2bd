//! Leases.

use std::sync::Arc;

use proto::etcdserverpb::lease_server::Lease;
use proto::etcdserverpb::{
    LeaseCheckpoint, LeaseCheckpointRequest, LeaseGrantRequest, LeaseGrantResponse, LeaseKeepAliveRequest,
    LeaseKeepAliveResponse, LeaseLeasesRequest, LeaseLeasesResponse, LeaseRevokeRequest, LeaseRevokeResponse,
    LeaseStatus, LeaseTimeToLiveRequest, LeaseTimeToLiveResponse,
};
use proto::store::command::Op;
use store_core::apply::{MAX_LEASE_TTL, Reply, attached};
use store_core::lease::Renewal;
use store_core::{LeaseId, Refusal};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status, Streaming};

use super::{Service, blocking, broken, mismatched, refused};
use crate::alarms::LEASE_COST;
use crate::leases::records;
use crate::node::Node;

/// Answers to keep-alives that may wait for a client.
const KEEP_ALIVE_QUEUE: usize = 16;
/// Random ids that are tried until one is free. Two in a row are taken about once in the lifetime of the universe.
const ID_TRIES: usize = 4;

#[tonic::async_trait]
impl Lease for Service {
    async fn lease_grant(&self, request: Request<LeaseGrantRequest>) -> Result<Response<LeaseGrantResponse>, Status> {
        let (node, request) = (&self.0, request.into_inner());
        node.check_space(LEASE_COST).await.map_err(refused)?;
        if request.ttl > MAX_LEASE_TTL {
            return Err(refused(Refusal::LeaseTtlTooLarge));
        }
        let ttl = request.ttl.max(node.config.min_lease_ttl());
        for _ in 0..ID_TRIES {
            let id = if request.id == 0 { rand::random_range(1..i64::MAX) } else { request.id };
            match node.propose(Op::LeaseGrant(LeaseGrantRequest { ttl, id })).await {
                Ok(Reply::LeaseGrant(mut answer)) => {
                    node.complete(&mut answer.header);
                    return Ok(Response::new(answer));
                }
                Ok(other) => return Err(mismatched(&other)),
                Err(Refusal::LeaseExists) if request.id == 0 => {}
                Err(refusal) => return Err(refused(refusal)),
            }
        }
        Err(refused(Refusal::LeaseExists))
    }

    async fn lease_revoke(
        &self,
        request: Request<LeaseRevokeRequest>,
    ) -> Result<Response<LeaseRevokeResponse>, Status> {
        let (node, request) = (&self.0, request.into_inner());
        node.alarms.check_corrupt().map_err(refused)?;
        match node.propose(Op::LeaseRevoke(request)).await.map_err(refused)? {
            Reply::LeaseRevoke(mut answer) => {
                node.complete(&mut answer.header);
                Ok(Response::new(answer))
            }
            other => Err(mismatched(&other)),
        }
    }

    type LeaseKeepAliveStream = ReceiverStream<Result<LeaseKeepAliveResponse, Status>>;

    async fn lease_keep_alive(
        &self,
        request: Request<Streaming<LeaseKeepAliveRequest>>,
    ) -> Result<Response<Self::LeaseKeepAliveStream>, Status> {
        let (node, mut requests) = (Arc::clone(&self.0), request.into_inner());
        let (answers, queue) = mpsc::channel(KEEP_ALIVE_QUEUE);
        tokio::spawn(async move {
            // Ends with the client's last request, its stream, or the first failure.
            while let Ok(Some(request)) = requests.message().await {
                let answer = keep_alive(&node, LeaseId(request.id)).await;
                let failed = answer.is_err();
                if answers.send(answer.map_err(refused)).await.is_err() || failed {
                    return;
                }
            }
        });
        Ok(Response::new(ReceiverStream::new(queue)))
    }

    async fn lease_time_to_live(
        &self,
        request: Request<LeaseTimeToLiveRequest>,
    ) -> Result<Response<LeaseTimeToLiveResponse>, Status> {
        let (node, request) = (&self.0, request.into_inner());
        node.barrier().await.map_err(refused)?;
        let id = LeaseId(request.id);
        let header = Some(node.header(node.revision()));
        let Some((granted, remaining)) = node.leases.remaining(id) else {
            let answer = LeaseTimeToLiveResponse { header, id: id.0, ttl: -1, ..LeaseTimeToLiveResponse::default() };
            return Ok(Response::new(answer));
        };
        let keys = if request.keys {
            let reader = Arc::clone(node);
            let read = move || reader.database.read(|view| attached(view, id));
            blocking(read).await?.map_err(|fault| broken(&fault))?
        } else {
            Vec::new()
        };
        Ok(Response::new(LeaseTimeToLiveResponse { header, id: id.0, ttl: remaining, granted_ttl: granted, keys }))
    }

    async fn lease_leases(&self, _: Request<LeaseLeasesRequest>) -> Result<Response<LeaseLeasesResponse>, Status> {
        let node = &self.0;
        node.barrier().await.map_err(refused)?;
        let reader = Arc::clone(node);
        let found = blocking(move || reader.database.read(records)).await?.map_err(|fault| broken(&fault))?;
        let leases = found.into_iter().map(|(id, _)| LeaseStatus { id: id.0 }).collect();
        Ok(Response::new(LeaseLeasesResponse { header: Some(node.header(node.revision())), leases }))
    }
}

/// Renews a lease. One that is gone is no error: its time is 0.
async fn keep_alive(node: &Arc<Node>, id: LeaseId) -> Result<LeaseKeepAliveResponse, Refusal> {
    // A leader that does not know yet that it no longer leads must not promise anything.
    node.barrier().await?;
    let header = Some(node.header(node.revision()));
    let ttl = match node.leases.renew(id) {
        Renewal::Gone => 0,
        Renewal::Renewed { ttl, written: false } => ttl,
        Renewal::Renewed { ttl, written: true } => {
            let full = LeaseCheckpoint { id: id.0, remaining_ttl: 0 };
            node.propose(Op::LeaseCheckpoint(LeaseCheckpointRequest { checkpoints: vec![full] })).await?;
            ttl
        }
    };
    Ok(LeaseKeepAliveResponse { header, id: id.0, ttl })
}
