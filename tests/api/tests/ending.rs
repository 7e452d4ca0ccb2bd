//! Connections that end, and servers that do: nobody loses a request over it.

use std::time::{Duration, Instant};

use tests_api::rig::{Client, Cluster, Options, StoreKind};
use tests_api::{CONFIG_MAPS, config_map};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

async fn start(flags: &[&str]) -> Cluster {
    let flags = flags.iter().map(|&flag| flag.to_owned()).collect();
    Cluster::start(Options { store: StoreKind::Orlop, flags }).await
}

/// A POST whose body is still to come.
struct Slow {
    stream: Box<dyn Stream>,
    rest: Vec<u8>,
}

trait Stream: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send {}
impl<T: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send> Stream for T {}

impl Slow {
    async fn begin(client: &Client, path: &str, name: &str) -> Self {
        let mut stream = client.stream(true).await.unwrap();
        let body = config_map(name, "1").to_string();
        let head = format!(
            "POST {path} HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
            body.len()
        );
        stream.write_all(head.as_bytes()).await.unwrap();
        let (now, rest) = body.as_bytes().split_at(10);
        stream.write_all(now).await.unwrap();
        Self { stream: Box::new(stream), rest: rest.to_vec() }
    }

    /// Sends the rest, and returns what is answered until the connection ends.
    async fn finish(mut self) -> String {
        self.stream.write_all(&self.rest).await.unwrap();
        self.answer().await
    }

    async fn answer(mut self) -> String {
        let mut answer = Vec::new();
        let _ = self.stream.read_to_end(&mut answer).await;
        String::from_utf8_lossy(&answer).into_owned()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn now_and_then_a_client_is_sent_to_another_server() {
    let cluster = start(&["--goaway-chance=0.02"]).await;
    let admin = cluster.admin();
    let mut watch = admin.connect(false).await.unwrap();
    let mut ends = Vec::new();
    for _ in 0..3 {
        let mut connection = admin.connect(false).await.unwrap();
        let answered = async {
            let mut answered = 0;
            // The answer to the request that brings it about comes, too.
            while let Ok(answer) = connection.send("GET", "/version", &[], "").await {
                assert_eq!(answer.code, 200);
                answered += 1;
            }
            answered
        };
        ends.push(tokio::time::timeout(Duration::from_secs(30), answered).await.expect("the connection goes away"));
    }
    assert!(ends.iter().sum::<i32>() > 5, "{ends:?}");
    // A watch on a connection that goes away goes on. Its first answer is not needed for that.
    let mut body = watch.open("GET", &format!("{CONFIG_MAPS}?watch=1"), &[], "").await.unwrap();
    while watch.send("GET", "/version", &[], "").await.is_ok() {}
    assert_eq!(admin.post(CONFIG_MAPS, &config_map("seen", "1")).await.code, 201);
    let frame = http_body_util::BodyExt::frame(body.body_mut()).await.expect("the watch goes on").expect("and well");
    let text = String::from_utf8(frame.into_data().expect("data").to_vec()).unwrap();
    assert!(text.contains("\"ADDED\""), "{text}");
    // HTTP/1.1 knows no such thing.
    let mut old = admin.connect(true).await.unwrap();
    for _ in 0..200 {
        assert_eq!(old.send("GET", "/version", &[], "").await.unwrap().code, 200);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_leaves_sends_new_requests_elsewhere_and_answers_the_others() {
    let mut cluster = start(&["--shutdown-delay-duration=1s", "--shutdown-send-retry-after=true"]).await;
    let admin = cluster.admin();
    let slow = Slow::begin(&admin, CONFIG_MAPS, "slow").await;
    let path = format!("{CONFIG_MAPS}?watch=1&resourceVersion=0");
    let mut watch = admin.connect(false).await.unwrap().watch(&path).await;
    let mut open = admin.connect(false).await.unwrap();
    assert_eq!(open.send("GET", "/readyz", &[], "").await.unwrap().code, 200);
    cluster.server().ask_to_end();
    let asked = Instant::now();
    // First it is not ready, and serves all the same.
    while open.send("GET", "/readyz", &[], "").await.unwrap().code == 200 {
        assert!(asked.elapsed() < Duration::from_millis(900), "still ready after {:?}", asked.elapsed());
    }
    assert_eq!(open.send("GET", CONFIG_MAPS, &[], "").await.unwrap().code, 200);
    // Then it serves nobody new, on old and new connections; but whoever looks at it.
    tokio::time::sleep(Duration::from_millis(1300).saturating_sub(asked.elapsed())).await;
    let answer = open.send("GET", CONFIG_MAPS, &[], "").await.unwrap();
    assert_eq!((answer.code, answer.header("retry-after")), (429, "5"), "{}", answer.text());
    assert_eq!(answer.text(), "The apiserver is shutting down, please try again later.\n");
    let mut fresh = admin.connect(true).await.unwrap();
    let answer = fresh.send("GET", CONFIG_MAPS, &[], "").await.unwrap();
    assert_eq!((answer.code, answer.header("connection")), (429, "close"));
    assert_eq!(admin.get("/livez").await.code, 200);
    while watch.next().await.is_some() {}
    assert!(cluster.server().ended().is_none(), "a request was left behind");
    let answer = slow.finish().await;
    assert!(answer.starts_with("HTTP/1.1 201"), "{answer}");
    let status = tokio::task::block_in_place(|| cluster.server().end());
    assert_eq!(status.code(), Some(0));
    cluster.restart_server_with(&[]).await;
    assert_eq!(cluster.admin().get(&format!("{CONFIG_MAPS}/slow")).await.code, 200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn watches_end_one_after_the_other() {
    let mut cluster = start(&["--shutdown-watch-termination-grace-period=2s"]).await;
    let admin = cluster.admin();
    let mut ends = Vec::new();
    let mut watches = Vec::new();
    for _ in 0..20 {
        let path = format!("{CONFIG_MAPS}?watch=1&resourceVersion=0");
        watches.push(admin.connect(false).await.unwrap().watch(&path).await);
    }
    cluster.server().ask_to_end();
    let asked = Instant::now();
    let tasks: Vec<_> = watches
        .into_iter()
        .map(|mut watch| {
            tokio::spawn(async move {
                while watch.next().await.is_some() {}
                asked.elapsed()
            })
        })
        .collect();
    for task in tasks {
        ends.push(task.await.unwrap());
    }
    ends.sort();
    assert!(ends[19] > ends[0] + Duration::from_millis(500), "{ends:?}");
    assert!(ends[19] < Duration::from_secs(6), "{ends:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_has_the_time_it_asks_for_and_no_more() {
    let cluster = start(&["--request-timeout=2s"]).await;
    let admin = cluster.admin();
    for (path, least, most) in [("?timeout=300ms", 300, 1500), ("?timeout=1h", 2000, 4000), ("", 2000, 4000)] {
        let began = Instant::now();
        let slow = Slow::begin(&admin, &format!("{CONFIG_MAPS}{path}"), "slow").await;
        let answer = slow.answer().await;
        let took = began.elapsed().as_millis();
        assert!(answer.starts_with("HTTP/1.1 504"), "{answer}");
        assert!(answer.contains("request did not complete within the allotted timeout"), "{answer}");
        assert!((least..most).contains(&took), "{path} took {took} ms");
    }
    let answer = admin.get("/api/v1/namespaces?timeout=5").await;
    assert_eq!(answer.code, 400);
    assert_eq!(
        answer.json()["message"],
        "invalid timeout specified in the request URL - time: missing unit in duration \"5\""
    );
}
