//! DELETE of one object or of a collection.

use std::sync::Arc;

use admission::Operation;
use apiserver_core::engine::{Deletion, decide_delete};
use apiserver_core::options::{DeleteOptions, ListOptions};
use apiserver_core::{Object, Status};
use bytes::Bytes;
use futures::{StreamExt, TryStreamExt};
use http::StatusCode;

use super::{list, object};
use crate::admission::{Admitted, Wishes};
use crate::app::App;
use crate::cache::{CachedObject, with_resource_version};
use crate::call::Call;
use crate::http::respond::{self, Answer};
use crate::store_client::{Change, Commit};
use crate::writes::{self, Writer};

/// How often a deletion is decided anew because others changed the object.
const TRIES: u32 = 64;
/// Deletions of a collection under way at once.
const AT_ONCE: usize = 16;

/// Definition of the options in the body.
const DELETE_OPTIONS: &str = "io.k8s.apimachinery.pkg.apis.meta.v1.DeleteOptions";

/// What a deletion came to.
pub(super) enum Outcome {
    /// The object is gone; this is how it was.
    Gone { object: Object, json: Bytes },
    /// The object stays for now; this is how it is.
    Stays { json: Bytes },
}

async fn options(call: &Call) -> Result<DeleteOptions, Status> {
    let (_, body) = call.text(DELETE_OPTIONS).await?;
    DeleteOptions::parse(&body, &call.query)
}

/// DELETE of one object.
pub(super) async fn delete(app: &Arc<App>, call: &Call) -> Result<Answer, Status> {
    let options = options(call).await?;
    if options.unreadable_only {
        return remove_unreadable(app, call).await;
    }
    let admitted = Admitted { call, wishes: Wishes::Delete(&options) };
    match remove(app, call, &call.key(), &call.target.name, &options, Some(admitted)).await? {
        Outcome::Gone { json, .. } if call.row.returns_deleted => object(call, StatusCode::OK, json),
        Outcome::Gone { object, .. } => {
            let status = Status::success(&call.row, &call.target.name, object.uid());
            Ok(respond::status(StatusCode::OK, &status, call.form))
        }
        Outcome::Stays { json } => object(call, StatusCode::OK, json),
    }
}

/// Deletes what cannot be read. Nobody can tell what holds it, or what depends on it.
async fn remove_unreadable(app: &Arc<App>, call: &Call) -> Result<Answer, Status> {
    let (row, name, key) = (&call.row, call.target.name.as_str(), call.key());
    let (found, _) = app.store.get(&key).await.map_err(|error| writes::failure(row, "delete", &error))?;
    let found = found.ok_or_else(|| Status::not_found(row, name))?;
    let cached = CachedObject::read(row, &key, &found.value, found.mod_revision);
    if cached.is_ok_and(|cached| cached.tree().is_ok()) {
        return Err(DeleteOptions::refuse_readable(row, name));
    }
    let expected = found.mod_revision;
    let change = Change { key, expected, put: None, claims: Vec::new(), released: Vec::new() };
    match app.store.commit(&change).await.map_err(|error| writes::failure(row, "delete", &error))? {
        Commit::Done { .. } => {
            tracing::warn!(key = change.key, "an object that cannot be read is deleted");
            Ok(respond::status(StatusCode::OK, &Status::success(row, name, None), call.form))
        }
        Commit::Conflict { .. } | Commit::Taken { .. } => {
            Err(Status::timeout("the object was changed while it was deleted", 1))
        }
    }
}

/// Deletes one object, or begins to. Without a request that must pass admission, that is behind it.
pub(super) async fn remove(
    app: &Arc<App>,
    call: &Call,
    key: &str,
    name: &str,
    options: &DeleteOptions,
    admitted: Option<Admitted<'_>>,
) -> Result<Outcome, Status> {
    let row = &call.row;
    let writer = Writer { app, row, user: &call.user, dry_run: options.dry_run, manager: None, admitted };
    let mut current = writer.deletable(key).await?;
    for _ in 0..TRIES {
        let Some(now) = current else { return Err(Status::not_found(row, name)) };
        let deletion = match writer.with_context(|context| decide_delete(row, &now.object, options, context)) {
            Ok(Deletion::Waiting) | Err(_) if !now.live => {
                current = writer.live(key, "delete").await?;
                continue;
            }
            outcome => outcome?,
        };
        if let (Some(admitted), Deletion::Remove | Deletion::Wait(_)) = (admitted, &deletion) {
            admitted.validate(app, Operation::Delete, None, Some(&now.object)).await?;
        }
        let encoded = |object: &Object, revision: i64| -> Result<Bytes, Status> {
            let mut object = object.clone();
            object.remove(&["metadata", "resourceVersion"]);
            with_resource_version(&object.to_bytes(), revision).map_err(Status::internal)
        };
        let commit = match &deletion {
            Deletion::Waiting => return Ok(Outcome::Stays { json: encoded(&now.object, now.revision)? }),
            Deletion::Remove | Deletion::Wait(_) if options.dry_run => Commit::Done { revision: now.revision },
            Deletion::Remove => writer.delete(key, &now).await?,
            Deletion::Wait(held) => writer.put(key, Some(&now), held).await?,
        };
        match (commit, deletion) {
            (Commit::Done { revision }, Deletion::Wait(held)) => {
                return Ok(Outcome::Stays { json: encoded(&held, revision)? });
            }
            (Commit::Done { revision }, Deletion::Remove | Deletion::Waiting) => {
                return Ok(Outcome::Gone { json: encoded(&now.object, revision)?, object: now.object });
            }
            (Commit::Taken { .. }, _) => return Err(Status::internal("a deletion claimed an address")),
            (Commit::Conflict { current: found }, _) => {
                current = found.map(|kv| writes::read(row, &kv)).transpose()?;
            }
        }
    }
    Err(Status::timeout("the object is changed by too many at once", 1))
}

/// DELETE of what a list with the same parameters would show.
pub(super) async fn delete_collection(app: &Arc<App>, call: &Call) -> Result<Answer, Status> {
    let options = options(call).await?;
    let listed = ListOptions::parse(&call.row, &call.query)?;
    let found = list::select(app, call, &listed).await?;
    let prefix = call.row.key_prefix(None);
    let deleted: Vec<Bytes> = futures::stream::iter(found.objects)
        .map(|cached| {
            let options = &options;
            let admitted = Some(Admitted { call, wishes: Wishes::Delete(options) });
            let prefix = &prefix;
            async move {
                let name = cached.key.strip_prefix(prefix.as_str()).unwrap_or(&cached.key);
                let name = name.rsplit('/').next().unwrap_or(name).to_owned();
                match remove(app, call, &cached.key, &name, options, admitted).await {
                    Ok(Outcome::Gone { json, .. } | Outcome::Stays { json }) => Ok(Some(json)),
                    // Somebody else was faster.
                    Err(status) if status.code == 404 => Ok(None),
                    Err(status) => Err(status),
                }
            }
        })
        .buffered(AT_ONCE)
        .try_filter_map(|json| async move { Ok(json) })
        .try_collect()
        .await?;
    list::encoded(call, &found.metadata, &deleted)
}
