//! A very small API server that can be made to misbehave: it refuses watches, closes them at once, dies and comes
//! back. What a real one does is shown by the suites in `tests/api`.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard};

use bytes::Bytes;
use futures::StreamExt;
use http::{Method, Request, Response, StatusCode};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::net::TcpSocket;
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};

/// Resource (`namespaces`), namespace (empty for cluster-wide ones), name.
type Key = (String, String, String);

/// The resources that are served, whether namespaced, and with which verbs.
const RESOURCES: [(&str, bool, &[&str]); 6] = [
    ("namespaces", false, &["create", "delete", "get", "list", "update", "watch"]),
    ("configmaps", true, &["create", "delete", "deletecollection", "get", "list", "update", "watch"]),
    ("pods", true, &["create", "delete", "deletecollection", "get", "list", "update", "watch"]),
    // No deletecollection: these are deleted one by one.
    ("secrets", true, &["create", "delete", "get", "list", "update", "watch"]),
    ("serviceaccounts", true, &["create", "delete", "deletecollection", "get", "list", "update", "watch"]),
    ("bindings", true, &["create"]),
];

#[derive(Default)]
struct State {
    revision: u64,
    objects: BTreeMap<Key, Value>,
    /// Revision, resource, type and object of every change since the oldest revision that can be watched from.
    events: Vec<(u64, String, &'static str, Value)>,
    oldest: u64,
    /// Watches end at once.
    short_watches: bool,
    /// Requests, by method and path without its query.
    requests: Vec<(Method, String)>,
}

/// The server. It stops when this is dropped.
pub(crate) struct Fake {
    pub(crate) address: SocketAddr,
    shared: Arc<Shared>,
    serving: Option<JoinHandle<()>>,
}

struct Shared {
    state: Mutex<State>,
    changed: watch::Sender<u64>,
}

type Body = UnsyncBoxBody<Bytes, Infallible>;

impl Fake {
    pub(crate) fn start() -> Self {
        let shared = Arc::new(Shared { state: Mutex::default(), changed: watch::Sender::new(0) });
        let mut fake = Self { address: SocketAddr::from(([127, 0, 0, 1], 0)), shared, serving: None };
        fake.resume();
        for name in ["default", "kube-system"] {
            fake.create_namespace(name);
        }
        fake
    }

    /// Dies: the port is closed and every connection broken.
    pub(crate) async fn die(&mut self) {
        if let Some(serving) = self.serving.take() {
            serving.abort();
            let _ = serving.await;
        }
    }

