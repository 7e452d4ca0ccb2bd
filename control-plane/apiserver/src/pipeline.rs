//! The way of every request, from the outside in:
//!
//! ```text
//!   request info → audit id → end of the server → chance to go away → panic guard → deadline → authentication → impersonation
//!   → priority and fairness, or the plain limit → authorization → handlers → headers and metrics on the way out
//! ```
//!
//! Audit and admission plug-ins have their places in this list between what stands here.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use apiserver_core::resource::Verb as RowVerb;
use apiserver_core::user::User;
use apiserver_core::{Resource, Status};
use futures::FutureExt;
use http::header::{CACHE_CONTROL, CONNECTION, HeaderName, USER_AGENT, WARNING};
use http::request::Parts;
use http::{HeaderMap, HeaderValue, StatusCode, Version};
use hyper::body::Incoming;
use tokio::time::Instant;

use crate::app::{App, Phase};
use crate::authentication::Peer;
use crate::authorization::{self, Asked};
use crate::call::Call;
use crate::connection::Connection;
use crate::duration;
use crate::flow::{Asking, Classified};
use crate::handlers;
use crate::http::negotiate::{self, Allowed, Negotiated};
use crate::http::query;
use crate::http::respond::{self, Answer, Body};
use crate::limits::{self, Held};
use crate::metrics::RequestLabels;
use crate::request_info::{RequestInfo, ResourceRequest, Verb};

const AUDIT_ID: HeaderName = HeaderName::from_static("audit-id");
/// Longest path and query; far above anything a client of Kubernetes makes.
const MAX_URI: usize = 32 << 10;
/// Bytes of warnings in one answer; upstream cuts there too, because proxies refuse long headers.
const MAX_WARNINGS: usize = 4 << 10;

/// Answers one request. Never fails: every failure is an answer.
pub(crate) async fn serve(app: Arc<App>, connection: Arc<Connection>, request: hyper::Request<Incoming>) -> Answer {
    let busy = connection.busy();
    let received = Instant::now();
    let (parts, body) = request.into_parts();
    let query_text = parts.uri.query().unwrap_or_default();
    let info = Arc::new(RequestInfo::parse(&parts.method, &query::path(parts.uri.path()), query_text));
    let query = query::parameters(query_text);
    let labels = labels(&app, &info, &query);
    let audit_id = parts.headers.get(AUDIT_ID).cloned();
    let form = negotiate::answer(&parts.headers, &query, Allowed::Objects).unwrap_or(Negotiated::PLAIN);
    let mut classified = None;
    if parts.version == Version::HTTP_2 && rand::random::<f64>() < app.options.goaway_chance {
        connection.close();
    }
    let mut answer = if let Some(answer) = elsewhere(&app, &info, &parts, &connection) {
        answer
    } else if parts.uri.path().len() + query_text.len() > MAX_URI {
        respond::text(StatusCode::URI_TOO_LONG, "the request URI is too long\n")
    } else {
        let request = Incomplete { received, info: &info, parts, query, body };
        let guarded = AssertUnwindSafe(limited(&app, connection.peer(), request, &mut classified)).catch_unwind().await;
        match guarded {
            Ok(Ok(answer)) => answer,
            Ok(Err(status)) => respond::failure(&status, form),
            Err(_) => {
                tracing::error!(path = %info.path, "a handler panicked");
                respond::text(
                    StatusCode::INTERNAL_SERVER_ERROR,
                    "This request caused apiserver to panic. Look in the logs for details.\n",
                )
            }
        }
    };
    let headers = answer.headers_mut();
    if let Some(classified) = classified {
        classified.mark(headers);
    }
    let fresh = || HeaderValue::from_str(&crate::writes::uuid()).unwrap_or(HeaderValue::from_static(""));
    headers.insert(AUDIT_ID, audit_id.unwrap_or_else(fresh));
    headers.entry(CACHE_CONTROL).or_insert(HeaderValue::from_static("no-cache, private"));
    let took = received.elapsed();
    let code = answer.status().as_u16();
    tracing::debug!(verb = info.verb.as_str(), path = %info.path, code, took_ms = took.as_millis() as u64, "request");
    match answer.body() {
        // A watch counts when it ends; its body does that.
        Body::Stream(_) if info.verb == Verb::Watch => {}
        Body::Whole(_) if answer.status() == StatusCode::SWITCHING_PROTOCOLS => {}
        Body::Whole(_) | Body::Stream(_) => app.metrics.answered(labels, code, took, answer.body_mut()),
    }
    answer.map(|body| body.holding(|| busy))
}

