use serde_json::{Value, json};

use super::*;

/// The storage key that was authenticated when the vectors were made.
const CONTEXT: &[u8] = b"/registry/secrets/default/a";
const PLAIN: &[u8] = br#"{"kind":"Secret"}"#;
/// Bytes 0 to 15, 0 to 23 and 0 to 31.
const KEYS: [&str; 3] =
    ["AAECAwQFBgcICQoLDA0ODw==", "AAECAwQFBgcICQoLDA0ODxAREhMUFRYX", "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="];

fn hex(text: &str) -> Vec<u8> {
    (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).expect("hex")).collect()
}

/// Bytes 100, 101, …
fn counting(bytes: &mut [u8]) {
    for (index, byte) in bytes.iter_mut().enumerate() {
        *byte = 100 + u8::try_from(index).expect("few bytes");
    }
}

fn encryption(rules: impl Into<Value>) -> Encryption {
    let rules = rules.into();
    let text =
        json!({"apiVersion": "apiserver.config.k8s.io/v1", "kind": "EncryptionConfiguration", "resources": rules});
    Encryption::new(Configuration::read(&text.to_string()).expect("a good file")).expect("good rules")
}

fn transformer(providers: impl Into<Value>) -> Arc<Transformer> {
    let providers = providers.into();
    Arc::clone(encryption(json!([{"resources": ["secrets"], "providers": providers}])).of_resource("", "secrets"))
}

fn keys(kind: &str, names: &[(&str, &str)]) -> Value {
    let keys: Vec<_> = names.iter().map(|(name, secret)| json!({"name": name, "secret": secret})).collect();
    json!({kind: {"keys": keys}})
}

fn seal(transformer: &Transformer, plain: &[u8]) -> Vec<u8> {
    transformer.seal(plain, CONTEXT, &mut counting, Duration::ZERO).expect("it can be written")
}

fn fails(transformer: &Transformer, stored: &[u8], context: &[u8]) -> String {
    match transformer.open(stored, context) {
        Err(Failure::Failed(reason)) => reason,
        other => panic!("{other:?}"),
    }
}

/// Made with another implementation of the ciphers.
const VECTORS: [(&str, usize, &str); 6] = [
    ("aesgcm", 0, "6465666768696a6b6c6d6e6f614025ccb5669ac0b96d3273f4af5fce4d10e14ca48efae5ec1bb7f716fb183978"),
    ("aesgcm", 1, "6465666768696a6b6c6d6e6f924ad0153ccb2c02f18287628897ef9ca0bf2352e823af9b90c469cabeb31c8b11"),
    ("aesgcm", 2, "6465666768696a6b6c6d6e6f3339b50f178d74a41c313a8ba8001edf3f63464ca7ac0bbfb4833e1159d370af14"),
    ("aescbc", 0, "6465666768696a6b6c6d6e6f7071727384dae64f6f36421d0828c8a3d20c4f27e85f41babf54108d611eb5aa6d4b488d"),
    ("aescbc", 1, "6465666768696a6b6c6d6e6f7071727352efc26e767f4d8852369f65ebadc68c967712f2835ba5aa421d3d9443296c9b"),
    ("aescbc", 2, "6465666768696a6b6c6d6e6f7071727344283a8a80a45cba29966b60a5c5bdab4a4b98a357c1999c0391ccbce1378672"),
];

#[test]
fn stored_values_are_those_of_upstream() {
    for (kind, size, expected) in VECTORS {
        let transformer = transformer(json!([keys(kind, &[("key1", KEYS[size])])]));
        let stored = [format!("k8s:enc:{kind}:v1:key1:").as_bytes(), &hex(expected)].concat();
        assert_eq!(seal(&transformer, PLAIN), stored, "{kind} {size}");
        let opened = transformer.open(&stored, CONTEXT).expect("it can be read");
        assert_eq!((opened.plain.as_ref(), opened.stale), (PLAIN, false), "{kind} {size}");
    }
}

