//! Signed tokens (JSON Web Tokens) with the claims etcd's have: `username`, `revision`, `exp`.

use std::io;
use std::path::Path;
use std::time::{Duration, SystemTime};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;
use ring::hmac;
use ring::rand::SystemRandom;
use ring::signature::{self, EcdsaKeyPair, Ed25519KeyPair, KeyPair, RsaKeyPair, UnparsedPublicKey};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, SubjectPublicKeyInfoDer};
use serde::{Deserialize, Serialize};
use store_core::auth::Caller;
use x509_parser::prelude::FromDer;
use x509_parser::x509::SubjectPublicKeyInfo;

use super::options::JwtOptions;

/// Longer tokens are not looked into: ours are a few hundred bytes.
const MAX_TOKEN: usize = 8 << 10;
/// The identifiers of the curves' keys in a PKCS#8 file, as DER.
const EC_P256: &[u8] = b"\x30\x13\x06\x07\x2a\x86\x48\xce\x3d\x02\x01\x06\x08\x2a\x86\x48\xce\x3d\x03\x01\x07";
const EC_P384: &[u8] = b"\x30\x10\x06\x07\x2a\x86\x48\xce\x3d\x02\x01\x06\x05\x2b\x81\x04\x00\x22";

/// The signing methods.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Method {
    /// HMAC with SHA-256.
    Hs256,
    /// HMAC with SHA-384.
    Hs384,
    /// HMAC with SHA-512.
    Hs512,
    /// RSA, PKCS#1 v1.5, with SHA-256.
    Rs256,
    /// RSA, PKCS#1 v1.5, with SHA-384.
    Rs384,
    /// RSA, PKCS#1 v1.5, with SHA-512.
    Rs512,
    /// RSA, PSS, with SHA-256.
    Ps256,
    /// RSA, PSS, with SHA-384.
    Ps384,
    /// RSA, PSS, with SHA-512.
    Ps512,
    /// ECDSA on P-256 with SHA-256.
    Es256,
    /// ECDSA on P-384 with SHA-384.
    Es384,
    /// Ed25519.
    EdDsa,
}

impl Method {
    const ALL: [Self; 12] = [
        Self::Hs256,
        Self::Hs384,
        Self::Hs512,
        Self::Rs256,
        Self::Rs384,
        Self::Rs512,
        Self::Ps256,
        Self::Ps384,
        Self::Ps512,
        Self::Es256,
        Self::Es384,
        Self::EdDsa,
    ];

    /// Reads its name.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|method| method.name() == name)
    }

    /// Its name in a token's header.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Hs256 => "HS256",
            Self::Hs384 => "HS384",
            Self::Hs512 => "HS512",
            Self::Rs256 => "RS256",
            Self::Rs384 => "RS384",
            Self::Rs512 => "RS512",
            Self::Ps256 => "PS256",
            Self::Ps384 => "PS384",
            Self::Ps512 => "PS512",
            Self::Es256 => "ES256",
            Self::Es384 => "ES384",
            Self::EdDsa => "EdDSA",
        }
    }
}

/// Signs and checks tokens.
pub struct Jwt {
    method: Method,
    ttl: Duration,
    signer: Option<Signer>,
    verifier: Verifier,
    random: SystemRandom,
}

enum Signer {
    Hmac(hmac::Key),
    Rsa(RsaKeyPair, &'static dyn signature::RsaEncoding),
    Ecdsa(EcdsaKeyPair),
    Ed25519(Ed25519KeyPair),
}

enum Verifier {
    Hmac(hmac::Key),
    Public(UnparsedPublicKey<Vec<u8>>),
}

/// Why a token was not made.
#[derive(Debug, PartialEq, Eq)]
pub enum NotSigned {
    /// There is no key to sign with.
    VerifyOnly,
    /// The key does not work.
    Broken,
}

#[derive(Serialize, Deserialize)]
struct Header {
    alg: String,
    typ: Option<String>,
}

#[derive(Serialize, Deserialize)]
struct Claims {
    username: String,
    revision: u64,
    exp: u64,
}

fn wrong(path: &Path, what: impl std::fmt::Display) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("{}: {what}", path.display()))
}

