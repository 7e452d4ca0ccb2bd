//! Priority and fairness: who is served when too many ask, and what they are told.

use std::time::{Duration, Instant};

use hyper::Response;
use hyper::body::Incoming;
use serde_json::{Value, json};
use tests_api::rig::{Client, Cluster, Connection, Options, StoreKind};
use tests_api::{CONFIG_MAPS, config_map};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

const GROUP: &str = "/apis/flowcontrol.apiserver.k8s.io/v1";
const SCHEMA: &str = "x-kubernetes-pf-flowschema-uid";
const LEVEL: &str = "x-kubernetes-pf-prioritylevel-uid";

async fn start(flags: &[&str]) -> Cluster {
    let flags = flags.iter().map(|&flag| flag.to_owned()).collect();
    Cluster::start(Options { store: StoreKind::Orlop, flags }).await
}

async fn uid(admin: &Client, kind: &str, name: &str) -> String {
    let object = admin.get(&format!("{GROUP}/{kind}/{name}")).await.json();
    object["metadata"]["uid"].as_str().unwrap_or_else(|| panic!("no uid: {object}")).to_owned()
}

/// A level of a few seats with a few queues.
fn level(name: &str) -> Value {
    json!({
        "apiVersion": "flowcontrol.apiserver.k8s.io/v1", "kind": "PriorityLevelConfiguration",
        "metadata": { "name": name },
        "spec": { "type": "Limited", "limited": {
            "nominalConcurrencyShares": 30, "lendablePercent": 0, "borrowingLimitPercent": 0,
            "limitResponse": { "type": "Queue", "queuing": { "queues": 32, "handSize": 4, "queueLengthLimit": 20 } },
        } },
    })
}

/// A schema of that level for some users.
fn schema(name: &str, users: &[&str]) -> Value {
    let subjects: Vec<Value> = users.iter().map(|user| json!({ "kind": "User", "user": { "name": user } })).collect();
    json!({
        "apiVersion": "flowcontrol.apiserver.k8s.io/v1", "kind": "FlowSchema", "metadata": { "name": name },
        "spec": {
            "matchingPrecedence": 100, "priorityLevelConfiguration": { "name": name },
            "distinguisherMethod": { "type": "ByUser" },
            "rules": [{ "subjects": subjects, "resourceRules": [
                { "verbs": ["*"], "apiGroups": ["*"], "resources": ["*"], "namespaces": ["*"], "clusterScope": true },
            ] }],
        },
    })
}

/// Makes a level and its schema, and waits until they are in force.
async fn divide(cluster: &Cluster, name: &str, users: &[&str]) {
    let admin = cluster.admin();
    for (kind, object) in [("prioritylevelconfigurations", level(name)), ("flowschemas", schema(name, users))] {
        let answer = admin.post(&format!("{GROUP}/{kind}"), &object).await;
        assert_eq!(answer.code, 201, "{}", answer.text());
    }
    let uid = uid(&admin, "flowschemas", name).await;
    let user = cluster.client(Some(&cluster.credentials.user(users[0], None)));
    eventually("the schema is in force", async || user.get("/api/v1/nodes").await.header(SCHEMA) == uid).await;
}

