//! Where each member is reached: as the membership in the log says, and before that as the command line says.

use std::collections::BTreeMap;
use std::sync::{PoisonError, RwLock};

use super::address::PeerAddress;

/// Peer URLs by member. They may change at any time; whoever connects looks again.
#[derive(Debug, Default)]
pub struct Directory(RwLock<BTreeMap<u64, Vec<PeerAddress>>>);

impl Directory {
    /// Replaces all of it. URLs that are none are left out.
    pub fn set<'a>(&self, members: impl IntoIterator<Item = (u64, &'a [String])>) {
        let members = members.into_iter().map(|(id, urls)| (id, addresses(urls))).collect();
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = members;
    }

    /// Adds a member if it is not known yet.
    pub fn add(&self, id: u64, urls: &[String]) {
        let mut members = self.0.write().unwrap_or_else(PoisonError::into_inner);
        members.entry(id).or_insert_with(|| addresses(urls));
    }

    /// Where a member is reached; empty when it is not known.
    pub fn find(&self, id: u64) -> Vec<PeerAddress> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).get(&id).cloned().unwrap_or_default()
    }
}

fn addresses(urls: &[String]) -> Vec<PeerAddress> {
    urls.iter().filter_map(|url| url.parse().ok()).collect()
}
