//! The store: etcd's v3 API on a replicated log.
//!
//! A write goes through [`node`] into the log ([`raft`]), is durable there, and is then applied to the [`database`] by the
//! rules of [`store_core`]; watchers hear of it ([`watches`]) and the client is answered ([`grpc`]). Reads wait for a
//! barrier and look at one moment of the database, which can be taken away as a
//! [`snapshot`]; the leader keeps a [`backup`] of the log elsewhere. Members talk to each other through [`peers`]; who does not lead passes
//! writes on ([`forward`]). What the disk holds is known at every moment, or the member stops
//! ([`poison`]).

pub mod access;
pub mod alarms;
pub mod auto_compaction;
pub mod backup;
pub mod closing;
pub mod command;
pub mod compactor;
pub mod config;
pub mod database;
pub mod fingerprints;
pub mod flags;
pub mod folder;
pub mod forward;
pub mod founding;
pub mod grpc;
pub mod host;
pub mod leadership;
pub mod leases;
pub mod metrics;
pub mod node;
pub mod pages;
pub mod peers;
pub mod poison;
pub mod raft;
pub mod reload;
pub mod room;
pub mod serve;
pub mod snapshot;
pub mod survivor;
pub mod watches;

use std::ffi::OsString;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use chain::Chain;
use clap::Parser;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use tracing::level_filters::LevelFilter;

use config::Config;
use flags::Flags;
use founding::PeerSide;
use host::System;
use node::Node;
use peers::reception;
use peers::service::{Desk, REMOVED};
use peers::tls::PeerTls;
use serve::Front;

/// The version of etcd whose behaviour this is. Clients choose what they may ask by it.
pub const VERSION: &str = "3.7.1";
/// The version of etcd whose storage has the same abilities.
pub const STORAGE_VERSION: &str = "3.7.0";

/// How long the databases may take to close. What was acknowledged is on disk long before.
const CLOSING: Duration = Duration::from_secs(5);
/// How long a member that cannot tell its name to the cluster waits before it serves what it has.
const UNPUBLISHED: Duration = Duration::from_secs(5);

/// What a wrong command line ends with.
const USAGE: u8 = 2;

/// Runs a member until it is told to stop or can no longer go on, or a command beside it: `store snapshot …`, `store backup …`.
/// `args` begin with the program's name.
pub fn run(args: impl IntoIterator<Item = OsString>) -> ExitCode {
    let mut args: Vec<OsString> = args.into_iter().collect();
    if args.get(1).is_some_and(|word| word == "snapshot") {
        args.remove(1);
        return snapshot::command::run(args);
    }
    if args.get(1).is_some_and(|word| word == "backup") {
        args.remove(1);
        return backup::command::run(args);
    }
    let flags = match Flags::try_parse_from(args) {
        Ok(flags) => flags,
        Err(error) => {
            // The only failure is that standard error is closed.
            drop(error.print());
            return ExitCode::from(if error.use_stderr() { USAGE } else { 0 });
        }
    };
    // A level that is none is among the mistakes that are told.
    telemetry::init_at(flags.level().unwrap_or(LevelFilter::INFO));
    let config = match Config::check(flags) {
        Ok(config) => config,
        Err(mistakes) => {
            for mistake in mistakes {
                tracing::error!("{mistake}");
            }
            return ExitCode::from(USAGE);
        }
    };
    let runtime = match tokio::runtime::Builder::new_multi_thread().worker_threads(workers()).enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            tracing::error!(%error, "the runtime cannot be started");
            return ExitCode::FAILURE;
        }
    };
    let outcome = runtime.block_on(serve_until_stopped(config));
    // Tasks and threads let go of the databases, each in its own time.
    drop(runtime);
    if !closing::wait(CLOSING) {
        tracing::warn!("the databases are not closed yet");
    }
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!("{}", Chain(&*error));
            ExitCode::FAILURE
        }
    }
}

