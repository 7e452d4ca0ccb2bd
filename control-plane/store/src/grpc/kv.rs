//! Keys and values.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use proto::etcdserverpb::{
    CompactionRequest, CompactionResponse, DeleteRangeRequest, PutRequest, RangeRequest, TxnRequest,
};
use proto::raw::kv_server::Kv;
use proto::raw::response_op::Response as OpAnswer;
use proto::raw::{DeleteRangeResponse, PutResponse, RangeResponse, RangeStreamResponse, TxnResponse};
use proto::store::command::Op;
use store_core::apply::Reply;
use store_core::auth::{Caller, Rights};
use store_core::range;
use store_core::record::State;
use store_core::{Failure, Refusal, Revision, View, check, txn};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status};

use super::range::{Answer, PIECES, Reader, pack, send};
use super::{Service, blocking, failed, mismatched, refused};
use crate::alarms::{put_cost, txn_cost};
use crate::node::Node;

/// Reads a range on the spot when it is a single key, else away from the tasks that serve connections; the answer is made whole.
pub(super) async fn read(
    node: &Arc<Node>,
    request: RangeRequest,
    caller: Option<Caller>,
) -> Result<RangeResponse, Status> {
    let answer = move |node: &Node, request: &RangeRequest| {
        node.database.read(|view| {
            let state = State::load(view)?;
            Rights::load(view, &state, caller.as_ref())?.read(&request.key, &request.range_end)?;
            range::range(view, &state, request)
        })
    };
    let result = if request.range_end.is_empty() {
        answer(node, &request)
    } else {
        let node = Arc::clone(node);
        blocking(move || answer(&node, &request)).await?
    };
    result.map_err(failed)
}

/// Waits until this member may answer a read.
async fn may_read(node: &Node, linearizable: bool) -> Result<(), Refusal> {
    node.alarms.check_corrupt()?;
    if linearizable {
        node.barrier().await?;
        // What was waited for may be that the state here is corrupt.
        node.alarms.check_corrupt()?;
    }
    Ok(())
}

#[tonic::async_trait]
impl Kv for Service {
    async fn range(&self, request: Request<RangeRequest>) -> Result<Response<RangeResponse>, Status> {
        let node = &self.0;
        check::range(request.get_ref()).map_err(refused)?;
        let linearizable = !request.get_ref().serializable;
        if linearizable && node.is_learner() {
            return Err(refused(Refusal::NotForLearner));
        }
        may_read(node, linearizable).await.map_err(refused)?;
        let caller = self.caller(&request).await?;
        let request = request.into_inner();
        let answer = if request.range_end.is_empty() {
            let mut answer = read(node, request, caller).await?;
            node.complete(&mut answer.header);
            Answer::Whole(answer)
        } else {
            super::range::answer(node, request, caller).await?
        };
        node.metrics.ranges.fetch_add(1, Ordering::Relaxed);
        Ok(match answer {
            Answer::Whole(answer) => Response::new(answer),
            Answer::InPieces(pieces) => pack(pieces),
        })
    }

    type RangeStreamStream = ReceiverStream<Result<RangeStreamResponse, Status>>;

    async fn range_stream(&self, request: Request<RangeRequest>) -> Result<Response<Self::RangeStreamStream>, Status> {
        let node = Arc::clone(&self.0);
        check::range_stream(request.get_ref()).map_err(refused)?;
        may_read(&node, !request.get_ref().serializable).await.map_err(refused)?;
        let caller = self.caller(&request).await?;
        let request = request.into_inner();
        node.metrics.ranges.fetch_add(1, Ordering::Relaxed);
        let (parts, queue) = mpsc::channel(PIECES);
        tokio::task::spawn_blocking(move || {
            if let Err(status) = stream(&node, &request, caller.as_ref(), &parts) {
                // A client that is gone does not mind.
                drop(parts.blocking_send(Err(status)));
            }
        });
        Ok(Response::new(ReceiverStream::new(queue)))
    }

    async fn put(&self, request: Request<PutRequest>) -> Result<Response<PutResponse>, Status> {
        let caller = self.caller(&request).await?;
        let (node, request) = (&self.0, request.into_inner());
        check::put(&request).map_err(refused)?;
        node.check_space(put_cost(request.key.len(), request.value.len())).await.map_err(refused)?;
        match node.propose_as(Op::Put(request), caller).await.map_err(refused)? {
            Reply::Put(mut answer) => {
                node.metrics.puts.fetch_add(1, Ordering::Relaxed);
                node.complete(&mut answer.header);
                Ok(Response::new(answer))
            }
            other => Err(mismatched(&other)),
        }
    }

