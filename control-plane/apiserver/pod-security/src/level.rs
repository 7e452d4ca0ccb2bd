//! Levels and versions of the standards.

use std::fmt;

/// How much a namespace allows, from the most to the least.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Level {
    /// Everything.
    Privileged,
    /// What does not lead out of a container by itself.
    Baseline,
    /// What a hardened workload needs.
    Restricted,
}

impl Level {
    /// Reads a level; the error says what would have been right.
    pub fn parse(text: &str) -> Result<Self, &'static str> {
        match text {
            "privileged" => Ok(Self::Privileged),
            "baseline" => Ok(Self::Baseline),
            "restricted" => Ok(Self::Restricted),
            _ => Err("must be one of privileged, baseline, restricted"),
        }
    }

    /// The level as labels spell it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Privileged => "privileged",
            Self::Baseline => "baseline",
            Self::Restricted => "restricted",
        }
    }
}

/// A version of the standards. The latest is newer than any that has a number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Version {
    /// As of Kubernetes 1.x.
    Minor(u64),
    /// As of this server.
    Latest,
}

impl Version {
    /// Reads `latest` or `v1.x`; the error says what would have been right.
    pub fn parse(text: &str) -> Result<Self, &'static str> {
        const WRONG: &str = "must be \"latest\" or \"v1.x\"";
        if text == "latest" {
            return Ok(Self::Latest);
        }
        let digits = text.strip_prefix("v1.").ok_or(WRONG)?;
        let padded = digits.len() > 1 && digits.starts_with('0');
        if padded || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(WRONG);
        }
        let minor: i64 = digits.parse().map_err(|_| WRONG)?;
        Ok(Self::Minor(minor.unsigned_abs()))
    }
}

impl fmt::Display for Version {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Minor(minor) => write!(out, "v1.{minor}"),
            Self::Latest => out.write_str("latest"),
        }
    }
}

/// What a pod is measured by: `baseline:v1.30`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct LevelVersion {
    /// The level.
    pub level: Level,
    /// Its version.
    pub version: Version,
}

impl LevelVersion {
    /// Whether both allow the same: versions of a level that allows everything do not differ.
    pub fn is_equivalent(self, other: Self) -> bool {
        self.level == other.level && (self.level == Level::Privileged || self.version == other.version)
    }
}

impl fmt::Display for LevelVersion {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}:{}", self.level.as_str(), self.version)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_read_exactly() {
        for (text, expected) in [
            ("latest", Some(Version::Latest)),
            ("v1.0", Some(Version::Minor(0))),
            ("v1.37", Some(Version::Minor(37))),
            ("v1.9223372036854775807", Some(Version::Minor(9_223_372_036_854_775_807))),
            ("v1.9223372036854775808", None),
            ("v1.", None),
            ("v1.01", None),
            ("v1.+1", None),
            ("v1.-1", None),
            ("v2.0", None),
            ("1.20", None),
            ("v1.2.3", None),
            ("", None),
            ("Latest", None),
        ] {
            assert_eq!(Version::parse(text).ok(), expected, "{text}");
        }
    }

    #[test]
    fn order_is_by_strictness_and_age() {
        assert!(Level::Privileged < Level::Baseline && Level::Baseline < Level::Restricted);
        assert!(Version::Minor(9) < Version::Minor(10) && Version::Minor(u64::MAX) < Version::Latest);
    }

    #[test]
    fn versions_of_privileged_are_equivalent() {
        let of = |level, version| LevelVersion { level, version };
        let old = Version::Minor(1);
        assert!(of(Level::Privileged, old).is_equivalent(of(Level::Privileged, Version::Latest)));
        assert!(!of(Level::Baseline, old).is_equivalent(of(Level::Baseline, Version::Latest)));
        assert!(!of(Level::Baseline, old).is_equivalent(of(Level::Restricted, old)));
        assert_eq!(of(Level::Restricted, Version::Minor(30)).to_string(), "restricted:v1.30");
    }
}
