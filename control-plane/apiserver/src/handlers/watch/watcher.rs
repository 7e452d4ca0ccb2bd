//! One watch being served: from its position in the cache's history to the bytes its client gets.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use apiserver_core::options::ListOptions;
use apiserver_core::selector::Selection;
use apiserver_core::{Resource, Status, protobuf, table};
use bytes::{Bytes, BytesMut};
use serde_json::{Map, Value, json};
use tokio::sync::watch::Receiver;
use tokio::time::Instant;

use super::super::list::{matches, opened};
use super::super::{in_version, meta_version, partial};
use super::Following;
use crate::app::{App, Phase};
use crate::cache::{Cache, EventType, Form, Shown, Style, Wire, frame, message, metadata, served};
use crate::call::Call;
use crate::flow::Watching;
use crate::limits::Holding;
use crate::metrics::RequestLabels;

/// Between bookmarks.
const BOOKMARK: Duration = Duration::from_mins(1);
/// Events taken from the history at once; bounds what a step holds.
const BATCH: usize = 256;
/// Bytes of frames sent at once.
const PIECE: usize = 64 << 10;

/// Where a watcher is between its start and its end.
pub(super) enum State {
    /// It has more to say.
    Following(Following),
    /// The failure is still to be said.
    Failed(Status),
    /// Nothing follows.
    Ended,
}

/// Counts the watcher while it lives.
pub(super) struct Registered {
    app: Arc<App>,
    labels: RequestLabels,
    started: Instant,
    /// Its place among the requests being served, until the initial objects are sent.
    held: Option<Holding>,
    _watching: Option<Watching>,
}

impl Registered {
    pub(super) fn new(app: &Arc<App>, call: &Call, held: Option<Holding>) -> Self {
        let labels = RequestLabels {
            verb: "WATCH",
            group: call.row.group.clone(),
            version: call.row.version.clone(),
            resource: call.row.plural.clone(),
            subresource: String::new(),
            scope: if call.namespace().is_some() { "namespace" } else { "cluster" },
            dry_run: false,
        };
        app.metrics.long_running(&labels, 1);
        app.metrics.watchers.fetch_add(1, Ordering::Relaxed);
        let watching = app.flow.as_ref().map(|flow| flow.watching(&call.target, &call.query));
        Self { app: Arc::clone(app), labels, started: Instant::now(), held, _watching: watching }
    }
}

impl Drop for Registered {
    fn drop(&mut self) {
        let metrics = &self.app.metrics;
        metrics.long_running(&self.labels, -1);
        metrics.watchers.fetch_sub(1, Ordering::Relaxed);
        metrics.ended(&self.labels, 200, self.started.elapsed());
    }
}

/// One watch being served. It holds no queue: it reads the cache's history as fast as its client reads it.
pub(super) struct Watcher {
    /// What its drop counts, and what it holds until it has begun.
    registered: Registered,
    cache: Arc<Cache>,
    row: Arc<Resource>,
    changes: Receiver<i64>,
    phase: Receiver<Phase>,
    /// Whether the server drains.
    leaving: bool,
    selection: Selection,
    prefix: String,
    style: Style,
    /// Whether the next Table still has to carry its columns.
    with_columns: bool,
    bookmarks: bool,
    next_bookmark: Instant,
    ends: Instant,
    state: State,
}

impl Watcher {
    /// A watcher of what `options` select below `prefix`, until `ends`.
    #[expect(clippy::too_many_arguments, reason = "each is decided elsewhere, and none goes with another")]
    pub(super) fn new(
        registered: Registered,
        cache: Arc<Cache>,
        row: Arc<Resource>,
        prefix: String,
        options: ListOptions,
        style: Style,
        ends: Instant,
        state: State,
    ) -> Self {
        Self {
            changes: cache.changes(),
            phase: registered.app.phase.subscribe(),
            leaving: false,
            selection: options.selection,
            bookmarks: options.allow_watch_bookmarks,
            next_bookmark: Instant::now() + BOOKMARK.mul_f64(0.75 + rand::random::<f64>() / 2.0),
            with_columns: true,
            registered,
            cache,
            row,
            prefix,
            style,
            ends,
            state,
        }
    }

