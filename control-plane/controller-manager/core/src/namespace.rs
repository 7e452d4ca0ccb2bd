//! How a namespace goes away: its contents first (pods before everything else), then the finalizer that holds it.
//!
//! ```text
//!   deleted by a user        pods gone        all gone, twice if        finalizer removed
//!   Terminating -----------> rest is deleted ----the first look was-----> the API server drops it
//!        ^  |  something is left, or failed       too early
//!        '--'  (conditions say what)
//! ```

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::Duration;

use k8s_openapi::api::core::v1::{Namespace, NamespaceCondition};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use crate::catalogue::{Catalogue, Resource};
use crate::uptime::Uptime;

/// The finalizer by which this controller holds a namespace.
pub const FINALIZER: &str = "kubernetes";

/// For so long after a namespace was first seen on its way out, an API server that has not heard of it yet may still
/// let objects in. A pass that began earlier does not count as the last one. Shorter values could leave orphans
/// behind, longer ones make each deletion wait.
pub const SETTLING: Duration = Duration::from_secs(2);

/// What the state of the namespace asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Task {
    /// Nothing: it is in use, or somebody else's finalizers are all that holds it.
    Leave,
    /// It is being deleted but does not say so yet.
    MarkTerminating,
    /// Its contents must go.
    Empty,
}

/// Chooses what to do with the namespace as it is now.
#[must_use]
pub fn task(namespace: &Namespace) -> Task {
    if namespace.metadata.deletion_timestamp.is_none() || !holds(namespace) {
        return Task::Leave;
    }
    let phase = namespace.status.as_ref().and_then(|status| status.phase.as_deref());
    if phase == Some("Terminating") { Task::Empty } else { Task::MarkTerminating }
}

fn holds(namespace: &Namespace) -> bool {
    let finalizers = namespace.spec.as_ref().and_then(|spec| spec.finalizers.as_deref());
    finalizers.is_some_and(|finalizers| finalizers.iter().any(|finalizer| finalizer == FINALIZER))
}

/// The namespace as it is to be sent to its `finalize` subresource: without our finalizer.
#[must_use]
pub fn released(mut namespace: Namespace) -> Namespace {
    if let Some(finalizers) = namespace.spec.as_mut().and_then(|spec| spec.finalizers.as_mut()) {
        finalizers.retain(|finalizer| finalizer != FINALIZER);
    }
    namespace
}

/// The order in which resources are emptied. A stage begins when nothing of the earlier ones is left, so that a pod
/// never sees the things vanish that protect it or that it lives by, such as its network policies and secrets.
#[must_use]
pub fn stages(catalogue: &Catalogue) -> [Vec<&Resource>; 2] {
    let (pods, rest) = catalogue
        .deletable()
        .partition(|resource| resource.group_version.group.is_empty() && resource.plural == "pods");
    [pods, rest]
}

/// What is left of one resource after its deletion was asked for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Leftover {
    /// How many objects.
    pub objects: u64,
    /// How many of them carry each finalizer.
    pub finalizers: BTreeMap<String, u64>,
}

impl Leftover {
    /// Counts one object.
    pub fn count(&mut self, finalizers: &[String]) {
        self.objects += 1;
        for finalizer in finalizers {
            *self.finalizers.entry(finalizer.clone()).or_default() += 1;
        }
    }
}

/// What one pass over the contents of a namespace found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Pass {
    discovery: BTreeMap<String, String>,
    failures: Vec<String>,
    left: BTreeMap<String, u64>,
    finalizers: BTreeMap<String, u64>,
}

impl Pass {
    /// A pass over what `catalogue` knows. What discovery could not say is part of the findings.
    ///
    /// A catalogue without anything of the core group is a failure too: every server has that, and one that does not
    /// say so (it may still be starting) would have all contents of the namespace left behind.
    #[must_use]
    pub fn new(catalogue: &Catalogue) -> Self {
        let mut discovery = catalogue.failures().clone();
        if !catalogue.deletable().any(|resource| resource.group_version.group.is_empty()) {
            discovery.insert("v1".to_owned(), "the server tells of no resources".to_owned());
        }
        Self { discovery, ..Self::default() }
    }

    /// A pass that could not even begin.
    #[must_use]
    pub fn without_discovery(reason: String) -> Self {
        Self { discovery: BTreeMap::from([("all groups".to_owned(), reason)]), ..Self::default() }
    }