    async fn delete_range(
        &self,
        request: Request<DeleteRangeRequest>,
    ) -> Result<Response<DeleteRangeResponse>, Status> {
        let caller = self.caller(&request).await?;
        let (node, request) = (&self.0, request.into_inner());
        check::delete_range(&request).map_err(refused)?;
        node.alarms.check_corrupt().map_err(refused)?;
        match node.propose_as(Op::DeleteRange(request), caller).await.map_err(refused)? {
            Reply::DeleteRange(mut answer) => {
                node.metrics.deletes.fetch_add(1, Ordering::Relaxed);
                node.complete(&mut answer.header);
                Ok(Response::new(answer))
            }
            other => Err(mismatched(&other)),
        }
    }

    async fn txn(&self, request: Request<TxnRequest>) -> Result<Response<TxnResponse>, Status> {
        let node = &self.0;
        check::txn(request.get_ref(), node.config.max_txn_ops).map_err(refused)?;
        let mut answer = if txn::is_read_only(request.get_ref()) {
            may_read(node, !txn::is_serializable(request.get_ref())).await.map_err(refused)?;
            let caller = self.caller(&request).await?;
            let (reader, request) = (Arc::clone(node), request.into_inner());
            let answer = move |view: &dyn View| {
                let state = State::load(view)?;
                Rights::load(view, &state, caller.as_ref())?.txn(view, &request)?;
                txn::read(view, &state, &request)
            };
            let read = move || reader.database.read(answer);
            blocking(read).await?.map_err(failed)?
        } else {
            let caller = self.caller(&request).await?;
            let request = request.into_inner();
            node.check_space(txn_cost(&request)).await.map_err(refused)?;
            match node.propose_as(Op::Txn(request), caller).await.map_err(refused)? {
                Reply::Txn(answer) => {
                    let puts = answer.responses.iter();
                    let puts = puts.filter(|op| matches!(op.response, Some(OpAnswer::ResponsePut(_)))).count();
                    node.metrics.puts.fetch_add(puts as u64, Ordering::Relaxed);
                    let deletes = answer.responses.iter();
                    let deletes =
                        deletes.filter(|op| matches!(op.response, Some(OpAnswer::ResponseDeleteRange(_)))).count();
                    node.metrics.deletes.fetch_add(deletes as u64, Ordering::Relaxed);
                    answer
                }
                other => return Err(mismatched(&other)),
            }
        };
        node.metrics.txns.fetch_add(1, Ordering::Relaxed);
        node.complete(&mut answer.header);
        Ok(Response::new(answer))
    }

    async fn compact(&self, request: Request<CompactionRequest>) -> Result<Response<CompactionResponse>, Status> {
        let caller = self.caller(&request).await?;
        let (node, request) = (&self.0, request.into_inner());
        node.alarms.check_corrupt().map_err(refused)?;
        match node.propose_as(Op::Compact(request), caller).await.map_err(refused)? {
            Reply::Compact(mut answer) => {
                if request.physical {
                    remove_for_good(node, Revision(request.revision)).await?;
                }
                node.complete(&mut answer.header);
                Ok(Response::new(answer))
            }
            other => Err(mismatched(&other)),
        }
    }
}

/// Waits until what was compacted is removed, and the removal is on disk.
async fn remove_for_good(node: &Arc<Node>, revision: Revision) -> Result<(), Status> {
    let lost = |error: std::io::Error| {
        tracing::error!(%error, "a compaction could not be finished");
        refused(Refusal::Stopped)
    };
    node.compactor.removed(revision).await.map_err(lost)?;
    let database = Arc::clone(&node.database);
    blocking(move || database.flush()).await?.map_err(lost)
}

/// Sends a range in parts, all of one moment. Only the last has header, more and count.
fn stream(
    node: &Node,
    request: &RangeRequest,
    caller: Option<&Caller>,
    parts: &mpsc::Sender<Result<RangeStreamResponse, Status>>,
) -> Result<(), Status> {
    // A client that is gone does not mind.
    let send = |answer| send(parts, Ok(RangeStreamResponse { range_response: Some(answer) }));
    let read = |view: &dyn View| {
        let state = State::load(view)?;
        Rights::load(view, &state, caller)?.read(&request.key, &request.range_end)?;
        let header = Some(node.header(state.revision));
        if request.count_only {
            let _ = send(RangeResponse { header, ..range::range(view, &state, request)? });
            return Ok(());
        }
        let mut reader = Reader::new(view, &state, request)?;
        let mut sent = 0;
        while let Some(kvs) = reader.page()? {
            sent += kvs.len() as i64;
            let part = if reader.goes_on() {
                RangeResponse { kvs, ..RangeResponse::default() }
            } else {
                let behind = reader.behind()?;
                RangeResponse { header, kvs, more: behind > 0, count: sent + behind }
            };
            if send(part).is_err() {
                break;
            }
        }
        Ok::<_, Failure>(())
    };
    node.database.read(read).map_err(failed)
}
