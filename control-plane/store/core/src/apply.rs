//! What a command of the log does to the state.
//!
//! A pure function of command and state: the same log gives the same state, the same answers and the same refusals on
//! every member. Nothing here reads a clock or draws a random number, and deletions go in key order.

use bytes::Bytes;
use proto::etcdserverpb::alarm_request::AlarmAction;
use proto::etcdserverpb::request_op::Request;
use proto::etcdserverpb::{
    AlarmMember, AlarmRequest, AlarmResponse, CompactionRequest, CompactionResponse, DeleteRangeRequest,
    LeaseCheckpointRequest, LeaseGrantRequest, LeaseGrantResponse, LeaseRevokeResponse, PutRequest, ResponseHeader,
    TxnRequest,
};
use proto::mvccpb::KeyValue;
use proto::raw;
use proto::raw::response_op::Response;
use proto::store::command::Op;
use proto::store::{AuthChange, Command};

use crate::auth::tokens::TokenChange;
use crate::auth::{self, Caller, Rights};
use crate::encoding::{Place, kv_key, lease_key, lkey, split_lkey};
use crate::members;
use crate::range::{self, At};
use crate::record::{
    Current, Event, LeaseRecord, State, alarm_key, alarms, decode_pair, live_version, pair_of, tombstone,
};
use crate::txn::{self, Chosen};
use crate::{Failure, Fault, KeyRange, LeaseId, Overlay, Refusal, Revision, Space, View};

/// The longest lease, in seconds.
pub const MAX_LEASE_TTL: i64 = 9_000_000_000;

/// The answer to a command. Headers have only the revision.
#[derive(Debug, Clone, PartialEq)]
pub enum Reply {
    /// To a put.
    Put(raw::PutResponse),
    /// To a deletion.
    DeleteRange(raw::DeleteRangeResponse),
    /// To a transaction.
    Txn(raw::TxnResponse),
    /// To a compaction.
    Compact(CompactionResponse),
    /// To the grant of a lease.
    LeaseGrant(LeaseGrantResponse),
    /// To the end of a lease.
    LeaseRevoke(LeaseRevokeResponse),
    /// To a question about alarms, or a change of them.
    Alarm(AlarmResponse),
    /// To a change of users, roles or tokens.
    Auth(ResponseHeader),
    /// To a command nobody waits for.
    Done,
    /// The command was refused and changed nothing.
    Refused(Refusal),
}

/// What a command did to leases; the leader's clock follows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LeaseChange {
    /// A lease began.
    Granted {
        /// The lease.
        id: LeaseId,
        /// Its seconds.
        ttl: i64,
    },
    /// A lease ended.
    Ended(LeaseId),
}

/// The effects of a command besides the writes in the overlay.
#[derive(Debug, Clone, PartialEq)]
pub struct Applied {
    /// The answer.
    pub reply: Reply,
    /// What watchers are told, in order of place. One command may span several revisions (expired leases).
    pub events: Vec<Event>,
    /// What happened to leases.
    pub leases: Vec<LeaseChange>,
    /// Whether the set of alarms changed.
    pub alarms_changed: bool,
    /// What happened to tokens.
    pub tokens: Vec<TokenChange>,
}

impl Applied {
    fn of(reply: Reply) -> Self {
        Self { reply, events: Vec::new(), leases: Vec::new(), alarms_changed: false, tokens: Vec::new() }
    }
}

/// Applies one command. `state` moves along; its record is for the caller to write, once per batch.
///
/// # Errors
///
/// Only when the state cannot be read: the overlay must then be thrown away and the member must stop.
pub fn apply(overlay: &mut Overlay, state: &mut State, command: &Command) -> Result<Applied, Fault> {
    let Some(op) = &command.op else { return Ok(Applied::of(Reply::Done)) };
    let rights = Rights::load(overlay, state, Caller::of(command).as_ref())?;
    let outcome = match op {
        _ if !rights.are_unlimited()
            && let Err(failure) = rights.command(overlay, op) =>
        {
            Err(failure)
        }
        Op::Put(request) => put(overlay, state, request),
        Op::DeleteRange(request) => Ok(delete_range(overlay, state, request)?),
        Op::Txn(request) => transaction(overlay, state, request),
        Op::Compact(request) => compact(state, request),
        Op::LeaseGrant(request) => lease_grant(overlay, state, request),
        Op::LeaseRevoke(request) => lease_revoke(overlay, state, LeaseId(request.id)),
        Op::LeaseExpire(request) => Ok(lease_expire(overlay, state, &request.ids)?),
        Op::LeaseCheckpoint(request) => Ok(lease_checkpoint(overlay, request)?),
        Op::Alarm(request) => Ok(alarm(overlay, state, request)?),
        Op::Auth(change) => auth_change(overlay, state, change),
        Op::MemberPublish(request) => {
            members::publish(overlay, request)?;
            Ok(Applied::of(Reply::Done))
        }
        Op::MemberClaim(request) => match members::claim(overlay, request)? {
            Ok(()) => Ok(Applied::of(Reply::Done)),
            Err(refusal) => Err(refusal.into()),
        },
    };
    match outcome {
        Ok(applied) => Ok(applied),
        Err(Failure::Refused(refusal)) => Ok(Applied::of(Reply::Refused(refusal))),
        Err(Failure::Fault(fault)) => Err(fault),
    }
}

