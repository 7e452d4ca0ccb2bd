use ring::rand::SystemRandom;
use serde_json::{Map, Value, json};

use super::*;
use crate::jose::{Token, decode};

/// Keys of every kind, made with openssl for these tests.
const KEYS: [(&str, &str); 5] = [
    ("RS256", include_str!("../../tests/keys/rsa.pem")),
    ("ES256", include_str!("../../tests/keys/p256.pem")),
    ("ES384", include_str!("../../tests/keys/p384.pem")),
    ("ES512", include_str!("../../tests/keys/p521.pem")),
    ("ES256", include_str!("../../tests/keys/p256-sec1.pem")),
];

fn signer(pem: &str) -> SigningKey {
    SigningKey::read(pem.as_bytes(), &SystemRandom::new()).expect("a private key")
}

fn claims() -> Map<String, Value> {
    Map::from_iter([("iss".to_owned(), "me".into())])
}

#[test]
fn every_kind_of_key_signs_what_its_public_half_verifies() {
    let random = SystemRandom::new();
    for (algorithm, pem) in KEYS {
        let key = signer(pem);
        let text = key.sign(&claims(), &random).expect("a token");
        let token = Token::parse(&text).expect("a token");
        assert_eq!(token.algorithm().map(Algorithm::name), Some(algorithm));
        assert_eq!(token.key_id, key.public().id());
        for (other, other_pem) in KEYS {
            let mine = pem == other_pem;
            assert_eq!(token.is_signed_by(signer(other_pem).public()), mine, "{algorithm} by {other}");
        }
        assert_eq!(read_public_keys(pem.as_bytes(), &random), Ok(vec![key.public().clone()]));
    }
}

#[test]
fn a_changed_token_is_not_signed() {
    let random = SystemRandom::new();
    for (algorithm, pem) in KEYS {
        let key = signer(pem);
        let text = key.sign(&claims(), &random).expect("a token");
        let (signed, signature) = text.rsplit_once('.').expect("three parts");
        let mut bytes = decode(signature).expect("a signature");
        bytes[5] ^= 1;
        let header = signed.split_once('.').expect("a header").0;
        for changed in [
            format!("{signed}.{}", encode(&bytes)),
            format!("{signed}."),
            format!("{signed}.{}", encode(vec![0; bytes.len()])),
            format!("{signed}.{}", encode([bytes.as_slice(), &[0]].concat())),
            format!("{header}.{}.{signature}", encode(r#"{"iss":"you"}"#)),
        ] {
            let token = Token::parse(&changed).expect("a token");
            assert!(!token.is_signed_by(key.public()), "{algorithm}: {changed}");
        }
    }
}

#[test]
fn a_public_key_is_no_secret() {
    use ring::hmac;
    let public = include_str!("../../tests/keys/rsa.pub.pem");
    let key = read_public_keys(public.as_bytes(), &SystemRandom::new()).expect("a key").remove(0);
    for algorithm in ["HS256", "RS256", "none", "ES256"] {
        let signed = format!("{}.{}", encode(json!({ "alg": algorithm, "kid": key.id() }).to_string()), encode("{}"));
        let secret = hmac::Key::new(hmac::HMAC_SHA256, public.as_bytes());
        let text = format!("{signed}.{}", encode(hmac::sign(&secret, signed.as_bytes())));
        assert!(!Token::parse(&text).expect("a token").is_signed_by(&key), "{algorithm}");
    }
}

#[test]
fn keys_in_the_header_are_not_looked_at() {
    let random = SystemRandom::new();
    let (mine, theirs) = (signer(KEYS[1].1), signer(KEYS[4].1));
    let set = key_set(std::slice::from_ref(theirs.public()));
    let header =
        json!({ "alg": "ES256", "jwk": set["keys"][0], "jku": "https://example.test", "x5u": "https://example.test" });
    let token = theirs.sign(&claims(), &random).expect("a token");
    let (_, rest) = token.split_once('.').expect("a header");
    let forged = format!("{}.{rest}", encode(header.to_string()));
    let parsed = Token::parse(&forged).expect("a token");
    assert!(!parsed.is_signed_by(mine.public()) && !parsed.is_signed_by(theirs.public()));
}

#[test]
fn a_set_of_keys_is_read_back() {
    let keys: Vec<PublicKey> = KEYS.iter().map(|(_, pem)| signer(pem).public().clone()).collect();
    let mut set = key_set(&keys);
    let read = read_key_set(&set).expect("a set");
    assert_eq!(read.iter().map(|one| one.key.clone()).collect::<Vec<_>>(), keys);
    assert_eq!(read[0].id, keys[0].id());
    assert_eq!(read[0].algorithm, Some(Algorithm::Rs256));
    let others = json!([{ "kty": "oct", "k": "AAAA" }, { "kty": "EC", "crv": "P-256", "x": "AA", "y": "AA" }, {}, 7]);
    set["keys"].as_array_mut().expect("keys").extend(others.as_array().expect("a list").clone());
    set["keys"][1]["use"] = "enc".into();
    assert_eq!(read_key_set(&set).map(|keys| keys.len()), Some(KEYS.len() - 1));
    assert_eq!(read_key_set(&json!([])), None);
}

#[test]
fn names_of_keys_are_upstreams() {
    // SHA-256 of the SubjectPublicKeyInfo, by openssl.
    for (pem, id) in [
        (KEYS[0].1, include_str!("../../tests/keys/rsa.id")),
        (KEYS[1].1, include_str!("../../tests/keys/p256.id")),
        (KEYS[3].1, include_str!("../../tests/keys/p521.id")),
    ] {
        assert_eq!(signer(pem).public().id(), id.trim());
    }
}

#[test]
fn keys_come_in_many_forms() {
    let random = SystemRandom::new();
    let rsa = signer(KEYS[0].1).public().clone();
    for pem in [
        include_str!("../../tests/keys/rsa.pub.pem"),
        include_str!("../../tests/keys/rsa-pkcs1.pub.pem"),
        include_str!("../../tests/keys/rsa-pkcs1.pem"),
        include_str!("../../tests/keys/rsa.crt"),
    ] {
        assert_eq!(read_public_keys(pem.as_bytes(), &random), Ok(vec![rsa.clone()]), "{pem}");
    }
    let two = [KEYS[0].1, KEYS[1].1].concat();
    assert_eq!(read_public_keys(two.as_bytes(), &random).map(|keys| keys.len()), Ok(2));
    assert_eq!(read_public_keys(b"no key", &random), Err(NotAKey));
    assert!(SigningKey::read(include_bytes!("../../tests/keys/rsa.pub.pem"), &random).is_err());
}
