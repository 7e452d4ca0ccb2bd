//! A crash in front of any write of the disk loses nothing that was acknowledged.
//!
//! The disk stands still at a chosen point of a start, or under a load that writes, compacts and takes snapshots all the
//! time; the program is killed there, and what the crash takes is taken away. The next start must answer, hold everything
//! that was acknowledged, and show the history as it was. `ORLOP_CRASH_SECONDS` makes it longer, `ORLOP_CRASH_SEED` another one.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use proto::etcdserverpb::request_op::Request;
use proto::etcdserverpb::{
    CompactionRequest, DeleteRangeRequest, HashKvRequest, LeaseGrantRequest, PutRequest, RequestOp, TxnRequest,
};
use tests_store::dice::Dice;
use tests_store::kept::{Changes, Kept};
use tests_store::victim::{Crash, Started, Victim};
use tests_store::{Client, Kind};
use tonic::Status;

/// Clients that write at once.
const WRITERS: u64 = 6;
/// A load that does not get to its crash in this time is crashed where it is.
const LOAD: Duration = Duration::from_secs(3);
/// Points of a load in front of one of which it is crashed.
const POINTS_OF_LOAD: u64 = 400;

/// Writes until the store answers no more.
async fn write(mut client: Client, writer: u64, mut dice: Dice, kept: Arc<Mutex<Kept>>) {
    for count in 0u64.. {
        let asked = one(&mut client, writer, count, &mut dice, &kept);
        // A client whose server is killed hears of it; one whose server's disk stands still does not.
        if !matches!(tokio::time::timeout(LOAD, asked).await, Ok(Ok(()))) {
            return;
        }
    }
}

fn lock(kept: &Mutex<Kept>) -> std::sync::MutexGuard<'_, Kept> {
    kept.lock().expect("nobody panicked")
}

async fn one(client: &mut Client, writer: u64, count: u64, dice: &mut Dice, kept: &Mutex<Kept>) -> Result<(), Status> {
    let key = format!("w{writer}/{}", dice.below(12));
    let long = if dice.below(20) == 0 { 60_000 } else { 100 };
    let value = format!("{count}-{}", "v".repeat(dice.below(long) as usize));
    let put = |key: &str, value: &str, lease| PutRequest {
        key: key.to_owned().into(),
        value: value.to_owned().into(),
        lease,
        ..PutRequest::default()
    };
    let revision = |header: Option<proto::etcdserverpb::ResponseHeader>| header.expect("a header").revision;
    match dice.below(20) {
        0..2 => {
            let request = DeleteRangeRequest { key: key.clone().into(), ..DeleteRangeRequest::default() };
            let answer = client.kv.delete_range(request).await?.into_inner();
            if answer.deleted > 0 {
                lock(kept).written(revision(answer.header), Changes::from([(key, None)]));
            }
        }
        2..4 => {
            let other = format!("w{writer}/other");
            let op = |put| RequestOp { request: Some(Request::RequestPut(put)) };
            let success = vec![op(put(&key, &value, 0)), op(put(&other, &value, 0))];
            let answer = client.kv.txn(TxnRequest { success, ..TxnRequest::default() }).await?.into_inner();
            let changes = Changes::from([(key, Some(value.clone())), (other, Some(value))]);
            lock(kept).written(revision(answer.header), changes);
        }
        4 => {
            let lease = client.lease.lease_grant(LeaseGrantRequest { ttl: 3600, id: 0 }).await?.into_inner().id;
            lock(kept).granted(lease);
            let answer = client.kv.put(put(&key, &value, lease)).await?.into_inner();
            lock(kept).written(revision(answer.header), Changes::from([(key, Some(value))]));
        }
        5 if writer == 0 => {
            // Far enough behind what is under way that all of that is seen at the next start.
            let target = lock(kept).revision() - 50;
            if target > 1 {
                let compaction = CompactionRequest { revision: target, physical: dice.below(2) == 0 };
                match client.kv.compact(compaction).await {
                    Ok(_) => lock(kept).compacted(target),
                    Err(status) if status.message().contains("has been compacted") => {}
                    Err(status) => return Err(status),
                }
            }
        }
        6 if writer == 1 => {
            let hash = client.maintenance.hash_kv(HashKvRequest { revision: 0 }).await?.into_inner();
            lock(kept).hashed(hash);
        }
        _ => {
            let answer = client.kv.put(put(&key, &value, 0)).await?.into_inner();
            lock(kept).written(revision(answer.header), Changes::from([(key, Some(value))]));
        }
    }
    Ok(())
}

/// A victim and what it has promised.
struct Case {
    victim: Victim,
    kept: Arc<Mutex<Kept>>,
    dice: Dice,
}

impl Case {
    fn new(kind: Kind, extra: &[&str], dice: Dice) -> Self {
        let mut flags = vec!["--snapshot-count=40"];
        flags.extend(extra);
        Self { victim: Victim::new(kind, &flags), kept: Arc::default(), dice }
    }

    fn any_crash(&mut self) -> Crash {
        [Crash::Program, Crash::Power, Crash::PowerInTheMiddle][self.dice.below(3) as usize]
    }

    /// A start that is cut short in front of a point; whether it came that far.
    async fn crash_starting(&mut self, point: u64, crash: Crash) -> bool {
        let started = self.victim.start(Some(point)).await;
        self.victim.crash(crash, &mut self.dice).await;
        matches!(started, Started::Interrupted)
    }

