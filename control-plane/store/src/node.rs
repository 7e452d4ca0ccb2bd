//! A member put together: log, state, watches and leases, and the ways in: [`Node::propose`] for writes and
//! [`Node::barrier`] for reads.

use std::collections::BTreeMap;
use std::io;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use openraft::async_runtime::WatchReceiver;
use openraft::errors::{ClientWriteError, Fatal, LinearizableReadError, RaftError};
use openraft::{ReadPolicy, SnapshotPolicy};
use prost::Message;
use proto::etcdserverpb::ResponseHeader;
use proto::etcdserverpb::alarm_request::AlarmAction;
use proto::etcdserverpb::{AlarmRequest, AlarmType};
use proto::store::command::Op;
use proto::store::{Command, Identity};
use store_core::apply::Reply;
use store_core::auth::Caller;
use store_core::record::State;
use store_core::{Refusal, Revision};
use tokio::sync::{Semaphore, mpsc, oneshot};

use crate::access::Access;
use crate::alarms::Alarms;
use crate::compactor::Compactor;
use crate::config::Config;
use crate::database::Database;
use crate::folder;
use crate::leases::Leases;
use crate::metrics::{Gauges, Metrics};
use crate::poison::Poison;
use crate::raft::log::Log;
use crate::raft::machine::{Applied, Listener, Machine};
use crate::raft::network::Peers;
use crate::raft::{Proposal, Raft, Types};
use crate::room::Room;
use crate::watches::{self, Inbox, Notice};

/// Writes that may be between proposal and answer. More are told to come back: waiting would only take memory.
const MAX_PENDING: usize = 5000;
/// Reads that may wait for the same barrier.
const MAX_WAITING_READS: usize = 65_536;
/// Bytes of entries that the log may hold; then it is purged to half of that. Entries are also purged by their number
/// (`--snapshot-count`), but large ones would fill the disk long before. A member that was away for longer gets a snapshot.
const MAX_LOG_BYTES: u64 = 128 << 20;
/// How often the size of the state and the room on the disk are measured.
const MEASURE_EVERY: Duration = Duration::from_secs(1);

/// Why a member could not start.
#[derive(Debug, thiserror::Error)]
#[error("{what}")]
pub struct StartError {
    what: String,
    #[source]
    source: io::Error,
}

fn starting<E: Into<Box<dyn std::error::Error + Send + Sync>>>(
    what: impl Into<String>,
) -> impl FnOnce(E) -> StartError {
    move |source| StartError { what: what.into(), source: io::Error::other(source) }
}

/// A running member.
pub struct Node {
    /// What it runs with.
    pub config: Config,
    /// Who it is.
    pub identity: Identity,
    /// Its state.
    pub database: Arc<Database>,
    /// Its leases.
    pub leases: Arc<Leases>,
    /// Its alarms.
    pub alarms: Arc<Alarms>,
    /// Who asks it.
    pub access: Arc<Access>,
    /// Its figures.
    pub metrics: Arc<Metrics>,
    /// Its end.
    pub poison: Poison,
    /// The way to its watch hub.
    pub watches: Inbox,
    /// Removes what was compacted.
    pub compactor: Compactor,
    raft: Raft,
    log: Log,
    position: Arc<Position>,
    term: Arc<AtomicU64>,
    pending: Semaphore,
    barriers: OnceLock<mpsc::Sender<oneshot::Sender<Result<(), Refusal>>>>,
}

/// Where the state stands, for headers.
#[derive(Debug)]
struct Position {
    revision: AtomicI64,
    compacted: AtomicI64,
}

impl Position {
    fn set(&self, state: State) {
        self.revision.store(state.revision.0, Ordering::Release);
        self.compacted.store(state.compacted.0, Ordering::Release);
    }
}

/// Hears of applied commands and tells everybody concerned.
struct Publisher {
    watches: Inbox,
    leases: Arc<Leases>,
    alarms: Arc<Alarms>,
    access: Arc<Access>,
    database: Arc<Database>,
    position: Arc<Position>,
    poison: Poison,
}

impl Listener for Publisher {
    fn applied(&mut self, batch: Applied, state: State) {
        self.leases.follow(&batch.leases);
        self.access.follow(&batch.tokens, state.auth);
        if batch.alarms_changed
            && let Err(fault) = self.database.read(|view| self.alarms.load(view))
        {
            self.poison.spread(format!("the alarms cannot be read: {fault}"));
        }
        // In front of the answers: whoever asks the hub after an answer finds it at least that far.
        if self.watches.blocking_send(Notice::Applied { events: batch.events, state }).is_err() {
            self.poison.spread("the watch hub is gone");
        }
        self.position.set(state);
    }

