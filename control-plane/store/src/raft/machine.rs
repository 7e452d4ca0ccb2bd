//! The state machine: committed entries become changes of the database, one batch at a time, by a worker of its own.
//!
//! The database has no write-ahead log. What counts as a snapshot is therefore what is flushed: [`Builder`] flushes and
//! reports the last entry that was applied before it began, and only up to there may the log be purged.

use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use futures::future::BoxFuture;
use futures::{Stream, StreamExt};
use openraft::entry::RaftEntry;
use openraft::storage::{ApplyResponder, EntryResponder, RaftSnapshotBuilder, RaftStateMachine};
use openraft::type_config::alias::{SnapshotMetaOf, SnapshotOf};
use openraft::{EntryPayload, OptionalSend};
use prost::Message;
use proto::store::Command;
use store_core::apply::{Reply, apply};
use store_core::fingerprint::{self, Added};
use store_core::overlay::Write;
use store_core::record::State;
use store_core::{Overlay, Space, View, members};
use tokio::sync::{Mutex, mpsc, oneshot};
use tokio::time::Instant;

use super::{LogId, StoredMembership, Types, codec};
use crate::database::Database;
use crate::fingerprints;
use crate::host::Host;
use crate::poison::Poison;

/// In `meta`: the last applied entry.
pub const APPLIED: &[u8] = b"applied";
/// In `meta`: the membership, with the entry that brought it.
pub const MEMBERSHIP: &[u8] = b"membership";

/// Entries applied in one batch of the database. Larger: fewer writes, but answers of the first ones wait for the last.
const BATCH: usize = 512;

/// So many entries are applied where they arrive: to wake the worker, and be woken by it, takes longer than to apply them.
const AT_ONCE: usize = 4;

/// Hears of everything that is applied, in order, before anybody is answered. Called by the apply worker.
pub trait Listener: Send + 'static {
    /// The member this is: commands that it sent to a leader are answered here.
    fn member(&self) -> u64;
    /// A batch was applied: the state stands at `state`.
    fn applied(&mut self, batch: Applied, state: State) -> impl Future<Output = ()> + Send;
    /// The batch's callers were answered, up to the entry `last`; `own` are the answers to what this member had sent to a
    /// leader, by the numbers it gave them.
    fn answered(&mut self, own: Vec<(u64, Reply)>, last: LogId);
    /// A batch took so long, and so long of it to be written.
    fn took(&mut self, batch: Duration, write: Duration);
    /// The state was replaced as a whole, by one that holds the log up to `last`.
    fn replaced(&mut self, state: State, last: Option<LogId>) -> impl Future<Output = ()> + Send;
}

/// What a batch did.
#[derive(Debug, Default)]
pub struct Applied {
    /// What watchers are told.
    pub events: Vec<store_core::record::Event>,
    /// What happened to leases.
    pub leases: Vec<store_core::apply::LeaseChange>,
    /// The set of alarms changed.
    pub alarms_changed: bool,
    /// This member is none of the cluster any more.
    pub left: bool,
    /// What happened to tokens.
    pub tokens: Vec<store_core::auth::tokens::TokenChange>,
    /// The sum of everything that was added, up to the last entry.
    pub added: Added,
}

/// The state machine's handle for openraft.
pub struct Machine {
    database: Arc<Database>,
    worker: Arc<Mutex<dyn Work>>,
    jobs: mpsc::Sender<Job>,
    checkpoints: Arc<AtomicU64>,
    /// The newest snapshot that was made or taken over since the start.
    described: Arc<std::sync::Mutex<Option<SnapshotMetaOf<Types>>>>,
}

/// What the worker does, and whom it tells.
struct Job {
    task: Task,
    done: oneshot::Sender<io::Result<()>>,
}

enum Task {
    Apply(Vec<EntryResponder<Types>>),
    Replace(Image),
}

/// What changes the state.
trait Work: Send {
    /// Does it. The state is not written any more once it has failed.
    fn work(&mut self, task: Task) -> BoxFuture<'_, io::Result<()>>;
}

/// Works off what does not fit between two other tasks.
async fn run(worker: Arc<Mutex<dyn Work>>, mut queue: mpsc::Receiver<Job>) {
    while let Some(Job { task, done }) = queue.recv().await {
        drop(done.send(worker.lock().await.work(task).await));
    }
}

impl Machine {
    /// Starts the apply worker over `database`.
    pub fn start(
        database: Arc<Database>,
        poison: Poison,
        listener: impl Listener,
        host: &dyn Host,
    ) -> io::Result<Self> {
        let (jobs, queue) = mpsc::channel(4);
        // Nothing is in memory only when a database has just been opened: it is a snapshot as it is.
        let meta = database.read(meta)?;
        let described = Arc::new(std::sync::Mutex::new(meta.last_log_id.is_some().then_some(meta)));
        let worker: Arc<Mutex<dyn Work>> =
            Arc::new(Mutex::new(Worker { database: Arc::clone(&database), poison, listener }));
        host.start("apply", Box::pin(run(Arc::clone(&worker), queue)))?;
        Ok(Self { database, worker, jobs, checkpoints: Arc::default(), described })
    }

