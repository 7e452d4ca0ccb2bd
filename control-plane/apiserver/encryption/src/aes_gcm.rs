//! AES in Galois/counter mode: a nonce of 12 bytes, then the text with its tag.

use aes_gcm::aead::consts::U12;
use aes_gcm::aead::{Aead, KeyInit, Payload};
use aes_gcm::aes::{Aes128, Aes192, Aes256};
use aes_gcm::{AesGcm, Nonce};

use crate::Entropy;

/// Bytes of a nonce.
pub(crate) const NONCE: usize = 12;

/// A key, ready for use. Its schedule is wiped when it is dropped.
pub(crate) enum Cipher {
    /// 16 bytes.
    Short(Box<AesGcm<Aes128, U12>>),
    /// 24 bytes.
    Middle(Box<AesGcm<Aes192, U12>>),
    /// 32 bytes.
    Long(Box<AesGcm<Aes256, U12>>),
}

impl Cipher {
    /// A key of 16, 24 or 32 bytes; none of any other length.
    pub(crate) fn new(key: &[u8]) -> Option<Self> {
        match key.len() {
            16 => AesGcm::new_from_slice(key).ok().map(|cipher| Self::Short(Box::new(cipher))),
            24 => AesGcm::new_from_slice(key).ok().map(|cipher| Self::Middle(Box::new(cipher))),
            32 => AesGcm::new_from_slice(key).ok().map(|cipher| Self::Long(Box::new(cipher))),
            _ => None,
        }
    }

    /// Encrypts with a fresh nonce; `context` has to be the same when it is read.
    pub(crate) fn seal(&self, plain: &[u8], context: &[u8], entropy: Entropy<'_>) -> Option<Vec<u8>> {
        let mut sealed = vec![0; NONCE];
        entropy(&mut sealed);
        let payload = Payload { msg: plain, aad: context };
        let nonce = Nonce::from_slice(&sealed);
        let text = match self {
            Self::Short(cipher) => cipher.encrypt(nonce, payload),
            Self::Middle(cipher) => cipher.encrypt(nonce, payload),
            Self::Long(cipher) => cipher.encrypt(nonce, payload),
        };
        sealed.extend(text.ok()?);
        Some(sealed)
    }

    /// Decrypts what [`Cipher::seal`] made.
    pub(crate) fn open(&self, sealed: &[u8], context: &[u8]) -> Result<Vec<u8>, String> {
        let (nonce, text) =
            sealed.split_at_checked(NONCE).ok_or("the stored data was shorter than the required size")?;
        let payload = Payload { msg: text, aad: context };
        let nonce = Nonce::from_slice(nonce);
        let plain = match self {
            Self::Short(cipher) => cipher.decrypt(nonce, payload),
            Self::Middle(cipher) => cipher.decrypt(nonce, payload),
            Self::Long(cipher) => cipher.decrypt(nonce, payload),
        };
        plain.map_err(|_| "cipher: message authentication failed".to_owned())
    }
}
