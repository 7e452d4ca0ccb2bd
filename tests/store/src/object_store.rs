//! An object store for tests: the part of Amazon's S3 protocol that backups need, kept in memory and taken at its word.
//!
//! It works signatures out by itself ([`signature`]) and refuses what does not follow the protocol to the letter, where real
//! stores let many things pass. It can be told to fail.

mod signature;

use std::collections::{BTreeMap, HashMap};
use std::convert::Infallible;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};

use base64::Engine;
use bytes::Bytes;
use http::{HeaderMap, Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;

pub use signature::{KEY, REGION, SECRET, TOKEN};

/// Keys in one page of a listing: few, so that there are many pages.
const PAGE: usize = 7;
/// The least a part but the last may have.
const LEAST_PART: usize = 5 << 20;
const NAMESPACE: &str = "http://s3.amazonaws.com/doc/2006-03-01/";

/// A running store with one bucket, `bucket`.
pub struct ObjectStore {
    port: u16,
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    objects: Mutex<BTreeMap<String, Bytes>>,
    uploads: Mutex<HashMap<String, Upload>>,
    /// How many of the next requests fail.
    failing: AtomicU64,
    requests: AtomicU64,
}

#[derive(Default)]
struct Upload {
    key: String,
    parts: BTreeMap<u16, Bytes>,
}

type Answer = Result<Response<Full<Bytes>>, (StatusCode, &'static str)>;

impl ObjectStore {
    /// Starts it on the runtime that calls.
    pub async fn start() -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a free port");
        let port = listener.local_addr().expect("an address").port();
        let shared = Arc::new(Shared::default());
        let served = Arc::clone(&shared);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let shared = Arc::clone(&served);
                let service = service_fn(move |request| {
                    let shared = Arc::clone(&shared);
                    async move { Ok::<_, Infallible>(shared.answer(request).await) }
                });
                tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), service));
            }
        });
        Self { port, shared }
    }

    /// Where it is.
    pub fn endpoint(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// Lets so many of the next requests fail.
    pub fn fail(&self, count: u64) {
        self.shared.failing.store(count, Ordering::SeqCst);
    }

    /// How many requests have come.
    pub fn requests(&self) -> u64 {
        self.shared.requests.load(Ordering::SeqCst)
    }

    /// The keys it holds.
    pub fn keys(&self) -> Vec<String> {
        lock(&self.shared.objects).keys().cloned().collect()
    }

    /// How many uploads were begun and neither completed nor given up.
    pub fn open_uploads(&self) -> usize {
        lock(&self.shared.uploads).len()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().expect("no request panics with it")
}

fn xml(text: &str) -> Response<Full<Bytes>> {
    Response::new(Full::new(format!("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n{text}").into()))
}

fn plain() -> Response<Full<Bytes>> {
    Response::new(Full::default())
}

fn tag(bytes: &Bytes) -> String {
    format!("\"{:08x}\"", crc32c::crc32c(bytes))
}

impl Shared {
    async fn answer(&self, request: Request<Incoming>) -> Response<Full<Bytes>> {
        self.requests.fetch_add(1, Ordering::SeqCst);
        let (parts, body) = request.into_parts();
        let body = body.collect().await.map(http_body_util::Collected::to_bytes).unwrap_or_default();
        let failing = self.failing.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1));
        let answer = if failing.is_ok() {
            Err((StatusCode::SERVICE_UNAVAILABLE, "SlowDown"))
        } else {
            match signature::check(&parts) {
                Ok(query) => self.act(&parts.method, parts.uri.path(), &query, &parts.headers, body),
                Err(code) => Err((StatusCode::FORBIDDEN, code)),
            }
        };
        answer.unwrap_or_else(|(status, code)| {
            let mut answer = xml(&format!("<Error><Code>{code}</Code><Message>refused</Message></Error>"));
            *answer.status_mut() = status;
            answer
        })
    }

    fn act(
        &self,
        method: &Method,
        path: &str,
        query: &HashMap<String, String>,
        headers: &HeaderMap,
        body: Bytes,
    ) -> Answer {
        let path = signature::decode(path);
        let Some(key) = path.strip_prefix("/bucket/").or((path == "/bucket").then_some("")) else {
            return Err((StatusCode::NOT_FOUND, "NoSuchBucket"));
        };
        let absent = match headers.get("if-none-match").map(http::HeaderValue::as_bytes) {
            None => false,
            Some(b"*") => true,
            Some(_) => return Err((StatusCode::NOT_IMPLEMENTED, "NotImplemented")),
        };
        let upload = query.get("uploadId");
        match (method, upload) {
            (&Method::GET, None) if key.is_empty() => self.list(query),
            (&Method::GET, None) => match lock(&self.objects).get(key) {
                Some(bytes) => Ok(Response::new(Full::new(bytes.clone()))),
                None => Err((StatusCode::NOT_FOUND, "NoSuchKey")),
            },
            (&Method::PUT, None) => {
                let sum = base64::engine::general_purpose::STANDARD.encode(crc32c::crc32c(&body).to_be_bytes());
                if headers.get("x-amz-checksum-crc32c").is_some_and(|told| told.as_bytes() != sum.as_bytes()) {
                    return Err((StatusCode::BAD_REQUEST, "BadDigest"));
                }
                self.store(key, body, absent)
            }
            (&Method::DELETE, None) => {
                lock(&self.objects).remove(key);
                let mut answer = plain();
                *answer.status_mut() = StatusCode::NO_CONTENT;
                Ok(answer)
            }
            (&Method::POST, None) if query.contains_key("uploads") => {
                let mut uploads = lock(&self.uploads);
                let id = format!("upload-{}", self.requests.load(Ordering::SeqCst));
                uploads.insert(id.clone(), Upload { key: key.to_owned(), parts: BTreeMap::new() });
                Ok(xml(&format!(
                    "<InitiateMultipartUploadResult xmlns=\"{NAMESPACE}\"><Bucket>bucket</Bucket><Key>{key}</Key>\
                     <UploadId>{id}</UploadId></InitiateMultipartUploadResult>"
                )))
            }
            (_, Some(id)) => self.upload(method, key, id, query, body, absent),
            (_, None) => Err((StatusCode::METHOD_NOT_ALLOWED, "MethodNotAllowed")),
        }
    }

    fn store(&self, key: &str, body: Bytes, absent: bool) -> Answer {
        let mut objects = lock(&self.objects);
        if absent && objects.contains_key(key) {
            return Err((StatusCode::PRECONDITION_FAILED, "PreconditionFailed"));
        }
        objects.insert(key.to_owned(), body);
        Ok(plain())
    }

    fn upload(
        &self,
        method: &Method,
        key: &str,
        id: &str,
        query: &HashMap<String, String>,
        body: Bytes,
        absent: bool,
    ) -> Answer {
        let mut uploads = lock(&self.uploads);
        let upload = uploads.get_mut(id).filter(|upload| upload.key == key);
        let Some(upload) = upload else { return Err((StatusCode::NOT_FOUND, "NoSuchUpload")) };
        match *method {
            Method::PUT => {
                let number = query.get("partNumber").and_then(|number| number.parse().ok());
                let number: u16 = number.ok_or((StatusCode::BAD_REQUEST, "InvalidArgument"))?;
                let mut answer = plain();
                answer.headers_mut().insert("etag", tag(&body).parse().expect("a tag is plain text"));
                upload.parts.insert(number, body);
                Ok(answer)
            }
            Method::POST => {
                let text = String::from_utf8_lossy(&body).replace("&quot;", "\"");
                let between = |text: &str, name: &str| {
                    let rest = text.split_once(&format!("<{name}>"))?.1;
                    Some(rest.split_once(&format!("</{name}>"))?.0.to_owned())
                };
                let told: Vec<_> = text.split("<Part>").skip(1).map(|part| between(part, "ETag")).collect();
                let had: Vec<_> = upload.parts.values().map(|part| Some(tag(part))).collect();
                let small = upload.parts.values().rev().skip(1).any(|part| part.len() < LEAST_PART);
                if told != had || small {
                    return Err((StatusCode::BAD_REQUEST, if small { "EntityTooSmall" } else { "InvalidPart" }));
                }
                let whole = upload.parts.values().flat_map(|part| part.iter().copied()).collect::<Vec<_>>();
                let answer = self.store(key, whole.into(), absent);
                if answer.is_ok() {
                    uploads.remove(id);
                }
                answer?;
                Ok(xml(&format!(
                    "<CompleteMultipartUploadResult xmlns=\"{NAMESPACE}\"><ETag>&quot;x&quot;</ETag>\
                     </CompleteMultipartUploadResult>"
                )))
            }
            Method::DELETE => {
                uploads.remove(id);
                Ok(plain())
            }
            _ => Err((StatusCode::METHOD_NOT_ALLOWED, "MethodNotAllowed")),
        }
    }

    fn list(&self, query: &HashMap<String, String>) -> Answer {
        if query.get("list-type").map(String::as_str) != Some("2") {
            return Err((StatusCode::NOT_IMPLEMENTED, "NotImplemented"));
        }
        let prefix = query.get("prefix").cloned().unwrap_or_default();
        let after = query.get("continuation-token").cloned().unwrap_or_default();
        let objects = lock(&self.objects);
        let found: Vec<_> = objects.iter().filter(|(key, _)| key.starts_with(&prefix) && **key > after).collect();
        let encoded = query.get("encoding-type").is_some_and(|kind| kind == "url");
        let entry = |(key, bytes): &(&String, &Bytes)| {
            let key = if encoded { signature::encode(key) } else { (*key).clone() };
            format!("<Contents><Key>{key}</Key><ETag>x</ETag><Size>{}</Size></Contents>", bytes.len())
        };
        let contents: Vec<_> = found.iter().take(PAGE).map(entry).collect();
        let more = found.len() > PAGE;
        let next = found.get(PAGE - 1).filter(|_| more);
        let next = next.map(|(last, _)| format!("<NextContinuationToken>{last}</NextContinuationToken>"));
        Ok(xml(&format!(
            "<ListBucketResult xmlns=\"{NAMESPACE}\">{}{}<IsTruncated>{more}</IsTruncated>{}</ListBucketResult>",
            if encoded { "<EncodingType>url</EncodingType>" } else { "" },
            contents.concat(),
            next.unwrap_or_default()
        )))
    }
}
