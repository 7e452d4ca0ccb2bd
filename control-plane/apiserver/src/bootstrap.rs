//! What a fresh server makes itself, and every server keeps as it should be: the system namespaces, the system's priority
//! classes, its roles, the default range of addresses, the levels and flows of requests, the rows of what it serves, what it tells others,
//! its own lease, and the `kubernetes` Service with its endpoints.
//!
//! Several servers share the Service: each keeps a record of its address alive on a lease, and the endpoints are the
//! addresses of all records.

mod identity;
mod kubernetes_service;
mod published;

use std::sync::Arc;
use std::time::Duration;

use apiserver_core::engine::{Context, Prepared, Updated, prepare_update};
use apiserver_core::kinds::{api_service, flow_control};
use apiserver_core::{Object, Resource, Status};
use backoff::Backoff;
use futures::{TryStreamExt as _, stream};
use serde_json::{Value, json};

use crate::app::App;
use crate::hooks::Hook;
use crate::store_client::StoreError;
use crate::writes::{self, Writer};

/// Namespaces every cluster has.
const NAMESPACES: [&str; 4] = ["default", "kube-system", "kube-public", "kube-node-lease"];
/// Priority classes every cluster has: of pods without which it, or one of its nodes, does not work.
const PRIORITIES: [(&str, i64, &str); 2] = [
    (
        "system-node-critical",
        2_000_001_000,
        "Used for system critical pods that must not be moved from their current node.",
    ),
    (
        "system-cluster-critical",
        2_000_000_000,
        "Used for system critical pods that must run in the cluster, but can be moved to another node if necessary.",
    ),
];
/// The range of addresses every cluster has.
const DEFAULT_RANGE: &str = "kubernetes";
/// Objects made at once: enough to share the store's flushes, few enough to leave room for others.
const AT_ONCE: usize = 16;
const FLOW_CONTROL: &str = "flowcontrol.apiserver.k8s.io";
/// How often this server shows that it is there, and everything here is looked at anew.
const RECONCILE: Duration = Duration::from_secs(10);

