//! From a configuration to what is done with the bytes of each resource.

#[cfg(test)]
mod tests;

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::configuration::{Configuration, Error, Key, Provider, Rule};
use crate::kms::{Kms, Locked};
use crate::resources::Resource;
use crate::{Entropy, aes_cbc, aes_gcm, secretbox};

/// What every encrypted value begins with. Neither JSON nor protobuf does.
const ENCRYPTED: &[u8] = b"k8s:enc:";

/// A value that was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Opened<'a> {
    /// The plain bytes; borrowed if they were stored so.
    pub plain: Cow<'a, [u8]>,
    /// Whether it would be written otherwise now.
    pub stale: bool,
}

/// Why a value was not read or written.
#[derive(Debug, Clone, PartialEq)]
pub enum Failure {
    /// A data key has to be unwrapped first.
    Locked(Locked),
    /// It cannot be read, or not be written now.
    Failed(String),
}

impl From<String> for Failure {
    fn from(reason: String) -> Self {
        Self::Failed(reason)
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Locked(locked) => {
                write!(out, "the data key is wrapped by KMS provider {:?}", locked.kms.endpoint().name)
            }
            Self::Failed(reason) => out.write_str(reason),
        }
    }
}

impl std::error::Error for Failure {}

enum Cipher {
    Identity,
    Gcm(aes_gcm::Cipher),
    Cbc(aes_cbc::Cipher),
    Secretbox(secretbox::Cipher),
    Kms(Arc<Kms>),
}

/// One way to read: all of a provider's keys, in order.
struct Layer {
    /// What its values begin with; empty for those that are stored as they are.
    prefix: Vec<u8>,
    /// Keys by the name that follows the prefix; the only one of a provider without keys has none.
    keys: Vec<(Vec<u8>, Cipher)>,
    unknown_key: &'static str,
}

/// How the values of a resource are kept.
pub struct Transformer(Vec<Arc<Layer>>);

impl fmt::Debug for Transformer {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let prefixes = self.0.iter().map(|layer| String::from_utf8_lossy(&layer.prefix));
        out.debug_list().entries(prefixes).finish()
    }
}

/// The transformers of all resources.
#[derive(Debug)]
pub struct Encryption {
    by_resource: BTreeMap<Resource, Arc<Transformer>>,
    plain: Arc<Transformer>,
    services: Vec<Arc<Kms>>,
}

impl fmt::Debug for Kms {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_tuple("Kms").field(self.endpoint()).finish()
    }
}

impl Default for Encryption {
    /// Everything is stored as it is, and nothing encrypted can be read.
    fn default() -> Self {
        let plain = Arc::new(Transformer(vec![Arc::new(Layer::new(b"", vec![(Vec::new(), Cipher::Identity)], ""))]));
        Self { by_resource: BTreeMap::new(), plain, services: Vec::new() }
    }
}

impl Encryption {
    /// Makes ready what a configuration says.
    pub fn new(configuration: Configuration) -> Result<Self, Error> {
        let mut encryption = Self::default();
        let mut layers: BTreeMap<Resource, Vec<Arc<Layer>>> = BTreeMap::new();
        for Rule { resources, providers } in configuration.rules {
            let own: Vec<Arc<Layer>> = providers
                .into_iter()
                .map(|provider| Layer::of(provider, &mut encryption.services).map(Arc::new))
                .collect::<Result<_, _>>()?;
            for resource in resources {
                // What comes after a wider rule would never be used.
                for wider in [resource.whole_group(), Resource::everything()] {
                    if layers.contains_key(&wider) {
                        let (masked, by) = (resource.to_string(), wider.to_string());
                        return Err(Error::Refused(format!("resource {masked:?} is masked by earlier rule {by:?}")));
                    }
                }
                layers.entry(resource).or_default().extend(own.iter().cloned());
            }
        }
        encryption.by_resource =
            layers.into_iter().map(|(resource, layers)| (resource, Arc::new(Transformer(layers)))).collect();
        Ok(encryption)
    }

    /// How a resource is kept: by the rule that names it, else by that of its group, else by that of everything.
    pub fn of_resource(&self, group: &str, resource: &str) -> &Arc<Transformer> {
        let exact = Resource { group: group.to_owned(), resource: resource.to_owned() };
        let wider = [exact.whole_group(), Resource::everything()];
        let found = self.by_resource.get(&exact).or_else(|| wider.iter().find_map(|wider| self.by_resource.get(wider)));
        found.unwrap_or(&self.plain)
    }

    /// The services that have to be polled.
    pub fn services(&self) -> &[Arc<Kms>] {
        &self.services
    }
}

impl Layer {
    fn new(prefix: &[u8], keys: Vec<(Vec<u8>, Cipher)>, unknown_key: &'static str) -> Self {
        Self { prefix: prefix.to_vec(), keys, unknown_key }
    }

