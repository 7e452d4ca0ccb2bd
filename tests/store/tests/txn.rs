//! Transactions: compares before everything, the duplicate rule, nesting, and what Kubernetes does with them.

use proto::etcdserverpb::compare::{CompareResult, CompareTarget, TargetUnion};
use proto::etcdserverpb::request_op::Request;
use proto::etcdserverpb::response_op::Response;
use proto::etcdserverpb::{Compare, DeleteRangeRequest, PutRequest, RangeRequest, RequestOp, TxnRequest};
use tests_store::{code_and_text, conformance};
use tonic::Code;

fn put(key: &'static str, value: &'static str) -> RequestOp {
    let request = PutRequest { key: key.into(), value: value.into(), ..PutRequest::default() };
    RequestOp { request: Some(Request::RequestPut(request)) }
}

fn get(key: &'static str) -> RequestOp {
    RequestOp { request: Some(Request::RequestRange(RangeRequest { key: key.into(), ..RangeRequest::default() })) }
}

fn delete(key: &'static str, end: &'static str) -> RequestOp {
    let request = DeleteRangeRequest { key: key.into(), range_end: end.into(), prev_kv: false };
    RequestOp { request: Some(Request::RequestDeleteRange(request)) }
}

fn nested(txn: TxnRequest) -> RequestOp {
    RequestOp { request: Some(Request::RequestTxn(txn)) }
}

fn compare(key: &'static str, result: CompareResult, union: TargetUnion) -> Compare {
    let target = match union {
        TargetUnion::Version(_) => CompareTarget::Version,
        TargetUnion::CreateRevision(_) => CompareTarget::Create,
        TargetUnion::ModRevision(_) => CompareTarget::Mod,
        TargetUnion::Value(_) => CompareTarget::Value,
        TargetUnion::Lease(_) => CompareTarget::Lease,
    };
    Compare {
        result: result.into(),
        target: target.into(),
        key: key.into(),
        target_union: Some(union),
        ..Compare::default()
    }
}

conformance!(create_update_and_delete_as_kubernetes_does, async |server| {
    let mut client = server.client().await;
    let at = |revision| compare("/registry/a", CompareResult::Equal, TargetUnion::ModRevision(revision));
    let create = TxnRequest { compare: vec![at(0)], success: vec![put("/registry/a", "1")], failure: vec![] };
    let answer = client.txn(create.clone()).await.unwrap();
    assert!(answer.succeeded);
    let revision = answer.header.unwrap().revision;
    assert!(!client.txn(create).await.unwrap().succeeded);

    let update = |revision, value| TxnRequest {
        compare: vec![at(revision)],
        success: vec![put("/registry/a", value)],
        failure: vec![get("/registry/a")],
    };
    let stale = client.txn(update(revision - 1, "2")).await.unwrap();
    assert!(!stale.succeeded);
    assert_eq!(stale.header.unwrap().revision, revision);
    let Some(Response::ResponseRange(found)) = &stale.responses[0].response else { panic!("{stale:?}") };
    assert_eq!((found.kvs[0].value.as_ref(), found.kvs[0].mod_revision), (b"1".as_ref(), revision));
    assert!(client.txn(update(revision, "2")).await.unwrap().succeeded);

    let remove = TxnRequest {
        compare: vec![at(revision + 1)],
        success: vec![delete("/registry/a", "")],
        failure: vec![get("/registry/a")],
    };
    let answer = client.txn(remove).await.unwrap();
    let Some(Response::ResponseDeleteRange(deleted)) = &answer.responses[0].response else { panic!("{answer:?}") };
    assert_eq!(deleted.deleted, 1);
    assert_eq!(client.value("/registry/a").await, None);
});

conformance!(compares_cover_every_target, async |server| {
    let mut client = server.client().await;
    client.put("a", "m").await;
    client.put("a", "n").await;
    let cases = [
        (CompareResult::Equal, TargetUnion::Version(2), true),
        (CompareResult::Greater, TargetUnion::Version(1), true),
        (CompareResult::Less, TargetUnion::Version(2), false),
        (CompareResult::NotEqual, TargetUnion::Version(2), false),
        (CompareResult::Equal, TargetUnion::CreateRevision(2), true),
        (CompareResult::Equal, TargetUnion::ModRevision(3), true),
        (CompareResult::Greater, TargetUnion::Value("m".into()), true),
        (CompareResult::Equal, TargetUnion::Value("n".into()), true),
        (CompareResult::Equal, TargetUnion::Lease(0), true),
    ];
    for (result, union, expected) in cases {
        let request = TxnRequest { compare: vec![compare("a", result, union.clone())], ..TxnRequest::default() };
        assert_eq!(client.txn(request).await.unwrap().succeeded, expected, "{result:?} {union:?}");
    }
    let missing =
        |union| TxnRequest { compare: vec![compare("no", CompareResult::Equal, union)], ..TxnRequest::default() };
    assert!(client.txn(missing(TargetUnion::Version(0))).await.unwrap().succeeded);
    assert!(client.txn(missing(TargetUnion::CreateRevision(0))).await.unwrap().succeeded);
    assert!(!client.txn(missing(TargetUnion::Value("".into()))).await.unwrap().succeeded);
});

