//! A configuration in force: its levels at work, and the seats they lend each other.

use std::collections::BTreeMap;
use std::sync::Arc;

use apiserver_core::flow::{self, Configuration, Digest, most_seats};
use fair::{Bounds, Claim, Moment, divide};
use http::HeaderValue;
use tokio::time::Instant;

use super::Classified;
use super::level::Level;

/// What is in force.
pub(super) struct Force {
    pub(super) configuration: Configuration,
    /// One for each schema, in their order.
    routes: Vec<Route>,
    /// By name; also those that are not configured any more and still have requests.
    pub(super) levels: BTreeMap<String, Ruled>,
}

/// A level and its rules.
#[derive(Clone)]
pub(super) struct Ruled {
    pub(super) level: Arc<Level>,
    pub(super) rules: flow::Level,
    pub(super) bounds: Bounds,
    /// Whether it is not configured any more.
    pub(super) left_over: bool,
}

/// Where requests of a schema go.
pub(super) struct Route {
    pub(super) schema: flow::Schema,
    /// The schema's name, shared by what is counted.
    pub(super) name: Arc<str>,
    pub(super) level: Arc<Level>,
    pub(super) classified: Classified,
    /// Whether its flows have queues of their own.
    pub(super) parts_flows: bool,
    /// Seats a request may take at most, if the level bounds them.
    pub(super) most_seats: Option<u64>,
}

impl Force {
    /// Makes the levels of a configuration. Those of `before` go on under their new rules, with the requests they have.
    pub(super) fn new(configuration: Configuration, before: Option<&Self>, seats: u64, epoch: Instant) -> Self {
        let now = Moment::after(epoch.elapsed());
        let left_over = before
            .into_iter()
            .flat_map(|before| before.levels.values())
            .filter(|ruled| !configuration.levels.contains_key(&ruled.rules.name) && !ruled.level.is_idle());
        // What is left over keeps its share until its requests are gone.
        let rules: Vec<(flow::Level, bool)> = configuration
            .levels
            .values()
            .map(|rules| (rules.clone(), false))
            .chain(left_over.map(|ruled| (ruled.rules.clone(), true)))
            .collect();
        let sum = rules.iter().map(|(rules, _)| u64::from(rules.share.shares)).sum();
        let mut levels = BTreeMap::new();
        for (rules, left_over) in rules {
            let bounds = rules.share.bounds(seats, sum);
            let old = before.and_then(|before| before.levels.get(&rules.name)).map(|ruled| Arc::clone(&ruled.level));
            let level = old.unwrap_or_else(|| {
                // It begins with half of what it may lend lent.
                let limit = bounds.nominal - (bounds.nominal - bounds.least) / 2;
                Arc::new(Level::new(rules.discipline, limit, epoch))
            });
            level.rule(now, rules.discipline);
            levels.insert(rules.name.clone(), Ruled { level, rules, bounds, left_over });
        }
        let routes = configuration.schemas.iter();
        let routes = routes.filter_map(|schema| Some(Route::new(schema, levels.get(&schema.level)?))).collect();
        let force = Self { configuration, routes, levels };
        force.lend(now);
        force
    }

    /// Where a request goes.
    pub(super) fn route(&self, digest: &Digest<'_>) -> &Route {
        let place = self.configuration.classify(digest);
        // Every schema of a configuration has its level, so places and routes agree.
        &self.routes[place]
    }

    /// Whether a level that is not configured any more is idle now.
    pub(super) fn has_leftovers(&self) -> bool {
        self.levels.values().any(|ruled| ruled.left_over && ruled.level.is_idle())
    }

    /// Divides the seats by what the levels wanted since the last time.
    pub(super) fn lend(&self, now: Moment) {
        let claims: Vec<Claim> = self
            .levels
            .values()
            .map(|ruled| {
                let wanted = ruled.level.wanted(now);
                let bounds = ruled.bounds;
                let least = (bounds.least as f64).max(wanted.last.most.min(bounds.nominal as f64));
                Claim { least, most: bounds.most as f64, target: least.max(wanted.seats) }
            })
            .collect();
        let total = self.levels.values().map(|ruled| ruled.bounds.nominal).sum();
        let division = divide(total, &claims);
        if division.is_none() {
            tracing::warn!("the seats of the server cannot be divided as levels are configured; they stay as they are");
        }
        for (index, (ruled, claim)) in self.levels.values().zip(&claims).enumerate() {
            let part = division.as_ref().map(|division| (division.parts[index].round() as u64, division.factor));
            ruled.level.lend(now, part, claim.target);
        }
    }
}

impl Route {
    fn new(schema: &flow::Schema, ruled: &Ruled) -> Self {
        let header = |uid: &str| HeaderValue::from_str(uid).unwrap_or(HeaderValue::from_static(""));
        Self {
            schema: schema.clone(),
            name: schema.name.as_str().into(),
            level: Arc::clone(&ruled.level),
            classified: Classified { schema: header(&schema.uid), level: header(&ruled.rules.uid) },
            parts_flows: ruled.rules.parts_flows(),
            most_seats: most_seats(ruled.rules.discipline, ruled.bounds),
        }
    }
}
