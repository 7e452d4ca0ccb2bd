//! Elections: whoever is at the head of the queue of a name leads, and the value of his key is what he has to say.

use proto::etcdserverpb::range_request::SortOrder;
use proto::etcdserverpb::request_op::Request as Part;
use proto::etcdserverpb::{PutRequest, ResponseHeader, TxnRequest};
use proto::mvccpb::event::EventType;
use proto::v3electionpb::election_server::Election;
use proto::v3electionpb::{
    CampaignRequest, CampaignResponse, LeaderKey, LeaderRequest, LeaderResponse, ProclaimRequest, ProclaimResponse,
    ResignRequest, ResignResponse,
};
use store_core::{KeyRange, LeaseId, Refusal, Revision};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::codegen::Bytes;
use tonic::{Request, Response, Status};

use super::queue::{Contender, Place, created_at, op, prefix, queue};
use super::{Service, refused};

/// Leaders that may wait for an observer. One who reads slowly is told later; none is left out.
const OBSERVED: usize = 16;

impl Contender {
    /// Says something new, if the leadership still stands.
    async fn proclaim(&self, place: &Place, value: Bytes) -> Result<Option<ResponseHeader>, Status> {
        let (key, lease) = (place.key.clone(), place.lease.0);
        let put = PutRequest { key: key.clone(), value, lease, ..PutRequest::default() };
        let compare = vec![created_at(key, place.created.0)];
        let request = TxnRequest { compare, success: vec![op(Part::RequestPut(put))], failure: Vec::new() };
        let answer = self.txn(request).await?;
        if answer.succeeded { Ok(answer.header) } else { Err(refused(Refusal::ElectionNotLeader)) }
    }

    /// Tells every leader of a name, and everything they say, until the observer goes.
    async fn observe(&self, name: &Bytes, told: &mpsc::Sender<Result<LeaderResponse, Status>>) -> Result<(), Status> {
        let prefix = prefix(name);
        'leaders: loop {
            let (mut header, leader) = self.end_of(&prefix, SortOrder::Ascend, None).await?;
            let leader = if let Some(leader) = leader {
                leader
            } else {
                let mut follow = self.follow(queue(&prefix), Revision(header.revision)).await?;
                loop {
                    let next = tokio::select! {
                        next = follow.next() => next.map_err(refused)?,
                        () = told.closed() => return Ok(()),
                    };
                    let Some((_, event)) = next else { continue 'leaders };
                    if event.r#type() == EventType::Put
                        && let Some(kv) = event.kv
                    {
                        header.revision = kv.mod_revision;
                        break kv;
                    }
                }
            };
            let mut follow = self.follow(KeyRange::single(leader.key.clone()), Revision(header.revision)).await?;
            if told.send(Ok(LeaderResponse { header: Some(header), kv: Some(leader) })).await.is_err() {
                return Ok(());
            }
            loop {
                let next = tokio::select! {
                    next = follow.next() => next.map_err(refused)?,
                    () = told.closed() => return Ok(()),
                };
                let Some((revision, event)) = next else { continue 'leaders };
                if event.r#type() == EventType::Delete {
                    continue 'leaders;
                }
                let header = Some(ResponseHeader { revision: revision.0, ..header });
                if told.send(Ok(LeaderResponse { header, kv: event.kv })).await.is_err() {
                    return Ok(());
                }
            }
        }
    }
}

/// The place a leader claims to have.
fn place(leader: Option<LeaderKey>) -> Result<Place, Status> {
    let leader = leader.ok_or_else(|| refused(Refusal::MissingLeaderKey))?;
    if leader.key.is_empty() {
        return Err(refused(Refusal::EmptyKey));
    }
    let (created, lease) = (Revision(leader.rev), LeaseId(leader.lease));
    Ok(Place { prefix: prefix(&leader.name), key: leader.key, created, lease })
}

#[tonic::async_trait]
impl Election for Service {
    async fn campaign(&self, request: Request<CampaignRequest>) -> Result<Response<CampaignResponse>, Status> {
        let contender = Contender::of(self, &request);
        let CampaignRequest { name, lease, value } = request.into_inner();
        let mut entered = contender.enter(&name, lease, value.clone()).await?;
        if entered.value != value {
            contender.proclaim(&entered.place, value).await?;
        }
        entered.wait_for_turn(Refusal::LeaseNotFound).await?;
        let (header, place) = entered.keep();
        let leader = LeaderKey { name, key: place.key, rev: place.created.0, lease: place.lease.0 };
        Ok(Response::new(CampaignResponse { header, leader: Some(leader) }))
    }

    async fn proclaim(&self, request: Request<ProclaimRequest>) -> Result<Response<ProclaimResponse>, Status> {
        let contender = Contender::of(self, &request);
        let request = request.into_inner();
        let header = contender.proclaim(&place(request.leader)?, request.value).await?;
        Ok(Response::new(ProclaimResponse { header }))
    }

    async fn leader(&self, request: Request<LeaderRequest>) -> Result<Response<LeaderResponse>, Status> {
        let contender = Contender::of(self, &request);
        let prefix = prefix(&request.into_inner().name);
        let (header, leader) = contender.end_of(&prefix, SortOrder::Ascend, None).await?;
        let leader = leader.ok_or_else(|| refused(Refusal::ElectionNoLeader))?;
        Ok(Response::new(LeaderResponse { header: Some(header), kv: Some(leader) }))
    }

    type ObserveStream = ReceiverStream<Result<LeaderResponse, Status>>;

    async fn observe(&self, request: Request<LeaderRequest>) -> Result<Response<Self::ObserveStream>, Status> {
        let contender = Contender::of(self, &request);
        let name = request.into_inner().name;
        let (told, queue) = mpsc::channel(OBSERVED);
        tokio::spawn(async move {
            if let Err(status) = contender.observe(&name, &told).await {
                // An observer who is gone does not mind.
                drop(told.send(Err(status)).await);
            }
        });
        Ok(Response::new(ReceiverStream::new(queue)))
    }

    async fn resign(&self, request: Request<ResignRequest>) -> Result<Response<ResignResponse>, Status> {
        let contender = Contender::of(self, &request);
        let answer = contender.leave(&place(request.into_inner().leader)?).await?;
        Ok(Response::new(ResignResponse { header: answer.header }))
    }
}
