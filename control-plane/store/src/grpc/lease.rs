//! Leases.

use std::sync::Arc;

use proto::etcdserverpb::lease_server::Lease;
use proto::etcdserverpb::{
    LeaseGrantRequest, LeaseGrantResponse, LeaseKeepAliveRequest, LeaseKeepAliveResponse, LeaseLeasesRequest,
    LeaseLeasesResponse, LeaseRevokeRequest, LeaseRevokeResponse, LeaseStatus, LeaseTimeToLiveRequest,
    LeaseTimeToLiveResponse,
};
use proto::store::command::Op;
use store_core::apply::{MAX_LEASE_TTL, Reply, attached};
use store_core::auth::{Caller, Rights};
use store_core::record::State;
use store_core::{Failure, LeaseId, Refusal, View};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::codegen::Bytes;
use tonic::{Request, Response, Status, Streaming};

use super::{Service, blocking, broken, failed, mismatched, refused};
use crate::access::Credentials;
use crate::alarms::LEASE_COST;
use crate::leases::records;
use crate::node::Node;

/// Answers to keep-alives that may wait for a client.
const KEEP_ALIVE_QUEUE: usize = 16;
/// Random ids that are tried until one is free. Two in a row are taken about once in the lifetime of the universe.
const ID_TRIES: usize = 4;

impl Service {
    /// Grants a lease on behalf of a caller.
    pub(super) async fn grant(
        &self,
        request: LeaseGrantRequest,
        caller: Option<Caller>,
    ) -> Result<LeaseGrantResponse, Status> {
        let node = &self.0;
        node.check_space(LEASE_COST).await.map_err(refused)?;
        if request.ttl > MAX_LEASE_TTL {
            return Err(refused(Refusal::LeaseTtlTooLarge));
        }
        let ttl = request.ttl.max(node.config.min_lease_ttl());
        for _ in 0..ID_TRIES {
            let id = if request.id == 0 { rand::random_range(1..i64::MAX) } else { request.id };
            match node.propose_as(Op::LeaseGrant(LeaseGrantRequest { ttl, id }), caller.clone()).await {
                Ok(Reply::LeaseGrant(mut answer)) => {
                    node.complete(&mut answer.header);
                    return Ok(answer);
                }
                Ok(other) => return Err(mismatched(&other)),
                Err(Refusal::LeaseExists) if request.id == 0 => {}
                Err(refusal) => return Err(refused(refusal)),
            }
        }
        Err(refused(Refusal::LeaseExists))
    }
}

#[tonic::async_trait]
impl Lease for Service {
    async fn lease_grant(&self, request: Request<LeaseGrantRequest>) -> Result<Response<LeaseGrantResponse>, Status> {
        let caller = self.caller(&request).await?;
        self.grant(request.into_inner(), caller).await.map(Response::new)
    }

    async fn lease_revoke(
        &self,
        request: Request<LeaseRevokeRequest>,
    ) -> Result<Response<LeaseRevokeResponse>, Status> {
        let caller = self.caller(&request).await?;
        let (node, request) = (&self.0, request.into_inner());
        node.alarms.check_corrupt().map_err(refused)?;
        match node.propose_as(Op::LeaseRevoke(request), caller).await.map_err(refused)? {
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
        let credentials = Credentials::of(&request);
        let (node, mut requests) = (Arc::clone(&self.0), request.into_inner());
        let (answers, queue) = mpsc::channel(KEEP_ALIVE_QUEUE);
        tokio::spawn(async move {
            // Ends with the client's last request, its stream, or the first failure.
            while let Ok(Some(request)) = requests.message().await {
                let answer = match known(&node, &credentials).await {
                    Ok(()) => keep_alive(&node, LeaseId(request.id)).await.map_err(refused),
                    Err(status) => Err(status),
                };
                let failed = answer.is_err();
                if answers.send(answer).await.is_err() || failed {
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
        let node = &self.0;
        node.barrier().await.map_err(refused)?;
        let caller = self.caller(&request).await?;
        let request = request.into_inner();
        let id = LeaseId(request.id);
        let header = Some(node.header(node.revision()));
        let Some((granted, remaining)) = node.lease_time(id).await.map_err(refused)? else {
            let answer = LeaseTimeToLiveResponse { header, id: id.0, ttl: -1, ..LeaseTimeToLiveResponse::default() };
            return Ok(Response::new(answer));
        };
        let keys = if request.keys {
            let reader = Arc::clone(node);
            let read = move |view: &dyn View| {
                let keys = attached(view, id)?;
                let rights = Rights::load(view, &State::load(view)?, caller.as_ref())?;
                rights.member()?;
                if !rights.are_unlimited() {
                    keys.iter().try_for_each(|key| rights.read(key, &Bytes::new()))?;
                }
                Ok::<_, Failure>(keys)
            };
            blocking(move || reader.database.read(read)).await?.map_err(failed)?
        } else {
            self.judge(caller.as_ref(), Rights::member)?;
            Vec::new()
        };
        Ok(Response::new(LeaseTimeToLiveResponse { header, id: id.0, ttl: remaining, granted_ttl: granted, keys }))
    }

    async fn lease_leases(
        &self,
        request: Request<LeaseLeasesRequest>,
    ) -> Result<Response<LeaseLeasesResponse>, Status> {
        let node = &self.0;
        node.barrier().await.map_err(refused)?;
        self.demand(&request, Rights::member).await?;
        let reader = Arc::clone(node);
        let found = blocking(move || reader.database.read(records)).await?.map_err(|fault| broken(&fault))?;
        let leases = found.into_iter().map(|(id, _)| LeaseStatus { id: id.0 }).collect();
        Ok(Response::new(LeaseLeasesResponse { header: Some(node.header(node.revision())), leases }))
    }
}

/// Refuses who is nobody.
async fn known(node: &Arc<Node>, credentials: &Credentials) -> Result<(), Status> {
    if !node.access.enabled() {
        return Ok(());
    }
    let caller = node.access.caller(node, credentials).await.map_err(refused)?;
    Service(Arc::clone(node)).judge(caller.as_ref(), Rights::member)
}

/// Renews a lease. One that is gone is no error: its time is 0.
pub(super) async fn keep_alive(node: &Arc<Node>, id: LeaseId) -> Result<LeaseKeepAliveResponse, Refusal> {
    let header = Some(node.header(node.revision()));
    let ttl = node.renew(id).await?;
    Ok(LeaseKeepAliveResponse { header, id: id.0, ttl })
}
