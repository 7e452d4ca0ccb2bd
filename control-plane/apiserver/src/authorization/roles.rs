//! The roles and bindings every cluster has: made where they are missing, and brought up to date at the start.

use std::sync::Arc;

use apiserver_core::engine::{Context, Prepared, Updated, prepare_update};
use apiserver_core::status::Reason;
use apiserver_core::{Object, Resource, Status};
use authorization::bootstrap::{Wanted, is_of_another_role, policy, reconciled};
use futures::{TryStreamExt as _, stream};

use crate::app::App;
use crate::writes::{self, Writer};

/// Objects made at once: enough to share the store's flushes, few enough to leave room for others.
const AT_ONCE: usize = 16;
/// Who owns their fields.
const MANAGER: &str = "kube-apiserver";

/// Makes all as they should be. Roles come before the bindings that name them.
pub(crate) async fn keep(app: &Arc<App>) -> Result<(), Status> {
    let (bindings, roles): (Vec<_>, Vec<_>) =
        policy().objects.into_iter().partition(|wanted| wanted.plural.ends_with("bindings"));
    for objects in [roles, bindings] {
        let all = stream::iter(objects.into_iter().map(Ok));
        all.try_for_each_concurrent(AT_ONCE, |wanted| one(app, wanted)).await?;
    }
    // Whoever finds the server ready is judged by them.
    app.authorization.reach_own_writes().await
}

async fn one(app: &Arc<App>, wanted: Wanted) -> Result<(), Status> {
    let Wanted { plural, namespace, mut object } = wanted;
    let Some(row) = app.registry.lookup(authorization::GROUP, "v1", plural) else { return Ok(()) };
    let namespace = Some(namespace.as_str()).filter(|namespace| !namespace.is_empty());
    let name = object.name().unwrap_or_default().to_owned();
    let key = row.key(namespace, &name);
    let cached = app.cache(row).and_then(|cache| cache.get(&key)).and_then(|cached| cached.tree().ok());
    if let Some(existing) = cached {
        if !is_of_another_role(&existing, &object) {
            let right = reconciled(&existing, &object).is_none();
            return if right { Ok(()) } else { update(app, row, &key, &name, &object).await };
        }
        remove(app, row, &key, &object).await?;
    }
    object.set(&["apiVersion"], row.api_version());
    object.set(&["kind"], row.kind.clone());
    let user = writes::own_user();
    let writer = Writer { app, row, user: &user, dry_run: false, manager: Some(MANAGER), admitted: None };
    match writer.create(namespace, None, object.clone()).await {
        Ok(_) => Ok(()),
        // Another server was faster; it may be an older one.
        Err(status) if status.reason == Reason::AlreadyExists => update(app, row, &key, &name, &object).await,
        Err(status) => Err(status),
    }
}

/// Removes a binding that is of another role than the one wanted.
async fn remove(app: &Arc<App>, row: &Resource, key: &str, wanted: &Object) -> Result<(), Status> {
    let user = writes::own_user();
    let writer = Writer { app, row, user: &user, dry_run: false, manager: None, admitted: None };
    match writer.live(key, "delete").await? {
        Some(live) if is_of_another_role(&live.object, wanted) => writer.delete(key, &live).await.map(drop),
        Some(_) | None => Ok(()),
    }
}

async fn update(app: &Arc<App>, row: &Resource, key: &str, name: &str, wanted: &Object) -> Result<(), Status> {
    let user = writes::own_user();
    let writer = Writer { app, row, user: &user, dry_run: false, manager: Some(MANAGER), admitted: None };
    let decide = |old: &Object, context: &Context<'_>| {
        if let Some(new) = reconciled(old, wanted) {
            tracing::info!(resource = %row.plural, name, "an object of the system is brought up to date");
            return prepare_update(row, None, old, new, context);
        }
        let mut object = old.clone();
        object.remove(&["metadata", "resourceVersion"]);
        Ok(Updated::Unchanged(Prepared { object, warnings: Vec::new() }))
    };
    writer.change(key, || Status::not_found(row, name), decide).await.map(drop)
}
