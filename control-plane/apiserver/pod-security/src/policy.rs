//! What the labels of a namespace ask for.

use field::{Errors, Path};
use serde_json::Value;

use crate::level::{Level, LevelVersion, Version};

/// What labels and annotations of this plugin begin with.
pub(crate) const PREFIX: &str = "pod-security.kubernetes.io/";

/// What a namespace refuses, notes and warns of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Policy {
    /// A pod that violates this is refused.
    pub enforce: LevelVersion,
    /// What violates this leaves a note in the audit log.
    pub audit: LevelVersion,
    /// What violates this is answered with a warning.
    pub warn: LevelVersion,
}

impl Policy {
    /// Allows everything; the default of the defaults.
    pub const PRIVILEGED: Self = {
        let all = LevelVersion { level: Level::Privileged, version: Version::Latest };
        Self { enforce: all, audit: all, warn: all }
    };

    /// Whether nothing has to be looked at.
    pub fn is_privileged(&self) -> bool {
        [self.enforce, self.audit, self.warn].iter().all(|one| one.level == Level::Privileged)
    }

    /// Whether both allow, note and warn of the same.
    pub(crate) fn is_equivalent(&self, other: &Self) -> bool {
        self.enforce.is_equivalent(other.enforce)
            && self.audit.is_equivalent(other.audit)
            && self.warn.is_equivalent(other.warn)
    }

    /// The modes with the names their labels end in.
    pub(crate) fn modes(&self) -> [(&'static str, LevelVersion); 3] {
        [("enforce", self.enforce), ("audit", self.audit), ("warn", self.warn)]
    }
}

/// A mode's two labels, if the namespace has them.
pub(crate) fn labels<'a>(namespace: &'a Value, mode: &str) -> (Option<&'a str>, Option<&'a str>) {
    let labels = &namespace["metadata"]["labels"];
    let label = |name: String| labels.get(name).and_then(Value::as_str);
    (label(format!("{PREFIX}{mode}")), label(format!("{PREFIX}{mode}-version")))
}

/// The policy of a namespace. Where a label is wrong, the policy is still whole: an unreadable level means `restricted` for
/// what is enforced and `privileged` for the rest, an unreadable version means the latest.
pub(crate) fn of_namespace(namespace: &Value, defaults: &Policy) -> (Policy, Errors) {
    let (mut policy, mut errors) = (*defaults, Errors::new());
    if namespace["metadata"]["labels"].as_object().is_none_or(serde_json::Map::is_empty) {
        return (policy, errors);
    }
    read_mode(namespace, "enforce", Level::Restricted, &mut policy.enforce, &mut errors);
    read_mode(namespace, "audit", Level::Privileged, &mut policy.audit, &mut errors);
    read_mode(namespace, "warn", Level::Privileged, &mut policy.warn, &mut errors);
    (policy, errors)
}

fn read_mode(namespace: &Value, mode: &str, when_wrong: Level, target: &mut LevelVersion, errors: &mut Errors) {
    let path = |name: &str| Path::new("metadata").child("labels").key(&format!("{PREFIX}{name}"));
    let (level, version) = labels(namespace, mode);
    if let Some(text) = level {
        target.level = Level::parse(text).unwrap_or_else(|message| {
            errors.invalid(&path(mode), text, message);
            when_wrong
        });
    }
    if let Some(text) = version {
        target.version = Version::parse(text).unwrap_or_else(|message| {
            errors.invalid(&path(&format!("{mode}-version")), text, message);
            Version::Latest
        });
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn shown(policy: &Policy) -> String {
        policy.modes().map(|(mode, what)| format!("{mode}={what}")).join(" ")
    }

    #[test]
    fn labels_override_defaults_one_by_one() {
        let defaults = Policy {
            enforce: LevelVersion { level: Level::Baseline, version: Version::Minor(20) },
            ..Policy::PRIVILEGED
        };
        for (labels, expected) in [
            (json!(null), "enforce=baseline:v1.20 audit=privileged:latest warn=privileged:latest"),
            (json!({"a": "b"}), "enforce=baseline:v1.20 audit=privileged:latest warn=privileged:latest"),
            (
                json!({"pod-security.kubernetes.io/enforce": "restricted", "pod-security.kubernetes.io/warn-version": "v1.3"}),
                "enforce=restricted:v1.20 audit=privileged:latest warn=privileged:v1.3",
            ),
            (
                json!({"pod-security.kubernetes.io/enforce-version": "latest", "pod-security.kubernetes.io/audit": "baseline"}),
                "enforce=baseline:latest audit=baseline:latest warn=privileged:latest",
            ),
        ] {
            let (policy, errors) = of_namespace(&json!({"metadata": {"labels": labels}}), &defaults);
            assert!(errors.is_empty(), "{errors:?}");
            assert_eq!(shown(&policy), expected);
        }
    }

    #[test]
    fn wrong_labels_are_named_and_fail_safe() {
        let labels = json!({
            "pod-security.kubernetes.io/enforce": "strict",
            "pod-security.kubernetes.io/enforce-version": "1.2",
            "pod-security.kubernetes.io/audit": "Baseline",
            "pod-security.kubernetes.io/audit-version": "v1.x",
            "pod-security.kubernetes.io/warn": "",
            "pod-security.kubernetes.io/warn-version": "",
        });
        let (policy, errors) = of_namespace(&json!({"metadata": {"labels": labels}}), &Policy::PRIVILEGED);
        assert_eq!(shown(&policy), "enforce=restricted:latest audit=privileged:latest warn=privileged:latest");
        let level = "must be one of privileged, baseline, restricted";
        let version = "must be \"latest\" or \"v1.x\"";
        let texts: Vec<String> = errors.as_slice().iter().map(ToString::to_string).collect();
        assert_eq!(
            texts,
            [
                format!("metadata.labels[pod-security.kubernetes.io/enforce]: Invalid value: \"strict\": {level}"),
                format!(
                    "metadata.labels[pod-security.kubernetes.io/enforce-version]: Invalid value: \"1.2\": {version}"
                ),
                format!("metadata.labels[pod-security.kubernetes.io/audit]: Invalid value: \"Baseline\": {level}"),
                format!(
                    "metadata.labels[pod-security.kubernetes.io/audit-version]: Invalid value: \"v1.x\": {version}"
                ),
                format!("metadata.labels[pod-security.kubernetes.io/warn]: Invalid value: \"\": {level}"),
                format!("metadata.labels[pod-security.kubernetes.io/warn-version]: Invalid value: \"\": {version}"),
            ]
        );
    }
}
