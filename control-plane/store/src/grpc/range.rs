//! Answers to ranges: small ones whole, large ones in the pieces in which they are read.
//!
//! An answer is one message, and its length goes in front of it. A large one is therefore read to its end before its first
//! byte is sent. What there is room for is held meanwhile; the rest is only measured, and read again from the same moment when
//! its turn has come. So clients that ask for everything do not decide how much memory a member needs.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::{BufMut, Bytes, BytesMut};
use futures::{Stream, StreamExt, stream};
use http::{HeaderMap, HeaderValue, Response};
use http_body::Frame;
use http_body_util::StreamBody;
use prost::Message;
use prost::encoding::{WireType, encode_key, encode_varint, encoded_len_varint, key_len};
use proto::etcdserverpb::RangeRequest;
use proto::raw::RangeResponse;
use store_core::auth::{Caller, Rights};
use store_core::range::{self, At, Page};
use store_core::record::State;
use store_core::{Failure, KeyRange, Refusal, View};
use tokio::runtime::Handle;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};
use tokio_stream::wrappers::ReceiverStream;
use tonic::Status;
use tonic::body::Body;

use super::failed;
use crate::node::Node;

/// Bytes that are read at once. An answer of no more than this is made whole.
pub(super) const PIECE: usize = 512 << 10;
/// Pieces that may wait for the client. With the size of a piece: what a range takes beyond what is held.
pub(super) const PIECES: usize = 2;
/// Pieces of all large answers that are held together. More: more memory when many ask for everything; fewer: more is read twice.
const HELD: usize = 320;
/// What is encoded at once of pieces that are held.
const ENCODED: usize = 64 << 10;
/// A client that has taken nothing for so long is cut off: the moment it reads keeps the disk from being tidied.
const STALLED: Duration = Duration::from_mins(1);

/// The field of a pair in [`RangeResponse`].
const PAIR: u32 = 2;
/// What is in front of a message: whether it is compressed, and four bytes of length.
const PREFIX: usize = 5;

/// The room for large answers.
#[derive(Debug, Clone)]
pub struct Room(Arc<Semaphore>);

impl Default for Room {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(HELD)))
    }
}

/// An answer, with its header.
pub(super) enum Answer {
    Whole(RangeResponse),
    InPieces(Pieces),
}

/// A large answer, encoded but for the pairs that are held.
pub(super) struct Pieces {
    front: Bytes,
    held: Vec<Held>,
    /// What was only measured, as it is read again.
    rest: Option<mpsc::Receiver<Result<Bytes, Status>>>,
    back: Bytes,
}

/// Pairs in memory, with their place there.
struct Held {
    pairs: Vec<Bytes>,
    _place: Option<OwnedSemaphorePermit>,
}

/// Reads a range, away from the tasks that serve connections.
pub(super) async fn answer(node: &Arc<Node>, request: RangeRequest, caller: Option<Caller>) -> Result<Answer, Status> {
    let (tell, told) = oneshot::channel();
    let node = Arc::clone(node);
    tokio::task::spawn_blocking(move || {
        let mut teller = Teller(Some(tell));
        let outcome = node.database.read(|view| make(&node, view, &request, caller.as_ref(), &mut teller));
        if let Err(failure) = outcome {
            teller.tell(Err(failed(failure)));
        }
    });
    told.await.unwrap_or_else(|_| Err(Status::internal("etcdserver: the range could not be read")))
}

/// Tells the answer, once.
struct Teller(Option<oneshot::Sender<Result<Answer, Status>>>);

impl Teller {
    fn tell(&mut self, answer: Result<Answer, Status>) {
        if let Some(tell) = self.0.take() {
            // A client that is gone does not mind.
            drop(tell.send(answer));
        }
    }
}

