//! Empties namespaces that are being deleted, tells in their conditions how far it is, and lets them go.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use controller_manager_core::catalogue::{Catalogue, Resource};
use controller_manager_core::namespace::{self, Leftover, Pass, Task, Verdict};
use controller_manager_core::queue::{Outcome, Pace};
use controller_manager_core::selection::Name;
use controller_manager_core::uptime::Uptime;
use futures::future::BoxFuture;
use futures::stream::{self, StreamExt};
use k8s_openapi::api::core::v1::{Namespace, NamespaceStatus};
use kube::Api;
use kube::api::{DeleteParams, ListParams, PostParams};
use kube::core::Request;
use kube::core::metadata::ListMeta;
use serde::Deserialize;

use super::Context;
use crate::api_server::{ApiError, ApiServer, DEADLINE};
use crate::clock::{Clock, wall_time};
use crate::discovery;
use crate::informer::{Key, METADATA, METADATA_LIST};
use crate::worker::Failure;

pub(super) const NAME: Name = Name { full: "namespace-controller", old: "namespace", on_by_default: true };

/// Somebody else's finalizers may take long, but when they are gone the user waits for us: so never longer than this
/// between two looks.
const PACE: Pace = Pace { first: Duration::from_millis(250), last: Duration::from_secs(8) };

/// Resources of one namespace that are emptied at the same time.
const RESOURCES_AT_ONCE: usize = 4;

/// Objects of one resource that are deleted at the same time where the server cannot delete all at once.
const OBJECTS_AT_ONCE: usize = 8;

/// Deleting a whole collection may take the server long.
const COLLECTION_DEADLINE: Duration = Duration::from_mins(2);

/// Objects per page of a list.
const PAGE: u32 = 500;

pub(super) fn start(context: &Context) -> BoxFuture<'static, ()> {
    let worker = context.worker::<String>(NAME, PACE);
    let cleaner = Arc::new(Cleaner { api: context.api(), clock: context.clock(), first_seen: Mutex::default() });
    let namespaces = context.namespaces();
    let (queue, watching) = (worker.clone(), Arc::clone(&cleaner));
    namespaces.on_change(move |key, state| match state {
        Some(state) if !state.active => {
            watching.note(&key.name, &state.uid);
            queue.add(key.name.clone());
        }
        Some(_) => {}
        None => watching.forget(&key.name),
    });
    let concurrency = context.surroundings.concurrent_namespaces;
    Box::pin(async move {
        namespaces.complete().await;
        let reconcile = |name: String| {
            let cleaner = Arc::clone(&cleaner);
            let known = namespaces.get(&Key::new("", &name)).is_some();
            async move { if known { cleaner.reconcile(&name).await } else { Ok(Outcome::Done) } }
        };
        worker.run(concurrency, reconcile).await;
    })
}

struct Cleaner {
    api: ApiServer,
    clock: Clock,
    /// By name: the uid of a namespace that is being deleted, and since when we know.
    first_seen: Mutex<HashMap<String, (String, Uptime)>>,
}

/// What the verdict of a failed pass says.
#[derive(Debug, thiserror::Error)]
#[error("the namespace cannot be emptied: {0}")]
struct PassFailed(String);

impl Cleaner {
    /// Returns since when the namespace is known to be on its way out.
    fn note(&self, name: &str, uid: &str) -> Uptime {
        let mut first_seen = self.first_seen.lock().unwrap_or_else(PoisonError::into_inner);
        let entry = first_seen.entry(name.to_owned()).or_insert_with(|| (uid.to_owned(), self.clock.now()));
        if entry.0 != uid {
            // Another one of the same name.
            *entry = (uid.to_owned(), self.clock.now());
        }
        entry.1
    }

    fn forget(&self, name: &str) {
        self.first_seen.lock().unwrap_or_else(PoisonError::into_inner).remove(name);
    }

    /// One step towards the end of the namespace.
    async fn reconcile(&self, name: &str) -> Result<Outcome, Failure> {
        let namespaces: Api<Namespace> = Api::all(self.api.client());
        let parameters = PostParams::default();
        let Some(mut namespace) = self.api.within(namespaces.get_opt(name)).await? else {
            return Ok(Outcome::Done);
        };
        match namespace::task(&namespace) {
            Task::Leave => return Ok(Outcome::Done),
            Task::MarkTerminating => {
                namespace.status.get_or_insert_with(NamespaceStatus::default).phase = Some("Terminating".to_owned());
                namespace = self.api.within(namespaces.replace_status(name, &parameters, &namespace)).await?;
            }
            Task::Empty => {}
        }
        let first_seen = self.note(name, namespace.metadata.uid.as_deref().unwrap_or_default());
        let began = self.clock.now();
        let pass = match discovery::catalogue(&self.api).await {
            Ok(catalogue) => self.pass(&catalogue, name).await,
            Err(error) => Pass::without_discovery(chain::Chain(&error).to_string()),
        };
        let previous = namespace.status.as_ref().and_then(|status| status.conditions.as_deref()).unwrap_or_default();
        if let Some(conditions) = pass.conditions(previous, &wall_time()) {
            namespace.status.get_or_insert_with(NamespaceStatus::default).conditions = Some(conditions);
            namespace = self.api.within(namespaces.replace_status(name, &parameters, &namespace)).await?;
        }
        match pass.verdict(first_seen, began) {
            Verdict::Release => {
                let released = namespace::released(namespace);
                let write = namespaces.replace_subresource("finalize", name, &parameters, &released);
                match self.api.within(write).await {
                    Ok(_) => tracing::info!(namespace = name, "emptied and released"),
                    Err(error) if error.is_not_found() => {}
                    Err(error) => return Err(error.into()),
                }
                Ok(Outcome::Done)
            }
            Verdict::LookAgain(delay) => Ok(Outcome::Again(delay)),
            Verdict::Left => Ok(Outcome::Retry),
            Verdict::Failed(reason) => Err(Box::new(PassFailed(reason))),
        }
    }

