//! The state machine against a plain model of etcd's rules, and rule by rule.

use std::collections::BTreeMap;

use proto::etcdserverpb::compare::{CompareResult, CompareTarget, TargetUnion};
use proto::etcdserverpb::{Compare, LeaseCheckpoint, LeaseRevokeRequest, RangeRequest, RequestOp};
use proto::store::LeaseExpire;

use super::*;
use crate::compaction;
use crate::fingerprint::{self, Removed, Sum};
use crate::hash::hash_kv;
use crate::memory::Memory;
use crate::range::page;
use crate::scrub;

/// A store in memory that applies one command at a time.
struct Store {
    memory: Memory,
    state: State,
    /// The fingerprint, kept change by change.
    added: Sum,
}

impl Store {
    fn new() -> Self {
        Self { memory: Memory::default(), state: State::EMPTY, added: Sum::default() }
    }

    fn apply(&mut self, op: Op) -> Applied {
        let mut overlay = Overlay::new(&self.memory);
        let applied = apply(&mut overlay, &mut self.state, &Command { op: Some(op), ..Command::default() }).unwrap();
        let (key, value) = self.state.record();
        overlay.put(Space::Meta, key, value);
        let writes = overlay.into_writes();
        self.added = self.added.plus(fingerprint::difference(&self.memory, &writes).unwrap());
        self.memory.absorb(writes);
        assert_eq!(State::load(&self.memory).unwrap(), self.state);
        applied
    }

    fn put(&mut self, key: &str, value: &str) -> Applied {
        self.apply(Op::Put(put_request(key, value)))
    }

    fn delete(&mut self, key: &str, end: &str) -> Applied {
        self.apply(Op::DeleteRange(delete_request(key, end)))
    }

    fn compact(&mut self, revision: i64) -> Reply {
        self.apply(Op::Compact(CompactionRequest { revision, physical: false })).reply
    }

    fn remove_compacted(&mut self, budget: usize) {
        while let Some(step) = compaction::step(&self.memory, self.state.compacted, budget).unwrap() {
            for (space, key) in &step.removals {
                assert!(self.memory.remove(*space, key), "removed once: {space:?} {key:?}");
            }
            let mut overlay = Overlay::new(&self.memory);
            for (key, value) in step.records() {
                overlay.put(Space::Meta, key, value);
            }
            let writes = overlay.into_writes();
            self.memory.absorb(writes);
        }
    }

    /// The fingerprint that was kept is the one of what is there.
    fn check_fingerprint(&self) {
        let removed = Removed::load(&self.memory).unwrap().map_or(Sum::default(), |removed| removed.sum);
        let scanned = scrub::sum(&self.memory, &mut |_| true).unwrap();
        assert_eq!(scanned, Some(self.added.minus(removed)));
    }

    fn range(&self, request: &RangeRequest) -> Result<raw::RangeResponse, Refusal> {
        match range::range(&self.memory, &self.state, request) {
            Ok(answer) => Ok(answer),
            Err(Failure::Refused(refusal)) => Err(refusal),
            Err(Failure::Fault(fault)) => panic!("{fault}"),
        }
    }

    fn pairs(&self, key: &str, end: &str, revision: i64) -> Vec<KeyValue> {
        let request = RangeRequest { key: bytes(key), range_end: bytes(end), revision, ..RangeRequest::default() };
        decode(&self.range(&request).unwrap().kvs)
    }
}

fn bytes(text: &str) -> Bytes {
    Bytes::copy_from_slice(text.as_bytes())
}

fn decode(pairs: &[Bytes]) -> Vec<KeyValue> {
    pairs.iter().map(|pair| decode_pair(pair.clone()).unwrap()).collect()
}

fn put_request(key: &str, value: &str) -> PutRequest {
    PutRequest { key: bytes(key), value: bytes(value), ..PutRequest::default() }
}

fn delete_request(key: &str, end: &str) -> DeleteRangeRequest {
    DeleteRangeRequest { key: bytes(key), range_end: bytes(end), prev_kv: true }
}

fn op(request: Request) -> RequestOp {
    RequestOp { request: Some(request) }
}

fn version_is(key: &str, version: i64) -> Compare {
    Compare {
        result: CompareResult::Equal.into(),
        target: CompareTarget::Version.into(),
        key: bytes(key),
        range_end: Bytes::new(),
        target_union: Some(TargetUnion::Version(version)),
    }
}