/// A request on its way in.
struct Incomplete<'a> {
    received: Instant,
    info: &'a Arc<RequestInfo>,
    parts: Parts,
    query: Vec<(String, String)>,
    body: Incoming,
}

/// Counts a request among those being served.
struct Counted<'a>(&'a AtomicI64);

impl<'a> Counted<'a> {
    fn new(count: &'a AtomicI64) -> Self {
        count.fetch_add(1, Ordering::Relaxed);
        Self(count)
    }
}

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// The answer to what comes when the server is about to end: to ask another one. Whoever looks at the server is still answered.
fn elsewhere(app: &App, info: &RequestInfo, parts: &Parts, connection: &Connection) -> Option<Answer> {
    let agent = parts.headers.get(USER_AGENT).map_or(&[][..], HeaderValue::as_bytes);
    let exempt = agent.starts_with(b"kube-apiserver/")
        || ["/readyz", "/livez", "/healthz", "/metrics"].iter().any(|path| info.path.starts_with(path));
    if *app.phase.borrow() < Phase::Draining || !app.options.send_retry_after || exempt {
        return None;
    }
    let mut answer =
        limits::too_many(Duration::from_secs(5), "The apiserver is shutting down, please try again later.\n");
    // The other protocol says the same by a frame of its own.
    if parts.version != Version::HTTP_2 {
        answer.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    }
    connection.close();
    Some(answer)
}

/// The deadline, which long-running requests are free of.
async fn limited(
    app: &Arc<App>,
    peer: &Peer,
    request: Incomplete<'_>,
    classified: &mut Option<Classified>,
) -> Result<Answer, Status> {
    if request.info.is_long_running() {
        return authenticated(app, peer, request, None, classified).await;
    }
    let limit = app.options.request_timeout;
    let asked =
        query::first(&request.query, "timeout").filter(|text| !text.is_empty()).map(duration::parse).transpose();
    let asked =
        asked.map_err(|why| Status::bad_request(format!("invalid timeout specified in the request URL - {why}")))?;
    let timeout = asked.filter(|asked| !asked.is_zero()).map_or(limit, |asked| asked.min(limit));
    let deadline = request.received + timeout;
    match tokio::time::timeout_at(deadline, authenticated(app, peer, request, Some(timeout), classified)).await {
        Ok(outcome) => outcome,
        Err(_) => Err(Status::timeout("request did not complete within the allotted timeout", 0)),
    }
}

async fn authenticated(
    app: &Arc<App>,
    peer: &Peer,
    mut request: Incomplete<'_>,
    timeout: Option<Duration>,
    classified: &mut Option<Classified>,
) -> Result<Answer, Status> {
    let user = app.authentication.user(app, peer, &mut request.parts).await.ok_or_else(Status::unauthorized)?;
    let asked = Asked::new(request.info, &request.query);
    let user = authorization::impersonated(app, user, &request.parts.headers, &asked)?;
    let Incomplete { received, info, query, .. } = &request;
    let asking = Asking { info, query, user: &user, received: *received, timeout };
    let held = match limits::enter(app, &asking, classified).await {
        Ok(held) => held,
        Err(answer) => return Ok(answer),
    };
    let count = if info.verb.is_mutating() { &app.metrics.writes } else { &app.metrics.reads };
    let _count = timeout.map(|_| Counted::new(count));
    authorization::authorize(app, &asked, &user)?;
    authorized(app, user, request, held).await
}