    fn replaced(&mut self, state: State) {
        self.position.set(state);
        self.access.follow(&[], state.auth);
        if self.watches.blocking_send(Notice::Replaced { state }).is_err() {
            self.poison.spread("the watch hub is gone");
        }
    }
}

impl Node {
    /// Opens everything, starts the log and waits until the member has what it had before.
    pub async fn start(config: Config) -> Result<Arc<Self>, StartError> {
        let metrics = Arc::new(Metrics::default());
        let poison = Poison::default();
        let member = config.data_dir.join("member");
        std::fs::create_dir_all(&member).map_err(starting(format!("make {}", member.display())))?;
        folder::close_to_others(&config.data_dir)
            .map_err(starting(format!("set the mode of {}", config.data_dir.display())))?;
        let room = Room::new(&member);
        room.before_opening().map_err(starting(format!("look for room in {}", member.display())))?;

        let log_folder = member.join("raft");
        let log = Log::open(&log_folder, poison.clone(), Arc::clone(&metrics))
            .map_err(starting(format!("open the log in {}", log_folder.display())))?;
        let identity = if let Some(identity) = log.identity().map_err(starting("read who this member is"))? {
            identity
        } else {
            // The identity is written before there is any state.
            if !Database::is_new(&member) {
                let missing = format!("there is a state in {}, but its log is gone", member.display());
                return Err(starting("open the log")(io::Error::other(missing)));
            }
            // Random and never used again: a member that comes back with an empty disk is another member.
            let id = || rand::random_range(1..u64::MAX);
            let identity = Identity { cluster_id: id(), member_id: id() };
            log.set_identity(&identity).map_err(starting("write down who this member is"))?;
            identity
        };

        if log.is_purged() && Database::is_new(&member) {
            let missing = format!("the beginning of the log in {} is gone, and so is the state", log_folder.display());
            return Err(starting("open the state")(io::Error::other(missing)));
        }
        let database =
            Arc::new(Database::open(&member).map_err(starting(format!("open the state in {}", member.display())))?);
        let state = database.read(State::load).map_err(starting("read where the state stands"))?;
        let alarms = Arc::new(Alarms::new(identity.member_id));
        database.read(|view| alarms.load(view)).map_err(starting("read the alarms"))?;
        let access = Access::open(config.access.clone(), state.auth).map_err(starting("read the keys of tokens"))?;
        let access = Arc::new(access);
        let leases = Arc::new(Leases::default());
        let position = Arc::new(Position {
            revision: AtomicI64::new(state.revision.0),
            compacted: AtomicI64::new(state.compacted.0),
        });
        let thread = starting::<io::Error>;
        let compactor = Compactor::start(Arc::clone(&database), poison.clone(), state.compacted)
            .map_err(thread("start the compactor"))?;
        let watches = watches::start(
            Arc::clone(&database),
            compactor.clone(),
            config.watch_limits(),
            poison.clone(),
            Arc::clone(&metrics),
            state,
        )
        .map_err(starting("start the watch hub"))?;
        let publisher = Publisher {
            watches: watches.clone(),
            leases: Arc::clone(&leases),
            alarms: Arc::clone(&alarms),
            access: Arc::clone(&access),
            database: Arc::clone(&database),
            position: Arc::clone(&position),
            poison: poison.clone(),
        };
        let machine = Machine::start(Arc::clone(&database), poison.clone(), publisher)
            .map_err(starting("start the apply thread"))?;
        let raft = Raft::new(identity.member_id, Arc::new(raft_config(&config)?), Peers, log.clone(), machine)
            .await
            .map_err(starting("start the replicated log"))?;
        let node = Arc::new(Self {
            identity,
            database,
            leases,
            alarms,
            access,
            metrics,
            poison,
            watches,
            compactor,
            raft,
            log,
            position,
            term: Arc::default(),
            pending: Semaphore::new(MAX_PENDING),
            barriers: OnceLock::new(),
            config,
        });
        node.found_cluster().await?;
        node.recover().await?;
        node.follow(room);
        Ok(node)
    }

