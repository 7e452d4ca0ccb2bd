//! Reading keys, and changing one object together with what it claims.

use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::Bytes;
use proto::etcdserverpb::compare::{CompareResult, CompareTarget, TargetUnion};
use proto::etcdserverpb::kv_client::KvClient;
use proto::etcdserverpb::request_op::Request as Op;
use proto::etcdserverpb::response_op::Response as OpResponse;
use proto::etcdserverpb::{
    CompactionRequest, Compare, DeleteRangeRequest, PutRequest, RangeRequest, RequestOp, TxnRequest, TxnResponse,
};
use proto::mvccpb::KeyValue;
use tonic::{Code, Status};

use super::{StoreClient, StoreError, prefix_end};

/// Largest answer taken from the store: a page of the largest objects.
pub(super) const MAX_ANSWER: usize = 512 << 20;

/// Keys of a page, where a range cannot be streamed: a page of large objects must fit into memory several times.
const PAGE: i64 = 500;
/// How long the next part of a stream may take.
const PART: Duration = Duration::from_secs(10);

/// A change of one object's key.
///
/// It takes effect only if the key was last modified at `expected` (0: does not exist) and no key of `claims` exists;
/// then the value is put or the key deleted, all claims are put and all `released` keys deleted, in one transaction.
///
/// Contract: a put value must differ from every value the key had before (objects carry a unique id and are compared
/// with the value they replace), because a retry recognises its own earlier effect by the value.
#[derive(Debug, Clone)]
pub(crate) struct Change {
    /// The object's key.
    pub(crate) key: String,
    /// Revision the key was last modified at; 0 if it must not exist.
    pub(crate) expected: i64,
    /// What to put; `None` deletes.
    pub(crate) put: Option<Put>,
    /// Keys that must be free, and are taken together with the change.
    pub(crate) claims: Vec<Claim>,
    /// Keys that are given back together with the change.
    pub(crate) released: Vec<String>,
}

/// A value to put.
#[derive(Debug, Clone)]
pub(crate) struct Put {
    /// The object's stored bytes.
    pub(crate) value: Bytes,
    /// Lease the key goes with; 0 for none.
    pub(crate) lease: i64,
}

/// A key that only one object may hold.
#[derive(Debug, Clone)]
pub(crate) struct Claim {
    /// The key.
    pub(crate) key: String,
    /// Who holds it, for people who look.
    pub(crate) value: Bytes,
}

/// What became of a [`Change`].
#[derive(Debug, Clone)]
pub(crate) enum Commit {
    /// It took effect at this revision.
    Done {
        /// The revision.
        revision: i64,
    },
    /// The key is not at the expected revision; this is what it holds now.
    Conflict {
        /// The key's present value, if it has one.
        current: Option<KeyValue>,
    },
    /// The key is as expected, but this claim is taken.
    Taken {
        /// The claim's key.
        claim: String,
    },
}

/// One page of a range.
#[derive(Debug)]
pub(crate) struct Page {
    /// The keys with values, in order.
    pub(crate) kvs: Vec<KeyValue>,
    /// The store's revision when it answered.
    pub(crate) revision: i64,
    /// Whether keys follow behind the page.
    pub(crate) more: bool,
}

impl StoreClient {
    /// Reads one key, as of now. The revision is the store's.
    pub(crate) async fn get(&self, key: &str) -> Result<(Option<KeyValue>, i64), StoreError> {
        let request = RangeRequest { key: Bytes::copy_from_slice(key.as_bytes()), limit: 1, ..RangeRequest::default() };
        let page = self.range("get", request).await?;
        Ok((page.kvs.into_iter().next(), page.revision))
    }

    /// The store's revision as of now: at least that of every write acknowledged before the call.
    pub(crate) async fn revision(&self) -> Result<i64, StoreError> {
        let request = RangeRequest {
            key: Bytes::from_static(b"/registry/health"),
            limit: 1,
            keys_only: true,
            ..RangeRequest::default()
        };
        Ok(self.range("revision", request).await?.revision)
    }

    /// Reads up to `limit` keys (0: all) of `prefix` beginning at `start`, at `revision` (0: now).
    pub(crate) async fn list(&self, prefix: &str, start: &str, limit: i64, revision: i64) -> Result<Page, StoreError> {
        let request = RangeRequest {
            key: Bytes::copy_from_slice(start.as_bytes()),
            range_end: prefix_end(prefix.as_bytes()).into(),
            limit,
            revision,
            ..RangeRequest::default()
        };
        self.range("list", request).await
    }

