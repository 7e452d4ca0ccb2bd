//! The plain limit on requests served at once, for servers without priority and fairness: so many that read and so many that
//! change, and the rest is turned away.

use std::sync::Arc;

use apiserver_core::user::{User, is_master};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::request_info::Verb;

/// The places; none where there is no limit.
pub(crate) struct InFlight {
    reads: Option<Arc<Semaphore>>,
    writes: Option<Arc<Semaphore>>,
}

impl InFlight {
    /// So many places; zero for no limit.
    pub(crate) fn new(reads: usize, writes: usize) -> Self {
        let places = |count: usize| (count > 0).then(|| Arc::new(Semaphore::new(count.min(Semaphore::MAX_PERMITS))));
        Self { reads: places(reads), writes: places(writes) }
    }

    /// A place for a request, to be held while it is served; an error if there is none. Masters need none.
    pub(crate) fn enter(&self, verb: Verb, user: &User) -> Result<Option<OwnedSemaphorePermit>, Full> {
        let places = if verb.is_mutating() { &self.writes } else { &self.reads };
        match places.as_ref().map(|places| Arc::clone(places).try_acquire_owned()) {
            None => Ok(None),
            Some(Ok(place)) => Ok(Some(place)),
            Some(Err(_)) if is_master(user) => Ok(None),
            Some(Err(_)) => Err(Full),
        }
    }
}

/// All places are taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Full;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reading_and_changing_have_places_of_their_own() {
        let (limit, ann) = (InFlight::new(1, 1), User { name: "ann".into(), ..User::default() });
        let first = limit.enter(Verb::Get, &ann);
        assert!(matches!(first, Ok(Some(_))));
        assert_eq!(limit.enter(Verb::List, &ann).err(), Some(Full));
        assert!(matches!(limit.enter(Verb::Create, &ann), Ok(Some(_))));
        let groups = vec![apiserver_core::user::MASTERS.to_owned()];
        assert!(matches!(limit.enter(Verb::List, &User { groups, ..User::default() }), Ok(None)));
        drop(first);
        assert!(matches!(limit.enter(Verb::List, &ann), Ok(Some(_))));
        assert!(matches!(InFlight::new(0, 1).enter(Verb::List, &ann), Ok(None)));
    }
}
