//! Answers other members.

use std::collections::VecDeque;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use futures::stream::{self, FuturesUnordered};
use futures::{Stream, StreamExt};
use openraft::errors::ClientWriteError;
use openraft::impls::ProgressResponder;
use openraft::vote::leader_id_std::CommittedLeaderId;
use prost::Message;
use proto::peer::peer_server::Peer;
use proto::peer::{
    AppendAnswer, AppendRequest, ChangeMembersAnswer, ChangeMembersRequest, FingerprintAnswer, FingerprintRequest,
    ForwardAnswer, ForwardRequest, Introduction, JoinAnswer, JoinRequest, LeaseTimeAnswer, LeaseTimeRequest,
    ReadIndexAnswer, ReadIndexRequest, RenewLeaseAnswer, RenewLeaseRequest, Route, SnapshotAnswer, SnapshotPart,
    TokenUserAnswer, TokenUserRequest, TransferAnswer, TransferRequest, VoteAnswer, VoteRequest,
};
use store_core::{LeaseId, members};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::time::Instant;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status, Streaming};

use super::messages;
use super::snapshots::receiving;
use crate::grpc::refused;
use crate::node::Node;
use crate::node::members::Change;
use crate::raft::Proposal;

/// Bytes of log entries that may be taken in and not be durable yet: a slow disk holds the leader back, not the memory.
const UNDURABLE_BYTES: usize = 64 << 20;
/// Commands of one other member that may be under way.
const FORWARDED: usize = 8192;
/// Answers that may wait for the network.
const ANSWERS: usize = 64;
/// Complaints about foreign messages are written to the log no more often.
const COMPLAIN_EVERY: Duration = Duration::from_secs(5);

/// Told to a member that was removed.
pub const REMOVED: &str = "the member has been permanently removed from the cluster";

/// Where other members come to, from before this one knows who it is.
#[derive(Default)]
pub struct Desk {
    introduction: Mutex<Option<Introduction>>,
    node: OnceLock<Arc<Node>>,
    complained: Mutex<Option<Instant>>,
}

impl Desk {
    /// What others are told about this member, from now on.
    pub fn introduce_as(&self, introduction: Introduction) {
        *self.introduction.lock().unwrap_or_else(PoisonError::into_inner) = Some(introduction);
    }

    /// From now on the node answers.
    pub fn open(&self, node: Arc<Node>) {
        // There is one node in a process.
        drop(self.node.set(node));
    }

    fn introduction(&self) -> Option<Introduction> {
        self.introduction.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(super) fn node(&self) -> Result<&Arc<Node>, Status> {
        self.node.get().ok_or_else(|| Status::unavailable("the member is not there yet"))
    }

    /// Lets a message of so many bytes in that is of this cluster, for this member and from nobody who was removed.
    pub(super) fn admit(&self, route: Option<&Route>, bytes: usize) -> Result<&Arc<Node>, Status> {
        let node = self.node()?;
        let route = route.ok_or_else(|| Status::invalid_argument("a message without a route"))?;
        let refuse = |status: Status| {
            self.complain(route, status.message());
            Err(status)
        };
        if route.cluster_id != node.identity.cluster_id {
            return refuse(Status::failed_precondition("cluster ID mismatch"));
        }
        if route.to != node.identity.member_id {
            return refuse(Status::failed_precondition("member ID mismatch"));
        }
        match node.database.read_newest(|view| members::is_removed(view, route.from)) {
            Ok(false) => {
                node.metrics.peers.received(route.from, bytes);
                Ok(node)
            }
            Ok(true) => refuse(Status::permission_denied(REMOVED)),
            Err(fault) => {
                tracing::error!(error = %chain::Chain(&fault), "a member's message could not be judged");
                Err(Status::internal("the state cannot be read"))
            }
        }
    }

    fn complain(&self, route: &Route, why: &str) {
        let mut last = self.complained.lock().unwrap_or_else(PoisonError::into_inner);
        if last.is_none_or(|last| last.elapsed() >= COMPLAIN_EVERY) {
            *last = Some(Instant::now());
            tracing::warn!(
                from = format_args!("{:x}", route.from),
                to = format_args!("{:x}", route.to),
                cluster = format_args!("{:x}", route.cluster_id),
                why,
                "a message of another member was refused"
            );
        }
    }
}

fn malformed(error: &io::Error) -> Status {
    Status::invalid_argument(error.to_string())
}

fn stopped<E: std::fmt::Display>(error: E) -> Status {
    Status::unavailable(format!("the replicated log does not run: {error}"))
}

type Answers<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

/// What requests and answers of one stream of log entries share.
struct Intake {
    desk: Arc<Desk>,
    budget: Arc<Semaphore>,
    /// One for each request that was not answered yet.
    held: Mutex<VecDeque<OwnedSemaphorePermit>>,
    refusal: Mutex<Option<Status>>,
}

impl Intake {
    /// The next request that may go to the log; `None` at the end or when one was refused.
    async fn next(
        &self,
        input: &mut Streaming<AppendRequest>,
    ) -> Option<openraft::raft::AppendEntriesRequest<crate::raft::Types>> {
        let taken = async {
            let Some(message) = input.message().await? else { return Ok(None) };
            self.desk.admit(message.route.as_ref(), message.encoded_len())?;
            let bytes: usize = message.entries.iter().map(bytes::Bytes::len).sum();
            let permits = u32::try_from(bytes.min(UNDURABLE_BYTES)).unwrap_or(u32::MAX);
            let permit = Arc::clone(&self.budget).acquire_many_owned(permits).await.map_err(stopped)?;
            let request = messages::append(&message).map_err(|error| malformed(&error))?;
            self.held.lock().unwrap_or_else(PoisonError::into_inner).push_back(permit);
            Ok::<_, Status>(Some(request))
        };
        taken.await.unwrap_or_else(|status| {
            *self.refusal.lock().unwrap_or_else(PoisonError::into_inner) = Some(status);
            None
        })
    }

