//! What every request handler shares.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex};

use apiserver_core::{Registry, Resource};
use tokio::sync::watch;
use tokio_util::task::TaskTracker;

use crate::admission::Admission;
use crate::authentication::Authentication;
use crate::authorization::Authorization;
use crate::cache::Cache;
use crate::documents::Documents;
use crate::flow::Flow;
use crate::hooks::Hooks;
use crate::inflight::InFlight;
use crate::metrics::Metrics;
use crate::options::Options;
use crate::service_addresses::ServiceAddresses;
use crate::store_client::{LeasePool, StoreClient};

/// Where the server is between its start and its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Phase {
    /// Serving.
    Serving,
    /// Told to stop: `/readyz` fails so that balancers look elsewhere, everything else goes on.
    Leaving,
    /// Watches end, and requests finish. What is new is asked to go elsewhere, if the server is told to say so.
    Draining,
    /// Nobody is let in any more, and connections close after their requests.
    Closing,
}

/// The server's parts.
pub(crate) struct App {
    /// The checked flags.
    pub(crate) options: Options,
    /// The rows.
    pub(crate) registry: Registry,
    /// Who is let in.
    pub(crate) authentication: Authentication,
    /// The client of the store.
    pub(crate) store: Arc<StoreClient>,
    /// The watch caches, by where their objects are stored.
    caches: HashMap<String, Arc<Cache>>,
    /// What is counted.
    pub(crate) metrics: Arc<Metrics>,
    /// Who may do what.
    pub(crate) authorization: Authorization,
    /// Leases of events.
    pub(crate) event_leases: LeasePool,
    /// Addresses and ports of Services.
    pub(crate) addresses: ServiceAddresses,
    /// Discovery and schemas.
    pub(crate) documents: Documents,
    /// Where the server is in its life.
    pub(crate) phase: watch::Sender<Phase>,
    /// Connections that went on in another protocol than HTTP.
    pub(crate) switched: TaskTracker,
    /// What is done of what a server does once after its start.
    pub(crate) hooks: Hooks,
    /// Whether the objects a fresh server makes are there.
    pub(crate) bootstrapped: watch::Sender<bool>,
    /// Which checks failed when a health endpoint was last asked.
    pub(crate) unwell: Mutex<BTreeMap<&'static str, Vec<&'static str>>>,
    /// Who is served when many ask; none if only the plain limit holds.
    pub(crate) flow: Option<Arc<Flow>>,
    /// The plain limit.
    pub(crate) inflight: InFlight,
    /// What writes pass besides the rules of their kinds.
    pub(crate) admission: Admission,
}

impl App {
    /// Puts the parts together; nothing runs yet.
    pub(crate) fn new(
        options: Options,
        registry: Registry,
        authentication: Authentication,
        store: Arc<StoreClient>,
        metrics: Arc<Metrics>,
        admission: Admission,
    ) -> Self {
        let mut caches: HashMap<String, Arc<Cache>> = HashMap::new();
        for row in registry.iter().filter(|row| row.stored) {
            caches.entry(row.storage.clone()).or_insert_with(|| Arc::new(Cache::new(Arc::clone(row))));
        }
        let authorization =
            Authorization::new(&options.authorization, &registry, |row| caches.get(&row.storage).cloned());
        Self {
            authorization,
            event_leases: LeasePool::new(options.event_ttl),
            addresses: ServiceAddresses::new(options.service_ranges.clone(), options.node_ports),
            documents: Documents::new(registry.clone(), options.advertise, options.listen.port()),
            phase: watch::Sender::new(Phase::Serving),
            switched: TaskTracker::new(),
            hooks: Hooks::default(),
            bootstrapped: watch::Sender::new(false),
            unwell: Mutex::default(),
            flow: options.fairness.then(|| Arc::new(Flow::new((options.max_reads + options.max_writes) as u64))),
            inflight: InFlight::new(options.max_reads, options.max_writes),
            options,
            registry,
            authentication,
            store,
            caches,
            metrics,
            admission,
        }
    }

    /// All caches.
    pub(crate) fn caches(&self) -> impl Iterator<Item = &Arc<Cache>> {
        self.caches.values()
    }

    /// The cache of a row. Every row whose objects are kept has one: `new` made them.
    pub(crate) fn cache(&self, row: &Resource) -> Option<&Arc<Cache>> {
        self.caches.get(&row.storage)
    }

    /// The row of a core resource the server itself works with.
    pub(crate) fn core_row(&self, plural: &str) -> Option<&Arc<Resource>> {
        self.registry.lookup("", "v1", plural)
    }
}
