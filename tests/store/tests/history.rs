//! Clients at every member while members are killed and paused: one order of events explains all that they were told.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tests_store::dice::Dice;
use tests_store::history::{Asked, History, Told, Watched, ask, changes};
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
                match tokio::time::timeout(PATIENCE, ask(&mut client.kv, &asked)).await {
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
        watched.changes.extend(changes(&answer.events));
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
    let told = history.record(end.clone(), async { ask(&mut client.kv, &end).await.expect("the last write") }).await;
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