    /// Whether objects of the list it begins with, or the mark behind them, are still to be sent.
    pub(super) fn is_listing(&self) -> bool {
        match &self.state {
            State::Following(following) => !following.initial.is_empty() || following.marks.is_some(),
            State::Failed(_) | State::Ended => false,
        }
    }

    /// The next bytes to send, whole frames; `None` ends the stream.
    pub(super) async fn step(&mut self) -> Option<Bytes> {
        loop {
            match std::mem::replace(&mut self.state, State::Ended) {
                State::Ended => return None,
                State::Failed(status) => {
                    return Some(self.ended(&status));
                }
                State::Following(mut following) => {
                    if let Some(bytes) = self.initial(&mut following) {
                        self.state = State::Following(following);
                        return Some(bytes);
                    }
                    self.registered.held = None;
                    self.changes.borrow_and_update();
                    let Ok(batch) = self.cache.events(&mut following.cursor, BATCH) else {
                        // Too slow, or the cache began anew. The client comes back with its last version.
                        self.cache.counts.terminated.one();
                        return None;
                    };
                    let bytes = self.frames(&following, &batch.events);
                    let reached = batch.reached;
                    self.note_the_end();
                    let ended = Instant::now() >= self.ends;
                    if !bytes.is_empty() {
                        self.state = State::Following(following);
                        return Some(bytes);
                    }
                    let Some(reached) = reached else {
                        self.state = State::Following(following);
                        continue;
                    };
                    if ended {
                        // A last bookmark lets the client go on without a new list.
                        return self.bookmarks.then(|| self.bookmark(reached.max(following.after), false));
                    }
                    if self.bookmarks && Instant::now() >= self.next_bookmark {
                        self.next_bookmark = Instant::now() + BOOKMARK;
                        let bytes = self.bookmark(reached.max(following.after), false);
                        self.state = State::Following(following);
                        return Some(bytes);
                    }
                    self.state = State::Following(following);
                    let alarm = if self.bookmarks { self.ends.min(self.next_bookmark) } else { self.ends };
                    tokio::select! {
                        changed = self.changes.changed() => if changed.is_err() { return None },
                        draining = self.phase.wait_for(|phase| *phase >= Phase::Draining), if !self.leaving => {
                            if draining.is_err() { return None }
                        }
                        () = tokio::time::sleep_until(alarm) => {}
                    }
                }
            }
        }
    }

    /// Once the server drains, the watch ends too: at a moment of its own, if there is time for that.
    fn note_the_end(&mut self) {
        if !self.leaving && *self.phase.borrow() >= Phase::Draining {
            self.leaving = true;
            let grace = self.registered.app.options.watch_grace;
            self.ends = self.ends.min(Instant::now() + grace.mul_f64(rand::random()));
        }
    }

    /// Some of the initial objects, and the mark behind the last.
    fn initial(&mut self, following: &mut Following) -> Option<Bytes> {
        if following.initial.is_empty() && following.marks.is_none() {
            return None;
        }
        let mut bytes = BytesMut::new();
        while bytes.len() < PIECE {
            let Some(object) = following.initial.pop_front() else { break };
            let first = self.is_first();
            let shown = written(&self.row, self.style, first, &Shown::as_it_is(&object));
            let frame = frame(EventType::Added, self.style.wire, &shown);
            self.cache.counts.initial.one();
            self.cache.counts.events.observe(frame.len());
            bytes.extend_from_slice(&frame);
        }
        if following.initial.is_empty()
            && let Some(revision) = following.marks.take()
        {
            bytes.extend_from_slice(&self.bookmark(revision, true));
        }
        Some(bytes.freeze())
    }

    /// The frames of those events that mean something to this watcher.
    fn frames(&mut self, following: &Following, events: &[Arc<crate::cache::CacheEvent>]) -> Bytes {
        let mut bytes = BytesMut::new();
        let mut only = Bytes::new();
        for event in events {
            if event.revision <= following.after {
                continue;
            }
            let everything = self.selection.is_everything();
            let seen = event.seen_by(|object| {
                object.key.starts_with(&self.prefix) && (everything || matches(&self.row, &self.selection, object))
            });
            let Some(kind) = seen else { continue };
            let first = self.is_first();
            // Shared frames are of the kind that is stored.
            let next = if first || self.row.strategy.is_converted() {
                frame(kind, self.style.wire, &written(&self.row, self.style, first, &event.shown(kind)))
            } else {
                event.frame(kind, self.style, |shown| written(&self.row, self.style, false, shown))
            };
            self.cache.counts.events.observe(next.len());
            // A single event, the usual case, is sent as the shared bytes themselves.
            if only.is_empty() && bytes.is_empty() {
                only = next;
            } else {
                if !only.is_empty() {
                    bytes.extend_from_slice(&std::mem::take(&mut only));
                }
                bytes.extend_from_slice(&next);
            }
        }
        if only.is_empty() { bytes.freeze() } else { only }
    }

