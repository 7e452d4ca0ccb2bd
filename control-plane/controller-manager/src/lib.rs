//! kube-controller-manager: keeps desired and actual state together, as an ordinary client of the API.
//!
//! | I want to                                   | open                  |
//! |---------------------------------------------|-----------------------|
//! | see which controllers there are, or add one | `controllers.rs`      |
//! | know a flag                                 | `flags.rs`            |
//! | follow start and end of the program         | this file             |
//! | see how a copy becomes the leader           | `lease.rs`            |
//! | see how objects are watched                 | `informer.rs`         |
//! | see how work is repeated                    | `worker.rs`           |

mod api_server;
mod clock;
mod controllers;
mod discovery;
mod files;
mod flags;
mod health;
mod informer;
mod lease;
mod metrics;
mod worker;

use std::ffi::OsString;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use backoff::Backoff;
use chain::Chain;
use clap::Parser;
use controller_manager_core::trouble::Trouble;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::api_server::{ApiError, ApiServer, ConnectError};
use crate::clock::{Clock, jitter};
use crate::controllers::{Surroundings, TermError};
use crate::flags::{Flags, Options};
use crate::health::{Endpoint, Health, HealthError};
use crate::lease::Candidate;
use crate::metrics::Metrics;

/// Why the program ends with a failure.
#[derive(Debug, thiserror::Error)]
enum Fatal {
    #[error("listen to signals")]
    Signals(#[source] std::io::Error),
    #[error(transparent)]
    Connect(#[from] ConnectError),
    #[error(transparent)]
    Health(#[from] HealthError),
    #[error("--root-ca-file {path}")]
    RootCa {
        path: String,
        #[source]
        source: RootCaError,
    },
    #[error(transparent)]
    Term(#[from] TermError),
}

/// Why certificates cannot be published.
#[derive(Debug, thiserror::Error)]
enum RootCaError {
    #[error("read the file")]
    Read(#[source] std::io::Error),
    #[error("it holds no usable certificates")]
    Certificates(#[source] mtls::Error),
}

/// Runs the program with these arguments, the first of which is its name. Returns when it is told to end (SIGTERM,
/// SIGINT), or cannot go on.
pub fn run(args: impl IntoIterator<Item = OsString>) -> ExitCode {
    let flags = match Flags::try_parse_from(args) {
        Ok(flags) => flags,
        Err(error) => {
            // Nothing can be done when the text cannot be shown.
            let _ = error.print();
            return ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(2));
        }
    };
    telemetry::init();
    let options = match flags.check() {
        Ok(options) => options,
        Err(errors) => {
            for error in &errors {
                tracing::error!("{}", Chain(error));
            }
            return ExitCode::from(2);
        }
    };
    // The TLS of kube asks for a process-wide default. An error means that there is one already.
    let _ = rustls::crypto::ring::default_provider().install_default();
    // Two threads: the work is waiting for the API server, and each thread costs memory.
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    let runtime = match runtime {
        Ok(runtime) => runtime,
        Err(error) => {
            tracing::error!(%error, "the runtime cannot be started");
            return ExitCode::FAILURE;
        }
    };
    let result = runtime.block_on(work(options));
    runtime.shutdown_timeout(Duration::from_millis(200));
    match result {
        Ok(()) => {
            tracing::info!("stopped");
            ExitCode::SUCCESS
        }
        Err(error) => {
            tracing::error!("{}", Chain(&error));
            ExitCode::FAILURE
        }
    }
}

async fn work(options: Options) -> Result<(), Fatal> {
    let stop = CancellationToken::new();
    let mut terminate = signal(SignalKind::terminate()).map_err(Fatal::Signals)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(Fatal::Signals)?;
    let told = stop.clone();
    tokio::spawn(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        tracing::info!("stopping");
        told.cancel();
    });

    let clock = Clock::new();
    let lease_name = options.election.as_ref().map_or("kube-controller-manager", |lease| lease.name.as_str());
    let metrics = Metrics::new(lease_name.to_owned());
    let health = Arc::new(Health::default());
    let api = ApiServer::new(options.kubeconfig.clone()).await?;
    tokio::spawn(api.clone().follow_kubeconfig());
    let root_ca = options.root_ca_file.as_deref().map(follow_root_ca).transpose()?;
    if let Some(options) = &options.health {
        let endpoint = Endpoint::bind(options).await?;
        tokio::spawn(endpoint.serve(Arc::clone(&health), Arc::clone(&metrics)));
    }

    tokio::select! {
        () = stop.cancelled() => return Ok(()),
        () = reach(&api, clock) => {}
    }
    health.set_reached();
    telemetry::notify_ready();

    let surroundings = Surroundings {
        api: api.clone(),
        clock,
        metrics: Arc::clone(&metrics),
        root_ca,
        concurrent_namespaces: options.concurrent_namespaces,
    };
    let term = |until| controllers::run(options.controllers.clone(), surroundings.clone(), until);
    if let Some(lease) = options.election {
        Candidate::new(api, clock, lease, identity()).campaign(&metrics, &stop, term).await?;
    } else {
        metrics.set_leading(true);
        term(stop).await?;
    }
    Ok(())
}

/// Waits until the API server is ready, however long that takes.
async fn reach(api: &ApiServer, clock: Clock) {
    let mut backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(2));
    let mut trouble = Trouble::default();
    loop {
        let request = http::Request::get("/readyz").body(Vec::new());
        let asked = match request {
            Ok(request) => api.tell(request, "*/*", Duration::from_secs(5)).await,
            Err(error) => Err(ApiError::Build(kube::core::request::Error::BuildRequest(error))),
        };
        match asked {
            Ok(()) => {
                tracing::info!("the API server is ready");
                return;
            }
            Err(error) => {
                if trouble.failed(clock.now()) {
                    tracing::warn!(error = %Chain(&error), "the API server is not ready; trying again");
                }
            }
        }
        tokio::time::sleep(backoff.next_delay(jitter())).await;
    }
}

/// Reads the certificates to publish, and again whenever the file changes.
fn follow_root_ca(path: &Path) -> Result<watch::Receiver<Arc<str>>, Fatal> {
    let read = {
        let path = path.to_owned();
        move || -> Result<Arc<str>, RootCaError> {
            let text = std::fs::read_to_string(&path).map_err(RootCaError::Read)?;
            mtls::Roots::parse(text.as_bytes()).map_err(RootCaError::Certificates)?;
            Ok(text.into())
        }
    };
    let first = read().map_err(|source| Fatal::RootCa { path: path.display().to_string(), source })?;
    let (sender, receiver) = watch::channel(first);
    tokio::spawn(files::follow(vec![path.to_owned()], sender, read));
    Ok(receiver)
}

/// A name for this run of the program that no other run has: the host's and a random number.
fn identity() -> String {
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let host = if host.trim().is_empty() { "localhost" } else { host.trim() };
    format!("{host}_{:032x}", rand::random::<u128>())
}
