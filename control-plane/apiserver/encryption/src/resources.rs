//! Which resources a rule is about.

use std::fmt;

use field::{Errors, Path};

/// A resource and its group, either of which may be `*`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Resource {
    /// The group; empty for the core group.
    pub group: String,
    /// The plural.
    pub resource: String,
}

impl Resource {
    /// Reads `secrets`, `deployments.apps`, `*.`, `*.apps` or `*.*`.
    pub fn parse(text: &str) -> Self {
        let (resource, group) = text.split_once('.').unwrap_or((text, ""));
        Self { group: group.to_owned(), resource: resource.to_owned() }
    }

    /// Everything there is.
    pub(crate) fn everything() -> Self {
        Self { group: "*".to_owned(), resource: "*".to_owned() }
    }

    /// Everything in the group of this one.
    pub(crate) fn whole_group(&self) -> Self {
        Self { group: self.group.clone(), resource: "*".to_owned() }
    }
}

impl fmt::Display for Resource {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.group.as_str(), self.resource.as_str()) {
            ("", "*") => out.write_str("*."),
            ("", resource) => out.write_str(resource),
            (group, resource) => write!(out, "{resource}.{group}"),
        }
    }
}

/// Checks the resources of one rule.
pub(crate) fn check(names: &[String], path: &Path, errors: &mut Errors) {
    check_overlap(names, path, errors);
    for (index, name) in names.iter().enumerate() {
        if let Some(wrong) = wrong_name(name) {
            errors.invalid(&path.index(index), name.as_str(), wrong);
        }
    }
}

fn check_overlap(names: &[String], path: &Path, errors: &mut Errors) {
    let list: Vec<Resource> = names.iter().map(|name| Resource::parse(name)).collect();
    let (mut duplicate, mut overlap) = (false, false);
    for (index, one) in list.iter().enumerate() {
        for (_, other) in list.iter().enumerate().filter(|(at, _)| *at != index) {
            // A pair that is the same is told once; told already, it counts as one that overlaps.
            if one == other && !duplicate {
                duplicate = true;
                continue;
            }
            let wild = one.resource == "*" || other.resource == "*";
            overlap |= *one == Resource::everything() || one.group == other.group && wild;
        }
    }
    if duplicate {
        errors.invalid(path, names, "the same resource cannot be specified multiple times");
    }
    if overlap {
        errors.invalid(
            path,
            names,
            "using overlapping resources such as 'secrets' and '*.' in the same resource list is not allowed as they will be \
             masked",
        );
    }
}

fn wrong_name(name: &str) -> Option<&'static str> {
    let Resource { group, resource } = Resource::parse(name);
    if name.to_lowercase() != name {
        Some("resource name should not contain capital letters")
    } else if name == "*" {
        Some("use '*.' to encrypt all the resources from core API group or *.* to encrypt all resources")
    } else if matches!(name, "apiserveripinfo" | "serviceipallocations" | "servicenodeportallocations") {
        Some("resources which do not have REST API/s cannot be encrypted")
    } else if group == "events.k8s.io" {
        Some(
            "'*.events.k8s.io' objects are stored using the 'events' API group in etcd. Use 'events' instead in the config file",
        )
    } else if group == "extensions" {
        Some("'extensions' group has been removed and cannot be used for encryption")
    } else if group == "*" && resource != "*" {
        Some("encrypting the same resource across groups is not supported")
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_and_written() {
        for (text, group, resource) in [
            ("secrets", "", "secrets"),
            ("deployments.apps", "apps", "deployments"),
            ("widgets.a.example.com", "a.example.com", "widgets"),
            ("*.", "", "*"),
            ("*.apps", "apps", "*"),
            ("*.*", "*", "*"),
        ] {
            let read = Resource::parse(text);
            assert_eq!((read.group.as_str(), read.resource.as_str()), (group, resource), "{text}");
            assert_eq!(read.to_string(), text);
        }
    }

    #[test]
    fn rules_about_names_are_told() {
        let overlap = "using overlapping resources such as 'secrets' and '*.' in the same resource list is not allowed as they \
                       will be masked";
        for (names, expected) in [
            (&["secrets", "configmaps", "*.apps"][..], &[][..]),
            (
                &["secrets", "secrets"],
                &["r: Invalid value: [\"secrets\",\"secrets\"]: the same resource cannot be specified multiple times"],
            ),
            (&["secrets", "*."], &["OVERLAP"]),
            (&["*.*", "secrets"], &["OVERLAP"]),
            (&["secrets", "*.apps"], &[]),
            (
                &["*"],
                &[
                    "r[0]: Invalid value: \"*\": use '*.' to encrypt all the resources from core API group or *.* to encrypt all resources",
                ],
            ),
            (&["Secrets"], &["r[0]: Invalid value: \"Secrets\": resource name should not contain capital letters"]),
            (
                &["a", "secrets.*"],
                &["r[1]: Invalid value: \"secrets.*\": encrypting the same resource across groups is not supported"],
            ),
            (
                &["apiserveripinfo"],
                &[
                    "r[0]: Invalid value: \"apiserveripinfo\": resources which do not have REST API/s cannot be encrypted",
                ],
            ),
            (
                &["a.extensions"],
                &[
                    "r[0]: Invalid value: \"a.extensions\": 'extensions' group has been removed and cannot be used for encryption",
                ],
            ),
        ] {
            let names: Vec<String> = names.iter().map(|&name| name.to_owned()).collect();
            let mut errors = Errors::new();
            check(&names, &Path::new("r"), &mut errors);
            let texts: Vec<String> = errors.as_slice().iter().map(ToString::to_string).collect();
            let list = format!("[{}]", names.iter().map(|name| format!("\"{name}\"")).collect::<Vec<_>>().join(","));
            let expected: Vec<String> = expected
                .iter()
                .map(|text| text.replace("OVERLAP", &format!("r: Invalid value: {list}: {overlap}")))
                .collect();
            assert_eq!(texts, expected);
        }
    }
}
