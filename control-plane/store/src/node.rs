//! A member put together: log, state, watches and leases, and the ways in: [`Node::propose`] for writes and
//! [`Node::barrier`] for reads, on whichever member the client is.

mod disk;
mod entrance;
mod integrity;
mod leases;
pub mod members;
mod reads;
mod replication;
mod roll_call;
mod space;
mod standing;
mod tokens;
mod writes;

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

use openraft::SnapshotPolicy;
use openraft::async_runtime::WatchReceiver;
use proto::etcdserverpb::ResponseHeader;
use proto::store::Identity;
use store_core::Revision;
use store_core::apply::Reply;
use store_core::auth::tokens::TokenChange;
use store_core::record::State;
use tokio::sync::{Mutex, Semaphore, watch};

use crate::access::Access;
use crate::alarms::Alarms;
use crate::compactor::Compactor;
use crate::config::Config;
use crate::database::Database;
use crate::fingerprints::{self, Fingerprints};
use crate::folder;
use crate::forward::Forwarder;
use crate::founding::{self, PeerSide};
use crate::grpc::range::Room as RoomForRanges;
use crate::leadership::Leadership;
use crate::leases::Leases;
use crate::metrics::{Gauges, Metrics};
use crate::peers::directory::Directory;
use crate::peers::links::Links;
use crate::poison::Poison;
use crate::raft::log::Log;
use crate::raft::machine::{self, Applied, Listener, Machine};
use crate::raft::network::Peers;
use crate::raft::{LogId, Raft};
use crate::room::Room;
use crate::survivor;
use crate::watches::{self, Inbox, Notice};

use entrance::Entrance;

pub use standing::Standing;

/// Writes that may be between proposal and answer. More are told to come back: waiting would only take memory.
const MAX_PENDING: usize = 5000;
/// Bytes of such writes.
const MAX_PENDING_BYTES: usize = 256 << 20;
/// Snapshots that may be under way to clients.
const MAX_SNAPSHOTS: usize = 2;

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
    /// Who leads.
    pub leadership: Arc<Leadership>,
    /// Places for snapshots under way to clients: each may take as much disk as the state.
    pub snapshots: Arc<Semaphore>,
    /// The room for large answers to ranges.
    pub room_for_ranges: RoomForRanges,
    raft: Raft,
    log: Log,
    links: Arc<Links>,
    forwarder: Arc<Forwarder>,
    position: Arc<Position>,
    fingerprints: Arc<Fingerprints>,
    /// The last entry that was applied and whose answers were given.
    applied: watch::Sender<u64>,
    term: Arc<AtomicU64>,
    learner: Arc<AtomicBool>,
    pending: Semaphore,
    pending_bytes: Semaphore,
    barriers: reads::Queue,
    entrance: Entrance,
    folder: PathBuf,
    room: Room,
    /// Held by the one that takes the state from another member.
    pub(crate) intake: Mutex<()>,
    /// Held by the one that changes members.
    changing: Mutex<()>,
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
    fingerprints: Arc<Fingerprints>,
    forwarder: Arc<Forwarder>,
    links: Arc<Links>,
    index: watch::Sender<u64>,
    metrics: Arc<Metrics>,
    poison: Poison,
}

impl Listener for Publisher {
    fn member(&self) -> u64 {
        self.forwarder.member()
    }

    async fn applied(&mut self, batch: Applied, state: State) {
        self.leases.follow(&batch.leases);
        self.access.follow(&batch.tokens, state.auth);
        if batch.left {
            self.links.leave();
        }
        if batch.alarms_changed
            && let Err(fault) = self.database.read(|view| self.alarms.load(view))
        {
            self.poison.spread(format!("the alarms cannot be read: {fault}"));
        }
        // In front of the answers: whoever asks the hub after an answer finds it at least that far.
        if self.watches.send(Notice::Applied { events: batch.events, state }).await.is_err() {
            self.poison.spread("the watch hub is gone");
        }
        self.position.set(state);
        self.fingerprints.applied(batch.added);
    }

