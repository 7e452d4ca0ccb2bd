//! What is held and by whom, from news that may come twice and late.

use std::collections::{BTreeMap, VecDeque};

use crate::object::Object;

/// Releases that are remembered. News of a Service older than this many others are old enough to have arrived.
const RELEASES: usize = 1024;

/// Things that Services hold: addresses, or ports.
#[derive(Debug, Clone)]
pub(super) struct Held<K> {
    /// Uid of the holder; empty when only the fact is known.
    holders: BTreeMap<K, String>,
    /// What was released, and the version of the Service that held it last.
    released: VecDeque<(K, u64)>,
}

impl<K: Ord + Clone> Held<K> {
    pub(super) fn new() -> Self {
        Self { holders: BTreeMap::new(), released: VecDeque::new() }
    }

    pub(super) fn contains(&self, key: &K) -> bool {
        self.holders.contains_key(key)
    }

    /// A Service holds this. Ignored when the same or a newer version of it is known to have let go.
    pub(super) fn take(&mut self, key: K, service: &Object) {
        let stale = version(service)
            .is_some_and(|version| self.released.iter().any(|(one, last)| *one == key && *last >= version));
        if !stale {
            self.holders.insert(key, service.uid().unwrap_or_default().to_owned());
        }
    }

    /// A Service, at this its last version, holds this no more. Ignored when another one holds it by now.
    pub(super) fn release(&mut self, key: &K, service: &Object) {
        if let Some(version) = version(service) {
            self.released.push_back((key.clone(), version));
            if self.released.len() > RELEASES {
                self.released.pop_front();
            }
        }
        let uid = service.uid().unwrap_or_default();
        if self.holders.get(key).is_some_and(|holder| holder.is_empty() || uid.is_empty() || holder == uid) {
            self.holders.remove(key);
        }
    }
}

fn version(service: &Object) -> Option<u64> {
    service.resource_version()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn service(uid: &str, version: Option<&str>) -> Object {
        let mut object = Object::new("v1", "Service");
        object.set(&["metadata", "uid"], uid);
        if let Some(version) = version {
            object.set(&["metadata", "resourceVersion"], json!(version));
        }
        object
    }

    #[test]
    fn late_news_of_a_release_does_not_take_from_the_next_holder() {
        let mut held = Held::new();
        held.take(1, &service("a", None));
        held.release(&1, &service("a", Some("5")));
        held.take(1, &service("b", None));
        held.release(&1, &service("a", Some("5")));
        assert!(held.contains(&1));
        held.release(&1, &service("b", Some("9")));
        assert!(!held.contains(&1));
    }

    #[test]
    fn late_news_of_a_holder_that_let_go_is_no_news() {
        let mut held = Held::new();
        held.take(1, &service("a", None));
        held.release(&1, &service("a", Some("5")));
        held.take(1, &service("a", Some("5")));
        assert!(!held.contains(&1));
        held.take(1, &service("a", Some("6")));
        assert!(held.contains(&1));
    }

    #[test]
    fn the_same_news_twice_is_the_news_once() {
        let mut held = Held::new();
        held.take(1, &service("a", Some("5")));
        held.take(1, &service("a", Some("5")));
        held.release(&1, &service("a", Some("5")));
        assert!(!held.contains(&1));
    }

    #[test]
    fn a_holder_without_a_name_lets_go_for_anyone() {
        let mut held = Held::new();
        held.take(1, &service("", None));
        held.release(&1, &service("b", Some("5")));
        assert!(!held.contains(&1));
    }
}
