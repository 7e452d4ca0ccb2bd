//! The plugin's configuration: `PodSecurityConfiguration` of `pod-security.admission.config.k8s.io`.

use std::collections::BTreeSet;
use std::fmt;

use field::names::{dns_label, dns_subdomain};
use field::{Errors, Path};
use serde::Deserialize;
use serde_json::Value;

use crate::level::{Level, LevelVersion, Version};
use crate::policy::Policy;

/// Who is not looked at.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Exemptions {
    /// Users who make the request.
    pub usernames: BTreeSet<String>,
    /// Namespaces.
    pub namespaces: BTreeSet<String>,
    /// Runtime classes of pods.
    pub runtime_classes: BTreeSet<String>,
}

/// The configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Configuration {
    /// What holds where a namespace has no labels.
    pub defaults: Policy,
    /// What is let through unseen.
    pub exemptions: Exemptions,
}

/// Why a configuration was not taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Error {
    /// It could not be read.
    Document(strict::Error),
    /// It was read and is wrong.
    Invalid(Errors),
}

impl fmt::Display for Error {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Document(error) => error.fmt(out),
            Self::Invalid(errors) => errors.fmt(out),
        }
    }
}

impl std::error::Error for Error {}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Raw {
    defaults: RawDefaults,
    exemptions: RawExemptions,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "kebab-case")]
struct RawDefaults {
    enforce: String,
    enforce_version: String,
    audit: String,
    audit_version: String,
    warn: String,
    warn_version: String,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct RawExemptions {
    usernames: Vec<String>,
    namespaces: Vec<String>,
    runtime_classes: Vec<String>,
}

const KIND: strict::Kind<'static> = strict::Kind {
    group: "pod-security.admission.config.k8s.io",
    versions: &["v1", "v1beta1", "v1alpha1"],
    kind: "PodSecurityConfiguration",
};

impl Default for Configuration {
    /// Allows everything where a namespace has no labels, and exempts nobody.
    fn default() -> Self {
        Self { defaults: Policy::PRIVILEGED, exemptions: Exemptions::default() }
    }
}

impl Configuration {
    /// Reads a file of its own; an empty one is the default.
    pub fn read(text: &str) -> Result<Self, Error> {
        if text.is_empty() {
            return Ok(Self::default());
        }
        check(strict::read(text, KIND).map_err(Error::Document)?)
    }

    /// Reads the `configuration` of the plugin as it stands in an `AdmissionConfiguration`.
    pub fn from_tree(value: Value) -> Result<Self, Error> {
        check(strict::decode(value, KIND).map_err(Error::Document)?)
    }
}

fn check(raw: Raw) -> Result<Configuration, Error> {
    let mut errors = Errors::new();
    let RawDefaults { enforce, enforce_version, audit, audit_version, warn, warn_version } = raw.defaults;
    let enforce = mode("enforce", &enforce, &enforce_version, &mut errors);
    let warn = mode("warn", &warn, &warn_version, &mut errors);
    let audit = mode("audit", &audit, &audit_version, &mut errors);
    let path = |list: &str| Path::new("exemptions").child(list);
    let exemptions = Exemptions {
        namespaces: names(raw.exemptions.namespaces, &path("namespaces"), dns_label, &mut errors),
        runtime_classes: names(raw.exemptions.runtime_classes, &path("runtimeClasses"), dns_subdomain, &mut errors),
        usernames: usernames(raw.exemptions.usernames, &path("usernames"), &mut errors),
    };
    if !errors.is_empty() {
        return Err(Error::Invalid(errors));
    }
    Ok(Configuration { defaults: Policy { enforce, audit, warn }, exemptions })
}

fn mode(name: &str, level: &str, version: &str, errors: &mut Errors) -> LevelVersion {
    let path = |name: &str| Path::new("defaults").child(name);
    let mut read = LevelVersion { level: Level::Privileged, version: Version::Latest };
    if !level.is_empty() {
        match Level::parse(level) {
            Ok(level) => read.level = level,
            Err(message) => errors.invalid(&path(name), level, message),
        }
    }
    if !version.is_empty() {
        match Version::parse(version) {
            Ok(version) => read.version = version,
            Err(message) => errors.invalid(&path(&format!("{name}-version")), version, message),
        }
    }
    read
}