    /// Does the work, which nobody else does meanwhile: openraft waits for each piece of it.
    async fn job(&self, task: Task) -> io::Result<()> {
        if matches!(&task, Task::Apply(entries) if entries.len() <= AT_ONCE) && self.database.is_level() {
            // Whoever this task has woken goes first: it must not wait behind a read from a slow disk.
            tokio::task::yield_now().await;
            return self.worker.lock().await.work(task).await;
        }
        let gone = || io::Error::other("the apply worker is gone");
        let (done, result) = oneshot::channel();
        self.jobs.send(Job { task, done }).await.map_err(|_| gone())?;
        result.await.map_err(|_| gone())?
    }

    fn builder(&self) -> Builder {
        Builder { database: Arc::clone(&self.database), described: Arc::clone(&self.described) }
    }
}

/// The last applied entry and the membership, as a view has them.
pub fn standing(view: &dyn View) -> io::Result<(Option<LogId>, StoredMembership)> {
    let get = |key| view.get(Space::Meta, key).map_err(io::Error::other);
    let applied = get(APPLIED)?.map(|bytes| codec::decode_log_id(&bytes)).transpose()?;
    let membership = get(MEMBERSHIP)?.map(|bytes| codec::decode_stored_membership(&bytes)).transpose()?;
    Ok((applied, membership.unwrap_or_default()))
}

fn meta(view: &dyn View) -> io::Result<SnapshotMetaOf<Types>> {
    let (last_log_id, last_membership) = standing(view)?;
    Ok(SnapshotMetaOf::<Types> { last_log_id, last_membership })
}

impl RaftStateMachine<Types> for Machine {
    type SnapshotData = Image;
    type SnapshotBuilder = Builder;

    async fn applied_state(&mut self) -> io::Result<(Option<LogId>, StoredMembership)> {
        self.database.read(standing)
    }

    async fn apply<S>(&mut self, mut entries: S) -> io::Result<()>
    where
        S: Stream<Item = io::Result<EntryResponder<Types>>> + Unpin + OptionalSend,
    {
        let mut batch = Vec::new();
        while let Some(entry) = entries.next().await {
            batch.push(entry?);
            if batch.len() >= BATCH {
                self.job(Task::Apply(std::mem::take(&mut batch))).await?;
            }
        }
        if batch.is_empty() {
            return Ok(());
        }
        self.job(Task::Apply(batch)).await
    }

    async fn get_snapshot_builder(&mut self) -> Builder {
        self.builder()
    }

    async fn install_snapshot(&mut self, meta: &SnapshotMetaOf<Types>, image: Image) -> io::Result<()> {
        self.job(Task::Replace(image)).await?;
        let (applied, _) = self.database.read(standing)?;
        if applied != meta.last_log_id {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "a snapshot holds another state than it says"));
        }
        *lock(&self.described) = Some(meta.clone());
        Ok(())
    }

    async fn get_current_snapshot(&mut self) -> io::Result<Option<SnapshotOf<Types, Image>>> {
        if lock(&self.described).is_none() {
            return Ok(None);
        }
        // Nothing is applied meanwhile: openraft calls this from the task that also applies.
        let meta = self.database.read(meta)?;
        let folder = self.database.checkpoint_folder();
        std::fs::create_dir_all(&folder)?;
        let folder = folder.join(self.checkpoints.fetch_add(1, Ordering::Relaxed).to_string());
        self.database.checkpoint(&folder)?;
        *lock(&self.described) = Some(meta.clone());
        Ok(Some(openraft::Snapshot { meta, snapshot: Image::Taken(Folder(folder)) }))
    }
}

fn lock<T>(mutex: &std::sync::Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

/// What a snapshot is made of.
#[derive(Debug)]
pub enum Image {
    /// The flushed database itself: good for purging the log, nothing to send.
    Described,
    /// A checkpoint, which is removed when nobody needs it any more.
    Taken(Folder),
}

/// A folder that goes when its owner does.
#[derive(Debug)]
pub struct Folder(PathBuf);

impl Folder {
    /// Takes over a folder.
    #[must_use]
    pub fn owned(path: PathBuf) -> Self {
        Self(path)
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // It is gone already when it became the state; what else fails is cleared away at the next start.
        drop(std::fs::remove_dir_all(&self.0));
    }
}

/// Makes a snapshot: flushes the database.
pub struct Builder {
    database: Arc<Database>,
    described: Arc<std::sync::Mutex<Option<SnapshotMetaOf<Types>>>>,
}

impl RaftSnapshotBuilder<Types> for Builder {
    type SnapshotData = Image;

    async fn build_snapshot(&mut self) -> io::Result<SnapshotOf<Types, Image>> {
        let database = Arc::clone(&self.database);
        let flushed = tokio::task::spawn_blocking(move || {
            let meta = database.read(meta)?;
            database.flush()?;
            Ok::<_, io::Error>(meta)
        });
        let meta = flushed.await.map_err(io::Error::other)??;
        *lock(&self.described) = Some(meta.clone());
        Ok(openraft::Snapshot { meta, snapshot: Image::Described })
    }
}

/// The apply worker.
struct Worker<L> {
    database: Arc<Database>,
    poison: Poison,
    listener: L,
}

impl<L: Listener> Work for Worker<L> {
    fn work(&mut self, task: Task) -> BoxFuture<'_, io::Result<()>> {
        Box::pin(async move {
            let result = match task {
                Task::Apply(entries) => self.apply(entries).await,
                Task::Replace(image) => self.replace(&image).await,
            };
            if let Err(error) = &result {
                self.poison.spread(format!("the state cannot be written: {error}"));
            }
            result
        })
    }
}

