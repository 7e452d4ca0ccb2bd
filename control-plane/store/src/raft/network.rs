//! openraft's way to other members, over [`crate::peers`].

use std::future::Future;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use futures::{Stream, StreamExt, stream};
use openraft::base::{BoxFuture, BoxStream};
use openraft::errors::{NetworkError, RPCError, ReplicationClosed, StreamingError, Unreachable};
use openraft::network::RPCOption;
use openraft::raft::{
    AppendEntriesRequest, AppendEntriesResponse, SnapshotResponse, StreamAppendResult, TransferLeaderRequest,
    TransferLeaderResponse, VoteRequest, VoteResponse,
};
use openraft::type_config::alias::SnapshotOf;
use openraft::{OptionalSend, RaftNetworkFactory, RaftNetworkV2};
use proto::peer::{AppendAnswer, FingerprintRequest};
use proto::store::Node;
use tonic::{Status, Streaming};

use super::machine::Image;
use super::{Types, Vote};
use crate::metrics::peers::{Heartbeat, Peer as Figures};
use crate::peers::links::{Client, Links, Purpose};
use crate::peers::messages;
use crate::peers::snapshots::sending;

/// A member that was sent entries and says nothing for so long is counted as gone. Its disk may be slow, so this is far
/// longer than a heartbeat.
const SILENCE: Duration = Duration::from_secs(10);

/// Makes connections to peers.
#[derive(Clone)]
pub struct Peers(Arc<Links>);

impl Peers {
    /// Over these connections.
    #[must_use]
    pub fn new(links: Arc<Links>) -> Self {
        Self(links)
    }
}

/// A connection to a peer, for one purpose.
pub struct Peer {
    target: u64,
    purpose: Purpose,
    links: Arc<Links>,
}

impl RaftNetworkFactory<Types> for Peers {
    type Network = Peer;

    async fn new_client(&mut self, target: u64, node: &Node) -> Peer {
        self.peer(target, node, Purpose::Log)
    }

    async fn new_heartbeat_client(&mut self, target: u64, node: &Node) -> Peer {
        self.peer(target, node, Purpose::Control)
    }

    async fn new_snapshot_client(&mut self, target: u64, node: &Node) -> Peer {
        self.peer(target, node, Purpose::Snapshot)
    }
}

impl Peers {
    fn peer(&self, target: u64, node: &Node, purpose: Purpose) -> Peer {
        self.0.directory().add(target, &node.peer_urls);
        Peer { target, purpose, links: Arc::clone(&self.0) }
    }
}

/// The other end cannot be reached, or does not want to hear of us: not worth trying again at once.
fn unreachable(status: &Status) -> RPCError<Types> {
    RPCError::Unreachable(Unreachable::from_string(status))
}

fn broken(error: &io::Error) -> RPCError<Types> {
    RPCError::Network(NetworkError::new(error))
}

impl Peer {
    fn client(&self, purpose: Purpose) -> Client {
        self.links.client(self.target, purpose)
    }

    fn figures(&self) -> Arc<Figures> {
        self.links.figures(self.target)
    }

    /// Waits for a small answer.
    async fn within<T>(&self, call: impl Future<Output = Result<T, Status>>) -> Result<T, RPCError<Types>> {
        match tokio::time::timeout(self.links.patience(), call).await {
            Ok(result) => result.map_err(|status| unreachable(&status)),
            Err(_elapsed) => Err(unreachable(&Status::deadline_exceeded("no answer in time"))),
        }
    }

    async fn ask_for_vote(
        &self,
        request: VoteRequest<Types>,
        pre_vote: bool,
    ) -> Result<VoteResponse<Types>, RPCError<Types>> {
        let message = messages::vote_request(self.links.route(self.target), &request, pre_vote);
        let mut client = self.client(Purpose::Control);
        let links = Arc::clone(&self.links);
        let asked = async move { client.vote(message).await.inspect_err(|status| links.heed(status)) };
        let answer = self.within(asked).await.inspect_err(|_| self.figures().failed())?.into_inner();
        messages::vote_given(&answer).map_err(|error| broken(&error))
    }
}

/// Requests that were sent and answers that came.
#[derive(Default)]
struct Count {
    sent: AtomicU64,
    answered: AtomicU64,
}

/// The answers, in order; ends with a failure when the other end owes one for too long.
fn answers(
    answers: Streaming<AppendAnswer>,
    count: Arc<Count>,
) -> impl Stream<Item = Result<StreamAppendResult<Types>, RPCError<Types>>> + Send {
    stream::unfold(Some(answers), move |state| {
        let count = Arc::clone(&count);
        async move {
            let mut answers = state?;
            loop {
                let owed = count.sent.load(Ordering::Acquire) > count.answered.load(Ordering::Acquire);
                return match tokio::time::timeout(SILENCE, answers.message()).await {
                    Ok(Ok(Some(answer))) => {
                        count.answered.fetch_add(1, Ordering::AcqRel);
                        match messages::append_result(answer) {
                            Ok(result) => {
                                let goes_on = result.is_ok();
                                Some((Ok(result), goes_on.then_some(answers)))
                            }
                            Err(error) => Some((Err(broken(&error)), None)),
                        }
                    }
                    Ok(Ok(None)) => None,
                    Ok(Err(status)) => Some((Err(unreachable(&status)), None)),
                    Err(_elapsed) if owed => {
                        Some((Err(unreachable(&Status::deadline_exceeded("no answer to log entries in time"))), None))
                    }
                    Err(_elapsed) => continue,
                };
            }
        }
    })
}