    /// A new member makes a cluster of one.
    async fn found_cluster(&self) -> Result<(), StartError> {
        if self.raft.is_initialized().await.map_err(starting("look for a cluster in the log"))? {
            return Ok(());
        }
        let me = proto::store::Node {
            name: self.config.name.clone(),
            peer_urls: self.config.peer_urls.clone(),
            client_urls: self.config.advertised.clone(),
        };
        let members = BTreeMap::from([(self.identity.member_id, me)]);
        self.raft.initialize(members).await.map_err(starting("make a new cluster"))
    }

    /// Waits until everything that may have been answered before the start is applied again.
    async fn recover(&self) -> Result<(), StartError> {
        tokio::select! {
            recovered = self.raft.wait_for_recovery(None) => {
                recovered.map(drop).map_err(starting("apply the log"))
            }
            reason = self.poison.reason() => {
                Err(starting("apply the log")(io::Error::other(reason.to_owned())))
            }
        }
    }

    /// Starts the tasks that follow the log's state, the leases, and the disk.
    fn follow(self: &Arc<Self>, room: Room) {
        let mut raft_metrics = self.raft.metrics();
        let (term, poison, metrics) = (Arc::clone(&self.term), self.poison.clone(), Arc::clone(&self.metrics));
        term.store(raft_metrics.borrow_watched().current_term, Ordering::Release);
        tokio::spawn(async move {
            let mut leader = None;
            loop {
                {
                    let now = raft_metrics.borrow_watched();
                    term.store(now.current_term, Ordering::Release);
                    if now.current_leader != leader {
                        leader = now.current_leader;
                        metrics.leader_changes.fetch_add(1, Ordering::Relaxed);
                    }
                    match &now.running_state {
                        Ok(()) => {}
                        Err(Fatal::Stopped) => return,
                        Err(fatal @ (Fatal::Panicked | Fatal::StorageError(_))) => {
                            poison.spread(format!("the replicated log stopped: {fatal}"));
                            return;
                        }
                    }
                }
                if raft_metrics.changed().await.is_err() {
                    return;
                }
            }
        });
        tokio::spawn(crate::leases::run(Arc::clone(self)));
        let (waiters, queue) = mpsc::channel(MAX_WAITING_READS);
        if self.barriers.set(waiters).is_ok() {
            tokio::spawn(serve_barriers(self.raft.clone(), queue));
        }
        tokio::spawn(Arc::clone(self).watch_space(room));
    }

    /// For ever: measures the state and its disk, keeps the log short, makes space when there is none, and ends an alarm
    /// for want of space when its cause is gone.
    async fn watch_space(self: Arc<Self>, room: Room) {
        let mut tick = tokio::time::interval(MEASURE_EVERY);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut reclaimed = None;
        loop {
            tick.tick().await;
            if let Err(error) = room.keep_reserve() {
                tracing::debug!(%error, "no reserve could be made");
            }
            match self.database.size().and_then(|(_, in_use)| Ok((in_use, room.left()?))) {
                Ok((in_use, left)) => self.alarms.measured(in_use, left),
                Err(error) => tracing::warn!(%error, "the size of the state could not be measured"),
            }
            if self.shorten_log().await.is_err() {
                return;
            }
            // What was compacted is still in files, of which RocksDB rewrites few as long as nothing is written.
            if self.alarms.own_no_space() && reclaimed != Some(self.compactor.progress()) {
                reclaimed = Some(self.compactor.progress());
                self.reclaim().await;
            }
            if self.alarms.has_space_again(self.config.quota)
                && self.no_space_alarm(AlarmAction::Deactivate).await.is_ok()
            {
                tracing::info!("there is space again: writes are taken");
            }
        }
    }

    /// Purges what makes the log longer than it should be, in bytes. What is not in files of the state yet stays until it
    /// is. Fails when the log has stopped.
    async fn shorten_log(&self) -> Result<(), Fatal<Types>> {
        let Some(upto) = self.log.excess(MAX_LOG_BYTES) else { return Ok(()) };
        self.raft.trigger().snapshot().await?;
        self.raft.trigger().purge_log(upto).await
    }

    /// Gives space that nobody uses back to the disk.
    pub async fn reclaim(&self) {
        let database = Arc::clone(&self.database);
        let reclaimed = tokio::task::spawn_blocking(move || database.reclaim()).await;
        if let Err(error) = reclaimed.map_err(io::Error::other).and_then(|result| result) {
            tracing::warn!(%error, "space could not be given back");
        }
    }