    fn of(provider: Provider, services: &mut Vec<Arc<Kms>>) -> Result<Self, Error> {
        const AES: &str = "no matching key was found for the provided AES transformer";
        const SECRETBOX: &str = "no matching key was found for the provided Secretbox transformer";
        Ok(match provider {
            Provider::Identity => Self::new(b"", vec![(Vec::new(), Cipher::Identity)], ""),
            Provider::AesGcm(keys) => {
                let keys = ciphers(keys, |key| aes_gcm::Cipher::new(key).map(Cipher::Gcm))?;
                Self::new(b"k8s:enc:aesgcm:v1:", keys, AES)
            }
            Provider::AesCbc(keys) => {
                let keys = ciphers(keys, |key| aes_cbc::Cipher::new(key).map(Cipher::Cbc))?;
                Self::new(b"k8s:enc:aescbc:v1:", keys, AES)
            }
            Provider::Secretbox(keys) => {
                let keys = ciphers(keys, |key| secretbox::Cipher::new(key).map(Cipher::Secretbox))?;
                Self::new(b"k8s:enc:secretbox:v1:", keys, SECRETBOX)
            }
            Provider::Kms(endpoint) => {
                let prefix = format!("k8s:enc:kms:v2:{}:", endpoint.name);
                let kms = Arc::new(Kms::new(endpoint));
                services.push(Arc::clone(&kms));
                Self::new(prefix.as_bytes(), vec![(Vec::new(), Cipher::Kms(kms))], "")
            }
        })
    }

    /// Reads what comes after the prefix. Of keys with one name each is tried.
    fn open<'a>(&self, stored: &'a [u8], context: &[u8]) -> Result<Opened<'a>, Failure> {
        let mut reasons = Vec::new();
        for (index, (name, cipher)) in self.keys.iter().enumerate() {
            let Some(rest) = stored.strip_prefix(name.as_slice()) else { continue };
            match cipher.open(rest, context) {
                Ok(opened) => return Ok(Opened { stale: opened.stale || index > 0, ..opened }),
                Err(Failure::Locked(locked)) => return Err(Failure::Locked(locked)),
                Err(Failure::Failed(reason)) => reasons.push(reason),
            }
        }
        Err(Failure::Failed(told(reasons, self.unknown_key)))
    }
}

fn ciphers(keys: Vec<Key>, make: impl Fn(&[u8]) -> Option<Cipher>) -> Result<Vec<(Vec<u8>, Cipher)>, Error> {
    let named = |key: Key| {
        let cipher = make(&key.secret).ok_or_else(|| {
            Error::Refused(format!("error while creating cipher for named key {}: invalid key size", key.name))
        })?;
        Ok((format!("{}:", key.name).into_bytes(), cipher))
    };
    keys.into_iter().map(named).collect()
}

/// Reasons on one line.
fn told(mut reasons: Vec<String>, otherwise: &str) -> String {
    reasons.dedup();
    match reasons.as_slice() {
        [] => otherwise.to_owned(),
        [one] => one.clone(),
        many => format!("[{}]", many.join(", ")),
    }
}

impl Cipher {
    fn open<'a>(&self, stored: &'a [u8], context: &[u8]) -> Result<Opened<'a>, Failure> {
        let plain = match self {
            Self::Identity if stored.starts_with(ENCRYPTED) => {
                return Err("identity transformer tried to read encrypted data".to_owned().into());
            }
            Self::Identity => Cow::Borrowed(stored),
            Self::Gcm(cipher) => cipher.open(stored, context)?.into(),
            Self::Cbc(cipher) => cipher.open(stored)?.into(),
            Self::Secretbox(cipher) => cipher.open(stored)?.into(),
            Self::Kms(kms) => return kms.open(stored, context),
        };
        Ok(Opened { plain, stale: false })
    }

    fn seal(&self, plain: &[u8], context: &[u8], entropy: Entropy<'_>, now: Duration) -> Result<Vec<u8>, String> {
        let sealed = match self {
            Self::Identity => Some(plain.to_vec()),
            Self::Gcm(cipher) => cipher.seal(plain, context, entropy),
            Self::Cbc(cipher) => cipher.seal(plain, entropy),
            Self::Secretbox(cipher) => cipher.seal(plain, entropy),
            Self::Kms(kms) => return kms.seal(plain, context, entropy, now),
        };
        sealed.ok_or_else(|| "the value is too long to be encrypted".to_owned())
    }
}

impl Transformer {
    /// Whether values are written as they are, so that nothing has to be copied.
    pub fn writes_plain(&self) -> bool {
        self.0.first().is_none_or(|layer| matches!(layer.keys.first(), Some((_, Cipher::Identity)) | None))
    }

    /// Reads a stored value. `context` is the storage key: a value that was moved is not read.
    ///
    /// Every provider whose prefix fits is tried; what no provider can read is an error and not empty.
    pub fn open<'a>(&self, stored: &'a [u8], context: &[u8]) -> Result<Opened<'a>, Failure> {
        let mut reasons = Vec::new();
        for (index, layer) in self.0.iter().enumerate() {
            let Some(rest) = stored.strip_prefix(layer.prefix.as_slice()) else { continue };
            match layer.open(rest, context) {
                Ok(opened) => return Ok(Opened { stale: opened.stale || index > 0, ..opened }),
                Err(Failure::Locked(locked)) => return Err(Failure::Locked(locked)),
                // That data is not plain is no failure: another provider may read it.
                Err(Failure::Failed(_)) if layer.prefix.is_empty() => {}
                Err(Failure::Failed(reason)) => reasons.push(reason),
            }
        }
        Err(Failure::Failed(told(reasons, "no matching prefix found")))
    }

    /// Makes the stored form of a value with the first key of the first provider.
    pub fn seal(&self, plain: &[u8], context: &[u8], entropy: Entropy<'_>, now: Duration) -> Result<Vec<u8>, Failure> {
        let first = self.0.first().and_then(|layer| Some((layer, layer.keys.first()?)));
        let Some((layer, (name, cipher))) = first else {
            return Err("there is no provider to write with".to_owned().into());
        };
        let sealed = cipher.seal(plain, context, entropy, now)?;
        Ok([layer.prefix.as_slice(), name.as_slice(), sealed.as_slice()].concat())
    }
}
