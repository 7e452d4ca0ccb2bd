//! A watch of a client library.

use std::pin::Pin;

use futures::{Stream, StreamExt as _};
use kube::Api;
use kube::api::{DynamicObject, ListParams, WatchEvent, WatchParams};
use serde_json::Value;

use super::PATIENCE;
use super::kind::untyped;

type Events = Pin<Box<dyn Stream<Item = kube::Result<WatchEvent<DynamicObject>>> + Send>>;

/// What happens to selected objects, one after the other. Versions must grow.
pub struct Changes {
    events: Events,
    version: u64,
}

impl Changes {
    pub(super) async fn open(api: &Api<DynamicObject>, selected: &ListParams, version: &str) -> Self {
        let params = WatchParams { label_selector: selected.label_selector.clone(), ..WatchParams::default() };
        let events = api.watch(&params, version).await.expect("a watch");
        Self { events: Box::pin(events), version: version.parse().expect("a version is a number") }
    }

    /// The next change: its type and its object.
    pub async fn next(&mut self) -> (&'static str, Value) {
        loop {
            let next = tokio::time::timeout(PATIENCE, self.events.next()).await.expect("waited in vain for a change");
            let (kind, object) = match next.expect("the watch goes on").expect("the watch is well") {
                WatchEvent::Added(object) => ("ADDED", object),
                WatchEvent::Modified(object) => ("MODIFIED", object),
                WatchEvent::Deleted(object) => ("DELETED", object),
                WatchEvent::Bookmark(_) => continue,
                WatchEvent::Error(problem) => panic!("the watch ended: {problem:?}"),
            };
            let object = untyped(&object);
            let version = object["metadata"]["resourceVersion"].as_str().and_then(|version| version.parse().ok());
            let version: u64 = version.expect("a version is a number");
            assert!(version > self.version, "{version} comes after {}", self.version);
            self.version = version;
            return (kind, object);
        }
    }

    /// The next change, which must be this one.
    pub async fn expect(&mut self, kind: &str, name: &str) -> Value {
        let (found, object) = self.next().await;
        assert_eq!((found, object["metadata"]["name"].as_str()), (kind, Some(name)), "{object}");
        object
    }

    /// The first change of this kind to this object that looks so; what is before it is skipped, as clients do who are not alone.
    pub async fn until(&mut self, kind: &str, name: &str, looks: impl Fn(&Value) -> bool) -> Value {
        loop {
            let (found, object) = self.next().await;
            if found == kind && object["metadata"]["name"] == name && looks(&object) {
                return object;
            }
        }
    }
}
