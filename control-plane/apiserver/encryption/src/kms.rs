//! Envelope encryption: data keys come from a seed, and a key management service wraps the seed.
//!
//! ```text
//!   a minute after each good `Status`, ten seconds after a bad one:    see `Kms::POLL`, `Kms::RETRY`
//!     Status  -> Kms::observe -> Call::Nothing                          the same key: writes stay allowed
//!                             -> Call::Encrypt                          another key: wrap a new seed
//!     Encrypt -> Kms::install                                           from now on it is written with
//!   a value that is locked:
//!     Decrypt -> Kms::unlock                                            then open it again
//! ```

mod envelope;

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use prost::Message;
use ring::hkdf;
use zeroize::Zeroizing;

use crate::aes_gcm::Cipher;
use crate::configuration::Endpoint;
use crate::transformer::Failure;
use crate::{Entropy, Opened};
use envelope::{EncryptedObject, Source};

/// Bytes of a seed, of what is mixed into it for each value, and of the keys that come out.
const SIZE: usize = 32;

/// How many unwrapped data keys are kept. There is one for each start of each server since the last migration.
const CACHED: usize = 1024;

/// What the service says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Status {
    /// Version of the protocol.
    pub version: String,
    /// `ok` if all is well.
    pub healthz: String,
    /// The key it wraps with now.
    pub key_id: String,
}

/// A seed that the service wrapped: its answer to `Encrypt`, and what it has to be sent for `Decrypt`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wrapped {
    /// The wrapped bytes.
    pub ciphertext: Vec<u8>,
    /// The key they are wrapped with.
    pub key_id: String,
    /// What the service wants to see again.
    pub annotations: BTreeMap<String, Vec<u8>>,
}

/// What to ask of the service next.
#[derive(Debug)]
pub enum Call {
    /// Nothing before the next `Status`.
    Nothing,
    /// `Encrypt` with this as the plain text; the answer goes to [`Kms::install`].
    Encrypt(Seed),
}

/// A fresh seed. Wiped when it is dropped.
pub struct Seed(Zeroizing<Vec<u8>>);

impl Seed {
    /// The plain text for `Encrypt`.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for Seed {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("Seed")
    }
}

/// A value cannot be read before the service has unwrapped its data key.
#[derive(Clone)]
pub struct Locked {
    /// Who has to be asked.
    pub kms: Arc<Kms>,
    /// What to send for `Decrypt`; the answer goes to [`Kms::unlock`].
    pub wrapped: Wrapped,
    source: Source,
}

impl fmt::Debug for Locked {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Locked").field("kms", &self.kms.endpoint.name).finish_non_exhaustive()
    }
}

impl PartialEq for Locked {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.kms, &other.kms) && self.wrapped == other.wrapped && self.source == other.source
    }
}

/// A key of data, as it was unwrapped.
enum DataKey {
    /// The key itself.
    Plain(Cipher),
    /// What a key is derived from for each value.
    Seed(hkdf::Prk),
}

/// What is written with.
struct Current {
    key: Arc<DataKey>,
    wrapped: Wrapped,
    /// Not written with after this: nobody has said for long that the key is still the right one.
    until: Duration,
}

/// One key management service as this server knows it. Times are those of one clock that does not go back.
pub struct Kms {
    endpoint: Endpoint,
    current: RwLock<Option<Current>>,
    keys: Mutex<Cache>,
}

#[derive(Default)]
struct Cache {
    keys: HashMap<Vec<u8>, (Arc<DataKey>, u64)>,
    used: u64,
}

struct Length(usize);

impl hkdf::KeyType for Length {
    fn len(&self) -> usize {
        self.0
    }
}

impl DataKey {
    fn new(source: Source, bytes: &[u8]) -> Result<Self, String> {
        match source {
            Source::Key => Cipher::new(bytes)
                .map(Self::Plain)
                .ok_or_else(|| format!("crypto/aes: invalid key size {}", bytes.len())),
            Source::Seed if bytes.len() < SIZE => {
                Err(format!("invalid seed length {} used for key generation", bytes.len()))
            }
            Source::Seed => Ok(Self::Seed(hkdf::Prk::new_less_safe(hkdf::HKDF_SHA256, bytes))),
        }
    }

    /// The cipher for one value, from the bytes stored before it.
    fn derive(seed: &hkdf::Prk, info: &[u8]) -> Option<Cipher> {
        let mut key = Zeroizing::new(vec![0; SIZE]);
        seed.expand(&[info], Length(SIZE)).ok()?.fill(&mut key).ok()?;
        Cipher::new(&key)
    }

    fn seal(&self, plain: &[u8], context: &[u8], entropy: Entropy<'_>) -> Option<Vec<u8>> {
        match self {
            Self::Plain(cipher) => cipher.seal(plain, context, entropy),
            Self::Seed(seed) => {
                let mut sealed = vec![0; SIZE];
                entropy(&mut sealed);
                let text = Self::derive(seed, &sealed)?.seal(plain, context, entropy)?;
                sealed.extend(text);
                Some(sealed)
            }
        }
    }

    fn open(&self, sealed: &[u8], context: &[u8]) -> Result<Vec<u8>, String> {
        match self {
            Self::Plain(cipher) => cipher.open(sealed, context),
            Self::Seed(seed) => {
                let (info, text) =
                    sealed.split_at_checked(SIZE).ok_or("the stored data was shorter than the required size")?;
                Self::derive(seed, info).ok_or("failed to derive read key from KDF")?.open(text, context)
            }
        }
    }
}

