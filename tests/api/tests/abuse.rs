//! Clients that mean harm: the server stays as large as it was, refuses them, and answers everybody else meanwhile.

use std::time::{Duration, Instant};

use serde_json::json;
use tests_api::rig::{Client, Cluster, StoreKind};
use tests_api::{CONFIG_MAPS, config_map};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

/// How long a bystander waits for an answer while somebody else attacks; machines under test are slow.
const PATIENCE: Duration = Duration::from_secs(3);

/// Starts a server, lets `attack` have its way with it, and checks that others are answered meanwhile and that the server has not
/// grown by more than so many megabytes after.
async fn withstands<T>(megabytes: u64, attack: impl AsyncFnOnce(&Cluster) -> T) -> T {
    let mut cluster = Cluster::start(StoreKind::Orlop).await;
    let admin = cluster.admin();
    assert_eq!(admin.post(CONFIG_MAPS, &config_map("here", "1")).await.code, 201);
    let before = cluster.server().kilobytes("VmRSS");
    let bystander = tokio::spawn({
        let admin = admin.clone();
        async move {
            loop {
                let asked = Instant::now();
                assert_eq!(admin.get(&format!("{CONFIG_MAPS}/here")).await.code, 200);
                assert!(asked.elapsed() < PATIENCE, "an answer took {:?}", asked.elapsed());
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        }
    });
    let outcome = attack(&cluster).await;
    assert!(!bystander.is_finished(), "{:?}", bystander.await.map(|never: ()| never));
    bystander.abort();
    assert!(cluster.server().ended().is_none(), "the server ended");
    let grown = cluster.server().kilobytes("VmRSS").saturating_sub(before) / 1024;
    assert!(grown <= megabytes, "the server grew by {grown} MB");
    assert_eq!(admin.get("/livez").await.code, 200);
    outcome
}

/// A frame of HTTP/2.
fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let mut frame = Vec::with_capacity(9 + payload.len());
    frame.extend_from_slice(&(payload.len() as u32).to_be_bytes()[1..]);
    frame.extend_from_slice(&[kind, flags]);
    frame.extend_from_slice(&stream.to_be_bytes());
    frame.extend_from_slice(payload);
    frame
}

const HEADERS: u8 = 1;
const RESET: u8 = 3;
const SETTINGS: u8 = 4;
const CONTINUATION: u8 = 9;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;
/// A GET of the root of host `x`, in HPACK.
const REQUEST: [u8; 6] = [0x82, 0x87, 0x84, 0x01, 0x01, b'x'];

/// The first bytes of a client.
fn preface() -> Vec<u8> {
    let mut bytes = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
    bytes.extend(frame(SETTINGS, 0, 0, &[]));
    bytes
}

