//! AES in cipher block chaining mode with PKCS#7 padding: an initialisation vector of 16 bytes, then the text.
//!
//! Nothing proves that the text was not changed, and so the storage key is no part of it. It is here for data that exists.

use aes::cipher::block_padding::{NoPadding, Pkcs7};
use aes::cipher::{BlockDecryptMut, BlockEncryptMut, KeyIvInit};
use aes::{Aes128, Aes192, Aes256};
use zeroize::Zeroizing;

use crate::Entropy;

const BLOCK: usize = 16;

/// A key of 16, 24 or 32 bytes.
pub(crate) struct Cipher(Zeroizing<Vec<u8>>);

impl Cipher {
    /// None of any other length.
    pub(crate) fn new(key: &[u8]) -> Option<Self> {
        matches!(key.len(), 16 | 24 | 32).then(|| Self(Zeroizing::new(key.to_vec())))
    }

    /// Encrypts with a fresh vector.
    pub(crate) fn seal(&self, plain: &[u8], entropy: Entropy<'_>) -> Option<Vec<u8>> {
        let mut sealed = vec![0; BLOCK];
        entropy(&mut sealed);
        let text = match self.0.len() {
            16 => {
                cbc::Encryptor::<Aes128>::new_from_slices(&self.0, &sealed).ok()?.encrypt_padded_vec_mut::<Pkcs7>(plain)
            }
            24 => {
                cbc::Encryptor::<Aes192>::new_from_slices(&self.0, &sealed).ok()?.encrypt_padded_vec_mut::<Pkcs7>(plain)
            }
            _ => {
                cbc::Encryptor::<Aes256>::new_from_slices(&self.0, &sealed).ok()?.encrypt_padded_vec_mut::<Pkcs7>(plain)
            }
        };
        sealed.extend(text);
        Some(sealed)
    }

    /// Decrypts what [`Cipher::seal`] made.
    pub(crate) fn open(&self, sealed: &[u8]) -> Result<Vec<u8>, String> {
        const SIZE: &str = "the stored data is not a multiple of the block size";
        let (vector, text) =
            sealed.split_at_checked(BLOCK).ok_or("the stored data was shorter than the required size")?;
        let (key, size) = (&self.0, |_| SIZE.to_owned());
        let mut plain = match key.len() {
            16 => cbc::Decryptor::<Aes128>::new_from_slices(key, vector)
                .map_err(|_| SIZE)?
                .decrypt_padded_vec_mut::<NoPadding>(text)
                .map_err(size)?,
            24 => cbc::Decryptor::<Aes192>::new_from_slices(key, vector)
                .map_err(|_| SIZE)?
                .decrypt_padded_vec_mut::<NoPadding>(text)
                .map_err(size)?,
            _ => cbc::Decryptor::<Aes256>::new_from_slices(key, vector)
                .map_err(|_| SIZE)?
                .decrypt_padded_vec_mut::<NoPadding>(text)
                .map_err(size)?,
        };
        let padding = plain.last().copied().unwrap_or_default();
        let size = usize::from(padding);
        if size == 0 || size > plain.len() {
            return Err("invalid PKCS7 data (empty or not padded)".to_owned());
        }
        let end = plain.len() - size;
        // All bytes are looked at, whichever is wrong.
        let difference = plain[end..].iter().fold(0, |sum, byte| sum | (byte ^ padding));
        if difference != 0 {
            return Err("invalid padding on input".to_owned());
        }
        plain.truncate(end);
        Ok(plain)
    }
}
