//! What is refused before anything is read: etcd's checks of a request's shape, in etcd's order.

use std::collections::{BTreeSet, HashSet};

use bytes::Bytes;
use proto::etcdserverpb::range_request::{SortOrder, SortTarget};
use proto::etcdserverpb::request_op::Request;
use proto::etcdserverpb::{DeleteRangeRequest, PutRequest, RangeRequest, RequestOp, TxnRequest};

use crate::{KeyRange, Refusal};

/// Transactions nested deeper than this are refused as having too many operations. Each level costs at least one operation
/// of the budget, so a limit of operations below it is reached first; above it, it keeps the stack bounded.
const MAX_DEPTH: usize = 128;

/// Checks a range.
pub fn range(request: &RangeRequest) -> Result<(), Refusal> {
    if request.key.is_empty() {
        return Err(Refusal::EmptyKey);
    }
    if SortOrder::try_from(request.sort_order).is_err() || SortTarget::try_from(request.sort_target).is_err() {
        return Err(Refusal::InvalidSortOption);
    }
    Ok(())
}

/// Checks a range that is to be streamed: only the plain order can be.
pub fn range_stream(request: &RangeRequest) -> Result<(), Refusal> {
    range(request)?;
    let sorted = request.sort_order() == SortOrder::Descend || request.sort_target() != SortTarget::Key;
    if sorted || filtered(request) {
        return Err(Refusal::StreamNotPlain);
    }
    Ok(())
}

/// Whether a range filters by revision.
#[must_use]
pub fn filtered(request: &RangeRequest) -> bool {
    request.min_mod_revision != 0
        || request.max_mod_revision != 0
        || request.min_create_revision != 0
        || request.max_create_revision != 0
}

/// Checks a put.
pub fn put(request: &PutRequest) -> Result<(), Refusal> {
    if request.key.is_empty() {
        return Err(Refusal::EmptyKey);
    }
    if request.ignore_value && !request.value.is_empty() {
        return Err(Refusal::ValueProvided);
    }
    if request.ignore_lease && request.lease != 0 {
        return Err(Refusal::LeaseProvided);
    }
    Ok(())
}

/// Checks a deletion.
pub fn delete_range(request: &DeleteRangeRequest) -> Result<(), Refusal> {
    if request.key.is_empty() { Err(Refusal::EmptyKey) } else { Ok(()) }
}

/// Checks a transaction of at most `max_ops` operations, nested ones counted.
pub fn txn(request: &TxnRequest, max_ops: usize) -> Result<(), Refusal> {
    shape(request, max_ops, 0)?;
    writes(&request.success)?;
    writes(&request.failure)?;
    Ok(())
}

fn shape(request: &TxnRequest, max_ops: usize, depth: usize) -> Result<(), Refusal> {
    let ops = request.compare.len().max(request.success.len()).max(request.failure.len());
    if ops > max_ops || depth > MAX_DEPTH {
        return Err(Refusal::TooManyOps);
    }
    if request.compare.iter().any(|compare| compare.key.is_empty()) {
        return Err(Refusal::EmptyKey);
    }
    for op in request.success.iter().chain(&request.failure) {
        match &op.request {
            Some(Request::RequestRange(request)) => range(request)?,
            Some(Request::RequestPut(request)) => put(request)?,
            Some(Request::RequestDeleteRange(request)) => delete_range(request)?,
            Some(Request::RequestTxn(request)) => shape(request, max_ops - ops, depth + 1)?,
            None => return Err(Refusal::KeyNotFound),
        }
    }
    Ok(())
}

/// The keys a branch may put, and the ranges it may delete.
#[derive(Default)]
struct Writes {
    puts: BTreeSet<Bytes>,
    deletes: Vec<KeyRange>,
}

impl Writes {
    fn overlaps(&self, other: &Self) -> bool {
        self.puts.iter().any(|key| other.puts.contains(key))
            || self.puts.iter().any(|key| other.deletes.iter().any(|range| range.contains(key)))
            || other.puts.iter().any(|key| self.deletes.iter().any(|range| range.contains(key)))
    }

    /// Adds what happens in the same run; refuses when both change one key.
    fn join(&mut self, other: Self) -> Result<(), Refusal> {
        if self.overlaps(&other) {
            return Err(Refusal::DuplicateKey);
        }
        self.absorb(other);
        Ok(())
    }

    fn absorb(&mut self, other: Self) {
        self.puts.extend(other.puts);
        self.deletes.extend(other.deletes);
    }
}