    /// Reads every key of `prefix` at `revision` (0: now) and hands them to `take` in order, part by part. Returns the revision
    /// they are of. On an error `take` may have had some of them.
    pub(crate) async fn list_all(
        &self,
        prefix: &str,
        revision: i64,
        mut take: impl FnMut(Vec<KeyValue>),
    ) -> Result<i64, StoreError> {
        match self.stream(prefix, revision, &mut take).await {
            // Stores before etcd 3.7. They count what is behind each page, which the stream leaves out.
            Err(StoreError::Refused(status)) if status.code() == Code::Unimplemented => {
                self.pages(prefix, revision, &mut take).await
            }
            outcome => outcome,
        }
    }

    async fn stream(
        &self,
        prefix: &str,
        revision: i64,
        take: &mut impl FnMut(Vec<KeyValue>),
    ) -> Result<i64, StoreError> {
        let request = RangeRequest {
            key: Bytes::copy_from_slice(prefix.as_bytes()),
            range_end: prefix_end(prefix.as_bytes()).into(),
            revision,
            ..RangeRequest::default()
        };
        let mut parts = self
            .call("list", |channel| {
                let request = request.clone();
                async move { KvClient::new(channel).max_decoding_message_size(MAX_ANSWER).range_stream(request).await }
            })
            .await?
            .value;
        let mut header = None;
        let stalled = || Status::deadline_exceeded("no part of the range in time");
        while let Some(part) = tokio::time::timeout(PART, parts.message()).await.map_err(|_| stalled())?? {
            let answer = part.range_response.unwrap_or_default();
            header = answer.header.or(header);
            take(answer.kvs);
        }
        let header = header.ok_or_else(|| Status::unavailable("the range broke off"))?;
        Ok(if revision == 0 { header.revision } else { revision })
    }

    async fn pages(
        &self,
        prefix: &str,
        mut revision: i64,
        take: &mut impl FnMut(Vec<KeyValue>),
    ) -> Result<i64, StoreError> {
        let mut start = prefix.to_owned();
        loop {
            let page = self.list(prefix, &start, PAGE, revision).await?;
            if revision == 0 {
                revision = page.revision;
            }
            let next = page.kvs.last().filter(|_| page.more).map(|last| [last.key.as_ref(), b"\0"].concat());
            take(page.kvs);
            match next {
                Some(next) => start = String::from_utf8_lossy(&next).into_owned(),
                None => return Ok(revision),
            }
        }
    }

    async fn range(&self, operation: &'static str, request: RangeRequest) -> Result<Page, StoreError> {
        let answer = self
            .call(operation, |channel| {
                let request = request.clone();
                async move { KvClient::new(channel).max_decoding_message_size(MAX_ANSWER).range(request).await }
            })
            .await?
            .value;
        let revision = answer.header.map_or(0, |header| header.revision);
        Ok(Page { kvs: answer.kvs, revision, more: answer.more })
    }

    /// Makes a change. When it returns `Done` the store has acknowledged it.
    pub(crate) async fn commit(&self, change: &Change) -> Result<Commit, StoreError> {
        let request = change.transaction();
        let operation = match (&change.put, change.expected) {
            (None, _) => "delete",
            (Some(_), 0) => "create",
            (Some(_), _) => "update",
        };
        let answer = self
            .call(operation, |channel| {
                let request = request.clone();
                async move { KvClient::new(channel).max_decoding_message_size(MAX_ANSWER).txn(request).await }
            })
            .await?;
        Ok(change.outcome(&answer.value, answer.repeated))
    }

    /// Puts a key without any condition; for records only this server writes.
    pub(crate) async fn put(&self, key: &str, value: Bytes, lease: i64) -> Result<i64, StoreError> {
        let request = PutRequest { key: Bytes::copy_from_slice(key.as_bytes()), value, lease, ..PutRequest::default() };
        let answer = self
            .call("put", |channel| {
                let request = request.clone();
                async move { KvClient::new(channel).put(request).await }
            })
            .await?;
        Ok(answer.value.header.map_or(0, |header| header.revision))
    }

