//! Encryption at rest: from `EncryptionConfiguration` to the bytes in the store, and back.
//!
//! What is written can be read by kube-apiserver with the same file, and the other way round. The store's client does:
//!
//! ```text
//!   let encryption = Encryption::new(Configuration::read(text)?)?;              once, and again when the file changed
//!   let transformer = encryption.of_resource(group, resource);                 keep it beside the resource
//!   stored = transformer.seal(plain, key, entropy, now)?                       `key` is the storage key, part of the proof
//!   opened = transformer.open(stored, key)                                     opened.stale: write it again to migrate
//! ```
//!
//! A key management service is asked by the server, not here: `open` answers [`Failure::Locked`] when a data key has to be
//! unwrapped first; the server calls `Decrypt`, hands the answer to [`Kms::unlock`], and opens again. [`Kms`] says what else
//! to call and when. Random bytes and times are arguments.

mod aes_cbc;
mod aes_gcm;
mod configuration;
mod kms;
mod resources;
mod secretbox;
mod transformer;

pub use configuration::{Configuration, Endpoint, Error, Key, Provider, Rule};
pub use kms::{Call, Kms, Locked, Status, Wrapped};
pub use resources::Resource;
pub use transformer::{Encryption, Failure, Opened, Transformer};
pub use zeroize::Zeroizing;

/// Fills a slice with random bytes.
pub type Entropy<'a> = &'a mut dyn FnMut(&mut [u8]);
