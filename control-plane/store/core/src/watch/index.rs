//! Which watchers look at a key.

use std::collections::{BTreeMap, HashMap};
use std::hash::Hash;

use bytes::Bytes;

use crate::KeyRange;
use crate::interval::End;

/// Watchers by what they look at: single keys and prefixes (nearly all there are) by hashing, other ranges one by one.
#[derive(Debug)]
pub struct Index<K> {
    singles: HashMap<Bytes, Vec<K>>,
    prefixes: HashMap<Bytes, Vec<K>>,
    /// How many prefixes of each length there are: a key is looked up once for each length.
    lengths: BTreeMap<usize, usize>,
    ranges: Vec<(KeyRange, K)>,
}

impl<K> Default for Index<K> {
    fn default() -> Self {
        Self { singles: HashMap::new(), prefixes: HashMap::new(), lengths: BTreeMap::new(), ranges: Vec::new() }
    }
}

impl<K: Copy + Eq + Hash> Index<K> {
    /// Adds a watcher.
    pub fn insert(&mut self, keys: &KeyRange, watcher: K) {
        if matches!(keys.end, End::Single) {
            self.singles.entry(keys.start.clone()).or_default().push(watcher);
        } else if let Some(prefix) = keys.prefix() {
            *self.lengths.entry(prefix.len()).or_default() += 1;
            self.prefixes.entry(prefix).or_default().push(watcher);
        } else {
            self.ranges.push((keys.clone(), watcher));
        }
    }

    /// Takes a watcher out; `keys` must be what it was added with.
    pub fn remove(&mut self, keys: &KeyRange, watcher: K) {
        if matches!(keys.end, End::Single) {
            take(&mut self.singles, &keys.start, watcher);
        } else if let Some(prefix) = keys.prefix() {
            if take(&mut self.prefixes, &prefix, watcher)
                && let Some(count) = self.lengths.get_mut(&prefix.len())
            {
                *count -= 1;
                if *count == 0 {
                    self.lengths.remove(&prefix.len());
                }
            }
        } else {
            self.ranges.retain(|(_, one)| *one != watcher);
        }
    }

    /// Visits every watcher that looks at `key`.
    pub fn each(&self, key: &[u8], mut visit: impl FnMut(K)) {
        for watcher in self.singles.get(key).into_iter().flatten() {
            visit(*watcher);
        }
        for length in self.lengths.keys() {
            let Some(prefix) = key.get(..*length) else { break };
            for watcher in self.prefixes.get(prefix).into_iter().flatten() {
                visit(*watcher);
            }
        }
        for (_, watcher) in self.ranges.iter().filter(|(keys, _)| keys.contains(key)) {
            visit(*watcher);
        }
    }
}

fn take<K: Copy + Eq>(map: &mut HashMap<Bytes, Vec<K>>, key: &Bytes, watcher: K) -> bool {
    let Some(watchers) = map.get_mut(key) else { return false };
    let Some(position) = watchers.iter().position(|one| *one == watcher) else { return false };
    watchers.swap_remove(position);
    if watchers.is_empty() {
        map.remove(key);
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    fn range(key: &'static str, end: &'static str) -> KeyRange {
        KeyRange::new(key.into(), &Bytes::from(end))
    }

    #[test]
    fn finds_exactly_those_whose_range_holds_the_key() {
        let ranges = [
            range("a", ""),
            range("/pods/", "/pods0"),
            range("\0", "\0"),
            range("b", "e"),
            range("m", "\0"),
            range("/", "0"),
        ];
        let mut index = Index::default();
        for (id, keys) in ranges.iter().enumerate() {
            index.insert(keys, id);
        }
        let check = |index: &Index<usize>, gone: Option<usize>| {
            for key in ["a", "aa", "/pods/x", "/pods", "c", "e", "m", "zz", "/", "0"] {
                let mut found = Vec::new();
                index.each(key.as_bytes(), |id| found.push(id));
                found.sort_unstable();
                let expected: Vec<_> =
                    (0..ranges.len()).filter(|id| Some(*id) != gone && ranges[*id].contains(key.as_bytes())).collect();
                assert_eq!(found, expected, "{key}");
            }
        };
        check(&index, None);
        for (gone, keys) in ranges.iter().enumerate() {
            index.remove(keys, gone);
            check(&index, Some(gone));
            index.insert(keys, gone);
        }
    }
}
