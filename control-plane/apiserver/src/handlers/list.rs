//! GET of a collection: which state of it, and which part of that.

mod pieces;

use std::sync::Arc;

use apiserver_core::continuation::{Continuation, remaining_items};
use apiserver_core::options::{ListOptions, VersionMatch};
use apiserver_core::selector::Selection;
use apiserver_core::{Resource, Status};
use imbl::OrdSet;
use serde_json::{Map, Value};

use super::list_metadata;
use crate::app::App;
use crate::cache::{Cache, CachedObject, Entry, Snapshot};
use crate::call::Call;
use crate::http::negotiate::Encoding;
use crate::http::respond::Answer;
use crate::store_client::StoreError;
use crate::writes;

/// Keys per page when a list is read from the store.
const PAGE: i64 = 1000;

pub(super) use pieces::{encoded, opened};

/// The part of a collection that was asked for.
pub(super) struct Selected {
    pub(super) objects: Vec<Arc<CachedObject>>,
    pub(super) metadata: Map<String, Value>,
}

/// Answers with a list.
pub(super) async fn list(app: &Arc<App>, call: &Call) -> Result<Answer, Status> {
    let options = ListOptions::parse(&call.row, &call.query)?;
    let Selected { objects, metadata } = select(app, call, &options).await?;
    match call.form.encoding {
        Encoding::Protobuf => Ok(pieces::messages(call, &metadata, objects).await),
        Encoding::Json if !call.form.pretty => pieces::text(call, &metadata, objects),
        Encoding::Json | Encoding::Yaml => encoded(call, &metadata, objects.iter().map(|object| &object.json)),
    }
}

/// Finds what a list is to show.
pub(super) async fn select(app: &Arc<App>, call: &Call, options: &ListOptions) -> Result<Selected, Status> {
    let row = &call.row;
    let cache = app.cache(row).ok_or_else(Status::no_such_path)?;
    let prefix = row.key_prefix(call.namespace());
    let view = View { app, call, cache };
    let mut start = prefix.clone();
    let mut limit = options.limit.filter(|limit| *limit > 0);
    let snapshot = match &options.continue_token {
        Some(token) => {
            let continuation = Continuation::decode(token, &prefix)?;
            start.clone_from(&continuation.start);
            match continuation.revision {
                Some(revision) => view.exactly(revision).await.map_err(|failure| match failure {
                    Failure::Compacted => {
                        let newest = Continuation { revision: None, start: continuation.start.clone() };
                        Status::continue_expired(Some(newest.encode(&prefix)))
                    }
                    Failure::Status(status) => status,
                })?,
                None => view.newest().await?,
            }
        }
        None => match (options.resource_version, options.version_match) {
            (None, _) => view.newest().await?,
            (Some(0), _) => {
                // Any state will do: the cache's whole one, as upstream gives it.
                limit = None;
                cache.ready().await;
                cache.snapshot()
            }
            (Some(version), VersionMatch::Exact) => {
                view.exactly(signed(version)).await.map_err(Failure::into_status)?
            }
            // The old meaning of a version together with a limit.
            (Some(version), VersionMatch::Unset) if limit.is_some() => {
                view.exactly(signed(version)).await.map_err(Failure::into_status)?
            }
            (Some(version), VersionMatch::Unset | VersionMatch::NotOlderThan) => {
                view.not_older_than(signed(version)).await?
            }
        },
    };
    let selection = &options.selection;
    let everything = selection.is_everything();
    let mut fetched = 0;
    let all = snapshot.range(&prefix, &start).inspect(|_| fetched += 1);
    let mut rest = all.filter(|object| everything || matches(row, selection, object));
    let objects: Vec<_> = rest.by_ref().take(limit.unwrap_or(usize::MAX)).cloned().collect();
    let (mut token, mut remaining) = (None, None);
    if limit.is_some() && rest.next().is_some() {
        let last = objects.last().map_or(start.as_str(), |object| &object.key);
        token = Some(Continuation::after(last, snapshot.revision).encode(&prefix));
        remaining = remaining_items(1 + rest.count(), !everything);
    }
    let unreadable = cache.unreadable(&prefix);
    if unreadable > 0 {
        call.warn([format!("{unreadable} stored objects of {} cannot be read and are left out", row.plural)]);
    }
    let counts = &cache.counts;
    counts.lists.one();
    counts.fetched.add(fetched);
    counts.returned.add(objects.len());
    let objects = if row.strategy.is_converted() {
        let served = objects.iter().map(|object| object.served(row).map(Arc::new).map_err(Status::internal));
        served.collect::<Result<_, _>>()?
    } else {
        objects
    };
    Ok(Selected { objects, metadata: list_metadata(snapshot.revision, token, remaining) })
}

