//! Paths that name no resource: discovery, schemas, health, version, metrics and the index.

use std::sync::Arc;

use apiserver_core::Status;
use apiserver_core::discovery::AGGREGATED_PARAMETERS;
use bytes::Bytes;
use http::header::{CACHE_CONTROL, CONTENT_TYPE, ETAG, Entry, IF_NONE_MATCH, LOCATION, VARY};
use http::request::Parts;
use http::{HeaderMap, HeaderValue, Method, StatusCode};
use serde_json::{Value, json};

use super::openid;
use super::zpages::{self, Page};
use crate::app::App;
use crate::documents::{Document, Encoded, Name};
use crate::health;
use crate::http::negotiate::{self, Allowed, Encoding, Negotiated};
use crate::http::query;
use crate::http::respond::{self, Answer};
use crate::metrics::ResourceSample;
use crate::request_info::RequestInfo;

/// The version of Kubernetes whose API is served.
const VERSION: (&str, &str, &str) = ("1", "37", "v1.37.0");

/// Answers a request on such a path.
pub(crate) async fn serve(
    app: &Arc<App>,
    info: &RequestInfo,
    parts: &Parts,
    parameters: &[(String, String)],
) -> Result<Answer, Status> {
    let path = info.path.as_str();
    let known = answer(app, path, parts, parameters).await?;
    match known {
        Some(_) if !matches!(parts.method, Method::GET | Method::HEAD) => Err(Status::method_not_allowed()),
        Some(answer) => Ok(answer),
        None if path.starts_with("/api/") || path.starts_with("/apis/") => Err(Status::no_such_path()),
        None => Ok(respond::text(StatusCode::NOT_FOUND, "404 page not found\n")),
    }
}

async fn answer(
    app: &Arc<App>,
    path: &str,
    parts: &Parts,
    parameters: &[(String, String)],
) -> Result<Option<Answer>, Status> {
    let headers = &parts.headers;
    let trimmed = if path.len() > 1 { path.trim_end_matches('/') } else { path };
    Ok(match trimmed {
        "/" => Some(plain(&json!({ "paths": app.documents.paths() }))),
        "/version" => Some(plain(&version())),
        "/metrics" => Some(metrics(app).await),
        "/metrics/slis" => Some(exposition(app.metrics.health.render())),
        "/statusz" => Some(zpages::serve(app, Page::Statusz, headers)?),
        "/flagz" => Some(zpages::serve(app, Page::Flagz, headers)?),
        "/api" => aggregated(app, headers, parameters, &Name::AggregatedCore, &Name::Versions)?,
        "/apis" => aggregated(app, headers, parameters, &Name::AggregatedGroups, &Name::Groups)?,
        "/openapi/v3" => document(app, headers, parameters, &Name::OpenApiIndex)?,
        "/.well-known/openid-configuration" | "/openid/v1/jwks" => openid::serve(app, trimmed),
        "/openapi/v2" => schema(app, headers, &Name::Swagger, &V2)?,
        _ => {
            if let Some(name) = trimmed.strip_prefix("/openapi/v3/") {
                return hashed(app, headers, parameters, name);
            }
            let segments: Vec<&str> = trimmed.trim_start_matches('/').split('/').collect();
            match segments.as_slice() {
                ["api", version] => {
                    document(app, headers, parameters, &Name::Resources(String::new(), (*version).to_owned()))?
                }
                ["apis", group] => document(app, headers, parameters, &Name::Group((*group).to_owned()))?,
                ["apis", group, version] => {
                    document(app, headers, parameters, &Name::Resources((*group).to_owned(), (*version).to_owned()))?
                }
                ["debug", "api_priority_and_fairness", page] => {
                    let details =
                        query::first(parameters, "includeRequestDetails").is_some_and(|value| !value.is_empty());
                    let page = app.flow.as_ref().and_then(|flow| flow.dump(page, details));
                    page.map(|page| respond::text(StatusCode::OK, page))
                }
                _ => health::serve(app, trimmed, parameters).await,
            }
        }
    })
}

/// JSON for everybody, indented, whatever they accept.
fn plain(value: &Value) -> Answer {
    let mut text = serde_json::to_vec_pretty(value).unwrap_or_default();
    text.push(b'\n');
    respond::bytes(StatusCode::OK, "application/json", text.into(), false)
}