    fn answered(&mut self, own: Vec<(u64, Reply)>, last: LogId) {
        self.forwarder.applied(own, last.leader_id.term);
        self.index.send_replace(last.index);
    }

    fn took(&mut self, batch: Duration, write: Duration) {
        self.metrics.applied(batch);
        self.metrics.disk.state_written(write);
    }

    async fn replaced(&mut self, state: State, last: Option<LogId>) {
        self.position.set(state);
        // Which of them were taken back meanwhile is not in the state; those that are good the leader knows.
        self.access.follow(&[TokenChange::AllRevoked], state.auth);
        let reload = self.database.read(|view| {
            self.alarms.load(view)?;
            self.leases.resume(Duration::ZERO, || crate::leases::records(view))
        });
        if let Err(fault) = reload {
            self.poison.spread(format!("alarms and leases cannot be read: {fault}"));
        }
        if let Err(error) = self.fingerprints.replaced(&self.database) {
            self.poison.spread(format!("the fingerprint of the state cannot be read: {error}"));
        }
        if let Some(last) = last {
            self.forwarder.replaced(last.leader_id.term);
            self.index.send_replace(last.index);
        }
        if self.watches.send(Notice::Replaced { state }).await.is_err() {
            self.poison.spread("the watch hub is gone");
        }
    }
}

