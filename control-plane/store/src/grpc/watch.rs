//! Watch streams: requests go to the hub, each with a place in the stream's queue for its answer; what the hub puts into
//! the queue goes to the client.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};

use futures::Stream;
use proto::etcdserverpb::watch_request::RequestUnion;
use proto::etcdserverpb::{WatchCreateRequest, WatchRequest};
use proto::raw::WatchResponse;
use proto::raw::watch_server::Watch;
use store_core::auth::Rights;
use store_core::record::State;
use store_core::watch::{Invalid, Message, Spec, StreamId, WatchId};
use store_core::{Fault, Refusal};
use tokio::sync::mpsc;
use tonic::codegen::Bytes;
use tonic::{Request, Response, Status, Streaming};

use super::{Service, refused};
use crate::access::Credentials;
use crate::node::Node;
use crate::watches::{Inbox, Notice, STREAM_QUEUE};

static NEXT_STREAM: AtomicU64 = AtomicU64::new(1);

/// A stream that is not there yet.
pub(super) fn next_stream() -> StreamId {
    StreamId(NEXT_STREAM.fetch_add(1, Ordering::Relaxed))
}

#[tonic::async_trait]
impl Watch for Service {
    type WatchStream = Answers;

    async fn watch(&self, request: Request<Streaming<WatchRequest>>) -> Result<Response<Answers>, Status> {
        let node = Arc::clone(&self.0);
        let needs_leader = request.metadata().get("hasleader").is_some_and(|value| value == "true");
        if needs_leader && node.standing().leader.is_none() {
            return Err(refused(store_core::Refusal::NoLeader));
        }
        let stream = next_stream();
        let (queue, messages) = mpsc::channel(STREAM_QUEUE);
        let stopped = |_| refused(store_core::Refusal::Stopped);
        node.watches.send(Notice::Open { stream, queue: queue.clone() }).await.map_err(stopped)?;
        let credentials = Credentials::of(&request);
        let listening = tokio::spawn(listen(request.into_inner(), stream, queue, Arc::clone(&node), credentials));
        let lost = needs_leader.then(|| {
            let node = Arc::clone(&node);
            Box::pin(async move { node.leaderless().await }) as Pin<Box<dyn Future<Output = ()> + Send>>
        });
        Ok(Response::new(Answers {
            node,
            lost,
            messages,
            _guard: Guard { stream, inbox: self.0.watches.clone() },
            _listening: Listening(listening),
        }))
    }
}

/// Takes the client's requests until it stops sending; the stream goes on without it then.
async fn listen(
    mut requests: Streaming<WatchRequest>,
    stream: StreamId,
    queue: mpsc::Sender<Message>,
    node: Arc<Node>,
    credentials: Credentials,
) {
    while let Ok(Some(request)) = requests.message().await {
        let Some(request) = request.request_union else { continue };
        // A client that asks but does not read waits here.
        let Ok(place) = queue.clone().reserve_owned().await else { return };
        let notice = match request {
            RequestUnion::CreateRequest(request) => {
                let spec = permitted(&node, &credentials, &request).await.and_then(|()| Spec::new(&request));
                Notice::Create { stream, id: request.watch_id, spec, place }
            }
            RequestUnion::CancelRequest(request) => Notice::Cancel { stream, watch: WatchId(request.watch_id), place },
            RequestUnion::ProgressRequest(_) => Notice::Progress { stream, place },
        };
        if node.watches.send(notice).await.is_err() {
            return;
        }
    }
}

/// Whether whoever opened the stream may read the range. Asked once, as etcd does: what is taken from a user later ends none
/// of his watches.
async fn permitted(node: &Node, credentials: &Credentials, request: &WatchCreateRequest) -> Result<(), Invalid> {
    if !node.access.enabled() {
        return Ok(());
    }
    let caller = node.access.caller(node, credentials).await.map_err(Invalid::Refused)?;
    let key = if request.key.is_empty() { Bytes::from_static(&[0]) } else { request.key.clone() };
    let judged = node.database.read(|view| {
        let rights = Rights::load(view, &State::load(view)?, caller.as_ref())?;
        Ok::<_, Fault>(rights.read(&key, &request.range_end))
    });
    match judged {
        Ok(judged) => judged.map_err(Invalid::Refused),
        Err(fault) => {
            tracing::error!(error = %chain::Chain(&fault), "the rights of a watcher could not be read");
            Err(Invalid::Refused(Refusal::PermissionDenied))
        }
    }
}

/// What a stream's client is sent.
pub(crate) struct Answers {
    node: Arc<Node>,
    /// Ends the stream of a client that wants no silence from a member that was cut off.
    lost: Option<Pin<Box<dyn Future<Output = ()> + Send>>>,
    messages: mpsc::Receiver<Message>,
    _guard: Guard,
    _listening: Listening,
}

/// Ends the task that takes a stream's requests with the stream.
struct Listening(tokio::task::JoinHandle<()>);

impl Drop for Listening {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Tells the hub that a stream is over.
pub(super) struct Guard {
    pub(super) stream: StreamId,
    pub(super) inbox: Inbox,
}

impl Drop for Guard {
    fn drop(&mut self) {
        let notice = Notice::Close { stream: self.stream };
        if let Err(mpsc::error::TrySendError::Full(notice)) = self.inbox.try_send(notice) {
            let inbox = self.inbox.clone();
            tokio::spawn(async move { drop(inbox.send(notice).await) });
        }
    }
}

impl Stream for Answers {
    type Item = Result<WatchResponse, Status>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if let Some(lost) = &mut self.lost
            && lost.as_mut().poll(context).is_ready()
        {
            self.lost = None;
            self.messages.close();
            return Poll::Ready(Some(Err(refused(Refusal::NoLeader))));
        }
        let message = std::task::ready!(self.messages.poll_recv(context));
        Poll::Ready(message.map(|message| Ok(answer(&self.node, message))))
    }
}

fn answer(node: &Node, message: Message) -> WatchResponse {
    match message {
        Message::Created { watch, revision, invalid } => WatchResponse {
            header: Some(node.header(revision)),
            watch_id: watch.0,
            created: true,
            canceled: invalid.is_some(),
            cancel_reason: invalid.map(|invalid| invalid.to_string()).unwrap_or_default(),
            ..WatchResponse::default()
        },
        Message::Events { watch, revision, events, fragment } => WatchResponse {
            header: Some(node.header(revision)),
            watch_id: watch.0,
            fragment,
            events,
            ..WatchResponse::default()
        },
        Message::Progress { watch, revision } => {
            WatchResponse { header: Some(node.header(revision)), watch_id: watch.0, ..WatchResponse::default() }
        }
        Message::Canceled { watch, revision, compacted } => WatchResponse {
            header: Some(node.header(revision)),
            watch_id: watch.0,
            canceled: true,
            compact_revision: compacted.map_or(0, |compacted| compacted.0),
            ..WatchResponse::default()
        },
    }
}