/// What `/version` tells.
pub(super) fn version() -> Value {
    let (major, minor, git) = VERSION;
    json!({
        "major": major,
        "minor": minor,
        "emulationMajor": major,
        "emulationMinor": minor,
        "minCompatibilityMajor": major,
        "minCompatibilityMinor": "36",
        "gitVersion": format!("{git}+orlop.{}", env!("CARGO_PKG_VERSION")),
        "gitCommit": option_env!("ORLOP_GIT_COMMIT").unwrap_or("unknown"),
        "gitTreeState": "clean",
        "buildDate": option_env!("ORLOP_BUILD_DATE").unwrap_or("1970-01-01T00:00:00Z"),
        "goVersion": "none (rust)",
        "compiler": "rustc",
        "platform": format!("linux/{}", if cfg!(target_arch = "aarch64") { "arm64" } else { "amd64" }),
    })
}

async fn metrics(app: &App) -> Answer {
    let mut resources: Vec<ResourceSample<'_>> = app
        .caches()
        .map(|cache| ResourceSample {
            group: &cache.resource.group,
            version: &cache.resource.version,
            resource: &cache.resource.plural,
            objects: cache.count(),
            revision: cache.revision(),
            counts: &cache.counts,
        })
        .collect();
    resources.sort_unstable_by_key(|one| (one.group, one.resource));
    let mut page = app.metrics.render(&resources, &version(), app.store.size().await);
    app.authorization.write_metrics(&mut page);
    app.admission.write_metrics(&mut page);
    if let Some(flow) = &app.flow {
        flow.write_metrics(&mut page);
    }
    exposition(page)
}

/// A page in the text format of Prometheus.
fn exposition(page: String) -> Answer {
    respond::bytes(StatusCode::OK, "text/plain; version=0.0.4; charset=utf-8", page.into(), false)
}

/// A document, or 304 if the client has it already.
fn tagged(document: &Document, headers: &HeaderMap, answer: impl FnOnce(Bytes) -> Answer) -> Answer {
    under(&document.hash, headers, || answer(document.json.clone()))
}

/// What has a hash, or 304 if the client has it already.
fn under(hash: &str, headers: &HeaderMap, answer: impl FnOnce() -> Answer) -> Answer {
    let tag = format!("\"{hash}\"");
    let known = headers
        .get_all(IF_NONE_MATCH)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .any(|value| matches!(value.trim().trim_start_matches("W/"), "*") || value.trim() == tag);
    let mut answer = if known {
        let mut empty = respond::text(StatusCode::NOT_MODIFIED, "");
        empty.headers_mut().remove(http::header::CONTENT_TYPE);
        empty
    } else {
        answer()
    };
    if let Ok(tag) = HeaderValue::from_str(&tag) {
        answer.headers_mut().insert(ETAG, tag);
    }
    answer
}

fn document(
    app: &App,
    headers: &HeaderMap,
    parameters: &[(String, String)],
    name: &Name,
) -> Result<Option<Answer>, Status> {
    let Some(document) = app.documents.get(name) else { return Ok(None) };
    let form = negotiate::answer(headers, parameters, Allowed::Plain)?;
    Ok(Some(tagged(&document, headers, |json| match form.encoding {
        Encoding::Protobuf => respond::encoded(StatusCode::OK, Encoding::Protobuf, document.protobuf(), form),
        Encoding::Json | Encoding::Yaml => respond::json(StatusCode::OK, document.definition(), json, form),
    })))
}

