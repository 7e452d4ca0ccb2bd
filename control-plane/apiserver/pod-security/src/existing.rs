//! The pods a namespace has already when it becomes stricter: they stay, and the client is told.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde_json::Value;

use crate::checks::judge;
use crate::level::LevelVersion;
use crate::pod::{Pod, items, text};

/// At most this many pods are looked at: what a request may take is bounded, whatever a namespace holds.
pub const LIMIT: usize = 3000;

/// At most this long they are looked at; half of what is left of the request's time, where that is less.
pub const TIME: Duration = Duration::from_secs(1);

/// A check of the pods in a namespace that is to be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Existing {
    pub(crate) namespace: String,
    pub(crate) policy: LevelVersion,
    pub(crate) exempt_classes: BTreeSet<String>,
}

/// Pods that fail alike.
struct Group<'a> {
    first: &'a str,
    count: usize,
}

impl Existing {
    /// What the client is told when the pods could not be listed.
    pub const UNLISTED: &'static str = "failed to list pods while checking new PodSecurity enforce level";

    /// The namespace whose pods to look at.
    pub fn namespace(&self) -> &str {
        &self.namespace
    }

    /// Looks at the pods: one of each controller first. `in_time` is asked after each one; when it says no, the rest is left
    /// out, and the client is told.
    pub fn warnings<'a>(
        &self,
        pods: impl IntoIterator<Item = &'a Value>,
        mut in_time: impl FnMut() -> bool,
    ) -> Vec<String> {
        let pods = self.ordered(pods);
        let mut groups: BTreeMap<String, Group<'_>> = BTreeMap::new();
        let mut checked = 0;
        for pod in pods.iter().take(LIMIT) {
            checked += 1;
            let verdict = judge(self.policy, Pod::new(pod));
            if !verdict.is_allowed() {
                let name = text(&pod["metadata"], "name");
                let group = groups.entry(verdict.reasons()).or_insert(Group { first: name, count: 0 });
                group.first = group.first.min(name);
                group.count += 1;
            }
            if !in_time() {
                break;
            }
        }
        let mut warnings = Vec::new();
        if checked < pods.len() {
            warnings.push(format!(
                "new PodSecurity enforce level only checked against the first {checked} of {} existing pods",
                pods.len()
            ));
        }
        if !groups.is_empty() {
            warnings.push(format!(
                "existing pods in namespace {:?} violate the new PodSecurity enforce level \"{}\"",
                self.namespace, self.policy
            ));
        }
        let mut told: Vec<String> = groups.iter().map(|(reasons, group)| group.tell(reasons)).collect();
        told.sort_unstable();
        warnings.extend(told);
        warnings
    }

    /// Leaves out exempt pods, and puts those behind whose controller has one before them.
    fn ordered<'a>(&self, pods: impl IntoIterator<Item = &'a Value>) -> Vec<&'a Value> {
        let (mut first, mut rest, mut seen) = (Vec::new(), Vec::new(), BTreeSet::new());
        for pod in pods {
            if self.exempt_classes.contains(Pod::new(pod).runtime_class()) {
                continue;
            }
            let owners = items(&pod["metadata"], "ownerReferences");
            match owners.iter().find(|owner| owner["controller"] == true) {
                Some(owner) if !seen.insert(text(owner, "uid")) => rest.push(pod),
                Some(_) | None => first.push(pod),
            }
        }
        first.append(&mut rest);
        first
    }
}

impl Group<'_> {
    fn tell(&self, reasons: &str) -> String {
        match self.count {
            1 => format!("{}: {reasons}", self.first),
            2 => format!("{} (and 1 other pod): {reasons}", self.first),
            more => format!("{} (and {} other pods): {reasons}", self.first, more - 1),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::level::{Level, Version};

    fn existing() -> Existing {
        Existing {
            namespace: "n".into(),
            policy: LevelVersion { level: Level::Baseline, version: Version::Latest },
            exempt_classes: BTreeSet::from(["kata".to_owned()]),
        }
    }

    fn pod(name: &str, spec: impl Into<Value>) -> Value {
        let spec = spec.into();
        json!({"metadata": {"name": name}, "spec": spec})
    }

    #[test]
    fn pods_that_fail_alike_are_told_together() {
        let pods = [
            pod("d", json!({"hostPID": true})),
            pod("ok", json!({})),
            pod("c", json!({"hostIPC": true})),
            pod("b", json!({"hostNetwork": true})),
            pod("a", json!({"hostNetwork": true, "runtimeClassName": "kata"})),
            pod("y", json!({"containers": [{"name": "x", "securityContext": {"privileged": true}}]})),
            pod("x", json!({"containers": [{"name": "x", "securityContext": {"privileged": true}}]})),
            pod("z", json!({"hostPID": true, "volumes": [{"name": "v", "hostPath": {"path": "/"}}]})),
        ];
        assert_eq!(
            existing().warnings(&pods, || true),
            [
                "existing pods in namespace \"n\" violate the new PodSecurity enforce level \"baseline:latest\"",
                "b (and 2 other pods): host namespaces",
                "x (and 1 other pod): privileged",
                "z: host namespaces, hostPath volumes",
            ]
        );
        assert!(existing().warnings(&pods[1..2], || true).is_empty());
    }

    #[test]
    fn when_time_is_short_one_pod_of_each_controller_was_looked_at() {
        let mut pods = vec![pod("free", json!({}))];
        for (name, uid) in [("a1", "a"), ("a2", "a"), ("a3", "a"), ("b1", "b")] {
            let mut replica = pod(name, json!({"hostPID": uid == "b"}));
            replica["metadata"]["ownerReferences"] = json!([{"uid": "x"}, {"uid": uid, "controller": true}]);
            pods.push(replica);
        }
        let mut left = 3;
        let warnings = existing().warnings(&pods, || {
            left -= 1;
            left > 0
        });
        assert_eq!(
            warnings,
            [
                "new PodSecurity enforce level only checked against the first 3 of 5 existing pods",
                "existing pods in namespace \"n\" violate the new PodSecurity enforce level \"baseline:latest\"",
                "b1: host namespaces",
            ]
        );
    }

    #[test]
    fn a_crowd_is_looked_at_in_part() {
        let pods = vec![pod("p", json!({})); LIMIT + 1];
        assert_eq!(
            existing().warnings(&pods, || true),
            ["new PodSecurity enforce level only checked against the first 3000 of 3001 existing pods"]
        );
        assert!(existing().warnings(&pods[1..], || true).is_empty());
    }
}
