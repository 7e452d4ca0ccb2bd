//! The hub: every watcher, and every change in order.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use crate::record::{Event, State};
use crate::watch::index::Index;
use crate::watch::{Invalid, Life, Message, Spec, StreamId, WatchId, pack};
use crate::{Fault, Revision, View};

/// An order to read the history for one watcher, from `from` on, until it is level.
#[derive(Debug, Clone)]
pub struct Errand {
    /// The stream.
    pub stream: StreamId,
    /// The watcher.
    pub watch: WatchId,
    /// What it wants.
    pub spec: Arc<Spec>,
    /// The first revision to read.
    pub from: Revision,
    /// Whether it still exists.
    pub life: Life,
}

/// Where the hub's decisions go.
pub trait Outlet {
    /// Queues an answer to a request of the stream. There is always room: the stream kept a place for it when it asked.
    fn answer(&mut self, stream: StreamId, message: Message);

    /// Queues all messages, or none and says `false`: there is no room.
    fn send(&mut self, stream: StreamId, messages: Vec<Message>) -> bool;

    /// Has the history read for a watcher; [`Hub::level`] is to be called at its end.
    fn catch_up(&mut self, errand: Errand);
}

/// Sizes and times of a hub.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Above this an answer is split where it may be.
    pub message_bytes: usize,
    /// How much of the newest history is kept ready for watchers that are just a little behind.
    pub recent_bytes: usize,
    /// How long a watcher that asked for progress waits without events before it is told.
    pub progress_every: Duration,
}

#[derive(Debug)]
struct Watcher {
    spec: Arc<Spec>,
    life: Life,
    stand: Stand,
    /// When it last was sent something.
    spoken: Duration,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stand {
    /// It hears of changes from the hub, of this revision and newer ones.
    Level { from: Revision },
    /// The history is read for it.
    Behind,
}

#[derive(Debug, Default)]
struct Stream {
    watchers: HashMap<WatchId, Watcher>,
    next_id: i64,
}

/// The newest changes, whole revisions only.
#[derive(Debug)]
struct Recent {
    events: VecDeque<Arc<Event>>,
    bytes: usize,
    /// Every change of this revision and newer ones is held.
    from: Revision,
}

/// Every watcher, and the revision everything was sent up to.
#[derive(Debug)]
pub struct Hub {
    limits: Limits,
    revision: Revision,
    streams: HashMap<StreamId, Stream>,
    index: Index<(StreamId, WatchId)>,
    recent: Recent,
}

/// Per event: what memory it costs besides its bytes.
const EVENT_OVERHEAD: usize = 160;

impl Hub {
    /// A hub that hears of every change behind `revision`.
    #[must_use]
    pub fn new(revision: Revision, limits: Limits) -> Self {
        let recent = Recent { events: VecDeque::new(), bytes: 0, from: revision.next() };
        Self { limits, revision, streams: HashMap::new(), index: Index::default(), recent }
    }

    /// The revision everything was sent up to.
    #[must_use]
    pub fn revision(&self) -> Revision {
        self.revision
    }

    /// How many watchers there are, and how many of them are behind.
    #[must_use]
    pub fn census(&self) -> (usize, usize) {
        let watchers = || self.streams.values().flat_map(|stream| stream.watchers.values());
        (watchers().count(), watchers().filter(|watcher| watcher.stand == Stand::Behind).count())
    }

    /// Makes a watcher; `id` 0 lets the hub choose. The answer comes before anything else about it.
    pub fn create(
        &mut self,
        stream: StreamId,
        id: i64,
        spec: Result<Spec, Invalid>,
        now: Duration,
        outlet: &mut dyn Outlet,
    ) {
        let revision = self.revision;
        let known = self.streams.entry(stream).or_default();
        let id = match id {
            0 => {
                while known.watchers.contains_key(&WatchId(known.next_id)) {
                    known.next_id += 1;
                }
                known.next_id += 1;
                Ok(WatchId(known.next_id - 1))
            }
            id if known.watchers.contains_key(&WatchId(id)) => Err(Invalid::DuplicateId),
            id => Ok(WatchId(id)),
        };
        let (watch, spec) = match spec.and_then(|spec| Ok((id?, Arc::new(spec)))) {
            Ok(made) => made,
            Err(invalid) => {
                outlet.answer(stream, Message::Created { watch: WatchId::NONE, revision, invalid: Some(invalid) });
                return;
            }
        };
        outlet.answer(stream, Message::Created { watch, revision, invalid: None });
        let from = spec.start.unwrap_or(revision.next());
        self.index.insert(&spec.keys, (stream, watch));
        known.watchers.insert(watch, Watcher { spec, life: Life::new(), stand: Stand::Behind, spoken: now });
        if from > revision {
            self.set_level(stream, watch, from);
        } else {
            self.send_off(stream, watch, from, outlet);
        }
    }