    /// Notes what is left of a resource.
    pub fn found(&mut self, resource: &Resource, leftover: &Leftover) {
        if leftover.objects > 0 {
            *self.left.entry(resource.group_resource()).or_default() += leftover.objects;
        }
        for (finalizer, count) in &leftover.finalizers {
            *self.finalizers.entry(finalizer.clone()).or_default() += count;
        }
    }

    /// Notes that the contents of a resource could not be deleted or counted.
    pub fn failed(&mut self, resource: &Resource, reason: &str) {
        self.failures.push(format!("{}: {reason}", resource.group_resource()));
    }

    /// Whether the next stage may begin: nothing is left and nothing failed so far.
    #[must_use]
    pub fn stage_is_clear(&self) -> bool {
        self.failures.is_empty() && self.left.is_empty()
    }

    /// What follows from the pass.
    ///
    /// `first_seen` is when this controller first saw the namespace on its way out, `began` when the pass began.
    #[must_use]
    pub fn verdict(&self, first_seen: Uptime, began: Uptime) -> Verdict {
        if !self.failures.is_empty() || !self.discovery.is_empty() {
            let mut text = String::new();
            for (group, reason) in &self.discovery {
                let _ = write!(text, "{}discovery of {group}: {reason}", separator(&text));
            }
            for failure in &self.failures {
                let _ = write!(text, "{}{failure}", separator(&text));
            }
            return Verdict::Failed(text);
        }
        if !self.left.is_empty() {
            return Verdict::Left;
        }
        let age = began.since(first_seen);
        if age < SETTLING { Verdict::LookAgain(SETTLING.saturating_sub(age)) } else { Verdict::Release }
    }

    /// The conditions that tell users about the pass; `None` when `previous` says the same already.
    ///
    /// A condition keeps its time of transition unless its status changes; conditions of other types are kept.
    #[must_use]
    pub fn conditions(&self, previous: &[NamespaceCondition], now: &Time) -> Option<Vec<NamespaceCondition>> {
        let mut conditions = previous.to_vec();
        for (type_, wrong, reason, message) in self.findings() {
            let status = if wrong { "True" } else { "False" };
            let condition = NamespaceCondition {
                last_transition_time: Some(now.clone()),
                message: Some(message),
                reason: Some(reason.to_owned()),
                status: status.to_owned(),
                type_: type_.to_owned(),
            };
            match conditions.iter_mut().find(|old| old.type_ == type_) {
                None => conditions.push(condition),
                Some(old) if old.status == status => {
                    let last_transition_time = old.last_transition_time.take();
                    *old = NamespaceCondition { last_transition_time, ..condition };
                }
                Some(old) => *old = condition,
            }
        }
        (conditions != previous).then_some(conditions)
    }

    /// Type, whether it is true, reason and message of each condition, with the words users know.
    fn findings(&self) -> [(&'static str, bool, &'static str, String); 5] {
        let discovery = if self.discovery.is_empty() {
            (
                "NamespaceDeletionDiscoveryFailure",
                false,
                "ResourcesDiscovered",
                "All resources successfully discovered".into(),
            )
        } else {
            let list: Vec<_> = self.discovery.iter().map(|(group, reason)| format!("{group}: {reason}")).collect();
            let message =
                format!("Discovery failed for some groups, {} failing: {}", self.discovery.len(), list.join(", "));
            ("NamespaceDeletionDiscoveryFailure", true, "DiscoveryFailed", message)
        };
        let parsing = (
            "NamespaceDeletionGroupVersionParsingFailure",
            false,
            "ParsedGroupVersions",
            "All legacy kube types successfully parsed".into(),
        );
        let content = if self.failures.is_empty() {
            let message = "All content successfully deleted, may be waiting on finalization".into();
            ("NamespaceDeletionContentFailure", false, "ContentDeleted", message)
        } else {
            // The first few are enough to act upon; a status has no room for all.
            let shown: Vec<_> = self.failures.iter().take(10).map(String::as_str).collect();
            let message =
                format!("Failed to delete all resource types, {} remaining: {}", self.failures.len(), shown.join(", "));
            ("NamespaceDeletionContentFailure", true, "ContentDeletionFailed", message)
        };
        let remaining = if self.left.is_empty() {
            ("NamespaceContentRemaining", false, "ContentRemoved", "All content successfully removed".into())
        } else {
            let list: Vec<_> = self
                .left
                .iter()
                .map(|(resource, count)| format!("{resource} has {count} resource instances"))
                .collect();
            let message = format!("Some resources are remaining: {}", list.join(", "));
            ("NamespaceContentRemaining", true, "SomeResourcesRemain", message)
        };
        let finalizers = if self.finalizers.is_empty() {
            let message = "All content-preserving finalizers finished".into();
            ("NamespaceFinalizersRemaining", false, "ContentHasNoFinalizers", message)
        } else {
            let list: Vec<_> = self
                .finalizers
                .iter()
                .map(|(finalizer, count)| format!("{finalizer} in {count} resource instances"))
                .collect();
            let message = format!("Some content in the namespace has finalizers remaining: {}", list.join(", "));
            ("NamespaceFinalizersRemaining", true, "SomeFinalizersRemain", message)
        };
        [discovery, parsing, content, remaining, finalizers]
    }
}