/// The example that comes with `NaCl`.
#[test]
fn secretbox_is_that_of_nacl() {
    let key = hex("1b27556473e985d462cd51197a9a46c76009549eac6474f206c4ee0844f68389");
    let nonce = hex("69696ee955b62b73cd62bda875fc73d68219e0036b7a0b37");
    let plain = hex(
        "be075fc53c81f2d5cf141316ebeb0c7b5228c52a4c62cbd44b66849b64244ffce5ecbaaf33bd751a1ac728d45e6c61296cdc3c01233561f41db66cce\
         314adb310e3be8250c46f06dceea3a7fa1348057e2f6556ad6b1318a024a838f21af1fde048977eb48f59ffd4924ca1c60902e52f0a089bc7689704\
         0e082f937763848645e0705",
    );
    let text = hex(
        "f3ffc7703f9400e52a7dfb4b3d3305d98e993b9f48681273c29650ba32fc76ce48332ea7164d96a4476fb8c531a1186ac0dfc17c98dce87b4da7f011\
         ec48c97271d2c20f9b928fe2270d6fb863d51738b48eeee314a7cc8ab932164548e526ae90224368517acfeabd6bb3732bc0e9da99832b61ca01b6d\
         e56244a9e88d5f9b37973f622a43d14a6599b1f654cb45a74e355a5",
    );
    let cipher = secretbox::Cipher::new(&key).expect("32 bytes");
    let stored = [nonce.as_slice(), &text].concat();
    assert_eq!(cipher.seal(&plain, &mut |bytes| bytes.copy_from_slice(&nonce)), Some(stored.clone()));
    assert_eq!(cipher.open(&stored), Ok(plain));
    let transformer = transformer(json!([keys("secretbox", &[("k", KEYS[2])])]));
    let stored = seal(&transformer, PLAIN);
    assert!(stored.starts_with(b"k8s:enc:secretbox:v1:k:"));
    assert_eq!(transformer.open(&stored, b"anywhere").expect("it can be read").plain, PLAIN);
}

#[test]
fn values_of_every_length_come_back() {
    for kind in ["aesgcm", "aescbc", "secretbox"] {
        let transformer = transformer(json!([keys(kind, &[("k", KEYS[2])])]));
        for length in (0..=65).chain([4096, 100_000]) {
            let plain = vec![7; length];
            let stored = seal(&transformer, &plain);
            assert_eq!(transformer.open(&stored, CONTEXT).expect(kind).plain, plain, "{kind} {length}");
        }
    }
}

#[test]
fn changed_and_moved_values_are_not_read() {
    for kind in ["aesgcm", "secretbox"] {
        let transformer = transformer(json!([keys(kind, &[("k", KEYS[2])])]));
        let stored = seal(&transformer, PLAIN);
        let prefix = format!("k8s:enc:{kind}:v1:k:").len();
        for at in prefix..stored.len() {
            let mut changed = stored.clone();
            changed[at] ^= 1;
            assert!(transformer.open(&changed, CONTEXT).is_err(), "{kind}: byte {at}");
            assert!(transformer.open(&stored[..at], CONTEXT).is_err(), "{kind}: cut at {at}");
        }
    }
    let gcm = transformer(json!([keys("aesgcm", &[("k", KEYS[2])])]));
    let stored = seal(&gcm, PLAIN);
    assert_eq!(fails(&gcm, &stored, b"/registry/secrets/default/b"), "cipher: message authentication failed");
}

#[test]
fn padding_is_checked() {
    let cbc = transformer(json!([keys("aescbc", &[("k", KEYS[2])])]));
    let mut stored = seal(&cbc, &[1; 16]);
    let prefix = b"k8s:enc:aescbc:v1:k:".len();
    assert_eq!(stored.len(), prefix + 48);
    // The vector of the last block is the block before it: its last byte makes the length of the padding.
    stored[prefix + 31] ^= 16;
    assert_eq!(fails(&cbc, &stored, CONTEXT), "invalid PKCS7 data (empty or not padded)");
    stored[prefix + 31] ^= 16 ^ 1;
    assert_eq!(fails(&cbc, &stored, CONTEXT), "invalid padding on input");
    assert_eq!(fails(&cbc, &stored[..prefix + 40], CONTEXT), "the stored data is not a multiple of the block size");
    assert_eq!(fails(&cbc, &stored[..prefix + 16], CONTEXT), "invalid PKCS7 data (empty or not padded)");
    assert_eq!(fails(&cbc, &stored[..prefix + 3], CONTEXT), "the stored data was shorter than the required size");
}

