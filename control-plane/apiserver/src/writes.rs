//! Creating, changing and removing objects in the store, the same for every row and for the server's own objects.
//!
//! A change begins from the cached object, because that is at hand, and is decided again on the live one whenever the cache
//! may have misled it: a refusal is only final when it was decided on what the store holds now.

use std::sync::Arc;

use admission::Operation;
use apiserver_core::engine::{
    Context, Prepared, SUFFIX_ALPHABET, SUFFIX_LENGTH, Updated, finish_create, finish_update, take_new,
};
use apiserver_core::status::{Details, Reason};
use apiserver_core::user::User;
use apiserver_core::{Object, Resource, Status, scale};
use bytes::Bytes;
use proto::mvccpb::KeyValue;
use rand::RngExt as _;

use crate::admission::Admitted;
use crate::app::App;
use crate::cache::with_resource_version;
use crate::service_addresses;
use crate::store_client::{Change, Claim, Commit, Put, StoreError};

/// Names tried for `generateName`; upstream's number.
const NAME_TRIES: u32 = 8;
/// How often a change is decided anew because others changed the object too. Each round means that somebody else made
/// progress; the deadline of the request usually comes first.
const CHANGE_TRIES: u32 = 64;
/// How often a Service tries other addresses after others took the chosen ones.
const ADDRESS_TRIES: usize = 16;

/// Who writes what: the arguments every write shares.
#[derive(Clone, Copy)]
pub(crate) struct Writer<'a> {
    /// The server.
    pub(crate) app: &'a App,
    /// The row.
    pub(crate) row: &'a Resource,
    /// Who asks.
    pub(crate) user: &'a User,
    /// Whether to stop short of the store.
    pub(crate) dry_run: bool,
    /// Who comes to own the fields that are written; `None` when the object says that itself.
    pub(crate) manager: Option<&'a str>,
    /// The request that must pass admission; `None` for what the server writes itself.
    pub(crate) admitted: Option<Admitted<'a>>,
}

/// An object with what the store knows of it.
#[derive(Debug, Clone)]
pub(crate) struct Current {
    /// The object with its resource version.
    pub(crate) object: Object,
    /// Revision of its last change.
    pub(crate) revision: i64,
    /// Whether it came from the store just now.
    pub(crate) live: bool,
}

/// What a handler makes of an object that is there.
enum Proposed {
    /// Decided wholly.
    Decided(Updated),
    /// Taken in, to pass admission.
    Taken(Object),
}

/// An answer of a write.
#[derive(Debug)]
pub(crate) struct Written {
    /// The object as clients get it.
    pub(crate) json: Bytes,
    /// What to say in `Warning` headers.
    pub(crate) warnings: Vec<String>,
}

/// Fresh randomness for one try.
struct Fresh {
    uid: String,
    suffix: String,
    seed: u64,
}

impl Fresh {
    fn new() -> Self {
        let mut rng = rand::rng();
        let suffix = (0..SUFFIX_LENGTH)
            .map(|_| char::from(SUFFIX_ALPHABET[rng.random_range(0..SUFFIX_ALPHABET.len())]))
            .collect();
        Self { uid: uuid(), suffix, seed: rng.random() }
    }
}

/// A random UUID (version 4).
pub(crate) fn uuid() -> String {
    let bits = (rand::random::<u128>() & !(0xf000_u128 << 64) & !(0xc000_u128 << 48))
        | (0x4000_u128 << 64)
        | (0x8000_u128 << 48);
    let hex = format!("{bits:032x}");
    format!("{}-{}-{}-{}-{}", &hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..])
}