    async fn no_space_alarm(&self, action: AlarmAction) -> Result<(), Refusal> {
        let change = AlarmRequest {
            action: action.into(),
            member_id: self.identity.member_id,
            alarm: AlarmType::Nospace.into(),
        };
        self.propose(Op::Alarm(change)).await.map(drop)
    }

    /// Stops: nothing new is taken, what was taken is on disk, and the next start has nothing to apply again.
    pub async fn stop(&self) -> io::Result<()> {
        self.raft.shutdown().await.map_err(io::Error::other)?;
        self.log.sync().await?;
        let database = Arc::clone(&self.database);
        tokio::task::spawn_blocking(move || database.flush()).await.map_err(io::Error::other)?
    }

    /// Takes a command through the log and answers once it is applied here.
    pub async fn propose(&self, op: Op) -> Result<Reply, Refusal> {
        self.propose_as(op, None).await
    }

    /// The same on behalf of a client.
    pub async fn propose_as(&self, op: Op, caller: Option<Caller>) -> Result<Reply, Refusal> {
        let bytes = Command { op: Some(op), caller: caller.map(|caller| caller.message()) }.encode_to_vec();
        if bytes.len() > self.config.max_request_bytes {
            return Err(Refusal::RequestTooLarge);
        }
        let Ok(_pending) = self.pending.try_acquire() else { return Err(Refusal::TooManyRequests) };
        let written = self.raft.client_write(Proposal(bytes.into()));
        self.metrics.proposals_pending.fetch_add(1, Ordering::Relaxed);
        let written = tokio::time::timeout(self.config.request_timeout(), written).await;
        self.metrics.proposals_pending.fetch_sub(1, Ordering::Relaxed);
        let refusal =
            match written {
                Ok(Ok(answer)) => {
                    self.metrics.proposals_committed.fetch_add(1, Ordering::Relaxed);
                    return match answer.data {
                        Reply::Refused(refusal) => Err(refusal),
                        reply => Ok(reply),
                    };
                }
                Ok(Err(RaftError::APIError(ClientWriteError::ForwardToLeader(forward)))) => {
                    if forward.leader_id.is_some() { Refusal::LeaderChanged } else { Refusal::NoLeader }
                }
                Ok(Err(RaftError::APIError(
                    ClientWriteError::LogEntryDiscarded(_)
                    | ClientWriteError::ChangeMembershipError(_)
                    | ClientWriteError::PreconditionFailed(_),
                ))) => Refusal::LeaderChanged,
                Ok(Err(RaftError::Fatal(_))) => Refusal::Stopped,
                Err(_elapsed) => Refusal::TimedOut,
            };
        self.metrics.proposals_failed.fetch_add(1, Ordering::Relaxed);
        Err(refusal)
    }

    /// Refuses a write of `cost` bytes that does not fit, and raises the alarm.
    pub async fn check_space(&self, cost: u64) -> Result<(), Refusal> {
        if self.alarms.check_space(cost, self.config.quota)? {
            return Ok(());
        }
        tracing::warn!(
            quota = self.config.quota,
            "the quota or the disk is used up: writes are refused until space is made"
        );
        self.no_space_alarm(AlarmAction::Activate).await?;
        Err(Refusal::NoSpace)
    }

