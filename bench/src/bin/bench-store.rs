//! The store against real etcd, in the same run: puts, gets, ranges, watches, memory, restart, stalls.

use std::process::ExitCode;
use std::time::{Duration, Instant};

use bench::outcome::Outcome;
use bench::store::load::{self, Ask};
use bench::store::report::Pair;
use bench::store::subject::Subject;
use bench::{Table, megabytes};
use clap::Parser;
use tests_store::Kind;

/// Loads our store and the `etcd` in the PATH in turn and prints how they compare.
#[derive(Parser)]
struct Options {
    /// How often each server is started and measured.
    #[arg(long, default_value_t = 2)]
    rounds: usize,
    /// How many members each cluster has.
    #[arg(long, default_value_t = 1)]
    members: usize,
    /// How long each load lasts, in seconds.
    #[arg(long, default_value_t = 4)]
    seconds: u64,
    /// Numbers of clients that put.
    #[arg(long, value_delimiter = ',', default_value = "1,16,64,256,1000")]
    clients: Vec<usize>,
    /// Sizes of the values that are put, in bytes.
    #[arg(long, value_delimiter = ',', default_value = "256,4096")]
    values: Vec<usize>,
    /// Keys of a kilobyte in the large database of the last part; 0 leaves it out.
    #[arg(long, default_value_t = 200_000)]
    large: u64,
}

/// A load with its name and its goal.
struct Planned {
    name: String,
    goal: f64,
    what: What,
}

enum What {
    Closed(Ask, usize),
    FanOut(usize),
}

fn plan(options: &Options) -> Vec<Planned> {
    let mut plan = Vec::new();
    for bytes in &options.values {
        for clients in &options.clients {
            let goal = if *clients >= 64 { 2.0 } else { 1.0 };
            let name = format!("put {bytes} B, {clients} clients");
            plan.push(Planned { name, goal, what: What::Closed(Ask::Put { bytes: *bytes }, *clients) });
        }
    }
    let mut add = |name: &str, goal, what| plan.push(Planned { name: name.to_owned(), goal, what });
    add("get, linearizable, 64 clients", 1.0, What::Closed(Ask::Get { serializable: false }, 64));
    add("get, serializable, 64 clients", 1.0, What::Closed(Ask::Get { serializable: true }, 64));
    add("range of 10,000 keys, 4 clients", 2.0, What::Closed(Ask::Range, 4));
    add("mixed, 1 put for 4 gets, 64 clients", 1.0, What::Closed(Ask::Mixed, 64));
    add("watch events, 1000 watchers", 3.0, What::FanOut(1000));
    plan
}

/// Figures of a server apart from its loads.
#[derive(Default)]
struct Upkeep {
    idle: u64,
    peak: u64,
    large_peak: u64,
    restart: Duration,
    stall: Duration,
}

fn main() -> ExitCode {
    let options = Options::parse();
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("bench store: the runtime cannot be started: {error}");
            return ExitCode::FAILURE;
        }
    };
    let plan = plan(&options);
    let mut outcomes: [Vec<Option<Outcome>>; 2] = [vec![None; plan.len()], vec![None; plan.len()]];
    let mut upkeep = [Upkeep::default(), Upkeep::default()];
    for round in 0..options.rounds {
        let mut kinds = [(0, Kind::Ours), (1, Kind::Etcd)];
        if round % 2 == 0 {
            kinds.reverse();
        }
        for (side, kind) in kinds {
            runtime.block_on(measure(kind, &plan, &options, &mut outcomes[side], &mut upkeep[side]));
        }
    }
    let [ours, etcd] = outcomes;
    let mut table = Table::default();
    for ((planned, ours), etcd) in plan.into_iter().zip(ours).zip(etcd) {
        if let (Some(ours), Some(etcd)) = (ours, etcd) {
            Pair { load: planned.name, ours, etcd, goal: planned.goal }.tell(&mut table);
        }
    }
    tell(&upkeep, &options, &mut table);
    print!("{table}");
    ExitCode::SUCCESS
}

async fn measure(
    kind: Kind,
    plan: &[Planned],
    options: &Options,
    outcomes: &mut [Option<Outcome>],
    upkeep: &mut Upkeep,
) {
    let period = Duration::from_secs(options.seconds);
    let subject = Subject::start(kind, options.members).await;
    upkeep.idle = upkeep.idle.max(subject.memory());
    load::fill(&subject, 0, 256).await;
    for (planned, outcome) in plan.iter().zip(outcomes) {
        eprintln!("{kind:?}: {}", planned.name);
        let found = match planned.what {
            What::Closed(ask, clients) => load::closed_loop(&subject, ask, clients, period).await,
            What::FanOut(watchers) => load::fan_out(&subject, watchers, period).await,
        };
        *outcome = Some(match outcome.take() {
            Some(earlier) => earlier.and(&found),
            None => found,
        });
    }
    upkeep.peak = upkeep.peak.max(subject.memory());
    drop(subject);
    if options.large == 0 {
        return;
    }
    eprintln!("{kind:?}: {} keys of a kilobyte", options.large);
    let mut subject = Subject::start(kind, options.members).await;
    load::fill(&subject, options.large, 1024).await;
    // Half of it is history, which compaction and defragmentation then remove.
    load::fill(&subject, options.large / 2, 1024).await;
    upkeep.large_peak = upkeep.large_peak.max(subject.memory());
    upkeep.stall = upkeep.stall.max(load::longest_stall(&subject).await.longest);
    let killed = Instant::now();
    subject.restart().await;
    upkeep.restart = upkeep.restart.max(killed.elapsed());
}

fn tell(upkeep: &[Upkeep; 2], options: &Options, table: &mut Table) {
    let [ours, etcd] = upkeep;
    let mut row = |name: &str, ours: f64, etcd: f64, text: &dyn Fn(f64) -> String, goal: &str| {
        let beside = format!("ours {}, etcd {}; goal {goal}", text(ours), text(etcd));
        table.row(name, format!("{:.2}x", ours / etcd.max(f64::EPSILON)), beside);
    };
    let bytes = |figure: f64| megabytes(figure as u64);
    let seconds = |figure: f64| format!("{figure:.3} s");
    row("memory, idle and empty", ours.idle as f64, etcd.idle as f64, &bytes, "0.5x");
    row("memory, peak of the loads", ours.peak as f64, etcd.peak as f64, &bytes, "0.5x");
    if options.large > 0 {
        row("memory, peak of the large database", ours.large_peak as f64, etcd.large_peak as f64, &bytes, "0.5x");
        row("restart, large database", ours.restart.as_secs_f64(), etcd.restart.as_secs_f64(), &seconds, "1x");
        let stalls = (ours.stall.as_secs_f64(), etcd.stall.as_secs_f64());
        row("longest put during compaction and defragmentation", stalls.0, stalls.1, &seconds, "0.1 s");
    }
}
