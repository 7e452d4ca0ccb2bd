//! A picture of the objects of one kind, kept up to date by a list and a watch, and shared by several controllers.
//!
//! Only what `project` takes from an object is kept, so that a picture of ten thousand namespaces costs little. The
//! list-and-watch loop is our own: kube's asks again for ever from a revision that the server refused with HTTP 410,
//! and reconnects without a pause when the server closes a watch at once.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use chain::Chain;
use controller_manager_core::trouble::Trouble;
use controller_manager_core::watching::{Ended, Next, Recovery};
use kube::Resource;
use kube::api::{ListParams, WatchParams};
use kube::core::metadata::ListMeta;
use kube::core::{Request, WatchEvent};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use tokio::sync::watch;

use crate::api_server::{ApiError, ApiServer};
use crate::clock::{Clock, jitter};

/// How long a watch is asked for. The server may end it sooner; a dead connection is noticed soon after.
const WATCH: Duration = Duration::from_mins(5);

/// Objects per page of a list. Larger pages take more memory at once, smaller ones more requests.
const PAGE: u32 = 500;

/// Delays between tries to get a broken watch going again.
const FIRST_DELAY: Duration = Duration::from_millis(200);
const LAST_DELAY: Duration = Duration::from_secs(10);

/// Media types: metadata alone where the server can, the whole object where it cannot.
pub(crate) const JSON: &str = "application/json";
pub(crate) const METADATA: &str = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1,application/json";
pub(crate) const METADATA_LIST: &str =
    "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1,application/json";

/// The name of an object; the namespace of a cluster-wide one is empty.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Key {
    pub(crate) namespace: String,
    pub(crate) name: String,
}

impl Key {
    pub(crate) fn new(namespace: &str, name: &str) -> Self {
        Self { namespace: namespace.to_owned(), name: name.to_owned() }
    }

    fn of<T: Resource>(object: &T) -> Self {
        let meta = object.meta();
        Self::new(meta.namespace.as_deref().unwrap_or_default(), meta.name.as_deref().unwrap_or_default())
    }
}

type Handler<V> = Box<dyn Fn(&Key, Option<&V>) + Send + Sync>;

/// The picture. `V` is what is kept of each object.
pub(crate) struct Informer<V> {
    objects: RwLock<HashMap<Key, V>>,
    handlers: RwLock<Vec<Handler<V>>>,
    complete: watch::Sender<bool>,
}

impl<V: Clone + PartialEq + Send + Sync + 'static> Informer<V> {
    /// An empty picture; [`keep_up`] fills it.
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self { objects: RwLock::default(), handlers: RwLock::default(), complete: watch::Sender::new(false) })
    }

    /// What is known of an object.
    pub(crate) fn get(&self, key: &Key) -> Option<V> {
        self.objects.read().unwrap_or_else(PoisonError::into_inner).get(key).cloned()
    }

    /// All objects known now.
    pub(crate) fn keys(&self) -> Vec<Key> {
        self.objects.read().unwrap_or_else(PoisonError::into_inner).keys().cloned().collect()
    }

    /// Calls `handler` for every object known now, and from now on for every one that appears, changes (as far as `V`
    /// shows) or vanishes (`None`). A change may be told twice, none is left out. Handlers must not block.
    pub(crate) fn on_change(&self, handler: impl Fn(&Key, Option<&V>) + Send + Sync + 'static) {
        let handler: Handler<V> = Box::new(handler);
        // The handlers' lock is held throughout, so that no change is told before the objects of now.
        let mut handlers = self.handlers.write().unwrap_or_else(PoisonError::into_inner);
        for (key, value) in self.objects.read().unwrap_or_else(PoisonError::into_inner).iter() {
            handler(key, Some(value));
        }
        handlers.push(handler);
    }

    /// Waits until the first list is complete.
    pub(crate) async fn complete(&self) {
        // The sender is a field of self, so it cannot be gone.
        let _ = self.complete.subscribe().wait_for(|complete| *complete).await;
    }

    fn set(&self, key: &Key, value: Option<&V>) {
        let changed = {
            let mut objects = self.objects.write().unwrap_or_else(PoisonError::into_inner);
            match value {
                Some(value) => objects.insert(key.clone(), value.clone()).as_ref() != Some(value),
                None => objects.remove(key).is_some(),
            }
        };
        if changed {
            for handler in self.handlers.read().unwrap_or_else(PoisonError::into_inner).iter() {
                handler(key, value);
            }
        }
    }

    /// The complete picture is this: tells of all that differs from the former one.
    fn replace(&self, listed: HashMap<Key, V>) {
        for gone in self.keys().into_iter().filter(|key| !listed.contains_key(key)) {
            self.set(&gone, None);
        }
        for (key, value) in listed {
            self.set(&key, Some(&value));
        }
        self.complete.send_replace(true);
    }
}

#[derive(Deserialize)]
struct Page<T> {
    #[serde(default)]
    metadata: ListMeta,
    #[serde(default = "Vec::new")]
    items: Vec<T>,
}

