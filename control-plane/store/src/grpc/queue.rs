//! What locks and elections have in common: a queue of keys under one prefix, in the order of their creation.
//!
//! Each contender has a key of its own, `<name>/<lease in hex>`, attached to the lease of its session. The key that was
//! created first is at the head. A contender waits for the one right in front of it to go, so that one deletion wakes one
//! contender.

use std::sync::Arc;
use std::time::Duration;

use prost::Message;
use proto::etcdserverpb::compare::{CompareResult, CompareTarget, TargetUnion};
use proto::etcdserverpb::range_request::{SortOrder, SortTarget};
use proto::etcdserverpb::request_op::Request as Part;
use proto::etcdserverpb::{
    Compare, DeleteRangeRequest, LeaseGrantRequest, LeaseRevokeRequest, PutRequest, RangeRequest, RequestOp,
    ResponseHeader, TxnRequest,
};
use proto::mvccpb::{KeyValue, event};
use proto::raw;
use proto::store::command::Op;
use store_core::apply::Reply;
use store_core::auth::Caller;
use store_core::interval::prefix_end;
use store_core::{KeyRange, LeaseId, Refusal, Revision};
use tonic::codegen::Bytes;
use tonic::{Request, Status};

use super::follow::Follow;
use super::{Service, kv, lease, mismatched, refused};
use crate::access::Credentials;
use crate::alarms::txn_cost;

/// Seconds of a lease the server makes for a contender that brings none.
const SESSION_TTL: i64 = 60;
/// How often the lease of a waiting contender is renewed. The shortest lease is two seconds long.
const RENEW_EVERY: Duration = Duration::from_millis(700);

/// A client of a recipe. Who it is is asked anew at each step: steps may lie days apart.
#[derive(Clone)]
pub(super) struct Contender {
    service: Service,
    credentials: Credentials,
}

/// A key at its place in a queue.
#[derive(Debug, Clone)]
pub(super) struct Place {
    /// All keys of the queue begin with it.
    pub prefix: Bytes,
    /// The contender's key.
    pub key: Bytes,
    /// When the key was created, which is its place.
    pub created: Revision,
    /// The lease of the session.
    pub lease: LeaseId,
}

/// What a contender has entered a queue with. Dropped without having been [kept](Entered::keep), it leaves the queue: the
/// client has gone away, or something failed.
pub(super) struct Entered {
    contender: Contender,
    /// Where it stands.
    pub place: Place,
    /// The value of its key.
    pub value: Bytes,
    /// The answer's header.
    pub header: Option<ResponseHeader>,
    made_key: bool,
    made_lease: bool,
    kept: bool,
    renewing: tokio::task::JoinHandle<()>,
}

impl Contender {
    pub(super) fn of<T>(service: &Service, request: &Request<T>) -> Self {
        Self { service: service.clone(), credentials: Credentials::of(request) }
    }

    async fn caller(&self) -> Result<Option<Caller>, Status> {
        let node = &self.service.0;
        node.access.caller(node, &self.credentials).await.map_err(refused)
    }

    /// Runs a transaction.
    pub(super) async fn txn(&self, request: TxnRequest) -> Result<raw::TxnResponse, Status> {
        let node = &self.service.0;
        let caller = self.caller().await?;
        node.check_space(txn_cost(&request)).await.map_err(refused)?;
        match node.propose_as(Op::Txn(request), caller).await.map_err(refused)? {
            Reply::Txn(mut answer) => {
                node.complete(&mut answer.header);
                Ok(answer)
            }
            other => Err(mismatched(&other)),
        }
    }

    /// Reads the newest state.
    pub(super) async fn range(&self, request: RangeRequest) -> Result<(ResponseHeader, Vec<KeyValue>), Status> {
        let node = &self.service.0;
        node.barrier().await.map_err(refused)?;
        let mut answer = kv::read(node, request, self.caller().await?).await?;
        node.complete(&mut answer.header);
        Ok((answer.header.unwrap_or_default(), pairs(answer.kvs)?))
    }

    /// The key of a queue that was created last or first.
    pub(super) async fn end_of(
        &self,
        prefix: &Bytes,
        order: SortOrder,
        not_after: Option<Revision>,
    ) -> Result<(ResponseHeader, Option<KeyValue>), Status> {
        let request = RangeRequest {
            key: prefix.clone(),
            range_end: behind(prefix),
            limit: 1,
            sort_order: order.into(),
            sort_target: SortTarget::Create.into(),
            max_create_revision: not_after.map_or(0, |revision| revision.0),
            ..RangeRequest::default()
        };
        let (header, pairs) = self.range(request).await?;
        Ok((header, pairs.into_iter().next()))
    }

    /// Follows keys from right behind an answer on.
    pub(super) async fn follow(&self, keys: KeyRange, behind: Revision) -> Result<Follow, Status> {
        Follow::start(&self.service.0, keys, behind.next()).await.map_err(refused)
    }

