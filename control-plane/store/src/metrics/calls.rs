//! Calls by method and outcome, and the bytes they take, as Go's gRPC servers count them.

use std::fmt::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use http::{HeaderMap, Request, Response};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use tokio::time::Instant;
use tonic::body::Body;

use super::Metrics;
use super::histogram::Histogram;

const UNARY: &str = "unary";
const FROM_SERVER: &str = "server_stream";
const BOTH_WAYS: &str = "bidi_stream";

/// Every method that is served. What else is asked for is not counted: its names are the client's.
const METHODS: [(&str, &str, &str); 51] = [
    ("etcdserverpb.KV", "Range", UNARY),
    ("etcdserverpb.KV", "RangeStream", FROM_SERVER),
    ("etcdserverpb.KV", "Put", UNARY),
    ("etcdserverpb.KV", "DeleteRange", UNARY),
    ("etcdserverpb.KV", "Txn", UNARY),
    ("etcdserverpb.KV", "Compact", UNARY),
    ("etcdserverpb.Watch", "Watch", BOTH_WAYS),
    ("etcdserverpb.Lease", "LeaseGrant", UNARY),
    ("etcdserverpb.Lease", "LeaseRevoke", UNARY),
    ("etcdserverpb.Lease", "LeaseKeepAlive", BOTH_WAYS),
    ("etcdserverpb.Lease", "LeaseTimeToLive", UNARY),
    ("etcdserverpb.Lease", "LeaseLeases", UNARY),
    ("etcdserverpb.Cluster", "MemberAdd", UNARY),
    ("etcdserverpb.Cluster", "MemberRemove", UNARY),
    ("etcdserverpb.Cluster", "MemberUpdate", UNARY),
    ("etcdserverpb.Cluster", "MemberList", UNARY),
    ("etcdserverpb.Cluster", "MemberPromote", UNARY),
    ("etcdserverpb.Maintenance", "Alarm", UNARY),
    ("etcdserverpb.Maintenance", "Status", UNARY),
    ("etcdserverpb.Maintenance", "Defragment", UNARY),
    ("etcdserverpb.Maintenance", "Hash", UNARY),
    ("etcdserverpb.Maintenance", "HashKV", UNARY),
    ("etcdserverpb.Maintenance", "Snapshot", FROM_SERVER),
    ("etcdserverpb.Maintenance", "MoveLeader", UNARY),
    ("etcdserverpb.Maintenance", "Downgrade", UNARY),
    ("etcdserverpb.Auth", "AuthEnable", UNARY),
    ("etcdserverpb.Auth", "AuthDisable", UNARY),
    ("etcdserverpb.Auth", "AuthStatus", UNARY),
    ("etcdserverpb.Auth", "Authenticate", UNARY),
    ("etcdserverpb.Auth", "UserAdd", UNARY),
    ("etcdserverpb.Auth", "UserGet", UNARY),
    ("etcdserverpb.Auth", "UserList", UNARY),
    ("etcdserverpb.Auth", "UserDelete", UNARY),
    ("etcdserverpb.Auth", "UserChangePassword", UNARY),
    ("etcdserverpb.Auth", "UserGrantRole", UNARY),
    ("etcdserverpb.Auth", "UserRevokeRole", UNARY),
    ("etcdserverpb.Auth", "RoleAdd", UNARY),
    ("etcdserverpb.Auth", "RoleGet", UNARY),
    ("etcdserverpb.Auth", "RoleList", UNARY),
    ("etcdserverpb.Auth", "RoleDelete", UNARY),
    ("etcdserverpb.Auth", "RoleGrantPermission", UNARY),
    ("etcdserverpb.Auth", "RoleRevokePermission", UNARY),
    ("v3lockpb.Lock", "Lock", UNARY),
    ("v3lockpb.Lock", "Unlock", UNARY),
    ("v3electionpb.Election", "Campaign", UNARY),
    ("v3electionpb.Election", "Proclaim", UNARY),
    ("v3electionpb.Election", "Leader", UNARY),
    ("v3electionpb.Election", "Observe", FROM_SERVER),
    ("v3electionpb.Election", "Resign", UNARY),
    ("grpc.health.v1.Health", "Check", UNARY),
    ("grpc.health.v1.Health", "Watch", FROM_SERVER),
];

