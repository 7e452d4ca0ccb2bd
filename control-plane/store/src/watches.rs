//! The hub's worker and the readers of history: the decisions are in [`store_core::watch`].

use std::collections::HashMap;
use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use store_core::Revision;
use store_core::record::{Event, State};
use store_core::watch::catch_up::{self, Chunk};
use store_core::watch::hub::{Errand, Hub, Limits, Outlet};
use store_core::watch::{Invalid, Message, Spec, StreamId, WatchId};
use tokio::sync::{Semaphore, mpsc};
use tokio::time::Instant;

use crate::compactor::Compactor;
use crate::database::Database;
use crate::host::Host;
use crate::metrics::Metrics;
use crate::poison::Poison;

/// Messages that may wait in the hub's inbox. The apply worker waits when it is full.
const INBOX: usize = 4096;
/// Messages that may wait for a stream's client before its watchers fall behind.
pub const STREAM_QUEUE: usize = 64;
/// Readers of history that may work at the same time.
const READERS: usize = 4;
/// Changes a reader looks at in one go.
const CHUNK: usize = 2000;
/// How often idle watchers are looked at.
const TICK: Duration = Duration::from_secs(1);

/// A place in a stream's queue, kept for the answer to a request.
pub type Place = mpsc::OwnedPermit<Message>;

/// What the hub hears.
pub enum Notice {
    /// A stream begins.
    Open {
        /// The stream.
        stream: StreamId,
        /// Its queue.
        queue: mpsc::Sender<Message>,
    },
    /// A client asks for a watcher.
    Create {
        /// The stream.
        stream: StreamId,
        /// The id it wants; 0 = any.
        id: i64,
        /// What it wants.
        spec: Result<Spec, Invalid>,
        /// For the answer.
        place: Place,
    },
    /// A client ends a watcher.
    Cancel {
        /// The stream.
        stream: StreamId,
        /// The watcher.
        watch: WatchId,
        /// For the answer.
        place: Place,
    },
    /// A client asks how far its stream is.
    Progress {
        /// The stream.
        stream: StreamId,
        /// For the answer.
        place: Place,
    },
    /// A stream ended.
    Close {
        /// The stream.
        stream: StreamId,
    },
    /// Commands were applied.
    Applied {
        /// What happened.
        events: Vec<Event>,
        /// Where the state stands.
        state: State,
    },
    /// The whole state was replaced: what watchers have not heard of yet is in its history.
    Replaced {
        /// Where the state stands.
        state: State,
    },
    /// History was read for a watcher.
    Level {
        /// The stream.
        stream: StreamId,
        /// The watcher.
        watch: WatchId,
        /// The first revision that was not read.
        next: Revision,
    },
    /// The history of a watcher is compacted: it was told, and is to be forgotten.
    Lost {
        /// The stream.
        stream: StreamId,
        /// The watcher.
        watch: WatchId,
    },
    /// A second passed.
    Tick,
}

/// Sends notices to the hub.
pub type Inbox = mpsc::Sender<Notice>;

struct Readers {
    database: Arc<Database>,
    poison: Poison,
    inbox: mpsc::WeakSender<Notice>,
    slots: Arc<Semaphore>,
    runtime: tokio::runtime::Handle,
    message_bytes: usize,
}

/// Starts the hub's worker. It ends when the last inbox is dropped.
pub fn start(
    database: Arc<Database>,
    compactor: Compactor,
    limits: Limits,
    poison: Poison,
    metrics: Arc<Metrics>,
    state: State,
    host: &dyn Host,
) -> io::Result<Inbox> {
    let (inbox, notices) = mpsc::channel(INBOX);
    let runtime = tokio::runtime::Handle::current();
    let readers = Readers {
        database: Arc::clone(&database),
        poison: poison.clone(),
        inbox: inbox.downgrade(),
        slots: Arc::new(Semaphore::new(READERS)),
        runtime: runtime.clone(),
        message_bytes: limits.message_bytes,
    };
    let channels = Channels { queues: HashMap::new(), place: None, readers };
    let mut keeper = Keeper {
        hub: Hub::new(state.revision, limits),
        channels,
        compacted: state.compacted,
        compactor,
        database,
        metrics,
        started: Instant::now(),
    };
    let work = async move {
        if let Err(error) = keeper.run(notices).await {
            poison.spread(format!("watchers cannot be served: {error}"));
        }
    };
    host.start("watch-hub", Box::pin(work))?;
    let ticks = inbox.downgrade();
    runtime.spawn(async move {
        let mut tick = tokio::time::interval(TICK);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Skip);
        loop {
            tick.tick().await;
            let Some(inbox) = ticks.upgrade() else { return };
            // A full inbox has better things to do.
            drop(inbox.try_send(Notice::Tick));
        }
    });
    Ok(inbox)
}

struct Keeper {
    hub: Hub,
    channels: Channels,
    compacted: Revision,
    compactor: Compactor,
    database: Arc<Database>,
    metrics: Arc<Metrics>,
    started: Instant,
}

impl Keeper {
    async fn run(&mut self, mut notices: mpsc::Receiver<Notice>) -> Result<(), store_core::Fault> {
        while let Some(notice) = notices.recv().await {
            self.hear(notice)?;
            self.channels.place = None; // a place that was not needed is free again
        }
        Ok(())
    }

