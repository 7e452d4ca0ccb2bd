//! The private half of a key.

use std::fmt;

use p521::ecdsa::signature::Signer as _;
use p521::elliptic_curve::sec1::ToSec1Point as _;
use p521::pkcs8::DecodePrivateKey as _;
use ring::rand::SecureRandom;
use ring::rsa::KeyPair as RsaKeyPair;
use ring::signature::{self, EcdsaKeyPair, EcdsaSigningAlgorithm, KeyPair as _, RSA_PKCS1_SHA256};
use serde_json::{Map, Value, json};
use x509_parser::pem::Pem;

use super::pem::{NotAKey, blocks};
use super::{Curve, PublicKey, der};
use crate::jose::encode;

/// A key that signs tokens.
pub struct SigningKey {
    public: PublicKey,
    private: Private,
}

enum Private {
    Rsa(RsaKeyPair),
    Ecdsa(EcdsaKeyPair),
    P521(Box<p521::ecdsa::SigningKey>),
}

/// The cryptographic library could not sign.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NotSigned;

impl SigningKey {
    /// Reads the first private key of a PEM text: PKCS #8, or the older forms of RSA and of curves.
    ///
    /// # Errors
    ///
    /// When there is none.
    pub fn read(text: &[u8], random: &dyn SecureRandom) -> Result<Self, NotAKey> {
        blocks(text).find_map(|block| Self::from_block(&block, random)).ok_or(NotAKey)
    }

    pub(super) fn from_block(block: &Pem, random: &dyn SecureRandom) -> Option<Self> {
        let der = &block.contents;
        match block.label.as_str() {
            "RSA PRIVATE KEY" => RsaKeyPair::from_der(der).ok().map(Self::rsa),
            "EC PRIVATE KEY" => {
                Curve::ALL.into_iter().find_map(|curve| Self::on_curve(curve, &der::pkcs8(curve, der), random))
            }
            "PRIVATE KEY" => RsaKeyPair::from_pkcs8(der)
                .ok()
                .map(Self::rsa)
                .or_else(|| Curve::ALL.into_iter().find_map(|curve| Self::on_curve(curve, der, random))),
            _ => None,
        }
    }

    fn rsa(pair: RsaKeyPair) -> Self {
        let parts = signature::RsaPublicKeyComponents::<Vec<u8>>::from(pair.public());
        Self { public: PublicKey::rsa(&parts.n, &parts.e), private: Private::Rsa(pair) }
    }

    fn on_curve(curve: Curve, pkcs8: &[u8], random: &dyn SecureRandom) -> Option<Self> {
        let ring = |algorithm: &'static EcdsaSigningAlgorithm| {
            let pair = EcdsaKeyPair::from_pkcs8(algorithm, pkcs8, random).ok()?;
            let public = PublicKey::ecdsa(curve, pair.public_key().as_ref())?;
            Some(Self { public, private: Private::Ecdsa(pair) })
        };
        match curve {
            Curve::P256 => ring(&signature::ECDSA_P256_SHA256_FIXED_SIGNING),
            Curve::P384 => ring(&signature::ECDSA_P384_SHA384_FIXED_SIGNING),
            Curve::P521 => {
                let secret = p521::SecretKey::from_pkcs8_der(pkcs8).ok()?;
                let point = secret.public_key().to_sec1_point(false);
                let public = PublicKey::ecdsa(curve, point.as_bytes())?;
                Some(Self { public, private: Private::P521(Box::new(p521::ecdsa::SigningKey::from(&secret))) })
            }
        }
    }

    /// The public half.
    pub fn public(&self) -> &PublicKey {
        &self.public
    }

    /// A token with these claims.
    ///
    /// # Errors
    ///
    /// When the cryptographic library fails.
    pub fn sign(&self, claims: &Map<String, Value>, random: &dyn SecureRandom) -> Result<String, NotSigned> {
        let header = json!({ "alg": self.public.algorithm().name(), "kid": self.public.id() });
        let claims = serde_json::to_vec(claims).map_err(|_| NotSigned)?;
        let text = format!("{}.{}", encode(header.to_string()), encode(claims));
        let signature = match &self.private {
            Private::Rsa(pair) => {
                let mut signature = vec![0; pair.public().modulus_len()];
                pair.sign(&RSA_PKCS1_SHA256, random, text.as_bytes(), &mut signature).map_err(|_| NotSigned)?;
                signature
            }
            Private::Ecdsa(pair) => pair.sign(random, text.as_bytes()).map_err(|_| NotSigned)?.as_ref().to_vec(),
            Private::P521(key) => {
                let signature: p521::ecdsa::Signature = key.try_sign(text.as_bytes()).map_err(|_| NotSigned)?;
                signature.to_bytes().to_vec()
            }
        };
        Ok(format!("{text}.{}", encode(signature)))
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SigningKey").field("public", &self.public).finish_non_exhaustive()
    }
}