fn refusal(applied: &Applied) -> Refusal {
    match applied.reply {
        Reply::Refused(refusal) => refusal,
        ref other => panic!("{other:?}"),
    }
}

fn grant(store: &mut Store, id: i64) -> Applied {
    store.apply(Op::LeaseGrant(LeaseGrantRequest { id, ttl: 60 }))
}

fn attach(store: &mut Store, key: &str, lease: i64) -> Applied {
    store.apply(Op::Put(PutRequest { lease, ..put_request(key, "v") }))
}

#[test]
fn revisions_versions_and_lives_of_a_key() {
    let mut store = Store::new();
    assert_eq!(store.state.revision, Revision(1));
    store.put("a", "1");
    store.put("a", "2");
    assert_eq!(
        store.delete("b", "").reply,
        Reply::DeleteRange(raw::DeleteRangeResponse {
            header: Some(header(Revision(3))),
            deleted: 0,
            prev_kvs: vec![]
        })
    );
    assert_eq!(store.state.revision, Revision(3), "a deletion that finds nothing is no change");
    store.delete("a", "");
    store.put("a", "3");
    let pair = |create_revision, mod_revision, version, value| KeyValue {
        key: bytes("a"),
        create_revision,
        mod_revision,
        version,
        value: bytes(value),
        lease: 0,
    };
    assert_eq!(store.pairs("a", "", 0), [pair(5, 5, 1, "3")]);
    assert_eq!(store.pairs("a", "", 2), [pair(2, 2, 1, "1")]);
    assert_eq!(store.pairs("a", "", 3), [pair(2, 3, 2, "2")]);
    assert_eq!(store.pairs("a", "", 4), []);
}

#[test]
fn ranges_count_everything_whatever_the_limit() {
    let mut store = Store::new();
    for index in 0..20 {
        store.put(&format!("k{index:02}"), "v");
    }
    store.delete("k03", "");
    store.put("k04", "w");
    for revision in [0, store.state.revision.0 - 1] {
        for keys_only in [false, true] {
            let request = RangeRequest {
                key: bytes("k"),
                range_end: bytes("l"),
                limit: 5,
                revision,
                keys_only,
                ..RangeRequest::default()
            };
            let answer = store.range(&request).unwrap();
            let keys: Vec<_> = decode(&answer.kvs).into_iter().map(|pair| pair.key).collect();
            assert_eq!(keys, ["k00", "k01", "k02", "k04", "k05"]);
            assert_eq!((answer.count, answer.more), (19, true));
            assert_eq!(answer.header.unwrap().revision, store.state.revision.0);
            let all = RangeRequest { limit: 19, ..request.clone() };
            assert!(!store.range(&all).unwrap().more);
            let counted = RangeRequest { count_only: true, ..request };
            let counted = store.range(&counted).unwrap();
            assert_eq!((counted.count, counted.kvs.len(), counted.more), (19, 0, false));
        }
    }
    let newest = RangeRequest {
        key: bytes("k"),
        range_end: bytes("l"),
        limit: 1,
        sort_order: 2,
        sort_target: 3,
        ..RangeRequest::default()
    };
    let answer = store.range(&newest).unwrap();
    assert_eq!(decode(&answer.kvs)[0].key, "k04");
    assert_eq!((answer.count, answer.more), (19, true));
    let filtered =
        RangeRequest { min_mod_revision: store.state.revision.0, limit: 0, sort_order: 0, sort_target: 0, ..newest };
    let answer = store.range(&filtered).unwrap();
    assert_eq!((answer.kvs.len(), answer.count, answer.more), (1, 19, false));
}

#[test]
fn pages_put_together_are_the_range() {
    let mut store = Store::new();
    for index in 0..50 {
        store.put(&format!("k{index:02}"), &"x".repeat(index));
    }
    let whole = store.pairs("k", "l", 0);
    let at = At::newest(&store.state);
    for (limit, max_bytes) in [(7, usize::MAX), (1, usize::MAX), (1000, 100), (50, 1)] {
        let mut keys = Some(KeyRange::new(bytes("k"), &bytes("l")));
        let mut found = Vec::new();
        while let Some(rest) = keys {
            let page = page(&store.memory, at, &rest, limit, max_bytes, false).unwrap();
            assert!(page.pairs.len() <= limit);
            found.extend(page.pairs);
            keys = page.next;
        }
        assert_eq!(decode(&found), whole);
    }
}

