//! Values from the store, read with every kind of provider. The proof that goes with a value cannot be made by chance.

#![no_main]

use std::sync::LazyLock;
use std::time::Duration;

use encryption::{Call, Configuration, Encryption, Failure, Status, Wrapped};
use libfuzzer_sys::fuzz_target;

const RULES: &str = r#"{"apiVersion":"apiserver.config.k8s.io/v1","kind":"EncryptionConfiguration","resources":[{"resources":["*.*"],
"providers":[{"aesgcm":{"keys":[{"name":"a","secret":"AAECAwQFBgcICQoLDA0ODw=="}]}},
{"aescbc":{"keys":[{"name":"a","secret":"AAECAwQFBgcICQoLDA0ODw=="}]}},
{"secretbox":{"keys":[{"name":"a","secret":"AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="}]}},
{"kms":{"apiVersion":"v2","name":"a","endpoint":"unix:///a"}},{"identity":{}}]}]}"#;

static ENCRYPTION: LazyLock<Encryption> = LazyLock::new(|| {
    let encryption = Encryption::new(Configuration::read(RULES).expect("good rules")).expect("good rules");
    let status = Status { version: "v2".into(), healthz: "ok".into(), key_id: "1".into() };
    let kms = &encryption.services()[0];
    let call = kms.observe(&status, &mut |bytes| bytes.fill(1), Duration::ZERO);
    let Ok(Call::Encrypt(seed)) = call else { panic!("a first key") };
    let wrapped = Wrapped { ciphertext: vec![1], key_id: "1".into(), annotations: Default::default() };
    kms.install(&status, &seed, wrapped, Duration::ZERO).expect("a good answer");
    encryption
});

fuzz_target!(|data: &[u8]| {
    let [kind, rest @ ..] = data else { return };
    let prefixes = ["", "k8s:enc:aesgcm:v1:a:", "k8s:enc:aescbc:v1:a:", "k8s:enc:secretbox:v1:a:", "k8s:enc:kms:v2:a:"];
    let prefix = prefixes[usize::from(*kind) % prefixes.len()];
    let stored = [prefix.as_bytes(), rest].concat();
    match ENCRYPTION.of_resource("", "secrets").open(&stored, b"key") {
        Ok(opened) if opened.plain == stored => assert!(!stored.starts_with(b"k8s:enc:")),
        Ok(_) => assert!(stored.starts_with(b"k8s:enc:aescbc:"), "nothing but AES-CBC reads what nobody wrote"),
        Err(Failure::Locked(locked)) => assert_eq!(locked.kms.endpoint().name, "a"),
        Err(Failure::Failed(_)) => {}
    }
});