    /// Ends a watcher at its client's wish; one that is not known is passed over, as etcd does.
    pub fn cancel(&mut self, stream: StreamId, watch: WatchId, outlet: &mut dyn Outlet) {
        if self.forget(stream, watch) {
            outlet.answer(stream, Message::Canceled { watch, revision: self.revision, compacted: None });
        }
    }

    /// Drops a watcher without a word, for example one whose history is compacted; whether there was one.
    pub fn forget(&mut self, stream: StreamId, watch: WatchId) -> bool {
        let Some(watcher) = self.streams.get_mut(&stream).and_then(|stream| stream.watchers.remove(&watch)) else {
            return false;
        };
        watcher.life.end();
        self.index.remove(&watcher.spec.keys, (stream, watch));
        true
    }

    /// Drops a stream with all its watchers.
    pub fn close(&mut self, stream: StreamId) {
        let Some(gone) = self.streams.remove(&stream) else { return };
        for (watch, watcher) in gone.watchers {
            watcher.life.end();
            self.index.remove(&watcher.spec.keys, (stream, watch));
        }
    }

    /// Tells a stream how far it is, if every one of its watchers is level; else the client will ask again.
    ///
    /// A watcher that begins in the future is not level: it must not hear of progress before its start.
    pub fn progress(&mut self, stream: StreamId, outlet: &mut dyn Outlet) {
        let next = self.revision.next();
        let Some(known) = self.streams.get(&stream).filter(|stream| !stream.watchers.is_empty()) else { return };
        let level = |watcher: &Watcher| matches!(watcher.stand, Stand::Level { from } if from <= next);
        if known.watchers.values().all(level) {
            outlet.answer(stream, Message::Progress { watch: WatchId::NONE, revision: self.revision });
        }
    }

    /// Hears of changes: whole revisions, in order, up to `revision`, which may be newer than the last event.
    pub fn publish(
        &mut self,
        events: Vec<Event>,
        revision: Revision,
        view: &dyn View,
        now: Duration,
        outlet: &mut dyn Outlet,
    ) -> Result<(), Fault> {
        let first = self.revision.next();
        self.revision = revision;
        let events: Vec<_> = events.into_iter().map(Arc::new).collect();
        let mut hits: HashMap<(StreamId, WatchId), Vec<usize>> = HashMap::new();
        let mut order = Vec::new();
        for (position, event) in events.iter().enumerate() {
            self.index.each(&event.key, |watcher| {
                hits.entry(watcher)
                    .or_insert_with(|| {
                        order.push(watcher);
                        Vec::new()
                    })
                    .push(position);
            });
        }
        let mut previous: Vec<Option<Bytes>> = vec![None; events.len()];
        for (stream, watch) in order {
            let Some(watcher) = self.watcher(stream, watch) else { continue };
            let Stand::Level { from } = watcher.stand else { continue };
            let spec = Arc::clone(&watcher.spec);
            let mut wanted = Vec::new();
            for position in &hits[&(stream, watch)] {
                let event = &events[*position];
                if event.place.revision < from || !spec.wants(event) {
                    continue;
                }
                let encoded = if spec.previous {
                    match &previous[*position] {
                        Some(encoded) => encoded.clone(),
                        None => previous[*position].insert(event.with_previous(view)?).clone(),
                    }
                } else {
                    event.encoded.clone()
                };
                wanted.push((event.place.revision, encoded));
            }
            if !wanted.is_empty() {
                self.deliver(stream, watch, wanted, first.max(from), now, outlet);
            }
        }
        self.remember(events);
        Ok(())
    }

    /// The state was replaced by one at `revision`, with changes the hub has not heard of: everybody reads the history.
    pub fn jump(&mut self, revision: Revision, outlet: &mut dyn Outlet) {
        let first = self.revision.next();
        self.revision = revision;
        self.recent = Recent { events: VecDeque::new(), bytes: 0, from: revision.next() };
        let mut behind = Vec::new();
        for (stream, known) in &self.streams {
            for (watch, watcher) in &known.watchers {
                if let Stand::Level { from } = watcher.stand
                    && from <= revision
                {
                    behind.push((*stream, *watch, from.max(first)));
                }
            }
        }
        for (stream, watch, from) in behind {
            self.send_off(stream, watch, from, outlet);
        }
    }

