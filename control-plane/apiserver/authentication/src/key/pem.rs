//! Keys in PEM files, in every form upstream reads.

use std::fmt;

use ring::rand::SecureRandom;
use x509_parser::pem::Pem;
use x509_parser::prelude::{FromDer as _, X509Certificate};
use x509_parser::public_key::{PublicKey as Parsed, RSAPublicKey};
use x509_parser::x509::SubjectPublicKeyInfo;

use super::{Curve, PublicKey, SigningKey, der};

/// A file holds no key of a kind that is known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NotAKey;

impl fmt::Display for NotAKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("data does not contain any valid RSA or ECDSA keys")
    }
}

impl std::error::Error for NotAKey {}

/// All keys of a file: public ones, those of certificates and the public halves of private ones. Other blocks are passed over.
///
/// # Errors
///
/// When there is no key.
pub fn read_public_keys(text: &[u8], random: &dyn SecureRandom) -> Result<Vec<PublicKey>, NotAKey> {
    let keys: Vec<PublicKey> = blocks(text).filter_map(|block| public_key(&block, random)).collect();
    if keys.is_empty() { Err(NotAKey) } else { Ok(keys) }
}

/// The blocks of a PEM text.
pub(super) fn blocks(text: &[u8]) -> impl Iterator<Item = Pem> {
    Pem::iter_from_buffer(text).map_while(Result::ok)
}

fn public_key(block: &Pem, random: &dyn SecureRandom) -> Option<PublicKey> {
    match block.label.as_str() {
        "PUBLIC KEY" => from_info(&SubjectPublicKeyInfo::from_der(&block.contents).ok()?.1),
        "RSA PUBLIC KEY" => {
            let (_, key) = RSAPublicKey::from_der(&block.contents).ok()?;
            Some(PublicKey::rsa(key.modulus, key.exponent))
        }
        "CERTIFICATE" => from_info(X509Certificate::from_der(&block.contents).ok()?.1.public_key()),
        _ => SigningKey::from_block(block, random).map(|key| key.public().clone()),
    }
}

fn from_info(info: &SubjectPublicKeyInfo<'_>) -> Option<PublicKey> {
    match info.parsed().ok()? {
        Parsed::RSA(key) => Some(PublicKey::rsa(key.modulus, key.exponent)),
        Parsed::EC(point) => {
            let curve = info.algorithm.parameters.as_ref()?.as_oid().ok()?;
            let curve = Curve::ALL.into_iter().find(|one| der::curve_identifier(*one)[2..] == *curve.as_bytes())?;
            PublicKey::ecdsa(curve, point.data())
        }
        _ => None,
    }
}
