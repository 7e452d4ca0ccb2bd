//! The checks, each with the versions in which it changed.

mod confinement;
mod host;
mod rights;

#[cfg(test)]
mod tests;

use std::fmt;

use serde_json::Value;

use crate::level::{Level, LevelVersion, Version};
use crate::pod::Pod;

/// What is wrong with a pod by one check.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Violation {
    reason: &'static str,
    detail: String,
}

type Test = fn(Pod<'_>) -> Option<Violation>;

/// A check and its history.
struct Check {
    /// Upstream's name of it, by which checks of a level are ordered.
    id: &'static str,
    level: Level,
    /// Since which minor version which test is made, oldest first.
    since: &'static [(u64, Test)],
    /// Since which minor version a check of the restricted level looks at the same fields more closely.
    overridden: Option<u64>,
}

const fn baseline(id: &'static str, since: &'static [(u64, Test)]) -> Check {
    Check { id, level: Level::Baseline, since, overridden: None }
}

const fn overridden(id: &'static str, from: u64, since: &'static [(u64, Test)]) -> Check {
    Check { id, level: Level::Baseline, since, overridden: Some(from) }
}

const fn restricted(id: &'static str, since: &'static [(u64, Test)]) -> Check {
    Check { id, level: Level::Restricted, since, overridden: None }
}

/// All checks in the order in which their violations are told: by level, then by name.
const CHECKS: [Check; 19] = [
    baseline("appArmorProfile", &[(0, confinement::app_armor)]),
    overridden("capabilities_baseline", 22, &[(0, rights::capabilities_baseline)]),
    baseline("hostNamespaces", &[(0, host::namespaces)]),
    overridden("hostPathVolumes", 0, &[(0, host::path_volumes)]),
    baseline("hostPorts", &[(0, host::ports)]),
    baseline("hostProbesAndHostLifecycle", &[(34, host::probes_and_lifecycle)]),
    baseline("privileged", &[(0, rights::privileged)]),
    overridden("procMount", 35, &[(0, confinement::proc_mount), (35, confinement::proc_mount_of_host_users)]),
    baseline("seLinuxOptions", &[(0, confinement::se_linux), (31, confinement::se_linux_with_engine)]),
    overridden(
        "seccompProfile_baseline",
        19,
        &[(0, confinement::seccomp_annotations), (19, confinement::seccomp_baseline)],
    ),
    baseline(
        "sysctls",
        &[
            (0, confinement::sysctls::<0>),
            (27, confinement::sysctls::<27>),
            (29, confinement::sysctls::<29>),
            (32, confinement::sysctls::<32>),
            (37, confinement::sysctls::<37>),
        ],
    ),
    baseline("windowsHostProcess", &[(0, host::windows_process)]),
    restricted(
        "allowPrivilegeEscalation",
        &[(8, rights::privilege_escalation), (25, |pod| unless(pod.is_windows(), pod, rights::privilege_escalation))],
    ),
    restricted(
        "capabilities_restricted",
        &[
            (22, rights::capabilities_restricted),
            (25, |pod| unless(pod.is_windows(), pod, rights::capabilities_restricted)),
        ],
    ),
    restricted("procMount_restricted", &[(35, confinement::proc_mount)]),
    restricted("restrictedVolumes", &[(0, host::volume_types)]),
    restricted(
        "runAsNonRoot",
        &[(0, rights::run_as_non_root), (35, |pod| unless(pod.has_own_users(), pod, rights::run_as_non_root))],
    ),
    restricted(
        "runAsUser",
        &[(23, rights::run_as_user), (35, |pod| unless(pod.has_own_users(), pod, rights::run_as_user))],
    ),
    restricted(
        "seccompProfile_restricted",
        &[
            (19, confinement::seccomp_restricted),
            (25, |pod| unless(pod.is_windows(), pod, confinement::seccomp_restricted)),
        ],
    ),
];

/// The newest version in which a check changed: what is newer is the same.
const NEWEST: u64 = 37;

fn unless(exempt: bool, pod: Pod<'_>, test: Test) -> Option<Violation> {
    if exempt { None } else { test(pod) }
}

impl Check {
    /// The test to make at a level in a minor version, if any.
    fn test(&self, level: Level, minor: u64) -> Option<Test> {
        let applies = match level {
            Level::Privileged => false,
            Level::Baseline => self.level == Level::Baseline,
            Level::Restricted => self.overridden.is_none_or(|from| minor < from),
        };
        if !applies {
            return None;
        }
        self.since.iter().rev().find(|(from, _)| *from <= minor).map(|(_, test)| *test)
    }
}

/// What a level holds against a pod. Written out, it is the list of what is wrong, with details.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Verdict(Vec<(&'static str, Violation)>);

impl Verdict {
    /// Whether nothing is wrong.
    pub fn is_allowed(&self) -> bool {
        self.0.is_empty()
    }

    /// Upstream's names of the checks that failed.
    pub fn checks(&self) -> impl Iterator<Item = &'static str> {
        self.0.iter().map(|(id, _)| *id)
    }

    /// What is wrong without details: the same for pods that fail alike.
    pub fn reasons(&self) -> String {
        self.0.iter().map(|(_, violation)| violation.reason).collect::<Vec<_>>().join(", ")
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, (_, violation)) in self.0.iter().enumerate() {
            if at > 0 {
                out.write_str(", ")?;
            }
            out.write_str(violation.reason)?;
            if !violation.detail.is_empty() {
                write!(out, " ({})", violation.detail)?;
            }
        }
        Ok(())
    }
}

/// Measures a pod, or a template of pods: an object with `metadata` and `spec`.
pub fn evaluate(policy: LevelVersion, pod: &Value) -> Verdict {
    judge(policy, Pod::new(pod))
}

pub(crate) fn judge(policy: LevelVersion, pod: Pod<'_>) -> Verdict {
    let minor = match policy.version {
        Version::Minor(minor) => minor.min(NEWEST),
        Version::Latest => NEWEST,
    };
    let fails = |check: &Check| Some((check.id, check.test(policy.level, minor)?(pod)?));
    Verdict(CHECKS.iter().filter_map(fails).collect())
}

/// `one` if there is one of it.
fn plural(count: usize, one: &'static str, many: &'static str) -> &'static str {
    if count == 1 { one } else { many }
}

/// `"a", "b"`.
fn quoted<'a>(names: impl IntoIterator<Item = &'a str>) -> String {
    names.into_iter().map(|name| format!("\"{name}\"")).collect::<Vec<_>>().join(", ")
}

/// `containers "a", "b"`.
fn containers(names: &[&str]) -> String {
    format!("{} {}", plural(names.len(), "container", "containers"), quoted(names.iter().copied()))
}

/// Who sets something: `pod and containers "a", "b"`. Nothing if nobody does.
fn setters(pod: bool, names: &[&str]) -> String {
    match (pod, names.is_empty()) {
        (true, true) => "pod".to_owned(),
        (true, false) => format!("pod and {}", containers(names)),
        (false, true) => String::new(),
        (false, false) => containers(names),
    }
}