/// A header with only the revision; who answers adds the rest.
fn header(revision: Revision) -> ResponseHeader {
    ResponseHeader { revision: revision.0, ..ResponseHeader::default() }
}

/// The changes of one revision under way.
struct Writing {
    revision: Revision,
    events: Vec<Event>,
}

impl Writing {
    fn new(state: &State) -> Self {
        Self { revision: state.revision.next(), events: Vec::new() }
    }

    /// The revision answers carry: the new one only once something changed.
    fn seen(&self) -> Revision {
        if self.events.is_empty() { Revision(self.revision.0 - 1) } else { self.revision }
    }

    fn place(&self) -> Place {
        Place { revision: self.revision, sub: self.events.len() as u32 }
    }

    /// The revision counts only if something changed.
    fn finish(self, state: &mut State) -> Vec<Event> {
        state.revision = self.seen();
        self.events
    }
}

fn put(overlay: &mut Overlay, state: &mut State, request: &PutRequest) -> Result<Applied, Failure> {
    txn::check_put(overlay, request)?;
    let mut writing = Writing::new(state);
    let answer = write_put(overlay, &mut writing, request)?;
    let events = writing.finish(state);
    Ok(Applied { events, ..Applied::of(Reply::Put(answer)) })
}

/// Executes a put that passed [`txn::check_put`].
fn write_put(overlay: &mut Overlay, writing: &mut Writing, request: &PutRequest) -> Result<raw::PutResponse, Fault> {
    let current = Current::load(overlay, &request.key)?;
    let previous_pair = match &current {
        Some(current) if request.prev_kv || request.ignore_value => Some(range::live(overlay, &request.key, current)?),
        Some(_) | None => None,
    };
    let value = match &previous_pair {
        Some(pair) if request.ignore_value => decode_pair(pair.clone())?.value,
        Some(_) | None => request.value.clone(),
    };
    let old_lease = current.map_or(LeaseId::NONE, |current| current.lease);
    let lease = if request.ignore_lease { old_lease } else { LeaseId(request.lease) };

    let place = writing.place();
    let pair = KeyValue {
        key: request.key.clone(),
        create_revision: current.map_or(place.revision, |current| current.created).0,
        mod_revision: place.revision.0,
        version: current.map_or(0, |current| current.version) + 1,
        value,
        lease: lease.0,
    };
    let next = Current { place, created: Revision(pair.create_revision), version: pair.version, lease };
    let version = live_version(place.sub, &pair);
    let previous = current.map(|current| current.place);
    let event = Event::put(request.key.clone(), place, previous, &pair_of(&version));
    overlay.put(Space::Kv, kv_key(&request.key, place.revision), version);
    overlay.put(Space::Cur, request.key.clone(), next.encode());
    record(overlay, writing, event);
    if lease != old_lease {
        if old_lease != LeaseId::NONE {
            overlay.remove(Space::LeaseKey, lkey(old_lease, &request.key));
        }
        if lease != LeaseId::NONE {
            overlay.put(Space::LeaseKey, lkey(lease, &request.key), Bytes::new());
        }
    }
    let prev_kv = if request.prev_kv { previous_pair.unwrap_or_default() } else { Bytes::new() };
    Ok(raw::PutResponse { header: Some(header(place.revision)), prev_kv })
}

fn record(overlay: &mut Overlay, writing: &mut Writing, event: Event) {
    let (key, value) = event.record();
    overlay.put(Space::Rev, key, value);
    writing.events.push(event);
}

fn delete_range(overlay: &mut Overlay, state: &mut State, request: &DeleteRangeRequest) -> Result<Applied, Fault> {
    let mut writing = Writing::new(state);
    let answer = write_delete(overlay, &mut writing, request)?;
    let events = writing.finish(state);
    Ok(Applied { events, ..Applied::of(Reply::DeleteRange(answer)) })
}