fn make(
    node: &Node,
    view: &dyn View,
    request: &RangeRequest,
    caller: Option<&Caller>,
    teller: &mut Teller,
) -> Result<(), Failure> {
    let state = State::load(view)?;
    Rights::load(view, &state, caller)?.read(&request.key, &request.range_end)?;
    let header = Some(node.header(state.revision));
    if !range::is_in_key_order(request) {
        let answer = RangeResponse { header, ..range::range(view, &state, request)? };
        teller.tell(Ok(Answer::Whole(answer)));
        return Ok(());
    }
    let mut reader = Reader::new(view, &state, request)?;
    let first = reader.page()?.unwrap_or_default();
    if !reader.goes_on() {
        let behind = reader.behind()?;
        let count = first.len() as i64 + behind;
        teller.tell(Ok(Answer::Whole(RangeResponse { header, kvs: first, more: behind > 0, count })));
        return Ok(());
    }

    let mut length: u64 = first.iter().map(|pair| wire_length(pair)).sum();
    let mut count = first.len();
    let mut held = vec![Held { pairs: first, _place: None }];
    let mut again: Option<Reader<'_>> = None;
    loop {
        let before = reader.clone();
        let Some(pairs) = reader.page()? else { break };
        length += pairs.iter().map(|pair| wire_length(pair)).sum::<u64>();
        count += pairs.len();
        let place = if again.is_none() { Arc::clone(&node.room_for_ranges.0).try_acquire_owned().ok() } else { None };
        match place {
            Some(place) => held.push(Held { pairs, _place: Some(place) }),
            None => again = again.or(Some(before)),
        }
    }
    let behind = reader.behind()?;
    // The fields in front of the pairs and behind them, each encoded as a message of its own.
    let front = RangeResponse { header, ..RangeResponse::default() }.encode_to_vec();
    let back = RangeResponse { more: behind > 0, count: count as i64 + behind, ..RangeResponse::default() };
    let back = Bytes::from(back.encode_to_vec());
    let length = length + (front.len() + back.len()) as u64;
    let Ok(length) = u32::try_from(length) else {
        teller.tell(Err(Status::resource_exhausted("etcdserver: the range is larger than a message can be")));
        return Ok(());
    };
    let front = prefixed(length, &front);
    let Some(again) = again else {
        teller.tell(Ok(Answer::InPieces(Pieces { front, held, rest: None, back })));
        return Ok(());
    };
    let (pieces, rest) = mpsc::channel(PIECES);
    teller.tell(Ok(Answer::InPieces(Pieces { front, held, rest: Some(rest), back })));
    if let Err(failure) = send_rest(again, &pieces) {
        // Its length is promised: all that is left is to break off.
        let _ = send(&pieces, Err(failed(failure)));
    }
    Ok(())
}

/// Reads again what was only measured.
fn send_rest(mut reader: Reader<'_>, pieces: &mpsc::Sender<Result<Bytes, Status>>) -> Result<(), Failure> {
    while let Some(pairs) = reader.page()? {
        let mut piece = BytesMut::with_capacity(pairs.iter().map(|pair| wire_length(pair) as usize).sum());
        for pair in &pairs {
            encode(pair, &mut piece);
        }
        if send(pieces, Ok(piece.freeze())).is_err() {
            break;
        }
    }
    Ok(())
}

/// Waits until the client takes a piece; an error when it is gone, or stalls.
pub(super) fn send<T>(pieces: &mpsc::Sender<T>, piece: T) -> Result<(), ()> {
    let sent = Handle::current().block_on(tokio::time::timeout(STALLED, pieces.send(piece)));
    sent.map_err(drop)?.map_err(drop)
}

/// Reads a range page by page.
#[derive(Clone)]
pub(super) struct Reader<'a> {
    view: &'a dyn View,
    at: At,
    next: Option<KeyRange>,
    /// How many pairs are still wanted.
    left: usize,
    keys_only: bool,
}

impl<'a> Reader<'a> {
    /// Begins a range whose answer is in key order.
    pub(super) fn new(view: &'a dyn View, state: &State, request: &RangeRequest) -> Result<Self, Refusal> {
        let at = At::requested(request.revision, state)?;
        let next = Some(KeyRange::new(request.key.clone(), &request.range_end));
        Ok(Self { view, at, next, left: range::limit(request), keys_only: request.keys_only })
    }

