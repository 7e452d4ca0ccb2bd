//! The index of roles and bindings, kept up with.

use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::ArcSwap;
use authorization::GROUP;
use authorization::rbac::Index;

use super::follow::{Followed, Told};
use crate::cache::{Behind, Cache};

/// Which half of the index an object is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Role,
    Binding,
}

/// The index.
pub(super) struct Rbac {
    followed: Followed<Kind>,
    index: ArcSwap<Index>,
    /// What the next index begins from.
    next: Mutex<Index>,
}

impl Rbac {
    pub(super) fn new(cache: impl Fn(&str, &str) -> Option<Arc<Cache>>) -> Self {
        let kinds = [
            (Kind::Role, "clusterroles"),
            (Kind::Role, "roles"),
            (Kind::Binding, "clusterrolebindings"),
            (Kind::Binding, "rolebindings"),
        ];
        Self {
            followed: Followed::new(kinds.into_iter().filter_map(|(kind, plural)| Some((kind, cache(GROUP, plural)?)))),
            index: ArcSwap::default(),
            next: Mutex::default(),
        }
    }

    /// The index as of now.
    pub(super) fn index(&self) -> arc_swap::Guard<Arc<Index>> {
        self.index.load()
    }

    pub(super) async fn follow(&self) {
        self.followed.follow(|| self.catch_up()).await;
    }

    /// Waits until everything this server wrote is in the index: what was just made may be relied on.
    pub(super) async fn reach_own_writes(&self) -> Result<(), Behind> {
        for cache in self.followed.caches() {
            cache.reach_own_writes().await?;
        }
        self.catch_up();
        Ok(())
    }

    fn catch_up(&self) {
        let mut next = self.next.lock().unwrap_or_else(PoisonError::into_inner);
        let mut changed = false;
        self.followed.catch_up(|_, _| true, &mut |told| {
            changed = true;
            match told {
                Told::Anew => *next = Index::default(),
                Told::Is { kind: Kind::Role, namespace, name, object } => next.set_role(namespace, name, object),
                Told::Is { kind: Kind::Binding, namespace, name, object } => next.set_binding(namespace, name, object),
            }
        });
        if changed {
            self.index.store(Arc::new(next.clone()));
        }
    }
}
