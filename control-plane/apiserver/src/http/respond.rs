//! Answers: bytes, trees, failures and streams, compressed and indented as the client likes.

use std::convert::Infallible;
use std::io::Write as _;
use std::pin::Pin;
use std::task::{Context, Poll};

use apiserver_core::{Status, protobuf};
use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use futures::{Stream, StreamExt as _};
use http::header::{CONTENT_ENCODING, CONTENT_TYPE, HeaderName, RETRY_AFTER, VARY};
use http::{HeaderValue, Response, StatusCode};
use http_body::Frame;
use serde_json::Value;

use super::negotiate::{Encoding, Negotiated};

/// Answers above this size are compressed when the client takes it; upstream's.
const COMPRESS_ABOVE: usize = 128 << 10;

/// The body of an answer.
pub(crate) enum Body {
    /// All of it.
    Whole(Option<Bytes>),
    /// Piece by piece.
    Stream(Pin<Box<dyn Stream<Item = Bytes> + Send>>),
}

impl Body {
    /// The same body; one in pieces has what `hold` returns with it until the last is sent.
    pub(crate) fn holding<T: Send + 'static>(self, hold: impl FnOnce() -> T) -> Self {
        match self {
            Self::Whole(bytes) => Self::Whole(bytes),
            Self::Stream(stream) => {
                let held = hold();
                Self::Stream(Box::pin(stream.inspect(move |_| {
                    let _ = &held;
                })))
            }
        }
    }
}

/// An answer.
pub(crate) type Answer = Response<Body>;

impl http_body::Body for Body {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        match self.get_mut() {
            Self::Whole(bytes) => Poll::Ready(bytes.take().map(|bytes| Ok(Frame::data(bytes)))),
            Self::Stream(stream) => {
                stream.as_mut().poll_next(context).map(|next| next.map(|bytes| Ok(Frame::data(bytes))))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Whole(bytes) => bytes.as_ref().is_none_or(Bytes::is_empty),
            Self::Stream(_) => false,
        }
    }

    fn size_hint(&self) -> http_body::SizeHint {
        match self {
            Self::Whole(bytes) => http_body::SizeHint::with_exact(bytes.as_ref().map_or(0, Bytes::len) as u64),
            Self::Stream(_) => http_body::SizeHint::default(),
        }
    }
}

fn with(code: StatusCode, media_type: &'static str, body: Body) -> Answer {
    let mut response = Response::new(body);
    *response.status_mut() = code;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(media_type));
    response
}

/// Plain text.
pub(crate) fn text(code: StatusCode, text: impl Into<String>) -> Answer {
    let mut answer = with(code, "text/plain; charset=utf-8", Body::Whole(Some(text.into().into())));
    answer.headers_mut().insert(HeaderName::from_static("x-content-type-options"), HeaderValue::from_static("nosniff"));
    answer
}

/// Bytes of another media type.
pub(crate) fn bytes(code: StatusCode, media_type: &'static str, bytes: Bytes, gzip: bool) -> Answer {
    compressed(with(code, media_type, Body::Whole(Some(bytes))), gzip)
}

/// A stream of frames or pieces, as they are.
pub(crate) fn stream(media_type: &'static str, stream: impl Stream<Item = Bytes> + Send + 'static) -> Answer {
    with(StatusCode::OK, media_type, Body::Stream(Box::pin(stream)))
}

/// 101: the connection goes on in another protocol.
pub(crate) fn switching_protocols() -> Answer {
    let mut answer = Response::new(Body::Whole(None));
    *answer.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    answer
}

/// An object in JSON, which is sent as it is to whoever wants that; `definition` is that of its kind.
pub(crate) fn json(code: StatusCode, definition: &str, json: Bytes, form: Negotiated) -> Answer {
    let as_it_is = form.encoding == Encoding::Json && !form.pretty;
    let parsed = if as_it_is { None } else { serde_json::from_slice::<Value>(&json).ok() };
    match parsed {
        Some(tree) => value(code, definition, &tree, form),
        None => encoded(code, Encoding::Json, json, form),
    }
}

/// An object that is encoded already.
pub(crate) fn encoded(code: StatusCode, encoding: Encoding, bytes: Bytes, form: Negotiated) -> Answer {
    compressed(with(code, encoding.media_type(), Body::Whole(Some(bytes))), form.gzip)
}