    /// The next pairs, some [`PIECE`] of them; `None` behind the last that is wanted.
    pub(super) fn page(&mut self) -> Result<Option<Vec<Bytes>>, Failure> {
        if !self.goes_on() {
            return Ok(None);
        }
        let Some(keys) = self.next.take() else { return Ok(None) };
        let Page { pairs, next } = range::page(self.view, self.at, &keys, self.left, PIECE, self.keys_only)?;
        self.left -= pairs.len();
        self.next = next;
        Ok(Some(pairs))
    }

    /// Whether another page is wanted, and may be there.
    pub(super) fn goes_on(&self) -> bool {
        self.next.is_some() && self.left > 0
    }

    /// How many keys the range has behind what was read.
    pub(super) fn behind(&self) -> Result<i64, Failure> {
        Ok(match &self.next {
            Some(keys) => range::count(self.view, self.at, keys)?,
            None => 0,
        })
    }
}

/// What a pair takes in a message.
fn wire_length(pair: &[u8]) -> u64 {
    (key_len(PAIR) + encoded_len_varint(pair.len() as u64) + pair.len()) as u64
}

fn encode(pair: &[u8], buffer: &mut BytesMut) {
    encode_key(PAIR, WireType::LengthDelimited, buffer);
    encode_varint(pair.len() as u64, buffer);
    buffer.put_slice(pair);
}

/// The beginning of a message of this length.
fn prefixed(length: u32, front: &[u8]) -> Bytes {
    let mut buffer = BytesMut::with_capacity(PREFIX + front.len());
    buffer.put_u8(0); // not compressed
    buffer.put_u32(length);
    buffer.put_slice(front);
    buffer.freeze()
}

impl Held {
    /// Encodes its pairs, a part at a time; each is gone once it is encoded.
    fn encoded(self) -> impl Iterator<Item = Bytes> {
        let Self { pairs, _place: place } = self;
        let mut pairs = pairs.into_iter().peekable();
        std::iter::from_fn(move || {
            let _ = &place;
            pairs.peek()?;
            let mut part = BytesMut::with_capacity(ENCODED);
            while let Some(pair) = pairs.next_if(|pair| part.is_empty() || part.len() + pair.len() + PREFIX <= ENCODED)
            {
                encode(&pair, &mut part);
            }
            Some(part.freeze())
        })
    }
}

impl Pieces {
    fn body(self) -> Body {
        let held = stream::iter(self.held.into_iter().flat_map(Held::encoded)).map(Ok);
        let rest =
            self.rest.map_or_else(|| stream::empty().left_stream(), |rest| ReceiverStream::new(rest).right_stream());
        let message = once(self.front).chain(held).chain(rest).chain(once(self.back)).map(|part| part.map(Frame::data));
        let mut trailers = HeaderMap::new();
        trailers.insert(Status::GRPC_STATUS, HeaderValue::from_static("0"));
        Body::new(StreamBody::new(message.chain(stream::iter([Ok(Frame::trailers(trailers))]))))
    }
}

fn once(part: Bytes) -> impl Stream<Item = Result<Bytes, Status>> {
    stream::iter([Ok(part)])
}

/// A large answer on its way through tonic, which would make it whole: it travels beside an empty one.
#[derive(Clone)]
struct Beside(Arc<Mutex<Option<Pieces>>>);

/// A response that [`unpack`] gives its body.
pub(super) fn pack(pieces: Pieces) -> tonic::Response<RangeResponse> {
    let mut response = tonic::Response::new(RangeResponse::default());
    response.extensions_mut().insert(Beside(Arc::new(Mutex::new(Some(pieces)))));
    response
}

/// Gives a response the body that was packed into it, if there is one.
pub(crate) fn unpack(mut response: Response<Body>) -> Response<Body> {
    let Some(Beside(pieces)) = response.extensions_mut().remove::<Beside>() else { return response };
    let pieces = pieces.lock().unwrap_or_else(PoisonError::into_inner).take();
    match pieces {
        Some(pieces) => response.map(|_| pieces.body()),
        None => response,
    }
}