/// Collects what a branch writes; refuses when one key could be put twice, or put and deleted, in one run through it.
/// The two branches of a nested transaction exclude each other, so they may write the same keys.
fn writes(ops: &[RequestOp]) -> Result<Writes, Refusal> {
    let mut all = Writes::default();
    // Most transactions put a handful of keys: the set of a level is built once, and compared once with what is nested.
    let mut own = HashSet::new();
    // The level's own deletions come first, wherever they stand: a nested put before one changes the key twice as well.
    for op in ops {
        match &op.request {
            Some(Request::RequestPut(request)) => {
                if !own.insert(request.key.clone()) {
                    return Err(Refusal::DuplicateKey);
                }
            }
            Some(Request::RequestDeleteRange(request)) => {
                all.deletes.push(KeyRange::new(request.key.clone(), &request.range_end));
            }
            Some(Request::RequestRange(_) | Request::RequestTxn(_)) | None => {}
        }
    }
    all.join(Writes { puts: own.into_iter().collect(), deletes: Vec::new() })?;
    for op in ops {
        if let Some(Request::RequestTxn(request)) = &op.request {
            let mut one = writes(&request.success)?;
            one.absorb(writes(&request.failure)?);
            all.join(one)?;
        }
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn op(request: Request) -> RequestOp {
        RequestOp { request: Some(request) }
    }

    fn put_op(key: &'static str) -> RequestOp {
        op(Request::RequestPut(PutRequest { key: key.into(), ..PutRequest::default() }))
    }

    fn delete_op(key: &'static str, end: &'static str) -> RequestOp {
        op(Request::RequestDeleteRange(DeleteRangeRequest { key: key.into(), range_end: end.into(), prev_kv: false }))
    }

    fn nested(success: Vec<RequestOp>, failure: Vec<RequestOp>) -> RequestOp {
        op(Request::RequestTxn(TxnRequest { compare: Vec::new(), success, failure }))
    }

    fn judge(success: Vec<RequestOp>) -> Result<(), Refusal> {
        txn(&TxnRequest { compare: Vec::new(), success, failure: Vec::new() }, 128)
    }

    #[test]
    fn a_key_is_changed_once_in_a_branch() {
        assert_eq!(judge(vec![put_op("a"), put_op("a")]), Err(Refusal::DuplicateKey));
        assert_eq!(judge(vec![put_op("b"), delete_op("a", "c")]), Err(Refusal::DuplicateKey));
        assert_eq!(judge(vec![delete_op("a", "c"), put_op("b")]), Err(Refusal::DuplicateKey));
        assert_eq!(judge(vec![delete_op("a", "\0"), put_op("b")]), Err(Refusal::DuplicateKey));
        assert_eq!(judge(vec![put_op("a"), nested(vec![put_op("a")], vec![])]), Err(Refusal::DuplicateKey));
        assert_eq!(judge(vec![put_op("a"), nested(vec![], vec![delete_op("a", "")])]), Err(Refusal::DuplicateKey));
        assert_eq!(judge(vec![nested(vec![put_op("a")], vec![]), delete_op("a", "")]), Err(Refusal::DuplicateKey));
        assert_eq!(judge(vec![nested(vec![], vec![put_op("b")]), delete_op("a", "c")]), Err(Refusal::DuplicateKey));
        assert_eq!(judge(vec![nested(vec![put_op("a")], vec![]), put_op("a")]), Err(Refusal::DuplicateKey));
        assert_eq!(
            judge(vec![nested(vec![put_op("a")], vec![]), nested(vec![delete_op("a", "b")], vec![])]),
            Err(Refusal::DuplicateKey)
        );
    }

    #[test]
    fn branches_that_exclude_each_other_may_write_the_same() {
        assert_eq!(judge(vec![nested(vec![put_op("a")], vec![put_op("a")])]), Ok(()));
        assert_eq!(judge(vec![nested(vec![put_op("a")], vec![delete_op("a", "")])]), Ok(()));
        assert_eq!(judge(vec![delete_op("a", "c"), delete_op("b", "d")]), Ok(()));
        let both = TxnRequest { compare: Vec::new(), success: vec![put_op("a")], failure: vec![put_op("a")] };
        assert_eq!(txn(&both, 128), Ok(()));
    }

    #[test]
    fn operations_are_counted_through_the_nesting() {
        let many = |count: usize| (0..count).map(|_| delete_op("a", "")).collect::<Vec<_>>();
        assert_eq!(judge(many(128)), Ok(()));
        assert_eq!(judge(many(129)), Err(Refusal::TooManyOps));
        let mut outer = many(126);
        outer.push(nested(many(1), vec![]));
        assert_eq!(judge(outer.clone()), Ok(()));
        outer.push(nested(many(1), vec![]));
        assert_eq!(judge(outer), Err(Refusal::TooManyOps));
        let mut deep = put_op("a");
        for _ in 0..500 {
            deep = nested(vec![deep], vec![]);
        }
        assert_eq!(judge(vec![deep]), Err(Refusal::TooManyOps));
    }

    #[test]
    fn shapes_are_refused_with_etcds_words() {
        assert_eq!(range(&RangeRequest::default()), Err(Refusal::EmptyKey));
        assert_eq!(
            range(&RangeRequest { key: "a".into(), sort_order: 9, ..RangeRequest::default() }),
            Err(Refusal::InvalidSortOption)
        );
        let ignoring = PutRequest { key: "a".into(), value: "v".into(), ignore_value: true, ..PutRequest::default() };
        assert_eq!(put(&ignoring), Err(Refusal::ValueProvided));
        let ignoring = PutRequest { key: "a".into(), lease: 1, ignore_lease: true, ..PutRequest::default() };
        assert_eq!(put(&ignoring), Err(Refusal::LeaseProvided));
        assert_eq!(judge(vec![RequestOp { request: None }]), Err(Refusal::KeyNotFound));
    }
}