impl<L: Listener> Worker<L> {
    async fn apply(&mut self, entries: Vec<EntryResponder<Types>>) -> io::Result<()> {
        self.poison.check()?;
        let Some(last) = entries.last().map(|(entry, _)| entry.log_id()) else { return Ok(()) };
        let began = Instant::now();
        let mut answers = Answers { member: self.listener.member(), here: Vec::new(), own: Vec::new() };
        let (applied, state, writes) =
            self.database.read_newest(|view| change(view, entries, &mut answers).map_err(io::Error::other))?;
        let computed = began.elapsed();
        self.database.advance(&writes, state.revision)?;
        let took = began.elapsed();
        self.listener.took(took, took.saturating_sub(computed));
        self.listener.applied(applied, state).await;
        for (responder, reply) in answers.here {
            responder.send(reply);
        }
        self.listener.answered(answers.own, last);
        Ok(())
    }

    async fn replace(&mut self, image: &Image) -> io::Result<()> {
        self.poison.check()?;
        let Image::Taken(folder) = image else {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "a described snapshot holds nothing to take over"));
        };
        self.database.replace(&folder.0)?;
        fingerprints::establish(&self.database)?;
        self.database.keep_live().map_err(io::Error::other)?;
        let (last, _) = self.database.read(standing)?;
        let state = self.database.read(State::load).map_err(io::Error::other)?;
        self.listener.replaced(state, last).await;
        Ok(())
    }
}

/// Who is to be told what.
struct Answers {
    member: u64,
    /// Callers of this member's log.
    here: Vec<(ApplyResponder<Types>, Reply)>,
    /// What this member had sent to a leader.
    own: Vec<(u64, Reply)>,
}

/// Applies entries to an overlay; nothing is written or answered yet.
fn change(
    view: &dyn View,
    entries: Vec<EntryResponder<Types>>,
    answers: &mut Answers,
) -> Result<(Applied, State, Vec<Write>), Box<dyn std::error::Error + Send + Sync>> {
    let mut state = State::load(view)?;
    let mut overlay = Overlay::new(view);
    let mut sum = Applied::default();
    let mut last = 0;
    for (entry, responder) in entries {
        let id = entry.log_id();
        last = id.index;
        let mut own = None;
        let reply = match entry.payload {
            EntryPayload::Blank => Reply::Done,
            EntryPayload::Normal(proposal) => {
                let command = Command::decode(proposal.0)?;
                own = (command.origin == answers.member && command.request != 0).then_some(command.request);
                let applied = apply(&mut overlay, &mut state, &command)?;
                sum.events.extend(applied.events);
                sum.leases.extend(applied.leases);
                sum.alarms_changed |= applied.alarms_changed;
                sum.tokens.extend(applied.tokens);
                applied.reply
            }
            EntryPayload::Membership(membership) => {
                let after: BTreeSet<_> = membership.nodes().map(|(id, _)| *id).collect();
                for gone in standing(&overlay)?.1.nodes().map(|(id, _)| *id).filter(|id| !after.contains(id)) {
                    members::remove(&mut overlay, gone);
                    sum.left |= gone == answers.member;
                }
                let stored = StoredMembership::new(Some(id), membership);
                overlay.put(Space::Meta, MEMBERSHIP, codec::encode_stored_membership(&stored));
                Reply::Done
            }
        };
        overlay.put(Space::Meta, APPLIED, codec::encode_log_id(&id));
        match (own, responder) {
            (Some(request), _) => answers.own.push((request, reply)),
            (None, Some(responder)) => answers.here.push((responder, reply)),
            (None, None) => {}
        }
    }
    let (key, value) = state.record();
    overlay.put(Space::Meta, key, value);
    let mut writes = overlay.into_writes();
    let before = Added::load(view)?.unwrap_or_default();
    sum.added = Added { index: last, sum: before.sum.plus(fingerprint::difference(view, &writes)?) };
    let (key, value) = sum.added.record();
    writes.push(Write { space: Space::Meta, key: key.into(), value: Some(value.into()) });
    Ok((sum, state, writes))
}