    /// Enters the queue of a name with the client's lease, or with one made for it.
    pub(super) async fn enter(&self, name: &Bytes, lease: i64, value: Bytes) -> Result<Entered, Status> {
        let made_lease = lease == 0;
        let lease = if made_lease {
            let request = LeaseGrantRequest { ttl: SESSION_TTL, id: 0 };
            self.service.grant(request, self.caller().await?).await?.id
        } else {
            lease
        };
        let prefix = prefix(name);
        let key = Bytes::from([&prefix[..], format!("{lease:x}").as_bytes()].concat());
        let place = Place { prefix, key: key.clone(), created: Revision::NEVER, lease: LeaseId(lease) };
        let mut entered = Entered {
            contender: self.clone(),
            place,
            value: value.clone(),
            header: None,
            made_key: false,
            made_lease,
            kept: false,
            renewing: self.renew(LeaseId(lease)),
        };
        let put = PutRequest { key: key.clone(), value, lease, ..PutRequest::default() };
        let read = RangeRequest { key: key.clone(), ..RangeRequest::default() };
        let request = TxnRequest {
            compare: vec![created_at(key, 0)],
            success: vec![op(Part::RequestPut(put))],
            failure: vec![op(Part::RequestRange(read))],
        };
        let answer = self.txn(request).await?;
        entered.made_key = answer.succeeded;
        entered.place.created = Revision(answer.header.unwrap_or_default().revision);
        for op in answer.responses {
            if let Some(raw::response_op::Response::ResponseRange(found)) = op.response
                && let Some(own) = pairs(found.kvs)?.pop()
            {
                entered.place.created = Revision(own.create_revision);
                entered.value = own.value;
            }
        }
        entered.header = answer.header;
        Ok(entered)
    }

    /// Keeps a lease alive until the task is ended. One that is gone is noticed when its key is.
    fn renew(&self, lease: LeaseId) -> tokio::task::JoinHandle<()> {
        let node = Arc::clone(&self.service.0);
        tokio::spawn(async move {
            let mut tick = tokio::time::interval(RENEW_EVERY);
            tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
            loop {
                tick.tick().await;
                match lease::keep_alive(&node, lease).await {
                    Ok(answer) if answer.ttl == 0 => return,
                    Ok(_) => {}
                    Err(error) => tracing::debug!(%error, "the lease of a session could not be renewed"),
                }
            }
        })
    }
}

impl Entered {
    /// Waits until no key of the queue is older. `gone` is the answer when the own key has ended meanwhile.
    pub(super) async fn wait_for_turn(&mut self, gone: Refusal) -> Result<(), Status> {
        // Nothing is created at the first revision, so this is never 0, which would be no limit.
        let before = Revision(self.place.created.0 - 1);
        loop {
            let ahead = self.contender.end_of(&self.place.prefix, SortOrder::Descend, Some(before)).await?;
            let (header, Some(ahead)) = ahead else { break };
            let keys = KeyRange::single(ahead.key);
            let mut follow = self.contender.follow(keys, Revision(header.revision)).await?;
            while let Some((_, event)) = follow.next().await.map_err(refused)? {
                if event.r#type() == event::EventType::Delete {
                    break;
                }
            }
        }
        let own = RangeRequest { key: self.place.key.clone(), ..RangeRequest::default() };
        let (header, own) = self.contender.range(own).await?;
        if own.first().is_none_or(|own| own.create_revision != self.place.created.0) {
            return Err(refused(gone));
        }
        self.header = Some(header);
        Ok(())
    }

    /// The client has its turn: from here on the key is the client's affair, and so is the lease.
    pub(super) fn keep(mut self) -> (Option<ResponseHeader>, Place) {
        self.kept = true;
        (self.header, self.place.clone())
    }
}

impl Drop for Entered {
    fn drop(&mut self) {
        self.renewing.abort();
        if self.kept || !(self.made_key || self.made_lease) {
            return;
        }
        let (contender, place, made_lease) = (self.contender.clone(), self.place.clone(), self.made_lease);
        tokio::spawn(async move {
            let left = if made_lease {
                contender.end_lease(place.lease).await
            } else {
                contender.leave(&place).await.map(drop)
            };
            if let Err(status) = left {
                // The lease ends it in the end.
                tracing::debug!(%status, "a contender who gave up could not be taken out of its queue");
            }
        });
    }
}

impl Contender {
    async fn end_lease(&self, lease: LeaseId) -> Result<(), Status> {
        let op = Op::LeaseRevoke(LeaseRevokeRequest { id: lease.0 });
        self.service.0.propose_as(op, self.caller().await?).await.map(drop).map_err(refused)
    }

    /// Takes a key out of its queue if it is still the same.
    pub(super) async fn leave(&self, place: &Place) -> Result<raw::TxnResponse, Status> {
        let delete = DeleteRangeRequest { key: place.key.clone(), ..DeleteRangeRequest::default() };
        let compare = vec![created_at(place.key.clone(), place.created.0)];
        let success = vec![op(Part::RequestDeleteRange(delete))];
        self.txn(TxnRequest { compare, success, failure: Vec::new() }).await
    }
}

/// What all keys of a queue begin with.
pub(super) fn prefix(name: &Bytes) -> Bytes {
    [&name[..], b"/"].concat().into()
}

/// The range of all keys of a queue.
pub(super) fn queue(prefix: &Bytes) -> KeyRange {
    KeyRange::new(prefix.clone(), &behind(prefix))
}

fn behind(prefix: &Bytes) -> Bytes {
    prefix_end(prefix).map_or_else(|| Bytes::from_static(&[0]), Bytes::from)
}

/// Holds when a key was created at a revision; 0 = when it does not exist.
pub(super) fn created_at(key: Bytes, revision: i64) -> Compare {
    Compare {
        result: CompareResult::Equal.into(),
        target: CompareTarget::Create.into(),
        key,
        range_end: Bytes::new(),
        target_union: Some(TargetUnion::CreateRevision(revision)),
    }
}

pub(super) fn op(part: Part) -> RequestOp {
    RequestOp { request: Some(part) }
}

fn pairs(encoded: Vec<Bytes>) -> Result<Vec<KeyValue>, Status> {
    encoded.into_iter().map(KeyValue::decode).collect::<Result<_, _>>().map_err(|error| {
        tracing::error!(%error, "a stored pair cannot be decoded");
        Status::internal("etcdserver: the state cannot be read")
    })
}