    fn bookmark(&self, revision: i64, ends_initial: bool) -> Bytes {
        let mut metadata = json!({ "resourceVersion": revision.to_string() });
        if ends_initial {
            metadata["annotations"] = json!({ "k8s.io/initial-events-end": "true" });
        }
        let (definition, object) = match self.style.form {
            Form::Whole => (
                self.row.schema.as_str(),
                json!({ "kind": self.row.kind, "apiVersion": self.row.api_version(), "metadata": metadata }),
            ),
            Form::Table { beta, .. } => (
                "",
                json!({
                    "kind": "Table", "apiVersion": meta_version(beta), "metadata": metadata, "columnDefinitions": [],
                    "rows": [],
                }),
            ),
            Form::Metadata { beta } => (
                protobuf::PARTIAL,
                json!({ "kind": "PartialObjectMetadata", "apiVersion": meta_version(beta), "metadata": metadata }),
            ),
        };
        self.said(EventType::Bookmark, definition, &object)
    }

    /// The last frame of a watch that failed.
    fn ended(&self, status: &Status) -> Bytes {
        self.said(EventType::Error, protobuf::STATUS, &status.to_value())
    }

    /// A frame around something that is no object of the cache.
    fn said(&self, kind: EventType, definition: &str, object: &Value) -> Bytes {
        match self.style.wire {
            Wire::Json => frame(kind, Wire::Json, object.to_string().as_bytes()),
            Wire::Protobuf => frame(kind, Wire::Protobuf, &protobuf::object(definition, object)),
        }
    }

    /// Whether this is the Table that carries the columns.
    fn is_first(&mut self) -> bool {
        matches!(self.style.form, Form::Table { .. }) && std::mem::take(&mut self.with_columns)
    }
}

/// An object in the style of a watch.
fn written(row: &Resource, style: Style, with_columns: bool, shown: &Shown<'_>) -> Bytes {
    let json = served(row, shown.json.clone()).unwrap_or_else(|error| {
        tracing::error!(resource = %row.plural, %error, "a stored object cannot be shown as it is served");
        shown.json.clone()
    });
    match (style.wire, style.form) {
        (Wire::Json, Form::Whole) => json,
        (Wire::Json, Form::Metadata { beta }) => partial(metadata(&json), beta).into(),
        (Wire::Json | Wire::Protobuf, Form::Table { include, beta }) => {
            let mut head = Map::new();
            head.insert("resourceVersion".to_owned(), shown.revision.to_string().into());
            let now = jiff::Timestamp::now();
            let empty = in_version(table::table(row, &head, [], include, with_columns, now), beta);
            let mut written = opened(empty, "rows").into_bytes();
            written.extend_from_slice(&table::row(row, &json, metadata(&json), include, meta_version(beta), now));
            written.extend_from_slice(b"]}");
            written.into()
        }
        (Wire::Protobuf, Form::Whole) => {
            let message = message_of(row, shown, &json);
            protobuf::wrap(&row.api_version(), &row.kind, &message).into()
        }
        (Wire::Protobuf, Form::Metadata { beta }) => {
            let message = message_of(row, shown, &json);
            let metadata = &message[..protobuf::metadata_length(&message)];
            protobuf::wrap(meta_version(beta), "PartialObjectMetadata", metadata).into()
        }
    }
}

/// The protobuf message of what is shown: the cached object's, unless it is shown in another form than it is stored in.
fn message_of(row: &Resource, shown: &Shown<'_>, json: &[u8]) -> Bytes {
    match shown.cached {
        Some(object) if !row.strategy.is_converted() => object.message(&row.schema),
        Some(_) | None => message(&row.schema, json).into(),
    }
}