impl Jwt {
    /// Reads the keys.
    pub fn open(options: &JwtOptions) -> io::Result<Self> {
        let read = |path: &Path| std::fs::read(path).map_err(|error| wrong(path, error));
        let method = options.method;
        let (signer, verifier) = if let Some(algorithm) = hmac_algorithm(method) {
            // The secret may be in either file; in both, it must be the same.
            let secrets = [&options.private_key, &options.public_key].into_iter().flatten();
            let secrets = secrets.map(|path| Ok((path, read(path)?))).collect::<io::Result<Vec<_>>>()?;
            let [(path, secret), rest @ ..] = &secrets[..] else {
                return Err(io::Error::new(io::ErrorKind::InvalidInput, "no key is named"));
            };
            if secret.is_empty() || rest.iter().any(|(_, other)| other != secret) {
                return Err(wrong(path, "empty, or not the same secret in both files"));
            }
            let key = hmac::Key::new(algorithm, secret);
            (Some(Signer::Hmac(key.clone())), Verifier::Hmac(key))
        } else {
            let private = options.private_key.as_deref();
            let signer = private.map(|path| signer(method, path, &read(path)?)).transpose()?;
            let mut public = signer.as_ref().and_then(Signer::public);
            if let Some(path) = &options.public_key {
                let named = public_key(path, &read(path)?)?;
                if public.is_some_and(|own| own != named) {
                    return Err(wrong(path, "not the public key of priv-key"));
                }
                public = Some(named);
            }
            let missing = || io::Error::new(io::ErrorKind::InvalidInput, "no key to check tokens with");
            (signer, Verifier::Public(UnparsedPublicKey::new(algorithm(method), public.ok_or_else(missing)?)))
        };
        Ok(Self { method, ttl: options.ttl, signer, verifier, random: SystemRandom::new() })
    }

    /// A token for a user.
    pub fn sign(&self, caller: &Caller, now: SystemTime) -> Result<String, NotSigned> {
        let signer = self.signer.as_ref().ok_or(NotSigned::VerifyOnly)?;
        let header = Header { alg: self.method.name().to_owned(), typ: Some("JWT".to_owned()) };
        let exp = seconds(now).saturating_add(self.ttl.as_secs().max(1));
        let claims = Claims { username: caller.user.clone(), revision: caller.revision, exp };
        let part = |json: Result<Vec<u8>, serde_json::Error>| json.map(|json| BASE64.encode(json));
        let (Ok(header), Ok(claims)) = (part(serde_json::to_vec(&header)), part(serde_json::to_vec(&claims))) else {
            return Err(NotSigned::Broken);
        };
        let text = format!("{header}.{claims}");
        let signature = signer.sign(text.as_bytes(), &self.random).ok_or(NotSigned::Broken)?;
        Ok(format!("{text}.{}", BASE64.encode(signature)))
    }

    /// Whom a token was made for, if it was made with our key and is still good.
    #[must_use]
    pub fn verify(&self, token: &str, now: SystemTime) -> Option<Caller> {
        if token.len() > MAX_TOKEN {
            return None;
        }
        let (text, signature) = token.rsplit_once('.')?;
        let (header, claims) = text.split_once('.')?;
        let header: Header = serde_json::from_slice(&BASE64.decode(header).ok()?).ok()?;
        if header.alg != self.method.name() {
            return None;
        }
        let signature = BASE64.decode(signature).ok()?;
        match &self.verifier {
            Verifier::Hmac(key) => hmac::verify(key, text.as_bytes(), &signature).ok()?,
            Verifier::Public(key) => key.verify(text.as_bytes(), &signature).ok()?,
        }
        let claims: Claims = serde_json::from_slice(&BASE64.decode(claims).ok()?).ok()?;
        (claims.exp > seconds(now)).then_some(Caller { user: claims.username, revision: claims.revision })
    }
}

impl std::fmt::Debug for Jwt {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Jwt").field("method", &self.method).field("ttl", &self.ttl).finish_non_exhaustive()
    }
}

fn seconds(now: SystemTime) -> u64 {
    now.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs()
}

fn hmac_algorithm(method: Method) -> Option<hmac::Algorithm> {
    match method {
        Method::Hs256 => Some(hmac::HMAC_SHA256),
        Method::Hs384 => Some(hmac::HMAC_SHA384),
        Method::Hs512 => Some(hmac::HMAC_SHA512),
        Method::Rs256
        | Method::Rs384
        | Method::Rs512
        | Method::Ps256
        | Method::Ps384
        | Method::Ps512
        | Method::Es256
        | Method::Es384
        | Method::EdDsa => None,
    }
}

/// How signatures of the asymmetric methods are checked.
fn algorithm(method: Method) -> &'static dyn signature::VerificationAlgorithm {
    match method {
        Method::Rs256 | Method::Hs256 => &signature::RSA_PKCS1_2048_8192_SHA256,
        Method::Rs384 | Method::Hs384 => &signature::RSA_PKCS1_2048_8192_SHA384,
        Method::Rs512 | Method::Hs512 => &signature::RSA_PKCS1_2048_8192_SHA512,
        Method::Ps256 => &signature::RSA_PSS_2048_8192_SHA256,
        Method::Ps384 => &signature::RSA_PSS_2048_8192_SHA384,
        Method::Ps512 => &signature::RSA_PSS_2048_8192_SHA512,
        Method::Es256 => &signature::ECDSA_P256_SHA256_FIXED,
        Method::Es384 => &signature::ECDSA_P384_SHA384_FIXED,
        Method::EdDsa => &signature::ED25519,
    }
}

