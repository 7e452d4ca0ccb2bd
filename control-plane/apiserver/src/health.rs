//! `/livez`, `/readyz` and `/healthz`: named checks, each answered from what is known now.

use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use http::StatusCode;

use crate::app::{App, Phase};
use crate::http::query;
use crate::http::respond::{self, Answer};

/// How long the store may take to show that it is there.
const STORE: Duration = Duration::from_secs(2);

/// One question about the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Check {
    Ping,
    Store,
    WatchCaches,
    SystemObjects,
    Shutdown,
}

impl Check {
    fn name(self) -> &'static str {
        match self {
            Self::Ping => "ping",
            Self::Store => "etcd",
            Self::WatchCaches => "informer-sync",
            Self::SystemObjects => "poststarthook/start-system-namespaces-controller",
            Self::Shutdown => "shutdown",
        }
    }

    async fn passes(self, app: &App) -> bool {
        match self {
            Self::Ping => true,
            Self::Store => store_is_well(app).await,
            Self::WatchCaches => app.caches().all(|cache| cache.is_ready()),
            Self::SystemObjects => *app.bootstrapped.borrow(),
            Self::Shutdown => *app.phase.borrow() == Phase::Serving,
        }
    }
}

/// Whether the store answers, in time, as of now.
pub(crate) async fn store_is_well(app: &App) -> bool {
    matches!(tokio::time::timeout(STORE, app.store.revision()).await, Ok(Ok(_)))
}

/// The checks of an endpoint. Liveness leaves the store out: a restart of this server does not bring the store back.
fn checks(endpoint: &str) -> Option<(&'static str, &'static [Check])> {
    match endpoint {
        "livez" => Some(("livez", &[Check::Ping, Check::SystemObjects])),
        "healthz" => Some(("healthz", &[Check::Ping, Check::Store, Check::SystemObjects])),
        "readyz" => {
            Some(("readyz", &[Check::Ping, Check::Store, Check::WatchCaches, Check::SystemObjects, Check::Shutdown]))
        }
        _ => None,
    }
}

/// Answers `path` if it belongs to health.
pub(crate) async fn serve(app: &Arc<App>, path: &str, parameters: &[(String, String)]) -> Option<Answer> {
    let path = path.strip_prefix('/')?;
    let (endpoint, single) = path.split_once('/').unwrap_or((path, ""));
    let (endpoint, checks) = checks(endpoint)?;
    if !single.is_empty() {
        let check = checks.iter().find(|check| check.name() == single)?;
        return Some(if passes_alive(app, endpoint, *check).await {
            respond::text(StatusCode::OK, "ok")
        } else {
            respond::text(
                StatusCode::INTERNAL_SERVER_ERROR,
                format!("internal server error: {single} failed: reason withheld\n"),
            )
        });
    }
    let excluded: Vec<&str> =
        parameters.iter().filter(|(key, _)| key == "exclude").map(|(_, value)| value.as_str()).collect();
    let mut lines = String::new();
    let mut failed = Vec::new();
    for check in checks {
        let name = check.name();
        if excluded.contains(&name) {
            let _ = writeln!(lines, "[+]{name} excluded: ok");
        } else if passes_alive(app, endpoint, *check).await {
            let _ = writeln!(lines, "[+]{name} ok");
        } else {
            let _ = writeln!(lines, "[-]{name} failed: reason withheld");
            failed.push(name);
        }
    }
    note(app, endpoint, &failed);
    if !failed.is_empty() {
        return Some(respond::text(StatusCode::INTERNAL_SERVER_ERROR, format!("{lines}{endpoint} check failed\n")));
    }
    Some(if query::first(parameters, "verbose").is_some() {
        respond::text(StatusCode::OK, format!("{lines}{endpoint} check passed\n"))
    } else {
        respond::text(StatusCode::OK, "ok")
    })
}

/// Logs what fails when that changes, not each time somebody asks.
fn note(app: &App, endpoint: &'static str, failed: &[&'static str]) {
    let mut known = app.unwell.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let before = known.insert(endpoint, failed.to_vec()).unwrap_or_default();
    if before == failed {
        return;
    }
    if failed.is_empty() {
        tracing::info!(endpoint, "all health checks pass");
    } else {
        tracing::warn!(endpoint, ?failed, "health checks fail");
    }
}

/// A server that is still starting is alive: liveness takes the start-up check as passed.
async fn passes_alive(app: &App, endpoint: &str, check: Check) -> bool {
    (endpoint == "livez" && check == Check::SystemObjects) || check.passes(app).await
}