    /// The history was read for a watcher, up to but not including `next`.
    pub fn level(
        &mut self,
        stream: StreamId,
        watch: WatchId,
        next: Revision,
        view: &dyn View,
        now: Duration,
        outlet: &mut dyn Outlet,
    ) -> Result<(), Fault> {
        let Some(watcher) = self.watcher(stream, watch) else { return Ok(()) };
        let spec = Arc::clone(&watcher.spec);
        // What is compacted meanwhile is for the history to say: the watcher is cancelled there.
        let held = next > self.revision || next >= self.recent.from;
        if !held || next < State::load(view)?.compacted {
            self.send_off(stream, watch, next, outlet);
            return Ok(());
        }
        self.set_level(stream, watch, next);
        let mut wanted = Vec::new();
        let start = self.recent.events.partition_point(|event| event.place.revision < next);
        for event in self.recent.events.range(start..).filter(|event| spec.wants(event)) {
            let encoded = if spec.previous { event.with_previous(view)? } else { event.encoded.clone() };
            wanted.push((event.place.revision, encoded));
        }
        if !wanted.is_empty() {
            self.deliver(stream, watch, wanted, next, now, outlet);
        }
        Ok(())
    }

    /// Time passes: watchers that asked for it and heard nothing for long are told how far they are.
    pub fn tick(&mut self, now: Duration, outlet: &mut dyn Outlet) {
        let (revision, every) = (self.revision, self.limits.progress_every);
        for (stream, known) in &mut self.streams {
            for (watch, watcher) in &mut known.watchers {
                let level = matches!(watcher.stand, Stand::Level { from } if from <= revision.next());
                if level
                    && watcher.spec.progress
                    && now.saturating_sub(watcher.spoken) >= every
                    && outlet.send(*stream, vec![Message::Progress { watch: *watch, revision }])
                {
                    watcher.spoken = now;
                }
            }
        }
    }

    fn watcher(&self, stream: StreamId, watch: WatchId) -> Option<&Watcher> {
        self.streams.get(&stream)?.watchers.get(&watch)
    }

    fn watcher_mut(&mut self, stream: StreamId, watch: WatchId) -> Option<&mut Watcher> {
        self.streams.get_mut(&stream)?.watchers.get_mut(&watch)
    }

    fn set_level(&mut self, stream: StreamId, watch: WatchId, from: Revision) {
        if let Some(watcher) = self.watcher_mut(stream, watch) {
            watcher.stand = Stand::Level { from };
        }
    }

    fn send_off(&mut self, stream: StreamId, watch: WatchId, from: Revision, outlet: &mut dyn Outlet) {
        let Some(watcher) = self.watcher_mut(stream, watch) else { return };
        watcher.stand = Stand::Behind;
        let (spec, life) = (Arc::clone(&watcher.spec), watcher.life.clone());
        outlet.catch_up(Errand { stream, watch, spec, from, life });
    }

    /// Sends events; without room the watcher falls behind, from the first of them on.
    fn deliver(
        &mut self,
        stream: StreamId,
        watch: WatchId,
        events: Vec<(Revision, Bytes)>,
        from: Revision,
        now: Duration,
        outlet: &mut dyn Outlet,
    ) {
        let (revision, limit) = (self.revision, self.limits.message_bytes);
        let Some(watcher) = self.watcher_mut(stream, watch) else { return };
        let messages = pack(watch, &watcher.spec, revision, events, limit);
        if outlet.send(stream, messages) {
            watcher.spoken = now;
        } else {
            self.send_off(stream, watch, from, outlet);
        }
    }

    /// Keeps the newest changes, dropping whole revisions at the old end.
    fn remember(&mut self, events: Vec<Arc<Event>>) {
        let size = |event: &Event| event.encoded.len() + event.key.len() + EVENT_OVERHEAD;
        let recent = &mut self.recent;
        for event in events {
            recent.bytes += size(&event);
            recent.events.push_back(event);
        }
        while recent.bytes > self.limits.recent_bytes
            && let Some(oldest) = recent.events.front().map(|event| event.place.revision)
        {
            while let Some(event) = recent.events.pop_front_if(|event| event.place.revision == oldest) {
                recent.bytes -= size(&event);
            }
            recent.from = oldest.next();
        }
    }
}

#[cfg(test)]
mod tests;