async fn eventually(what: &str, probe: impl AsyncFn() -> bool) {
    let started = Instant::now();
    while !probe().await {
        assert!(started.elapsed() < Duration::from_secs(20), "waited in vain: {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Opens watches of all `ConfigMap`s: they make every change of one cost its level something for a while.
async fn crowd(admin: &Client, count: usize) -> (Connection, Vec<Response<Incoming>>) {
    let mut connection = admin.connect(false).await.unwrap();
    let mut watches = Vec::new();
    for _ in 0..count {
        let path = "/api/v1/configmaps?watch=true&resourceVersion=0";
        watches.push(connection.open("GET", path, &[], "").await.unwrap());
    }
    (connection, watches)
}

/// Many requests of one user at once, each on a stream of its own; returns the codes of their answers.
fn storm(client: &Client, count: usize) -> Vec<tokio::task::JoinHandle<(u16, String)>> {
    let ask = |client: Client| async move {
        let body = config_map("never", "1").to_string();
        let headers = [("content-type", "application/json")];
        let answer = client.send("POST", CONFIG_MAPS, &headers, &body).await;
        (answer.code, answer.header("retry-after").to_owned())
    };
    (0..count).map(|_| tokio::spawn(ask(client.clone()))).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_answer_tells_what_the_request_was_taken_for() {
    let cluster = start(&[]).await;
    let admin = cluster.admin();
    let ann = cluster.client(Some(&cluster.credentials.user("ann", None)));
    let exempt =
        (uid(&admin, "flowschemas", "exempt").await, uid(&admin, "prioritylevelconfigurations", "exempt").await);
    let probes = uid(&admin, "flowschemas", "probes").await;
    let general = uid(&admin, "flowschemas", "global-default").await;
    for path in ["/api/v1/namespaces", "/version", "/api/v1/namespaces/none", "/nowhere", "/metrics"] {
        let answer = admin.get(path).await;
        assert_eq!((answer.header(SCHEMA), answer.header(LEVEL)), (exempt.0.as_str(), exempt.1.as_str()), "{path}");
    }
    let probe = ann.get("/readyz").await;
    assert_eq!((probe.header(SCHEMA), probe.header(LEVEL)), (probes.as_str(), exempt.1.as_str()));
    let refused = ann.get("/api/v1/namespaces").await;
    assert_eq!((refused.code, refused.header(SCHEMA)), (403, general.as_str()));
    let watch = admin.connect(false).await.unwrap().open("GET", &format!("{CONFIG_MAPS}?watch=1"), &[], "").await;
    assert_eq!(watch.unwrap().headers()[SCHEMA], exempt.0.as_str());
    // Who is nobody is taken for nothing.
    let nobody = cluster.client(None).get("/api/v1/namespaces").await;
    assert_eq!((nobody.code, nobody.header(SCHEMA)), (401, ""));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_elephant_starves_no_mouse() {
    // Thirty seats, of which the level gets four; each change holds one for 100 ms, because of 200 watchers.
    let cluster = start(&["--max-requests-inflight=20", "--max-mutating-requests-inflight=10"]).await;
    divide(&cluster, "narrow", &["elephant", "mouse"]).await;
    let admin = cluster.admin();
    let _crowd = crowd(&admin, 200).await;
    let elephant = cluster.client(Some(&cluster.credentials.user("elephant", None)));
    let mouse = cluster.client(Some(&cluster.credentials.user("mouse", None)));
    let storm = storm(&elephant, 150);
    eventually("the elephant fills its queues", async || {
        admin.get("/metrics").await.text().lines().any(|line| {
            line.starts_with("apiserver_flowcontrol_rejected_requests_total") && line.contains("reason=\"queue-full\"")
        })
    })
    .await;
    // Whoever is exempt does not notice.
    let quick = Instant::now();
    assert_eq!(admin.post(CONFIG_MAPS, &config_map("mine", "1")).await.code, 201);
    assert_eq!(mouse.get("/readyz").await.code, 200);
    assert!(quick.elapsed() < Duration::from_secs(1), "{:?}", quick.elapsed());
    let page = admin.get("/debug/api_priority_and_fairness/dump_requests?includeRequestDetails=1").await.text();
    assert!(page.lines().filter(|line| line.contains("elephant") && line.contains(CONFIG_MAPS)).count() > 20, "{page}");
    // Behind eighty others, four at a time, each of these would take two seconds.
    let started = Instant::now();
    for _ in 0..4 {
        let answer = mouse.post(CONFIG_MAPS, &config_map("never", "1")).await;
        assert_eq!(answer.code, 403, "{}", answer.text());
    }
    let took = started.elapsed();
    assert!(took < Duration::from_millis(2500), "the mouse waited {took:?}");
    let mut codes = Vec::new();
    for one in storm {
        codes.push(one.await.unwrap());
    }
    let refused: Vec<_> = codes.iter().filter(|(code, _)| *code == 429).collect();
    assert!(refused.len() >= 40 && refused.len() < 100, "{} of 150 were turned away", refused.len());
    assert!(refused.iter().all(|(_, again)| again.parse::<u64>().is_ok_and(|again| (1..=32).contains(&again))));
    assert!(codes.iter().all(|(code, _)| matches!(code, 403 | 429)));
    let page = admin.get("/metrics").await.text();
    let value = |name: &str| -> u64 {
        let start = format!("apiserver_flowcontrol_{name}{{");
        let lines = page.lines().filter(|line| line.starts_with(&start) && line.contains("priority_level=\"narrow\""));
        lines.filter_map(|line| line.rsplit_once(' ')?.1.parse::<u64>().ok()).sum()
    };
    assert_eq!(value("rejected_requests_total"), refused.len() as u64);
    assert!(value("dispatched_requests_total") >= (150 - refused.len() + 4) as u64);
    assert_eq!([value("nominal_limit_seats"), value("current_limit_seats"), value("upper_limit_seats")], [4; 3]);
    assert_eq!(value("current_inqueue_requests"), 0);
    let page = admin.get("/debug/api_priority_and_fairness/dump_priority_levels").await.text();
    assert!(page.lines().any(|line| line.starts_with("narrow,")), "{page}");
    let page = admin.get("/debug/api_priority_and_fairness/dump_queues").await.text();
    assert_eq!(page.lines().filter(|line| line.starts_with("narrow,")).count(), 32, "{page}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_has_gone_does_not_wait() {
    let cluster = start(&["--max-requests-inflight=20", "--max-mutating-requests-inflight=10"]).await;
    divide(&cluster, "narrow", &["elephant"]).await;
    let admin = cluster.admin();
    let _crowd = crowd(&admin, 200).await;
    let elephant = cluster.client(Some(&cluster.credentials.user("elephant", None)));
    let waiting = async || {
        let page = admin.get("/metrics").await.text();
        let mut lines = page.lines().filter(|line| {
            line.starts_with("apiserver_flowcontrol_current_inqueue_requests{") && line.contains("narrow")
        });
        lines.next().and_then(|line| line.rsplit_once(' ')?.1.parse::<usize>().ok()).unwrap_or(0)
    };
    let storm = storm(&elephant, 80);
    eventually("some wait", async || waiting().await > 20).await;
    for one in storm {
        one.abort();
    }
    let left = Instant::now();
    eventually("nobody waits", async || waiting().await == 0).await;
    assert!(left.elapsed() < Duration::from_secs(1), "{:?}", left.elapsed());
    assert!(admin.get("/metrics").await.text().contains("reason=\"cancelled\""));
    // One that may not wait for long is told so in time.
    let storm = self::storm(&elephant, 80);
    eventually("some wait again", async || waiting().await > 30).await;
    let (headers, body) = ([("content-type", "application/json")], config_map("never", "1").to_string());
    let started = Instant::now();
    let answer = elephant.send("POST", &format!("{CONFIG_MAPS}?timeout=400ms"), &headers, &body).await;
    assert_eq!((answer.code, answer.text().as_str()), (429, "Too many requests, please try again later.\n"));
    assert!(started.elapsed() < Duration::from_millis(390), "{:?}", started.elapsed());
    drop(storm);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_schema_says_whether_its_level_is_there() {
    let cluster = start(&[]).await;
    let admin = cluster.admin();
    let levels = format!("{GROUP}/prioritylevelconfigurations");
    assert_eq!(admin.post(&format!("{GROUP}/flowschemas"), &schema("lonely", &["ann"])).await.code, 201);
    let condition = async || {
        let object = admin.get(&format!("{GROUP}/flowschemas/lonely")).await.json();
        let conditions = object["status"]["conditions"].as_array().cloned().unwrap_or_default();
        conditions.into_iter().find(|one| one["type"] == "Dangling").unwrap_or_default()
    };
    eventually("it is found dangling", async || condition().await["status"] == "True").await;
    let said = condition().await;
    assert_eq!(said["reason"], "NotFound");
    assert_eq!(
        said["message"],
        "This FlowSchema references the PriorityLevelConfiguration object named \"lonely\" but there is no such object"
    );
    let ann = cluster.client(Some(&cluster.credentials.user("ann", None)));
    let general = uid(&admin, "flowschemas", "global-default").await;
    assert_eq!(ann.get("/api/v1/nodes").await.header(SCHEMA), general);
    assert_eq!(admin.post(&levels, &level("lonely")).await.code, 201);
    eventually("it is not any more", async || condition().await["status"] == "False").await;
    assert_eq!(condition().await["reason"], "Found");
    let own = uid(&admin, "flowschemas", "lonely").await;
    assert_eq!(ann.get("/api/v1/nodes").await.header(SCHEMA), own);
    // What is mandatory is in force without its object, and comes back.
    assert_eq!(admin.delete(&format!("{GROUP}/flowschemas/exempt")).await.code, 200);
    eventually("the server's own takes its place", async || {
        admin.get("/version").await.headers.get(SCHEMA).is_some_and(http::HeaderValue::is_empty)
    })
    .await;
    eventually("the object is there again", async || {
        admin.get(&format!("{GROUP}/flowschemas/exempt")).await.code == 200
    })
    .await;
    let exempt = uid(&admin, "flowschemas", "exempt").await;
    eventually("it is in force", async || admin.get("/version").await.header(SCHEMA) == exempt).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_fairness_the_plain_limit_holds() {
    let cluster = start(&["--enable-priority-and-fairness=false", "--max-mutating-requests-inflight=1"]).await;
    let admin = cluster.admin();
    let ann = cluster.client(Some(&cluster.credentials.user("ann", None)));
    let mut slow = admin.stream(true).await.unwrap();
    let body = config_map("slow", "1").to_string();
    let head = format!(
        "POST {CONFIG_MAPS} HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    slow.write_all(head.as_bytes()).await.unwrap();
    slow.write_all(&body.as_bytes()[..10]).await.unwrap();
    let refused = async || ann.post(CONFIG_MAPS, &config_map("a", "1")).await;
    eventually("the only place is taken", async || refused().await.code == 429).await;
    let answer = refused().await;
    assert_eq!(answer.text(), "Too many requests, please try again later.\n");
    assert_eq!((answer.header("retry-after"), answer.header(SCHEMA)), ("1", ""));
    assert_eq!(ann.get("/api/v1/nodes").await.code, 403);
    assert_eq!(admin.post(CONFIG_MAPS, &config_map("b", "1")).await.code, 201);
    slow.write_all(&body.as_bytes()[10..]).await.unwrap();
    let mut read = [0; 12];
    slow.read_exact(&mut read).await.unwrap();
    assert_eq!(&read, b"HTTP/1.1 201");
    eventually("the place is free", async || refused().await.code == 403).await;
    assert_eq!(admin.get("/debug/api_priority_and_fairness/dump_queues").await.code, 404);
}
