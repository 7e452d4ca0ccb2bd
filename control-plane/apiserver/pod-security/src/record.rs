//! What the plugin counts.

use crate::level::{Level, LevelVersion, Version};

/// What was done about a violation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Mode {
    /// The request was refused.
    Enforce,
    /// A note was left.
    Audit,
    /// The client was warned.
    Warn,
}

/// What an evaluation came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Decision {
    /// No violation.
    Allow,
    /// A violation.
    Deny,
}

/// One increment of a counter. The last three labels of each, `request_operation`, `resource` and `subresource`, are
/// [`Request::labels`](crate::Request::labels).
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Record {
    /// `pod_security_evaluations_total{decision, policy_level, policy_version, mode, …}`.
    Evaluation {
        /// What it came to.
        decision: Decision,
        /// By what was measured.
        policy: LevelVersion,
        /// For which purpose.
        mode: Mode,
    },
    /// `pod_security_exemptions_total{…}`.
    Exemption,
    /// `pod_security_errors_total{fatal, …}`.
    Error {
        /// Whether there was no evaluation at all.
        fatal: bool,
    },
}

impl Mode {
    /// The value of the label `mode`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Enforce => "enforce",
            Self::Audit => "audit",
            Self::Warn => "warn",
        }
    }
}

impl Decision {
    /// The value of the label `decision`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Allow => "allow",
            Self::Deny => "deny",
        }
    }
}

impl Record {
    /// The value of the label `policy_version`, in a server of version 1.`server`: what is to come is one value, so that no
    /// label of a namespace makes a series of its own.
    pub fn version_label(policy: LevelVersion, server: u64) -> String {
        match policy.version {
            Version::Minor(minor) if policy.level != Level::Privileged => {
                if minor <= server {
                    policy.version.to_string()
                } else {
                    "future".to_owned()
                }
            }
            Version::Minor(_) | Version::Latest => "latest".to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_of_versions_are_bounded() {
        for (level, version, expected) in [
            (Level::Baseline, Version::Latest, "latest"),
            (Level::Baseline, Version::Minor(0), "v1.0"),
            (Level::Restricted, Version::Minor(37), "v1.37"),
            (Level::Restricted, Version::Minor(38), "future"),
            (Level::Privileged, Version::Minor(38), "latest"),
        ] {
            assert_eq!(Record::version_label(LevelVersion { level, version }, 37), expected);
        }
    }
}
