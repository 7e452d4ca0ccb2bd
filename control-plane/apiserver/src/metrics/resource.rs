//! What is counted for each resource where its objects are kept: without a lock, because thousands of watchers count here.

use std::fmt::Write as _;
use std::sync::atomic::{AtomicU64, Ordering};

use super::histogram::Sizes;
use super::{escape, head};

/// Upper bounds of sizes of watch events, in bytes; upstream's.
const EVENT_SIZES: &[f64; 8] = &[1024.0, 2048.0, 4096.0, 8192.0, 16384.0, 32768.0, 65536.0, 131_072.0];

/// A number that only grows.
#[derive(Debug, Default)]
pub(crate) struct Counter(AtomicU64);

impl Counter {
    /// Adds one.
    pub(crate) fn one(&self) {
        self.add(1);
    }

    /// Adds some.
    pub(crate) fn add(&self, count: usize) {
        self.0.fetch_add(count as u64, Ordering::Relaxed);
    }

    fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// The counts of one resource.
#[derive(Debug)]
pub(crate) struct ResourceCounts {
    /// Changes the store told of.
    pub(crate) received: Counter,
    /// Times the store told how far it is.
    pub(crate) bookmarks: Counter,
    /// Lists the cache was filled from.
    pub(crate) initializations: Counter,
    /// Lists answered from the cache.
    pub(crate) lists: Counter,
    /// Objects looked at for them.
    pub(crate) fetched: Counter,
    /// Objects they showed.
    pub(crate) returned: Counter,
    /// Lists answered from the store.
    pub(crate) store_lists: Counter,
    /// Objects looked at for those.
    pub(crate) store_fetched: Counter,
    /// Objects those showed.
    pub(crate) store_returned: Counter,
    /// Objects that watches began with.
    pub(crate) initial: Counter,
    /// Watchers closed because they fell behind.
    pub(crate) terminated: Counter,
    /// Events sent to watchers, by their size.
    pub(crate) events: Sizes<8>,
}

impl Default for ResourceCounts {
    fn default() -> Self {
        Self {
            received: Counter::default(),
            bookmarks: Counter::default(),
            initializations: Counter::default(),
            lists: Counter::default(),
            fetched: Counter::default(),
            returned: Counter::default(),
            store_lists: Counter::default(),
            store_fetched: Counter::default(),
            store_returned: Counter::default(),
            initial: Counter::default(),
            terminated: Counter::default(),
            events: Sizes::new(EVENT_SIZES),
        }
    }
}

/// A resource as the page shows it.
pub(crate) struct ResourceSample<'a> {
    /// API group.
    pub(crate) group: &'a str,
    /// API version.
    pub(crate) version: &'a str,
    /// Plural.
    pub(crate) resource: &'a str,
    /// How many objects there are.
    pub(crate) objects: usize,
    /// Up to which revision the cache has seen everything.
    pub(crate) revision: i64,
    /// What was counted.
    pub(crate) counts: &'a ResourceCounts,
}

type Of = fn(&ResourceCounts) -> &Counter;

/// Counters with the labels `group` and `resource`; `index` besides where that is so upstream.
const COUNTERS: [(&str, &str, bool, Of); 10] = [
    ("apiserver_watch_cache_events_received_total", "Changes the cache was told of.", false, |one| &one.received),
    ("apiserver_watch_cache_initializations_total", "Lists the cache was filled from.", false, |one| {
        &one.initializations
    }),
    ("apiserver_cache_list_total", "Lists answered from the cache.", true, |one| &one.lists),
    ("apiserver_cache_list_fetched_objects_total", "Objects of the cache looked at for lists.", true, |one| {
        &one.fetched
    }),
    ("apiserver_cache_list_returned_objects_total", "Objects of the cache shown in lists.", false, |one| &one.returned),
    ("apiserver_storage_list_total", "Lists answered from the store.", false, |one| &one.store_lists),
    ("apiserver_storage_list_fetched_objects_total", "Objects of the store looked at for lists.", false, |one| {
        &one.store_fetched
    }),
    ("apiserver_storage_list_returned_objects_total", "Objects of the store shown in lists.", false, |one| {
        &one.store_returned
    }),
    ("apiserver_init_events_total", "Objects that watches began with.", false, |one| &one.initial),
    ("apiserver_terminated_watchers_total", "Watchers closed because they fell behind.", false, |one| &one.terminated),
];