#[test]
fn a_transaction_compares_first_and_reads_its_own_writes() {
    let mut store = Store::new();
    store.put("a", "1");
    let range =
        |revision| op(Request::RequestRange(RangeRequest { key: bytes("a"), revision, ..RangeRequest::default() }));
    let nested = TxnRequest {
        compare: vec![version_is("a", 1)], // true before the transaction, no longer when it is reached
        success: vec![op(Request::RequestPut(put_request("b", "nested")))],
        failure: vec![],
    };
    let request = TxnRequest {
        compare: vec![version_is("a", 1)],
        success: vec![
            range(0),
            op(Request::RequestPut(put_request("a", "2"))),
            range(0),
            range(2),
            op(Request::RequestTxn(nested)),
        ],
        failure: vec![],
    };
    let applied = store.apply(Op::Txn(request.clone()));
    let Reply::Txn(answer) = &applied.reply else { panic!("{:?}", applied.reply) };
    assert!(answer.succeeded);
    let values: Vec<_> = answer
        .responses
        .iter()
        .filter_map(|response| match &response.response {
            Some(Response::ResponseRange(range)) => {
                Some((range.header.unwrap().revision, decode(&range.kvs)[0].value.clone()))
            }
            _ => None,
        })
        .collect();
    assert_eq!(values, [(2, bytes("1")), (3, bytes("2")), (3, bytes("1"))]);
    assert_eq!(store.state.revision, Revision(3), "one transaction, one revision");
    let places: Vec<_> = applied.events.iter().map(|event| (event.key.clone(), event.place.sub)).collect();
    assert_eq!(places, [(bytes("a"), 0), (bytes("b"), 1)]);
    let again = store.apply(Op::Txn(request));
    let Reply::Txn(answer) = again.reply else { panic!("{:?}", again.reply) };
    assert!(!answer.succeeded);
    assert_eq!(answer.header.unwrap().revision, 3, "nothing written, nothing moved");
}

#[test]
fn comparisons_over_ranges_and_missing_keys() {
    let mut store = Store::new();
    store.put("a", "x");
    store.put("b", "x");
    let value = |key: &str, end: &str, result: CompareResult, value: &str| Compare {
        result: result.into(),
        target: CompareTarget::Value.into(),
        key: bytes(key),
        range_end: bytes(end),
        target_union: Some(TargetUnion::Value(bytes(value))),
    };
    let table = [
        (value("a", "c", CompareResult::Equal, "x"), true),
        (value("a", "", CompareResult::Greater, "w"), true),
        (value("missing", "", CompareResult::NotEqual, "x"), false),
        (version_is("missing", 0), true),
        (Compare { range_end: bytes("c"), ..version_is("a", 1) }, true),
        (Compare { range_end: bytes("\0"), ..version_is("b", 1) }, true),
        (Compare { range_end: bytes("c"), ..version_is("a", 2) }, false),
    ];
    for (compare, expected) in table {
        let request = TxnRequest { compare: vec![compare.clone()], success: vec![], failure: vec![] };
        let answer = txn::read(&store.memory, &store.state, &request).unwrap();
        assert_eq!(answer.succeeded, expected, "{compare:?}");
    }
    store.put("b", "y");
    let request =
        TxnRequest { compare: vec![value("a", "c", CompareResult::Equal, "x")], success: vec![], failure: vec![] };
    assert!(!txn::read(&store.memory, &store.state, &request).unwrap().succeeded);
}

#[test]
fn what_is_refused_changes_nothing() {
    let mut store = Store::new();
    store.put("a", "1");
    let before = (store.memory.clone(), store.state);
    let ignoring = PutRequest { ignore_value: true, ..put_request("missing", "") };
    let range = RangeRequest { key: bytes("a"), revision: 99, ..RangeRequest::default() };
    let table = [
        (Op::Put(ignoring.clone()), Refusal::KeyNotFound),
        (Op::Put(PutRequest { lease: 7, ..put_request("a", "2") }), Refusal::LeaseNotFound),
        (
            Op::Txn(TxnRequest {
                compare: vec![],
                success: vec![op(Request::RequestPut(put_request("b", "2"))), op(Request::RequestPut(ignoring))],
                failure: vec![],
            }),
            Refusal::KeyNotFound,
        ),
        (
            Op::Txn(TxnRequest {
                compare: vec![],
                success: vec![op(Request::RequestPut(put_request("b", "2"))), op(Request::RequestRange(range))],
                failure: vec![],
            }),
            Refusal::FutureRevision,
        ),
        (Op::Compact(CompactionRequest { revision: 99, physical: false }), Refusal::FutureRevision),
        (Op::LeaseRevoke(LeaseRevokeRequest { id: 9 }), Refusal::LeaseNotFound),
        (Op::LeaseGrant(LeaseGrantRequest { id: 9, ttl: MAX_LEASE_TTL + 1 }), Refusal::LeaseTtlTooLarge),
    ];
    for (op, expected) in table {
        let applied = store.apply(op);
        assert_eq!(refusal(&applied), expected);
        assert!(applied.events.is_empty() && applied.leases.is_empty());
        assert_eq!((&store.memory.len(Space::Kv), store.state), (&before.0.len(Space::Kv), before.1));
    }
}