#[test]
fn what_is_not_written_first_is_stale() {
    let old = seal(&transformer(json!([keys("aescbc", &[("old", KEYS[0])])])), PLAIN);
    let plain = seal(&transformer(json!([{"identity": {}}])), PLAIN);
    let rotated = transformer(json!([keys("aescbc", &[("new", KEYS[2]), ("old", KEYS[0])]), {"identity": {}}]));
    let new = seal(&rotated, PLAIN);
    for (stored, stale) in [(&new, false), (&old, true), (&plain, true)] {
        let opened = rotated.open(stored, CONTEXT).expect("it can be read");
        assert_eq!((opened.plain.as_ref(), opened.stale), (PLAIN, stale));
    }
    let leaving = transformer(json!([{"identity": {}}, keys("aescbc", &[("new", KEYS[2])])]));
    assert!(leaving.writes_plain() && !rotated.writes_plain());
    assert_eq!(seal(&leaving, PLAIN), PLAIN);
    assert!(leaving.open(&new, CONTEXT).expect("still read").stale);
    assert!(!leaving.open(&plain, CONTEXT).expect("as it is").stale);
}

#[test]
fn one_name_may_stand_for_several_keys() {
    let old = seal(&transformer(json!([keys("aesgcm", &[("k", KEYS[0])])])), PLAIN);
    let same_name = transformer(json!([keys("aesgcm", &[("k", KEYS[1]), ("k", KEYS[0])])]));
    assert_eq!(same_name.open(&old, CONTEXT).expect("the second key").plain, PLAIN);
    let two_providers = transformer(json!([keys("aesgcm", &[("k", KEYS[1])]), keys("aesgcm", &[("k", KEYS[0])])]));
    assert!(two_providers.open(&old, CONTEXT).expect("the second provider").stale);
}

#[test]
fn what_nobody_can_read_is_said_to_be_so() {
    let gcm = transformer(json!([keys("aesgcm", &[("k", KEYS[0])])]));
    assert_eq!(fails(&gcm, PLAIN, CONTEXT), "no matching prefix found");
    assert_eq!(
        fails(&gcm, b"k8s:enc:aesgcm:v1:other:xxxx", CONTEXT),
        "no matching key was found for the provided AES transformer"
    );
    assert_eq!(fails(&gcm, b"k8s:enc:aesgcm:v1:k:xx", CONTEXT), "the stored data was shorter than the required size");
    let plain = Encryption::default();
    let plain = plain.of_resource("", "secrets");
    assert_eq!(fails(plain, b"k8s:enc:aesgcm:v1:k:xx", CONTEXT), "no matching prefix found");
    assert!(matches!(plain.open(PLAIN, CONTEXT).expect("plain").plain, Cow::Borrowed(_)), "nothing is copied");
}

#[test]
fn the_narrowest_rule_holds() {
    let key = |name: &str| json!([keys("aesgcm", &[(name, KEYS[0])])]);
    let encryption = encryption(json!([
        {"resources": ["secrets", "deployments.apps"], "providers": key("exact")},
        {"resources": ["*."], "providers": key("core")},
        {"resources": ["*.apps"], "providers": key("apps")},
    ]));
    for (group, resource, expected) in [
        ("", "secrets", Some("exact")),
        ("apps", "deployments", Some("exact")),
        ("", "pods", Some("core")),
        ("apps", "daemonsets", Some("apps")),
        ("batch", "jobs", None),
    ] {
        let stored = seal(encryption.of_resource(group, resource), PLAIN);
        let prefix = expected.map_or(String::new(), |name| format!("k8s:enc:aesgcm:v1:{name}:"));
        assert!(stored.starts_with(prefix.as_bytes()), "{group}/{resource}");
        assert_eq!(stored == PLAIN, expected.is_none(), "{group}/{resource}");
    }
}

#[test]
fn a_rule_that_would_never_be_used_is_refused() {
    for (first, second, expected) in [
        ("*.", "secrets", Some("resource \"secrets\" is masked by earlier rule \"*.\"")),
        ("*.apps", "deployments.apps", Some("resource \"deployments.apps\" is masked by earlier rule \"*.apps\"")),
        ("*.*", "*.apps", Some("resource \"*.apps\" is masked by earlier rule \"*.*\"")),
        ("*.*", "*.*", Some("resource \"*.*\" is masked by earlier rule \"*.*\"")),
        ("secrets", "*.", None),
        ("secrets", "secrets", None),
        ("*.apps", "jobs.batch", None),
    ] {
        let rule = |resource: &str| json!({"resources": [resource], "providers": [{"identity": {}}]});
        let text = json!({
            "apiVersion": "apiserver.config.k8s.io/v1", "kind": "EncryptionConfiguration", "resources": [rule(first), rule(second)],
        });
        let made = Encryption::new(Configuration::read(&text.to_string()).expect("a good file"));
        let expected = expected.map(|reason| format!("error while building transformers: {reason}"));
        assert_eq!(made.err().map(|error| error.to_string()), expected, "{first} before {second}");
    }
}