/// An object as a tree; `definition` is that of its kind.
pub(crate) fn value(code: StatusCode, definition: &str, tree: &Value, form: Negotiated) -> Answer {
    let bytes = match form.encoding {
        Encoding::Yaml => match serde_saphyr::to_string(tree) {
            Ok(yaml) => yaml.into_bytes(),
            Err(error) => return failure(&Status::internal(error), Negotiated::PLAIN),
        },
        Encoding::Protobuf => protobuf::object(definition, tree),
        // Writing a tree with string keys into memory has no way to fail.
        Encoding::Json if form.pretty => {
            let mut text = serde_json::to_vec_pretty(tree).unwrap_or_default();
            text.push(b'\n');
            text
        }
        Encoding::Json => serde_json::to_vec(tree).unwrap_or_default(),
    };
    encoded(code, form.encoding, bytes.into(), form)
}

/// A `Status` as a tree.
pub(crate) fn status(code: StatusCode, tree: &Value, form: Negotiated) -> Answer {
    value(code, protobuf::STATUS, tree, form)
}

/// A failure. The client's words only: causes for the log are logged where they happen.
pub(crate) fn failure(status: &Status, form: Negotiated) -> Answer {
    let code = StatusCode::from_u16(status.code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let mut answer = self::status(code, &status.to_value(), form);
    let retry = status.details.as_ref().map_or(0, |details| details.retry_after_seconds);
    if retry > 0 {
        answer.headers_mut().insert(RETRY_AFTER, HeaderValue::from(retry));
    }
    answer
}

fn compressed(mut answer: Answer, gzip: bool) -> Answer {
    if !gzip {
        return answer;
    }
    if let Body::Whole(Some(bytes)) = answer.body() {
        if bytes.len() <= COMPRESS_ABOVE {
            return answer;
        }
        let mut encoder = GzEncoder::new(Vec::with_capacity(bytes.len() / 4), Compression::fast());
        // Memory takes every byte.
        if encoder.write_all(bytes).is_ok()
            && let Ok(packed) = encoder.finish()
        {
            *answer.body_mut() = Body::Whole(Some(packed.into()));
            mark_compressed(&mut answer);
        }
    }
    answer
}

/// A list in pieces, compressed when the client takes it and the whole, of `total` bytes, is large.
pub(crate) fn pieces(
    pieces: impl Iterator<Item = Bytes> + Send + Unpin + 'static,
    total: usize,
    form: Negotiated,
) -> Answer {
    let media_type = form.encoding.media_type();
    if !(form.gzip && total > COMPRESS_ABOVE) {
        return stream(media_type, futures::stream::iter(pieces));
    }
    let mut answer = stream(media_type, futures::stream::iter(Packed { pieces: Some(pieces), encoder: encoder() }));
    mark_compressed(&mut answer);
    answer
}

fn encoder() -> GzEncoder<Vec<u8>> {
    GzEncoder::new(Vec::new(), Compression::fast())
}

/// Says that the bytes of an answer are compressed.
pub(crate) fn mark_compressed(answer: &mut Answer) {
    answer.headers_mut().insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    answer.headers_mut().insert(VARY, HeaderValue::from_static("Accept-Encoding"));
}

/// Pieces, packed one after the other into one gzip stream.
struct Packed<I> {
    pieces: Option<I>,
    encoder: GzEncoder<Vec<u8>>,
}

impl<I: Iterator<Item = Bytes>> Iterator for Packed<I> {
    type Item = Bytes;

    fn next(&mut self) -> Option<Bytes> {
        let pieces = self.pieces.as_mut()?;
        for piece in pieces.by_ref() {
            if self.encoder.write_all(&piece).is_err() {
                self.pieces = None;
                return None;
            }
            if self.encoder.get_ref().len() > 32 << 10 {
                return Some(std::mem::take(self.encoder.get_mut()).into());
            }
        }
        self.pieces = None;
        let last = std::mem::replace(&mut self.encoder, encoder());
        last.finish().ok().map(Bytes::from)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read as _;

    #[test]
    fn packed_pieces_unpack_to_the_whole() {
        let pieces: Vec<Bytes> = (0..2000).map(|number| Bytes::from(format!("{number:032}").repeat(8))).collect();
        let whole: Vec<u8> = pieces.iter().flatten().copied().collect();
        let packed: Vec<u8> = Packed { pieces: Some(pieces.into_iter()), encoder: encoder() }.flatten().collect();
        let mut unpacked = Vec::new();
        flate2::read::GzDecoder::new(packed.as_slice()).read_to_end(&mut unpacked).unwrap();
        assert_eq!(unpacked, whole);
        assert!(packed.len() < whole.len());
    }

    #[test]
    fn a_failure_says_when_to_come_back() {
        let answer = failure(&Status::too_many_requests("later", 7), Negotiated::PLAIN);
        assert_eq!(answer.status(), 429);
        assert_eq!(answer.headers()[RETRY_AFTER], "7");
    }
}
