//! Reading much takes little: the memory of a server does not grow with what its clients read at once.

use std::fs;

use proto::etcdserverpb::request_op::Request;
use proto::etcdserverpb::{CompactionRequest, PutRequest, RangeRequest, RequestOp, TxnRequest};
use tests_store::{Client, Kind, Server, run};

const READERS: usize = 10;
const KEYS: usize = 51_200;
const VALUE: usize = 4096;
/// What all readers together may take, of what each of them reads: 200 MiB.
const ALLOWED: u64 = (KEYS * VALUE) as u64;
/// Keys in one transaction; so many are allowed.
const AT_ONCE: usize = 128;
/// Keys in one page, as kube-apiserver asks for them.
const PAGE: i64 = 500;

async fn fill(server: &Server) {
    let mut tasks = Vec::new();
    for writer in 0..4 {
        let mut client = server.client().await;
        tasks.push(tokio::spawn(async move {
            for batch in (writer..KEYS / AT_ONCE).step_by(4) {
                let put = |number: usize| {
                    let key = format!("k/{:06}", batch * AT_ONCE + number);
                    let value = vec![number as u8; VALUE];
                    let put = PutRequest { key: key.into(), value: value.into(), ..PutRequest::default() };
                    RequestOp { request: Some(Request::RequestPut(put)) }
                };
                let success = (0..AT_ONCE).map(put).collect();
                client.txn(TxnRequest { success, ..TxnRequest::default() }).await.expect("a transaction");
            }
        }));
    }
    for task in tasks {
        task.await.expect("a writer");
    }
    // Physical: everything is in files then.
    let compaction = CompactionRequest { revision: 2, physical: true };
    server.client().await.kv.compact(compaction).await.expect("a compaction");
}

/// A figure of a process from `/proc/<pid>/status`, in bytes.
fn memory(pid: u32, name: &str) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).expect("the server runs");
    let line = status.lines().find_map(|line| line.strip_prefix(name)).expect("the kernel tells");
    line.split_ascii_whitespace().next().and_then(|number| number.parse::<u64>().ok()).expect("a number") * 1024
}

/// Everything in one stream.
async fn by_stream(mut client: Client) -> usize {
    let request = RangeRequest { key: "k/".into(), range_end: "k0".into(), ..RangeRequest::default() };
    let mut parts = client.kv.range_stream(request).await.expect("a stream").into_inner();
    let mut found = 0;
    while let Some(part) = parts.message().await.expect("a part") {
        found += part.range_response.map_or(0, |answer| answer.kvs.len());
    }
    found
}

/// Page by page.
async fn by_page(mut client: Client) -> usize {
    let mut found = 0;
    let mut from = b"k/".to_vec();
    loop {
        let request = RangeRequest { key: from.into(), range_end: "k0".into(), limit: PAGE, ..RangeRequest::default() };
        let page = client.range(request).await.expect("a page");
        found += page.kvs.len();
        if !page.more {
            return found;
        }
        from = page.kvs.last().expect("a page has keys").key.to_vec();
        from.push(0);
    }
}

/// A part of it in one answer.
async fn as_a_whole(mut client: Client) -> usize {
    let request = RangeRequest { key: "k/".into(), range_end: "k/01".into(), ..RangeRequest::default() };
    let answer = client.range(request).await.expect("an answer");
    assert_eq!((answer.count, answer.more), (answer.kvs.len() as i64, false));
    for (number, pair) in answer.kvs.iter().enumerate() {
        assert_eq!(pair.key, format!("k/{number:06}").as_bytes());
        let value = (number % AT_ONCE) as u8;
        assert!(pair.value.len() == VALUE && pair.value.iter().all(|byte| *byte == value), "the value of {number}");
    }
    answer.kvs.len()
}

/// How much more memory the server takes at its peak while everybody reads everything.
async fn peak<F: Future<Output = usize> + Send + 'static>(
    server: &Server,
    keys: usize,
    read: impl Fn(Client) -> F,
) -> u64 {
    let before = memory(server.pid(), "VmRSS:");
    // The kernel forgets the peak so far.
    fs::write(format!("/proc/{}/clear_refs", server.pid()), "5").expect("the server is a child");
    let mut readers = Vec::new();
    for _ in 0..READERS {
        readers.push(tokio::spawn(read(server.client().await)));
    }
    for reader in readers {
        assert_eq!(reader.await.expect("a reader"), keys);
    }
    memory(server.pid(), "VmHWM:").saturating_sub(before)
}

#[test]
fn what_is_read_at_once_does_not_fill_the_memory() {
    run(Kind::Ours, async |server| {
        fill(&server).await;
        let figures = [
            ("streams", peak(&server, KEYS, by_stream).await, ALLOWED),
            ("pages", peak(&server, KEYS, by_page).await, ALLOWED),
            // Forty megabytes each: more than is held, so a part of them is read again.
            ("whole answers", peak(&server, 10_000, as_a_whole).await, ALLOWED + ALLOWED / 2),
        ];
        for (name, taken, allowed) in figures {
            eprintln!("{READERS} readers, by {name}: {taken} bytes");
            assert!(taken <= allowed, "by {name}: {taken} bytes");
        }
    });
}
