//! Watches: who hears of a change, in which order, and what happens to those who cannot keep up.
//!
//! The [`hub::Hub`] knows every watcher and hears of every change in order. Watchers that are *level* get events from it;
//! those that are *behind* (they began in the past, or their stream had no room) get them from the history by
//! [`catch_up`], and come back to the hub when they are level. One queue per stream carries everything, so `created` comes
//! before events, and progress never overtakes them.

pub mod catch_up;
pub mod hub;
pub mod index;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use proto::etcdserverpb::WatchCreateRequest;
use proto::etcdserverpb::watch_create_request::FilterType;

use crate::record::Event;
use crate::{KeyRange, Refusal, Revision};

/// One gRPC stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct StreamId(pub u64);

/// A watcher within its stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct WatchId(pub i64);

impl WatchId {
    /// In answers: no watcher could be made. In progress messages: all watchers of the stream.
    pub const NONE: Self = Self(-1);
}

/// Why a watcher cannot be made. The texts are etcd's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Invalid {
    /// The stream has a watcher with this id.
    #[error("mvcc: duplicate watch ID provided on the WatchStream")]
    DuplicateId,
    /// No key can lie in the range.
    #[error("mvcc: watcher range is empty")]
    EmptyRange,
    /// The start is before all history.
    #[error("mvcc: required revision has been compacted")]
    NegativeStart,
    /// The caller may not watch the range, or is not who he says. Written as Go's gRPC writes an error.
    #[error("rpc error: code = {code} desc = {0}", code = .0.code().name())]
    Refused(Refusal),
}

/// What a watcher wants.
#[allow(clippy::struct_excessive_bools)] // as many independent wishes as the protocol has
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Spec {
    /// The keys.
    pub keys: KeyRange,
    /// The first revision; `None` = from now on.
    pub start: Option<Revision>,
    /// Whether puts are of interest.
    pub puts: bool,
    /// Whether deletions are of interest.
    pub deletions: bool,
    /// Whether events carry the pair before the change.
    pub previous: bool,
    /// Whether it is told of progress when nothing happens.
    pub progress: bool,
    /// Whether large answers may be split within a revision.
    pub fragment: bool,
}

impl Spec {
    /// Reads a request.
    pub fn new(request: &WatchCreateRequest) -> Result<Self, Invalid> {
        let key = if request.key.is_empty() { Bytes::from_static(&[0]) } else { request.key.clone() };
        let keys = KeyRange::new(key, &request.range_end);
        if keys.is_empty() {
            return Err(Invalid::EmptyRange);
        }
        if request.start_revision < 0 {
            return Err(Invalid::NegativeStart);
        }
        Ok(Self {
            keys,
            start: (request.start_revision > 0).then_some(Revision(request.start_revision)),
            puts: !request.filters().any(|filter| filter == FilterType::Noput),
            deletions: !request.filters().any(|filter| filter == FilterType::Nodelete),
            previous: request.prev_kv,
            progress: request.progress_notify,
            fragment: request.fragment,
        })
    }

    /// Whether an event is of interest, its revision aside.
    #[must_use]
    pub fn wants(&self, event: &Event) -> bool {
        (if event.deletion { self.deletions } else { self.puts }) && self.keys.contains(&event.key)
    }
}

/// Whether a watcher still exists; shared with whoever reads the history for it.
#[derive(Debug, Clone)]
pub struct Life(Arc<AtomicBool>);

impl Life {
    fn new() -> Self {
        Self(Arc::new(AtomicBool::new(true)))
    }

    fn end(&self) {
        self.0.store(false, Ordering::Release);
    }

    /// Whether it exists.
    #[must_use]
    pub fn goes_on(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }
}

/// What a stream is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Message {
    /// A watcher was made, or could not be.
    Created {
        /// Its id.
        watch: WatchId,
        /// The store's revision.
        revision: Revision,
        /// Why it could not be made.
        invalid: Option<Invalid>,
    },
    /// Changes.
    Events {
        /// Whom they are for.
        watch: WatchId,
        /// The store's revision.
        revision: Revision,
        /// Encoded `mvccpb.Event` messages.
        events: Vec<Bytes>,
        /// More of the same revision follows.
        fragment: bool,
    },
    /// Everything up to `revision` was sent.
    Progress {
        /// Whom it is for; [`WatchId::NONE`] = all watchers of the stream.
        watch: WatchId,
        /// The revision.
        revision: Revision,
    },
    /// A watcher is gone.
    Canceled {
        /// Which one.
        watch: WatchId,
        /// The store's revision.
        revision: Revision,
        /// The history it needs is compacted up to here.
        compacted: Option<Revision>,
    },
}

/// Packs events into messages of about `max_bytes`.
///
/// A revision is split only when the watcher allows fragments; all but the last piece of it are then marked.
#[must_use]
pub fn pack(
    watch: WatchId,
    spec: &Spec,
    revision: Revision,
    events: impl IntoIterator<Item = (Revision, Bytes)>,
    max_bytes: usize,
) -> Vec<Message> {
    let mut messages = Vec::new();
    let mut batch: Vec<Bytes> = Vec::new();
    let mut bytes = 0;
    let mut last = None;
    let message = |events, fragment| Message::Events { watch, revision, events, fragment };
    for (at, event) in events {
        let within = last == Some(at);
        if !batch.is_empty() && bytes + event.len() > max_bytes && (!within || spec.fragment) {
            messages.push(message(std::mem::take(&mut batch), within));
            bytes = 0;
        }
        bytes += event.len();
        batch.push(event);
        last = Some(at);
    }
    if !batch.is_empty() {
        messages.push(message(batch, false));
    }
    messages
}
