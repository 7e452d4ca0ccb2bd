//! Priority and fairness, at work: which request may go, which waits, and which is turned away.
//!
//! ```text
//!   request ──classify──> schema, level ──arrive──> served ──────────────> Place ──drop──> the next goes
//!                                          ├──────> waits, a while at most ──┘
//!                                          └──────> 429
//! ```
//!
//! Each level has its own lock, held for a few operations in memory and never across a wait. Nothing is shared by all levels but
//! the configuration in force, which is replaced as a whole.

mod cost;
mod dump;
mod follow;
mod force;
mod level;
mod metrics;
mod watchers;

use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use apiserver_core::flow::{Configuration, Digest, Target};
use apiserver_core::user::User;
use fair::Moment;
use http::header::HeaderName;
use http::{HeaderMap, HeaderValue};
use tokio::time::Instant;

use crate::app::App;
use crate::request_info::{RequestInfo, ResourceRequest};
pub(crate) use follow::follow;
use force::Force;
pub(crate) use level::{Place, Turn};
use watchers::Watchers;
pub(crate) use watchers::Watching;

const SCHEMA_UID: HeaderName = HeaderName::from_static("x-kubernetes-pf-flowschema-uid");
const LEVEL_UID: HeaderName = HeaderName::from_static("x-kubernetes-pf-prioritylevel-uid");
/// Nobody waits longer for a place, whatever deadline the request has.
const LONGEST_WAIT: Duration = Duration::from_mins(1);

/// The levels and their requests.
pub(crate) struct Flow {
    /// Moments are counted from here.
    epoch: Instant,
    /// Seats of the server.
    seats: u64,
    force: RwLock<Arc<Force>>,
    watchers: Watchers,
}

/// A request, as this module looks at it.
pub(crate) struct Asking<'a> {
    /// What it asks for.
    pub(crate) info: &'a Arc<RequestInfo>,
    /// The parameters of its query.
    pub(crate) query: &'a [(String, String)],
    /// Who asks.
    pub(crate) user: &'a User,
    /// When it came.
    pub(crate) received: Instant,
    /// How long it may take; none if for ever.
    pub(crate) timeout: Option<Duration>,
}

/// Which schema and level a request is of.
#[derive(Debug, Clone)]
pub(crate) struct Classified {
    schema: HeaderValue,
    level: HeaderValue,
}

impl Classified {
    /// Tells the client. By uid: the names are nobody's business.
    pub(crate) fn mark(self, headers: &mut HeaderMap) {
        headers.insert(SCHEMA_UID, self.schema);
        headers.insert(LEVEL_UID, self.level);
    }
}

impl Flow {
    /// With the mandatory configuration in force, over `seats`.
    pub(crate) fn new(seats: u64) -> Self {
        let epoch = Instant::now();
        let force = Force::new(Configuration::of([], []), None, seats, epoch);
        Self { epoch, seats, force: RwLock::new(Arc::new(force)), watchers: Watchers::default() }
    }

    /// Classifies a request, tells `classified`, and waits until there is room for it or there will be none. Dropping the
    /// future takes the request out of its queue.
    pub(crate) async fn enter(&self, app: &App, asking: &Asking<'_>, classified: &mut Option<Classified>) -> Turn {
        let force = self.in_force();
        let digest = digest(asking.user, asking.info);
        let route = force.route(&digest);
        *classified = Some(route.classified.clone());
        let width = cost::width(app, self, asking, route);
        let limit = asking.timeout.unwrap_or(app.options.request_timeout) / 4;
        route.level.enter(route, &digest, width, asking, asking.received + limit.min(LONGEST_WAIT)).await
    }

    /// Counts a watcher until the guard is dropped: changes of what it watches cost more.
    pub(crate) fn watching(self: &Arc<Self>, target: &ResourceRequest, query: &[(String, String)]) -> Watching {
        Watching::new(Arc::clone(self), target, query)
    }

    fn in_force(&self) -> Arc<Force> {
        Arc::clone(&self.force.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Puts a configuration in force. One task calls this and [`adjust`](Self::adjust).
    fn replace(&self, configuration: Configuration) {
        let next = Force::new(configuration, Some(&self.in_force()), self.seats, self.epoch);
        *self.force.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(next);
    }

    /// Lends seats anew, and forgets levels that were replaced and are idle.
    fn adjust(&self) {
        let force = self.in_force();
        force.lend(self.now());
        if force.has_leftovers() {
            self.replace(force.configuration.clone());
        }
    }

    fn now(&self) -> Moment {
        Moment::after(self.epoch.elapsed())
    }
}

fn digest<'a>(user: &'a User, info: &'a RequestInfo) -> Digest<'a> {
    let target = match &info.resource {
        Some(target) => Target::Resource {
            group: &target.group,
            plural: &target.resource,
            subresource: &target.subresource,
            namespace: &target.namespace,
        },
        None => Target::Path(&info.path),
    };
    Digest { user, verb: info.verb.as_str(), target }
}

#[cfg(test)]
mod tests;