    /// Comes back on the same port, knowing what it knew.
    pub(crate) fn resume(&mut self) {
        let socket = TcpSocket::new_v4().unwrap();
        socket.set_reuseaddr(true).unwrap();
        socket.bind(self.address).unwrap();
        let listener = socket.listen(64).unwrap();
        self.address = listener.local_addr().unwrap();
        let shared = Arc::clone(&self.shared);
        self.serving = Some(tokio::spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                let shared = Arc::clone(&shared);
                connections.spawn(async move {
                    let service = service_fn(move |request| answer(Arc::clone(&shared), request));
                    let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
                });
            }
        }));
    }

    /// Forgets the history: whoever watches from an earlier revision gets 410 as an HTTP status.
    pub(crate) fn compact(&self) {
        let mut state = self.shared.lock();
        state.revision += 10;
        state.oldest = state.revision;
        state.events.clear();
    }

    pub(crate) fn set_short_watches(&self, short: bool) {
        self.shared.lock().short_watches = short;
        self.shared.changed.send_modify(|_| ());
    }

    pub(crate) fn create_namespace(&self, name: &str) {
        let namespace = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name},
            "spec": {"finalizers": ["kubernetes"]}, "status": {"phase": "Active"}});
        self.create("namespaces", "", name, namespace);
    }

    pub(crate) fn create(&self, resource: &str, namespace: &str, name: &str, object: Value) {
        let key = (resource.to_owned(), namespace.to_owned(), name.to_owned());
        assert!(self.shared.write(key, Some(object)).is_ok());
    }

    pub(crate) fn delete(&self, resource: &str, namespace: &str, name: &str) {
        self.shared.delete(&(resource.to_owned(), namespace.to_owned(), name.to_owned()));
    }

    pub(crate) fn get(&self, resource: &str, namespace: &str, name: &str) -> Option<Value> {
        self.shared.lock().objects.get(&(resource.to_owned(), namespace.to_owned(), name.to_owned())).cloned()
    }

    /// Changes an object in place, past all checks.
    pub(crate) fn change(&self, resource: &str, namespace: &str, name: &str, change: impl FnOnce(&mut Value)) {
        let mut object = self.get(resource, namespace, name).expect("the object is there");
        change(&mut object);
        let key = (resource.to_owned(), namespace.to_owned(), name.to_owned());
        assert!(self.shared.write(key, Some(object)).is_ok());
    }

    /// How many requests with this method had a path that ends like this.
    pub(crate) fn requests(&self, method: &Method, path_end: &str) -> usize {
        let state = self.shared.lock();
        state.requests.iter().filter(|(found, path)| found == method && path.ends_with(path_end)).count()
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    /// Writes an object, or removes it.
    fn write(&self, key: Key, object: Option<Value>) -> Result<Value, ()> {
        let mut state = self.lock();
        state.revision += 1;
        let revision = state.revision;
        let former = state.objects.remove(&key);
        let (kind, mut shown) = match (object, former) {
            (Some(object), None) => ("ADDED", object),
            (Some(object), Some(_)) => ("MODIFIED", object),
            (None, Some(former)) => ("DELETED", former),
            (None, None) => return Err(()),
        };
        let metadata = &mut shown["metadata"];
        metadata["name"] = json!(key.2);
        if !key.1.is_empty() {
            metadata["namespace"] = json!(key.1);
        }
        if metadata["uid"].is_null() {
            metadata["uid"] = json!(format!("uid-{revision}"));
        }
        metadata["resourceVersion"] = json!(revision.to_string());
        state.events.push((revision, key.0.clone(), kind, shown.clone()));
        if kind != "DELETED" {
            state.objects.insert(key, shown.clone());
        }
        drop(state);
        self.changed.send_replace(revision);
        Ok(shown)
    }

    fn delete(&self, key: &Key) {
        let Some(mut object) = self.lock().objects.get(key).cloned() else { return };
        let is_namespace = key.0 == "namespaces";
        let held = object["metadata"]["finalizers"].as_array().is_some_and(|list| !list.is_empty()) || is_namespace;
        if held {
            object["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:00Z");
            if is_namespace {
                object["status"]["phase"] = json!("Terminating");
            }
        }
        let _ = self.write(key.clone(), held.then_some(object));
    }
}

fn full(code: StatusCode, value: &Value) -> Response<Body> {
    let mut response = Response::new(Full::new(Bytes::from(value.to_string())).boxed_unsync());
    *response.status_mut() = code;
    response
}

fn refuse(code: u16, reason: &str) -> Response<Body> {
    let cause = json!([{"reason": reason}]);
    let status = json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": code, "reason": reason,
        "message": reason, "details": {"causes": cause}});
    full(StatusCode::from_u16(code).unwrap(), &status)
}

async fn answer(shared: Arc<Shared>, request: Request<Incoming>) -> Result<Response<Body>, Infallible> {
    let method = request.method().clone();
    let uri = request.uri().clone();
    let path = uri.path().to_owned();
    shared.lock().requests.push((method.clone(), path.clone()));
    let query: BTreeMap<String, String> = uri
        .query()
        .unwrap_or_default()
        .split('&')
        .filter_map(|pair| pair.split_once('='))
        .map(|(name, value)| (name.to_owned(), value.replace("%3D", "=")))
        .collect();
    let body = request.into_body().collect().await.map(http_body_util::Collected::to_bytes).unwrap_or_default();
    let body: Value = serde_json::from_slice(&body).unwrap_or(Value::Null);
    Ok(route(&shared, &method, &path, &query, body))
}

