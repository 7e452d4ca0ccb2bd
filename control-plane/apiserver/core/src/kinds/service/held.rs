//! What is held and by whom, from news that may come twice and late.

use std::collections::{BTreeMap, VecDeque};

/// Releases that are remembered. News of a holder older than this many others are old enough to have arrived.
const RELEASES: usize = 1024;

/// Things that Services hold: addresses, or ports.
#[derive(Debug, Clone)]
pub(super) struct Held<K> {
    /// Uid of the holder; empty when only the fact is known.
    holders: BTreeMap<K, String>,
    /// What was released, and the version of the holder that let go.
    released: VecDeque<(K, u64)>,
}

impl<K: Ord + Clone> Held<K> {
    pub(super) fn new() -> Self {
        Self { holders: BTreeMap::new(), released: VecDeque::new() }
    }

    pub(super) fn contains(&self, key: &K) -> bool {
        self.holders.contains_key(key)
    }

    pub(super) fn keys(&self) -> impl Iterator<Item = &K> {
        self.holders.keys()
    }

    /// Somebody holds this. News with a version are ignored when the same or a newer one is known to have let go.
    pub(super) fn take(&mut self, key: K, uid: &str, version: Option<u64>) {
        let stale =
            version.is_some_and(|version| self.released.iter().any(|(one, last)| *one == key && *last >= version));
        if !stale {
            self.holders.insert(key, uid.to_owned());
        }
    }

    /// A holder, at this its last version, holds this no more. Ignored when another one holds it by now.
    pub(super) fn release(&mut self, key: &K, uid: &str, version: Option<u64>) {
        self.remember(key, version);
        if self.holders.get(key).is_some_and(|holder| holder.is_empty() || uid.is_empty() || holder == uid) {
            self.holders.remove(key);
        }
    }

    /// Nobody holds this: the server let go of it itself.
    pub(super) fn free(&mut self, key: &K, version: Option<u64>) {
        self.remember(key, version);
        self.holders.remove(key);
    }

    fn remember(&mut self, key: &K, version: Option<u64>) {
        if let Some(version) = version {
            self.released.push_back((key.clone(), version));
            if self.released.len() > RELEASES {
                self.released.pop_front();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn late_news_of_a_release_does_not_take_from_the_next_holder() {
        let mut held = Held::new();
        held.take(1, "a", None);
        held.free(&1, Some(5));
        held.take(1, "b", None);
        held.release(&1, "a", Some(5));
        assert!(held.contains(&1));
        held.release(&1, "b", Some(9));
        assert!(!held.contains(&1));
    }

    #[test]
    fn late_news_of_a_holder_that_let_go_is_no_news() {
        let mut held = Held::new();
        held.take(1, "a", None);
        held.free(&1, Some(5));
        held.take(1, "a", Some(5));
        assert!(!held.contains(&1));
        held.take(1, "a", Some(6));
        assert!(held.contains(&1));
    }

    #[test]
    fn the_same_news_twice_is_the_news_once() {
        let mut held = Held::new();
        held.take(1, "a", Some(5));
        held.take(1, "a", Some(5));
        held.release(&1, "a", Some(5));
        assert!(!held.contains(&1));
    }

    #[test]
    fn a_holder_without_a_name_lets_go_for_anyone() {
        let mut held = Held::new();
        held.take(1, "", None);
        held.release(&1, "b", Some(5));
        assert!(!held.contains(&1));
    }
}
