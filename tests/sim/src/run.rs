//! One simulation: a seed, some hours, and what came out.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use proto::etcdserverpb::CompactionRequest;
use proto::etcdserverpb::kv_client::KvClient;
use tests_store::dice::Dice;
use tests_store::history::{History, Watched};
use tokio::task::JoinHandle;

use crate::invariants::{Client, Findings, agreement, leases, order, pairs, progress, watches};
use crate::member::Setup;
use crate::nemesis::{Nemesis, Tally};
use crate::world::{World, split};

/// Clients that write and read.
const WORKERS: u64 = 4;
/// Clients that hold leases.
const HOLDERS: u64 = 3;
/// Service must be back so long after the last fault: restarts, elections, snapshots and clients' patience fit in.
const BACK: Duration = Duration::from_mins(2);

/// What is simulated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Plan {
    /// Decides everything.
    pub seed: u64,
    /// Members; `None` = three or five, as the seed says.
    pub members: Option<usize>,
    /// Simulated time.
    pub span: Duration,
}

/// What came out.
#[derive(Debug)]
pub struct Report {
    /// What was simulated.
    pub plan: Plan,
    /// How many members there were.
    pub members: usize,
    /// Which faults.
    pub faults: Tally,
    /// Questions that clients were answered.
    pub answers: u64,
    /// Writes that were watched.
    pub changes: usize,
    /// What was broken.
    pub violations: Vec<String>,
    /// Simulated time in all.
    pub simulated: Duration,
    /// Real time.
    pub took: Duration,
}

impl Report {
    /// The command that repeats it.
    #[must_use]
    pub fn again(&self) -> String {
        let members = self.plan.members.map(|members| format!(" --members {members}")).unwrap_or_default();
        format!("./just sim --seed {} --hours {}{members}", self.plan.seed, self.plan.span.as_secs_f64() / 3600.0)
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { plan, members, faults, answers, changes, violations, simulated, took } = self;
        write!(
            f,
            "seed {:>4}: {members} members, {faults}, {answers} answers, {changes} changes, {} violations, \
             {:.0} s simulated in {:.1} s",
            plan.seed,
            violations.len(),
            simulated.as_secs_f64(),
            took.as_secs_f64(),
        )?;
        for violation in violations {
            write!(f, "\n  violation: {violation}")?;
        }
        if !violations.is_empty() {
            write!(f, "\n  again: {}", self.again())?;
        }
        Ok(())
    }
}

/// Clients at work, and what they share.
struct Clients {
    one: Client,
    history: Arc<History>,
    end: Arc<AtomicI64>,
    busy: Arc<AtomicBool>,
    reached: Vec<Arc<AtomicI64>>,
    watchers: Vec<JoinHandle<Watched>>,
    workers: Vec<JoinHandle<()>>,
}

impl Clients {
    fn start(world: &World, dice: &mut Dice) -> Self {
        let busy = Arc::<AtomicBool>::default();
        let one = Client {
            doors: world.doors.clone(),
            findings: Findings::default(),
            answered: Arc::<AtomicU64>::default(),
            done: Arc::default(),
            busy: Arc::clone(&busy),
            place: 0,
            dice: split(dice),
        };
        let (history, end) = (Arc::new(History::default()), Arc::<AtomicI64>::default());
        let mut clients = Self { one, history, end, busy, reached: vec![], watchers: vec![], workers: vec![] };
        for number in 0..WORKERS {
            let work = order::work(clients.another(dice), number, Arc::clone(&clients.history));
            clients.workers.push(world.spawn(work));
        }
        for number in 0..HOLDERS {
            clients.workers.push(world.spawn(leases::work(clients.another(dice), number)));
        }
        clients.workers.push(world.spawn(pairs::work(clients.another(dice), 0)));
        clients.workers.push(world.spawn(pairs::work(clients.another(dice), 1)));
        clients.workers.push(world.spawn(pairs::watch(clients.another(dice))));
        for _ in 0..world.members.len() {
            let reached = Arc::<AtomicI64>::default();
            clients.reached.push(Arc::clone(&reached));
            let watch = watches::watch(clients.another(dice), reached, Arc::clone(&clients.end));
            clients.watchers.push(world.spawn(watch));
        }
        let compacting = compact(clients.another(dice), clients.reached.clone());
        clients.workers.push(world.spawn(compacting));
        clients
    }

    fn another(&self, dice: &mut Dice) -> Client {
        let mut client = Client { dice: split(dice), ..self.one.clone() };
        client.place = client.dice.below(3) as usize;
        client
    }
}

/// Compacts what every watcher has seen.
async fn compact(mut client: Client, reached: Vec<Arc<AtomicI64>>) {
    while !client.is_done() {
        client.rest(120_000).await;
        let revision = reached.iter().map(|reached| reached.load(Ordering::Relaxed)).min().unwrap_or(0);
        let revision = revision - client.dice.below(50) as i64;
        if revision > 0 {
            let request = CompactionRequest { revision, physical: client.dice.below(2) == 0 };
            client.ask(|routes| async move { KvClient::new(routes).compact(request).await }).await;
        }
    }
}

