//! A bucket of an object store that speaks Amazon's S3 protocol.
//!
//! Requests are signed by `rusty-s3` (signature version 4, in the URL) and sent here. A name is given once because objects are
//! put with `If-None-Match: *`; a store that does not know that condition lets the last writer win, who would have written
//! the same. What is too large for one request goes up in parts, one part in memory at a time.

pub mod credentials;
mod http;
pub mod settings;

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use ::http::{HeaderName, Method, StatusCode};
use bytes::Bytes;
use rusty_s3::actions::{
    AbortMultipartUpload, CompleteMultipartUpload, CompleteMultipartUploadResponse, CreateMultipartUpload,
    ListObjectsV2, UploadPart,
};
use rusty_s3::{Bucket, Credentials, S3Action};

use super::{Contents, Network, Object, Target, TargetError};
use http::{Answer, Http};
use settings::Settings;

/// How long a signature is good: longer than any request takes, and no longer.
const GOOD_FOR: Duration = Duration::from_mins(15);
/// Bytes of a part, and of the largest object that is put at once. This much memory a put takes.
const PART: u64 = 16 << 20;
/// The protocol allows ten thousand parts.
const MOST_PARTS: u64 = 9000;
/// The longest answer that is not an object: a listing of a thousand names.
const ANSWER: u64 = 8 << 20;

/// A bucket, or a part of one.
pub struct S3 {
    settings: Settings,
    bucket: Bucket,
    http: Http,
    /// The store does not know conditions.
    unconditional: AtomicBool,
}

/// An answer that does not say what was hoped for.
fn refusal(status: StatusCode, text: &str) -> io::Error {
    let between = |from: &str, to: &str| Some(text.split_once(from)?.1.split_once(to)?.0);
    let code = between("<Code>", "</Code>").unwrap_or_default();
    let message = between("<Message>", "</Message>").unwrap_or_default();
    let kind = match status {
        StatusCode::NOT_FOUND if code != "NoSuchBucket" => io::ErrorKind::NotFound,
        StatusCode::FORBIDDEN | StatusCode::UNAUTHORIZED => io::ErrorKind::PermissionDenied,
        _ => io::ErrorKind::Other,
    };
    io::Error::new(kind, format!("the object store answers {status} {code} {message}").trim_end().to_owned())
}

fn malformed(error: impl std::fmt::Display) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("the object store's answer makes no sense: {error}"))
}

fn text(answer: Answer) -> io::Result<(StatusCode, String)> {
    let status = answer.status;
    let mut text = String::new();
    answer.body.take(ANSWER).read_to_string(&mut text)?;
    Ok((status, text))
}

fn expect_ok(answer: Answer) -> io::Result<String> {
    let (status, text) = text(answer)?;
    if status.is_success() { Ok(text) } else { Err(refusal(status, &text)) }
}

type Headers = Vec<(HeaderName, String)>;

impl S3 {
    /// A bucket.
    pub fn open(settings: Settings, network: Network) -> io::Result<Self> {
        let bucket =
            Bucket::new(settings.endpoint.clone(), settings.style, settings.bucket.clone(), settings.region.clone());
        let bucket = bucket.map_err(io::Error::other)?;
        let http = Http::new(&settings, network)?;
        Ok(Self { settings, bucket, http, unconditional: AtomicBool::new(false) })
    }

    fn credentials(&self) -> io::Result<Credentials> {
        // Looked up for each operation: whoever rotates them need not restart anything.
        credentials::find(self.settings.credentials.as_deref())
    }

    fn key(&self, name: &str) -> String {
        format!("{}{name}", self.settings.prefix)
    }

    /// Sends a signed request, again if that may help; the answer says what it says.
    fn send<'a, A: S3Action<'a>>(
        &self,
        method: &Method,
        mut action: A,
        headers: &[(HeaderName, String)],
        body: &Bytes,
    ) -> io::Result<Answer> {
        for (name, value) in headers {
            action.headers_mut().insert(name.as_str().to_owned(), value.clone());
        }
        self.http.send(method, headers, body, || action.sign(GOOD_FOR))
    }

