//! What a store was told and has acknowledged, and whether it still knows.

use std::collections::{BTreeMap, BTreeSet};

use proto::etcdserverpb::{HashKvRequest, HashKvResponse, LeaseLeasesRequest, WatchCreateRequest};
use proto::mvccpb::event::EventType;

use crate::client::{Client, range_of_prefix};

/// The changes of one revision: keys, each with its value or none.
pub type Changes = BTreeMap<String, Option<String>>;

/// Everything that must be there. History that was seen once must stay as it was, acknowledged or not.
#[derive(Debug, Default)]
pub struct Kept {
    changes: BTreeMap<i64, Changes>,
    leases: BTreeSet<i64>,
    revision: i64,
    compacted: i64,
    hash: Option<HashKvResponse>,
}

impl Kept {
    /// A write was acknowledged.
    pub fn written(&mut self, revision: i64, changes: Changes) {
        self.revision = self.revision.max(revision);
        self.changes.insert(revision, changes);
    }

    /// A lease was granted.
    pub fn granted(&mut self, id: i64) {
        self.leases.insert(id);
    }

    /// A compaction was acknowledged.
    pub fn compacted(&mut self, revision: i64) {
        self.compacted = self.compacted.max(revision);
    }

    /// A hash of the history was told. etcd 3.5 does not say of which revision, and its hashes are not looked at.
    pub fn hashed(&mut self, hash: HashKvResponse) {
        if hash.hash_revision > 0 {
            self.hash = Some(hash);
        }
    }

    /// The newest revision that was acknowledged.
    pub fn revision(&self) -> i64 {
        self.revision
    }

    /// How many revisions are known.
    pub fn len(&self) -> usize {
        self.changes.len()
    }

    /// Whether nothing is known.
    pub fn is_empty(&self) -> bool {
        self.changes.is_empty()
    }

    /// Asks the store for everything. Also learns what was written without being acknowledged.
    pub async fn check(&mut self, client: &mut Client) -> Result<(), String> {
        let now = client.maintenance.hash_kv(HashKvRequest { revision: 0 }).await.map_err(|error| error.to_string())?;
        let now = now.into_inner();
        let revision = now.header.as_ref().map_or(0, |header| header.revision);
        if revision < self.revision {
            return Err(format!("the revision went back: {revision} after {}", self.revision));
        }
        if now.compact_revision.max(0) < self.compacted {
            return Err(format!("compacted up to {} after {}", now.compact_revision, self.compacted));
        }
        let mut history = history(client, now.compact_revision.max(0) + 1, revision).await;
        for (revision, changes) in self.changes.range(now.compact_revision.max(0) + 1..) {
            let found = history.remove(revision);
            if found.as_ref() != Some(changes) {
                return Err(format!("revision {revision} was {changes:?} and is {found:?}"));
            }
        }
        // What was under way when it crashed.
        self.changes.extend(history);
        (self.revision, self.compacted) = (revision, now.compact_revision.max(0));
        self.check_state(client).await?;
        self.check_hash(client).await?;
        let leases = client.lease.lease_leases(LeaseLeasesRequest {}).await.map_err(|error| error.to_string())?;
        let leases: BTreeSet<_> = leases.into_inner().leases.iter().map(|lease| lease.id).collect();
        let lost: Vec<_> = self.leases.difference(&leases).collect();
        if lost.is_empty() { Ok(()) } else { Err(format!("leases {lost:x?} are lost")) }
    }

    async fn check_state(&self, client: &mut Client) -> Result<(), String> {
        let mut expected = BTreeMap::new();
        for (revision, changes) in &self.changes {
            for (key, value) in changes {
                match value {
                    Some(value) => expected.insert(key.clone(), (*revision, value.clone())),
                    None => expected.remove(key),
                };
            }
        }
        let answer = client.range(range_of_prefix("")).await.map_err(|error| error.to_string())?;
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let found: BTreeMap<_, _> =
            answer.kvs.iter().map(|kv| (text(&kv.key), (kv.mod_revision, text(&kv.value)))).collect();
        for key in expected.keys().chain(found.keys()) {
            let (expected, found) = (expected.get(key), found.get(key));
            if expected != found {
                let short = |pair: Option<&(i64, String)>| pair.map(|(revision, value)| (*revision, value.len()));
                return Err(format!("{key} should be {:?} and is {:?}", short(expected), short(found)));
            }
        }
        Ok(())
    }

    /// The hash of a part of the history is what it was, unless more was compacted meanwhile.
    async fn check_hash(&mut self, client: &mut Client) -> Result<(), String> {
        let Some(before) = self.hash.take() else { return Ok(()) };
        if before.hash_revision < self.compacted {
            return Ok(());
        }
        let request = HashKvRequest { revision: before.hash_revision };
        let now = client.maintenance.hash_kv(request).await.map_err(|error| error.to_string())?.into_inner();
        if now.compact_revision == before.compact_revision && now.hash != before.hash {
            return Err(format!(
                "the hash at revision {} was {} and is {}",
                before.hash_revision, before.hash, now.hash
            ));
        }
        Ok(())
    }
}

/// What a watch tells of the revisions from `start` to `end`.
async fn history(client: &mut Client, start: i64, end: i64) -> BTreeMap<i64, Changes> {
    let mut history = BTreeMap::<i64, Changes>::new();
    if start > end || end < 2 {
        return history;
    }
    let everything = range_of_prefix("");
    let request = WatchCreateRequest {
        key: everything.key,
        range_end: everything.range_end,
        start_revision: start,
        ..WatchCreateRequest::default()
    };
    let mut watcher = client.watch(request).await;
    // Each revision has a change; the last one is told when everything is.
    while history.last_key_value().is_none_or(|(revision, _)| *revision < end) {
        for event in watcher.next().await.events {
            let kv = event.kv.as_ref().expect("an event has a key");
            let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
            let value = (event.r#type() == EventType::Put).then(|| text(&kv.value));
            history.entry(kv.mod_revision).or_default().insert(text(&kv.key), value);
        }
    }
    history
}