#[test]
fn leases_take_their_keys_with_them_in_order() {
    let mut store = Store::new();
    grant(&mut store, 7);
    assert_eq!(refusal(&grant(&mut store, 7)), Refusal::LeaseExists);
    assert_eq!(store.state.revision, Revision(1), "a lease is no change of the keys");
    for key in ["c", "a", "b"] {
        attach(&mut store, key, 7);
    }
    store.put("b", "detached"); // a put without the lease lets go of it
    let kept = PutRequest { ignore_lease: true, ..put_request("c", "kept") };
    store.apply(Op::Put(kept));
    assert_eq!(attached(&store.memory, LeaseId(7)).unwrap(), ["a", "c"]);
    let applied = store.apply(Op::LeaseRevoke(LeaseRevokeRequest { id: 7 }));
    let gone: Vec<_> = applied.events.iter().map(|event| (event.key.clone(), event.deletion, event.place)).collect();
    let revision = store.state.revision;
    assert_eq!(gone, [(bytes("a"), true, Place { revision, sub: 0 }), (bytes("c"), true, Place { revision, sub: 1 })]);
    assert_eq!(store.pairs("a", "z", 0).len(), 1);
    assert_eq!(store.memory.len(Space::LeaseKey), 0);
    assert_eq!(store.memory.len(Space::Lease), 0);
}

#[test]
fn expired_leases_end_each_in_its_own_revision() {
    let mut store = Store::new();
    for (id, key) in [(1, "a"), (2, "b"), (3, "")] {
        grant(&mut store, id);
        if !key.is_empty() {
            attach(&mut store, key, id);
        }
    }
    let before = store.state.revision;
    let applied = store.apply(Op::LeaseExpire(LeaseExpire { ids: vec![2, 99, 3, 1] }));
    assert_eq!(store.state.revision, Revision(before.0 + 2));
    let order: Vec<_> = applied.events.iter().map(|event| event.key.clone()).collect();
    assert_eq!(order, ["b", "a"]);
    assert_eq!(applied.leases, [2, 3, 1].map(|id| LeaseChange::Ended(LeaseId(id))));
}

#[test]
fn remaining_time_is_kept_and_given_back() {
    let mut store = Store::new();
    grant(&mut store, 1);
    let note = |remaining_ttl| {
        Op::LeaseCheckpoint(LeaseCheckpointRequest {
            checkpoints: vec![LeaseCheckpoint { id: 1, remaining_ttl }, LeaseCheckpoint { id: 99, remaining_ttl }],
        })
    };
    store.apply(note(20));
    assert_eq!(LeaseRecord::load(&store.memory, LeaseId(1)).unwrap(), Some(LeaseRecord { ttl: 60, remaining: 20 }));
    store.apply(note(0));
    assert_eq!(LeaseRecord::load(&store.memory, LeaseId(1)).unwrap(), Some(LeaseRecord { ttl: 60, remaining: 60 }));
    assert_eq!(LeaseRecord::load(&store.memory, LeaseId(99)).unwrap(), None);
}

#[test]
fn compaction_keeps_what_may_still_be_read() {
    let mut store = Store::new();
    store.put("a", "1"); // 2
    store.put("a", "2"); // 3
    store.put("b", "1"); // 4
    store.delete("b", ""); // 5
    store.put("a", "3"); // 6
    store.delete("a", ""); // 7
    store.put("c", "1"); // 8
    assert_eq!(store.compact(7), Reply::Compact(CompactionResponse { header: Some(header(Revision(8))) }));
    assert_eq!(store.compact(7), Reply::Refused(Refusal::Compacted));
    let old = RangeRequest { key: bytes("a"), revision: 6, ..RangeRequest::default() };
    assert_eq!(store.range(&old), Err(Refusal::Compacted), "refused at once, removed later");
    store.remove_compacted(2);
    assert_eq!(store.pairs("a", "z", 7), []);
    assert_eq!(store.memory.len(Space::Rev), 2, "the deletion at the compacted revision, and what is newer");
    store.compact(8);
    store.remove_compacted(2);
    assert_eq!((store.memory.len(Space::Rev), store.memory.len(Space::Kv)), (1, 1));
    assert_eq!(store.pairs("a", "z", 0).len(), 1);
}

