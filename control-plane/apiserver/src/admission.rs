//! Admission: the plugins of crate `admission`, each asked at its place with what the caches know, and what is more than a
//! decision. A write meets them in `writes`, between its defaults and its validation, and again before the store.
//!
//! ```text
//!   taken in ─> plugins that change ─> validation ─> plugins that look ─> store
//!                     ^                                     ^
//!                     └──── facts: caches, then the store, for what a refusal missed
//! ```

mod configuration;
mod facts;
mod metrics;
mod quota;
mod request;
mod rights;

use std::time::{Duration, Instant};

use admission::plugins::{Settings, plugin};
use admission::{Attributes, Plugin, enabled};
use apiserver_core::{Object, Status};

use crate::app::App;
use configuration::Configuration;
pub(crate) use configuration::Flags;
use metrics::{Metrics, Step};
use quota::Quotas;
pub(crate) use request::{Admitted, Wishes};

/// Plugins that are on by default upstream and that nothing here asks yet. Whoever turns one on is told that there is none.
const UNASKED: [&str; 5] = [
    "PodSecurity",
    "MutatingAdmissionPolicy",
    "ValidatingAdmissionPolicy",
    "MutatingAdmissionWebhook",
    "ValidatingAdmissionWebhook",
];
/// Plugins that act only with feature gates that are off.
const GATED: [&str; 2] = ["PodGroupProtection", "JobValidation"];

/// One place in the order.
enum Place {
    /// A decision.
    Plugin(Box<dyn Plugin>),
    /// What is used is kept as well.
    Quotas(Quotas),
}

/// The name of the plugin that keeps quotas.
const QUOTAS: &str = "ResourceQuota";

impl Place {
    fn name(&self) -> &'static str {
        match self {
            Self::Plugin(plugin) => plugin.name(),
            Self::Quotas(_) => QUOTAS,
        }
    }

    fn concerns(&self, attributes: &Attributes<'_>) -> bool {
        match self {
            Self::Plugin(plugin) => plugin.concerns(attributes),
            Self::Quotas(_) => Quotas::concern(attributes),
        }
    }
}

/// The plugins that are on, in order.
pub(crate) struct Admission {
    places: Vec<Place>,
    metrics: Metrics,
}

impl Admission {
    /// The plugins that the flags ask for.
    ///
    /// # Errors
    ///
    /// Everything that is wrong with the flags and the files they name.
    pub(crate) fn new(flags: &Flags) -> Result<Self, String> {
        let configuration = Configuration::read(flags.file.as_deref())?;
        let settings =
            Settings { not_ready_seconds: flags.not_ready_seconds, unreachable_seconds: flags.unreachable_seconds };
        let names = enabled(&flags.on, &flags.off)
            .map_err(|why| format!("--enable-admission-plugins, --disable-admission-plugins: {why}"))?;
        let mut places = Vec::new();
        for name in names {
            let about = |why: String| format!("{name}: {why}");
            match plugin(name, settings, configuration.of(name)).map_err(about)? {
                Some(plugin) => places.push(Place::Plugin(plugin)),
                None if name == QUOTAS => {
                    let limited = admission::quota::limited(configuration.of(name)).map_err(about)?;
                    places.push(Place::Quotas(Quotas::new(limited)));
                }
                None if GATED.contains(&name) => {}
                None if UNASKED.contains(&name) && !flags.on.iter().any(|on| on == name) => {
                    tracing::warn!(
                        plugin = name,
                        "this server does not ask this admission plugin yet: what it would refuse passes"
                    );
                }
                None => return Err(format!("--enable-admission-plugins: this server has no {name}")),
            }
        }
        Ok(Self { places, metrics: Metrics::default() })
    }

    /// Lets the plugins change an object, or refuse it.
    pub(crate) async fn mutate(
        &self,
        app: &App,
        attributes: &Attributes<'_>,
        object: &mut Object,
    ) -> Result<(), Status> {
        let started = Instant::now();
        for place in self.places.iter().filter(|place| place.concerns(attributes)) {
            let Place::Plugin(plugin) = place else { continue };
            let began = Instant::now();
            let outcome =
                facts::learn(app, attributes, plugin.reads(), |facts| plugin.mutate(attributes, object, facts)).await;
            self.count(attributes, Step::Admit, place, began.elapsed(), &outcome);
            if outcome.is_err() {
                self.metrics.step(attributes.operation, Step::Admit, started.elapsed(), true);
                return outcome;
            }
        }
        self.metrics.step(attributes.operation, Step::Admit, started.elapsed(), false);
        Ok(())
    }

    /// Lets the plugins refuse an object that is valid, or a deletion.
    pub(crate) async fn validate(
        &self,
        app: &App,
        attributes: &Attributes<'_>,
        object: Option<&Object>,
    ) -> Result<(), Status> {
        let started = Instant::now();
        for place in self.places.iter().filter(|place| place.concerns(attributes)) {
            let began = Instant::now();
            let outcome = match place {
                Place::Plugin(plugin) => {
                    facts::learn(app, attributes, plugin.reads(), |facts| plugin.validate(attributes, object, facts))
                        .await
                }
                Place::Quotas(quotas) => quotas.evaluate(app, attributes, object).await,
            };
            self.count(attributes, Step::Validate, place, began.elapsed(), &outcome);
            if outcome.is_err() {
                self.metrics.step(attributes.operation, Step::Validate, started.elapsed(), true);
                return outcome;
            }
        }
        self.metrics.step(attributes.operation, Step::Validate, started.elapsed(), false);
        Ok(())
    }

    fn count(
        &self,
        attributes: &Attributes<'_>,
        step: Step,
        place: &Place,
        took: Duration,
        outcome: &Result<(), Status>,
    ) {
        self.metrics.plugin(place.name(), attributes.operation, step, took, outcome.is_err());
    }

    /// The samples of what was counted.
    pub(crate) fn write_metrics(&self, out: &mut String) {
        self.metrics.write(out);
    }
}
