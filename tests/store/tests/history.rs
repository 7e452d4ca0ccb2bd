//! Clients at every member while members are killed and paused: one order of events explains all that they were told.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use proto::etcdserverpb::compare::{CompareResult, CompareTarget, TargetUnion};
use proto::etcdserverpb::request_op::Request;
use proto::etcdserverpb::{Compare, DeleteRangeRequest, PutRequest, RangeRequest, RequestOp, TxnRequest, response_op};
use proto::mvccpb::event::EventType;
use tests_store::dice::Dice;
use tests_store::history::{Asked, Change, History, Told, Watched};
use tests_store::{Client, Cluster, cluster_conformance};

const PREFIX: &str = "history/";
/// Few keys: clients get in each other's way.
const KEYS: u64 = 10;
const CLIENTS: u64 = 10;
/// Longer than an election, so that most questions outlive one.
const PATIENCE: Duration = Duration::from_secs(4);
/// Between two faults, for the cluster to do some work.
const CALM: Duration = Duration::from_millis(1500);
/// The last write, which every watcher waits for.
const END: &str = "end";

/// One client: asks one member after the other for as long as it is wanted.
struct Worker {
    number: u64,
    /// A connection to each member; the first is asked.
    members: Vec<Client>,
    dice: Dice,
    history: Arc<History>,
    count: u64,
}

