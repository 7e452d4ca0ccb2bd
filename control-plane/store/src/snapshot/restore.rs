//! Makes a data folder of a snapshot: the first member of a new cluster, or one of several that restore the same snapshot
//! with the same flags.
//!
//! Everything is written beside its final place and takes it by a rename at the end, so an interrupted restore is never
//! taken for data. The new state counts as applied from the log's first entry on, which nobody has: a member that joins later
//! gets the state itself, never a log without it.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{self, Read, Seek};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bolt::{Bucket, ReadError, Reader, Walk};
use openraft::storage::RaftLogStorage;
use prost::bytes::Bytes;
use proto::etcdserverpb::AlarmType;
use proto::store::{Identity, Node};
use sha2::{Digest, Sha256};
use store_core::encoding::Place;
use store_core::foreign::{self, ALARM, AUTH, FINISHED, Foreign, KEY, LEASE, META, ROLES, SCHEDULED, USERS};
use store_core::overlay::Overlay;
use store_core::record::{State, alarm_key};
use store_core::{Fault, Revision, Space, auth};

use super::file::{self, Untrusted};
use crate::database::Database;
use crate::host::System;
use crate::metrics::Metrics;
use crate::poison::Poison;
use crate::raft::codec::{encode_log_id, encode_stored_membership, log_id};
use crate::raft::log::Log;
use crate::raft::machine::{APPLIED, MEMBERSHIP};
use crate::raft::{Membership, StoredMembership, Vote};

/// How the folder is called until everything is in it.
const UNFINISHED: &str = "member.restoring";
const FINISHED_NAME: &str = "member";
/// Changes and bytes that are written at once.
const BATCH: usize = 2000;
const BATCH_BYTES: usize = 8 << 20;