#[test]
fn alarms_are_raised_once_and_cleared() {
    let mut store = Store::new();
    let request = |action: AlarmAction, alarm| AlarmRequest { action: action.into(), member_id: 5, alarm };
    assert!(store.apply(Op::Alarm(request(AlarmAction::Activate, 1))).alarms_changed);
    assert!(!store.apply(Op::Alarm(request(AlarmAction::Activate, 1))).alarms_changed);
    let Reply::Alarm(answer) = store.apply(Op::Alarm(request(AlarmAction::Get, 0))).reply else { panic!() };
    assert_eq!(answer.alarms, [AlarmMember { member_id: 5, alarm: 1 }]);
    assert!(
        store.apply(Op::Alarm(AlarmRequest { member_id: 0, ..request(AlarmAction::Deactivate, 1) })).alarms_changed
    );
    assert_eq!(alarms(&store.memory).unwrap(), []);
}

/// A small generator of numbers, so that a failure can be repeated from its seed.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, below: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % below
    }
}

type Model = BTreeMap<String, KeyValue>;

#[test]
fn random_histories_agree_with_a_model_at_every_revision() {
    for seed in 1..=60 {
        let mut dice = Dice(u64::wrapping_mul(seed, 0x9E37_79B9_7F4A_7C15));
        let mut store = Store::new();
        let mut history: BTreeMap<i64, Model> = BTreeMap::from([(1, Model::new())]);
        for step in 0..150 {
            let revision = store.state.revision.0;
            let mut model = history[&revision].clone();
            let key = format!("k{}", dice.roll(6));
            match dice.roll(10) {
                0..=5 => {
                    let value = format!("v{step}");
                    store.put(&key, &value);
                    let old = model.get(&key);
                    let pair = KeyValue {
                        key: bytes(&key),
                        create_revision: old.map_or(revision + 1, |old| old.create_revision),
                        mod_revision: revision + 1,
                        version: old.map_or(1, |old| old.version + 1),
                        value: bytes(&value),
                        lease: 0,
                    };
                    model.insert(key, pair);
                }
                6..=7 => {
                    let end = format!("k{}", dice.roll(7));
                    let applied = store.delete(&key, &end);
                    let doomed: Vec<_> = model.keys().filter(|one| **one >= key && **one < end).cloned().collect();
                    assert_eq!(applied.events.len(), doomed.len());
                    model.retain(|one, _| !doomed.contains(one));
                }
                8 => {
                    let target = revision - dice.roll(20) as i64;
                    if target > store.state.compacted.0 && target > 0 {
                        let before = hash_kv(&store.memory, &store.state, 0).unwrap().revision;
                        store.compact(target);
                        let planned = hash_kv(&store.memory, &store.state, 0).unwrap();
                        store.remove_compacted(1 + dice.roll(5) as usize);
                        let removed = hash_kv(&store.memory, &store.state, 0).unwrap();
                        store.check_fingerprint();
                        assert_eq!(
                            (planned, before),
                            (removed, planned.revision),
                            "seed {seed}: removal changes no hash"
                        );
                        history.retain(|one, _| *one >= target);
                    }
                }
                _ => {
                    let limit = 1 + dice.roll(4) as i64;
                    let request =
                        RangeRequest { key: bytes("k"), range_end: bytes("l"), limit, ..RangeRequest::default() };
                    let answer = store.range(&request).unwrap();
                    assert_eq!(answer.count as usize, model.len());
                    assert_eq!(answer.more, model.len() as i64 > limit);
                }
            }
            if store.state.revision.0 > revision {
                history.insert(store.state.revision.0, model);
            }
            for (revision, model) in &history {
                let expected: Vec<_> = model.values().cloned().collect();
                assert_eq!(store.pairs("k", "l", *revision), expected, "seed {seed}, step {step}, revision {revision}");
            }
        }
    }
}
