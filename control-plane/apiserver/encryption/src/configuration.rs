//! `EncryptionConfiguration` of `apiserver.config.k8s.io/v1`: as written, then as checked.

mod raw;

#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::fmt;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use field::{Errors, Path};
use zeroize::Zeroizing;

use crate::resources::{self, Resource};

/// The configuration. Rules are in order: the first about a resource wins.
#[derive(Debug)]
pub struct Configuration {
    /// The rules.
    pub rules: Vec<Rule>,
}

/// How some resources are kept.
#[derive(Debug)]
pub struct Rule {
    /// Which.
    pub resources: Vec<Resource>,
    /// How: the first is written with, all are read with.
    pub providers: Vec<Provider>,
}

/// One way to keep data.
#[derive(Debug)]
pub enum Provider {
    /// As it is.
    Identity,
    /// AES-GCM, with keys of 16, 24 or 32 bytes.
    AesGcm(Vec<Key>),
    /// AES-CBC, with keys of 16, 24 or 32 bytes.
    AesCbc(Vec<Key>),
    /// XSalsa20-Poly1305, with keys of 32 bytes.
    Secretbox(Vec<Key>),
    /// Data keys wrapped by a key management service that speaks v2.
    Kms(Endpoint),
}

/// A key with the name it has in stored data.
pub struct Key {
    /// The name.
    pub name: String,
    /// The bytes, wiped when they are dropped.
    pub secret: Zeroizing<Vec<u8>>,
}

/// Where a key management service is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoint {
    /// The name it has in stored data.
    pub name: String,
    /// The socket: `unix:///…`.
    pub endpoint: String,
    /// How long a call may take.
    pub timeout: Duration,
}

impl fmt::Debug for Key {
    /// Without the secret.
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Key").field("name", &self.name).finish_non_exhaustive()
    }
}

/// Why a configuration was not taken. No secret is part of a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Error {
    /// It could not be read.
    Document(strict::Error),
    /// It was read and is wrong.
    Invalid(Errors),
    /// It asks for something that this server does not do.
    Refused(String),
}

impl fmt::Display for Error {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Document(error) => write!(out, "error while parsing file: {error}"),
            Self::Invalid(errors) => write!(out, "error while parsing file: {errors}"),
            Self::Refused(reason) => write!(out, "error while building transformers: {reason}"),
        }
    }
}

impl std::error::Error for Error {}

const KIND: strict::Kind<'static> =
    strict::Kind { group: "apiserver.config.k8s.io", versions: &["v1"], kind: "EncryptionConfiguration" };

/// What a message says in place of a secret.
const REDACTED: &str = "REDACTED";

/// What is said of a service that speaks the protocol of before.
const FIRST_VERSION: &str = "KMSv1 is deprecated and will only receive security updates going forward. Use KMSv2 instead.  Set \
                             --feature-gates=KMSv1=true to use the deprecated KMSv1 feature.";

impl Configuration {
    /// Reads a file, in YAML or JSON.
    pub fn read(text: &str) -> Result<Self, Error> {
        let raw: raw::Configuration = strict::read(text, KIND).map_err(Error::Document)?;
        let mut errors = Errors::new();
        let root = Path::new("resources");
        if raw.resources.is_empty() {
            errors.required(&root, "at least one resources is required");
        }
        let mut names = BTreeSet::new();
        let mut rules = Vec::new();
        let mut first_version = false;
        for (index, rule) in raw.resources.into_iter().enumerate() {
            let path = root.index(index);
            let (of_resources, of_providers) = (path.child("resources"), path.child("providers"));
            if rule.resources.is_empty() {
                errors.required(&of_resources, &format!("at least one {of_resources} is required"));
            }
            resources::check(&rule.resources, &of_resources, &mut errors);
            if rule.providers.is_empty() {
                errors.required(&of_providers, &format!("at least one {of_providers} is required"));
            }
            let mut providers = Vec::new();
            for (index, provider) in rule.providers.into_iter().enumerate() {
                first_version |= provider.kms.as_ref().is_some_and(|kms| kms.api_version() == "v1");
                providers.extend(check_provider(provider, &of_providers.index(index), &mut names, &mut errors));
            }
            let resources = rule.resources.iter().map(|name| Resource::parse(name)).collect();
            rules.push(Rule { resources, providers });
        }
        if !errors.is_empty() {
            return Err(Error::Invalid(errors));
        }
        if first_version {
            return Err(Error::Refused(FIRST_VERSION.to_owned()));
        }
        Ok(Self { rules })
    }
}