/// The names of gRPC's codes, by number.
const CODES: [&str; 17] = [
    "OK",
    "Canceled",
    "Unknown",
    "InvalidArgument",
    "DeadlineExceeded",
    "NotFound",
    "AlreadyExists",
    "PermissionDenied",
    "ResourceExhausted",
    "FailedPrecondition",
    "Aborted",
    "OutOfRange",
    "Unimplemented",
    "Internal",
    "Unavailable",
    "DataLoss",
    "Unauthenticated",
];
const CANCELED: usize = 1;
const UNKNOWN: usize = 2;

/// Bounds of the times of calls, in seconds: those every Prometheus client begins with.
const BOUNDS: [f64; 11] = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];

#[derive(Debug)]
struct Method {
    started: AtomicU64,
    handled: [AtomicU64; CODES.len()],
    received: AtomicU64,
    sent: AtomicU64,
    took: Histogram,
}

impl Method {
    fn new() -> Self {
        let zero = || AtomicU64::new(0);
        Self {
            started: zero(),
            handled: Default::default(),
            received: zero(),
            sent: zero(),
            took: Histogram::new(&BOUNDS),
        }
    }
}

/// One counter of a method.
type Counter = fn(&Method) -> &AtomicU64;

/// Where a body is between two messages: each has five bytes in front, of which the last four are its length.
#[derive(Debug, Default)]
struct Framing {
    prefix: [u8; 5],
    have: usize,
    left: usize,
}

impl Framing {
    /// How many messages begin in the next bytes of the body.
    fn count(&mut self, mut data: &[u8]) -> u64 {
        let mut messages = 0;
        while !data.is_empty() {
            let within = self.left.min(data.len());
            self.left -= within;
            data = &data[within..];
            let missing = (self.prefix.len() - self.have).min(data.len());
            self.prefix[self.have..self.have + missing].copy_from_slice(&data[..missing]);
            self.have += missing;
            data = &data[missing..];
            if self.have == self.prefix.len() {
                let [_, length @ ..] = self.prefix;
                self.left = u32::from_be_bytes(length) as usize;
                self.have = 0;
                messages += 1;
            }
        }
        messages
    }
}

/// What was called, and how it went.
#[derive(Debug)]
pub struct Calls {
    methods: Vec<Method>,
    received: AtomicU64,
    sent: AtomicU64,
}

impl Default for Calls {
    fn default() -> Self {
        let methods = METHODS.iter().map(|_| Method::new()).collect();
        Self { methods, received: AtomicU64::new(0), sent: AtomicU64::new(0) }
    }
}

/// A call under way; one that is dropped before its outcome is known was canceled.
pub struct Call {
    metrics: Arc<Metrics>,
    /// `None` when it is none that is served.
    method: Option<usize>,
    began: Instant,
    ended: bool,
}

impl Call {
    /// A call begins.
    pub fn begin(metrics: &Arc<Metrics>, path: &str) -> Self {
        let method = path
            .strip_prefix('/')
            .and_then(|path| path.split_once('/'))
            .and_then(|name| METHODS.iter().position(|(service, method, _)| (*service, *method) == name));
        if let Some(method) = method {
            metrics.calls.methods[method].started.fetch_add(1, Relaxed);
        }
        Self { metrics: Arc::clone(metrics), method, began: Instant::now(), ended: false }
    }

    fn end(&mut self, code: usize) {
        if std::mem::replace(&mut self.ended, true) {
            return;
        }
        if let Some(method) = self.method.map(|method| &self.metrics.calls.methods[method]) {
            method.handled[code].fetch_add(1, Relaxed);
            method.took.observe(self.began.elapsed());
        }
    }

    fn look(&mut self, headers: &HeaderMap) {
        if let Some(status) = headers.get("grpc-status") {
            let code = status.to_str().ok().and_then(|code| code.parse().ok()).filter(|code| *code < CODES.len());
            self.end(code.unwrap_or(UNKNOWN));
        }
    }

    /// Counts what the client sends.
    pub fn request(&self, request: Request<Incoming>) -> Request<Body> {
        let (metrics, method, mut framing) = (Arc::clone(&self.metrics), self.method, Framing::default());
        request.map(|body| {
            Body::new(body.map_frame(move |frame| {
                if let Some(data) = frame.data_ref() {
                    metrics.calls.received.fetch_add(data.len() as u64, Relaxed);
                    if let Some(method) = method {
                        metrics.calls.methods[method].received.fetch_add(framing.count(data), Relaxed);
                    }
                }
                frame
            }))
        })
    }