    fn condition(&self) -> Headers {
        if self.unconditional.load(Ordering::Relaxed) {
            return Vec::new();
        }
        vec![(::http::header::IF_NONE_MATCH, "*".to_owned())]
    }

    /// What an answer to a conditional put means; `None`: try without the condition.
    fn placed(&self, status: StatusCode, text: &str, conditional: bool) -> io::Result<Option<bool>> {
        match status {
            StatusCode::PRECONDITION_FAILED => Ok(Some(false)),
            StatusCode::NOT_IMPLEMENTED if conditional => {
                self.unconditional.store(true, Ordering::Relaxed);
                Ok(None)
            }
            status if status.is_success() => Ok(Some(true)),
            status => Err(refusal(status, text)),
        }
    }

    fn put_whole(&self, name: &str, body: &Bytes) -> io::Result<bool> {
        let (credentials, key) = (self.credentials()?, self.key(name));
        loop {
            let mut headers = self.condition();
            let conditional = !headers.is_empty();
            let checksum =
                base64::Engine::encode(&base64::engine::general_purpose::STANDARD, crc32c::crc32c(body).to_be_bytes());
            headers.push((HeaderName::from_static("x-amz-checksum-crc32c"), checksum));
            let action = self.bucket.put_object(Some(&credentials), &key);
            let (status, text) = text(self.send(&Method::PUT, action, &headers, body)?)?;
            if let Some(placed) = self.placed(status, &text, conditional)? {
                return Ok(placed);
            }
        }
    }

    fn put_parts(&self, name: &str, file: &mut File, size: u64) -> io::Result<bool> {
        let (credentials, key) = (self.credentials()?, self.key(name));
        let action = self.bucket.create_multipart_upload(Some(&credentials), &key);
        let answer = expect_ok(self.send(&Method::POST, action, &[], &Bytes::new())?)?;
        let upload = CreateMultipartUpload::parse_response(&answer).map_err(malformed)?;
        let outcome = self.upload_parts(&credentials, &key, upload.upload_id(), file, size);
        if !matches!(outcome, Ok(true)) {
            let action = AbortMultipartUpload::new(&self.bucket, Some(&credentials), &key, upload.upload_id());
            // What is left of it costs space until the store's own rules for such leftovers remove it.
            if let Err(error) = self.send(&Method::DELETE, action, &[], &Bytes::new()).and_then(expect_ok) {
                tracing::warn!(%error, name, "an upload that was given up could not be removed");
            }
        }
        outcome
    }

    fn upload_parts(
        &self,
        credentials: &Credentials,
        key: &str,
        upload: &str,
        file: &mut File,
        size: u64,
    ) -> io::Result<bool> {
        let part_size = PART.max(size.div_ceil(MOST_PARTS).next_multiple_of(1 << 20));
        let mut tags = Vec::new();
        file.seek(SeekFrom::Start(0))?;
        let mut left = size;
        while left > 0 {
            let mut part = vec![0; left.min(part_size) as usize];
            file.read_exact(&mut part)?;
            left -= part.len() as u64;
            let number = tags.len() as u16 + 1;
            let action = UploadPart::new(&self.bucket, Some(credentials), key, number, upload);
            let answer = self.send(&Method::PUT, action, &[], &part.into())?;
            let tag = answer.tag.clone();
            expect_ok(answer)?;
            tags.push(tag.ok_or_else(|| malformed("a part without a tag"))?);
        }
        loop {
            let headers = self.condition();
            let conditional = !headers.is_empty();
            let tags = || tags.iter().map(String::as_str);
            let action = CompleteMultipartUpload::new(&self.bucket, Some(credentials), key, upload, tags());
            let body = action.clone().body().into();
            let (status, text) = text(self.send(&Method::POST, action, &headers, &body)?)?;
            match self.placed(status, &text, conditional)? {
                // An answer that began well may end badly.
                Some(true) => {
                    CompleteMultipartUploadResponse::parse(&text).map_err(|_| refusal(status, &text))?;
                    return Ok(true);
                }
                Some(false) => return Ok(false),
                None => {}
            }
        }
    }

