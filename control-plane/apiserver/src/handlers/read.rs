//! GET of one object.

use std::sync::Arc;

use apiserver_core::Status;
use apiserver_core::options::GetOptions;
use http::StatusCode;

use super::{cached_object, object};
use crate::app::App;
use crate::cache::{served, with_resource_version};
use crate::call::Call;
use crate::http::respond::Answer;
use crate::writes;

/// Answers with the object: the store's word when no version is asked for, the cache's when any or a known one will do.
pub(super) async fn get(app: &Arc<App>, call: &Call) -> Result<Answer, Status> {
    let row = &call.row;
    let options = GetOptions::parse(&call.query)?;
    let key = call.key();
    let absent = || Status::not_found(row, &call.target.name);
    let cached = match (options.resource_version, app.cache(row)) {
        (Some(asked), Some(cache)) => {
            cache.ready().await;
            let asked = i64::try_from(asked).unwrap_or(i64::MAX);
            if asked > cache.revision() && cache.tells_progress() {
                cache
                    .reach(asked)
                    .await
                    .map_err(|behind| Status::too_large_resource_version(asked as u64, behind.current as u64, 1))?;
            }
            // What the cache could not read is not absent: the store's word tells.
            (asked <= cache.revision() && cache.unreadable(&key) == 0).then(|| cache.get(&key))
        }
        (None, _) | (_, None) => None,
    };
    if let Some(found) = cached {
        return cached_object(call, found.as_deref().ok_or_else(absent)?);
    }
    let (kv, revision) = app.store.get(&key).await.map_err(|error| writes::failure(row, "get", &error))?;
    if let Some(asked) = options.resource_version
        && i64::try_from(asked).map_or(true, |asked| asked > revision)
    {
        return Err(Status::too_large_resource_version(asked, revision as u64, 1));
    }
    let kv = kv.ok_or_else(absent)?;
    // The cache has the same, most of the time, and encoded in more ways than one.
    let cached = app.cache(row).and_then(|cache| cache.get(&key)).filter(|cached| cached.revision == kv.mod_revision);
    if let Some(cached) = cached {
        return cached_object(call, &cached);
    }
    let json = with_resource_version(&kv.value, kv.mod_revision).map_err(|error| {
        tracing::error!(%key, error = %chain::Chain(&error), "a stored object cannot be read");
        Status::internal("unable to decode the stored object")
    })?;
    object(call, StatusCode::OK, served(row, json).map_err(Status::internal)?)
}