fn names(list: Vec<String>, path: &Path, rule: fn(&str) -> Vec<String>, errors: &mut Errors) -> BTreeSet<String> {
    let mut seen = BTreeSet::new();
    for (index, name) in list.into_iter().enumerate() {
        let wrong = rule(&name);
        if !wrong.is_empty() {
            errors.invalid(&path.index(index), name, &wrong.join(", "));
        } else if seen.contains(&name) {
            errors.duplicate(&path.index(index), name);
        } else {
            seen.insert(name);
        }
    }
    seen
}

fn usernames(list: Vec<String>, path: &Path, errors: &mut Errors) -> BTreeSet<String> {
    let mut seen = BTreeSet::new();
    for (index, name) in list.into_iter().enumerate() {
        if name.is_empty() {
            errors.required(&path.index(index), "");
        } else if seen.contains(&name) {
            errors.duplicate(&path.index(index), name);
        } else {
            seen.insert(name);
        }
    }
    seen
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn tree(rest: impl Into<Value>) -> Result<Configuration, Error> {
        let rest = rest.into();
        let mut whole =
            json!({"apiVersion": "pod-security.admission.config.k8s.io/v1", "kind": "PodSecurityConfiguration"});
        whole.as_object_mut().unwrap().extend(rest.as_object().unwrap().clone());
        Configuration::from_tree(whole)
    }

    #[test]
    fn what_is_not_said_is_privileged() {
        assert_eq!(Configuration::read(""), Ok(Configuration::default()));
        assert_eq!(tree(json!({})), Ok(Configuration::default()));
        assert_eq!(tree(json!({"defaults": null, "exemptions": {"usernames": null}})), Ok(Configuration::default()));
    }

    #[test]
    fn a_file_is_read() {
        let text = "apiVersion: pod-security.admission.config.k8s.io/v1beta1\nkind: PodSecurityConfiguration\n\
            defaults:\n  enforce: baseline\n  enforce-version: v1.30\n  warn: restricted\n\
            exemptions:\n  usernames: [system:serviceaccount:a:b]\n  namespaces: [kube-system]\n  runtimeClasses: [kata]\n";
        let read = Configuration::read(text).expect("a good file");
        assert_eq!(read.defaults.enforce.to_string(), "baseline:v1.30");
        assert_eq!(read.defaults.warn.to_string(), "restricted:latest");
        assert_eq!(read.defaults.audit.to_string(), "privileged:latest");
        assert!(read.exemptions.usernames.contains("system:serviceaccount:a:b"));
        assert!(read.exemptions.namespaces.contains("kube-system") && read.exemptions.runtime_classes.contains("kata"));
    }

    #[test]
    fn mistakes_are_all_named() {
        let error = tree(json!({
            "defaults": {"enforce": "none", "audit-version": "1.20", "warn": "Baseline"},
            "exemptions": {"usernames": ["a", "", "a"], "namespaces": ["x", "X", "x"], "runtimeClasses": ["k.x", "k.x", "k_"]},
        }))
        .expect_err("nine mistakes");
        let Error::Invalid(errors) = error else { panic!("{error}") };
        let paths: Vec<String> =
            errors.as_slice().iter().map(|one| format!("{} {}", one.path, one.fault.reason())).collect();
        assert_eq!(
            paths,
            [
                "defaults.enforce FieldValueInvalid",
                "defaults.warn FieldValueInvalid",
                "defaults.audit-version FieldValueInvalid",
                "exemptions.namespaces[1] FieldValueInvalid",
                "exemptions.namespaces[2] FieldValueDuplicate",
                "exemptions.runtimeClasses[1] FieldValueDuplicate",
                "exemptions.runtimeClasses[2] FieldValueInvalid",
                "exemptions.usernames[1] FieldValueRequired",
                "exemptions.usernames[2] FieldValueDuplicate",
            ]
        );
    }

    #[test]
    fn other_documents_and_unknown_fields_are_refused() {
        let error = tree(json!({"default": {}, "exemptions": {"users": []}})).expect_err("two unknown fields");
        assert_eq!(
            error.to_string(),
            "strict decoding error: unknown field \"default\", unknown field \"exemptions.users\""
        );
        let error = tree(json!({"kind": "Other"})).expect_err("another kind");
        assert!(error.to_string().starts_with("no kind \"Other\" is registered"), "{error}");
    }
}
