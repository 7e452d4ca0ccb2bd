//! Transactions: which branch is taken, whether it can be executed, and its answer when it only reads.
//!
//! Every comparison, those of nested transactions included, looks at the state before the transaction. Then the operations
//! of the branches taken are checked, and only then is anything executed: from there on nothing can be refused.

use bytes::Bytes;
use proto::etcdserverpb::compare::{CompareResult, CompareTarget, TargetUnion};
use proto::etcdserverpb::request_op::Request;
use proto::etcdserverpb::{Compare, PutRequest, RequestOp, ResponseHeader, TxnRequest};
use proto::mvccpb::KeyValue;
use proto::raw;
use proto::raw::response_op::Response;

use crate::range::{self, At};
use crate::record::{Current, LeaseRecord, State, decode_pair};
use crate::{Failure, Fault, KeyRange, LeaseId, Refusal, View};

/// A transaction whose comparisons are evaluated.
#[derive(Debug)]
pub struct Chosen<'a> {
    /// Whether all comparisons held.
    pub succeeded: bool,
    /// The operations of the branch taken, each with the nested transaction's choice where it is one.
    pub ops: Vec<(&'a RequestOp, Option<Self>)>,
}

/// Whether a transaction only reads. Nested transactions are not looked into: they count as writing.
#[must_use]
pub fn is_read_only(request: &TxnRequest) -> bool {
    request.success.iter().chain(&request.failure).all(|op| matches!(op.request, Some(Request::RequestRange(_))))
}

/// Whether every range of a reading transaction may be answered without asking the leader.
#[must_use]
pub fn is_serializable(request: &TxnRequest) -> bool {
    request
        .success
        .iter()
        .chain(&request.failure)
        .all(|op| matches!(&op.request, Some(Request::RequestRange(range)) if range.serializable))
}

/// Evaluates the comparisons of a transaction and of those nested in the branches taken.
pub fn choose<'a>(view: &dyn View, at: At, request: &'a TxnRequest) -> Result<Chosen<'a>, Fault> {
    let mut succeeded = true;
    for compare in &request.compare {
        if !holds(view, at, compare)? {
            succeeded = false;
            break;
        }
    }
    let branch = if succeeded { &request.success } else { &request.failure };
    let mut ops = Vec::with_capacity(branch.len());
    for op in branch {
        let nested = match &op.request {
            Some(Request::RequestTxn(request)) => Some(choose(view, at, request)?),
            Some(Request::RequestRange(_) | Request::RequestPut(_) | Request::RequestDeleteRange(_)) | None => None,
        };
        ops.push((op, nested));
    }
    Ok(Chosen { succeeded, ops })
}

/// Checks what was chosen against the state before the transaction.
pub fn check_chosen(view: &dyn View, state: &State, chosen: &Chosen) -> Result<(), Failure> {
    for (op, nested) in &chosen.ops {
        match (&op.request, nested) {
            (Some(Request::RequestRange(request)), _) => {
                At::requested(request.revision, state)?;
            }
            (Some(Request::RequestPut(request)), _) => check_put(view, request)?,
            (Some(Request::RequestTxn(_)), Some(nested)) => check_chosen(view, state, nested)?,
            (Some(Request::RequestDeleteRange(_) | Request::RequestTxn(_)) | None, _) => {}
        }
    }
    Ok(())
}

/// Checks a put against the state: what it keeps must be there, and so must its lease.
pub fn check_put(view: &dyn View, request: &PutRequest) -> Result<(), Failure> {
    if (request.ignore_value || request.ignore_lease) && Current::load(view, &request.key)?.is_none() {
        return Err(Refusal::KeyNotFound.into());
    }
    let lease = LeaseId(request.lease);
    if lease != LeaseId::NONE && LeaseRecord::load(view, lease)?.is_none() {
        return Err(Refusal::LeaseNotFound.into());
    }
    Ok(())
}

/// Answers a transaction that [only reads](is_read_only).
pub fn read(view: &dyn View, state: &State, request: &TxnRequest) -> Result<raw::TxnResponse, Failure> {
    let newest = At::newest(state);
    let chosen = choose(view, newest, request)?;
    check_chosen(view, state, &chosen)?;
    let mut responses = Vec::with_capacity(chosen.ops.len());
    for (op, _) in &chosen.ops {
        if let Some(Request::RequestRange(request)) = &op.request {
            let answer = range::range(view, state, request)?;
            responses.push(raw::ResponseOp { response: Some(Response::ResponseRange(answer)) });
        }
    }
    let header = Some(ResponseHeader { revision: state.revision.0, ..ResponseHeader::default() });
    Ok(raw::TxnResponse { header, succeeded: chosen.succeeded, responses })
}

/// A comparison holds when it does for every key of its range; a missing key counts as zero, and has no value at all.
fn holds(view: &dyn View, at: At, compare: &Compare) -> Result<bool, Fault> {
    let keys = KeyRange::new(compare.key.clone(), &compare.range_end);
    let with_value = compare.target() == CompareTarget::Value;
    let mut any = false;
    let mut all = true;
    let mut judge = |pair: &KeyValue| {
        any = true;
        all = compares(compare, pair);
        all
    };
    if with_value {
        range::each_pair(view, &keys, at, |pair| Ok(judge(&decode_pair(pair.share())?)))?;
    } else {
        range::each_current(view, &keys, |key, record| {
            let key = Bytes::copy_from_slice(key);
            Ok(judge(&Current::decode(Bytes::copy_from_slice(record))?.pair_without_value(key)))
        })?;
    }
    Ok(if any { all } else { !with_value && compares(compare, &KeyValue::default()) })
}

fn compares(compare: &Compare, pair: &KeyValue) -> bool {
    let number = |found: i64, wanted: Option<i64>| found.cmp(&wanted.unwrap_or_default());
    let union = compare.target_union.as_ref();
    let order = match compare.target() {
        CompareTarget::Value => {
            let wanted: &[u8] = match union {
                Some(TargetUnion::Value(value)) => value,
                _ => &[],
            };
            pair.value.as_ref().cmp(wanted)
        }
        CompareTarget::Version => number(
            pair.version,
            union.and_then(|union| match union {
                TargetUnion::Version(wanted) => Some(*wanted),
                _ => None,
            }),
        ),
        CompareTarget::Create => number(
            pair.create_revision,
            union.and_then(|union| match union {
                TargetUnion::CreateRevision(wanted) => Some(*wanted),
                _ => None,
            }),
        ),
        CompareTarget::Mod => number(
            pair.mod_revision,
            union.and_then(|union| match union {
                TargetUnion::ModRevision(wanted) => Some(*wanted),
                _ => None,
            }),
        ),
        CompareTarget::Lease => number(
            pair.lease,
            union.and_then(|union| match union {
                TargetUnion::Lease(wanted) => Some(*wanted),
                _ => None,
            }),
        ),
    };
    match compare.result() {
        CompareResult::Equal => order.is_eq(),
        CompareResult::NotEqual => order.is_ne(),
        CompareResult::Greater => order.is_gt(),
        CompareResult::Less => order.is_lt(),
    }
}
