//! The state at each revision, from the changes.

use std::collections::BTreeMap;

/// A change of a key; without a value it was deleted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// When.
    pub revision: i64,
    /// Which key.
    pub key: String,
    /// What it holds since.
    pub value: Option<String>,
}

/// All changes, to be asked for the state at any revision.
#[derive(Debug, Default)]
pub(super) struct Replay<'a> {
    keys: BTreeMap<&'a str, BTreeMap<i64, &'a Change>>,
    revisions: BTreeMap<i64, &'a Change>,
}

impl<'a> Replay<'a> {
    pub(super) fn new(changes: &'a [Change]) -> Self {
        let mut replay = Self::default();
        for change in changes {
            replay.keys.entry(&change.key).or_default().insert(change.revision, change);
            replay.revisions.insert(change.revision, change);
        }
        replay
    }

    /// What happened at a revision.
    pub(super) fn at(&self, revision: i64) -> Option<&'a Change> {
        self.revisions.get(&revision).copied()
    }

    /// What a key held once this revision had happened: value, and revision of the last change.
    pub(super) fn state(&self, key: &str, revision: i64) -> Option<(&'a str, i64)> {
        let change = self.keys.get(key)?.range(..=revision).next_back()?.1;
        Some((change.value.as_deref()?, change.revision))
    }
}