fn signer(method: Method, path: &Path, pem: &[u8]) -> io::Result<Signer> {
    let key = PrivateKeyDer::from_pem_slice(pem).map_err(|error| wrong(path, error))?;
    let rsa = |encoding: &'static dyn signature::RsaEncoding| {
        let pair = match &key {
            PrivateKeyDer::Pkcs1(der) => RsaKeyPair::from_der(der.secret_pkcs1_der()),
            other => RsaKeyPair::from_pkcs8(other.secret_der()),
        };
        pair.map(|pair| Signer::Rsa(pair, encoding))
    };
    let ecdsa = |algorithm, curve| {
        let pkcs8 = match &key {
            PrivateKeyDer::Sec1(der) => wrap_ec_key(curve, der.secret_sec1_der()),
            other => other.secret_der().to_vec(),
        };
        EcdsaKeyPair::from_pkcs8(algorithm, &pkcs8, &SystemRandom::new()).map(Signer::Ecdsa)
    };
    let made = match method {
        Method::Rs256 | Method::Hs256 => rsa(&signature::RSA_PKCS1_SHA256),
        Method::Rs384 | Method::Hs384 => rsa(&signature::RSA_PKCS1_SHA384),
        Method::Rs512 | Method::Hs512 => rsa(&signature::RSA_PKCS1_SHA512),
        Method::Ps256 => rsa(&signature::RSA_PSS_SHA256),
        Method::Ps384 => rsa(&signature::RSA_PSS_SHA384),
        Method::Ps512 => rsa(&signature::RSA_PSS_SHA512),
        Method::Es256 => ecdsa(&signature::ECDSA_P256_SHA256_FIXED_SIGNING, EC_P256),
        Method::Es384 => ecdsa(&signature::ECDSA_P384_SHA384_FIXED_SIGNING, EC_P384),
        Method::EdDsa => Ed25519KeyPair::from_pkcs8_maybe_unchecked(key.secret_der()).map(Signer::Ed25519),
    };
    made.map_err(|error| wrong(path, format_args!("not a key for {}: {error}", method.name())))
}

/// Puts a key in the form `openssl ecparam` writes into the form everything else writes.
fn wrap_ec_key(curve: &[u8], key: &[u8]) -> Vec<u8> {
    fn tagged(tag: u8, content: &[u8]) -> Vec<u8> {
        let mut out = vec![tag];
        match u8::try_from(content.len()) {
            Ok(length) if length < 0x80 => out.push(length),
            Ok(length) => out.extend([0x81, length]),
            Err(_) => {
                out.push(0x82);
                out.extend((content.len() as u16).to_be_bytes());
            }
        }
        out.extend_from_slice(content);
        out
    }
    let mut inner = tagged(0x02, &[0]);
    inner.extend_from_slice(curve);
    inner.extend(tagged(0x04, key));
    tagged(0x30, &inner)
}

impl Signer {
    fn public(&self) -> Option<Vec<u8>> {
        match self {
            Self::Hmac(_) => None,
            Self::Rsa(pair, _) => Some(pair.public_key().as_ref().to_vec()),
            Self::Ecdsa(pair) => Some(pair.public_key().as_ref().to_vec()),
            Self::Ed25519(pair) => Some(pair.public_key().as_ref().to_vec()),
        }
    }

    fn sign(&self, text: &[u8], random: &SystemRandom) -> Option<Vec<u8>> {
        match self {
            Self::Hmac(key) => Some(hmac::sign(key, text).as_ref().to_vec()),
            Self::Rsa(pair, encoding) => {
                let mut signature = vec![0; pair.public().modulus_len()];
                pair.sign(*encoding, random, text, &mut signature).ok()?;
                Some(signature)
            }
            Self::Ecdsa(pair) => Some(pair.sign(random, text).ok()?.as_ref().to_vec()),
            Self::Ed25519(pair) => Some(pair.sign(text).as_ref().to_vec()),
        }
    }
}

/// The key within a PEM file that holds a public key or a certificate, in the form signatures are checked with.
fn public_key(path: &Path, pem: &[u8]) -> io::Result<Vec<u8>> {
    let within = |der: &[u8]| {
        let (_, info) = SubjectPublicKeyInfo::from_der(der).map_err(|error| wrong(path, error))?;
        Ok(info.subject_public_key.data.into_owned())
    };
    if let Ok(der) = SubjectPublicKeyInfoDer::from_pem_slice(pem) {
        return within(&der);
    }
    let certificate = CertificateDer::from_pem_slice(pem).map_err(|error| wrong(path, error))?;
    let (_, parsed) =
        x509_parser::certificate::X509Certificate::from_der(&certificate).map_err(|error| wrong(path, error))?;
    Ok(parsed.public_key().subject_public_key.data.to_vec())
}

#[cfg(test)]
mod tests;