/// A snapshot could not be restored.
#[derive(Debug, thiserror::Error)]
pub enum RestoreError {
    /// The snapshot cannot be opened.
    #[error("open {path}")]
    Open {
        /// The snapshot.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The snapshot is not what it was.
    #[error(transparent)]
    Untrusted(#[from] Untrusted),
    /// The snapshot is no database.
    #[error("read the snapshot")]
    Read(#[from] ReadError),
    /// The snapshot is a database, but not etcd's.
    #[error("the snapshot has no bucket `key`: it is not etcd's")]
    NotEtcds,
    /// A record of the snapshot is damaged.
    #[error(transparent)]
    Foreign(#[from] Foreign),
    /// The new state cannot be read.
    #[error(transparent)]
    Fault(#[from] Fault),
    /// There is something already.
    #[error("data-dir {0:?} not empty or could not be read")]
    NotEmpty(PathBuf),
    /// The new folder cannot be written.
    #[error("{what}")]
    Write {
        /// What was tried.
        what: String,
        /// Why it failed.
        source: io::Error,
    },
    /// The flags do not belong together.
    #[error("{0}")]
    Usage(String),
}

fn writing(what: impl Into<String>) -> impl FnOnce(io::Error) -> RestoreError {
    move |source| RestoreError::Write { what: what.into(), source }
}

/// The cluster that a restored member belongs to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Founding {
    /// The name of this member.
    pub name: String,
    /// Every member with its peer URLs, by name.
    pub members: BTreeMap<String, Vec<String>>,
    /// Tells apart clusters made of the same snapshot on the same addresses.
    pub token: String,
}

impl Founding {
    /// Reads etcd's flags: `name=url,name=url`, and this member's own URLs.
    pub fn new(name: &str, initial_cluster: &[String], own: &[String], token: &str) -> Result<Self, RestoreError> {
        let mut members = BTreeMap::<String, Vec<String>>::new();
        for part in initial_cluster {
            let (name, url) = part
                .split_once('=')
                .filter(|(name, url)| !name.is_empty() && url.contains("://"))
                .ok_or_else(|| RestoreError::Usage(format!("--initial-cluster: `{part}` is not name=url")))?;
            members.entry(name.to_owned()).or_default().push(url.to_owned());
        }
        for urls in members.values_mut() {
            urls.sort();
        }
        let Some(listed) = members.get(name) else {
            let problem = format!("couldn't find local name {name:?} in the initial cluster configuration");
            return Err(RestoreError::Usage(problem));
        };
        let mut own = own.to_vec();
        own.sort();
        if own != *listed {
            let (own, listed) = (own.join(","), listed.join(","));
            let problem =
                format!("--initial-cluster has {name}={listed} but missing from --initial-advertise-peer-urls={own}");
            return Err(RestoreError::Usage(problem));
        }
        Ok(Self { name: name.to_owned(), members, token: token.to_owned() })
    }

    /// The id of the cluster and of each member: the same on every machine that restores the same thing, other ones for
    /// anything else. `origin` stands for what is restored.
    #[must_use]
    pub fn ids(&self, origin: &[u8]) -> (u64, BTreeMap<&str, u64>) {
        let mut sum = Sha256::new();
        let mut push = |bytes: &[u8]| {
            sum.update((bytes.len() as u64).to_be_bytes());
            sum.update(bytes);
        };
        push(origin);
        push(self.token.as_bytes());
        for (name, urls) in &self.members {
            push(name.as_bytes());
            push(urls.join(",").as_bytes());
        }
        let seed = sum.finalize();
        let id = |name: &str| {
            let digest = Sha256::new().chain_update(seed).chain_update(name).finalize();
            digest.first_chunk().map_or(1, |bytes| u64::from_be_bytes(*bytes)).max(1)
        };
        // No member has an empty name.
        (id(""), self.members.keys().map(|name| (name.as_str(), id(name))).collect())
    }
}

/// How far the revision is moved, so that no client mistakes the restored history for what it has seen before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bump {
    /// The revision stays what it was.
    None,
    /// It moves by so much, and everything before counts as compacted.
    Compacted(i64),
}

impl Bump {
    /// Reads etcdutl's flags.
    pub fn new(by: u64, mark_compacted: bool) -> Result<Self, RestoreError> {
        match (by, mark_compacted) {
            (0, false) => Ok(Self::None),
            (0, true) | (1.., false) => {
                Err(RestoreError::Usage("--mark-compacted required if --revision-bump > 0".to_owned()))
            }
            (by, true) => {
                let by = i64::try_from(by).ok().filter(|by| *by < 1 << 62);
                by.map(Self::Compacted).ok_or_else(|| RestoreError::Usage("--bump-revision is too large".to_owned()))
            }
        }
    }
}

/// Restores the snapshot in `path` as the new data folder `data_dir`. Returns where the state stands.
pub fn restore(
    path: &Path,
    data_dir: &Path,
    founding: &Founding,
    bump: Bump,
    skip_hash_check: bool,
) -> Result<State, RestoreError> {
    let open = |source| RestoreError::Open { path: path.to_owned(), source };
    let mut source = File::open(path).map_err(open)?;
    let checksum = file::verify(&mut source, skip_hash_check)?;
    let mut reader = Reader::open(source)?;
    build(data_dir, founding, |database| {
        let state = take(&mut reader, database)?;
        let state = bump_revision(database, state, bump)?;
        finish(database, state)?;
        Ok((state, checksum.to_vec()))
    })
}

/// Makes a data folder whose state `fill` writes. What `fill` returns besides stands for what the state is made of.
pub fn build<T, E: From<RestoreError>>(
    data_dir: &Path,
    founding: &Founding,
    fill: impl FnOnce(&Database) -> Result<(T, Vec<u8>), E>,
) -> Result<T, E> {
    let unfinished = data_dir.join(UNFINISHED);
    make_room(data_dir, &unfinished)?;
    let database = Database::open(&unfinished).map_err(writing("make the new state"))?;
    let (filled, origin) = fill(&database)?;
    place(data_dir, &unfinished, founding, &origin, database)?;
    Ok(filled)
}

/// Makes a member of a state and puts it into its place.
fn place(
    data_dir: &Path,
    unfinished: &Path,
    founding: &Founding,
    origin: &[u8],
    database: Database,
) -> Result<(), RestoreError> {
    let (cluster_id, ids) = founding.ids(origin);
    let member_id = ids.get(founding.name.as_str()).copied().unwrap_or_default();
    let first = log_id(1, 1);
    let nodes = founding
        .members
        .iter()
        .zip(ids.values())
        .map(|((name, urls), id)| (*id, Node { name: name.clone(), peer_urls: urls.clone(), ..Node::default() }));
    let voters = vec![ids.values().copied().collect::<BTreeSet<_>>()];
    let membership = Membership::new(voters, nodes.collect::<BTreeMap<_, _>>());
    let membership = membership.map_err(|error| writing("make the new membership")(io::Error::other(error)))?;
    let membership = StoredMembership::new(Some(first), membership);
    write(&database, |overlay| {
        overlay.put(Space::Meta, APPLIED, encode_log_id(&first));
        overlay.put(Space::Meta, MEMBERSHIP, encode_stored_membership(&membership));
        Ok(false)
    })?;
    database.flush().map_err(writing("flush the new state"))?;
    drop(database);

    found(&unfinished.join("raft"), cluster_id, member_id).map_err(writing("make the new log"))?;
    let place = || {
        std::fs::rename(unfinished, data_dir.join(FINISHED_NAME))?;
        File::open(data_dir)?.sync_all()
    };
    place().map_err(writing("put the new data folder in its place"))
}

/// The folder must not hold anything but what an interrupted restore left.
fn make_room(data_dir: &Path, unfinished: &Path) -> Result<(), RestoreError> {
    let not_empty = || RestoreError::NotEmpty(data_dir.to_owned());
    match std::fs::read_dir(data_dir) {
        Ok(entries) => {
            for entry in entries {
                if entry.map_err(|_| not_empty())?.file_name() != UNFINISHED {
                    return Err(not_empty());
                }
            }
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(_) => return Err(not_empty()),
    }
    match std::fs::remove_dir_all(unfinished) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            return Err(writing("remove what an interrupted restore left")(error));
        }
        _ => {}
    }
    std::fs::create_dir_all(unfinished).map_err(writing(format!("make {}", unfinished.display())))
}

/// A log in which nothing is left, of a member that has not voted for anybody else in the first term.
fn found(folder: &Path, cluster_id: u64, member_id: u64) -> io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().build()?;
    runtime.block_on(async {
        let mut log = Log::open(folder, Poison::default(), Arc::new(Metrics::default()), System::shared())?;
        log.set_identity(&Identity { cluster_id, member_id, ..Identity::default() })?;
        log.save_vote(&Vote::new(1, member_id)).await?;
        log.purge(log_id(1, 1)).await?;
        log.sync().await?;
        log.close()
    })
}

/// Writes batch after batch; `fill` says whether there is more.
pub(crate) fn write(
    database: &Database,
    mut fill: impl FnMut(&mut Overlay<'_>) -> Result<bool, RestoreError>,
) -> Result<(), RestoreError> {
    loop {
        let (writes, more) = database.read_newest(|view| {
            let mut overlay = Overlay::new(view);
            let more = fill(&mut overlay)?;
            Ok::<_, RestoreError>((overlay.into_writes(), more))
        })?;
        database.write(&writes).map_err(writing("write the new state"))?;
        if !more {
            return Ok(());
        }
    }
}

/// Takes over everything a snapshot has that does not belong to the cluster it comes from.
pub(crate) fn take<R: Read + Seek>(reader: &mut Reader<R>, database: &Database) -> Result<State, RestoreError> {
    let buckets = reader.buckets()?;
    let find = |name: &[u8]| buckets.iter().find(|bucket| bucket.name == name);
    let history = find(KEY).ok_or(RestoreError::NotEtcds)?;
    let mut compacted = Revision::NEVER;
    each(reader, find(META), |key, value| {
        if key == SCHEDULED || key == FINISHED {
            compacted = compacted.max(foreign::read_compacted(value)?);
        }
        Ok(())
    })?;
    if let Some(leases) = find(LEASE) {
        let mut walk = reader.walk(leases)?;
        write(database, |overlay| batch(&mut walk, |key, value| Ok(foreign::take_lease(overlay, key, value)?)))?;
    }
    let mut last: Option<Place> = None;
    let mut walk = reader.walk(history)?;
    write(database, |overlay| {
        batch(&mut walk, |key, value| {
            last = Some(foreign::take_change(overlay, key, &Bytes::copy_from_slice(value))?);
            Ok(())
        })
    })?;
    let mut corrupt = Vec::new();
    each(reader, find(ALARM), |key, _| {
        let (member, alarm) = foreign::read_alarm(key)?;
        // That there was no space was about a disk that is not here; that data is corrupt goes with the data.
        if alarm == AlarmType::Corrupt as i32 && corrupt.len() < 64 {
            corrupt.push(alarm_key(member, alarm));
        }
        Ok(())
    })?;
    write(database, |overlay| {
        for key in &corrupt {
            overlay.put(Space::Meta, key.clone(), Bytes::new());
        }
        Ok(false)
    })?;
    let mut auth = auth::Standing::FIRST;
    each(reader, find(AUTH), |key, value| Ok(foreign::take_auth(&mut auth, key, value)?))?;
    if let Some(users) = find(USERS) {
        let mut walk = reader.walk(users)?;
        write(database, |overlay| batch(&mut walk, |key, value| Ok(foreign::take_user(overlay, key, value)?)))?;
    }
    if let Some(roles) = find(ROLES) {
        let mut walk = reader.walk(roles)?;
        write(database, |overlay| batch(&mut walk, |key, value| Ok(foreign::take_role(overlay, key, value)?)))?;
    }
    Ok(foreign::standing(last, compacted, auth))
}

fn each<R: Read + Seek>(
    reader: &mut Reader<R>,
    bucket: Option<&Bucket>,
    mut take: impl FnMut(&[u8], &[u8]) -> Result<(), RestoreError>,
) -> Result<(), RestoreError> {
    let Some(bucket) = bucket else { return Ok(()) };
    let mut walk = reader.walk(bucket)?;
    while let Some((key, value)) = walk.entry()? {
        take(key, value)?;
    }
    Ok(())
}

/// Takes entries until a batch is full; whether there may be more.
fn batch<R: Read + Seek>(
    walk: &mut Walk<'_, R>,
    mut take: impl FnMut(&[u8], &[u8]) -> Result<(), RestoreError>,
) -> Result<bool, RestoreError> {
    let mut bytes = 0;
    for _ in 0..BATCH {
        let Some((key, value)) = walk.entry()? else { return Ok(false) };
        bytes += key.len() + value.len();
        take(key, value)?;
        if bytes > BATCH_BYTES {
            break;
        }
    }
    Ok(true)
}

/// Moves the revision, if that is wanted.
pub(crate) fn bump_revision(database: &Database, state: State, bump: Bump) -> Result<State, RestoreError> {
    let by = match bump {
        Bump::None => return Ok(state),
        Bump::Compacted(by) => by,
    };
    let too_far = || RestoreError::Usage("--bump-revision goes beyond the last revision there can be".to_owned());
    let revision = Revision(state.revision.0.checked_add(by).ok_or_else(too_far)?);
    let (key, value) = foreign::bump(revision);
    write(database, |overlay| foreign::take_change(overlay, &key, &value).map(|_| false).map_err(RestoreError::from))?;
    Ok(State { revision, compacted: revision, ..state })
}

/// Writes down where the state stands.
pub(crate) fn finish(database: &Database, state: State) -> Result<(), RestoreError> {
    let (key, value) = state.record();
    write(database, |overlay| {
        overlay.put(Space::Meta, key, value.clone());
        Ok(false)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn founding(token: &str) -> Founding {
        let cluster = ["a=https://a:1".to_owned(), "b=https://b:1".to_owned()];
        Founding::new("a", &cluster, &["https://a:1".to_owned()], token).unwrap()
    }

    #[test]
    fn ids_are_the_same_everywhere_and_never_shared() {
        let cluster = ["b=https://b:1".to_owned(), "a=https://a:1".to_owned()];
        let other = Founding::new("b", &cluster, &["https://b:1".to_owned()], "t").unwrap();
        let (first, second) = (founding("t"), other);
        let (cluster, members) = first.ids(b"x");
        assert_eq!((cluster, members.clone()), second.ids(b"x"));
        assert_ne!(members["a"], members["b"]);
        assert_ne!(cluster, first.ids(b"y").0);
        assert_ne!(cluster, founding("u").ids(b"x").0);
    }

    #[test]
    fn flags_that_do_not_fit_are_refused() {
        let url = "http://x:1".to_owned();
        let new = |name: &str, cluster: &str, own: &str| {
            Founding::new(name, &[cluster.to_owned()], &[own.to_owned()], "t").map_err(|error| error.to_string())
        };
        assert_eq!(
            new("b", "a=http://x:1", &url).unwrap_err(),
            "couldn't find local name \"b\" in the initial cluster configuration"
        );
        assert!(new("a", "a", &url).is_err() && new("a", "a=http://x:1", "http://y:1").is_err());
        assert_eq!(Bump::new(5, true).unwrap(), Bump::Compacted(5));
        assert!(Bump::new(5, false).is_err() && Bump::new(0, true).is_err() && Bump::new(u64::MAX, true).is_err());
    }

    #[test]
    fn a_folder_with_something_in_it_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let unfinished = folder.path().join(UNFINISHED);
        std::fs::create_dir(&unfinished).unwrap();
        std::fs::write(unfinished.join("x"), "left over").unwrap();
        make_room(folder.path(), &unfinished).unwrap();
        assert!(!unfinished.join("x").exists());
        std::fs::write(folder.path().join("mine"), "").unwrap();
        assert!(matches!(make_room(folder.path(), &unfinished), Err(RestoreError::NotEmpty(_))));
    }
}