    /// Deletes what is there, stage by stage, and counts what is left.
    async fn pass(&self, catalogue: &Catalogue, namespace: &str) -> Pass {
        let mut pass = Pass::new(catalogue);
        for stage in namespace::stages(catalogue) {
            let results: Vec<_> = stream::iter(stage.into_iter().cloned())
                .map(|resource| async move {
                    let result = self.empty(&resource, namespace).await;
                    (resource, result)
                })
                .buffer_unordered(RESOURCES_AT_ONCE)
                .collect()
                .await;
            for (resource, result) in results {
                match result {
                    Ok(leftover) => pass.found(&resource, &leftover),
                    Err(error) => pass.failed(&resource, &chain::Chain(&error).to_string()),
                }
            }
            if !pass.stage_is_clear() {
                break;
            }
        }
        pass
    }

    /// Deletes all objects of one resource and counts those that are still there.
    async fn empty(&self, resource: &Resource, namespace: &str) -> Result<Leftover, ApiError> {
        let path = resource.path_in(namespace);
        if !resource.can("list") {
            // Nothing can be counted: ask for the deletion and trust the answer.
            if resource.can("deletecollection") {
                self.delete_collection(&path).await?;
            }
            return Ok(Leftover::default());
        }
        let Some(found) = self.list(&path).await? else { return Ok(Leftover::default()) };
        if found.undeleted.is_empty() {
            // Nothing is there, or all of it was asked to go already.
            return Ok(found.leftover);
        }
        if !resource.can("deletecollection") || !self.delete_collection(&path).await? {
            self.delete_each(&path, found.undeleted).await?;
        }
        Ok(self.list(&path).await?.map(|found| found.leftover).unwrap_or_default())
    }

    /// Returns `false` when the server cannot do that, whatever it says in its discovery.
    async fn delete_collection(&self, path: &str) -> Result<bool, ApiError> {
        let request = Request::new(path)
            .delete_collection(&DeleteParams::background(), &ListParams::default())
            .map_err(ApiError::Build)?;
        match self.api.tell(request, METADATA_LIST, COLLECTION_DEADLINE).await {
            Ok(()) => Ok(true),
            Err(error) if matches!(error.code(), Some(404 | 405)) => Ok(false),
            Err(error) => Err(error),
        }
    }

    async fn delete_each(&self, path: &str, names: Vec<String>) -> Result<(), ApiError> {
        let results: Vec<_> = stream::iter(names)
            .map(|name| async move {
                let request = Request::new(path).delete(&name, &DeleteParams::background()).map_err(ApiError::Build)?;
                match self.api.tell(request, METADATA, DEADLINE).await {
                    Err(error) if !matches!(error.code(), Some(404 | 405)) => Err(error),
                    Ok(()) | Err(_) => Ok(()),
                }
            })
            .buffer_unordered(OBJECTS_AT_ONCE)
            .collect()
            .await;
        results.into_iter().collect()
    }

    /// `None` when the resource does not exist (any more).
    async fn list(&self, path: &str) -> Result<Option<Found>, ApiError> {
        let mut found = Found::default();
        let mut parameters = ListParams::default().limit(PAGE);
        loop {
            let request = Request::new(path).list(&parameters).map_err(ApiError::Build)?;
            let page: Page = match self.api.call(request, METADATA_LIST).await {
                Ok(page) => page,
                Err(error) if matches!(error.code(), Some(404 | 405)) => return Ok(None),
                Err(error) => return Err(error),
            };
            for item in page.items {
                found.leftover.count(&item.metadata.finalizers);
                if item.metadata.deletion_timestamp.is_none() {
                    found.undeleted.push(item.metadata.name);
                }
            }
            match page.metadata.continue_.filter(|token| !token.is_empty()) {
                Some(token) => parameters.continue_token = Some(token),
                None => return Ok(Some(found)),
            }
        }
    }
}

#[derive(Default)]
struct Found {
    leftover: Leftover,
    /// Names of objects that nobody asked to go yet.
    undeleted: Vec<String>,
}

#[derive(Deserialize)]
struct Page {
    #[serde(default)]
    metadata: ListMeta,
    #[serde(default)]
    items: Vec<Item>,
}

#[derive(Deserialize)]
struct Item {
    metadata: ItemMeta,
}

/// The little that matters of an object.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ItemMeta {
    name: String,
    #[serde(default)]
    finalizers: Vec<String>,
    deletion_timestamp: Option<String>,
}