impl Writer<'_> {
    /// Calls `decide` with a fresh context; Services see what addresses are held.
    fn decide<T>(&self, refused: &[String], decide: impl FnOnce(&Context<'_>) -> T) -> T {
        let fresh = Fresh::new();
        let context = Context {
            now: jiff::Timestamp::now(),
            uid: &fresh.uid,
            name_suffix: &fresh.suffix,
            seed: fresh.seed,
            user: self.user,
            addresses: None,
            manager: self.manager,
            refused,
        };
        if self.has_addresses() {
            self.app.addresses.with(|held| decide(&Context { addresses: Some(held), ..context }))
        } else {
            decide(&context)
        }
    }

    /// Decides on something that needs the context but writes nothing by itself.
    pub(crate) fn with_context<T>(&self, decide: impl FnOnce(&Context<'_>) -> T) -> T {
        self.decide(&[], decide)
    }

    fn has_addresses(&self) -> bool {
        self.row.group.is_empty() && self.row.plural == "services"
    }

    /// Creates an object. `name` is the path's, for a PUT that creates.
    pub(crate) async fn create(
        &self,
        namespace: Option<&str>,
        name: Option<&str>,
        object: Object,
    ) -> Result<Written, Status> {
        if let Some(name) = name {
            crate::authorization::may_create(self.app, self.row, self.user, namespace, name)?;
        }
        let generated = object.name().is_none() && object.generate_name().is_some();
        let mut names_left = if generated { NAME_TRIES } else { 1 };
        let mut refused = Vec::new();
        let mut taken = self.with_context(|context| take_new(self.row, namespace, name, object, context))?;
        if let Some(admitted) = self.admitted {
            admitted.mutate(self.app, Operation::Create, &mut taken, None).await?;
        }
        loop {
            let prepared = self.decide(&refused, |context| finish_create(self.row, taken.clone(), context))?;
            let name = prepared.object.name().unwrap_or_default().to_owned();
            if let Some(admitted) = self.admitted {
                admitted.validate(self.app, Operation::Create, Some(&prepared.object), None).await?;
            }
            crate::authorization::check_grant(self.app, self.row, self.user, None, &prepared.object).await?;
            let key = self.row.key(namespace, &name);
            if self.dry_run {
                return match self.live(&key, "create").await? {
                    Some(_) if generated => Err(Status::generate_name_conflict(self.row, &name)),
                    Some(_) => Err(Status::already_exists(self.row, &name)),
                    None => Ok(Written { json: prepared.object.to_bytes().into(), warnings: prepared.warnings }),
                };
            }
            match self.put(&key, None, &prepared.object).await? {
                Commit::Done { revision } => return finish(prepared, revision),
                Commit::Taken { claim } => self.refused(&claim, &mut refused)?,
                Commit::Conflict { .. } => {
                    names_left -= 1;
                    if names_left == 0 {
                        return Err(if generated {
                            Status::generate_name_conflict(self.row, &name)
                        } else {
                            Status::already_exists(self.row, &name)
                        });
                    }
                }
            }
        }
    }

    /// Another Service has what this one chose or asked for: the next decision knows.
    fn refused(&self, claim: &str, refused: &mut Vec<String>) -> Result<(), Status> {
        if refused.len() >= ADDRESS_TRIES {
            return Err(Status::internal("no free address could be had"));
        }
        refused.extend(self.app.addresses.refused(claim));
        Ok(())
    }

    /// The object as the store has it now.
    pub(crate) async fn live(&self, key: &str, operation: &str) -> Result<Option<Current>, Status> {
        match self.app.store.get(key).await {
            Ok((kv, _)) => kv.map(|kv| read(self.row, &kv)).transpose(),
            Err(error) => Err(failure(self.row, operation, &error)),
        }
    }

    /// The object from the cache or, if it is not there, from the store.
    async fn near(&self, key: &str, operation: &str) -> Result<Option<Current>, Status> {
        if let Some(cached) = self.app.cache(self.row).and_then(|cache| cache.get(key))
            && let Ok(mut object) = cached.tree()
        {
            self.row.strategy.to_served(&mut object);
            return Ok(Some(Current { object, revision: cached.revision, live: false }));
        }
        self.live(key, operation).await
    }

    /// Changes an object: `decide` is called with what is there, again whenever that turns out to be old.
    ///
    /// `absent` makes the failure for an object that is not there.
    pub(crate) async fn change(
        &self,
        key: &str,
        absent: impl Fn() -> Status,
        decide: impl Fn(&Object, &Context<'_>) -> Result<Updated, Status>,
    ) -> Result<Written, Status> {
        self.change_to(key, absent, |old, context| decide(old, context).map(Proposed::Decided)).await
    }

    /// The same for what passes admission: `take` [takes in](apiserver_core::engine::take_change) what is to be there.
    pub(crate) async fn change_admitted(
        &self,
        key: &str,
        absent: impl Fn() -> Status,
        take: impl Fn(&Object, &Context<'_>) -> Result<Object, Status>,
    ) -> Result<Written, Status> {
        self.change_to(key, absent, |old, context| take(old, context).map(Proposed::Taken)).await
    }

    /// Passes what was taken in through admission, with validation between its two rounds.
    async fn admit(&self, old: &Object, mut new: Object, refused: &[String]) -> Result<Updated, Status> {
        let Some(admitted) = self.admitted else { return Err(Status::internal("a change without a request")) };
        let call = admitted.call;
        let shown = call.is_scale().then(|| scale::of(old));
        let before = Some(shown.as_ref().unwrap_or(old));
        admitted.mutate(self.app, Operation::Update, &mut new, before).await?;
        let updated = self.decide(refused, |context| {
            if call.is_scale() {
                scale::finish(self.row, old, &new, context)
            } else {
                finish_update(self.row, call.subresource(), old, new, context)
            }
        })?;
        let (Updated::Store(prepared) | Updated::Unchanged(prepared) | Updated::Remove(prepared)) = &updated;
        let shown = call.is_scale().then(|| scale::of(&prepared.object));
        let after = Some(shown.as_ref().unwrap_or(&prepared.object));
        admitted.validate(self.app, Operation::Update, after, before).await?;
        Ok(updated)
    }

    async fn change_to(
        &self,
        key: &str,
        absent: impl Fn() -> Status,
        propose: impl Fn(&Object, &Context<'_>) -> Result<Proposed, Status>,
    ) -> Result<Written, Status> {
        let mut current = self.near(key, "update").await?;
        let mut refused = Vec::new();
        for _ in 0..CHANGE_TRIES {
            let Some(now) = current else { return Err(absent()) };
            let proposed = self.decide(&refused, |context| propose(&now.object, context));
            let updated = match proposed {
                Ok(Proposed::Taken(new)) => self.admit(&now.object, new, &refused).await,
                Ok(Proposed::Decided(updated)) => Ok(updated),
                Err(status) => Err(status),
            };
            let updated = match updated {
                Ok(Updated::Unchanged(_)) | Err(_) if !now.live => {
                    current = self.live(key, "update").await?;
                    continue;
                }
                Ok(updated) => updated,
                Err(status) => return Err(status),
            };
            if let Updated::Store(prepared) = &updated
                && let Err(status) = crate::authorization::check_grant(
                    self.app,
                    self.row,
                    self.user,
                    Some(&now.object),
                    &prepared.object,
                )
                .await
            {
                if now.live {
                    return Err(status);
                }
                current = self.live(key, "update").await?;
                continue;
            }
            let (prepared, commit) = match updated {
                Updated::Unchanged(prepared) => return finish(prepared, now.revision),
                Updated::Store(prepared) | Updated::Remove(prepared) if self.dry_run => {
                    return finish(prepared, now.revision);
                }
                Updated::Store(prepared) => {
                    let commit = self.put(key, Some(&now), &prepared.object).await?;
                    (prepared, commit)
                }
                Updated::Remove(prepared) => (prepared, self.delete(key, &now).await?),
            };
            match commit {
                Commit::Done { revision } => return finish(prepared, revision),
                Commit::Taken { claim } => {
                    self.refused(&claim, &mut refused)?;
                    current = Some(now);
                }
                Commit::Conflict { current: found } => current = found.map(|kv| read(self.row, &kv)).transpose()?,
            }
        }
        Err(Status::timeout("the object is changed by too many at once", 1))
    }

    /// Puts an object in the place of `old`.
    pub(crate) async fn put(&self, key: &str, old: Option<&Current>, object: &Object) -> Result<Commit, Status> {
        let value = if self.row.strategy.is_converted() {
            let mut stored = object.clone();
            self.row.strategy.to_stored(&mut stored);
            stored.to_bytes()
        } else {
            object.to_bytes()
        };
        let value = Bytes::from(value);
        let (claims, released) = self.claims(old.map(|old| &old.object), Some(object));
        let expected = old.map_or(0, |old| old.revision);
        let operation = if expected == 0 { "create" } else { "update" };
        let mut change = Change { key: key.to_owned(), expected, put: Some(Put { value, lease: 0 }), claims, released };
        let expires = self.row.plural == "events";
        if expires {
            self.lease(&mut change, operation).await?;
        }
        let commit = match self.app.store.commit(&change).await {
            Err(StoreError::Refused(status)) if expires && status.message().contains("lease not found") => {
                // The store was replaced or the lease ran out in between; another one will do.
                let lost = change.put.as_ref().map_or(0, |put| put.lease);
                self.app.event_leases.forget(lost).await;
                self.lease(&mut change, operation).await?;
                self.app.store.commit(&change).await
            }
            outcome => outcome,
        }
        .map_err(|error| failure(self.row, operation, &error))?;
        self.done(&commit, old.map(|old| &old.object), Some(object));
        Ok(commit)
    }

    async fn lease(&self, change: &mut Change, operation: &str) -> Result<(), Status> {
        let leased = self.app.event_leases.lease(&self.app.store).await;
        let lease = leased.map_err(|error| failure(self.row, operation, &error))?;
        if let Some(put) = &mut change.put {
            put.lease = lease;
        }
        Ok(())
    }

    /// Deletes an object that is still as in `old`.
    pub(crate) async fn delete(&self, key: &str, old: &Current) -> Result<Commit, Status> {
        let (claims, released) = self.claims(Some(&old.object), None);
        let change = Change { key: key.to_owned(), expected: old.revision, put: None, claims, released };
        let commit = self.app.store.commit(&change).await.map_err(|error| failure(self.row, "delete", &error))?;
        self.done(&commit, Some(&old.object), None);
        Ok(commit)
    }

    /// Tells those who keep something about the resource of a write that took effect.
    fn done(&self, commit: &Commit, old: Option<&Object>, new: Option<&Object>) {
        let Commit::Done { revision } = commit else { return };
        if let Some(cache) = self.app.cache(self.row) {
            cache.wrote(*revision);
        }
        if self.has_addresses() {
            self.app.addresses.wrote(old, new);
        }
    }

    fn claims(&self, old: Option<&Object>, new: Option<&Object>) -> (Vec<Claim>, Vec<String>) {
        if self.has_addresses() { service_addresses::claims(old, new) } else { (Vec::new(), Vec::new()) }
    }

    /// What is there, to delete it: from the cache first.
    pub(crate) async fn deletable(&self, key: &str) -> Result<Option<Current>, Status> {
        self.near(key, "delete").await
    }
}

/// The answer to a write that took effect at `revision`.
fn finish(prepared: Prepared, revision: i64) -> Result<Written, Status> {
    let json = with_resource_version(&prepared.object.to_bytes(), revision).map_err(Status::internal)?;
    Ok(Written { json, warnings: prepared.warnings })
}

/// Reads a key of the store, in the form a row serves.
pub(crate) fn read(row: &Resource, kv: &KeyValue) -> Result<Current, Status> {
    let mut object = Object::from_stored(&kv.value).map_err(|error| {
        tracing::error!(key = %String::from_utf8_lossy(&kv.key), %error, "a stored object cannot be read");
        Status::internal("unable to decode the stored object")
    })?;
    object.set_resource_version(kv.mod_revision);
    row.strategy.to_served(&mut object);
    Ok(Current { object, revision: kv.mod_revision, live: true })
}

/// A failure of the store in the client's words; the causes go to the log.
pub(crate) fn failure(row: &Resource, operation: &str, error: &StoreError) -> Status {
    match error {
        StoreError::Unavailable(_) => {
            tracing::warn!(resource = %row.plural, operation, error = %chain::Chain(error), "the store failed a request");
            unavailable(row, operation)
        }
        StoreError::Compacted => Status::expired("The resourceVersion for the provided list is too old."),
        StoreError::FutureRevision => Status::timeout("Too large resource version", 1),
        StoreError::NoSpace(status) => {
            tracing::warn!(resource = %row.plural, operation, "the store has no space for a request");
            Status::unclassified(status.message())
        }
        StoreError::Refused(status) => {
            tracing::error!(resource = %row.plural, operation, error = %chain::Chain(error), "the store refused a request");
            Status::unclassified(status.message())
        }
    }
}

/// The store did not answer: upstream's `ServerTimeout`.
fn unavailable(row: &Resource, operation: &str) -> Status {
    let what = apiserver_core::status::qualified(&row.plural, &row.group);
    let details = Details {
        name: operation.to_owned(),
        group: row.group.clone(),
        kind: row.plural.clone(),
        retry_after_seconds: 2,
        ..Details::default()
    };
    Status {
        code: 500,
        reason: Reason::ServerTimeout,
        message: format!(
            "The {operation} operation against {what} could not be completed at this time, please try again."
        ),
        details: Some(Box::new(details)),
        continue_token: None,
    }
}

/// The manager of the fields that the server writes itself.
pub(crate) const OWN_MANAGER: &str = "kube-apiserver";

/// The user of the server's own writes.
pub(crate) fn own_user() -> User {
    User {
        name: "system:apiserver".to_owned(),
        groups: vec![apiserver_core::user::MASTERS.to_owned()],
        ..User::default()
    }
}

/// Creates one of the server's own objects; one that is there already stays as it is.
pub(crate) async fn ensure(
    app: &Arc<App>,
    row: &Resource,
    namespace: Option<&str>,
    object: Object,
) -> Result<(), Status> {
    let user = own_user();
    let writer = Writer { app, row, user: &user, dry_run: false, manager: Some(OWN_MANAGER), admitted: None };
    match writer.create(namespace, None, object).await {
        Ok(_) => Ok(()),
        Err(status) if status.reason == Reason::AlreadyExists => Ok(()),
        Err(status) => Err(status),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_uuid_has_its_version_and_variant() {
        for _ in 0..100 {
            let uuid = uuid();
            assert_eq!(uuid.len(), 36);
            assert_eq!(uuid.as_bytes()[14], b'4', "{uuid}");
            assert!(matches!(uuid.as_bytes()[19], b'8' | b'9' | b'a' | b'b'), "{uuid}");
            assert_eq!(uuid.bytes().filter(|byte| *byte == b'-').count(), 4);
        }
    }
}
