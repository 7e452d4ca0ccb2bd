//! Keys that sign tokens, and what they are checked with: RSA, and the curves P-256, P-384 and P-521.

mod der;
mod jwk;
mod pem;
mod signing;

#[cfg(test)]
mod tests;

use p521::ecdsa::signature::Verifier as _;
use ring::signature::{self, RsaParameters, RsaPublicKeyComponents, UnparsedPublicKey, VerificationAlgorithm};
use sha2::{Digest as _, Sha256};

use crate::jose::{Algorithm, encode};

pub use jwk::{NamedKey, key_set, read_key_set};
pub use pem::{NotAKey, read_public_keys};
pub use signing::{NotSigned, SigningKey};

/// A curve.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Curve {
    /// secp256r1
    P256,
    /// secp384r1
    P384,
    /// secp521r1
    P521,
}

impl Curve {
    /// All of them.
    pub(crate) const ALL: [Self; 3] = [Self::P256, Self::P384, Self::P521];

    /// Its name in a key set.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::P256 => "P-256",
            Self::P384 => "P-384",
            Self::P521 => "P-521",
        }
    }

    /// Bytes of one coordinate.
    pub(crate) const fn coordinate(self) -> usize {
        match self {
            Self::P256 => 32,
            Self::P384 => 48,
            Self::P521 => 66,
        }
    }
}

/// A key that signatures are checked with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PublicKey {
    /// RSA, both numbers without leading zeros.
    Rsa {
        /// The modulus.
        modulus: Vec<u8>,
        /// The exponent.
        exponent: Vec<u8>,
    },
    /// A point on a curve.
    Ecdsa {
        /// The curve.
        curve: Curve,
        /// The point, uncompressed.
        point: Vec<u8>,
    },
}

impl PublicKey {
    /// An RSA key. Leading zeros say nothing.
    pub(crate) fn rsa(modulus: &[u8], exponent: &[u8]) -> Self {
        let stripped = |bytes: &[u8]| bytes.iter().copied().skip_while(|byte| *byte == 0).collect();
        Self::Rsa { modulus: stripped(modulus), exponent: stripped(exponent) }
    }

    /// A point in its uncompressed form; `None` for other forms and lengths. Whether it is on the curve shows when it is used.
    pub(crate) fn ecdsa(curve: Curve, point: &[u8]) -> Option<Self> {
        (point.len() == 1 + 2 * curve.coordinate() && point[0] == 4)
            .then(|| Self::Ecdsa { curve, point: point.to_vec() })
    }

    /// The algorithm this server signs with when it has the private half.
    pub fn algorithm(&self) -> Algorithm {
        match self {
            Self::Rsa { .. } => Algorithm::Rs256,
            Self::Ecdsa { curve: Curve::P256, .. } => Algorithm::Es256,
            Self::Ecdsa { curve: Curve::P384, .. } => Algorithm::Es384,
            Self::Ecdsa { curve: Curve::P521, .. } => Algorithm::Es512,
        }
    }

    /// The name of the key in tokens and key sets: a digest of the key, as upstream's.
    pub fn id(&self) -> String {
        encode(Sha256::digest(der::subject_public_key_info(self)))
    }

    /// Whether a signature over a message is the key's. False for every algorithm that is not of the key's own kind.
    pub(crate) fn verifies(&self, algorithm: Algorithm, message: &[u8], signature: &[u8]) -> bool {
        match self {
            Self::Rsa { modulus, exponent } => rsa_parameters(algorithm).is_some_and(|parameters| {
                let key = RsaPublicKeyComponents { n: modulus, e: exponent };
                key.verify(parameters, message, signature).is_ok()
            }),
            Self::Ecdsa { .. } if algorithm != self.algorithm() => false,
            Self::Ecdsa { curve: Curve::P521, point } => {
                let key = p521::ecdsa::VerifyingKey::from_sec1_bytes(point);
                let signature = p521::ecdsa::Signature::from_slice(signature);
                matches!((key, signature), (Ok(key), Ok(signature)) if key.verify(message, &signature).is_ok())
            }
            Self::Ecdsa { curve: Curve::P256, point } => {
                checked(&signature::ECDSA_P256_SHA256_FIXED, point, message, signature)
            }
            Self::Ecdsa { curve: Curve::P384, point } => {
                checked(&signature::ECDSA_P384_SHA384_FIXED, point, message, signature)
            }
        }
    }
}

fn checked(algorithm: &'static dyn VerificationAlgorithm, point: &[u8], message: &[u8], signature: &[u8]) -> bool {
    UnparsedPublicKey::new(algorithm, point).verify(message, signature).is_ok()
}

fn rsa_parameters(algorithm: Algorithm) -> Option<&'static RsaParameters> {
    match algorithm {
        Algorithm::Rs256 => Some(&signature::RSA_PKCS1_2048_8192_SHA256),
        Algorithm::Rs384 => Some(&signature::RSA_PKCS1_2048_8192_SHA384),
        Algorithm::Rs512 => Some(&signature::RSA_PKCS1_2048_8192_SHA512),
        Algorithm::Ps256 => Some(&signature::RSA_PSS_2048_8192_SHA256),
        Algorithm::Ps384 => Some(&signature::RSA_PSS_2048_8192_SHA384),
        Algorithm::Ps512 => Some(&signature::RSA_PSS_2048_8192_SHA512),
        Algorithm::Es256 | Algorithm::Es384 | Algorithm::Es512 => None,
    }
}
