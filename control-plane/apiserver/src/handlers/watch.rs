//! GET with `watch`: what changes in a collection, as it changes.

mod socket;
mod watcher;

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use apiserver_core::Status;
use apiserver_core::options::{IncludeObject, ListOptions};
use bytes::Bytes;
use futures::Stream;
use futures::stream::unfold;
use tokio::time::Instant;

use super::list::{matches, signed};
use super::with_name;
use crate::app::App;
use crate::cache::{Cache, CachedObject, Cursor, Form, Overrun, Style, Wire};
use crate::call::Call;
use crate::http::gzip::GzipMember;
use crate::http::negotiate::{Encoding, STREAMED, Transform};
use crate::http::respond::{self, Answer};
use watcher::{Registered, State, Watcher};

/// Answers with a stream of events.
pub(super) async fn watch(app: &Arc<App>, call: &Call) -> Result<Answer, Status> {
    let (wire, media_type) = match call.form.encoding {
        Encoding::Json => (Wire::Json, "application/json"),
        Encoding::Protobuf => (Wire::Protobuf, "application/vnd.kubernetes.protobuf;stream=watch"),
        Encoding::Yaml => return Err(Status::not_acceptable(&STREAMED)),
    };
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
    let socket = socket::requested(call)?;
    let state = match begin(app, call, cache, &options).await? {
        Ok(begun) => State::Following(begun),
        Err(overrun) => {
            let asked = signed(options.resource_version.unwrap_or(0));
            State::Failed(Status::too_old_resource_version(asked, overrun.oldest))
        }
    };
    let begins = Instant::now() + app.options.request_timeout;
    // As upstream: a streaming list is compressed however small it is, other watches never.
    let packed = call.form.gzip && matches!(&state, State::Following(begun) if begun.marks.is_some());
    let watcher = Watcher::new(
        Registered::new(app, call, call.held().map(|held| held.until(begins))),
        Arc::clone(cache),
        Arc::clone(row),
        row.key_prefix(call.namespace()),
        options,
        Style { form, wire },
        Instant::now() + lifetime,
        state,
    );
    Ok(match socket {
        Some(socket) => socket.serve(app, wire, plain(watcher)),
        None if packed => {
            let mut answer = respond::stream(media_type, compressed(watcher));
            respond::mark_compressed(&mut answer);
            answer
        }
        None => respond::stream(media_type, plain(watcher)),
    })
}

/// What a watcher says.
fn plain(watcher: Watcher) -> impl Stream<Item = Bytes> + Send {
    unfold(watcher, |mut watcher| async move {
        let bytes = watcher.step().await?;
        Some((bytes, watcher))
    })
}

/// What a watcher says, its list compressed.
fn compressed(watcher: Watcher) -> impl Stream<Item = Bytes> + Send {
    unfold(Some((watcher, GzipMember::new())), |state| async move {
        let (mut watcher, mut member) = state?;
        loop {
            let Some(bytes) = watcher.step().await else { return Some((member.end(), None)) };
            let packed = member.write(&bytes, watcher.is_listing());
            if !packed.is_empty() {
                return Some((packed, Some((watcher, member))));
            }
        }
    })
}

/// Where a watcher is.
pub(super) struct Following {
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
    // A watch in the old way, from any state or the newest, is a streaming list too.
    let streaming = options.send_initial_events.unwrap_or(matches!(options.resource_version, None | Some(0)));
    let marks = streaming && options.allow_watch_bookmarks;
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
    Ok(Ok(Following { initial, marks: marks.then_some(snapshot.revision), cursor, after: snapshot.revision }))
}
