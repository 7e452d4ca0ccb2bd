//! How many watch what: a change costs more the more are told of it.

use std::collections::HashMap;
use std::hash::{BuildHasher as _, RandomState};
use std::sync::{Arc, Mutex, PoisonError};

use super::Flow;
use crate::http::query;
use crate::request_info::ResourceRequest;

/// Watchers by the hash of what they watch. Two that collide only make an estimate a little wrong.
#[derive(Debug, Default)]
pub(super) struct Watchers {
    hasher: RandomState,
    counts: Mutex<HashMap<u64, usize>>,
}

/// Counts as one watcher while it lives.
pub(crate) struct Watching {
    flow: Arc<Flow>,
    key: u64,
}

impl Watchers {
    /// How many watch an object: all, those of its namespace, or it alone.
    pub(super) fn of(&self, target: &ResourceRequest) -> usize {
        let (namespace, name) = (target.namespace.as_str(), target.name.as_str());
        let mut interests = vec![("", "")];
        if !namespace.is_empty() {
            interests.push((namespace, ""));
        }
        if !name.is_empty() {
            interests.push((namespace, name));
            if !namespace.is_empty() {
                interests.push(("", name));
            }
        }
        let keys: Vec<u64> = interests.into_iter().map(|(space, name)| self.key(target, space, name)).collect();
        let counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        keys.iter().filter_map(|key| counts.get(key)).sum()
    }

    fn key(&self, target: &ResourceRequest, namespace: &str, name: &str) -> u64 {
        self.hasher.hash_one((&target.group, &target.resource, namespace, name))
    }

    fn change(&self, key: u64, by: isize) {
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        let count = counts.entry(key).or_default();
        *count = count.saturating_add_signed(by);
        if *count == 0 {
            counts.remove(&key);
        }
    }
}

impl Watching {
    pub(super) fn new(flow: Arc<Flow>, target: &ResourceRequest, parameters: &[(String, String)]) -> Self {
        let name = if target.name.is_empty() { name_selected(parameters) } else { &target.name };
        let key = flow.watchers.key(target, &target.namespace, name);
        flow.watchers.change(key, 1);
        Self { flow, key }
    }
}

impl Drop for Watching {
    fn drop(&mut self) {
        self.flow.watchers.change(self.key, -1);
    }
}

/// The name a field selector selects; empty if it selects by something else.
pub(super) fn name_selected(parameters: &[(String, String)]) -> &str {
    let selector = query::first(parameters, "fieldSelector").unwrap_or_default();
    let terms = selector.split(',').map(str::trim);
    terms
        .filter_map(|term| term.strip_prefix("metadata.name="))
        .map(|value| value.trim_start_matches('='))
        .next()
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pods(namespace: &str, name: &str) -> ResourceRequest {
        let (namespace, name) = (namespace.to_owned(), name.to_owned());
        ResourceRequest { namespace, resource: "pods".to_owned(), name, ..ResourceRequest::default() }
    }

    #[test]
    fn a_change_counts_those_who_see_it() {
        let flow = Arc::new(Flow::new(10));
        let watch = |namespace: &str, query: &[(&str, &str)]| {
            let parameters: Vec<_> =
                query.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
            flow.watching(&pods(namespace, ""), &parameters)
        };
        let all = watch("", &[]);
        let space = watch("a", &[]);
        let one = watch("a", &[("fieldSelector", "metadata.name=x")]);
        let kubelet = watch("", &[("fieldSelector", "spec.nodeName=n")]);
        let seen = |namespace, name| flow.watchers.of(&pods(namespace, name));
        assert_eq!([seen("a", "x"), seen("a", "y"), seen("b", "x"), seen("a", "")], [4, 3, 2, 3]);
        drop((all, space, one, kubelet));
        assert_eq!(seen("a", "x"), 0);
    }
}
