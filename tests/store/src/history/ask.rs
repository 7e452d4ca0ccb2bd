//! Questions of a history, as requests; and events, as its changes.

use proto::etcdserverpb::compare::{CompareResult, CompareTarget, TargetUnion};
use proto::etcdserverpb::kv_client::KvClient;
use proto::etcdserverpb::request_op::Request;
use proto::etcdserverpb::{Compare, DeleteRangeRequest, PutRequest, RangeRequest, RequestOp, TxnRequest, response_op};
use proto::mvccpb::Event;
use proto::mvccpb::event::EventType;
use tonic::Status;
use tonic::body::Body;
use tonic::client::GrpcService;
use tonic::codegen::{Body as HttpBody, Bytes, StdError};

use super::{Asked, Change, Told};

/// The changes that a watcher was told of.
pub fn changes(events: &[Event]) -> impl Iterator<Item = Change> {
    events.iter().map(|event| {
        let kv = event.kv.as_ref().expect("an event has a key");
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let value = (event.r#type() == EventType::Put).then(|| text(&kv.value));
        Change { revision: kv.mod_revision, key: text(&kv.key), value }
    })
}

fn revision(header: Option<proto::etcdserverpb::ResponseHeader>) -> i64 {
    header.expect("an answer has a header").revision
}

fn state(kvs: &[proto::mvccpb::KeyValue]) -> Option<(String, i64)> {
    kvs.first().map(|kv| (String::from_utf8_lossy(&kv.value).into_owned(), kv.mod_revision))
}

/// Asks a store what a history can hold.
pub async fn ask<C>(kv: &mut KvClient<C>, asked: &Asked) -> Result<Told, Status>
where
    C: GrpcService<Body>,
    C::Error: Into<StdError>,
    C::ResponseBody: HttpBody<Data = Bytes> + Send + 'static,
    <C::ResponseBody as HttpBody>::Error: Into<StdError> + Send,
{
    let read =
        |key: &str, serializable| RangeRequest { key: key.to_owned().into(), serializable, ..RangeRequest::default() };
    let put = |key: &str, value: &str| PutRequest {
        key: key.to_owned().into(),
        value: value.to_owned().into(),
        ..PutRequest::default()
    };
    match asked {
        Asked::Put { key, value } => {
            let answer = kv.put(put(key, value)).await?.into_inner();
            Ok(Told::Written(revision(answer.header)))
        }
        Asked::Delete { key } => {
            let request = DeleteRangeRequest { key: key.clone().into(), ..DeleteRangeRequest::default() };
            let answer = kv.delete_range(request).await?.into_inner();
            let revision = revision(answer.header);
            Ok(if answer.deleted == 1 { Told::Written(revision) } else { Told::Found { revision, state: None } })
        }
        Asked::Get { key, serializable } => {
            let answer = kv.range(read(key, *serializable)).await?.into_inner();
            Ok(Told::Found { revision: revision(answer.header), state: state(&answer.kvs) })
        }
        Asked::Swap { key, expected, value } => {
            let compare = Compare {
                result: CompareResult::Equal.into(),
                target: CompareTarget::Mod.into(),
                key: key.clone().into(),
                target_union: Some(TargetUnion::ModRevision(*expected)),
                ..Compare::default()
            };
            let op = |request| RequestOp { request: Some(request) };
            let request = TxnRequest {
                compare: vec![compare],
                success: vec![op(Request::RequestPut(put(key, value)))],
                failure: vec![op(Request::RequestRange(read(key, false)))],
            };
            let answer = kv.txn(request).await?.into_inner();
            let revision = revision(answer.header);
            if answer.succeeded {
                return Ok(Told::Written(revision));
            }
            let found = answer.responses.into_iter().find_map(|op| match op.response {
                Some(response_op::Response::ResponseRange(range)) => Some(range),
                _ => None,
            });
            Ok(Told::Found { revision, state: state(&found.expect("the other branch reads").kvs) })
        }
    }
}
