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
    #[error("the lock file names `{0}` twice")]
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
            if !names.insert(&artefact.name) {
                return Err(LockError::Twice(artefact.name.clone()));
            }
        }
        Ok(lock)
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
        let heading = format!("name = \"{}\"", pin.name);
        let start = lines.iter().position(|line| line.trim() == heading);
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
        assert!(Lock::parse(&TEXT.replace("libuuid1", "libc6")).is_err());
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