/// Writes until all is written or the server hangs up, and reads what it says. Returns how much was written, and whether the
/// server hung up within a few seconds.
async fn pour(client: &Client, chunks: impl Iterator<Item = Vec<u8>>) -> (usize, bool) {
    let (mut read, mut write) = tokio::io::split(client.stream(false).await.unwrap());
    let reader = tokio::spawn(async move {
        let mut buffer = vec![0; 64 << 10];
        while matches!(read.read(&mut buffer).await, Ok(1..)) {}
    });
    let mut written = 0;
    let writing = async {
        for chunk in chunks {
            if reader.is_finished() || write.write_all(&chunk).await.is_err() {
                break;
            }
            written += chunk.len();
        }
        let _ = write.flush().await;
    };
    let _ = tokio::time::timeout(Duration::from_secs(10), writing).await;
    let hung_up = tokio::time::timeout(Duration::from_secs(3), reader).await.is_ok();
    (written, hung_up)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rapid_resets_end_the_connection() {
    let (_, hung_up) = withstands(60, async |cluster: &Cluster| {
        let requests = (0..20_000_u32).map(|number| {
            let stream = 2 * number + 1;
            let mut bytes = frame(HEADERS, END_HEADERS | END_STREAM, stream, &REQUEST);
            bytes.extend(frame(RESET, 0, stream, &8_u32.to_be_bytes()));
            bytes
        });
        pour(&cluster.client(None), std::iter::once(preface()).chain(requests)).await
    })
    .await;
    assert!(hung_up, "the server bears with it");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_head_without_end_ends_the_connection() {
    let (written, hung_up) = withstands(60, async |cluster: &Cluster| {
        // Small fields, whole and never indexed: nothing is wrong with them but that there is always one more.
        let fields = [0x10, 0x01, b'a', 0x01, b'b'].repeat(3200);
        let mut first = preface();
        first.extend(frame(HEADERS, END_STREAM, 1, &REQUEST));
        let rest = (0..4096).map(move |_| frame(CONTINUATION, 0, 1, &fields));
        pour(&cluster.client(None), std::iter::once(first).chain(rest)).await
    })
    .await;
    assert!(hung_up, "the server reads on");
    assert!(written < 30 << 20, "the server took {written} bytes");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn headers_that_unpack_to_much_are_refused() {
    withstands(60, async |cluster: &Cluster| {
        let client = cluster.client(None);
        // One field of 4000 bytes into the table, and then a byte for each time it is named.
        let mut block = REQUEST.to_vec();
        block.extend([0x40, 0x01, b'b', 0x7f, 0xa1, 0x1e]);
        block.extend(std::iter::repeat_n(b'v', 4000));
        block.extend(std::iter::repeat_n(0xbe, 12_000));
        for round in 0..3 {
            let mut bytes = preface();
            for stream in 0..20 {
                bytes.extend(frame(
                    HEADERS,
                    END_HEADERS | END_STREAM,
                    2 * stream + 1,
                    &block[..block.len().min(16_000)],
                ));
            }
            let refused = tokio::time::timeout(Duration::from_secs(8), pour(&client, std::iter::once(bytes))).await;
            assert!(refused.is_ok(), "round {round} hangs");
        }
        // The old protocol, as plainly as can be.
        let mut stream = client.stream(true).await.unwrap();
        let mut refused = stream.write_all(b"GET /version HTTP/1.1\r\nhost: x\r\n").await.is_err();
        for number in 0..40_000 {
            if refused {
                break;
            }
            let line = format!("x-{number}: {}\r\n", "v".repeat(200));
            refused = stream.write_all(line.as_bytes()).await.is_err();
        }
        let mut answer = Vec::new();
        let _ = tokio::time::timeout(Duration::from_secs(3), stream.read_to_end(&mut answer)).await;
        let answer = String::from_utf8_lossy(&answer).into_owned();
        assert!(refused || answer.starts_with("HTTP/1.1 431"), "{answer}");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn idle_and_half_open_connections_cost_little() {
    withstands(120, async |cluster: &Cluster| {
        let client = cluster.client(None);
        let mut open = Vec::new();
        for number in 0..600 {
            let mut stream = client.stream(number % 2 == 0).await.unwrap();
            match number % 4 {
                // A head that does not come to its end, in both protocols.
                0 => stream.write_all(b"GET /version HTTP/1.1\r\nhost: x\r\nx-slow: ").await.unwrap(),
                1 => {
                    let mut bytes = preface();
                    bytes.extend(&frame(HEADERS, END_HEADERS, 1, &REQUEST)[..12]);
                    stream.write_all(&bytes).await.unwrap();
                }
                _ => {}
            }
            open.push(stream);
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
        // Nor do those keep anybody out that never begin to speak TLS.
        let mut silent = Vec::new();
        for _ in 0..200 {
            silent.push(tokio::net::TcpStream::connect(("127.0.0.1", cluster.port())).await.unwrap());
        }
        assert_eq!(cluster.admin().get("/readyz").await.code, 200);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn thousands_of_idle_watchers_cost_little() {
    withstands(120, async |cluster: &Cluster| {
        let admin = cluster.admin();
        let mut connections = Vec::new();
        let mut watches = Vec::new();
        for _ in 0..15 {
            let mut connection = admin.connect(false).await.unwrap();
            for _ in 0..200 {
                let path = format!("{CONFIG_MAPS}?watch=1&resourceVersion=0&fieldSelector=metadata.name=here");
                let watch = connection.open("GET", &path, &[], "").await.unwrap();
                assert_eq!(watch.status().as_u16(), 200);
                watches.push(watch);
            }
            connections.push(connection);
        }
        let asked = Instant::now();
        assert_eq!(admin.post(CONFIG_MAPS, &config_map("other", "1")).await.code, 201);
        assert!(asked.elapsed() < PATIENCE);
        let page = admin.get("/metrics").await.text();
        let running = page.lines().find(|line| {
            line.starts_with("apiserver_longrunning_requests{") && line.contains("resource=\"configmaps\"")
        });
        assert!(running.is_some_and(|line| line.ends_with("} 3000")), "not all are there: {running:?}");
        // They hold no places: that is over once they have begun.
        let held =
            "apiserver_flowcontrol_current_executing_requests{flow_schema=\"exempt\",priority_level=\"exempt\"} 1\n";
        assert!(page.contains(held), "{page}");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_gigantic_body_is_refused_unread() {
    withstands(60, async |cluster: &Cluster| {
        let admin = cluster.admin();
        let head = |length: &str| {
            format!("POST {CONFIG_MAPS} HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n{length}\r\n\r\n")
        };
        let mut stream = admin.stream(true).await.unwrap();
        stream.write_all(head("content-length: 10000000000").as_bytes()).await.unwrap();
        let mut answer = [0; 12];
        tokio::time::timeout(PATIENCE, stream.read_exact(&mut answer)).await.expect("it is not read").unwrap();
        assert_eq!(&answer, b"HTTP/1.1 413");
        // One whose end nobody announces is read as far as a good one may go.
        let (mut read, mut write) = tokio::io::split(admin.stream(true).await.unwrap());
        write.write_all(head("transfer-encoding: chunked").as_bytes()).await.unwrap();
        let reader = tokio::spawn(async move {
            let mut answer = [0; 12];
            read.read_exact(&mut answer).await.map(|_| answer)
        });
        let piece = [b"10000\r\n".as_slice(), &vec![b'x'; 0x10000], b"\r\n"].concat();
        let mut sent = 0;
        while !reader.is_finished() && sent < 200 << 20 && write.write_all(&piece).await.is_ok() {
            sent += piece.len();
        }
        assert_eq!(&reader.await.unwrap().unwrap(), b"HTTP/1.1 413");
        assert!(sent < 40 << 20, "the server took {sent} bytes");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn malformed_bodies_are_told_what_they_are() {
    withstands(80, async |cluster: &Cluster| {
        let admin = cluster.admin();
        let deep = |open: &str, close: &str| {
            let depth = 300_000;
            format!(r#"{{"apiVersion":"v1","kind":"ConfigMap","metadata":{{"name":"x"}},"data":{}{}}}"#,
                open.repeat(depth), close.repeat(depth))
        };
        let with = |member: &str| {
            format!(r#"{{"apiVersion":"v1","kind":"ConfigMap","metadata":{{"name":"x"}},{member}}}"#).into_bytes()
        };
        // A message in a message in a message, each of them the first field of the one around it.
        let mut nested = Vec::new();
        for _ in 0..2000 {
            let mut outer = vec![0x0a];
            let mut length = nested.len();
            while length > 0x7f {
                outer.push(length as u8 | 0x80);
                length >>= 7;
            }
            outer.push(length as u8);
            outer.extend(&nested);
            nested = outer;
        }
        let protobuf = [b"k8s\0".as_slice(), &nested].concat();
        let json = "application/json";
        for (what, media_type, body) in [
            ("deep lists", json, deep("[", "]").into_bytes()),
            ("deep maps", json, deep(r#"{"a":"#, "}").into_bytes()),
            ("deep lists without an end", json, vec![b'['; 2 << 20]),
            ("deep yaml", "application/yaml", format!("data: {}", "[".repeat(100_000)).into_bytes()),
            ("deeper and deeper yaml", "application/yaml", (0..1500).flat_map(|depth| [vec![b' '; depth], b"a:\n".to_vec()].concat()).collect()),
            ("yaml that names itself", "application/yaml", b"a: &a [x,x,x,x,x,x,x,x,x]\nb: &b [*a,*a,*a,*a,*a,*a,*a,*a,*a]\nc: &c [*b,*b,*b,*b,*b,*b,*b,*b,*b]\nd: &d [*c,*c,*c,*c,*c,*c,*c,*c,*c]\ne: &e [*d,*d,*d,*d,*d,*d,*d,*d,*d]\nf: &f [*e,*e,*e,*e,*e,*e,*e,*e,*e]\ng: &g [*f,*f,*f,*f,*f,*f,*f,*f,*f]\nh: &h [*g,*g,*g,*g,*g,*g,*g,*g,*g]\n".to_vec()),
            ("deep protobuf", "application/vnd.kubernetes.protobuf", protobuf),
            ("a number beyond all", json, with(&format!(r#""data":{{"a":{}}}"#, "9".repeat(1 << 20)))),
            ("an exponent beyond all", json, with(r#""immutable":1e999999999"#)),
            ("no utf-8", json, [b"{\"apiVersion\":\"v1\",\"kind\":\"ConfigMap\",\"metadata\":{\"name\":\"".as_slice(), &[0xff, 0xfe], b"\"}}"].concat()),
            ("half a surrogate", json, with(r#""data":{"a":"\ud800"},"kind":"Secret""#)),
            ("nothing", json, Vec::new()),
        ] {
            let asked = Instant::now();
            let answer = admin.send("POST", CONFIG_MAPS, &[("content-type", media_type)], &body).await;
            assert!((400..500).contains(&answer.code), "{what}: {} {}", answer.code, answer.text());
            assert_eq!(answer.json()["kind"], "Status", "{what}");
            assert!(asked.elapsed() < PATIENCE, "{what} took {:?}", asked.elapsed());
        }
        // The last of two wins, as ever; who asks for strictness is told.
        let twice = with(r#""data":{"a":"1","a":"2"}"#);
        let strict = format!("{CONFIG_MAPS}?fieldValidation=Strict");
        let answer = admin.send("POST", &strict, &[("content-type", json)], &twice).await;
        assert_eq!(answer.code, 400, "{}", answer.text());
        assert!(answer.text().contains("duplicate field"), "{}", answer.text());
        let answer = admin.send("POST", CONFIG_MAPS, &[("content-type", json)], &twice).await;
        assert_eq!((answer.code, &answer.json()["data"]), (201, &json!({ "a": "2" })));
    })
    .await;
}
