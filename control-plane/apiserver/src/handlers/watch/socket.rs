//! A watch over a websocket: each event a message, of text in JSON and binary in protobuf. Nothing is read from the client but
//! that it is alive, or leaves.

use std::time::Duration;

use apiserver_core::Status;
use bytes::Bytes;
use futures::stream::SplitSink;
use futures::{SinkExt as _, Stream, StreamExt as _};
use http::header::{
    CONNECTION, HeaderName, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_PROTOCOL, SEC_WEBSOCKET_VERSION,
    UPGRADE,
};
use http::{HeaderMap, HeaderValue};
use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper_util::rt::TokioIo;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::{Role, WebSocketConfig};
use tokio_tungstenite::tungstenite::{Message, Utf8Bytes};

use crate::app::App;
use crate::cache::Wire;
use crate::call::Call;
use crate::http::respond::{self, Answer};

/// Largest message of a client. It has nothing to say, but control frames.
const RECEIVED: usize = 4 << 10;
/// How long a client may take to take a message before it is given up.
const PATIENCE: Duration = Duration::from_mins(1);

/// A client that asked for a websocket.
pub(super) struct Socket {
    upgrade: OnUpgrade,
    accept: HeaderValue,
    protocol: Option<HeaderValue>,
}

/// The websocket a request asks for; `None` if it asks for none.
///
/// # Errors
///
/// 400 for a request that asks in a way it cannot be granted: another version, no key, several protocols to choose from.
pub(super) fn requested(call: &Call) -> Result<Option<Socket>, Status> {
    let headers = &call.headers;
    if !(has_token(headers, &CONNECTION, "upgrade") && has_token(headers, &UPGRADE, "websocket")) {
        return Ok(None);
    }
    if headers.get(SEC_WEBSOCKET_VERSION).is_none_or(|version| version != "13") {
        return Err(Status::bad_request("missing or bad WebSocket Version"));
    }
    let key = headers.get(SEC_WEBSOCKET_KEY).filter(|key| !key.is_empty());
    let key = key.ok_or_else(|| Status::bad_request("missing or bad WebSocket Key"))?;
    let protocols: Vec<&str> = tokens(headers, &SEC_WEBSOCKET_PROTOCOL).collect();
    let protocol = match protocols.as_slice() {
        [] => None,
        [one] => HeaderValue::from_str(one).ok(),
        _ => return Err(Status::bad_request("a watch takes one WebSocket protocol at most")),
    };
    let accept = HeaderValue::from_str(&derive_accept_key(key.as_bytes())).map_err(Status::internal)?;
    let upgrade = call.upgrade().ok_or_else(|| Status::bad_request("this connection cannot become a WebSocket"))?;
    Ok(Some(Socket { upgrade, accept, protocol }))
}

fn tokens<'a>(headers: &'a HeaderMap, name: &HeaderName) -> impl Iterator<Item = &'a str> {
    let values = headers.get_all(name).iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).map(str::trim).filter(|token| !token.is_empty())
}

fn has_token(headers: &HeaderMap, name: &HeaderName, wanted: &str) -> bool {
    tokens(headers, name).any(|token| token.eq_ignore_ascii_case(wanted))
}

impl Socket {
    /// Switches protocols, and sends what `frames` yields until it or the client ends.
    pub(super) fn serve(self, app: &App, wire: Wire, frames: impl Stream<Item = Bytes> + Send + 'static) -> Answer {
        let Self { upgrade, accept, protocol } = self;
        app.switched.spawn(async move {
            let stream = match upgrade.await {
                Ok(upgraded) => TokioIo::new(upgraded),
                Err(error) => return tracing::debug!(%error, "a connection did not become a websocket"),
            };
            let mut config = WebSocketConfig::default();
            config.max_message_size = Some(RECEIVED);
            config.max_frame_size = Some(RECEIVED);
            let socket = WebSocketStream::from_raw_socket(stream, Role::Server, Some(config)).await;
            converse(socket, wire, Box::pin(frames)).await;
        });
        let mut answer = respond::switching_protocols();
        let headers = answer.headers_mut();
        headers.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
        headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
        headers.insert(SEC_WEBSOCKET_ACCEPT, accept);
        if let Some(protocol) = protocol {
            headers.insert(SEC_WEBSOCKET_PROTOCOL, protocol);
        }
        answer
    }
}

type Connection = WebSocketStream<TokioIo<Upgraded>>;

async fn converse(socket: Connection, wire: Wire, mut frames: impl Stream<Item = Bytes> + Unpin) {
    let (mut out, mut received) = socket.split();
    loop {
        tokio::select! {
            piece = frames.next() => {
                let Some(piece) = piece else { break };
                if !send(&mut out, wire, piece).await {
                    return;
                }
            }
            // Reading answers pings. What a client says is not listened to.
            message = received.next() => match message {
                Some(Ok(Message::Close(_)) | Err(_)) | None => break,
                Some(Ok(Message::Text(_) | Message::Binary(_) | Message::Ping(_) | Message::Pong(_) | Message::Frame(_))) => {}
            },
        }
    }
    let _ = tokio::time::timeout(PATIENCE, out.close()).await;
}

/// Sends the frames of a piece. Returns false if the client does not take them.
async fn send(out: &mut SplitSink<Connection, Message>, wire: Wire, piece: Bytes) -> bool {
    for message in messages(wire, piece) {
        if !matches!(tokio::time::timeout(PATIENCE, out.send(message)).await, Ok(Ok(()))) {
            return false;
        }
    }
    true
}

/// The events in a piece of a stream: lines of JSON, or protobuf messages behind their lengths, which a websocket does without.
fn messages(wire: Wire, mut piece: Bytes) -> Vec<Message> {
    let mut messages = Vec::new();
    while !piece.is_empty() {
        match wire {
            Wire::Json => {
                let end = piece.iter().position(|byte| *byte == b'\n').map_or(piece.len(), |at| at + 1);
                // JSON is UTF-8, and a line of it is too.
                messages.extend(Utf8Bytes::try_from(piece.split_to(end)).map(Message::Text));
            }
            Wire::Protobuf => {
                let Some(length) = piece.first_chunk::<4>().map(|length| u32::from_be_bytes(*length) as usize) else {
                    break;
                };
                let mut frame = piece.split_to((length + 4).min(piece.len()));
                messages.push(Message::Binary(frame.split_off(4)));
            }
        }
    }
    messages
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_piece_is_cut_into_its_events() {
        let cut = messages(Wire::Json, Bytes::from_static(b"{\"a\":1}\n{\"b\":2}\n"));
        assert_eq!(cut, [Message::text("{\"a\":1}\n"), Message::text("{\"b\":2}\n")]);
        let cut = messages(Wire::Protobuf, Bytes::from_static(b"\0\0\0\x02ab\0\0\0\x01c"));
        assert_eq!(cut, [Message::binary(b"ab".as_slice()), Message::binary(b"c".as_slice())]);
    }
}