    fn answered(&self) {
        drop(self.held.lock().unwrap_or_else(PoisonError::into_inner).pop_front());
    }

    fn refusal(&self) -> Option<Status> {
        self.refusal.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

/// The peer service, as what tonic serves.
pub struct Service(pub Arc<Desk>);

#[tonic::async_trait]
impl Peer for Service {
    type AppendStream = Answers<AppendAnswer>;

    async fn append(&self, request: Request<Streaming<AppendRequest>>) -> Result<Response<Self::AppendStream>, Status> {
        let node = Arc::clone(self.0.node()?);
        let intake = Arc::new(Intake {
            desk: Arc::clone(&self.0),
            budget: Arc::new(Semaphore::new(UNDURABLE_BYTES)),
            held: Mutex::default(),
            refusal: Mutex::default(),
        });
        let (reader, leaders) = (Arc::clone(&intake), Arc::new(Mutex::new(VecDeque::new())));
        let asked = Arc::clone(&leaders);
        let requests = stream::unfold(request.into_inner(), move |mut input| {
            let (reader, asked) = (Arc::clone(&reader), Arc::clone(&asked));
            async move {
                let request = reader.next(&mut input).await?;
                asked.lock().unwrap_or_else(PoisonError::into_inner).push_back(request.vote);
                Some((request, input))
            }
        });
        let (writer, raft) = (Arc::clone(&intake), node.raft().clone());
        let answers = raft.stream_append(requests).map(move |result| {
            writer.answered();
            let vote = leaders.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
            let result = result.map_err(stopped)?;
            if let (Ok(_), Some(vote)) = (&result, vote) {
                node.leadership.heard(&vote);
            }
            Ok(messages::append_answer(&result))
        });
        let last = stream::once(async move { intake.refusal() }).filter_map(|refusal| async { refusal.map(Err) });
        Ok(Response::new(Box::pin(answers.chain(last))))
    }

    async fn vote(&self, request: Request<VoteRequest>) -> Result<Response<VoteAnswer>, Status> {
        let message = request.into_inner();
        let node = self.0.admit(message.route.as_ref(), message.encoded_len())?;
        let request = messages::vote_asked(&message).map_err(|error| malformed(&error))?;
        let response =
            if message.pre_vote { node.raft().pre_vote(request).await } else { node.raft().vote(request).await };
        Ok(Response::new(messages::vote_answer(&response.map_err(stopped)?)))
    }

    async fn transfer(&self, request: Request<TransferRequest>) -> Result<Response<TransferAnswer>, Status> {
        let message = request.into_inner();
        let node = self.0.admit(message.route.as_ref(), message.encoded_len())?;
        let request = messages::transfer_asked(&message).map_err(|error| malformed(&error))?;
        let response = node.raft().handle_transfer_leader(request).await.map_err(stopped)?;
        Ok(Response::new(messages::transfer_answer(&response)))
    }

    type SnapshotStream = ReceiverStream<Result<SnapshotAnswer, Status>>;

    async fn snapshot(
        &self,
        request: Request<Streaming<SnapshotPart>>,
    ) -> Result<Response<Self::SnapshotStream>, Status> {
        self.0.node()?;
        let (answers, queue) = mpsc::channel(ANSWERS);
        tokio::spawn(receiving::receive(Arc::clone(&self.0), request.into_inner(), answers));
        Ok(Response::new(ReceiverStream::new(queue)))
    }

    type ForwardStream = ReceiverStream<Result<ForwardAnswer, Status>>;

    async fn forward(
        &self,
        request: Request<Streaming<ForwardRequest>>,
    ) -> Result<Response<Self::ForwardStream>, Status> {
        self.0.node()?;
        let (answers, queue) = mpsc::channel(ANSWERS);
        tokio::spawn(take_commands(Arc::clone(&self.0), request.into_inner(), answers));
        Ok(Response::new(ReceiverStream::new(queue)))
    }

    async fn read_index(&self, request: Request<ReadIndexRequest>) -> Result<Response<ReadIndexAnswer>, Status> {
        let message = request.into_inner();
        let node = self.0.admit(message.route.as_ref(), message.encoded_len())?;
        let index = node.read_index().await.map_err(refused)?;
        Ok(Response::new(ReadIndexAnswer { index }))
    }

    async fn renew_lease(&self, request: Request<RenewLeaseRequest>) -> Result<Response<RenewLeaseAnswer>, Status> {
        let message = request.into_inner();
        let node = self.0.admit(message.route.as_ref(), message.encoded_len())?;
        let ttl = node.renew_as_leader(LeaseId(message.id)).await.map_err(refused)?;
        Ok(Response::new(RenewLeaseAnswer { ttl }))
    }

    async fn lease_time(&self, request: Request<LeaseTimeRequest>) -> Result<Response<LeaseTimeAnswer>, Status> {
        let message = request.into_inner();
        let node = self.0.admit(message.route.as_ref(), message.encoded_len())?;
        let time = node.lease_time_as_leader(LeaseId(message.id)).await.map_err(refused)?;
        let answer = time.map(|(granted, remaining)| LeaseTimeAnswer { found: true, granted, remaining });
        Ok(Response::new(answer.unwrap_or_default()))
    }

    async fn token_user(&self, request: Request<TokenUserRequest>) -> Result<Response<TokenUserAnswer>, Status> {
        let message = request.into_inner();
        let node = self.0.admit(message.route.as_ref(), message.encoded_len())?;
        let user = node.token_user_as_leader(&message.token).await.map_err(refused)?;
        Ok(Response::new(TokenUserAnswer { user: user.unwrap_or_default() }))
    }

    async fn change_members(
        &self,
        request: Request<ChangeMembersRequest>,
    ) -> Result<Response<ChangeMembersAnswer>, Status> {
        let message = request.into_inner();
        let node = self.0.admit(message.route.as_ref(), message.encoded_len())?;
        let change = message.change.map(Change::asked).ok_or_else(|| Status::invalid_argument("no change"))?;
        let changed = node.change_members_as_leader(&change).await.map_err(refused)?;
        Ok(Response::new(ChangeMembersAnswer { index: changed.index, id: changed.id }))
    }

    async fn fingerprint(&self, request: Request<FingerprintRequest>) -> Result<Response<FingerprintAnswer>, Status> {
        let message = request.into_inner();
        let node = self.0.admit(message.route.as_ref(), message.encoded_len())?;
        Ok(Response::new(messages::fingerprint_answer(node.statement().as_ref())))
    }

    async fn introduce(&self, request: Request<Introduction>) -> Result<Response<Introduction>, Status> {
        let theirs = request.into_inner();
        let mine = self.0.introduction().ok_or_else(|| Status::unavailable("the member is not there yet"))?;
        if theirs.plan != mine.plan {
            return Err(Status::failed_precondition(
                "this member was started with another --initial-cluster or --initial-cluster-token",
            ));
        }
        if theirs.to != mine.name {
            return Err(Status::failed_precondition(format!("this is member `{}`", mine.name)));
        }
        Ok(Response::new(Introduction { to: theirs.name, ..mine }))
    }

    async fn join(&self, request: Request<JoinRequest>) -> Result<Response<JoinAnswer>, Status> {
        let (node, request) = (self.0.node()?, request.into_inner());
        if request.claim == 0 {
            return Err(Status::invalid_argument("a request to join without a claim"));
        }
        let member_id = node.admit_newcomer(&request.peer_urls, request.claim).await.map_err(refused)?;
        let members = node.standing().members.into_iter().collect();
        Ok(Response::new(JoinAnswer { cluster_id: node.identity.cluster_id, member_id, members }))
    }
}

/// Takes another member's commands into the log of this one, as long as it leads in the term they are meant for.
async fn take_commands(
    desk: Arc<Desk>,
    mut input: Streaming<ForwardRequest>,
    answers: mpsc::Sender<Result<ForwardAnswer, Status>>,
) {
    let mut under_way = FuturesUnordered::new();
    loop {
        let mut not_taken = Vec::new();
        tokio::select! {
            Some(refused) = under_way.next(), if !under_way.is_empty() => not_taken.extend(refused),
            message = input.message(), if under_way.len() < FORWARDED => {
                let Ok(Some(message)) = message else { return };
                let node = match desk.admit(message.route.as_ref(), message.encoded_len()) {
                    Ok(node) => node,
                    Err(status) => {
                        // Whoever is gone does not mind.
                        drop(answers.send(Err(status)).await);
                        return;
                    }
                };
                for command in message.commands {
                    let (responder, outcome) = ProgressResponder::complete_only();
                    let write = node.raft().write(Proposal(command.command));
                    let write = write.with_leader(CommittedLeaderId::new(message.term)).responder(responder);
                    if write.await.is_err() {
                        return;
                    }
                    under_way.push(async move {
                        // Only what was never appended is told: of everything else its sender hears when it applies it.
                        let not_leader = matches!(outcome.await, Ok(Err(ClientWriteError::ForwardToLeader(_))));
                        not_leader.then_some(command.request)
                    });
                }
            }
        }
        if !not_taken.is_empty() && answers.send(Ok(ForwardAnswer { not_taken })).await.is_err() {
            return;
        }
    }
}