    /// Deletes a key without any condition; for records only this server writes.
    pub(crate) async fn remove(&self, key: &str) -> Result<(), StoreError> {
        let request =
            DeleteRangeRequest { key: Bytes::copy_from_slice(key.as_bytes()), ..DeleteRangeRequest::default() };
        self.call("remove", |channel| {
            let request = request.clone();
            async move { KvClient::new(channel).delete_range(request).await }
        })
        .await?;
        Ok(())
    }

    /// One step of compaction shared by several servers through `compact_rev_key`: whoever advances the record from
    /// version `seen` compacts to `revision`. Returns the record's version, the revision it names and the store's.
    ///
    /// A store without space takes no record. It is compacted all the same: nothing else makes space there, and two
    /// servers that compact in the same round only ask for the same thing twice.
    pub(crate) async fn compact(&self, seen: i64, revision: i64) -> Result<(i64, i64, i64), StoreError> {
        const KEY: &[u8] = b"compact_rev_key";
        let put = PutRequest {
            key: Bytes::from_static(KEY),
            value: Bytes::from(revision.to_string()),
            ..PutRequest::default()
        };
        let request = TxnRequest {
            compare: vec![compare(KEY, CompareTarget::Version, TargetUnion::Version(seen))],
            success: vec![op(Op::RequestPut(put))],
            failure: vec![op(Op::RequestRange(one_key(KEY)))],
        };
        let answer = self
            .call("compact", |channel| {
                let request = request.clone();
                async move { KvClient::new(channel).txn(request).await }
            })
            .await;
        let answer = match answer {
            Ok(answer) => answer.value,
            Err(StoreError::NoSpace(_)) => {
                self.compact_to(revision).await?;
                self.compacted.fetch_max(revision, Ordering::Relaxed);
                return Ok((seen, revision, self.revision().await?));
            }
            Err(error) => return Err(error),
        };
        let now = answer.header.as_ref().map_or(0, |header| header.revision);
        if !answer.succeeded {
            let record = found(&answer, 0);
            let named = record.as_ref().and_then(|kv| std::str::from_utf8(&kv.value).ok()?.parse().ok()).unwrap_or(0);
            self.compacted.fetch_max(named, Ordering::Relaxed);
            return Ok((record.map_or(0, |kv| kv.version), named, now));
        }
        self.compact_to(revision).await?;
        self.compacted.fetch_max(revision, Ordering::Relaxed);
        Ok((seen + 1, revision, now))
    }

    /// The revision before which everything is compacted away, as far as this server has taken part in it.
    pub(crate) fn compacted(&self) -> i64 {
        self.compacted.load(Ordering::Relaxed)
    }

    /// Compacts to `revision`; 0 is nothing yet, and what was compacted before is no error.
    async fn compact_to(&self, revision: i64) -> Result<(), StoreError> {
        if revision == 0 {
            return Ok(());
        }
        let request = CompactionRequest { revision, ..CompactionRequest::default() };
        match self.call("compact", |channel| async move { KvClient::new(channel).compact(request).await }).await {
            Ok(_) | Err(StoreError::Compacted) => Ok(()),
            Err(error) => Err(error),
        }
    }
}

impl Change {
    fn transaction(&self) -> TxnRequest {
        let key = self.key.as_bytes();
        let mut compares = vec![compare(key, CompareTarget::Mod, TargetUnion::ModRevision(self.expected))];
        let mut success = vec![op(match &self.put {
            Some(put) => Op::RequestPut(PutRequest {
                key: Bytes::copy_from_slice(key),
                value: put.value.clone(),
                lease: put.lease,
                ..PutRequest::default()
            }),
            None => Op::RequestDeleteRange(DeleteRangeRequest {
                key: Bytes::copy_from_slice(key),
                ..DeleteRangeRequest::default()
            }),
        })];
        let mut failure = vec![op(Op::RequestRange(one_key(key)))];
        for claim in &self.claims {
            let key = claim.key.as_bytes();
            compares.push(compare(key, CompareTarget::Mod, TargetUnion::ModRevision(0)));
            success.push(op(Op::RequestPut(PutRequest {
                key: Bytes::copy_from_slice(key),
                value: claim.value.clone(),
                ..PutRequest::default()
            })));
            failure.push(op(Op::RequestRange(RangeRequest { keys_only: true, ..one_key(key) })));
        }
        for key in &self.released {
            success.push(op(Op::RequestDeleteRange(DeleteRangeRequest {
                key: Bytes::copy_from_slice(key.as_bytes()),
                ..DeleteRangeRequest::default()
            })));
        }
        TxnRequest { compare: compares, success, failure }
    }

