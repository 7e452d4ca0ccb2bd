//! An API server under load: writes, reads in every form, watches, memory.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use bench::apiserver::load::{self, Ask};
use bench::apiserver::subject::Subject;
use bench::apiserver::target::{JSON, PROTOBUF, TABLE};
use bench::apiserver::{fan_out, report};
use bench::{Table, megabytes, verdict};
use clap::Parser;
use tests_rig::StoreKind;

/// How long the server may take until it is ready.
const READY: Duration = Duration::from_secs(1);
/// What [`MANY`] pods may take.
const MANY_BYTES: u64 = 1_000_000_000;
const MANY: u64 = 150_000;
/// Changes that each number of watchers is told of.
const CHANGES: usize = 40;

/// Loads ours, started for it, or the API server at a URL, and prints what it does.
#[derive(Parser)]
struct Options {
    /// An API server that runs, as https://host:port; without it ours is started.
    #[arg(long, requires_all = ["certificate_authority", "client_certificate", "client_key"])]
    server: Option<String>,
    /// Authority of its certificate, in PEM.
    #[arg(long)]
    certificate_authority: Option<PathBuf>,
    /// Certificate of a user who may do everything, in PEM.
    #[arg(long)]
    client_certificate: Option<PathBuf>,
    /// Its key.
    #[arg(long)]
    client_key: Option<PathBuf>,
    /// The server's process, to know its memory and processor time.
    #[arg(long)]
    pid: Option<u32>,
    /// The store of our own server.
    #[arg(long, value_enum, default_value = "orlop")]
    store: Store,
    /// How long each load lasts, in seconds.
    #[arg(long, default_value_t = 4)]
    seconds: u64,
    /// Numbers of clients that create.
    #[arg(long, value_delimiter = ',', default_value = "1,16,64,256")]
    clients: Vec<usize>,
    /// Numbers of watchers.
    #[arg(long, value_delimiter = ',', default_value = "500,5000")]
    watchers: Vec<usize>,
    /// Pods at the end, of which the memory is told; 0 leaves that out.
    #[arg(long, default_value_t = MANY)]
    pods: u64,
}

#[derive(Clone, Copy, clap::ValueEnum)]
enum Store {
    Orlop,
    Etcd,
}

fn main() -> ExitCode {
    let options = Options::parse();
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("bench apiserver: the runtime cannot be started: {error}");
            return ExitCode::FAILURE;
        }
    };
    match runtime.block_on(measure(&options)) {
        Ok(table) => {
            print!("{table}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("bench apiserver: {}", chain::Chain(&*error));
            ExitCode::FAILURE
        }
    }
}

async fn measure(options: &Options) -> Result<Table, Box<dyn std::error::Error>> {
    let files = (&options.certificate_authority, &options.client_certificate, &options.client_key);
    let mut subject = if let (Some(url), (Some(authority), Some(cert), Some(key))) = (&options.server, files) {
        Subject::running(url, [authority, cert, key], options.pid)?
    } else {
        let store = match options.store {
            Store::Orlop => StoreKind::Orlop,
            Store::Etcd => StoreKind::Etcd,
        };
        Subject::start(store).await?
    };
    let mut table = Table::default();
    report::time(&mut table, "start to /readyz, empty", subject.restart().await, READY);
    tell_memory(&mut table, "memory, idle and empty", subject.memory());
    let target = subject.target.clone();
    eprintln!("{} ConfigMaps and {} pods are made", load::MAPS, load::PODS);
    load::fill(&target).await;
    tell_memory(&mut table, "memory, with them", subject.memory());

    let period = Duration::from_secs(options.seconds);
    let mut loads: Vec<(String, Ask, usize)> = Vec::new();
    for clients in &options.clients {
        loads.push((format!("create ConfigMaps of 1 kB, {clients} clients"), Ask::Create, *clients));
    }
    loads.push(("get a ConfigMap, 64 clients".to_owned(), Ask::Get, 64));
    loads.push(("controllers, 64 clients".to_owned(), Ask::Controllers, 64));
    let forms = [("JSON", JSON), ("protobuf", PROTOBUF), ("as a table", TABLE)];
    for (what, path) in [("10,000 ConfigMaps", "bench-listed/configmaps"), ("5,000 pods", "bench-running/pods")] {
        for (form, accept) in forms {
            loads.push((format!("list {what}, {form}, 4 clients"), Ask::List { path, accept }, 4));
        }
    }
    for (name, ask, clients) in loads {
        eprintln!("{name}");
        let outcome = subject.measure(load::closed_loop(&target, ask, clients, period)).await;
        report::requests(&mut table, &name, &outcome);
    }
    for watchers in &options.watchers {
        eprintln!("{watchers} watchers");
        let outcome = subject.measure(fan_out::fan_out(&target, *watchers, CHANGES)).await;
        report::changes(&mut table, *watchers, &outcome);
    }
    tell_memory(&mut table, "memory, after the loads", subject.memory());
    if options.pods > load::PODS {
        eprintln!("{} pods", options.pods);
        load::make_pods(&target, load::PODS, options.pods).await;
        let name = format!("memory, {} pods more", options.pods - load::PODS);
        if let Some(memory) = subject.memory() {
            table.row(name, megabytes(memory), verdict(memory, MANY_BYTES * options.pods / MANY));
        }
        let name = format!("start to /readyz, {} pods", options.pods);
        report::time(&mut table, &name, subject.restart().await, READY);
        tell_memory(&mut table, "memory, started with them", subject.memory());
    }
    Ok(table)
}

fn tell_memory(table: &mut Table, name: &str, memory: Option<u64>) {
    if let Some(memory) = memory {
        table.row(name, megabytes(memory), "");
    }
}
