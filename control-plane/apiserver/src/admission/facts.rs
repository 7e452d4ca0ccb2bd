//! What plugins are told: what the caches show and, for what a refusal missed, what the store holds.

use std::cell::RefCell;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use admission::{Attributes, Facts, Phase, Question, View, views};
use apiserver_core::engine::{SUFFIX_ALPHABET, SUFFIX_LENGTH};
use apiserver_core::{Object, Resource, Status};
use rand::RngExt as _;

use super::rights;
use crate::app::App;
use crate::cache::CachedObject;
use crate::writes::Writer;

/// How often a plugin is asked again because it asks for more. Each time it knows more; none asks for so much.
const ROUNDS: u32 = 64;
/// How often something is looked for that a controller makes soon, and how long at least between two looks; upstream's.
const LOOKS: u32 = 10;
const PAUSE: Duration = Duration::from_millis(100);

/// One object.
type Key = (View, Option<String>, String);

/// What a plugin wants to know better.
enum Wish {
    Object { key: Key, soon: bool },
    Right(Question),
}

/// What was looked up for it.
#[derive(Default)]
struct Known {
    objects: HashMap<Key, Option<Arc<Object>>>,
    rights: Vec<(Question, bool)>,
}

/// Asks a plugin, and again with what it missed as long as it refuses and missed something.
pub(super) async fn learn(
    app: &App,
    attributes: &Attributes<'_>,
    reads: &[View],
    mut ask: impl FnMut(&dyn Facts) -> Result<(), Status>,
) -> Result<(), Status> {
    for view in reads {
        // A cache that is far behind shows less; what is missed is looked up all the same.
        if let Some(cache) = row(app, *view).and_then(|row| app.cache(row)).filter(|cache| !cache.has_seen_own_writes())
        {
            let _ = cache.reach_own_writes().await;
        }
    }
    let mut known = Known::default();
    let mut outcome = Ok(());
    for _ in 0..ROUNDS {
        let wishes = {
            let seen = Seen { app, known: &known, wishes: RefCell::default() };
            outcome = ask(&seen);
            seen.wishes.into_inner()
        };
        if outcome.is_ok() || wishes.is_empty() {
            break;
        }
        for wish in wishes {
            match wish {
                Wish::Object { key, soon } => {
                    let found = look_up(app, attributes, &key, soon).await?;
                    known.objects.insert(key, found);
                }
                Wish::Right(question) => {
                    let may = rights::may(app, attributes.user, &question);
                    known.rights.push((question, may));
                }
            }
        }
    }
    outcome
}

async fn look_up(
    app: &App,
    attributes: &Attributes<'_>,
    (view, namespace, name): &Key,
    soon: bool,
) -> Result<Option<Arc<Object>>, Status> {
    let Some(row) = row(app, *view) else { return Ok(None) };
    let writer = Writer { app, row, user: attributes.user, dry_run: true, manager: None, admitted: None };
    let key = row.key(namespace.as_deref(), name);
    for look in 0..if soon { LOOKS } else { 1 } {
        if look > 0 {
            tokio::time::sleep(PAUSE + Duration::from_millis(rand::random_range(0..100))).await;
        }
        if let Some(found) = writer.live(&key, "get").await? {
            return Ok(Some(Arc::new(found.object)));
        }
    }
    Ok(None)
}

fn row(app: &App, view: View) -> Option<&Arc<Resource>> {
    app.registry.lookup(view.group, view.version, view.plural)
}

/// The facts of one asking.
struct Seen<'a> {
    app: &'a App,
    known: &'a Known,
    wishes: RefCell<Vec<Wish>>,
}

impl Seen<'_> {
    fn cached(&self, view: View, namespace: Option<&str>, name: &str) -> Option<Arc<CachedObject>> {
        let row = row(self.app, view)?;
        self.app.cache(row)?.get(&row.key(namespace, name))
    }

    /// The object as it was looked up; else `cached`, and a wish if that is nothing.
    fn find<T>(
        &self,
        key: Key,
        soon: bool,
        cached: impl FnOnce(&Key) -> Option<T>,
        live: impl FnOnce(&Arc<Object>) -> T,
    ) -> Option<T> {
        if let Some(found) = self.known.objects.get(&key) {
            return found.as_ref().map(live);
        }
        let found = cached(&key);
        if found.is_none() {
            self.wishes.borrow_mut().push(Wish::Object { key, soon });
        }
        found
    }

    fn object(&self, view: View, namespace: Option<&str>, name: &str, soon: bool) -> Option<Arc<Object>> {
        let key = (view, namespace.map(str::to_owned), name.to_owned());
        let cached = |_: &Key| self.cached(view, namespace, name)?.tree().ok().map(Arc::new);
        self.find(key, soon, cached, Arc::clone)
    }
}

impl Facts for Seen<'_> {
    fn get(&self, view: View, namespace: Option<&str>, name: &str) -> Option<Arc<Object>> {
        self.object(view, namespace, name, false)
    }

    fn get_soon(&self, view: View, namespace: Option<&str>, name: &str) -> Option<Arc<Object>> {
        self.object(view, namespace, name, true)
    }

    fn list(&self, view: View, namespace: Option<&str>) -> Vec<Arc<Object>> {
        let Some(row) = row(self.app, view) else { return Vec::new() };
        let Some(cache) = self.app.cache(row) else { return Vec::new() };
        let prefix = row.key_prefix(namespace);
        let snapshot = cache.snapshot();
        snapshot.range(&prefix, &prefix).filter_map(|cached| cached.tree().ok()).map(Arc::new).collect()
    }

    fn namespace(&self, name: &str) -> Option<Phase> {
        let phase = |text: Option<&str>| if text == Some("Terminating") { Phase::Terminating } else { Phase::Active };
        let view = views::NAMESPACES;
        let cached = |_: &Key| {
            let row = row(self.app, view)?;
            let found = self.cached(view, None, name)?;
            // One that goes may be gone, and made anew, by the time the cache knows.
            Some(phase(found.field(row, "status.phase"))).filter(|phase| *phase == Phase::Active)
        };
        self.find((view, None, name.to_owned()), false, cached, |found| phase(found.text(&["status", "phase"])))
    }

    fn resource(&self, api_version: &str, kind: &str) -> Option<Arc<Resource>> {
        let (group, version) = api_version.rsplit_once('/').unwrap_or(("", api_version));
        self.app.registry.by_kind(group, version, kind).cloned()
    }

    fn may(&self, question: Question) -> bool {
        if let Some((_, may)) = self.known.rights.iter().find(|(known, _)| *known == question) {
            return *may;
        }
        self.wishes.borrow_mut().push(Wish::Right(question));
        false
    }

    fn suffix(&self) -> String {
        let mut rng = rand::rng();
        (0..SUFFIX_LENGTH).map(|_| char::from(SUFFIX_ALPHABET[rng.random_range(0..SUFFIX_ALPHABET.len())])).collect()
    }

    fn now(&self) -> jiff::Timestamp {
        jiff::Timestamp::now()
    }
}