#[derive(Debug, thiserror::Error)]
enum BootstrapError {
    #[error("make {what}")]
    Object {
        what: String,
        #[source]
        source: Status,
    },
    #[error("keep the record of this server")]
    Record(#[from] StoreError),
}

/// Makes what is missing, then keeps the endpoints right until the task is dropped. `port` is the one listened on.
pub(crate) async fn run(app: Arc<App>, port: u16) {
    for cache in app.caches() {
        cache.ready().await;
    }
    let mut backoff = Backoff::new(Duration::from_millis(50), Duration::from_secs(5));
    loop {
        let pause = match round(&app, port).await {
            Ok(()) => {
                app.bootstrapped.send_replace(true);
                backoff.reset();
                RECONCILE
            }
            Err(BootstrapError::Record(StoreError::NoSpace(_))) => {
                // The objects are there. Whoever wants to read, or to delete what fills the store, must get in.
                tracing::warn!("the store has no space for the record of this server");
                for hook in [Hook::KubernetesService, Hook::Identity, Hook::IdentityCollector] {
                    app.hooks.done(hook);
                }
                app.bootstrapped.send_replace(true);
                RECONCILE
            }
            Err(error) => {
                tracing::warn!(error = %chain::Chain(&error), "the objects of the system are not complete");
                backoff.next_delay(rand::random())
            }
        };
        tokio::time::sleep(pause).await;
    }
}

/// Takes this server's address out of the endpoints: it is going away in good order.
pub(crate) async fn leave(app: &Arc<App>, port: u16) {
    if let Err(error) = kubernetes_service::leave(app, port).await {
        tracing::info!(error = %chain::Chain(&error), "the address of this server stays until its record expires");
    }
}

async fn round(app: &Arc<App>, port: u16) -> Result<(), BootstrapError> {
    for name in NAMESPACES {
        ensure(app, app.core_row("namespaces"), None, json!({ "metadata": { "name": name } })).await?;
    }
    app.hooks.done(Hook::Namespaces);
    if !app.hooks.is_done(Hook::Roles) {
        let made = crate::authorization::keep_roles(app).await;
        made.map_err(|source| BootstrapError::Object { what: "the roles of the system".to_owned(), source })?;
        app.hooks.done(Hook::Roles);
    }
    let priorities = app.registry.lookup("scheduling.k8s.io", "v1", "priorityclasses");
    for (name, value, description) in PRIORITIES {
        let class = json!({ "metadata": { "name": name }, "value": value, "description": description });
        ensure(app, priorities, None, class).await?;
    }
    app.hooks.done(Hook::PriorityClasses);
    default_range(app).await?;
    app.hooks.done(Hook::ServiceRange);
    futures::try_join!(system_objects(app), published::keep(app))?;
    // What follows writes each time, and comes last: a store without space refuses it, and everything else is there by then.
    kubernetes_service::keep(app, port).await?;
    app.hooks.done(Hook::KubernetesService);
    identity::keep(app).await
}

/// Makes the levels and flows of requests, and the rows of what is served: many at once, so that a fresh cluster is soon ready.
async fn system_objects(app: &Arc<App>) -> Result<(), BootstrapError> {
    let row = |group: &str, plural: &str| app.registry.lookup(group, "v1", plural);
    let objects = [
        (row(FLOW_CONTROL, "prioritylevelconfigurations"), flow_control::priority_levels()),
        (row(FLOW_CONTROL, "flowschemas"), flow_control::flow_schemas()),
        (row("apiregistration.k8s.io", "apiservices"), api_service::local(&app.registry)),
    ];
    let all = objects.into_iter().flat_map(|(row, objects)| objects.into_iter().map(move |object| Ok((row, object))));
    stream::iter(all).try_for_each_concurrent(AT_ONCE, |(row, object)| ensure(app, row, None, object)).await?;
    app.hooks.done(Hook::FlowControl);
    remove_stale_rows(app).await?;
    app.hooks.done(Hook::Registration);
    Ok(())
}

/// Removes the rows of groups and versions that an earlier release of this server made, and that are not served any more.
async fn remove_stale_rows(app: &Arc<App>) -> Result<(), BootstrapError> {
    let Some(row) = app.registry.lookup("apiregistration.k8s.io", "v1", "apiservices") else { return Ok(()) };
    let Some(cache) = app.cache(row) else { return Ok(()) };
    let prefix = row.key_prefix(None);
    let user = writes::own_user();
    let writer = Writer { app, row, user: &user, dry_run: false, manager: None, admitted: None };
    for cached in cache.snapshot().range(&prefix, &prefix) {
        let name = cached.key.strip_prefix(prefix.as_str()).unwrap_or_default();
        let stale = |row: &Object| api_service::is_stale(&app.registry, row);
        if !cached.tree().is_ok_and(|row| stale(&row)) {
            continue;
        }
        let failed = |source| BootstrapError::Object { what: format!("remove the row {name}"), source };
        if let Some(live) = writer.live(&cached.key, "get").await.map_err(failed)?
            && stale(&live.object)
        {
            tracing::info!(name, "the row of a version that is not served any more is removed");
            writer.delete(&cached.key, &live).await.map_err(failed)?;
        }
    }
    Ok(())
}

/// Makes the range of addresses the command line names, ready for use. A cluster that has gained its second family gains it here.
async fn default_range(app: &Arc<App>) -> Result<(), BootstrapError> {
    let Some(row) = app.registry.lookup("networking.k8s.io", "v1", "servicecidrs") else { return Ok(()) };
    let cidrs: Vec<String> = app.options.service_ranges.iter().map(ToString::to_string).collect();
    ensure(app, Some(row), None, json!({ "metadata": { "name": DEFAULT_RANGE }, "spec": { "cidrs": cidrs } })).await?;
    adjust(app, row, None, DEFAULT_RANGE, |old, _| {
        let had = old.list(&["spec", "cidrs"]);
        if had.len() != 1 || cidrs.len() != 2 || had[0] != *cidrs[0] {
            return None;
        }
        let mut new = old.clone();
        new.set(&["spec", "cidrs"], cidrs.clone());
        Some(new)
    })
    .await?;
    adjust_part(app, row, (None, DEFAULT_RANGE), Some("status"), |old, now| {
        // Of a range that is not the one of the command line nobody here knows whether it is ready.
        let ours =
            old.list(&["spec", "cidrs"]).iter().map(Value::as_str).eq(cidrs.iter().map(|one| Some(one.as_str())));
        if !ours || old.list(&["status", "conditions"]).iter().any(|one| one["type"] == "Ready") {
            return None;
        }
        let mut conditions = old.list(&["status", "conditions"]).to_vec();
        conditions.push(json!({
            "type": "Ready", "status": "True", "reason": "", "message": "Kubernetes default Service CIDR is ready",
            "lastTransitionTime": apiserver_core::time::seconds(now),
        }));
        let mut new = old.clone();
        new.set(&["status", "conditions"], conditions);
        Some(new)
    })
    .await
}

/// Creates an object unless the cache shows that it is there.
async fn ensure(
    app: &Arc<App>,
    row: Option<&Arc<Resource>>,
    namespace: Option<&str>,
    mut object: Value,
) -> Result<(), BootstrapError> {
    let Some(row) = row else { return Ok(()) };
    let name = object["metadata"]["name"].as_str().unwrap_or_default().to_owned();
    if app.cache(row).is_some_and(|cache| cache.get(&row.key(namespace, &name)).is_some()) {
        return Ok(());
    }
    object["apiVersion"] = row.api_version().into();
    object["kind"] = row.kind.clone().into();
    let Some(object) = Object::from_value(object) else { return Ok(()) };
    writes::ensure(app, row, namespace, object)
        .await
        .map_err(|source| BootstrapError::Object { what: format!("{} {name}", row.plural), source })
}

/// Makes an object what `edit` makes of it at a time; `None` leaves it as it is.
async fn adjust(
    app: &Arc<App>,
    row: &Arc<Resource>,
    namespace: Option<&str>,
    name: &str,
    edit: impl Fn(&Object, jiff::Timestamp) -> Option<Object>,
) -> Result<(), BootstrapError> {
    adjust_part(app, row, (namespace, name), None, edit).await
}

/// The same for a subresource.
async fn adjust_part(
    app: &Arc<App>,
    row: &Arc<Resource>,
    (namespace, name): (Option<&str>, &str),
    subresource: Option<&str>,
    edit: impl Fn(&Object, jiff::Timestamp) -> Option<Object>,
) -> Result<(), BootstrapError> {
    let user = writes::own_user();
    let writer = Writer { app, row, user: &user, dry_run: false, manager: Some(writes::OWN_MANAGER), admitted: None };
    let decide = |old: &Object, context: &Context<'_>| {
        if let Some(new) = edit(old, context.now) {
            return prepare_update(row, subresource, old, new, context);
        }
        let mut object = old.clone();
        object.remove(&["metadata", "resourceVersion"]);
        Ok(Updated::Unchanged(Prepared { object, warnings: Vec::new() }))
    };
    let absent = || Status::not_found(row, name);
    let changed = writer.change(&row.key(namespace, name), absent, decide).await;
    changed.map(|_| ()).map_err(|source| BootstrapError::Object { what: format!("{} {name}", row.plural), source })
}