impl Node {
    /// Opens everything, finds out who this member is, starts the log and waits until the member has what it had before.
    pub async fn start(config: Config, side: &PeerSide) -> Result<Arc<Self>, StartError> {
        let metrics = Arc::new(Metrics::default());
        let poison = Poison::default();
        let member = config.data_dir.join("member");
        durable::folder(&member).map_err(starting(format!("make {}", member.display())))?;
        folder::close_to_others(&config.data_dir)
            .map_err(starting(format!("set the mode of {}", config.data_dir.display())))?;
        let room = Room::new(&member);
        room.before_opening().map_err(starting(format!("look for room in {}", member.display())))?;
        // On a full disk files are left as they are: rewriting them would take what is left of it.
        let has_room = room.left().map_err(starting(format!("look for room in {}", member.display())))? > 0;

        let log_folder = member.join("raft");
        durable::folder(&log_folder).map_err(starting(format!("make {}", log_folder.display())))?;
        let log = Log::open(&log_folder, poison.clone(), Arc::clone(&metrics), Arc::clone(&side.host))
            .map_err(starting(format!("open the log in {}", log_folder.display())))?;
        // Who this member is is written before there is any state.
        if log.identity().map_err(starting("read who this member is"))?.is_none() && !Database::is_new(&member) {
            let missing = format!("there is a state in {}, but its log is gone", member.display());
            return Err(starting("open the log")(io::Error::other(missing)));
        }
        let identity = founding::identify(&config, &log, &side.desk, &side.dialer())
            .await
            .map_err(starting("find out who this member is"))?;

        if log.is_purged() && Database::is_new(&member) {
            let missing = format!("the beginning of the log in {} is gone, and so is the state", log_folder.display());
            return Err(starting("open the state")(io::Error::other(missing)));
        }
        let database = Arc::new(
            Database::open_rewriting(&member, has_room)
                .map_err(starting(format!("open the state in {}", member.display())))?,
        );
        fingerprints::establish(&database).map_err(starting("add up the state"))?;
        database.keep_live().map_err(starting("read the live pairs"))?;
        let fingerprints = Arc::new(Fingerprints::default());
        fingerprints.replaced(&database).map_err(starting("read the fingerprint of the state"))?;
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
        let removed = database.read(|view| store_core::members::is_removed(view, identity.member_id));
        if removed.map_err(starting("look whether this member was removed"))? {
            return Err(starting("join the cluster again")(io::Error::other(crate::peers::service::REMOVED)));
        }
        let applied = database.read(machine::standing).map_err(starting("read what was applied"))?.0;
        let applied = watch::Sender::new(applied.map_or(0, |id| id.index));
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
            &*side.host,
        )
        .map_err(starting("start the watch hub"))?;
        let directory = Arc::new(Directory::default());
        let me = identity.member_id;
        let links =
            Links::new(identity.cluster_id, me, directory, side.dialer(), config.election, Arc::clone(&metrics));
        let forwarder = Forwarder::start(me, Arc::clone(&links));
        let publisher = Publisher {
            watches: watches.clone(),
            leases: Arc::clone(&leases),
            alarms: Arc::clone(&alarms),
            access: Arc::clone(&access),
            database: Arc::clone(&database),
            position: Arc::clone(&position),
            fingerprints: Arc::clone(&fingerprints),
            forwarder: Arc::clone(&forwarder),
            links: Arc::clone(&links),
            index: applied.clone(),
            metrics: Arc::clone(&metrics),
            poison: poison.clone(),
        };
        let machine = Machine::start(Arc::clone(&database), poison.clone(), publisher, &*side.host)
            .map_err(starting("start the apply worker"))?;
        if config.alone {
            let record = proto::store::Node {
                name: config.name.clone(),
                peer_urls: config.peer_urls.clone(),
                client_urls: config.advertised.clone(),
                ..proto::store::Node::default()
            };
            let alone = survivor::stand_alone(log.clone(), &database, me, record).await;
            alone.map_err(starting("go on without the other members"))?;
        }
        let network = Peers::new(Arc::clone(&links));
        let raft = Raft::new(me, Arc::new(raft_config(&config)?), network, log.clone(), machine)
            .await
            .map_err(starting("start the replicated log"))?;
        let (barriers, waiters) = reads::queue();
        let node = Arc::new(Self {
            leadership: Arc::new(Leadership::new(me, config.election_max())),
            identity,
            database,
            leases,
            alarms,
            access,
            metrics,
            poison,
            watches,
            compactor,
            entrance: Entrance::open(raft.clone()),
            snapshots: Arc::new(Semaphore::new(MAX_SNAPSHOTS)),
            room_for_ranges: RoomForRanges::default(),
            raft,
            log,
            links,
            forwarder,
            position,
            fingerprints,
            applied,
            term: Arc::default(),
            learner: Arc::default(),
            pending: Semaphore::new(MAX_PENDING),
            pending_bytes: Semaphore::new(MAX_PENDING_BYTES),
            barriers,
            folder: member,
            room: room.clone(),
            intake: Mutex::default(),
            changing: Mutex::default(),
            config,
        });
        node.found_cluster().await?;
        node.follow(room);
        tokio::spawn(reads::serve(Arc::clone(&node), waiters));
        side.desk.open(Arc::clone(&node));
        node.lead_alone().await?;
        node.recover().await?;
        if node.differs_from_most().await {
            let differs = io::Error::other("it differs from that of most other members");
            return Err(starting("compare the state")(differs));
        }
        Ok(node)
    }

    /// The first entry of a new cluster's log: every founder writes the same.
    async fn found_cluster(&self) -> Result<(), StartError> {
        // Who joins a cluster gets its log from there.
        let joined = self.identity.claim != 0;
        if joined || self.raft.is_initialized().await.map_err(starting("look for a cluster in the log"))? {
            return Ok(());
        }
        let me = proto::store::Node {
            name: self.config.name.clone(),
            peer_urls: self.config.peer_urls.clone(),
            client_urls: self.config.advertised.clone(),
            ..proto::store::Node::default()
        };
        let members = match &self.identity.roster {
            None => BTreeMap::from([(self.identity.member_id, me)]),
            Some(roster) => roster
                .founders
                .iter()
                .map(|founder| {
                    let (name, peer_urls) = (founder.name.clone(), founder.peer_urls.clone());
                    (founder.id, proto::store::Node { name, peer_urls, ..proto::store::Node::default() })
                })
                .collect(),
        };
        self.raft.initialize(members).await.map_err(starting("make a new cluster"))
    }

    /// A member without others need not wait for them.
    async fn lead_alone(&self) -> Result<(), StartError> {
        if self.is_only_voter() {
            self.raft.trigger().elect(false).await.map_err(starting("begin to lead"))?;
        }
        Ok(())
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
            // The others may have gone on without it, and nobody leads it any more.
            () = self.removed() => {
                Err(starting("join the cluster again")(io::Error::other(crate::peers::service::REMOVED)))
            }
        }
    }

    /// Stops: nothing new is taken, what was taken is on disk, and the next start has nothing to apply again.
    pub async fn stop(&self) -> io::Result<()> {
        self.raft.shutdown().await.map_err(io::Error::other)?;
        self.log.sync().await?;
        let database = Arc::clone(&self.database);
        tokio::task::spawn_blocking(move || database.flush()).await.map_err(io::Error::other)?
    }

    fn is_only_voter(&self) -> bool {
        let metrics = self.raft.metrics();
        let now = metrics.borrow_watched();
        let mut voters = now.membership_config.voter_ids();
        voters.next() == Some(self.identity.member_id) && voters.next().is_none()
    }

    fn is_only_voter_and_leads(&self) -> bool {
        self.is_only_voter() && self.leading_term().is_some()
    }

    /// Whether this member does not vote.
    pub fn is_learner(&self) -> bool {
        self.learner.load(Ordering::Acquire)
    }

    /// The folder of its data.
    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    /// The disk under it.
    pub(crate) fn room(&self) -> &Room {
        &self.room
    }

    /// The log on disk, for who reads what was committed.
    pub(crate) fn log(&self) -> &Log {
        &self.log
    }

    /// The replicated log, for messages of other members.
    pub(crate) fn raft(&self) -> &Raft {
        &self.raft
    }

    /// The term this member leads in; `None` when it does not lead.
    pub fn leading_term(&self) -> Option<u64> {
        let metrics = self.raft.metrics();
        let now = metrics.borrow_watched();
        let leads = now.state == openraft::ServerState::Leader && now.running_state.is_ok();
        leads.then_some(now.current_term)
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

    /// Figures of the moment.
    pub fn gauges(&self) -> io::Result<Gauges> {
        let standing = self.standing();
        let (db_total, db_in_use) = self.database.size()?;
        self.metrics.leases.store(self.leases.count() as u64, Ordering::Relaxed);
        Ok(Gauges {
            has_leader: standing.leader.is_some(),
            is_leader: standing.leader == Some(self.identity.member_id),
            is_learner: self.is_learner(),
            applied: standing.applied,
            db_total,
            db_in_use,
            quota: self.config.quota.unwrap_or(0),
            revision: self.revision().0,
            compacted: self.position.compacted.load(Ordering::Acquire),
            auth_revision: self.access.revision(),
            member: self.identity.member_id,
        })
    }
}

