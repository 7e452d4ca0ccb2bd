//! Locks: whoever is at the head of the queue of a name holds it.

use proto::etcdserverpb::DeleteRangeRequest;
use proto::store::command::Op;
use proto::v3lockpb::lock_server::Lock;
use proto::v3lockpb::{LockRequest, LockResponse, UnlockRequest, UnlockResponse};
use store_core::apply::Reply;
use store_core::{Refusal, check};
use tonic::codegen::Bytes;
use tonic::{Request, Response, Status};

use super::queue::Contender;
use super::{Service, mismatched, refused};

#[tonic::async_trait]
impl Lock for Service {
    async fn lock(&self, request: Request<LockRequest>) -> Result<Response<LockResponse>, Status> {
        let contender = Contender::of(self, &request);
        let request = request.into_inner();
        let mut entered = contender.enter(&request.name, request.lease, Bytes::new()).await?;
        entered.wait_for_turn(Refusal::SessionExpired).await?;
        let (header, place) = entered.keep();
        Ok(Response::new(LockResponse { header, key: place.key }))
    }

    async fn unlock(&self, request: Request<UnlockRequest>) -> Result<Response<UnlockResponse>, Status> {
        let caller = self.caller(&request).await?;
        let node = &self.0;
        let delete = DeleteRangeRequest { key: request.into_inner().key, ..DeleteRangeRequest::default() };
        check::delete_range(&delete).map_err(refused)?;
        match node.propose_as(Op::DeleteRange(delete), caller).await.map_err(refused)? {
            Reply::DeleteRange(mut answer) => {
                node.complete(&mut answer.header);
                Ok(Response::new(UnlockResponse { header: answer.header }))
            }
            other => Err(mismatched(&other)),
        }
    }
}
