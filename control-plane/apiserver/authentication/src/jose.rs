//! Signed tokens (RFC 7515) in their compact form, as far as they authenticate: three parts, one signature, one key.
//!
//! What a header says of keys (`jwk`, `jku`, `x5c`, `x5u`) is never looked at: keys come from the configuration. The algorithm is
//! bound to the kind of the key, so that no public key is ever taken for a secret, and there is no algorithm without a signature.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Deserialize;
use serde_json::{Map, Value};

use crate::key::PublicKey;

/// Longer tokens are not looked into. Those of providers with hundreds of groups stay far below, and no header this long gets here.
pub const MAX_TOKEN: usize = 128 << 10;

/// How a token is signed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Algorithm {
    /// ECDSA on P-256 with SHA-256.
    Es256,
    /// ECDSA on P-384 with SHA-384.
    Es384,
    /// ECDSA on P-521 with SHA-512.
    Es512,
    /// RSA, PSS, with SHA-256.
    Ps256,
    /// RSA, PSS, with SHA-384.
    Ps384,
    /// RSA, PSS, with SHA-512.
    Ps512,
    /// RSA, PKCS#1 v1.5, with SHA-256.
    Rs256,
    /// RSA, PKCS#1 v1.5, with SHA-384.
    Rs384,
    /// RSA, PKCS#1 v1.5, with SHA-512.
    Rs512,
}

impl Algorithm {
    /// All of them. Those with a shared secret, and the one that signs nothing, are not among them.
    pub const ALL: [Self; 9] = [
        Self::Es256,
        Self::Es384,
        Self::Es512,
        Self::Ps256,
        Self::Ps384,
        Self::Ps512,
        Self::Rs256,
        Self::Rs384,
        Self::Rs512,
    ];

    /// Reads its name.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|one| one.name() == name)
    }

    /// Its name in a header.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Es256 => "ES256",
            Self::Es384 => "ES384",
            Self::Es512 => "ES512",
            Self::Ps256 => "PS256",
            Self::Ps384 => "PS384",
            Self::Ps512 => "PS512",
            Self::Rs256 => "RS256",
            Self::Rs384 => "RS384",
            Self::Rs512 => "RS512",
        }
    }
}

/// A token, taken apart. Nothing in it may be believed before [`Token::is_signed_by`] says so.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Token<'a> {
    signed: &'a str,
    signature: Vec<u8>,
    claims: Map<String, Value>,
    algorithm: Option<Algorithm>,
    /// The name of the key, empty when the header has none.
    pub key_id: String,
}

#[derive(Deserialize)]
struct Header {
    alg: String,
    #[serde(default)]
    kid: String,
    #[serde(default)]
    crit: Option<Value>,
}

impl<'a> Token<'a> {
    /// Takes a token apart; `None` for what has not the form of one.
    pub fn parse(text: &'a str) -> Option<Self> {
        if text.len() > MAX_TOKEN {
            return None;
        }
        let (signed, signature) = text.rsplit_once('.')?;
        let (header, claims) = signed.split_once('.')?;
        if claims.contains('.') {
            return None;
        }
        let header: Header = serde_json::from_slice(&decode(header)?).ok()?;
        let Value::Object(claims) = serde_json::from_slice(&decode(claims)?).ok()? else { return None };
        // What a header calls critical must be understood, and there is no extension here.
        if header.crit.is_some() {
            return None;
        }
        let algorithm = Algorithm::parse(&header.alg);
        Some(Self { signed, signature: decode(signature)?, claims, algorithm, key_id: header.kid })
    }

    /// How it says it is signed; `None` for ways that are not supported.
    pub fn algorithm(&self) -> Option<Algorithm> {
        self.algorithm
    }

    /// Whether the key signed this token in the way its header says.
    pub fn is_signed_by(&self, key: &PublicKey) -> bool {
        self.algorithm.is_some_and(|algorithm| key.verifies(algorithm, self.signed.as_bytes(), &self.signature))
    }