    fn hear(&mut self, notice: Notice) -> Result<(), store_core::Fault> {
        let now = self.started.elapsed();
        let Self { hub, channels, database, .. } = self;
        match notice {
            Notice::Open { stream, queue } => {
                channels.queues.insert(stream, queue);
                self.metrics.watch_streams.store(channels.queues.len() as u64, Ordering::Relaxed);
            }
            Notice::Close { stream } => {
                hub.close(stream);
                channels.queues.remove(&stream);
                self.metrics.watch_streams.store(channels.queues.len() as u64, Ordering::Relaxed);
            }
            // A request that was under way when its stream ended.
            Notice::Create { stream, .. } if !channels.queues.contains_key(&stream) => {}
            Notice::Create { stream, id, spec, place } => {
                channels.place = Some(place);
                hub.create(stream, id, spec, now, channels);
            }
            Notice::Cancel { stream, watch, place } => {
                channels.place = Some(place);
                hub.cancel(stream, watch, channels);
            }
            Notice::Progress { stream, place } => {
                channels.place = Some(place);
                hub.progress(stream, channels);
            }
            Notice::Applied { events, state } => {
                self.metrics.events.fetch_add(events.len() as u64, Ordering::Relaxed);
                // What an event replaced is still there: nothing is removed before the hub has seen the compaction.
                database.read_newest(|view| hub.publish(events, state.revision, view, now, channels))?;
                if state.compacted > self.compacted {
                    self.compacted = state.compacted;
                    self.compactor.compacted(state.compacted);
                }
            }
            Notice::Replaced { state } => {
                hub.jump(state.revision, channels);
                self.compacted = state.compacted;
                self.compactor.compacted(state.compacted);
            }
            Notice::Level { stream, watch, next } => {
                database.read_newest(|view| hub.level(stream, watch, next, view, now, channels))?;
            }
            Notice::Lost { stream, watch } => {
                hub.forget(stream, watch);
            }
            Notice::Tick => {
                hub.tick(now, channels);
                let (watchers, behind) = hub.census();
                self.metrics.watchers.store(watchers as u64, Ordering::Relaxed);
                self.metrics.slow_watchers.store(behind as u64, Ordering::Relaxed);
            }
        }
        Ok(())
    }
}

struct Channels {
    queues: HashMap<StreamId, mpsc::Sender<Message>>,
    /// The place kept by the request that is being answered.
    place: Option<Place>,
    readers: Readers,
}

impl Outlet for Channels {
    fn answer(&mut self, stream: StreamId, message: Message) {
        if let Some(place) = self.place.take() {
            place.send(message);
        } else {
            tracing::error!(?stream, "a watch request would have had two answers; the second is lost");
        }
    }

    fn send(&mut self, stream: StreamId, messages: Vec<Message>) -> bool {
        let Some(queue) = self.queues.get(&stream) else { return true };
        match queue.try_reserve_many(messages.len()) {
            Ok(places) => {
                for (place, message) in places.zip(messages) {
                    place.send(message);
                }
                true
            }
            Err(mpsc::error::TrySendError::Full(())) => false,
            // The stream ended; the hub will hear of it.
            Err(mpsc::error::TrySendError::Closed(())) => true,
        }
    }

    fn catch_up(&mut self, errand: Errand) {
        let Some(queue) = self.queues.get(&errand.stream).cloned() else { return };
        let Some(inbox) = self.readers.inbox.upgrade() else { return };
        let Readers { database, poison, slots, message_bytes, .. } = &self.readers;
        let reader = Reader {
            database: Arc::clone(database),
            slots: Arc::clone(slots),
            queue,
            inbox,
            message_bytes: *message_bytes,
        };
        let poison = poison.clone();
        self.readers.runtime.spawn(async move {
            if let Err(error) = reader.run(errand).await {
                poison.spread(format!("the history cannot be read: {error}"));
            }
        });
    }
}

/// Reads the history for one watcher until it is level.
struct Reader {
    database: Arc<Database>,
    slots: Arc<Semaphore>,
    queue: mpsc::Sender<Message>,
    inbox: Inbox,
    message_bytes: usize,
}

impl Reader {
    async fn run(self, errand: Errand) -> io::Result<()> {
        let Errand { stream, watch, spec, mut from, life } = errand;
        while life.goes_on() {
            let chunk = {
                let Ok(_slot) = self.slots.acquire().await else { return Ok(()) };
                let (database, spec, max) = (Arc::clone(&self.database), Arc::clone(&spec), self.message_bytes);
                let read = move || database.read(|view| catch_up::read(view, watch, &spec, from, CHUNK, max));
                tokio::task::spawn_blocking(read).await.map_err(io::Error::other)?.map_err(io::Error::other)?
            };
            match chunk {
                Chunk::Part { messages, next, level } => {
                    for message in messages {
                        let Ok(place) = self.queue.reserve().await else { return Ok(()) };
                        if !life.goes_on() {
                            return Ok(());
                        }
                        place.send(message);
                    }
                    if level {
                        // The hub is gone only when everything ends.
                        drop(self.inbox.send(Notice::Level { stream, watch, next }).await);
                        return Ok(());
                    }
                    from = next;
                }
                Chunk::Compacted { compacted, revision } => {
                    let Ok(place) = self.queue.reserve().await else { return Ok(()) };
                    if life.goes_on() {
                        place.send(Message::Canceled { watch, revision, compacted: Some(compacted) });
                        drop(self.inbox.send(Notice::Lost { stream, watch }).await);
                    }
                    return Ok(());
                }
            }
        }
        Ok(())
    }
}