fn route(
    shared: &Arc<Shared>,
    method: &Method,
    path: &str,
    query: &BTreeMap<String, String>,
    body: Value,
) -> Response<Body> {
    match path {
        "/readyz" => return Response::new(Full::new(Bytes::from_static(b"ok")).boxed_unsync()),
        "/api" => return full(StatusCode::OK, &json!({"kind": "APIVersions", "versions": ["v1"]})),
        "/apis" => return full(StatusCode::OK, &json!({"kind": "APIGroupList", "groups": []})),
        "/api/v1" => {
            let resources: Vec<_> = RESOURCES
                .iter()
                .map(|(name, namespaced, verbs)| json!({"name": name, "namespaced": namespaced, "verbs": verbs}))
                .collect();
            return full(StatusCode::OK, &json!({"kind": "APIResourceList", "resources": resources}));
        }
        _ => {}
    }
    let inside = path.strip_prefix("/api/v1/").or_else(|| path.strip_prefix("/apis/coordination.k8s.io/v1/"));
    let parts: Vec<_> = inside.unwrap_or_default().split('/').collect();
    let of = |text: &&str| (*text).to_owned();
    match parts.as_slice() {
        ["namespaces"] => collection(shared, method, "namespaces", None, query, body),
        ["namespaces", name] => single(shared, method, (of(&"namespaces"), String::new(), of(name)), None, body),
        ["namespaces", name, sub @ ("status" | "finalize")] => {
            single(shared, method, (of(&"namespaces"), String::new(), of(name)), Some(sub), body)
        }
        ["namespaces", namespace, resource] => collection(shared, method, resource, Some(namespace), query, body),
        ["namespaces", namespace, resource, name] => {
            single(shared, method, (of(resource), of(namespace), of(name)), None, body)
        }
        [resource] => collection(shared, method, resource, None, query, body),
        _ => refuse(404, "NotFound"),
    }
}

fn collection(
    shared: &Arc<Shared>,
    method: &Method,
    resource: &str,
    namespace: Option<&str>,
    query: &BTreeMap<String, String>,
    body: Value,
) -> Response<Body> {
    let wanted_name =
        query.get("fieldSelector").and_then(|fields| fields.strip_prefix("metadata.name=")).map(str::to_owned);
    let matches = {
        let (resource, namespace) = (resource.to_owned(), namespace.map(str::to_owned));
        move |key: &Key| {
            key.0 == resource
                && namespace.as_ref().is_none_or(|namespace| *namespace == key.1)
                && wanted_name.as_ref().is_none_or(|name| *name == key.2)
        }
    };
    match *method {
        Method::GET if query.get("watch").is_some_and(|watch| watch == "true") => {
            let from: u64 = query.get("resourceVersion").and_then(|from| from.parse().ok()).unwrap_or(0);
            if from < shared.lock().oldest {
                return refuse(410, "Expired");
            }
            watch_from(shared, from, matches)
        }
        Method::GET => {
            let state = shared.lock();
            let found: Vec<_> = state.objects.iter().filter(|(key, _)| matches(key)).map(|(_, found)| found).collect();
            // Small pages, so that they are walked.
            let length = if found.len() > 100 { 100 } else { 2 };
            let start: usize = query.get("continue").and_then(|token| token.parse().ok()).unwrap_or(0);
            let page: Vec<_> = found.iter().skip(start).take(length).collect();
            let more = if start + length < found.len() { (start + length).to_string() } else { String::new() };
            let metadata = json!({"resourceVersion": state.revision.to_string(), "continue": more});
            full(StatusCode::OK, &json!({"kind": "List", "metadata": metadata, "items": page}))
        }
        Method::POST => {
            let name = body["metadata"]["name"].as_str().unwrap_or_default().to_owned();
            let key = (resource.to_owned(), namespace.unwrap_or_default().to_owned(), name);
            if let Some(namespace) = namespace {
                let state = shared.lock();
                let owner = state.objects.get(&("namespaces".to_owned(), String::new(), namespace.to_owned()));
                match owner {
                    None => return refuse(404, "NotFound"),
                    Some(owner) if !owner["metadata"]["deletionTimestamp"].is_null() => {
                        return refuse(403, "NamespaceTerminating");
                    }
                    Some(_) => {}
                }
            }
            if shared.lock().objects.contains_key(&key) {
                return refuse(409, "AlreadyExists");
            }
            shared.write(key, Some(body)).map_or_else(|()| refuse(500, "Bug"), |made| full(StatusCode::CREATED, &made))
        }
        Method::DELETE if resource == "secrets" => refuse(405, "MethodNotAllowed"),
        Method::DELETE => {
            let keys: Vec<_> = shared.lock().objects.keys().filter(|key| matches(key)).cloned().collect();
            for key in keys {
                shared.delete(&key);
            }
            full(StatusCode::OK, &json!({"kind": "List", "items": []}))
        }
        _ => refuse(405, "MethodNotAllowed"),
    }
}