fn check_provider(
    raw: raw::Provider,
    path: &Path,
    names: &mut BTreeSet<String>,
    errors: &mut Errors,
) -> Option<Provider> {
    let raw::Provider { aesgcm, aescbc, secretbox, identity, kms } = raw;
    let found = [aesgcm.is_some(), aescbc.is_some(), secretbox.is_some(), identity.is_some(), kms.is_some()];
    match found.into_iter().filter(|found| *found).count() {
        0 => errors.invalid(
            path,
            REDACTED,
            "provider does not contain any of the expected providers: KMS, AESGCM, AESCBC, Secretbox, Identity",
        ),
        1 => {}
        _ => errors.invalid(
            path,
            REDACTED,
            "more than one provider specified in a single element, should split into different list elements",
        ),
    }
    if let Some(kms) = kms {
        let endpoint = check_endpoint(&kms, &path.child("kms"), names, errors);
        names.insert(kms.name);
        return Some(Provider::Kms(endpoint));
    }
    let keys = |name: &str| path.child(name).child("keys");
    if let Some(aes) = aesgcm {
        return Some(Provider::AesGcm(check_keys(aes.keys, &keys("aesgcm"), &[16, 24, 32], errors)));
    }
    if let Some(aes) = aescbc {
        return Some(Provider::AesCbc(check_keys(aes.keys, &keys("aescbc"), &[16, 24, 32], errors)));
    }
    if let Some(boxed) = secretbox {
        return Some(Provider::Secretbox(check_keys(boxed.keys, &keys("secretbox"), &[32], errors)));
    }
    identity.map(|_| Provider::Identity)
}

fn check_keys(keys: Vec<raw::Key>, path: &Path, sizes: &[usize], errors: &mut Errors) -> Vec<Key> {
    if keys.is_empty() {
        errors.required(path, "at least one keys is required");
    }
    let mut checked = Vec::with_capacity(keys.len());
    for (index, key) in keys.into_iter().enumerate() {
        let path = path.index(index);
        if key.name.is_empty() {
            errors.required(&path.child("name"), "name is a mandatory field for a key");
        }
        let at = path.child("secret");
        if key.secret.is_empty() {
            errors.required(&at, "secret is a mandatory field for a key");
            continue;
        }
        let Ok(secret) = STANDARD.decode(key.secret.as_bytes()).map(Zeroizing::new) else {
            errors.invalid(&at, REDACTED, "secrets must be base64 encoded");
            continue;
        };
        if !sizes.contains(&secret.len()) {
            let sizes = sizes.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ");
            let message =
                format!("secret is not of the expected length, got {}, expected one of [{sizes}]", secret.len());
            errors.invalid(&at, REDACTED, &message);
        }
        checked.push(Key { name: key.name, secret });
    }
    checked
}

fn check_endpoint(raw: &raw::Kms, path: &Path, names: &BTreeSet<String>, errors: &mut Errors) -> Endpoint {
    let version = raw.api_version();
    let name = path.child("name");
    if raw.name.is_empty() {
        errors.required(&name, "name is a mandatory field for a provider");
    }
    if version != "v1" && raw.name.contains(':') {
        let message = format!("invalid KMS provider name {}, must not contain ':'", raw.name);
        errors.invalid(&name, raw.name.as_str(), &message);
    }
    // The file is read again when it changes, and so the names of both versions have to differ.
    if names.contains(&raw.name) {
        let message = format!("duplicate KMS provider name {}, names must be unique", raw.name);
        errors.invalid(&name, raw.name.as_str(), &message);
    }
    let timeout = match raw.timeout.as_deref() {
        None | Some("") => Some(Duration::from_secs(3)),
        Some(text) => text.parse::<jiff::SignedDuration>().ok().and_then(|duration| duration.try_into().ok()),
    };
    let timeout = timeout.filter(|timeout| !timeout.is_zero());
    if timeout.is_none() {
        let text = raw.timeout.as_deref().unwrap_or_default();
        errors.invalid(&path.child("timeout"), text, "timeout should be a positive value");
    }
    let endpoint = path.child("endpoint");
    match raw.endpoint.split_once(':') {
        _ if raw.endpoint.is_empty() => errors.invalid(&endpoint, "", "endpoint is a mandatory field for a kms"),
        Some(("unix", _)) => {}
        other => {
            let scheme = other.map_or("", |(scheme, _)| scheme);
            let message = format!("unsupported scheme {scheme:?} for KMS provider, only unix is supported");
            errors.invalid(&endpoint, raw.endpoint.as_str(), &message);
        }
    }
    let cache = path.child("cachesize");
    match raw.cachesize {
        Some(0) if version == "v1" => {
            errors.invalid(&cache, 0, "cachesize should be a positive value, or negative to disable");
        }
        Some(size) if version != "v1" => errors.invalid(&cache, size, "cachesize is not supported in v2"),
        Some(_) | None => {}
    }
    if !matches!(version, "v1" | "v2") {
        let message = "unsupported apiVersion apiVersion for KMS provider, only v1 and v2 are supported";
        errors.invalid(&path.child("apiVersion"), version, message);
    }
    Endpoint { name: raw.name.clone(), endpoint: raw.endpoint.clone(), timeout: timeout.unwrap_or_default() }
}
