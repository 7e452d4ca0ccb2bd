//! GET with `watch`: what changes in a collection, as it changes.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use apiserver_core::options::{IncludeObject, ListOptions};
use apiserver_core::selector::Selection;
use apiserver_core::{Object, Resource, Status};
use bytes::{Bytes, BytesMut};
use serde_json::{Map, Value, json};
use tokio::sync::watch::Receiver;
use tokio::time::Instant;

use super::list::{matches, signed};
use super::{in_version, with_name};
use crate::app::{App, Phase};
use crate::cache::{Cache, CachedObject, Cursor, EventType, Form, Overrun, frame, served};
use crate::call::Call;
use crate::http::negotiate::Transform;
use crate::http::respond::{self, Answer};
use crate::metrics::RequestLabels;
use apiserver_core::decode::Format;

/// Between bookmarks.
const BOOKMARK: Duration = Duration::from_mins(1);
/// Events taken from the history at once; bounds what a step holds.
const BATCH: usize = 256;
/// Bytes of frames sent at once.
const PIECE: usize = 64 << 10;

/// Answers with a stream of events.
pub(super) async fn watch(app: &Arc<App>, call: &Call) -> Result<Answer, Status> {
    if call.form.format == Format::Yaml {
        return Err(Status::not_acceptable(&["application/json"]));
    }
    let row = &call.row;
    let mut options = ListOptions::parse(row, &with_name(call))?;
    options.watch = true;
    let cache = app.cache(row).ok_or_else(Status::no_such_path)?;
    let form = match call.form.transform {
        Transform::None => Form::Whole,
        Transform::Metadata { beta } => Form::Metadata { beta },
        Transform::Table { beta } => Form::Table { include: IncludeObject::parse(&call.query)?, beta },
    };
    let lifetime = match options.timeout_seconds.filter(|seconds| *seconds > 0) {
        Some(seconds) => Duration::from_secs(seconds),
        // Spread, so that watches begun together do not come back together.
        None => app.options.min_watch.mul_f64(1.0 + rand::random::<f64>()),
    };
    let begun = begin(app, call, cache, &options).await?;
    let prefix = row.key_prefix(call.namespace());
    let mut watcher = Watcher {
        registered: Registered::new(app, call),
        cache: Arc::clone(cache),
        row: Arc::clone(row),
        changes: cache.changes(),
        phase: app.phase.subscribe(),
        selection: options.selection,
        prefix,
        form,
        with_columns: true,
        bookmarks: options.allow_watch_bookmarks,
        next_bookmark: Instant::now() + BOOKMARK.mul_f64(0.75 + rand::random::<f64>() / 2.0),
        ends: Instant::now() + lifetime,
        state: State::Ended,
    };
    watcher.state = match begun {
        Ok(begun) => State::Following(begun),
        Err(overrun) => {
            let asked = signed(options.resource_version.unwrap_or(0));
            State::Failed(Status::too_old_resource_version(asked, overrun.oldest))
        }
    };
    Ok(respond::stream(
        "application/json",
        futures::stream::unfold(watcher, |mut watcher| async move {
            let bytes = watcher.step().await?;
            Some((bytes, watcher))
        }),
    ))
}

/// Where a watcher is.
struct Following {
    /// Objects to be sent as they are, before what changes.
    initial: VecDeque<Arc<CachedObject>>,
    /// Revision of the initial objects, if their end is to be marked.
    marks: Option<i64>,
    cursor: Cursor,
    /// Events up to here are not shown.
    after: i64,
}

/// Finds the place to begin from.
async fn begin(
    app: &Arc<App>,
    call: &Call,
    cache: &Arc<Cache>,
    options: &ListOptions,
) -> Result<Result<Following, Overrun>, Status> {
    let streaming = options.send_initial_events == Some(true);
    let version = options.resource_version.map(signed);
    cache.ready().await;
    match (version, options.send_initial_events) {
        // Only what comes after.
        (Some(version), None | Some(false)) if version > 0 => {
            let following = |cursor| Following { initial: VecDeque::new(), marks: None, cursor, after: version };
            return Ok(cache.cursor_after(version).map(following));
        }
        (None | Some(0), Some(false)) => {
            let (snapshot, cursor) = cache.snapshot_and_cursor();
            return Ok(Ok(Following { initial: VecDeque::new(), marks: None, cursor, after: snapshot.revision }));
        }
        // The watch goes on from the cache, so it is the cache that must have come that far.
        (Some(version), Some(true)) if version > 0 => {
            cache
                .reach(version)
                .await
                .map_err(|behind| Status::too_large_resource_version(version as u64, behind.current as u64, 1))?;
        }
        (None, _) => {
            // The newest state, when the cache can tell whether it has it.
            if cache.tells_progress() {
                let revision =
                    app.store.revision().await.map_err(|error| crate::writes::failure(&call.row, "watch", &error))?;
                cache
                    .reach(revision)
                    .await
                    .map_err(|behind| Status::too_large_resource_version(revision as u64, behind.current as u64, 1))?;
            }
        }
        // Any state will do.
        (Some(_), _) => {}
    }
    let (snapshot, cursor) = cache.snapshot_and_cursor();
    let prefix = call.row.key_prefix(call.namespace());
    let initial = snapshot
        .range(&prefix, &prefix)
        .filter(|object| matches(&call.row, &options.selection, object))
        .cloned()
        .collect();
    Ok(Ok(Following { initial, marks: streaming.then_some(snapshot.revision), cursor, after: snapshot.revision }))
}