/// Handles what may be. What is `held` is given back when the answer is made or, if it is one in pieces, sent.
async fn authorized(app: &Arc<App>, user: User, request: Incomplete<'_>, held: Option<Held>) -> Result<Answer, Status> {
    let Incomplete { received, info, parts, query, body } = request;
    match &info.resource {
        None => {
            let _held = held;
            handlers::paths::serve(app, info, &parts, &query).await
        }
        Some(target) => {
            let verb = row_verb(info.verb);
            let Some(row) = app.registry.lookup(&target.group, &target.version, &target.resource) else {
                return Err(Status::no_such_path());
            };
            let verb = verb.ok_or_else(Status::method_not_allowed)?;
            // What answers on a connection is not ours to encode.
            let form = if row.connects(&target.subresource) {
                Negotiated::PLAIN
            } else {
                negotiate::answer(&parts.headers, &query, Allowed::Objects)?
            };
            let call = Call::new(Arc::clone(row), target.clone(), user, parts, query, form, body).holding(held);
            let outcome = handlers::serve(app, &call, verb).await;
            let warnings = call.warnings();
            let mut answer = outcome.unwrap_or_else(|status| respond::failure(&status, form));
            add_warnings(answer.headers_mut(), warnings);
            Ok(match call.held() {
                Some(held) => answer.map(|body| body.holding(|| held.until(received + app.options.request_timeout))),
                None => answer,
            })
        }
    }
}

fn row_verb(verb: Verb) -> Option<RowVerb> {
    match verb {
        Verb::Get => Some(RowVerb::Get),
        Verb::List => Some(RowVerb::List),
        Verb::Watch => Some(RowVerb::Watch),
        Verb::Create => Some(RowVerb::Create),
        Verb::Update => Some(RowVerb::Update),
        Verb::Patch => Some(RowVerb::Patch),
        Verb::Delete => Some(RowVerb::Delete),
        Verb::DeleteCollection => Some(RowVerb::DeleteCollection),
        Verb::Proxy | Verb::Other(_) => None,
    }
}

fn add_warnings(headers: &mut HeaderMap, warnings: Vec<String>) {
    let mut total = 0;
    for warning in warnings {
        let quoted: String = warning
            .chars()
            .filter(|c| !c.is_control())
            .flat_map(|c| if matches!(c, '"' | '\\') { vec!['\\', c] } else { vec![c] })
            .collect();
        total += quoted.len();
        if total > MAX_WARNINGS {
            return;
        }
        if let Ok(value) = HeaderValue::from_str(&format!("299 - \"{quoted}\"")) {
            headers.append(WARNING, value);
        }
    }
}

/// The labels a request is counted under. Only names of rows appear: foreign ones would grow the tables without end.
fn labels(app: &App, info: &RequestInfo, query: &[(String, String)]) -> RequestLabels {
    let row: Option<(&Arc<Resource>, &ResourceRequest)> = info
        .resource
        .as_ref()
        .and_then(|target| Some((app.registry.lookup(&target.group, &target.version, &target.resource)?, target)));
    let verb = match info.verb {
        Verb::Get | Verb::Other("get") => "GET",
        Verb::List => "LIST",
        Verb::Watch => "WATCH",
        Verb::Create | Verb::Other("post") => "POST",
        Verb::Update | Verb::Other("put") => "PUT",
        Verb::Patch | Verb::Other("patch") => "PATCH",
        Verb::Delete | Verb::Other("delete") => "DELETE",
        Verb::DeleteCollection => "DELETECOLLECTION",
        Verb::Proxy => "PROXY",
        Verb::Other("head") => "HEAD",
        Verb::Other(_) => "other",
    };
    let dry_run = info.verb.is_mutating() && query::first(query, "dryRun").is_some();
    match row {
        Some((row, target)) => RequestLabels {
            verb,
            group: row.group.clone(),
            version: row.version.clone(),
            resource: row.plural.clone(),
            subresource: row.subresource(&target.subresource).map(|one| one.name.clone()).unwrap_or_default(),
            scope: match (target.name.is_empty(), target.namespace.is_empty()) {
                (false, _) => "resource",
                (true, false) => "namespace",
                (true, true) => "cluster",
            },
            dry_run,
        },
        None => RequestLabels {
            verb,
            group: String::new(),
            version: String::new(),
            resource: String::new(),
            subresource: String::new(),
            scope: "",
            dry_run,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn warnings_are_quoted_and_bounded() {
        let mut headers = HeaderMap::new();
        add_warnings(&mut headers, vec!["unknown field \"spec.x\"\n".into(), "y".repeat(MAX_WARNINGS)]);
        let values: Vec<_> = headers.get_all(WARNING).iter().collect();
        assert_eq!(values, ["299 - \"unknown field \\\"spec.x\\\"\""]);
    }
}
