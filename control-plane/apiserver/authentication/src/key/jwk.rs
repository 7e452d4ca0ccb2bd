//! Key sets (RFC 7517): ours as others read it, and those of others.

use serde_json::{Map, Value, json};

use super::{Curve, PublicKey};
use crate::jose::{Algorithm, decode, encode};

/// Keys in one set that are looked at. A provider has a handful.
const MAX_KEYS: usize = 100;

/// The set of keys that tokens of this server may be signed with, each under its id.
pub fn key_set(keys: &[PublicKey]) -> Value {
    json!({ "keys": keys.iter().map(jwk).collect::<Vec<_>>() })
}

fn jwk(key: &PublicKey) -> Value {
    let mut members = Map::new();
    let mut set = |name: &str, value: &str| members.insert(name.to_owned(), value.into());
    set("use", "sig");
    let kind = if matches!(key, PublicKey::Rsa { .. }) { "RSA" } else { "EC" };
    set("kty", kind);
    set("kid", &key.id());
    if let PublicKey::Ecdsa { curve, .. } = key {
        set("crv", curve.name());
    }
    set("alg", key.algorithm().name());
    match key {
        PublicKey::Rsa { modulus, exponent } => {
            set("n", &encode(modulus));
            set("e", &encode(exponent));
        }
        PublicKey::Ecdsa { point, .. } => {
            let (x, y) = point[1..].split_at((point.len() - 1) / 2);
            set("x", &encode(x));
            set("y", &encode(y));
        }
    }
    Value::Object(members)
}

/// A key of somebody else's set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NamedKey {
    /// Its name there; may be empty.
    pub id: String,
    /// The only algorithm it is meant for, when the set says so.
    pub algorithm: Option<Algorithm>,
    /// The key.
    pub key: PublicKey,
}

/// Reads a set. Keys that are not for signatures, or of unknown kinds, are passed over, as the standard asks; `None` for what is no set.
pub fn read_key_set(set: &Value) -> Option<Vec<NamedKey>> {
    let keys = set.get("keys")?.as_array()?;
    Some(keys.iter().take(MAX_KEYS).filter_map(read).collect())
}

fn read(jwk: &Value) -> Option<NamedKey> {
    let text = |name: &str| jwk.get(name).and_then(Value::as_str);
    let bytes = |name: &str| decode(text(name)?.trim_end_matches('='));
    if text("use").is_some_and(|used| used != "sig") {
        return None;
    }
    let key = match text("kty")? {
        "RSA" => PublicKey::rsa(&bytes("n")?, &bytes("e")?),
        "EC" => {
            let curve = Curve::ALL.into_iter().find(|curve| Some(curve.name()) == text("crv"))?;
            let (x, y) = (bytes("x")?, bytes("y")?);
            if x.len() != curve.coordinate() || y.len() != curve.coordinate() {
                return None;
            }
            PublicKey::ecdsa(curve, &[vec![4], x, y].concat())?
        }
        _ => return None,
    };
    let algorithm = match text("alg") {
        Some(name) => Some(Algorithm::parse(name)?),
        None => None,
    };
    Some(NamedKey { id: text("kid").unwrap_or_default().to_owned(), algorithm, key })
}