    fn list_below(&self, folder: &str) -> io::Result<Vec<Object>> {
        let credentials = self.credentials()?;
        let prefix = if folder.is_empty() { self.key("") } else { self.key(&format!("{folder}/")) };
        let mut found = Vec::new();
        let mut token: Option<String> = None;
        loop {
            let mut action = ListObjectsV2::new(&self.bucket, Some(&credentials));
            action.with_prefix(prefix.as_str());
            if let Some(token) = &token {
                action.with_continuation_token(token.as_str());
            }
            let answer = expect_ok(self.send(&Method::GET, action, &[], &Bytes::new())?)?;
            let page = ListObjectsV2::parse_response(&answer).map_err(malformed)?;
            for object in page.contents {
                if let Some(name) = object.key.strip_prefix(&self.settings.prefix) {
                    found.push(Object { name: name.to_owned(), size: object.size.unwrap_or(0) });
                }
            }
            match page.next_continuation_token {
                Some(next) if token.as_ref() != Some(&next) => token = Some(next),
                Some(_) => return Err(malformed("the next page of a listing is the same one")),
                None => break,
            }
        }
        found.sort_by(|left, right| left.name.cmp(&right.name));
        Ok(found)
    }

    fn failed(&self, what: &str, name: &str) -> impl FnOnce(io::Error) -> TargetError {
        let what = format!("{what} s3://{}/{}{name}", self.settings.bucket, self.settings.prefix);
        move |source| TargetError::new(what, source)
    }
}

impl Target for S3 {
    fn put(&self, name: &str, contents: Contents<'_>) -> Result<bool, TargetError> {
        let placed = match contents {
            Contents::Bytes(bytes) => self.put_whole(name, &bytes),
            Contents::File(file, size) if size > PART => self.put_parts(name, file, size),
            Contents::File(file, size) => {
                let mut bytes = vec![0; size as usize];
                let read = file.seek(SeekFrom::Start(0)).and_then(|_| file.read_exact(&mut bytes));
                read.and_then(|()| self.put_whole(name, &bytes.into()))
            }
        };
        placed.map_err(self.failed("put", name))
    }

    fn get(&self, name: &str) -> Result<Box<dyn Read + Send>, TargetError> {
        let get = || {
            let (credentials, key) = (self.credentials()?, self.key(name));
            let action = self.bucket.get_object(Some(&credentials), &key);
            let answer = self.send(&Method::GET, action, &[], &Bytes::new())?;
            if answer.status.is_success() {
                return Ok(Box::new(answer.body) as Box<dyn Read + Send>);
            }
            expect_ok(answer).and_then(|_| Err(malformed("no object")))
        };
        get().map_err(self.failed("get", name))
    }

    fn list(&self, folder: &str) -> Result<Vec<Object>, TargetError> {
        self.list_below(folder).map_err(self.failed("list", folder))
    }

    fn delete(&self, name: &str) -> Result<(), TargetError> {
        let delete = || {
            let (credentials, key) = (self.credentials()?, self.key(name));
            let action = self.bucket.delete_object(Some(&credentials), &key);
            match self.send(&Method::DELETE, action, &[], &Bytes::new()).and_then(expect_ok) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
                _ => Ok(()),
            }
        };
        delete().map_err(self.failed("delete", name))
    }

    fn tidy(&self) -> Result<(), TargetError> {
        // Uploads that nobody finished belong to the store's own rules: another program may be at work on them.
        Ok(())
    }
}