enum State {
    Following(Following),
    /// The failure is still to be said.
    Failed(Status),
    Ended,
}

/// Counts the watcher while it lives.
struct Registered {
    app: Arc<App>,
    labels: RequestLabels,
    started: Instant,
    sent: u64,
}

impl Registered {
    fn new(app: &Arc<App>, call: &Call) -> Self {
        app.metrics.watchers.fetch_add(1, Ordering::Relaxed);
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
        Self { app: Arc::clone(app), labels, started: Instant::now(), sent: 0 }
    }
}

impl Drop for Registered {
    fn drop(&mut self) {
        let metrics = &self.app.metrics;
        metrics.watchers.fetch_sub(1, Ordering::Relaxed);
        metrics.long_running(&self.labels, -1);
        metrics.watch_events(&self.labels.group, &self.labels.resource, self.sent);
        metrics.request(self.labels.clone(), 200, self.started.elapsed());
    }
}

/// One watch being served. It holds no queue: it reads the cache's history as fast as its client reads it.
struct Watcher {
    registered: Registered,
    cache: Arc<Cache>,
    row: Arc<Resource>,
    changes: Receiver<i64>,
    phase: Receiver<Phase>,
    selection: Selection,
    prefix: String,
    form: Form,
    /// Whether the next Table still has to carry its columns.
    with_columns: bool,
    bookmarks: bool,
    next_bookmark: Instant,
    ends: Instant,
    state: State,
}

impl Watcher {
    /// The next bytes to send; `None` ends the stream.
    async fn step(&mut self) -> Option<Bytes> {
        loop {
            match std::mem::replace(&mut self.state, State::Ended) {
                State::Ended => return None,
                State::Failed(status) => {
                    return Some(frame(EventType::Error, status.to_value().to_string().as_bytes()));
                }
                State::Following(mut following) => {
                    if let Some(bytes) = self.initial(&mut following) {
                        self.state = State::Following(following);
                        return Some(bytes);
                    }
                    self.changes.borrow_and_update();
                    let Ok(batch) = self.cache.events(&mut following.cursor, BATCH) else {
                        // Too slow, or the cache began anew. The client comes back with its last version.
                        self.registered.app.metrics.slow_watchers.fetch_add(1, Ordering::Relaxed);
                        return None;
                    };
                    let bytes = self.frames(&following, &batch.events);
                    let reached = batch.reached;
                    let ended = Instant::now() >= self.ends || *self.phase.borrow() == Phase::Draining;
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
                        draining = self.phase.wait_for(|phase| *phase == Phase::Draining) => if draining.is_err() { return None },
                        () = tokio::time::sleep_until(alarm) => {}
                    }
                }
            }
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
            self.registered.sent += 1;
            let frame = match (self.form, self.with_columns) {
                (Form::Table { .. }, true) => {
                    self.with_columns = false;
                    frame(EventType::Added, &formed(&self.row, self.form, true, object.json.clone()))
                }
                (form, _) => frame(EventType::Added, &formed(&self.row, form, false, object.json.clone())),
            };
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
            self.registered.sent += 1;
            let first = self.with_columns && matches!(self.form, Form::Table { .. });
            // Shared frames are of the form that is stored.
            let next = if first || self.row.strategy.is_converted() {
                self.with_columns = false;
                frame(kind, &formed(&self.row, self.form, first, event.json(kind)))
            } else {
                event.frame(kind, self.form, |json| formed(&self.row, self.form, false, json))
            };
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
        let object = match self.form {
            Form::Whole => {
                json!({ "kind": self.row.kind, "apiVersion": self.row.api_version(), "metadata": metadata })
            }
            Form::Table { beta, .. } => in_version(
                json!({
                    "kind": "Table", "apiVersion": "meta.k8s.io/v1", "metadata": metadata, "columnDefinitions": [],
                    "rows": [],
                }),
                beta,
            ),
            Form::Metadata { beta } => in_version(
                json!({ "kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1", "metadata": metadata }),
                beta,
            ),
        };
        frame(EventType::Bookmark, object.to_string().as_bytes())
    }
}

/// An object's JSON in another form.
fn formed(row: &Resource, form: Form, with_columns: bool, json: Bytes) -> Bytes {
    let json = served(row, json.clone()).unwrap_or_else(|error| {
        tracing::error!(resource = %row.plural, %error, "a stored object cannot be shown as it is served");
        json
    });
    let value = match (form, Object::from_stored(&json)) {
        (Form::Whole, _) | (_, Err(_)) => return json,
        (Form::Metadata { beta }, Ok(object)) => in_version(apiserver_core::table::partial_object(&object), beta),
        (Form::Table { include, beta }, Ok(object)) => {
            let mut metadata = Map::new();
            if let Some(version) = object.resource_version() {
                metadata.insert("resourceVersion".to_owned(), Value::from(version));
            }
            let now = jiff::Timestamp::now();
            in_version(apiserver_core::table::table(row, &metadata, [&object], include, with_columns, now), beta)
        }
    };
    value.to_string().into()
}