/// Writes what is known of all resources.
pub(super) fn write(resources: &[ResourceSample<'_>], out: &mut String) {
    let labels =
        |one: &ResourceSample<'_>| format!("group=\"{}\",resource=\"{}\"", escape(one.group), escape(one.resource));
    head(out, "apiserver_resource_objects", "gauge", "Stored objects per resource.");
    for one in resources {
        let _ = writeln!(out, "apiserver_resource_objects{{{}}} {}", labels(one), one.objects);
    }
    head(out, "apiserver_storage_objects", "gauge", "Stored objects per resource, under the older name.");
    for one in resources {
        let dot = if one.group.is_empty() { "" } else { "." };
        let name = format!("{}{dot}{}", escape(one.resource), escape(one.group));
        let _ = writeln!(out, "apiserver_storage_objects{{resource=\"{name}\"}} {}", one.objects);
    }
    head(out, "apiserver_watch_cache_resource_version", "gauge", "Revision up to which the cache has seen everything.");
    for one in resources {
        let _ = writeln!(out, "apiserver_watch_cache_resource_version{{{}}} {}", labels(one), one.revision);
    }
    head(out, "etcd_bookmark_counts", "gauge", "Times the store told how far it is.");
    for one in resources {
        let _ = writeln!(out, "etcd_bookmark_counts{{{}}} {}", labels(one), one.counts.bookmarks.get());
    }
    for (name, help, index, of) in COUNTERS {
        head(out, name, "counter", help);
        let index = if index { ",index=\"\"" } else { "" };
        for (one, count) in resources.iter().map(|one| (one, of(one.counts).get())).filter(|(_, count)| *count > 0) {
            let _ = writeln!(out, "{name}{{{}{index}}} {count}", labels(one));
        }
    }
    let watched = || resources.iter().filter(|one| one.counts.events.count() > 0);
    let versioned = |one: &ResourceSample<'_>| format!("{},version=\"{}\"", labels(one), escape(one.version));
    head(out, "apiserver_watch_events_total", "counter", "Events sent to watchers.");
    for one in watched() {
        let _ = writeln!(out, "apiserver_watch_events_total{{{}}} {}", versioned(one), one.counts.events.count());
    }
    head(out, "apiserver_watch_events_sizes", "histogram", "Sizes of events sent to watchers, in bytes.");
    for one in watched() {
        one.counts.events.write("apiserver_watch_events_sizes", &versioned(one), out);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_resource_is_shown_with_what_was_counted() {
        let counts = ResourceCounts::default();
        counts.lists.one();
        counts.bookmarks.add(2);
        counts.fetched.add(7);
        counts.events.observe(1500);
        let sample = |group, resource| ResourceSample {
            group,
            version: "v1",
            resource,
            objects: 3,
            revision: 9,
            counts: &counts,
        };
        let mut page = String::new();
        write(&[sample("", "pods"), sample("apps", "deployments")], &mut page);
        for line in [
            "apiserver_resource_objects{group=\"apps\",resource=\"deployments\"} 3\n",
            "apiserver_storage_objects{resource=\"pods\"} 3\n",
            "apiserver_storage_objects{resource=\"deployments.apps\"} 3\n",
            "apiserver_watch_cache_resource_version{group=\"\",resource=\"pods\"} 9\n",
            "etcd_bookmark_counts{group=\"\",resource=\"pods\"} 2\n",
            "apiserver_cache_list_total{group=\"\",resource=\"pods\",index=\"\"} 1\n",
            "apiserver_cache_list_fetched_objects_total{group=\"\",resource=\"pods\",index=\"\"} 7\n",
            "apiserver_watch_events_total{group=\"\",resource=\"pods\",version=\"v1\"} 1\n",
            "apiserver_watch_events_sizes_bucket{group=\"\",resource=\"pods\",version=\"v1\",le=\"2048\"} 1\n",
        ] {
            assert!(page.contains(line), "{line} is not in {page}");
        }
        assert!(!page.contains("apiserver_storage_list_total{"), "what never happened is left out");
    }
}
