//! Kernel config fragments: parsed, merged, and compared with what the kernel made of them.
//!
//! A fragment asks for an option (`CONFIG_X=y`) or asks for its absence (`# CONFIG_X is not set`). Kconfig silently drops a
//! request whose dependencies are not met; [`Merged::check`] is what makes that an error.

use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// What a fragment wants of an option.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Wanted {
    Value(String),
    Absent,
}

impl fmt::Display for Wanted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Value(value) => f.write_str(value),
            Self::Absent => f.write_str("not set"),
        }
    }
}

/// A wanted option and where it is asked for, as `base.config:12`.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Request {
    wanted: Wanted,
    origin: String,
}

/// The requests of a profile.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Merged(BTreeMap<String, Request>);

/// The fragments are wrong, or the kernel did not do what they ask. Every fault is listed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ConfigError {
    #[error("read {path}")]
    Read { path: PathBuf, source: io::Error },
    #[error("{path} does not parse")]
    Profiles { path: PathBuf, source: toml::de::Error },
    #[error("there is no kernel profile `{wanted}`; there is: {known}")]
    NoProfile { wanted: String, known: String },
    #[error("the kernel config fragments are wrong:\n{}", .0.join("\n"))]
    Fragments(Vec<String>),
    #[error("these requests did not reach the kernel's config:\n{}", .0.join("\n"))]
    NotMet(Vec<String>),
}

impl Merged {
    /// Reads the fragments that `profiles.toml` lists for a profile.
    pub(crate) fn read(folder: &Path, profile: &str) -> Result<Self, ConfigError> {
        let read = |path: &Path| {
            fs::read_to_string(path).map_err(|source| ConfigError::Read { path: path.to_owned(), source })
        };
        let path = folder.join("profiles.toml");
        let profiles: BTreeMap<String, Vec<String>> =
            toml::from_str(&read(&path)?).map_err(|source| ConfigError::Profiles { path, source })?;
        let names = profiles.get(profile).ok_or_else(|| ConfigError::NoProfile {
            wanted: profile.to_owned(),
            known: profiles.keys().cloned().collect::<Vec<_>>().join(", "),
        })?;
        let mut fragments = Vec::new();
        for name in names {
            let name = format!("{name}.config");
            let text = read(&folder.join(&name))?;
            fragments.push((name, text));
        }
        Self::merge(&fragments)
    }

    /// Merges fragments given as (name, text).
    pub(crate) fn merge(fragments: &[(String, String)]) -> Result<Self, ConfigError> {
        let mut requests: BTreeMap<String, Request> = BTreeMap::new();
        let mut faults = Vec::new();
        for (name, text) in fragments {
            for (number, line) in text.lines().enumerate() {
                let origin = format!("{name}:{}", number + 1);
                match parse_line(line) {
                    Ok(None) => {}
                    Ok(Some((symbol, wanted))) => match requests.get(&symbol) {
                        Some(earlier) if earlier.wanted != wanted => faults.push(format!(
                            "  {origin}: {symbol} is wanted {wanted} here and {} at {}",
                            earlier.wanted, earlier.origin
                        )),
                        Some(earlier) => faults.push(format!("  {origin}: {symbol} is already at {}", earlier.origin)),
                        None => {
                            requests.insert(symbol, Request { wanted, origin });
                        }
                    },
                    Err(fault) => faults.push(format!("  {origin}: {fault}: {line}")),
                }
            }
        }
        if faults.is_empty() { Ok(Self(requests)) } else { Err(ConfigError::Fragments(faults)) }
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    /// The requests as Kconfig reads them: no comments, so that a better reason does not compile a new kernel.
    pub(crate) fn text(&self) -> String {
        let line = |(symbol, request): (&String, &Request)| match &request.wanted {
            Wanted::Value(value) => format!("{symbol}={value}\n"),
            Wanted::Absent => format!("# {symbol} is not set\n"),
        };
        self.0.iter().map(line).collect()
    }

    /// Compares with the `.config` that came out.
    pub(crate) fn check(&self, config: &str) -> Result<(), ConfigError> {
        let made: BTreeMap<&str, &str> =
            config.lines().filter(|line| line.starts_with("CONFIG_")).filter_map(|line| line.split_once('=')).collect();
        let fault = |(symbol, request): (&String, &Request)| {
            let found = made.get(symbol.as_str()).copied();
            let met = match &request.wanted {
                Wanted::Value(value) => found == Some(value),
                Wanted::Absent => found.is_none(),
            };
            (!met).then(|| {
                let found = found.unwrap_or("not set");
                format!("  {}: {symbol} is wanted {} and is {found}", request.origin, request.wanted)
            })
        };
        let faults: Vec<String> = self.0.iter().filter_map(fault).collect();
        if faults.is_empty() { Ok(()) } else { Err(ConfigError::NotMet(faults)) }
    }
}

fn parse_line(line: &str) -> Result<Option<(String, Wanted)>, &'static str> {
    let symbol = |text: &str| {
        let name = text.strip_prefix("CONFIG_").ok_or("an option starts with CONFIG_")?;
        let plain = !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
        if plain { Ok(text.to_owned()) } else { Err("an option's name is letters, digits and _") }
    };
    if line.trim().is_empty() {
        return Ok(None);
    }
    if let Some(comment) = line.strip_prefix('#') {
        let comment = comment.trim();
        return match comment.strip_suffix(" is not set") {
            Some(name) if comment.starts_with("CONFIG_") => Ok(Some((symbol(name)?, Wanted::Absent))),
            None if comment.starts_with("CONFIG_") => Err("neither a reason nor `# CONFIG_X is not set`"),
            Some(_) | None => Ok(None),
        };
    }
    let (name, value) = line.split_once('=').ok_or("neither a comment nor an option")?;
    match value {
        "m" => Err("Orlop's kernel has no modules"),
        "n" | "" => Err("write `# CONFIG_X is not set`"),
        _ => Ok(Some((symbol(name)?, Wanted::Value(value.to_owned())))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn merge(fragments: &[(&str, &str)]) -> Result<Merged, ConfigError> {
        let owned: Vec<_> = fragments.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned())).collect();
        Merged::merge(&owned)
    }