    /// The claims. Whoever reads them before the signature is checked must not believe them.
    pub fn claims(&self) -> &Map<String, Value> {
        &self.claims
    }

    /// `iss`, to find out whose token it is.
    pub fn issuer(&self) -> &str {
        self.claims.get("iss").and_then(Value::as_str).unwrap_or_default()
    }
}

/// Base64 as it is in tokens and keys.
pub(crate) fn decode(text: &str) -> Option<Vec<u8>> {
    URL_SAFE_NO_PAD.decode(text).ok()
}

/// Base64 as it is in tokens and keys.
pub fn encode(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

/// `aud`, which is one text or a list of them.
pub fn audiences(claims: &Map<String, Value>) -> Vec<String> {
    match claims.get("aud") {
        Some(Value::String(one)) => vec![one.clone()],
        Some(Value::Array(many)) => many.iter().filter_map(Value::as_str).map(str::to_owned).collect(),
        _ => Vec::new(),
    }
}

/// A claim that is a time: seconds since 1970, a fraction of one cut off.
///
/// # Errors
///
/// When it is there and no number that can be a time.
pub fn time(claims: &Map<String, Value>, name: &str) -> Result<Option<i64>, NotATime> {
    match claims.get(name) {
        None | Some(Value::Null) => Ok(None),
        Some(value) => match (value.as_i64(), value.as_f64()) {
            (Some(seconds), _) => Ok(Some(seconds)),
            (None, Some(seconds)) if seconds.abs() < 1e15 => Ok(Some(seconds as i64)),
            (None, _) => Err(NotATime),
        },
    }
}

/// A claim that should be a time is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NotATime;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_compact_form_is_a_token() {
        let header = encode(r#"{"alg":"ES256","kid":"k"}"#);
        let token = format!("{header}.{}.{}", encode(r#"{"iss":"me","aud":["a","b"]}"#), encode("x"));
        let parsed = Token::parse(&token).expect("a token");
        assert_eq!((parsed.issuer(), parsed.key_id.as_str(), parsed.algorithm()), ("me", "k", Some(Algorithm::Es256)));
        assert_eq!(audiences(parsed.claims()), ["a", "b"]);
        for broken in [
            String::new(),
            "a.b".to_owned(),
            format!("{token}.x"),
            format!("{token}="),
            format!(" {token}"),
            format!("{}.{}.", encode("[]"), encode("{}")),
            format!("{header}.{}.", encode("[]")),
            format!("{header}.{}.", encode("{} {}")),
            format!("{}.{}.", encode(r#"{"alg":"ES256","crit":["exp"]}"#), encode("{}")),
            format!("{}.{}.", encode(r#"{"alg":"ES256","alg":"none"}"#), encode("{}")),
            format!("{header}.{}.", encode("{}".repeat(MAX_TOKEN))),
        ] {
            assert!(Token::parse(&broken).is_none(), "{broken:.80} is a token");
        }
    }

    #[test]
    fn a_token_without_a_signature_or_with_a_shared_secret_has_no_algorithm() {
        for name in ["none", "None", "NONE", "HS256", "HS512", "EdDSA", "es256", ""] {
            let token = format!("{}.{}.", encode(format!(r#"{{"alg":"{name}"}}"#)), encode("{}"));
            assert_eq!(Token::parse(&token).expect("a token").algorithm(), None, "{name}");
        }
    }

    #[test]
    fn times_are_numbers() {
        let claims = |text: &str| serde_json::from_str::<Map<String, Value>>(text).expect("claims");
        assert_eq!(time(&claims(r#"{"exp":12.7}"#), "exp"), Ok(Some(12)));
        assert_eq!(time(&claims("{}"), "exp"), Ok(None));
        assert_eq!(time(&claims(r#"{"exp":"12"}"#), "exp"), Err(NotATime));
        assert_eq!(time(&claims(r#"{"exp":1e300}"#), "exp"), Err(NotATime));
    }
}