/// Whether an object is selected.
pub(super) fn matches(row: &Resource, selection: &Selection, object: &CachedObject) -> bool {
    selection.labels.matches(|key| object.label(key))
        && selection.fields.matches(|field| object.field(row, field).unwrap_or_default())
}

/// A version as the store counts; nothing is newer than the largest.
pub(super) fn signed(version: u64) -> i64 {
    i64::try_from(version).unwrap_or(i64::MAX)
}

/// Why a state cannot be shown.
enum Failure {
    /// It is compacted away.
    Compacted,
    /// Another reason.
    Status(Status),
}

impl Failure {
    fn into_status(self) -> Status {
        match self {
            Self::Compacted => Status::expired("The resourceVersion for the provided list is too old."),
            Self::Status(status) => status,
        }
    }
}

/// The states of a collection that can be shown.
pub(super) struct View<'a> {
    pub(super) app: &'a Arc<App>,
    pub(super) call: &'a Call,
    pub(super) cache: &'a Cache,
}

impl View<'_> {
    /// The newest state: from the cache once it is known to be as new as the store was when this was asked.
    pub(super) async fn newest(&self) -> Result<Snapshot, Status> {
        if self.cache.is_ready() && self.cache.tells_progress() {
            let revision = self.app.store.revision().await.map_err(|error| self.store_failure(&error))?;
            if self.cache.reach(revision).await.is_ok() {
                return Ok(self.cache.snapshot());
            }
        }
        self.read_store(0).await.map_err(Failure::into_status)
    }

    /// A state at `revision` or later, from the cache.
    pub(super) async fn not_older_than(&self, revision: i64) -> Result<Snapshot, Status> {
        self.cache.ready().await;
        if self.cache.revision() < revision && !self.cache.tells_progress() {
            // The cache cannot learn that nothing happened, but the store knows.
            let snapshot = self.newest().await?;
            if snapshot.revision >= revision {
                return Ok(snapshot);
            }
        }
        self.cache
            .reach(revision)
            .await
            .map_err(|behind| Status::too_large_resource_version(revision as u64, behind.current as u64, 1))?;
        Ok(self.cache.snapshot())
    }

    /// The state at exactly `revision`, from the cache's history or from the store's. What is compacted away in the store is
    /// gone here, too: how far back a client may look must not depend on how busy its resource is.
    async fn exactly(&self, revision: i64) -> Result<Snapshot, Failure> {
        if revision < self.app.store.compacted() {
            return Err(Failure::Compacted);
        }
        match self.cache.snapshot_at(revision) {
            Some(snapshot) => Ok(snapshot),
            None => self.read_store(revision).await,
        }
    }

    /// Reads the collection from the store, at `revision` or (0) now.
    async fn read_store(&self, revision: i64) -> Result<Snapshot, Failure> {
        let prefix = self.call.row.key_prefix(self.call.namespace());
        let mut snapshot = Snapshot { revision, objects: OrdSet::new() };
        let mut start = prefix.clone();
        loop {
            let page = match self.app.store.list(&prefix, &start, PAGE, snapshot.revision).await {
                Ok(page) => page,
                Err(StoreError::Compacted) => return Err(Failure::Compacted),
                Err(StoreError::FutureRevision) => {
                    let current = self.cache.revision();
                    let status = Status::too_large_resource_version(revision as u64, current as u64, 1);
                    return Err(Failure::Status(status));
                }
                Err(error) => return Err(Failure::Status(self.store_failure(&error))),
            };
            if snapshot.revision == 0 {
                snapshot.revision = page.revision;
            }
            for kv in &page.kvs {
                let key = String::from_utf8_lossy(&kv.key);
                if self.call.row.parse_key(&key).is_none() {
                    continue;
                }
                match CachedObject::read(&self.cache.resource, &key, &kv.value, kv.mod_revision) {
                    Ok(object) => {
                        snapshot.objects.insert(Entry(Arc::new(object)));
                    }
                    Err(error) => {
                        tracing::error!(%key, error = %chain::Chain(&error), "a stored object cannot be read and is left out");
                    }
                }
            }
            match page.kvs.last() {
                Some(last) if page.more => start = format!("{}\0", String::from_utf8_lossy(&last.key)),
                _ => {
                    let counts = &self.cache.counts;
                    counts.store_lists.one();
                    counts.store_fetched.add(snapshot.objects.len());
                    counts.store_returned.add(snapshot.objects.len());
                    return Ok(snapshot);
                }
            }
        }
    }

    fn store_failure(&self, error: &StoreError) -> Status {
        writes::failure(&self.call.row, "list", error)
    }
}