    /// A start that must go well, and a look at everything.
    async fn check(&mut self) -> Result<(), String> {
        if let Started::Failed(said) = self.victim.start(None).await {
            return Err(said);
        }
        let mut client = self.victim.client().await.ok_or("nobody answers")?;
        let mut kept = std::mem::take(&mut *lock(&self.kept));
        let checked = kept.check(&mut client).await;
        *lock(&self.kept) = kept;
        checked
    }

    /// A load on a running store that is cut short in front of a point.
    async fn crash_under_load(&mut self, point: u64, crash: Crash) {
        let mut writers = Vec::new();
        for writer in 0..WRITERS {
            let client = self.victim.client().await.expect("it answers");
            let dice = Dice::new(self.dice.below(u64::MAX));
            writers.push(tokio::spawn(write(client, writer, dice, Arc::clone(&self.kept))));
        }
        self.victim.disk.stop_in(point);
        let started = Instant::now();
        while started.elapsed() < LOAD && !self.victim.disk.stands_within(Duration::from_millis(1)) {
            tokio::task::yield_now().await;
        }
        self.victim.crash(crash, &mut self.dice).await;
        for writer in writers {
            writer.await.expect("a writer does not fail");
        }
    }
}

fn from_environment(name: &str, otherwise: u64) -> u64 {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(otherwise)
}

/// Runs a campaign, which gets its seed and how long it may take.
fn campaign<F: Future<Output = ()>>(seconds: u64, case: impl FnOnce(u64, Instant) -> F) {
    let seed = from_environment("ORLOP_CRASH_SEED", 1);
    let until = Instant::now() + Duration::from_secs(from_environment("ORLOP_CRASH_SECONDS", seconds));
    eprintln!("ORLOP_CRASH_SEED={seed}");
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime");
    runtime.block_on(case(seed, until));
}

/// Numbers below `count`, each once; the first ones are spread over all of them.
fn spread(count: u64) -> impl Iterator<Item = u64> {
    let bits = u64::BITS - count.leading_zeros();
    let numbers = (0..1u64 << bits).map(move |number| number.reverse_bits() >> (u64::BITS - bits));
    numbers.filter(move |number| *number < count)
}

#[test]
fn any_write_of_a_first_start_may_be_the_last() {
    campaign(10, async |seed, until| {
        let mut case = Case::new(Kind::Ours, &[], Dice::new(seed));
        case.check().await.expect("an empty store is empty");
        let points = case.victim.disk.points();
        let mut tried = 0;
        for point in spread(points).take_while(|_| Instant::now() < until) {
            let mut case = Case::new(Kind::Ours, &[], Dice::new(seed + point));
            let crash = case.any_crash();
            let said = format!("{crash:?} at point {point} of {points} of a first start");
            case.crash_starting(point, crash).await;
            case.check().await.unwrap_or_else(|problem| panic!("{said}: {problem}"));
            case.crash_under_load(30, Crash::Power).await;
            case.check().await.unwrap_or_else(|problem| panic!("a load after {said}: {problem}"));
            tried += 1;
        }
        eprintln!("{tried} of {points} points of a first start");
        assert!(tried >= 5);
    });
}

#[test]
fn any_write_of_a_later_start_may_be_the_last() {
    campaign(10, async |seed, until| {
        let mut case = Case::new(Kind::Ours, &[], Dice::new(seed));
        case.check().await.expect("an empty store is empty");
        case.crash_under_load(200, Crash::Power).await;
        let before = case.victim.disk.points();
        case.check().await.expect("after the first crash");
        let points = case.victim.disk.points() - before;
        let mut tried = 0;
        for point in spread(points).take_while(|_| Instant::now() < until) {
            // So that there is something to apply at the start.
            case.crash_under_load(60, Crash::Power).await;
            let crash = case.any_crash();
            case.crash_starting(point, crash).await;
            let checked = case.check().await;
            checked.unwrap_or_else(|problem| panic!("{crash:?} at point {point} of {points} of a start: {problem}"));
            tried += 1;
        }
        eprintln!("{tried} of {points} points of a start, {} revisions", lock(&case.kept).len());
        assert!(tried >= 5);
    });
}

async fn under_load(kind: Kind, extra: &[&str], seed: u64, until: Instant) -> Result<(), String> {
    let mut case = Case::new(kind, extra, Dice::new(seed));
    let mut tried = 0;
    case.check().await?;
    while Instant::now() < until {
        let (point, crash) = (case.dice.below(POINTS_OF_LOAD), case.any_crash());
        case.crash_under_load(point, crash).await;
        case.check().await.map_err(|problem| format!("{crash:?} at point {point} of load {tried}: {problem}"))?;
        tried += 1;
    }
    eprintln!("{tried} crashes under load, {} revisions", lock(&case.kept).len());
    if tried >= 5 { Ok(()) } else { Err(format!("only {tried} crashes")) }
}

#[test]
fn any_write_under_load_may_be_the_last() {
    campaign(15, async |seed, until| under_load(Kind::Ours, &[], seed, until).await.expect("nothing is lost"));
}

/// The reference passes the same, on a disk with a journal.
#[test]
fn etcd_loses_nothing_either() {
    campaign(5, async |seed, until| under_load(Kind::Etcd, &[], seed, until).await.expect("nothing is lost"));
}

/// A store that does not flush is found out: the disk does forget.
#[test]
fn a_store_that_does_not_flush_is_caught() {
    campaign(10, async |seed, until| {
        let mut case = Case::new(Kind::Etcd, &["--unsafe-no-fsync"], Dice::new(seed));
        case.check().await.expect("an empty store is empty");
        while Instant::now() < until {
            case.crash_under_load(100, Crash::Power).await;
            // It may be unable to start at all.
            if case.check().await.is_err() {
                return;
            }
        }
        panic!("a store that never flushes lost nothing");
    });
}
