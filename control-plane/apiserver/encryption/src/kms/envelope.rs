//! The message that lies in the store: wrapped key and data together.

use std::collections::BTreeMap;

use field::names::{dns_label, dns_subdomain};
use field::{Errors, Path};
use prost::Message;

use super::Wrapped;

/// Longest name of a key.
const KEY_ID: usize = 1024;
/// Longest wrapped seed.
const WRAPPED: usize = 1024;
/// Most bytes of annotations, keys and values together.
const ANNOTATIONS: usize = 32 * 1024;

/// What was wrapped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, prost::Enumeration)]
#[repr(i32)]
pub(super) enum Source {
    /// A key, used as it is.
    Key = 0,
    /// A seed, from which a key is derived for each value with HKDF-SHA256.
    Seed = 1,
}

/// Field numbers are those of kube-apiserver: this is what it stores.
#[derive(Clone, PartialEq, Eq, Message)]
pub(super) struct EncryptedObject {
    #[prost(bytes = "vec", tag = "1")]
    pub(super) encrypted_data: Vec<u8>,
    #[prost(string, tag = "2")]
    pub(super) key_id: String,
    #[prost(bytes = "vec", tag = "3")]
    pub(super) encrypted_dek_source: Vec<u8>,
    #[prost(btree_map = "string, bytes", tag = "4")]
    pub(super) annotations: BTreeMap<String, Vec<u8>>,
    #[prost(enumeration = "Source", tag = "5")]
    pub(super) encrypted_dek_source_type: i32,
}

impl EncryptedObject {
    /// The parts, checked.
    pub(super) fn take(self) -> Result<(Source, Wrapped, Vec<u8>), String> {
        let number = self.encrypted_dek_source_type;
        let source = Source::try_from(number).map_err(|_| format!("unknown encryptedDEKSourceType: {number}"))?;
        if self.encrypted_data.is_empty() {
            return Err("encrypted data is empty".to_owned());
        }
        let wrapped =
            Wrapped { ciphertext: self.encrypted_dek_source, key_id: self.key_id, annotations: self.annotations };
        check(&wrapped)?;
        Ok((source, wrapped, self.encrypted_data))
    }
}

/// Several causes on one line.
pub(super) fn join(causes: &[String]) -> String {
    match causes {
        [one] => one.clone(),
        many => format!("[{}]", many.join(", ")),
    }
}

pub(super) fn check_key_id(key_id: &str) -> Result<(), String> {
    match key_id.len() {
        0 => Err("keyID is empty".to_owned()),
        size if size > KEY_ID => Err(format!("keyID is {size} bytes, which exceeds the max size of {KEY_ID}")),
        _ => Ok(()),
    }
}

/// What a service answered must be small, and its annotations must be named by domains.
pub(super) fn check(wrapped: &Wrapped) -> Result<(), String> {
    match wrapped.ciphertext.len() {
        0 => return Err("failed to validate encrypted DEK source: encrypted DEK source is empty".to_owned()),
        size if size > WRAPPED => {
            return Err(format!(
                "failed to validate encrypted DEK source: encrypted DEK source is {size} bytes, which exceeds the max size of \
                 {WRAPPED}"
            ));
        }
        _ => {}
    }
    check_key_id(&wrapped.key_id).map_err(|error| format!("failed to validate key id: {error}"))?;
    let mut wrong: Vec<String> = wrapped.annotations.keys().filter_map(|key| wrong_domain(key)).collect();
    let size: usize = wrapped.annotations.iter().map(|(key, value)| key.len() + value.len()).sum();
    if size > ANNOTATIONS {
        wrong.push(format!("total size of annotations is {size}, which exceeds the max size of {ANNOTATIONS}"));
    }
    if wrong.is_empty() { Ok(()) } else { Err(format!("failed to validate annotations: {}", join(&wrong))) }
}

fn wrong_domain(name: &str) -> Option<String> {
    let (mut errors, path) = (Errors::new(), Path::new("annotations"));
    let bare = name.strip_suffix('.').unwrap_or(name);
    let wrong = dns_subdomain(bare);
    if name.is_empty() {
        errors.required(&path, "");
    } else if !wrong.is_empty() {
        errors.invalid(&path, bare, &wrong.join(","));
    } else if !bare.contains('.') {
        errors.invalid(&path, bare, "should be a domain with at least two segments separated by dots");
    } else {
        for label in bare.split('.') {
            let wrong = dns_label(label);
            if !wrong.is_empty() {
                errors.invalid(&path, label, &wrong.join(","));
                break;
            }
        }
    }
    (!errors.is_empty()).then(|| errors.to_string())
}

/// What tells one wrapped key from another: all that the service is sent.
pub(super) fn identity(source: Source, wrapped: &Wrapped) -> Vec<u8> {
    let object = EncryptedObject {
        encrypted_data: Vec::new(),
        key_id: wrapped.key_id.clone(),
        encrypted_dek_source: wrapped.ciphertext.clone(),
        annotations: wrapped.annotations.clone(),
        encrypted_dek_source_type: source as i32,
    };
    object.encode_to_vec()
}