    /// Waits until a read sees everything that was answered before.
    pub async fn barrier(&self) -> Result<(), Refusal> {
        if self.is_only_voter_and_leads() {
            // Nothing can be answered that is not applied here.
            return Ok(());
        }
        let (tell, told) = oneshot::channel();
        let barriers = self.barriers.get().ok_or(Refusal::NoLeader)?;
        barriers.try_send(tell).map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => Refusal::TooManyRequests,
            mpsc::error::TrySendError::Closed(_) => Refusal::Stopped,
        })?;
        match tokio::time::timeout(self.config.request_timeout(), told).await {
            Ok(Ok(result)) => result,
            Ok(Err(_)) => Err(Refusal::Stopped),
            Err(_elapsed) => Err(Refusal::TimedOut),
        }
    }

    fn is_only_voter_and_leads(&self) -> bool {
        let metrics = self.raft.metrics();
        let now = metrics.borrow_watched();
        let mut voters = now.membership_config.voter_ids();
        now.current_leader == Some(self.identity.member_id)
            && now.running_state.is_ok()
            && voters.next() == Some(self.identity.member_id)
            && voters.next().is_none()
    }

    /// The term this member leads in; `None` when it does not lead.
    pub fn leading_term(&self) -> Option<u64> {
        let metrics = self.raft.metrics();
        let now = metrics.borrow_watched();
        (now.current_leader == Some(self.identity.member_id)).then_some(now.current_term)
    }

    /// A header for an answer at `revision`.
    pub fn header(&self, revision: Revision) -> ResponseHeader {
        ResponseHeader {
            cluster_id: self.identity.cluster_id,
            member_id: self.identity.member_id,
            revision: revision.0,
            raft_term: self.term.load(Ordering::Acquire),
        }
    }

    /// Completes a header that has only its revision.
    pub fn complete(&self, header: &mut Option<ResponseHeader>) {
        let revision = header.as_ref().map_or(0, |header| header.revision);
        *header = Some(self.header(Revision(revision)));
    }

    /// The newest revision.
    pub fn revision(&self) -> Revision {
        Revision(self.position.revision.load(Ordering::Acquire))
    }

    /// The log's view of the cluster.
    pub fn standing(&self) -> Standing {
        let metrics = self.raft.metrics();
        let now = metrics.borrow_watched();
        Standing {
            leader: now.current_leader,
            term: now.current_term,
            committed: now.cluster_committed.map_or(0, |id| id.index),
            applied: now.last_applied.map_or(0, |id| id.index),
            members: now.membership_config.nodes().map(|(id, node)| (*id, node.clone())).collect(),
            voters: now.membership_config.voter_ids().collect(),
        }
    }

    /// Figures of the moment.
    pub fn gauges(&self) -> io::Result<Gauges> {
        let standing = self.standing();
        let (db_total, db_in_use) = self.database.size()?;
        self.metrics.leases.store(self.leases.count() as u64, Ordering::Relaxed);
        Ok(Gauges {
            has_leader: standing.leader.is_some(),
            is_leader: standing.leader == Some(self.identity.member_id),
            applied: standing.applied,
            db_total,
            db_in_use,
            quota: self.config.quota.unwrap_or(0),
            revision: self.revision().0,
            compacted: self.position.compacted.load(Ordering::Acquire),
        })
    }
}

/// The log's view of the cluster.
#[derive(Debug, Clone)]
pub struct Standing {
    /// Who leads.
    pub leader: Option<u64>,
    /// The term.
    pub term: u64,
    /// The last committed index.
    pub committed: u64,
    /// The last applied index.
    pub applied: u64,
    /// Every member.
    pub members: Vec<(u64, proto::store::Node)>,
    /// Those that vote.
    pub voters: Vec<u64>,
}

/// One question to the quorum answers everybody who waited when it was asked.
async fn serve_barriers(raft: Raft, mut queue: mpsc::Receiver<oneshot::Sender<Result<(), Refusal>>>) {
    let mut waiters = Vec::new();
    while queue.recv_many(&mut waiters, MAX_WAITING_READS).await > 0 {
        let result = match raft.ensure_linearizable(ReadPolicy::ReadIndex).await {
            Ok(_) => Ok(()),
            Err(RaftError::APIError(LinearizableReadError::ForwardToLeader(forward))) => {
                Err(if forward.leader_id.is_some() { Refusal::LeaderChanged } else { Refusal::NoLeader })
            }
            Err(RaftError::APIError(LinearizableReadError::QuorumNotEnough(_))) => Err(Refusal::NoLeader),
            Err(RaftError::Fatal(_)) => Err(Refusal::Stopped),
        };
        for waiter in waiters.drain(..) {
            // Whoever is gone does not mind.
            let _ = waiter.send(result);
        }
    }
}

fn raft_config(config: &Config) -> Result<openraft::Config, StartError> {
    let (heartbeat, election) = (config.heartbeat.as_millis() as u64, config.election.as_millis() as u64);
    openraft::Config {
        cluster_name: "store".to_owned(),
        heartbeat_interval: heartbeat,
        heartbeat_min_interval: Some(heartbeat),
        election_timeout_min: election,
        election_timeout_max: election + election / 2,
        snapshot_policy: SnapshotPolicy::LogsSinceLast(config.snapshot_count),
        replication_lag_threshold: config.snapshot_count.saturating_mul(2),
        max_in_snapshot_log_to_keep: config.snapshot_count,
        purge_batch_size: (config.snapshot_count / 10).max(1),
        enable_pre_vote: Some(true),
        ..openraft::Config::default()
    }
    .validate()
    .map_err(starting("check the settings of the log"))
}
