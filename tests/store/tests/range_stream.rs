//! `KV.RangeStream`, which etcd has since 3.7: the parts, merged, are the answer of `Range`. The distribution's etcd is
//! older and does not know the call, so the reference here is our own `Range`.

use proto::etcdserverpb::{CompactionRequest, PutRequest, RangeRequest, RangeResponse};
use tests_store::{Client, Kind, Server, code_and_text, range_of_prefix, run};
use tonic::{Code, Status};

async fn stream(client: &mut Client, request: RangeRequest) -> Result<(RangeResponse, usize), Status> {
    let mut parts = client.kv.range_stream(request).await?.into_inner();
    let mut merged = RangeResponse::default();
    let mut count = 0;
    while let Some(part) = parts.message().await? {
        let part = part.range_response.expect("a part holds something");
        assert!(merged.header.is_none(), "only the last part has a header");
        count += 1;
        merged.kvs.extend(part.kvs);
        (merged.header, merged.more, merged.count) = (part.header, part.more, part.count);
    }
    assert!(merged.header.as_ref().is_some_and(|header| header.revision > 0));
    Ok((merged, count))
}

async fn fill(client: &mut Client, keys: usize, bytes: usize) {
    for index in 0..keys {
        let request = PutRequest {
            key: format!("p/{index:04}").into(),
            value: vec![b'x'; bytes].into(),
            ..PutRequest::default()
        };
        client.put_request(request).await.expect("put");
    }
}

#[test]
fn the_parts_are_the_answer() {
    run(Kind::Ours, async |server: Server| {
        let mut client = server.client().await;
        fill(&mut client, 120, 20_000).await;
        client.delete("p/0007").await;
        let all = range_of_prefix("p/");
        let requests = [
            all.clone(),
            RangeRequest { limit: 50, ..all.clone() },
            RangeRequest { limit: 119, ..all.clone() },
            RangeRequest { keys_only: true, ..all.clone() },
            RangeRequest { count_only: true, ..all.clone() },
            RangeRequest { revision: 60, ..all.clone() },
            RangeRequest { revision: 60, limit: 10, keys_only: true, ..all.clone() },
            RangeRequest { sort_order: 1, ..all.clone() },
            range_of_prefix("nothing/"),
            RangeRequest { key: "p/0001".into(), ..RangeRequest::default() },
        ];
        for request in requests {
            let whole = client.range(request.clone()).await.expect("range");
            let (merged, _) = stream(&mut client, request.clone()).await.expect("stream");
            assert_eq!(merged, whole, "{request:?}");
        }
        let (_, parts) = stream(&mut client, all).await.expect("stream");
        assert!(parts > 2, "2.4 MB came in {parts} parts");
    });
}

#[test]
fn what_cannot_be_streamed_is_refused() {
    run(Kind::Ours, async |server: Server| {
        let mut client = server.client().await;
        fill(&mut client, 5, 10).await;
        client.kv.compact(CompactionRequest { revision: 4, physical: false }).await.unwrap();
        let all = range_of_prefix("p/");
        let table = [
            (RangeRequest { sort_order: 2, ..all.clone() }, Code::Unimplemented),
            (RangeRequest { sort_target: 1, ..all.clone() }, Code::Unimplemented),
            (RangeRequest { min_mod_revision: 1, ..all.clone() }, Code::Unimplemented),
            (RangeRequest { revision: 3, ..all.clone() }, Code::OutOfRange),
            (RangeRequest { revision: 99, ..all.clone() }, Code::OutOfRange),
            (RangeRequest::default(), Code::InvalidArgument),
        ];
        for (request, code) in table {
            let refused = stream(&mut client, request.clone()).await.unwrap_err();
            assert_eq!(code_and_text(&refused).0, code, "{request:?}");
        }
    });
}