fn write_delete(
    overlay: &mut Overlay,
    writing: &mut Writing,
    request: &DeleteRangeRequest,
) -> Result<raw::DeleteRangeResponse, Fault> {
    let keys = KeyRange::new(request.key.clone(), &request.range_end);
    let mut doomed = Vec::new();
    range::each_current(overlay, &keys, |key, value| {
        doomed.push((Bytes::copy_from_slice(key), Current::decode(Bytes::copy_from_slice(value))?));
        Ok(true)
    })?;
    let mut prev_kvs = Vec::new();
    let deleted = doomed.len() as i64;
    for (key, current) in doomed {
        if request.prev_kv {
            prev_kvs.push(range::live(overlay, &key, &current)?);
        }
        remove(overlay, writing, key, &current);
    }
    Ok(raw::DeleteRangeResponse { header: Some(header(writing.seen())), deleted, prev_kvs })
}

/// Deletes one live key.
fn remove(overlay: &mut Overlay, writing: &mut Writing, key: Bytes, current: &Current) {
    let place = writing.place();
    overlay.put(Space::Kv, kv_key(&key, place.revision), tombstone(place.sub));
    overlay.remove(Space::Cur, key.clone());
    if current.lease != LeaseId::NONE {
        overlay.remove(Space::LeaseKey, lkey(current.lease, &key));
    }
    record(overlay, writing, Event::delete(key, place, Some(current.place)));
}

fn transaction(overlay: &mut Overlay, state: &mut State, request: &TxnRequest) -> Result<Applied, Failure> {
    let chosen = txn::choose(overlay, At::newest(state), request)?;
    txn::check_chosen(overlay, state, &chosen)?;
    let mut writing = Writing::new(state);
    let mut answer = execute(overlay, state, &mut writing, &chosen)?;
    answer.header = Some(header(writing.seen()));
    let events = writing.finish(state);
    Ok(Applied { events, ..Applied::of(Reply::Txn(answer)) })
}

/// Executes a checked choice. The answer's header is empty, as a nested transaction's is.
fn execute(
    overlay: &mut Overlay,
    before: &State,
    writing: &mut Writing,
    chosen: &Chosen,
) -> Result<raw::TxnResponse, Fault> {
    let mut responses = Vec::with_capacity(chosen.ops.len());
    for (op, nested) in &chosen.ops {
        let response = match (&op.request, nested) {
            (Some(Request::RequestRange(request)), _) => {
                // A read sees what this transaction wrote before it, unless it asks for a revision of its own.
                let now = State { revision: writing.seen(), ..*before };
                let at = if request.revision > 0 {
                    At::requested(request.revision, &now).map_err(|_| Fault::Corrupt("a checked revision is gone"))?
                } else {
                    At::newest(&now)
                };
                let mut answer = range::range_at(overlay, at, request)?;
                answer.header = Some(header(now.revision));
                Some(Response::ResponseRange(answer))
            }
            (Some(Request::RequestPut(request)), _) => {
                Some(Response::ResponsePut(write_put(overlay, writing, request)?))
            }
            (Some(Request::RequestDeleteRange(request)), _) => {
                Some(Response::ResponseDeleteRange(write_delete(overlay, writing, request)?))
            }
            (Some(Request::RequestTxn(_)), Some(nested)) => {
                Some(Response::ResponseTxn(execute(overlay, before, writing, nested)?))
            }
            (Some(Request::RequestTxn(_)) | None, _) => None,
        };
        responses.push(raw::ResponseOp { response });
    }
    Ok(raw::TxnResponse { header: Some(ResponseHeader::default()), succeeded: chosen.succeeded, responses })
}

fn compact(state: &mut State, request: &CompactionRequest) -> Result<Applied, Failure> {
    let revision = Revision(request.revision);
    if revision <= state.compacted {
        return Err(Refusal::Compacted.into());
    }
    if revision > state.revision {
        return Err(Refusal::FutureRevision.into());
    }
    state.compacted = revision;
    Ok(Applied::of(Reply::Compact(CompactionResponse { header: Some(header(state.revision)) })))
}

fn lease_grant(overlay: &mut Overlay, state: &State, request: &LeaseGrantRequest) -> Result<Applied, Failure> {
    let id = LeaseId(request.id);
    if id == LeaseId::NONE {
        return Err(Refusal::LeaseNotFound.into());
    }
    if request.ttl > MAX_LEASE_TTL {
        return Err(Refusal::LeaseTtlTooLarge.into());
    }
    if LeaseRecord::load(overlay, id)?.is_some() {
        return Err(Refusal::LeaseExists.into());
    }
    let record = LeaseRecord { ttl: request.ttl, remaining: request.ttl };
    overlay.put(Space::Lease, lease_key(id).to_vec(), record.encode());
    let answer =
        LeaseGrantResponse { header: Some(header(state.revision)), id: id.0, ttl: request.ttl, error: String::new() };
    let leases = vec![LeaseChange::Granted { id, ttl: request.ttl }];
    Ok(Applied { leases, ..Applied::of(Reply::LeaseGrant(answer)) })
}