/// `/api` and `/apis`, in the form the client prefers.
fn aggregated(
    app: &App,
    headers: &HeaderMap,
    parameters: &[(String, String)],
    aggregated: &Name,
    plain: &Name,
) -> Result<Option<Answer>, Status> {
    let mut answer = match negotiate::aggregated(headers) {
        None => document(app, headers, parameters, plain)?,
        Some(encoding) => {
            let Some(document) = app.documents.get(aggregated) else { return Ok(None) };
            let form = Negotiated { encoding, gzip: negotiate::takes_gzip(headers), ..Negotiated::PLAIN };
            let mut answer = tagged(&document, headers, |json| match encoding {
                Encoding::Protobuf => respond::encoded(StatusCode::OK, encoding, document.protobuf(), form),
                Encoding::Json | Encoding::Yaml => respond::json(StatusCode::OK, document.definition(), json, form),
            });
            let media_type = format!("{}{AGGREGATED_PARAMETERS}", encoding.media_type());
            if let (Entry::Occupied(mut given), Ok(media_type)) =
                (answer.headers_mut().entry(CONTENT_TYPE), HeaderValue::try_from(media_type))
            {
                given.insert(media_type);
            }
            Some(answer)
        }
    };
    if let Some(answer) = &mut answer {
        answer.headers_mut().append(VARY, HeaderValue::from_static("Accept"));
    }
    Ok(answer)
}

/// The media types of a schema in protobuf: one spelling is not well-formed, and is never answered with.
struct Spellings {
    right: &'static str,
    wrong: &'static str,
}

const V2: Spellings = Spellings {
    right: "application/com.github.proto-openapi.spec.v2.v1.0+protobuf",
    wrong: "application/com.github.proto-openapi.spec.v2@v1.0+protobuf",
};
const V3: Spellings = Spellings {
    right: "application/com.github.proto-openapi.spec.v3.v1.0+protobuf",
    wrong: "application/com.github.proto-openapi.spec.v3@v1.0+protobuf",
};

/// A schema document, in JSON or in protobuf, or 406.
fn schema(app: &App, headers: &HeaderMap, name: &Name, protobuf: &Spellings) -> Result<Option<Answer>, Status> {
    let header = negotiate::accept(headers);
    let entries = negotiate::parse_accept(&header);
    let wanted = entries.iter().map(|entry| entry.media_type).find_map(|media_type| match media_type {
        "application/json" | "application/*" | "*/*" => Some(false),
        other if other == protobuf.right || other == protobuf.wrong => Some(true),
        _ => None,
    });
    let in_protobuf = match wanted {
        Some(wanted) => wanted,
        None if header.is_empty() => false,
        None => return Err(Status::not_acceptable(&["application/json", protobuf.right])),
    };
    let Some(document) = app.documents.get(name) else { return Ok(None) };
    let gzip = negotiate::takes_gzip(headers);
    // Two forms are two entities, which a cache between us and the client must not take for each other.
    let (hash, media_type, body) = if in_protobuf {
        let Encoded { bytes, hash } = document.protobuf_hashed();
        (hash.as_str(), protobuf.right, bytes.clone())
    } else {
        (document.hash.as_str(), "application/json", document.json.clone())
    };
    let mut answer = under(hash, headers, || respond::bytes(StatusCode::OK, media_type, body, gzip));
    answer.headers_mut().append(VARY, HeaderValue::from_static("Accept"));
    Ok(Some(answer))
}

/// `/openapi/v3/<name>?hash=`: with the right hash the answer never changes, with another it leads to the right one.
fn hashed(
    app: &App,
    headers: &HeaderMap,
    parameters: &[(String, String)],
    name: &str,
) -> Result<Option<Answer>, Status> {
    let Some(document) = app.documents.get(&Name::OpenApi(name.to_owned())) else { return Ok(None) };
    let asked = query::first(parameters, "hash").filter(|hash| !hash.is_empty());
    if let Some(asked) = asked
        && asked != document.hash
    {
        let mut answer = respond::text(StatusCode::MOVED_PERMANENTLY, "");
        if let Ok(location) = HeaderValue::from_str(&format!("/openapi/v3/{name}?hash={}", document.hash)) {
            answer.headers_mut().insert(LOCATION, location);
        }
        return Ok(Some(answer));
    }
    let mut answer = schema(app, headers, &Name::OpenApi(name.to_owned()), &V3)?;
    if asked.is_some()
        && let Some(answer) = &mut answer
    {
        answer.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("public, immutable"));
    }
    Ok(answer)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_is_one_that_clients_can_read() {
        let version = version();
        assert_eq!(version["minor"], "37");
        assert!(version["gitVersion"].as_str().unwrap().starts_with("v1.37.0"));
    }
}