    #[test]
    fn the_profiles_of_this_project_merge() {
        let folder = PathBuf::from(std::env::var_os("CARGO_MANIFEST_DIR").unwrap()).join("../kernel-config");
        Merged::read(&folder, "metal").unwrap();
        let merged = Merged::read(&folder, "virt").unwrap();
        assert!(merged.text().contains("\n# CONFIG_MODULES is not set\n"));
        let error = Merged::read(&folder, "toaster").unwrap_err();
        assert!(error.to_string().starts_with("there is no kernel profile `toaster`; there is: "));
    }

    #[test]
    fn a_reason_does_not_change_the_text() {
        let one = merge(&[("a", "# why\nCONFIG_A=y\n\n# CONFIG_B is not set\n")]).unwrap();
        let two = merge(&[("a", "# another reason\n# CONFIG_B is not set\nCONFIG_A=y\n")]).unwrap();
        assert_eq!(one.text(), "CONFIG_A=y\n# CONFIG_B is not set\n");
        assert_eq!(one.text(), two.text());
    }

    #[test]
    fn every_fault_is_listed() {
        let error = merge(&[("a", "CONFIG_A=y\nCONFIG_B=m\nnonsense"), ("b", "# CONFIG_A is not set\nCONFIG_C=n")]);
        let ConfigError::Fragments(faults) = error.unwrap_err() else { panic!("another error") };
        assert_eq!(faults.len(), 4, "{faults:?}");
        assert_eq!(faults[2], "  b:1: CONFIG_A is wanted not set here and y at a:1");
    }

    #[test]
    fn a_dropped_request_is_found_both_ways() {
        let merged = merge(&[("a", "CONFIG_A=y\nCONFIG_S=\"x\"\n# CONFIG_B is not set\nCONFIG_C=y")]).unwrap();
        merged.check("CONFIG_A=y\nCONFIG_S=\"x\"\nCONFIG_C=y\n").unwrap();
        let error = merged.check("CONFIG_A=y\nCONFIG_S=\"y\"\nCONFIG_B=y\n# CONFIG_C is not set\n").unwrap_err();
        let ConfigError::NotMet(faults) = error else { panic!("another error") };
        assert_eq!(
            faults,
            [
                "  a:3: CONFIG_B is wanted not set and is y",
                "  a:4: CONFIG_C is wanted y and is not set",
                "  a:2: CONFIG_S is wanted \"x\" and is \"y\"",
            ]
        );
    }
}