impl Worker {
    async fn run(mut self, stop: Arc<AtomicBool>) {
        let mut last = vec![0; KEYS as usize];
        while !stop.load(Ordering::SeqCst) {
            let number = self.dice.below(KEYS);
            let key = format!("{PREFIX}{number}");
            self.count += 1;
            let value = format!("{}-{}", self.number, self.count);
            let expected = last[number as usize];
            let asked = match self.dice.below(10) {
                0..3 => Asked::Put { key, value },
                3..6 => Asked::Swap { key, expected, value },
                6 => Asked::Delete { key },
                7 => Asked::Get { key, serializable: true },
                _ => Asked::Get { key, serializable: false },
            };
            let mut client = self.members[0].clone();
            let answer = async {
                match tokio::time::timeout(PATIENCE, ask(&mut client, &asked)).await {
                    Ok(Ok(told)) => told,
                    Ok(Err(_)) | Err(_) => Told::Nothing,
                }
            };
            match self.history.record(asked.clone(), answer).await {
                Told::Written(revision) => last[number as usize] = revision,
                Told::Found { state, .. } => last[number as usize] = state.map_or(0, |(_, changed)| changed),
                Told::Nothing => {
                    self.members.rotate_left(1);
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
            }
        }
    }
}

fn revision(header: Option<proto::etcdserverpb::ResponseHeader>) -> i64 {
    header.expect("an answer has a header").revision
}

fn state(kvs: &[proto::mvccpb::KeyValue]) -> Option<(String, i64)> {
    kvs.first().map(|kv| (String::from_utf8_lossy(&kv.value).into_owned(), kv.mod_revision))
}

async fn ask(client: &mut Client, asked: &Asked) -> Result<Told, tonic::Status> {
    let read =
        |key: &str, serializable| RangeRequest { key: key.to_owned().into(), serializable, ..RangeRequest::default() };
    let put = |key: &str, value: &str| PutRequest {
        key: key.to_owned().into(),
        value: value.to_owned().into(),
        ..PutRequest::default()
    };
    match asked {
        Asked::Put { key, value } => {
            let answer = client.kv.put(put(key, value)).await?.into_inner();
            Ok(Told::Written(revision(answer.header)))
        }
        Asked::Delete { key } => {
            let request = DeleteRangeRequest { key: key.clone().into(), ..DeleteRangeRequest::default() };
            let answer = client.kv.delete_range(request).await?.into_inner();
            let revision = revision(answer.header);
            Ok(if answer.deleted == 1 { Told::Written(revision) } else { Told::Found { revision, state: None } })
        }
        Asked::Get { key, serializable } => {
            let answer = client.kv.range(read(key, *serializable)).await?.into_inner();
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
            let answer = client.kv.txn(request).await?.into_inner();
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

/// Watches everything from the first revision on, at one member after the other, until the last write.
async fn watch(mut members: Vec<Client>) -> Watched {
    let mut watched = Watched { start: 1, changes: Vec::new() };
    loop {
        let next = watched.changes.last().map_or(1, |change| change.revision + 1);
        if let Ok(true) = follow(&mut members[0], next, &mut watched).await {
            return watched;
        }
        members.rotate_left(1);
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// Follows one watch to its end; whether that was the last write.
async fn follow(client: &mut Client, start: i64, watched: &mut Watched) -> Result<bool, tonic::Status> {
    let mut watcher = client.try_watch_prefix(PREFIX, start).await?;
    // A member that is paused says nothing, and does not end the stream either.
    while let Ok(answer) = tokio::time::timeout(PATIENCE, watcher.message()).await {
        let Some(answer) = answer? else { return Ok(false) };
        for event in &answer.events {
            let kv = event.kv.as_ref().expect("an event has a key");
            let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
            let value = (event.r#type() == EventType::Put).then(|| text(&kv.value));
            watched.changes.push(Change { revision: kv.mod_revision, key: text(&kv.key), value });
        }
        if watched.changes.last().is_some_and(|change| change.value.as_deref() == Some(END)) {
            return Ok(true);
        }
    }
    Ok(false)
}

async fn clients(cluster: &Cluster, first: usize) -> Vec<Client> {
    let mut clients = Vec::new();
    for offset in 0..cluster.size() {
        clients.push(cluster.client((first + offset) % cluster.size()).await);
    }
    clients
}

/// Waits until the clients got so many more answers.
async fn progress(history: &History, answers: usize) {
    let goal = history.answered() + answers;
    while history.answered() < goal {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

async fn faults(cluster: &mut Cluster, history: &History) {
    for round in 0..2 {
        let leader = cluster.leader().await;
        cluster.kill(leader);
        progress(history, 200).await;
        cluster.restart(leader).await;
        tokio::time::sleep(CALM).await;

        // A leader that wakes up does not know that there is another one.
        let leader = cluster.leader().await;
        cluster.signal(leader, "STOP");
        tokio::time::sleep(2 * CALM).await;
        cluster.signal(leader, "CONT");
        tokio::time::sleep(CALM).await;

        let follower = (cluster.leader().await + 1 + round) % cluster.size();
        cluster.kill(follower);
        tokio::time::sleep(CALM).await;
        cluster.restart(follower).await;
    }
    for member in 0..cluster.size() {
        cluster.kill(member);
    }
    for member in 0..cluster.size() {
        cluster.spawn(member);
    }
    for member in 0..cluster.size() {
        cluster.wait_until_ready(member).await;
    }
    progress(history, 200).await;
}

cluster_conformance!(one_order_explains_everything, async |cluster| {
    let mut cluster: Cluster = cluster;
    let (history, stop) = (Arc::new(History::default()), Arc::new(AtomicBool::new(false)));
    let mut watchers = Vec::new();
    for member in 0..cluster.size() {
        watchers.push(tokio::spawn(watch(clients(&cluster, member).await)));
    }
    let mut workers = Vec::new();
    for number in 0..CLIENTS {
        let members = clients(&cluster, number as usize % cluster.size()).await;
        let worker = Worker { number, members, dice: Dice::new(number), history: Arc::clone(&history), count: 0 };
        workers.push(tokio::spawn(worker.run(Arc::clone(&stop))));
    }
    progress(&history, 200).await;
    tokio::time::timeout(Duration::from_mins(2), faults(&mut cluster, &history)).await.expect("the faults end");
    stop.store(true, Ordering::SeqCst);
    for worker in workers {
        worker.await.expect("a worker does not fail");
    }

    let end = Asked::Put { key: format!("{PREFIX}{END}"), value: END.to_owned() };
    let mut client = cluster.client(0).await;
    let told = history.record(end.clone(), async { ask(&mut client, &end).await.expect("the last write") }).await;
    assert!(matches!(told, Told::Written(_)));
    let mut watched = Vec::new();
    for watcher in watchers {
        let ended =
            tokio::time::timeout(Duration::from_mins(1), watcher).await.expect("a watcher hears of the last write");
        watched.push(ended.expect("a watcher does not fail"));
    }
    let history = Arc::into_inner(history).expect("nobody asks any more");
    let (answered, observed) = (history.answered(), watched[0].changes.clone());
    let violations = history.check(&observed, &watched);
    let shown: Vec<_> = violations.iter().take(5).map(ToString::to_string).collect();
    assert!(violations.is_empty(), "{} violations in {answered} answers, the first: {shown:#?}", violations.len());
    assert!(answered > 2000, "only {answered} answers: nothing is proven");
    eprintln!("{answered} answers, {} changes, no violation", observed.len());
});