/// Runs a plan to its end. Nothing in it reads the real clock but for the report.
///
/// # Panics
///
/// When the machine has no room for the members' data.
#[must_use]
pub fn run(plan: Plan) -> Report {
    let started = Instant::now();
    let mut dice = Dice::new(plan.seed);
    let founders = if dice.below(2) == 0 { 3 } else { 5 };
    let founders = plan.members.unwrap_or(founders);
    let heartbeat = [100, 200, 400][dice.below(3) as usize];
    let setup = Setup {
        heartbeat: Duration::from_millis(heartbeat),
        election: Duration::from_millis(10 * heartbeat),
        snapshot_count: [50, 200, 1000][dice.below(3) as usize],
        founders,
    };
    let shared = std::path::Path::new("/dev/shm");
    let folder = if shared.is_dir() { tempfile::tempdir_in(shared) } else { tempfile::tempdir() };
    let folder = folder.expect("a folder for the members' data");
    let mut world = World::new(setup, folder.path(), &mut dice);
    for place in 0..founders {
        // Half of the clocks are right; the others run up to 30 % fast or slow.
        if dice.below(2) == 0 {
            world.members[place].rate = 0.7 + dice.below(601) as f64 / 1000.0;
        }
        world.start(place);
    }
    let mut clients = Clients::start(&world, &mut dice);
    let mut nemesis = Nemesis::new(split(&mut dice));
    let places: Vec<_> = (0..founders).collect();
    progress::demand(&mut world, &clients.one, &places, BACK);
    while world.now < plan.span && clients.one.findings.all().is_empty() {
        round(&mut world, &clients, &mut nemesis, &mut dice);
        progress::demand(&mut world, &clients.one, &places, BACK);
        judge_ends(&mut world, &clients.one.findings);
    }
    let changes = finish(&mut world, &mut clients, &places, &mut nemesis);
    judge_ends(&mut world, &clients.one.findings);
    for panic in crate::panics::taken() {
        clients.one.findings.add(format!("something panicked: {panic}"));
    }
    Report {
        plan,
        members: founders,
        faults: nemesis.tally,
        answers: clients.one.answered.load(Ordering::Relaxed),
        changes,
        violations: clients.one.findings.all(),
        simulated: world.now,
        took: started.elapsed(),
    }
}

/// Some faults, one after the other, and their end.
fn round(world: &mut World, clients: &Clients, nemesis: &mut Nemesis, dice: &mut Dice) {
    world.run_for(Duration::from_millis(dice.below(20_000)));
    if dice.below(8) == 0 {
        nemesis.replace(world, &clients.one.findings);
    } else {
        for _ in 0..=dice.below(4) {
            if nemesis.inflict(world) {
                clients.busy.store(true, Ordering::Relaxed);
            }
            let longest = [500, 5000, 40_000][dice.below(3) as usize];
            world.run_for(Duration::from_millis(dice.below(longest)));
            if dice.below(3) == 0 {
                let dead = (0..world.members.len()).find(|place| !world.members[*place].is_up());
                if let Some(place) = dead {
                    world.start(place);
                }
            }
        }
    }
    nemesis.heal(world);
    clients.busy.store(false, Ordering::Relaxed);
}

/// A member ends only for a reason that was given to it.
fn judge_ends(world: &mut World, findings: &Findings) {
    for (at, place, why) in world.ends.drain(..) {
        let given = ["the simulated disk fails", "it was stopped"];
        if !given.iter().any(|reason| why.contains(reason)) {
            findings.add(format!("member {place} ended after {at:?}: {why}"));
        }
    }
}

/// Ends the clients, waits until everybody knows everything, and holds it all against the rules. How many changes there were.
fn finish(world: &mut World, clients: &mut Clients, places: &[usize], nemesis: &mut Nemesis) -> usize {
    let findings = clients.one.findings.clone();
    nemesis.heal(world);
    clients.one.done.store(true, Ordering::Relaxed);
    for worker in std::mem::take(&mut clients.workers) {
        if world.wait(worker, 4 * BACK).is_none() {
            findings.add("a client does not finish");
        }
    }
    world.run_for(2 * leases::LONGEST + BACK);
    let gone = world.spawn(leases::all_are_gone(clients.one.clone()));
    world.wait(gone, BACK);
    let last = world.spawn(order::finish(clients.one.clone(), Arc::clone(&clients.history)));
    let Some(revision) = world.wait(last, BACK) else {
        findings.add("the last write is not taken");
        return 0;
    };
    agreement::demand(world, &clients.one, places, revision, BACK);
    clients.end.store(revision, Ordering::Relaxed);
    let mut watched = Vec::new();
    for watcher in std::mem::take(&mut clients.watchers) {
        match world.wait(watcher, BACK) {
            Some(seen) => watched.push(seen),
            None => findings.add("a watcher does not hear of the last write"),
        }
    }
    let Some(observed) = watched.first().map(|seen| seen.changes.clone()) else { return 0 };
    let Some(history) = Arc::get_mut(&mut clients.history) else {
        findings.add("somebody still asks");
        return observed.len();
    };
    for violation in std::mem::take(history).check(&observed, &watched) {
        findings.add(violation.to_string());
    }
    observed.len()
}