fn separator(text: &str) -> &'static str {
    if text.is_empty() { "" } else { "; " }
}

/// What follows from a pass.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// Nothing is left and nothing can come any more: remove the finalizer.
    Release,
    /// Nothing is left, but something may still come: pass again after this time.
    LookAgain(Duration),
    /// Somebody else's finalizers or grace periods hold objects: pass again later.
    Left,
    /// Something failed: pass again later.
    Failed(String),
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalogue::GroupVersion;
    use k8s_openapi::api::core::v1::{NamespaceSpec, NamespaceStatus};
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
    use k8s_openapi::jiff::Timestamp;

    fn time(seconds: i64) -> Time {
        Time(Timestamp::from_second(seconds).unwrap())
    }

    fn at(seconds: u64) -> Uptime {
        Uptime::new(Duration::from_secs(seconds))
    }

    fn namespace(deleted: bool, phase: &str, finalizers: &[&str]) -> Namespace {
        Namespace {
            metadata: ObjectMeta { deletion_timestamp: deleted.then(|| time(1)), ..ObjectMeta::default() },
            spec: Some(NamespaceSpec { finalizers: Some(finalizers.iter().map(ToString::to_string).collect()) }),
            status: Some(NamespaceStatus { phase: Some(phase.into()), conditions: None }),
        }
    }

    fn resource(group: &str, plural: &str) -> Resource {
        Resource {
            group_version: GroupVersion { group: group.into(), version: "v1".into() },
            plural: plural.into(),
            namespaced: true,
            verbs: vec!["delete".into(), "list".into()],
        }
    }

    fn leftover(objects: u64, finalizer: Option<&str>) -> Leftover {
        let mut leftover = Leftover::default();
        for _ in 0..objects {
            let finalizers: Vec<_> = finalizer.iter().map(ToString::to_string).collect();
            leftover.count(&finalizers);
        }
        leftover
    }

    fn core_group() -> Catalogue {
        let mut catalogue = Catalogue::default();
        catalogue.add(&GroupVersion { group: String::new(), version: "v1".into() }, [resource("", "configmaps")]);
        catalogue
    }

    #[test]
    fn a_server_that_tells_of_nothing_is_not_believed() {
        assert!(matches!(Pass::new(&Catalogue::default()).verdict(at(0), at(60)), Verdict::Failed(_)));
        assert_eq!(Pass::new(&core_group()).verdict(at(0), at(60)), Verdict::Release);
    }

    #[test]
    fn a_namespace_in_use_is_left_alone() {
        assert_eq!(task(&namespace(false, "Active", &["kubernetes"])), Task::Leave);
        assert_eq!(task(&Namespace::default()), Task::Leave);
    }

    #[test]
    fn a_deleted_one_is_marked_and_emptied_as_long_as_we_hold_it() {
        assert_eq!(task(&namespace(true, "Active", &["kubernetes"])), Task::MarkTerminating);
        assert_eq!(task(&namespace(true, "Terminating", &["kubernetes"])), Task::Empty);
        assert_eq!(task(&namespace(true, "Terminating", &[])), Task::Leave);
        assert_eq!(task(&namespace(true, "Terminating", &["example.com/mine"])), Task::Leave);
    }

    #[test]
    fn only_our_own_finalizer_is_removed() {
        let released = released(namespace(true, "Terminating", &["example.com/mine", "kubernetes"]));
        assert_eq!(released.spec.unwrap().finalizers.unwrap(), ["example.com/mine"]);
    }

    #[test]
    fn pods_go_first() {
        let mut catalogue = Catalogue::default();
        for resource in [resource("", "secrets"), resource("", "pods"), resource("metrics.k8s.io", "pods")] {
            let group_version = resource.group_version.clone();
            catalogue.add(&group_version, [resource]);
        }
        let [first, second] = stages(&catalogue);
        assert_eq!(first.iter().map(|found| found.group_resource()).collect::<Vec<_>>(), ["pods."]);
        assert_eq!(second.len(), 2);
    }

    #[test]
    fn an_empty_namespace_is_released_only_when_nothing_can_come_any_more() {
        let pass = Pass::new(&core_group());
        assert_eq!(pass.verdict(at(10), at(10)), Verdict::LookAgain(SETTLING));
        assert_eq!(pass.verdict(at(10), at(11)), Verdict::LookAgain(Duration::from_secs(1)));
        assert_eq!(pass.verdict(at(10), at(12)), Verdict::Release);
    }

    #[test]
    fn what_is_left_or_failed_holds_the_namespace() {
        let mut pass = Pass::new(&core_group());
        pass.found(&resource("", "configmaps"), &Leftover::default());
        assert!(pass.stage_is_clear());
        pass.found(&resource("", "configmaps"), &leftover(2, None));
        assert!(!pass.stage_is_clear());
        assert_eq!(pass.verdict(at(0), at(60)), Verdict::Left);
        pass.failed(&resource("apps", "deployments"), "forbidden");
        assert_eq!(pass.verdict(at(0), at(60)), Verdict::Failed("deployments.apps: forbidden".into()));
    }

    #[test]
    fn unknown_groups_hold_the_namespace() {
        let mut catalogue = core_group();
        let metrics = GroupVersion { group: "metrics.k8s.io".into(), version: "v1beta1".into() };
        catalogue.failed(&metrics, "stale");
        let pass = Pass::new(&catalogue);
        assert!(pass.stage_is_clear(), "what is known is deleted all the same");
        assert!(matches!(pass.verdict(at(0), at(60)), Verdict::Failed(_)));
        let conditions = pass.conditions(&[], &time(5)).unwrap();
        assert_eq!(conditions[0].reason.as_deref(), Some("DiscoveryFailed"));
        assert_eq!(
            conditions[0].message.as_deref(),
            Some("Discovery failed for some groups, 1 failing: metrics.k8s.io/v1beta1: stale")
        );
        assert!(matches!(Pass::without_discovery("gone".into()).verdict(at(0), at(60)), Verdict::Failed(_)));
    }

    #[test]
    fn conditions_say_what_is_left_in_known_words() {
        let mut pass = Pass::new(&core_group());
        pass.found(&resource("", "pods"), &leftover(1, None));
        pass.found(&resource("", "configmaps"), &leftover(2, Some("example.com/hold")));
        let conditions = pass.conditions(&[], &time(5)).unwrap();
        let shown: Vec<_> = conditions
            .iter()
            .map(|found| (found.type_.as_str(), found.status.as_str(), found.message.as_deref().unwrap()))
            .collect();
        assert_eq!(
            shown[3],
            (
                "NamespaceContentRemaining",
                "True",
                "Some resources are remaining: configmaps. has 2 resource instances, pods. has 1 resource instances"
            )
        );
        assert_eq!(
            shown[4],
            (
                "NamespaceFinalizersRemaining",
                "True",
                "Some content in the namespace has finalizers remaining: example.com/hold in 2 resource instances"
            )
        );
        assert_eq!(shown[2].1, "False");
    }

    #[test]
    fn conditions_are_written_once_and_keep_their_time_until_the_status_changes() {
        let mut pass = Pass::new(&core_group());
        pass.found(&resource("", "configmaps"), &leftover(2, None));
        let foreign = NamespaceCondition { type_: "Foreign".into(), status: "True".into(), ..Default::default() };
        let first = pass.conditions(std::slice::from_ref(&foreign), &time(5)).unwrap();
        assert_eq!(first[0], foreign);
        assert_eq!(pass.conditions(&first, &time(6)), None);

        let mut fewer = Pass::new(&core_group());
        fewer.found(&resource("", "configmaps"), &leftover(1, None));
        let second = fewer.conditions(&first, &time(7)).unwrap();
        assert_eq!(second[4].last_transition_time, Some(time(5)), "still true");

        let third = Pass::new(&core_group()).conditions(&second, &time(8)).unwrap();
        assert_eq!(third[4].status, "False");
        assert_eq!(third[4].last_transition_time, Some(time(8)));
        assert_eq!(third[1].last_transition_time, Some(time(5)));
    }
}