    /// Counts what the client is sent, and waits for the outcome at the end of it.
    pub fn response(mut self, response: Response<Body>) -> Response<Body> {
        self.look(response.headers());
        let mut framing = Framing::default();
        response.map(|body| {
            Body::new(body.map_frame(move |frame| {
                if let Some(data) = frame.data_ref() {
                    self.metrics.calls.sent.fetch_add(data.len() as u64, Relaxed);
                    if let Some(method) = self.method {
                        self.metrics.calls.methods[method].sent.fetch_add(framing.count(data), Relaxed);
                    }
                } else if let Some(trailers) = frame.trailers_ref() {
                    self.look(trailers);
                }
                frame
            }))
        })
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        self.end(CANCELED);
    }
}

impl Calls {
    /// In Prometheus' text form. How long calls took is told of methods that were called: it is most of the page.
    pub fn render(&self, out: &mut String) {
        let labelled = || {
            METHODS.iter().zip(&self.methods).map(|((service, method, kind), counters)| {
                (format!("grpc_method=\"{method}\",grpc_service=\"{service}\",grpc_type=\"{kind}\""), counters)
            })
        };
        let counters: [(&str, Counter); 3] = [
            ("grpc_server_started_total", |method| &method.started),
            ("grpc_server_msg_received_total", |method| &method.received),
            ("grpc_server_msg_sent_total", |method| &method.sent),
        ];
        for (name, figure) in counters {
            // Writing to a string cannot fail; so below.
            let _ = writeln!(out, "# TYPE {name} counter");
            for (labels, method) in labelled() {
                let _ = writeln!(out, "{name}{{{labels}}} {}", figure(method).load(Relaxed));
            }
        }
        let name = "grpc_server_handling_seconds";
        let _ = writeln!(out, "# TYPE {name} histogram");
        for (labels, method) in labelled().filter(|(_, method)| !method.took.is_empty()) {
            method.took.render(out, name, &labels);
        }
        let _ = writeln!(out, "# TYPE grpc_server_handled_total counter");
        for (labels, method) in labelled() {
            for (code, count) in CODES.iter().zip(&method.handled) {
                let count = count.load(Relaxed);
                if count > 0 || *code == "OK" {
                    let _ = writeln!(out, "grpc_server_handled_total{{grpc_code=\"{code}\",{labels}}} {count}");
                }
            }
        }
        for (name, counter) in [("received", &self.received), ("sent", &self.sent)] {
            let name = format!("etcd_network_client_grpc_{name}_bytes_total");
            let _ = writeln!(out, "# TYPE {name} counter\n{name} {}", counter.load(Relaxed));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_is_counted_once_with_its_outcome() {
        let metrics = Arc::new(Metrics::default());
        let outcome = |code: &str| {
            let mut response = Response::new(Body::empty());
            response.headers_mut().insert("grpc-status", code.parse().unwrap());
            drop(Call::begin(&metrics, "/etcdserverpb.KV/Put").response(response));
        };
        outcome("0");
        outcome("7");
        drop(Call::begin(&metrics, "/etcdserverpb.KV/Put"));
        drop(Call::begin(&metrics, "/of.no.Service/AtAll"));
        let mut text = String::new();
        metrics.calls.render(&mut text);
        let put = "grpc_method=\"Put\",grpc_service=\"etcdserverpb.KV\",grpc_type=\"unary\"";
        assert!(text.contains(&format!("grpc_server_started_total{{{put}}} 3\n")));
        for code in ["OK", "PermissionDenied", "Canceled"] {
            assert!(text.contains(&format!("grpc_server_handled_total{{grpc_code=\"{code}\",{put}}} 1\n")), "{text}");
        }
        assert!(!text.contains("AtAll"));
        assert!(text.contains(&format!("grpc_server_handling_seconds_count{{{put}}} 3\n")), "{text}");
        assert!(!text.contains("grpc_server_handling_seconds_count{grpc_method=\"Range\""), "{text}");
    }

    #[test]
    fn messages_are_counted_wherever_the_body_is_cut() {
        let mut body = Vec::new();
        for length in [0u8, 3, 0, 200] {
            body.extend([0, 0, 0, 0, length]);
            body.extend(std::iter::repeat_n(b'x', length.into()));
        }
        for size in 1..=body.len() {
            let mut framing = Framing::default();
            assert_eq!(body.chunks(size).map(|part| framing.count(part)).sum::<u64>(), 4, "cut into pieces of {size}");
        }
    }
}