/// Two to four: more do not make a store faster, whose work is on threads of its own.
fn workers() -> usize {
    std::thread::available_parallelism().map_or(2, |count| count.get().clamp(2, 4))
}

type Failure = Box<dyn std::error::Error + Send + Sync>;

async fn serve_until_stopped(config: Config) -> Result<(), Failure> {
    let mut terminated = signal(SignalKind::terminate())?;
    let mut interrupted = signal(SignalKind::interrupt())?;
    let tls = config.tls.clone().map(serve::open_tls).transpose()?;
    let side = PeerSide {
        desk: Arc::new(Desk::default()),
        tls: config.peer_tls.clone().map(PeerTls::open).transpose()?,
        host: System::shared(),
    };
    let (stop_peers, peers_stopping) = watch::channel(false);
    for listen in &config.peers {
        let bound = reception::listen(&side.desk, listen, side.tls.as_ref(), peers_stopping.clone()).await;
        bound.map_err(|error| format!("listen on {}: {error}", listen.url))?;
    }
    let started = tokio::select! {
        node = Node::start(config, &side) => node,
        _ = terminated.recv() => return Ok(()),
        _ = interrupted.recv() => return Ok(()),
    };
    let node: Arc<Node> = started?;
    let (stop, stopping) = watch::channel(false);
    if let Some(schedule) = node.config.snapshots.clone() {
        tokio::spawn(snapshot::schedule::run(schedule, Arc::clone(&node.database), stopping.clone()));
    }
    if let Some(plan) = node.config.backup.clone() {
        let network = backup::target::Network::new(tokio::runtime::Handle::current(), stopping.clone());
        let target = plan.place.open(network)?;
        tokio::spawn(backup::worker::run(plan, target, Arc::clone(&node), stopping.clone()));
    }
    // Who is answered shall find this member's name. Without a leader there is nobody to tell it to, and still something to read.
    let published = tokio::time::timeout(UNPUBLISHED, node.publish());
    tokio::select! {
        published = published => published.unwrap_or(Ok(()))?,
        () = node.removed() => return Err(REMOVED.into()),
        reason = node.poison.reason() => return Err(reason.to_owned().into()),
        _ = terminated.recv() => return Ok(()),
        _ = interrupted.recv() => return Ok(()),
    }
    let front = Front::new(Arc::clone(&node), stopping);
    for (listens, grpc) in [(&node.config.clients, true), (&node.config.observers, false)] {
        for listen in listens {
            let bound = front.listen(listen, tls.as_ref(), grpc).await;
            bound.map_err(|error| format!("listen on {}: {error}", listen.url))?;
        }
    }
    tokio::select! {
        published = node.publish() => published?,
        () = node.removed() => return Err(REMOVED.into()),
        reason = node.poison.reason() => return Err(reason.to_owned().into()),
        _ = terminated.recv() => return Ok(()),
        _ = interrupted.recv() => return Ok(()),
    }
    tracing::info!(
        cluster = format_args!("{:x}", node.identity.cluster_id),
        member = format_args!("{:x}", node.identity.member_id),
        version = VERSION,
        "ready to serve client requests"
    );
    telemetry::notify_ready();
    let outcome = tokio::select! {
        reason = node.poison.reason() => Err(reason.to_owned().into()),
        () = node.removed() => Err(REMOVED.into()),
        _ = terminated.recv() => Ok(()),
        _ = interrupted.recv() => Ok(()),
    };
    if outcome.is_ok() && node.leading_term().is_some() && node.standing().voters.len() > 1 {
        // Clients of others need not wait for an election.
        if let Err(refusal) = node.hand_over_to_any().await {
            tracing::info!(%refusal, "nobody took the lead over");
        }
    }
    stop.send_replace(true);
    if outcome.is_ok() {
        tracing::info!("stopping");
        node.stop().await?;
    }
    stop_peers.send_replace(true);
    outcome
}