fn lease_revoke(overlay: &mut Overlay, state: &mut State, id: LeaseId) -> Result<Applied, Failure> {
    if LeaseRecord::load(overlay, id)?.is_none() {
        return Err(Refusal::LeaseNotFound.into());
    }
    let events = end_lease(overlay, state, id)?;
    let reply = Reply::LeaseRevoke(LeaseRevokeResponse { header: Some(header(state.revision)) });
    Ok(Applied { events, leases: vec![LeaseChange::Ended(id)], ..Applied::of(reply) })
}

fn lease_expire(overlay: &mut Overlay, state: &mut State, ids: &[i64]) -> Result<Applied, Fault> {
    let mut applied = Applied::of(Reply::Done);
    for id in ids.iter().map(|id| LeaseId(*id)) {
        if LeaseRecord::load(overlay, id)?.is_some() {
            applied.events.extend(end_lease(overlay, state, id)?);
            applied.leases.push(LeaseChange::Ended(id));
        }
    }
    Ok(applied)
}

/// Removes a lease and, in key order and one revision, every key attached to it.
fn end_lease(overlay: &mut Overlay, state: &mut State, id: LeaseId) -> Result<Vec<Event>, Fault> {
    let keys = attached(overlay, id)?;
    let mut writing = Writing::new(state);
    for key in keys {
        let current = Current::load(overlay, &key)?.ok_or(Fault::Corrupt("a lease holds a key that does not exist"))?;
        remove(overlay, &mut writing, key, &current);
    }
    overlay.remove(Space::Lease, lease_key(id).to_vec());
    Ok(writing.finish(state))
}

/// The keys attached to a lease, in order.
pub fn attached(view: &dyn View, id: LeaseId) -> Result<Vec<Bytes>, Fault> {
    let lower = lease_key(id);
    let upper = crate::interval::prefix_end(&lower);
    let mut cursor = view.cursor(Space::LeaseKey, &lower, upper.as_deref())?;
    let mut keys = Vec::new();
    while let Some((key, _)) = cursor.entry() {
        keys.push(Bytes::copy_from_slice(split_lkey(key)?));
        cursor.next()?;
    }
    Ok(keys)
}

fn lease_checkpoint(overlay: &mut Overlay, request: &LeaseCheckpointRequest) -> Result<Applied, Fault> {
    for checkpoint in &request.checkpoints {
        let id = LeaseId(checkpoint.id);
        if let Some(record) = LeaseRecord::load(overlay, id)? {
            // 0 = full again. A record never says more than was granted.
            let remaining = match checkpoint.remaining_ttl {
                left if left > 0 => left.min(record.ttl),
                _ => record.ttl,
            };
            overlay.put(Space::Lease, lease_key(id).to_vec(), LeaseRecord { remaining, ..record }.encode());
        }
    }
    Ok(Applied::of(Reply::Done))
}

fn alarm(overlay: &mut Overlay, state: &State, request: &AlarmRequest) -> Result<Applied, Fault> {
    let raised = alarms(overlay)?;
    let message = |(member_id, alarm): (u64, i32)| AlarmMember { member_id, alarm };
    let wanted = |(member, alarm): &(u64, i32)| {
        (request.member_id == 0 || request.member_id == *member) && (request.alarm == 0 || request.alarm == *alarm)
    };
    let mut changed = false;
    let shown = match request.action() {
        AlarmAction::Get => {
            raised.into_iter().filter(|(_, alarm)| request.alarm == 0 || request.alarm == *alarm).collect()
        }
        AlarmAction::Activate => {
            let one = (request.member_id, request.alarm);
            if request.alarm != 0 && !raised.contains(&one) {
                overlay.put(Space::Meta, alarm_key(one.0, one.1), Bytes::new());
                changed = true;
            }
            vec![one]
        }
        AlarmAction::Deactivate => {
            let gone: Vec<_> = raised.into_iter().filter(wanted).collect();
            for (member, alarm) in &gone {
                overlay.remove(Space::Meta, alarm_key(*member, *alarm));
            }
            changed = !gone.is_empty();
            gone
        }
    };
    let alarms = shown.into_iter().map(message).collect();
    let reply = Reply::Alarm(AlarmResponse { header: Some(header(state.revision)), alarms });
    Ok(Applied { alarms_changed: changed, ..Applied::of(reply) })
}

fn auth_change(overlay: &mut Overlay, state: &mut State, change: &AuthChange) -> Result<Applied, Failure> {
    let tokens = auth::change::apply(overlay, state, change)?;
    Ok(Applied { tokens, ..Applied::of(Reply::Auth(header(state.revision))) })
}

#[cfg(test)]
mod tests;
