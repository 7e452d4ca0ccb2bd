//! `/livez`, `/readyz` and `/healthz`: named checks, each answered from what is known now.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use http::StatusCode;
use tokio::sync::OnceCell;

use crate::app::{App, Phase};
use crate::hooks::Hook;
use crate::http::query;
use crate::http::respond::{self, Answer};

/// How long the store may take to show that it is there.
const STORE: Duration = Duration::from_secs(2);

/// One question about the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Check {
    Ping,
    Store,
    /// The same as [`Check::Store`], under the name of readiness.
    StoreReady,
    WatchCaches,
    Started(Hook),
    Registered,
    Shutdown,
}

impl Check {
    fn name(self) -> &'static str {
        match self {
            Self::Ping => "ping",
            Self::Store => "etcd",
            Self::StoreReady => "etcd-readiness",
            Self::WatchCaches => "informer-sync",
            Self::Started(hook) => hook.name(),
            Self::Registered => "autoregister-completion",
            Self::Shutdown => "shutdown",
        }
    }

    async fn passes(self, app: &App, store_is_well: &OnceCell<bool>) -> bool {
        match self {
            Self::Ping => true,
            Self::Store | Self::StoreReady => *store_is_well.get_or_init(|| self::store_is_well(app)).await,
            Self::WatchCaches => app.caches().all(|cache| cache.is_ready()),
            Self::Started(hook) => app.hooks.is_done(hook),
            Self::Registered => app.hooks.is_done(Hook::Registration),
            Self::Shutdown => *app.phase.borrow() == Phase::Serving,
        }
    }
}

/// Whether the store answers, in time, as of now.
pub(crate) async fn store_is_well(app: &App) -> bool {
    matches!(tokio::time::timeout(STORE, app.store.revision()).await, Ok(Ok(_)))
}

/// An endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Endpoint {
    /// Whether a restart would help.
    Livez,
    /// Whether requests may come.
    Readyz,
    /// What there was before the two.
    Healthz,
}

impl Endpoint {
    const ALL: [Self; 3] = [Self::Healthz, Self::Livez, Self::Readyz];

    /// The first segment of its paths.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Livez => "livez",
            Self::Readyz => "readyz",
            Self::Healthz => "healthz",
        }
    }

    /// The checks, in the order of the answer.
    fn checks(self) -> Vec<Check> {
        let (before, behind): (&[Check], &[Check]) = match self {
            // A restart of this server does not bring the store back.
            Self::Livez => (&[Check::Ping], &[]),
            Self::Healthz => (&[Check::Ping, Check::Store], &[]),
            Self::Readyz => (&[Check::Ping, Check::Store, Check::StoreReady, Check::WatchCaches], &[Check::Shutdown]),
        };
        let hooks = Hook::ALL.into_iter().map(Check::Started).chain([Check::Registered]);
        before.iter().copied().chain(hooks).chain(behind.iter().copied()).collect()
    }
}

/// The paths of all endpoints and their checks.
pub(crate) fn paths() -> impl Iterator<Item = String> {
    Endpoint::ALL.into_iter().flat_map(|endpoint| {
        let checks = endpoint.checks().into_iter().map(move |check| format!("/{}/{}", endpoint.name(), check.name()));
        std::iter::once(format!("/{}", endpoint.name())).chain(checks)
    })
}

/// Answers `path` if it belongs to health.
pub(crate) async fn serve(app: &Arc<App>, path: &str, parameters: &[(String, String)]) -> Option<Answer> {
    let path = path.strip_prefix('/')?;
    let (name, single) = path.split_once('/').unwrap_or((path, ""));
    let endpoint = Endpoint::ALL.into_iter().find(|one| one.name() == name)?;
    let checks = endpoint.checks();
    if !single.is_empty() {
        let check = checks.into_iter().find(|check| check.name() == single)?;
        return Some(if passes(app, endpoint, check, &OnceCell::new()).await {
            respond::text(StatusCode::OK, "ok")
        } else {
            respond::text(
                StatusCode::INTERNAL_SERVER_ERROR,
                format!("internal server error: {single} failed: reason withheld\n"),
            )
        });
    }
    let excluded: BTreeSet<&str> =
        parameters.iter().filter(|(key, _)| key == "exclude").map(|(_, value)| value.as_str()).collect();
    let mut lines = String::new();
    let mut failed = Vec::new();
    let store_is_well = OnceCell::new();
    for check in &checks {
        let name = check.name();
        if excluded.contains(name) {
            let _ = writeln!(lines, "[+]{name} excluded: ok");
        } else if passes(app, endpoint, *check, &store_is_well).await {
            let _ = writeln!(lines, "[+]{name} ok");
        } else {
            let _ = writeln!(lines, "[-]{name} failed: reason withheld");
            failed.push(name);
        }
    }
    let unknown = excluded.iter().filter(|name| checks.iter().all(|check| check.name() != **name));
    let unknown: Vec<String> = unknown.map(|name| format!("{name:?}")).collect();
    if !unknown.is_empty() {
        let unknown = unknown.join(",");
        let _ = writeln!(lines, "warn: some health checks cannot be excluded: no matches for {unknown}");
    }
    let endpoint = endpoint.name();
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

/// Whether a check passes, which is counted. A server that is still starting is alive: liveness takes what is to be done once as
/// done.
///
/// The store is asked once for all checks that share `store_is_well`.
async fn passes(app: &App, endpoint: Endpoint, check: Check, store_is_well: &OnceCell<bool>) -> bool {
    let starting = endpoint == Endpoint::Livez && matches!(check, Check::Started(_) | Check::Registered);
    let passed = starting || check.passes(app, store_is_well).await;
    app.metrics.health.checked(endpoint.name(), check.name(), passed);
    passed
}
