//! The lock file: every foreign artefact by name, version and digest.

use std::collections::BTreeSet;

use serde::Deserialize;

use crate::digest::Digest;

/// One pinned package.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Artefact {
    pub(crate) name: String,
    pub(crate) version: String,
    /// The suite of the distribution that holds it, for example `trixie-security`.
    pub(crate) suite: String,
    /// `amd64`, or `all`.
    pub(crate) arch: String,
    pub(crate) sha256: Digest,
}

/// The whole file.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Lock {
    /// The time stamp of everything in an image: seconds since 1970.
    pub(crate) epoch: u64,
    #[serde(rename = "artefact")]
    pub(crate) artefacts: Vec<Artefact>,
}

/// The lock file is not one.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LockError {
    #[error("the lock file does not parse")]
    Parse(#[from] toml::de::Error),
    #[error("the lock file names `{0}` twice in one suite")]
    Twice(String),
    #[error("`{0}` in the lock file is not a plain word")]
    NotPlain(String),
    #[error("the lock file has no line `{0}` for `{1}`")]
    NoLine(&'static str, String),
}

impl Lock {
    pub(crate) fn parse(text: &str) -> Result<Self, LockError> {
        let lock: Self = toml::from_str(text)?;
        let mut names = BTreeSet::new();
        for artefact in &lock.artefacts {
            // They become arguments and file names.
            for word in [&artefact.name, &artefact.version, &artefact.suite, &artefact.arch] {
                let plain = |c: char| c.is_ascii_alphanumeric() || "+-.:~_".contains(c);
                if word.is_empty() || word.starts_with('-') || !word.chars().all(plain) {
                    return Err(LockError::NotPlain(word.clone()));
                }
            }
            if !names.insert((&artefact.name, &artefact.suite)) {
                return Err(LockError::Twice(artefact.name.clone()));
            }
        }
        Ok(lock)
    }

    /// The artefact called `name`, or `name/suite` where several suites have one of that name: the first that fits.
    pub(crate) fn find(&self, name: &str) -> Option<&Artefact> {
        let (name, suite) = name.split_once('/').map_or((name, None), |(name, suite)| (name, Some(suite)));
        let fits = |artefact: &&Artefact| artefact.name == name && suite.is_none_or(|suite| artefact.suite == suite);
        self.artefacts.iter().find(fits)
    }

    /// The suites named, each once, in order.
    pub(crate) fn suites(&self) -> Vec<&str> {
        self.artefacts.iter().map(|artefact| artefact.suite.as_str()).collect::<BTreeSet<_>>().into_iter().collect()
    }
}

/// Writes new pins into the text of a lock file and leaves everything else, comments included, as it is.
pub(crate) fn repin(text: &str, pins: &[Artefact]) -> Result<String, LockError> {
    let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
    for pin in pins {
        let (name, suite) = (format!("name = \"{}\"", pin.name), format!("suite = \"{}\"", pin.suite));
        let is_entry = |start: usize| {
            let mut entry = lines[start..].iter().take_while(|line| !line.trim().is_empty());
            lines[start].trim() == name && entry.any(|line| line.trim() == suite)
        };
        let start = (0..lines.len()).find(|start| is_entry(*start));
        let start = start.ok_or_else(|| LockError::NoLine("name", pin.name.clone()))?;
        for (field, value) in [("version", pin.version.clone()), ("sha256", pin.sha256.to_string())] {
            let entry = lines[start..].iter_mut().take_while(|line| !line.trim().is_empty());
            let line = entry.into_iter().find(|line| line.starts_with(&format!("{field} = ")));
            *line.ok_or_else(|| LockError::NoLine(field, pin.name.clone()))? = format!("{field} = \"{value}\"");
        }
    }
    lines.push(String::new());
    Ok(lines.join("\n"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = include_str!("../../artefacts.lock");

    #[test]
    fn the_lock_of_this_project_parses() {
        let lock = Lock::parse(TEXT).unwrap();
        assert!(lock.suites().contains(&"trixie-security"));
        assert!(lock.artefacts.iter().any(|artefact| artefact.name.starts_with("linux-source-")));
    }

    #[test]
    fn what_becomes_an_argument_must_be_plain() {
        let error = Lock::parse(&TEXT.replacen("\"trixie\"", "\"-o Dir=/\"", 1)).unwrap_err();
        assert_eq!(error.to_string(), "`-o Dir=/` in the lock file is not a plain word");
        assert!(Lock::parse(&TEXT.replace("libuuid1", "libc6")).is_err(), "twice in one suite");
    }

    #[test]
    fn a_name_of_several_suites_is_found_by_its_suite() {
        let lock = Lock::parse(TEXT).unwrap();
        let version = |name| lock.find(name).unwrap().version.clone();
        assert_ne!(version("etcd-server/bookworm"), version("etcd-server"));
        assert!(lock.find("etcd-server/trixie").is_none());
        let mut pin = lock.find("etcd-server/bookworm").unwrap().clone();
        pin.version = "99".to_owned();
        let text = repin(TEXT, std::slice::from_ref(&pin)).unwrap();
        assert_eq!(Lock::parse(&text).unwrap().find("etcd-server/bookworm"), Some(&pin));
        assert_eq!(Lock::parse(&text).unwrap().find("etcd-server"), lock.find("etcd-server"));
    }

    #[test]
    fn new_pins_keep_the_comments() {
        let lock = Lock::parse(TEXT).unwrap();
        assert_eq!(repin(TEXT, &lock.artefacts).unwrap(), TEXT);
        let mut pin = lock.artefacts[2].clone();
        pin.version = "99".to_owned();
        pin.sha256 = Digest::of(b"new");
        let text = repin(TEXT, std::slice::from_ref(&pin)).unwrap();
        assert_eq!(Lock::parse(&text).unwrap().artefacts[2], pin);
        assert_eq!(Lock::parse(&text).unwrap().artefacts[1], lock.artefacts[1]);
        assert_eq!(text.lines().count(), TEXT.lines().count());
    }
}