conformance!(a_compare_over_a_range_holds_for_every_key, async |server| {
    let mut client = server.client().await;
    client.put("p/1", "x").await;
    client.put("p/2", "x").await;
    let all = |value: &'static str| {
        let mut compare = compare("p/", CompareResult::Equal, TargetUnion::Value(value.into()));
        compare.range_end = "p0".into();
        TxnRequest { compare: vec![compare], ..TxnRequest::default() }
    };
    assert!(client.txn(all("x")).await.unwrap().succeeded);
    client.put("p/2", "y").await;
    assert!(!client.txn(all("x")).await.unwrap().succeeded);
});

conformance!(reads_inside_see_writes_before_them, async |server| {
    let mut client = server.client().await;
    let request = TxnRequest {
        success: vec![get("a"), put("a", "1"), get("a"), delete("a", ""), get("a")],
        ..TxnRequest::default()
    };
    let answer = client.txn(request).await;
    // One key may be put once and not be deleted as well.
    let error = answer.unwrap_err();
    assert_eq!(code_and_text(&error), (Code::InvalidArgument, "etcdserver: duplicate key given in txn request"));
    let request = TxnRequest { success: vec![get("a"), put("a", "1"), get("a")], ..TxnRequest::default() };
    let answer = client.txn(request).await.unwrap();
    let counts: Vec<_> = answer
        .responses
        .iter()
        .filter_map(|one| match &one.response {
            Some(Response::ResponseRange(range)) => Some(range.kvs.len()),
            _ => None,
        })
        .collect();
    assert_eq!(counts, [0, 1]);
});

conformance!(all_changes_share_one_revision, async |server| {
    let mut client = server.client().await;
    client.put("c", "old").await;
    let request = TxnRequest { success: vec![put("a", "1"), put("b", "2"), delete("c", "")], ..TxnRequest::default() };
    assert_eq!(client.txn(request).await.unwrap().header.unwrap().revision, 3);
    let a = client.get("a").await.unwrap().kvs.remove(0);
    let b = client.get("b").await.unwrap().kvs.remove(0);
    assert_eq!((a.mod_revision, b.mod_revision), (3, 3));
    let nothing = TxnRequest { success: vec![delete("zzz", "")], ..TxnRequest::default() };
    assert_eq!(client.txn(nothing).await.unwrap().header.unwrap().revision, 3);
});

conformance!(a_key_is_put_once, async |server| {
    let mut client = server.client().await;
    let duplicate = (Code::InvalidArgument, "etcdserver: duplicate key given in txn request");
    let twice = TxnRequest { success: vec![put("a", "1"), put("a", "2")], ..TxnRequest::default() };
    assert_eq!(code_and_text(&client.txn(twice).await.unwrap_err()), duplicate);
    let covered = TxnRequest { failure: vec![delete("a", "c"), put("b", "2")], ..TxnRequest::default() };
    assert_eq!(code_and_text(&client.txn(covered).await.unwrap_err()), duplicate);
    let branches = TxnRequest {
        success: vec![nested(TxnRequest {
            success: vec![put("a", "1")],
            failure: vec![put("a", "2")],
            compare: vec![],
        })],
        ..TxnRequest::default()
    };
    client.txn(branches).await.unwrap();
    let outer = TxnRequest {
        success: vec![put("a", "0"), nested(TxnRequest { success: vec![put("a", "1")], ..TxnRequest::default() })],
        ..TxnRequest::default()
    };
    assert_eq!(code_and_text(&client.txn(outer).await.unwrap_err()), duplicate);
});

conformance!(nested_compares_see_the_state_before, async |server| {
    let mut client = server.client().await;
    let inner = TxnRequest {
        compare: vec![compare("a", CompareResult::Equal, TargetUnion::Version(0))],
        success: vec![put("b", "before")],
        failure: vec![put("b", "after")],
    };
    let request = TxnRequest { success: vec![put("a", "1"), nested(inner)], ..TxnRequest::default() };
    client.txn(request).await.unwrap();
    assert_eq!(client.value("b").await.as_deref(), Some("before"));
});

conformance!(too_many_operations_are_refused, async |server| {
    let mut client = server.client().await;
    let request = TxnRequest { success: vec![get("a"); 129], ..TxnRequest::default() };
    let error = client.txn(request).await.unwrap_err();
    assert_eq!(code_and_text(&error), (Code::InvalidArgument, "etcdserver: too many operations in txn request"));
    let request = TxnRequest { success: vec![get("a"); 128], ..TxnRequest::default() };
    assert_eq!(client.txn(request).await.unwrap().responses.len(), 128);
});

conformance!(a_refused_transaction_changes_nothing, async |server| {
    let mut client = server.client().await;
    let unknown_lease = PutRequest { key: "b".into(), lease: 77, ..PutRequest::default() };
    let request = TxnRequest {
        success: vec![put("a", "1"), RequestOp { request: Some(Request::RequestPut(unknown_lease)) }],
        ..TxnRequest::default()
    };
    let error = client.txn(request).await.unwrap_err();
    assert_eq!(code_and_text(&error), (Code::NotFound, "etcdserver: requested lease not found"));
    assert_eq!(client.value("a").await, None);
    assert_eq!(client.get("a").await.unwrap().header.unwrap().revision, 1);
});