/// Keeps the picture up to date for ever, through outages of the API server.
///
/// `fields` selects the objects (empty: all). When `T` is a `PartialObjectMeta`, only metadata is asked for.
pub(crate) async fn keep_up<T, V>(
    api: ApiServer,
    clock: Clock,
    fields: &'static str,
    informer: Arc<Informer<V>>,
    project: impl Fn(&T) -> V + Send,
) where
    T: Resource<DynamicType = ()> + DeserializeOwned + Send,
    V: Clone + PartialEq + Send + Sync + 'static,
{
    let what = T::plural(&()).into_owned();
    let mut recovery = Recovery::new(FIRST_DELAY, LAST_DELAY);
    let mut trouble = Trouble::default();
    let mut revision: Option<String> = None;
    loop {
        let began = clock.now();
        let live = |trouble: &mut Trouble| {
            if let Some(lasted) = trouble.worked(clock.now()) {
                tracing::info!(what, ?lasted, "the watch works again");
            }
        };
        let result = async {
            let from = match revision.take() {
                Some(revision) => revision,
                None => list(&api, fields, &informer, &project).await?,
            };
            let from = revision.insert(from);
            let parameters = WatchParams {
                field_selector: (!fields.is_empty()).then(|| fields.to_owned()),
                timeout: u32::try_from(WATCH.as_secs()).ok(),
                ..WatchParams::default()
            };
            let request = Request::new(T::url_path(&(), None)).watch(&parameters, from).map_err(ApiError::Build)?;
            let accept = if T::metadata_api() { METADATA } else { JSON };
            let mut events = api.watch(request, accept).await?;
            live(&mut trouble);
            while let Some(event) = events.next::<T>(WATCH + Duration::from_secs(15)).await? {
                let seen = match event {
                    WatchEvent::Added(object) | WatchEvent::Modified(object) => {
                        informer.set(&Key::of(&object), Some(&project(&object)));
                        object.meta().resource_version.clone()
                    }
                    WatchEvent::Deleted(object) => {
                        informer.set(&Key::of(&object), None);
                        object.meta().resource_version.clone()
                    }
                    WatchEvent::Bookmark(bookmark) => Some(bookmark.metadata.resource_version),
                    WatchEvent::Error(status) => return Err(ApiError::Refused(status)),
                };
                if let Some(seen) = seen.filter(|seen| !seen.is_empty()) {
                    *from = seen;
                }
            }
            Ok(())
        }
        .await;
        let ended = match &result {
            Ok(()) => Ended::Closed,
            Err(ApiError::Refused(status)) => Ended::Refused {
                code: status.code,
                revision_is_ahead: result.as_ref().is_err_and(ApiError::is_revision_ahead),
            },
            Err(ApiError::Transport(_) | ApiError::TimedOut(_)) => Ended::Broken,
            Err(ApiError::TooLarge | ApiError::Decode(_) | ApiError::Build(_)) => Ended::Garbled,
        };
        let (next, delay) = recovery.after(&ended, clock.now().since(began), jitter());
        if let Err(error) = &result
            && trouble.failed(clock.now())
        {
            tracing::warn!(what, error = %Chain(error), "the watch broke; trying again");
        }
        if next == Next::List {
            revision = None;
        }
        tokio::time::sleep(delay).await;
    }
}

/// Lists everything in pages and returns the revision to watch from.
async fn list<T, V>(
    api: &ApiServer,
    fields: &str,
    informer: &Informer<V>,
    project: &(impl Fn(&T) -> V + Send),
) -> Result<String, ApiError>
where
    T: Resource<DynamicType = ()> + DeserializeOwned + Send,
    V: Clone + PartialEq + Send + Sync + 'static,
{
    let accept = if T::metadata_api() { METADATA_LIST } else { JSON };
    let mut listed = HashMap::new();
    let mut parameters = ListParams::default().limit(PAGE);
    if !fields.is_empty() {
        parameters = parameters.fields(fields);
    }
    loop {
        let request = Request::new(T::url_path(&(), None)).list(&parameters).map_err(ApiError::Build)?;
        let page: Page<T> = api.call(request, accept).await?;
        listed.extend(page.items.iter().map(|object| (Key::of(object), project(object))));
        let Some(token) = page.metadata.continue_.filter(|token| !token.is_empty()) else {
            informer.replace(listed);
            return Ok(page.metadata.resource_version.unwrap_or_default());
        };
        parameters.continue_token = Some(token);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;

    fn key(name: &str) -> Key {
        Key::new("", name)
    }

    type Told = Arc<Mutex<Vec<(String, Option<u32>)>>>;

    fn followed(informer: &Informer<u32>) -> Told {
        let told = Told::default();
        let log = Arc::clone(&told);
        informer.on_change(move |key, value| log.lock().unwrap().push((key.name.clone(), value.copied())));
        told
    }

    #[test]
    fn handlers_hear_of_what_is_there_and_of_real_changes_only() {
        let informer = Informer::new();
        informer.set(&key("a"), Some(&1));
        let told = followed(&informer);
        informer.set(&key("a"), Some(&1));
        informer.set(&key("a"), Some(&2));
        informer.set(&key("b"), None);
        informer.set(&key("a"), None);
        let expected = [("a", Some(1)), ("a", Some(2)), ("a", None)].map(|(name, value)| (name.to_owned(), value));
        assert_eq!(*told.lock().unwrap(), expected);
    }

    #[tokio::test]
    async fn a_new_list_tells_what_was_missed() {
        let informer = Informer::new();
        informer.replace(HashMap::from([(key("gone"), 1), (key("same"), 1), (key("new"), 1)]));
        informer.complete().await;
        let told = followed(&informer);
        told.lock().unwrap().clear();
        informer.replace(HashMap::from([(key("same"), 1), (key("new"), 2)]));
        let expected = [("gone", None), ("new", Some(2))].map(|(name, value)| (name.to_owned(), value));
        assert_eq!(*told.lock().unwrap(), expected);
        assert_eq!(informer.get(&key("gone")), None);
    }
}