fn raft_config(config: &Config) -> Result<openraft::Config, StartError> {
    let (heartbeat, election) = (config.heartbeat.as_millis() as u64, config.election.as_millis() as u64);
    openraft::Config {
        cluster_name: "store".to_owned(),
        heartbeat_interval: heartbeat,
        heartbeat_min_interval: Some(heartbeat),
        // A follower waits for the longest of these and then for one of them. Halved, an election begins between 1.25 and
        // 1.5 election timeouts after the leader was last heard of: within what etcd means by it.
        election_timeout_min: election / 2,
        election_timeout_max: election * 3 / 4,
        snapshot_policy: SnapshotPolicy::LogsSinceLast(config.snapshot_count),
        replication_lag_threshold: config.snapshot_count.saturating_mul(2),
        // A backup whose target is away for a while is to find everything still there when it is back.
        max_in_snapshot_log_to_keep: config.snapshot_count.saturating_mul(if config.backup.is_some() {
            100
        } else {
            1
        }),
        purge_batch_size: (config.snapshot_count / 10).max(1),
        enable_pre_vote: Some(true),
        // What it had sent to others before it stopped may be missing in its own log: only a new term keeps the two apart.
        enable_leader_restore: Some(false),
        backoff: "50ms 100ms 200ms ...500ms".to_owned(),
        ..openraft::Config::default()
    }
    .validate()
    .map_err(starting("check the settings of the log"))
}