impl RaftNetworkV2<Types> for Peer {
    type SnapshotData = Image;

    async fn append_entries(
        &mut self,
        request: AppendEntriesRequest<Types>,
        option: RPCOption,
    ) -> Result<AppendEntriesResponse<Types>, RPCError<Types>> {
        let input = Box::pin(stream::once(async { request }));
        let mut answers = RaftNetworkV2::stream_append(self, input, option).await?;
        match answers.next().await {
            Some(result) => result.map(AppendEntriesResponse::from),
            None => Err(unreachable(&Status::unavailable("no answer to log entries"))),
        }
    }

    fn stream_append<'s, S>(
        &'s mut self,
        input: S,
        _: RPCOption,
    ) -> BoxFuture<'s, Result<BoxStream<'s, Result<StreamAppendResult<Types>, RPCError<Types>>>, RPCError<Types>>>
    where
        S: Stream<Item = AppendEntriesRequest<Types>> + OptionalSend + Unpin + 'static,
    {
        Box::pin(async move {
            // openraft waits in here when it has failed before: a member that is gone must be asked for its requests first.
            let mut input = input;
            let Some(first) = input.next().await else {
                let nothing: BoxStream<'s, _> = Box::pin(stream::empty());
                return Ok(nothing);
            };
            let (route, count) = (self.links.route(self.target), Arc::new(Count::default()));
            let sent = Arc::clone(&count);
            let requests = stream::once(std::future::ready(first)).chain(input).map(move |request| {
                sent.sent.fetch_add(1, Ordering::AcqRel);
                messages::append_request(route, &request)
            });
            let figures = self.figures();
            // A heartbeat tells itself that it failed; it may also be given up by who waits for it.
            let mut heartbeat = (self.purpose == Purpose::Control).then(|| Heartbeat::begin(Arc::clone(&figures)));
            let mut tell = move |reached: bool| match &mut heartbeat {
                Some(heartbeat) if reached => heartbeat.answered(),
                None if !reached => figures.failed(),
                Some(_) | None => {}
            };
            let mut client = self.client(self.purpose);
            let opened = match self.within(client.append(requests)).await {
                Ok(opened) => opened.into_inner(),
                Err(error) => {
                    tell(false);
                    return Err(error);
                }
            };
            let answers: BoxStream<'s, _> =
                Box::pin(answers(opened, count).inspect(move |answer| tell(answer.is_ok())));
            Ok(answers)
        })
    }

    async fn vote(
        &mut self,
        request: VoteRequest<Types>,
        _: RPCOption,
    ) -> Result<VoteResponse<Types>, RPCError<Types>> {
        self.ask_for_vote(request, false).await
    }

    async fn pre_vote(
        &mut self,
        request: VoteRequest<Types>,
        _: RPCOption,
    ) -> Result<VoteResponse<Types>, RPCError<Types>> {
        self.ask_for_vote(request, true).await
    }

    async fn transfer_leader(
        &mut self,
        request: TransferLeaderRequest<Types>,
        _: RPCOption,
    ) -> Result<TransferLeaderResponse<Types>, RPCError<Types>> {
        let message = messages::transfer_request(self.links.route(self.target), &request);
        let mut client = self.client(Purpose::Control);
        let answer = self.within(client.transfer(message)).await.inspect_err(|_| self.figures().failed())?;
        let answer = answer.into_inner();
        Ok(messages::transfer_response(&request, answer))
    }

    async fn full_snapshot(
        &mut self,
        vote: Vote,
        snapshot: SnapshotOf<Types, Image>,
        cancel: impl Future<Output = ReplicationClosed> + OptionalSend + 'static,
        _: RPCOption,
    ) -> Result<SnapshotResponse<Types>, StreamingError<Types>> {
        let Image::Taken(folder) = snapshot.snapshot else {
            return Err(StreamingError::Unreachable(Unreachable::from_string("a snapshot without files")));
        };
        // A checkpoint is read as a whole to be offered: in vain while nobody is there, and openraft tries again soon.
        let route = Some(self.links.route(self.target));
        let mut client = self.client(Purpose::Snapshot);
        if self.within(client.fingerprint(FingerprintRequest { route })).await.is_err() {
            self.figures().failed();
            return Err(StreamingError::Unreachable(Unreachable::from_string("nobody is there to take the state")));
        }
        let sent = sending::send(&self.links, self.target, vote, &snapshot.meta, folder.path());
        tokio::select! {
            closed = cancel => Err(StreamingError::Closed(closed)),
            sent = sent => match sent {
                Ok(vote) => Ok(SnapshotResponse::new(vote)),
                Err(status) => {
                    self.figures().failed();
                    let target = format_args!("{:x}", self.target);
                    tracing::warn!(error = status.message(), target, "the state could not be sent");
                    Err(StreamingError::Unreachable(Unreachable::from_string(status)))
                }
            },
        }
    }
}
