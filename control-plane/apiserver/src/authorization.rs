//! Authorization, at work: the authorizers in their order, what they know kept up with the objects, and what asks them.
//!
//! ```text
//!   caches of roles and bindings ──follow──> index ─┐
//!   caches of pods, volumes, …   ──follow──> graph ─┤
//!   request ──────────────────────────────────> decide ──> verdict
//! ```
//!
//! The index is replaced as a whole and read without a lock. What is decided is decided in the crate `authorization`.

mod follow;
mod grants;
mod impersonation;
mod metrics;
mod nodes;
mod rbac;
mod request;
pub(crate) mod reviews;
mod roles;

use std::sync::Arc;
use std::time::Instant;

use apiserver_core::user::{User, is_master};
use apiserver_core::{Registry, Resource, Status};
use authorization::review::Rights;
use authorization::{Attributes, Rule, Verdict};
use tokio::task::JoinSet;

use crate::app::App;
use crate::cache::Cache;
pub(crate) use grants::{check as check_grant, may_create};
pub(crate) use impersonation::impersonated;
use metrics::Counts;
use nodes::Nodes;
use rbac::Rbac;
pub(crate) use request::Asked;
pub(crate) use roles::keep as keep_roles;

/// One way to decide, under upstream's name for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    /// Nodes may what their pods need.
    Node,
    /// Users may what their roles say.
    Rbac,
    /// Everybody may everything.
    AlwaysAllow,
    /// Nobody may anything.
    AlwaysDeny,
}

impl Mode {
    const ALL: [(Self, &'static str); 4] = [
        (Self::Node, "Node"),
        (Self::Rbac, "RBAC"),
        (Self::AlwaysAllow, "AlwaysAllow"),
        (Self::AlwaysDeny, "AlwaysDeny"),
    ];

    /// Reads the modes of the command line.
    pub(crate) fn parse(text: &str) -> Result<Vec<Self>, String> {
        let mut modes: Vec<Self> = Vec::new();
        for word in text.split(',') {
            let found = Self::ALL.iter().find(|(_, name)| *name == word);
            let (mode, name) = found.ok_or_else(|| format!("{word:?} is not a valid mode"))?;
            if modes.contains(mode) {
                return Err(format!("mode {name:?} specified more than once"));
            }
            modes.push(*mode);
        }
        Ok(modes)
    }

    fn name(self) -> &'static str {
        Self::ALL.iter().find(|(mode, _)| *mode == self).map_or("", |(_, name)| name)
    }
}

/// The authorizers.
pub(crate) struct Authorization {
    modes: Vec<Mode>,
    rbac: Arc<Rbac>,
    nodes: Arc<Nodes>,
    counts: Counts,
}

impl Authorization {
    /// With authorizers in this order; `cache` finds the caches they look at.
    pub(crate) fn new(modes: &[Mode], registry: &Registry, cache: impl Fn(&Resource) -> Option<Arc<Cache>>) -> Self {
        let of = |group: &str, plural: &str| cache(registry.lookup(group, "v1", plural)?);
        Self {
            modes: modes.to_vec(),
            rbac: Arc::new(Rbac::new(of)),
            nodes: Arc::new(Nodes::new(of)),
            counts: Counts::new(modes),
        }
    }

    /// Keeps up with the objects until the tasks are dropped.
    pub(crate) fn follow(&self, tasks: &mut JoinSet<()>) {
        let (rbac, nodes) = (Arc::clone(&self.rbac), Arc::clone(&self.nodes));
        tasks.spawn(async move { rbac.follow().await });
        if self.modes.contains(&Mode::Node) {
            tasks.spawn(async move { nodes.follow().await });
        }
    }

    /// Asks the authorizers one after the other. The group of masters is asked about first, and may everything.
    pub(crate) fn decide(&self, attributes: &Attributes<'_>) -> Verdict {
        if is_master(attributes.user) {
            return Verdict::allow("");
        }
        let mut verdict = Verdict::no_opinion("");
        for mode in &self.modes {
            let one = match mode {
                Mode::Node => self.nodes.decide(attributes),
                Mode::Rbac => self.rbac.index().decide(attributes),
                Mode::AlwaysAllow => Verdict::allow(""),
                Mode::AlwaysDeny => Verdict::no_opinion("Everything is forbidden."),
            };
            self.counts.decided(*mode, one.decision);
            let decided = one.decision != authorization::Decision::NoOpinion;
            verdict.and_then(one);
            if decided {
                break;
            }
        }
        verdict
    }

    /// Lets a request through, or says why not.
    pub(crate) fn allow(&self, attributes: &Attributes<'_>) -> Result<(), Status> {
        let started = Instant::now();
        let verdict = self.decide(attributes);
        self.counts.attempted(verdict.decision, started.elapsed());
        if verdict.is_allowed() { Ok(()) } else { Err(attributes.refusal(&verdict.reason)) }
    }

    /// All that a user may do in a namespace, as far as it can be listed.
    pub(crate) fn rights(&self, user: &User, namespace: &str) -> Rights {
        let all = || vec!["*".to_owned()];
        let mut rights = Rights::default();
        for mode in &self.modes {
            match mode {
                Mode::Node if authorization::node::identity(user).is_some() => {
                    rights.incomplete = true;
                    rights.errors.push("node authorizer does not support user rule resolution".to_owned());
                }
                Mode::Node | Mode::AlwaysDeny => {}
                Mode::Rbac => {
                    let (rules, errors) = self.rbac.index().rules_of(user, namespace);
                    rights.rules.extend(rules);
                    rights.errors.extend(errors);
                }
                Mode::AlwaysAllow => {
                    let resources = Rule { groups: all(), resources: all(), verbs: all(), ..Rule::default() };
                    rights.rules.extend([resources, Rule { paths: all(), verbs: all(), ..Rule::default() }]);
                }
            }
        }
        rights
    }

    /// Waits until everything this server wrote is what is judged by.
    ///
    /// # Errors
    ///
    /// When the caches do not hear of it in time.
    async fn reach_own_writes(&self) -> Result<(), Status> {
        self.rbac.reach_own_writes().await.map_err(|behind| {
            Status::timeout(&format!("the roles are known only up to revision {}", behind.current), 1)
        })
    }

    /// Writes what is counted.
    pub(crate) fn write_metrics(&self, out: &mut String) {
        self.counts.write(out);
    }
}

/// Asks the server's authorizers about a request, and about what else it takes.
pub(crate) fn authorize(app: &App, asked: &Asked, user: &User) -> Result<(), Status> {
    app.authorization.allow(&asked.attributes(user))?;
    match asked.also() {
        Some(also) => app.authorization.allow(&also.attributes(user)),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modes_are_upstreams_and_each_is_there_once() {
        assert_eq!(Mode::parse("Node,RBAC"), Ok(vec![Mode::Node, Mode::Rbac]));
        assert_eq!(Mode::parse("rbac"), Err("\"rbac\" is not a valid mode".to_owned()));
        assert_eq!(Mode::parse("RBAC,RBAC"), Err("mode \"RBAC\" specified more than once".to_owned()));
        assert!(Mode::parse("").is_err());
    }
}
