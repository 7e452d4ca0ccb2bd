//! The table of controllers, and what each of them is given. To add one: a file below `controllers/`, a line in
//! [`TABLE`].

mod namespace;
mod role_aggregation;
mod root_ca;
mod service_account;

use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use controller_manager_core::queue::Pace;
use controller_manager_core::selection::Name;
use futures::future::BoxFuture;
use k8s_openapi::api::core::v1::Namespace;
use kube::Resource;
use kube::core::PartialObjectMeta;
use serde::de::DeserializeOwned;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::api_server::ApiServer;
use crate::clock::Clock;
use crate::informer::{Informer, keep_up};
use crate::metrics::Metrics;
use crate::worker::Worker;

/// How fast failing objects come back, unless a controller has a reason of its own. The last delay is how long an
/// object may stay unattended after an outage.
const PACE: Pace = Pace { first: Duration::from_millis(100), last: Duration::from_secs(30) };

/// One controller.
struct Controller {
    name: Name,
    /// Sets it up; the future runs it until it is dropped.
    start: fn(&Context) -> BoxFuture<'static, ()>,
}

const TABLE: [Controller; 4] = [
    Controller { name: service_account::NAME, start: service_account::start },
    Controller { name: namespace::NAME, start: namespace::start },
    Controller { name: root_ca::NAME, start: root_ca::start },
    Controller { name: role_aggregation::NAME, start: role_aggregation::start },
];

/// The names of all controllers.
pub(crate) fn names() -> Vec<Name> {
    TABLE.iter().map(|controller| controller.name).collect()
}

/// What does not change from one term of leadership to the next.
#[derive(Clone)]
pub(crate) struct Surroundings {
    pub(crate) api: ApiServer,
    pub(crate) clock: Clock,
    pub(crate) metrics: Arc<Metrics>,
    /// The certificates to publish; `None` when none were given.
    pub(crate) root_ca: Option<watch::Receiver<Arc<str>>>,
    pub(crate) concurrent_namespaces: usize,
}

/// What a controller is given for one term of leadership.
struct Context {
    surroundings: Surroundings,
    namespaces: OnceLock<Arc<Informer<NamespaceState>>>,
    informers: Mutex<JoinSet<()>>,
}

/// What is kept of every namespace.
#[derive(Debug, Clone, PartialEq, Eq)]
struct NamespaceState {
    uid: String,
    active: bool,
}

impl Context {
    fn api(&self) -> ApiServer {
        self.surroundings.api.clone()
    }

    fn clock(&self) -> Clock {
        self.surroundings.clock
    }

    fn worker<K>(&self, name: Name, pace: Pace) -> Arc<Worker<K>>
    where
        K: Clone + std::fmt::Debug + Eq + std::hash::Hash + Ord + Send + Sync + 'static,
    {
        Worker::new(name.full, pace, self.clock(), self.surroundings.metrics.queue(name.full))
    }

    /// All namespaces, shared by the controllers.
    fn namespaces(&self) -> Arc<Informer<NamespaceState>> {
        let state = |namespace: &PartialObjectMeta<Namespace>| NamespaceState {
            uid: namespace.metadata.uid.clone().unwrap_or_default(),
            active: namespace.metadata.deletion_timestamp.is_none(),
        };
        Arc::clone(self.namespaces.get_or_init(|| self.informer("", state)))
    }

    /// A picture for one controller: of the objects that `fields` selects, what `project` takes of them.
    fn informer<T, V>(
        &self,
        fields: &'static str,
        project: impl Fn(&T) -> V + Send + Sync + 'static,
    ) -> Arc<Informer<V>>
    where
        T: Resource<DynamicType = ()> + DeserializeOwned + Send + 'static,
        V: Clone + PartialEq + Send + Sync + 'static,
    {
        let informer = Informer::new();
        let task = keep_up(self.api(), self.clock(), fields, Arc::clone(&informer), project);
        self.informers.lock().unwrap_or_else(PoisonError::into_inner).spawn(task);
        informer
    }
}

/// A controller ended, which none ever should.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TermError {
    /// It panicked.
    #[error("a controller failed")]
    Panicked(#[source] tokio::task::JoinError),
    /// It returned.
    #[error("a controller ended by itself")]
    Ended,
}

/// Runs the chosen controllers until `stop`. When this returns, none of them acts any more.
pub(crate) async fn run(
    chosen: Vec<&'static str>,
    surroundings: Surroundings,
    stop: CancellationToken,
) -> Result<(), TermError> {
    let context = Context { surroundings, namespaces: OnceLock::new(), informers: Mutex::default() };
    let mut controllers = JoinSet::new();
    for controller in TABLE.iter().filter(|controller| chosen.contains(&controller.name.full)) {
        tracing::info!(controller = controller.name.full, "starting");
        controllers.spawn((controller.start)(&context));
    }
    let mut informers = context.informers.into_inner().unwrap_or_else(PoisonError::into_inner);
    let ended = tokio::select! {
        () = stop.cancelled() => Ok(()),
        Some(ended) = controllers.join_next() => Err(ended),
        Some(ended) = informers.join_next() => Err(ended),
    };
    controllers.shutdown().await;
    informers.shutdown().await;
    match ended {
        Ok(()) => Ok(()),
        Err(Ok(())) => Err(TermError::Ended),
        Err(Err(error)) => Err(TermError::Panicked(error)),
    }
}