fn watch_from(shared: &Arc<Shared>, from: u64, matches: impl Fn(&Key) -> bool + Send + 'static) -> Response<Body> {
    let shared = Arc::clone(shared);
    let changes = shared.changed.subscribe();
    let events = futures::stream::unfold((from, changes), move |(from, mut changes)| {
        let shared = Arc::clone(&shared);
        async move {
            loop {
                {
                    let state = shared.lock();
                    let news: Vec<_> = state.events.iter().filter(|event| event.0 > from).cloned().collect();
                    if let Some(last) = news.last() {
                        return Some((news.clone(), (last.0, changes)));
                    }
                    if state.short_watches {
                        return None;
                    }
                }
                changes.changed().await.ok()?;
            }
        }
    });
    let lines = events.map(move |news| {
        let mut text = String::new();
        for (_, resource, kind, object) in news {
            let name = |field: &str| object["metadata"][field].as_str().unwrap_or_default().to_owned();
            if matches(&(resource, name("namespace"), name("name"))) {
                text.push_str(&json!({"type": kind, "object": object}).to_string());
                text.push('\n');
            }
        }
        Ok(Frame::data(Bytes::from(text)))
    });
    Response::new(StreamBody::new(lines).boxed_unsync())
}

fn single(shared: &Arc<Shared>, method: &Method, key: Key, sub: Option<&str>, body: Value) -> Response<Body> {
    let Some(found) = shared.lock().objects.get(&key).cloned() else { return refuse(404, "NotFound") };
    match *method {
        Method::GET => full(StatusCode::OK, &found),
        Method::PUT if body["metadata"]["resourceVersion"] != found["metadata"]["resourceVersion"] => {
            refuse(409, "Conflict")
        }
        Method::PUT => {
            let mut next = found;
            match sub {
                Some("status") => next["status"] = body["status"].clone(),
                Some(_) => next["spec"] = body["spec"].clone(),
                None => next = body,
            }
            let none_hold = next["spec"]["finalizers"].as_array().is_none_or(Vec::is_empty);
            let released = sub == Some("finalize") && none_hold && !next["metadata"]["deletionTimestamp"].is_null();
            let written = shared.write(key, (!released).then_some(next));
            written.map_or_else(|()| refuse(500, "Bug"), |written| full(StatusCode::OK, &written))
        }
        Method::DELETE => {
            shared.delete(&key);
            full(StatusCode::OK, &json!({"kind": "Status", "status": "Success"}))
        }
        _ => refuse(405, "MethodNotAllowed"),
    }
}
