//! What is served over plain HTTP: health, version, metrics.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use http::{Method, Request, Response, StatusCode, Uri};
use store_core::record::State;

use crate::node::Node;
use crate::{STORAGE_VERSION, VERSION};

/// A page: its status, type and text.
#[derive(Debug, PartialEq, Eq)]
struct Page {
    status: StatusCode,
    kind: &'static str,
    text: String,
}

impl Page {
    fn text(status: StatusCode, text: impl Into<String>) -> Self {
        Self { status, kind: "text/plain; charset=utf-8", text: text.into() }
    }

    fn json(status: StatusCode, text: String) -> Self {
        Self { status, kind: "application/json", text }
    }
}

/// Answers a request that is not gRPC.
pub async fn answer<B>(node: &Arc<Node>, request: &Request<B>) -> Response<String> {
    let page = if matches!(*request.method(), Method::GET | Method::HEAD) {
        page(node, request.uri()).await
    } else {
        Page::text(StatusCode::METHOD_NOT_ALLOWED, "Method Not Allowed\n")
    };
    let mut response = Response::new(page.text);
    *response.status_mut() = page.status;
    response.headers_mut().insert(http::header::CONTENT_TYPE, http::HeaderValue::from_static(page.kind));
    response.headers_mut().insert("x-content-type-options", http::HeaderValue::from_static("nosniff"));
    response
}

async fn page(node: &Arc<Node>, uri: &Uri) -> Page {
    let query = Query::new(uri.query().unwrap_or_default());
    match uri.path() {
        "/health" => health(node, &query).await,
        "/version" => {
            let text = format!(
                "{{\"etcdserver\":\"{VERSION}\",\"etcdcluster\":\"{STORAGE_VERSION}\",\"storage\":\"{STORAGE_VERSION}\"}}"
            );
            Page::json(StatusCode::OK, text)
        }
        "/metrics" => match node.gauges() {
            Ok(gauges) => Page {
                status: StatusCode::OK,
                kind: "text/plain; version=0.0.4; charset=utf-8",
                text: node.metrics.render(&gauges, VERSION),
            },
            Err(error) => Page::text(StatusCode::INTERNAL_SERVER_ERROR, format!("{error}\n")),
        },
        path => match Probe::find(path) {
            Some((probe, only)) => probe.run(node, only, &query).await,
            None => Page::text(StatusCode::NOT_FOUND, "404 page not found\n"),
        },
    }
}

struct Query<'a>(Vec<(&'a str, &'a str)>);

impl<'a> Query<'a> {
    fn new(text: &'a str) -> Self {
        let pairs = text.split('&').filter(|pair| !pair.is_empty());
        Self(pairs.map(|pair| pair.split_once('=').unwrap_or((pair, ""))).collect())
    }

    fn has(&self, name: &str, value: &str) -> bool {
        self.0.iter().any(|(one, other)| *one == name && *other == value)
    }

    fn contains(&self, name: &str) -> bool {
        self.0.iter().any(|(one, _)| *one == name)
    }
}

async fn health(node: &Arc<Node>, query: &Query<'_>) -> Page {
    let reason = if node.alarms.no_space() && !query.has("exclude", "NOSPACE") {
        "ALARM NOSPACE".to_owned()
    } else if node.alarms.own_corrupt() && !query.has("exclude", "CORRUPT") {
        "ALARM CORRUPT".to_owned()
    } else if node.standing().leader.is_none() {
        "RAFT NO LEADER".to_owned()
    } else {
        let read =
            if query.has("serializable", "true") { serializable_read(node) } else { linearizable_read(node).await };
        read.err().map(|problem| format!("RANGE ERROR:{problem}")).unwrap_or_default()
    };
    let well = reason.is_empty();
    let told = if well { &node.metrics.healthy } else { &node.metrics.unhealthy };
    told.fetch_add(1, Ordering::Relaxed);
    let status = if well { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    Page::json(status, format!("{{\"health\":\"{well}\",\"reason\":{}}}", serde_json::Value::from(reason)))
}

fn serializable_read(node: &Node) -> Result<(), String> {
    node.database.read(State::load).map(drop).map_err(|fault| fault.to_string())
}

async fn linearizable_read(node: &Arc<Node>) -> Result<(), String> {
    node.barrier().await.map_err(|refusal| refusal.to_string())?;
    serializable_read(node)
}

/// One thing a probe looks at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Check {
    DataCorruption,
    SerializableRead,
    LinearizableRead,
    NonLearner,
}

impl Check {
    fn name(self) -> &'static str {
        match self {
            Self::DataCorruption => "data_corruption",
            Self::SerializableRead => "serializable_read",
            Self::LinearizableRead => "linearizable_read",
            Self::NonLearner => "non_learner",
        }
    }

    async fn run(self, node: &Arc<Node>) -> Result<(), String> {
        match self {
            Self::DataCorruption if node.alarms.own_corrupt() => Err("alarm activated: CORRUPT".to_owned()),
            Self::DataCorruption => Ok(()),
            Self::SerializableRead => serializable_read(node),
            Self::LinearizableRead => linearizable_read(node).await,
            Self::NonLearner if node.standing().voters.contains(&node.identity.member_id) => Ok(()),
            Self::NonLearner => Err("not supported for learner".to_owned()),
        }
    }
}

/// `/livez` or `/readyz`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Probe {
    checks: &'static [Check],
}

const LIVE: Probe = Probe { checks: &[Check::SerializableRead] };
const READY: Probe =
    Probe { checks: &[Check::DataCorruption, Check::SerializableRead, Check::LinearizableRead, Check::NonLearner] };

impl Probe {
    /// The probe of a path, and the one check it names below it.
    fn find(path: &str) -> Option<(Self, Option<Check>)> {
        let mut parts = path.strip_prefix('/')?.splitn(2, '/');
        let probe = match parts.next()? {
            "livez" => LIVE,
            "readyz" => READY,
            _ => return None,
        };
        match parts.next() {
            None | Some("") => Some((probe, None)),
            Some(name) => Some((probe, Some(*probe.checks.iter().find(|check| check.name() == name)?))),
        }
    }

    async fn run(self, node: &Arc<Node>, only: Option<Check>, query: &Query<'_>) -> Page {
        let mut report = Vec::new();
        let mut failed = false;
        for check in self.checks.iter().filter(|check| only.is_none_or(|only| only == **check)) {
            let name = check.name();
            if query.has("exclude", name) {
                report.push(format!("[+]{name} excluded: ok\n"));
                continue;
            }
            match check.run(node).await {
                Ok(()) => report.push(format!("[+]{name} ok\n")),
                Err(problem) => {
                    failed = true;
                    report.push(format!("[-]{name} failed: {problem}\n"));
                }
            }
        }
        let report = report.concat();
        match (failed, query.contains("verbose")) {
            (true, _) => Page::text(StatusCode::SERVICE_UNAVAILABLE, report),
            (false, true) => Page::text(StatusCode::OK, format!("{report}ok\n")),
            (false, false) => Page::text(StatusCode::OK, "ok\n"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn probes_have_pages_of_their_own() {
        assert_eq!(Probe::find("/livez"), Some((LIVE, None)));
        assert_eq!(Probe::find("/readyz/"), Some((READY, None)));
        assert_eq!(Probe::find("/readyz/non_learner"), Some((READY, Some(Check::NonLearner))));
        assert_eq!(Probe::find("/livez/non_learner"), None);
        assert_eq!(Probe::find("/readyz2"), None);
    }
}