    fn outcome(&self, answer: &TxnResponse, repeated: bool) -> Commit {
        if answer.succeeded {
            return Commit::Done { revision: answer.header.as_ref().map_or(0, |header| header.revision) };
        }
        let current = found(answer, 0);
        if repeated {
            // An earlier try may have got through although its answer was lost.
            match (&self.put, &current) {
                (Some(put), Some(kv)) if put.value == kv.value => {
                    return Commit::Done { revision: kv.mod_revision };
                }
                (None, None) => {
                    return Commit::Done { revision: answer.header.as_ref().map_or(0, |header| header.revision) };
                }
                _ => {}
            }
        }
        if current.as_ref().map_or(0, |kv| kv.mod_revision) == self.expected {
            for (index, claim) in self.claims.iter().enumerate() {
                if found(answer, index + 1).is_some() {
                    return Commit::Taken { claim: claim.key.clone() };
                }
            }
        }
        Commit::Conflict { current }
    }
}

fn found(answer: &TxnResponse, index: usize) -> Option<KeyValue> {
    match answer.responses.get(index)?.response.as_ref()? {
        OpResponse::ResponseRange(range) => range.kvs.first().cloned(),
        _ => None,
    }
}

fn op(request: Op) -> RequestOp {
    RequestOp { request: Some(request) }
}

fn one_key(key: &[u8]) -> RangeRequest {
    RangeRequest { key: Bytes::copy_from_slice(key), limit: 1, ..RangeRequest::default() }
}

fn compare(key: &[u8], target: CompareTarget, value: TargetUnion) -> Compare {
    Compare {
        result: CompareResult::Equal as i32,
        target: target as i32,
        key: Bytes::copy_from_slice(key),
        range_end: Bytes::new(),
        target_union: Some(value),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proto::etcdserverpb::{RangeResponse, ResponseHeader, ResponseOp};

    fn change(value: &str) -> Change {
        Change {
            key: "/registry/services/specs/a/b".to_owned(),
            expected: 0,
            put: Some(Put { value: Bytes::from(value.to_owned()), lease: 0 }),
            claims: vec![Claim { key: "/registry/ipaddresses/10.0.0.1".to_owned(), value: Bytes::new() }],
            released: vec![],
        }
    }

    fn failed(kvs: Vec<Option<KeyValue>>) -> TxnResponse {
        let responses = kvs
            .into_iter()
            .map(|kv| ResponseOp {
                response: Some(OpResponse::ResponseRange(RangeResponse {
                    kvs: kv.into_iter().collect(),
                    ..RangeResponse::default()
                })),
            })
            .collect();
        let header = Some(ResponseHeader { revision: 9, ..ResponseHeader::default() });
        TxnResponse { header, succeeded: false, responses }
    }

    fn kv(value: &str) -> KeyValue {
        KeyValue { value: Bytes::from(value.to_owned()), mod_revision: 7, ..KeyValue::default() }
    }

    #[test]
    fn a_retry_recognises_its_own_write() {
        let answer = || failed(vec![Some(kv("mine")), Some(kv(""))]);
        assert!(matches!(change("mine").outcome(&answer(), true), Commit::Done { revision: 7 }));
        assert!(matches!(change("mine").outcome(&answer(), false), Commit::Conflict { current: Some(_) }));
        assert!(matches!(change("other").outcome(&answer(), true), Commit::Conflict { current: Some(_) }));
    }

    #[test]
    fn a_taken_claim_is_named() {
        let answer = failed(vec![None, Some(kv(""))]);
        let Commit::Taken { claim } = change("x").outcome(&answer, false) else { panic!("not taken") };
        assert_eq!(claim, "/registry/ipaddresses/10.0.0.1");
    }

    #[test]
    fn a_repeated_delete_of_a_missing_key_worked() {
        let delete = Change { put: None, expected: 5, claims: vec![], ..change("") };
        assert!(matches!(delete.outcome(&failed(vec![None]), true), Commit::Done { revision: 9 }));
        assert!(matches!(delete.outcome(&failed(vec![None]), false), Commit::Conflict { current: None }));
    }
}
