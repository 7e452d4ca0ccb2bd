//! `XSalsa20` and Poly1305 as `NaCl` joins them: a nonce of 24 bytes, then the tag with the text. The storage key is no part of it.

use crypto_secretbox::aead::{Aead, KeyInit};
use crypto_secretbox::{Nonce, XSalsa20Poly1305};

use crate::Entropy;

const NONCE: usize = 24;
const TAG: usize = 16;

/// A key of 32 bytes, wiped when it is dropped.
pub(crate) struct Cipher(XSalsa20Poly1305);

impl Cipher {
    /// None of any other length.
    pub(crate) fn new(key: &[u8]) -> Option<Self> {
        XSalsa20Poly1305::new_from_slice(key).ok().map(Self)
    }

    /// Encrypts with a fresh nonce.
    pub(crate) fn seal(&self, plain: &[u8], entropy: Entropy<'_>) -> Option<Vec<u8>> {
        let mut sealed = vec![0; NONCE];
        entropy(&mut sealed);
        let text = self.0.encrypt(Nonce::from_slice(&sealed), plain).ok()?;
        sealed.extend(text);
        Some(sealed)
    }

    /// Decrypts what [`Cipher::seal`] made.
    pub(crate) fn open(&self, sealed: &[u8]) -> Result<Vec<u8>, String> {
        if sealed.len() < NONCE + TAG {
            return Err("the stored data was shorter than the required size".to_owned());
        }
        let (nonce, text) = sealed.split_at(NONCE);
        let plain = self.0.decrypt(Nonce::from_slice(nonce), text);
        plain.map_err(|_| "output array was not large enough for encryption".to_owned())
    }
}