impl Cache {
    fn get(&mut self, key: &[u8]) -> Option<Arc<DataKey>> {
        self.used += 1;
        let (found, used) = self.keys.get_mut(key)?;
        *used = self.used;
        Some(Arc::clone(found))
    }

    fn put(&mut self, key: Vec<u8>, value: Arc<DataKey>) {
        self.used += 1;
        if self.keys.len() >= CACHED && !self.keys.contains_key(&key) {
            let oldest = self.keys.iter().min_by_key(|(_, (_, used))| *used).map(|(key, _)| key.clone());
            oldest.map(|oldest| self.keys.remove(&oldest));
        }
        self.keys.insert(key, (value, self.used));
    }
}

impl Kms {
    /// Time between two calls of `Status` while all is well.
    pub const POLL: Duration = Duration::from_mins(1);
    /// Time to the next call after one that failed.
    pub const RETRY: Duration = Duration::from_secs(10);
    /// How long is written after the last word from the service.
    pub const PATIENCE: Duration = Duration::from_mins(3);

    pub(crate) fn new(endpoint: Endpoint) -> Self {
        Self { endpoint, current: RwLock::new(None), keys: Mutex::new(Cache::default()) }
    }

    /// Where to call.
    pub fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    /// Takes an answer to `Status`. Also the answer of the health check: an error is why the service is not well.
    pub fn observe(&self, status: &Status, entropy: Entropy<'_>, now: Duration) -> Result<Call, String> {
        let mut wrong = Vec::new();
        if status.healthz != "ok" {
            wrong.push(format!("got unexpected healthz status: {}", status.healthz));
        }
        if !matches!(status.version.as_str(), "v2" | "v2beta1") {
            wrong.push(format!("expected KMSv2 API version v2, got {}", status.version));
        }
        if let Err(error) = envelope::check_key_id(&status.key_id) {
            wrong.push(format!("expected KMSv2 KeyID to be set, got {}: {error}", status.key_id));
        }
        if !wrong.is_empty() {
            let name = &self.endpoint.name;
            return Err(format!("kmsv2 Provider {name} is not healthy, error: {}", envelope::join(&wrong)));
        }
        let mut current = self.current.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(current) = current.as_mut().filter(|current| current.wrapped.key_id == status.key_id) {
            current.until = now + Self::PATIENCE;
            return Ok(Call::Nothing);
        }
        let mut seed = Zeroizing::new(vec![0; SIZE]);
        entropy(&mut seed);
        Ok(Call::Encrypt(Seed(seed)))
    }

    /// Takes the answer to `Encrypt`, made with `seed` because [`Kms::observe`] of `status` asked for it. On an error all
    /// stays as it was.
    pub fn install(&self, status: &Status, seed: &Seed, wrapped: Wrapped, now: Duration) -> Result<(), String> {
        if wrapped.key_id != status.key_id {
            return Err("failed to rotate DEK: Status and Encrypt name different keys".to_owned());
        }
        envelope::check(&wrapped)?;
        let key = Arc::new(DataKey::new(Source::Seed, &seed.0)?);
        self.cache().put(envelope::identity(Source::Seed, &wrapped), Arc::clone(&key));
        let current = Current { key, wrapped, until: now + Self::PATIENCE };
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = Some(current);
        Ok(())
    }

    /// Takes the answer to `Decrypt`.
    pub fn unlock(&self, locked: &Locked, plain: &[u8]) -> Result<(), String> {
        let key = DataKey::new(locked.source, plain)?;
        self.cache().put(envelope::identity(locked.source, &locked.wrapped), Arc::new(key));
        Ok(())
    }

    fn cache(&self) -> std::sync::MutexGuard<'_, Cache> {
        self.keys.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn seal(
        &self,
        plain: &[u8],
        context: &[u8],
        entropy: Entropy<'_>,
        now: Duration,
    ) -> Result<Vec<u8>, String> {
        let current = self.current.read().unwrap_or_else(PoisonError::into_inner);
        let current = current.as_ref().ok_or(NOT_READY)?;
        if now > current.until {
            return Err(format!("encryptedDEKSource of KMS provider {:?} expired", self.endpoint.name));
        }
        let data = current.key.seal(plain, context, entropy).ok_or("failed to encrypt")?;
        let object = EncryptedObject {
            encrypted_data: data,
            key_id: current.wrapped.key_id.clone(),
            encrypted_dek_source: current.wrapped.ciphertext.clone(),
            annotations: current.wrapped.annotations.clone(),
            encrypted_dek_source_type: Source::Seed as i32,
        };
        Ok(object.encode_to_vec())
    }

    pub(crate) fn open<'a>(self: &Arc<Self>, stored: &[u8], context: &[u8]) -> Result<Opened<'a>, Failure> {
        let object = EncryptedObject::decode(stored).map_err(|error| error.to_string())?;
        let (source, wrapped, data) = object.take()?;
        let current_key = {
            let current = self.current.read().unwrap_or_else(PoisonError::into_inner);
            current.as_ref().map(|current| current.wrapped.key_id.clone()).ok_or_else(|| NOT_READY.to_owned())?
        };
        let key = self.cache().get(&envelope::identity(source, &wrapped));
        let stale = wrapped.key_id != current_key || source != Source::Seed;
        let Some(key) = key else {
            return Err(Failure::Locked(Locked { kms: Arc::clone(self), wrapped, source }));
        };
        Ok(Opened { plain: key.open(&data, context)?.into(), stale })
    }
}

/// What is said before the service has answered once.
const NOT_READY: &str = "got unexpected nil transformer";
