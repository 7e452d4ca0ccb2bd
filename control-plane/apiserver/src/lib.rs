//! kube-apiserver: the acting half. Sockets, the client of the store, the watch cache and the way of a request.
//!
//! What an object must look like, and what becomes of it, is decided in `apiserver-core`; start reading at [`pipeline`],
//! which follows one request.
//!
//! The server knows nothing of consensus or disks: the store is whatever speaks etcd's v3 protocol.

mod admission;
mod app;
mod authentication;
mod authorization;
mod bootstrap;
mod cache;
mod call;
mod compaction;
mod connection;
mod documents;
mod duration;
mod flow;
mod handlers;
mod health;
mod hooks;
mod http;
mod inflight;
mod limits;
mod metrics;
mod options;
mod pipeline;
mod request_info;
mod server;
mod service_addresses;
mod store_client;
mod writes;

use std::ffi::OsString;
use std::process::ExitCode;
use std::sync::Arc;

use apiserver_core::Registry;
use tokio::signal::unix::{SignalKind, signal};
use tokio::task::JoinSet;

use crate::admission::Admission;
use crate::app::{App, Phase};
use crate::authentication::Authentication;
use crate::metrics::Metrics;
use crate::options::{Flags, Options};
use crate::server::Listening;
use crate::store_client::StoreClient;

/// Why the server ended.
#[derive(Debug, thiserror::Error)]
enum RunError {
    #[error("start the runtime")]
    Runtime(#[source] std::io::Error),
    #[error("listen for signals")]
    Signals(#[source] std::io::Error),
    #[error("set up admission: {0}")]
    Admission(String),
    #[error("set up the client of the store")]
    Store(#[source] Box<dyn std::error::Error + Send + Sync>),
    #[error("set up authentication")]
    Authentication(#[from] authentication::SetupError),
    #[error("open the server")]
    Server(#[from] server::ServeError),
}

/// Runs the API server until SIGTERM or SIGINT. `args` begin with the program's name.
pub fn run(args: impl IntoIterator<Item = OsString>) -> ExitCode {
    telemetry::init();
    let checked = match Flags::read(args) {
        Ok(checked) => checked,
        Err(error) => {
            // Help and version are no failures; clap knows where each belongs.
            let _ = error.print();
            return ExitCode::from(error.exit_code().clamp(0, 255) as u8);
        }
    };
    let options = match checked {
        Ok(options) => options,
        Err(error) => {
            tracing::error!(%error, "the command line is wrong");
            return ExitCode::from(2);
        }
    };
    match serve(options) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!(error = %chain::Chain(&error), "the server cannot run");
            ExitCode::FAILURE
        }
    }
}

fn serve(options: Options) -> Result<(), RunError> {
    raise_file_limit();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().map_err(RunError::Runtime)?;
    let outcome = runtime.block_on(live(options));
    // What is left are tasks that run for ever; nothing waits for them.
    runtime.shutdown_background();
    outcome
}

async fn live(options: Options) -> Result<(), RunError> {
    let mut terminate = signal(SignalKind::terminate()).map_err(RunError::Signals)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(RunError::Signals)?;
    let metrics = Arc::new(Metrics::default());
    let store =
        StoreClient::new(&options.store, Arc::clone(&metrics)).map_err(|error| RunError::Store(error.into()))?;
    let store = Arc::new(store);
    let authentication = Authentication::open(&options.authentication)?;
    let admission = Admission::new(&options.admission).map_err(RunError::Admission)?;
    let app = Arc::new(App::new(options, Registry::built_in(), authentication, Arc::clone(&store), metrics, admission));
    let listening = Listening::open(&app).await?;
    let port = listening.port().unwrap_or(app.options.listen.port());

    let mut background = JoinSet::new();
    for cache in app.caches() {
        background.spawn(Arc::clone(cache).run(Arc::clone(&store)));
    }
    if let Some(file) = app.options.authentication.configuration_file.clone() {
        background.spawn(authentication::configured::follow(Arc::clone(&app), file));
    }
    app.authorization.follow(&mut background);
    background.spawn(service_addresses::follow(Arc::clone(&app)));
    background.spawn(service_addresses::repair::run(Arc::clone(&app)));
    if let Some(flow) = &app.flow {
        background.spawn(flow::follow(Arc::clone(&app), Arc::clone(flow)));
    }
    background.spawn(bootstrap::run(Arc::clone(&app), port));
    if !app.options.store.compaction_interval.is_zero() {
        background.spawn(compaction::run(store, app.options.store.compaction_interval));
    }
    let ready = Arc::clone(&app);
    background.spawn(async move {
        // The sender lives in the app, so the wait ends only with the value.
        if ready.bootstrapped.subscribe().wait_for(|done| *done).await.is_ok() {
            let took_ms = ready.metrics.uptime().as_millis() as u64;
            tracing::info!(port, took_ms, "serving");
            telemetry::notify_ready();
        }
    });

    let serving = tokio::spawn(listening.serve(Arc::clone(&app)));
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    tracing::info!("stopping");
    app.phase.send_replace(Phase::Leaving);
    tokio::time::sleep(app.options.shutdown_delay).await;
    if tokio::time::timeout(std::time::Duration::from_secs(2), bootstrap::leave(&app, port)).await.is_err() {
        tracing::info!("the store is away; the address of this server stays until its record expires");
    }
    app.phase.send_replace(Phase::Draining);
    if app.options.send_retry_after {
        server::drained(&app).await;
    }
    app.phase.send_replace(Phase::Closing);
    if serving.await.is_err() {
        tracing::error!("the task of the server panicked");
    }
    background.shutdown().await;
    Ok(())
}

/// Allows as many open files as the system lets us: every connection is one.
fn raise_file_limit() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    if let Err(error) = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum }) {
        tracing::warn!(%error, "the limit on open files could not be raised");
    }
}
