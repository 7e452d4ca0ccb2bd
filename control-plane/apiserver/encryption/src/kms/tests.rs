use super::*;

const CONTEXT: &[u8] = b"/registry/secrets/default/a";
const PLAIN: &[u8] = br#"{"kind":"Secret"}"#;
const NOW: Duration = Duration::from_secs(1000);

/// Made with another implementation of HKDF and AES-GCM, from a seed (and from a key) of the bytes 0 to 31.
const FROM_SEED: &str = "0a4d32333435363738393a3b3c3d3e3f404142434445464748494a4b4c4d4e4f5051c8c9cacbcccdcecfd0d1d2d330aa830e5479\
    252963eef49ae53964bdae7504b992a3bf2a00bb8bf66826da7cc512056b65792d311a077772617070656422120a0d612e6578616d706c652e636f6d1201\
    782801";
const FROM_KEY: &str = "0a2dc8c9cacbcccdcecfd0d1d2d36a5a0ab2e8a8d91a566f7add6c639f369d6963329683e324173f3912dac8937c5b12056b65792d31\
    1a0777726170706564";

fn hex(text: &str) -> Vec<u8> {
    (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).expect("hex")).collect()
}

fn kms() -> Arc<Kms> {
    Arc::new(Kms::new(Endpoint { name: "k".into(), endpoint: "unix:///k".into(), timeout: Duration::from_secs(3) }))
}

fn status(key_id: &str) -> Status {
    Status { version: "v2".into(), healthz: "ok".into(), key_id: key_id.into() }
}

fn wrapped(key_id: &str) -> Wrapped {
    Wrapped {
        ciphertext: b"wrapped".to_vec(),
        key_id: key_id.into(),
        annotations: BTreeMap::from([("a.example.com".to_owned(), b"x".to_vec())]),
    }
}

fn counting(bytes: &mut [u8]) {
    for (index, byte) in bytes.iter_mut().enumerate() {
        *byte = u8::try_from(index).expect("few bytes");
    }
}

/// A service whose key is `key_id`, and whose seed is the bytes 0 to 31.
fn ready(key_id: &str) -> Arc<Kms> {
    let kms = kms();
    rotate(&kms, key_id, NOW);
    kms
}

fn rotate(kms: &Kms, key_id: &str, now: Duration) {
    match kms.observe(&status(key_id), &mut counting, now).expect("well") {
        Call::Encrypt(seed) => {
            assert_eq!(seed.as_bytes(), (0..32).collect::<Vec<u8>>());
            kms.install(&status(key_id), &seed, wrapped(key_id), now).expect("a good answer");
        }
        Call::Nothing => panic!("a new key is wrapped anew"),
    }
}

#[test]
fn stored_values_are_those_of_upstream() {
    let kms = ready("key-1");
    let opened = kms.open(&hex(FROM_SEED), CONTEXT).expect("the seed is known");
    assert_eq!((opened.plain.as_ref(), opened.stale), (PLAIN, false));

    // The bytes of the vector: info counts from 50, nonce from 200.
    let mut starts = [50, 200].into_iter();
    let mut entropy = |bytes: &mut [u8]| {
        let start: u8 = starts.next().expect("asked twice");
        bytes.iter_mut().zip(start..).for_each(|(byte, value)| *byte = value);
    };
    assert_eq!(kms.seal(PLAIN, CONTEXT, &mut entropy, NOW), Ok(hex(FROM_SEED)));
}

#[test]
fn an_unknown_data_key_is_asked_for_once() {
    let kms = ready("key-2");
    for (stored, annotations) in [(FROM_SEED, wrapped("key-1").annotations), (FROM_KEY, BTreeMap::new())] {
        let stored = hex(stored);
        let Err(Failure::Locked(locked)) = kms.open(&stored, CONTEXT) else { panic!("nobody unwrapped it") };
        assert_eq!(locked.wrapped, Wrapped { annotations, ..wrapped("key-1") });
        assert!(kms.unlock(&locked, &[1; 20]).is_err(), "a key of no use");
        kms.unlock(&locked, &(0..32).collect::<Vec<u8>>()).expect("32 bytes");
        let opened = kms.open(&stored, CONTEXT).expect("it is known now");
        assert_eq!((opened.plain.as_ref(), opened.stale), (PLAIN, true), "another key is written with");
        assert!(matches!(kms.open(&stored, b"elsewhere"), Err(Failure::Failed(_))), "it was moved");
    }
}

#[test]
fn a_wrapped_key_is_known_by_all_that_the_service_sees() {
    let kms = ready("key-1");
    let other = EncryptedObject::decode(hex(FROM_SEED).as_slice()).expect("a message");
    for change in [
        (|object: &mut EncryptedObject| object.key_id = "key-0".into()) as fn(&mut EncryptedObject),
        |object| object.encrypted_dek_source = b"other".to_vec(),
        |object| object.annotations.clear(),
        |object| object.encrypted_dek_source_type = 0,
    ] {
        let mut object = other.clone();
        change(&mut object);
        assert!(matches!(kms.open(&object.encode_to_vec(), CONTEXT), Err(Failure::Locked(_))), "{object:?}");
    }
}

#[test]
fn messages_that_are_no_envelopes_are_refused() {
    let kms = ready("key-1");
    let good = EncryptedObject::decode(hex(FROM_SEED).as_slice()).expect("a message");
    for (change, expected) in [
        (
            (|object: &mut EncryptedObject| object.encrypted_data.clear()) as fn(&mut EncryptedObject),
            "encrypted data is empty",
        ),
        (|object| object.encrypted_dek_source_type = 7, "unknown encryptedDEKSourceType: 7"),
        (
            |object| object.encrypted_dek_source.clear(),
            "failed to validate encrypted DEK source: encrypted DEK source is empty",
        ),
        (
            |object| object.encrypted_dek_source = vec![0; 1025],
            "failed to validate encrypted DEK source: encrypted DEK source is 1025 bytes, which exceeds the max size of 1024",
        ),
        (|object| object.key_id.clear(), "failed to validate key id: keyID is empty"),
        (
            |object| object.key_id = "k".repeat(1025),
            "failed to validate key id: keyID is 1025 bytes, which exceeds the max size of 1024",
        ),
        (
            |object| drop(object.annotations.insert("plain".into(), vec![])),
            "failed to validate annotations: annotations: Invalid value: \"plain\": should be a domain with at least two segments \
             separated by dots",
        ),
        (
            |object| drop(object.annotations.insert("b.example.com".into(), vec![0; 33_000])),
            "failed to validate annotations: total size of annotations is 33027, which exceeds the max size of 32768",
        ),
    ] {
        let mut object = good.clone();
        change(&mut object);
        match kms.open(&object.encode_to_vec(), CONTEXT) {
            Err(Failure::Failed(reason)) => assert_eq!(reason, expected),
            other => panic!("{expected}: {other:?}"),
        }
    }
    assert!(matches!(kms.open(b"\xff\xff", CONTEXT), Err(Failure::Failed(_))));
}

#[test]
fn the_same_key_is_used_on_and_another_one_starts_anew() {
    let kms = ready("key-1");
    assert!(matches!(kms.observe(&status("key-1"), &mut counting, NOW), Ok(Call::Nothing)));
    let first = kms.seal(PLAIN, CONTEXT, &mut counting, NOW).expect("ready");
    rotate(&kms, "key-2", NOW);
    let opened = kms.open(&first, CONTEXT).expect("the old key is still known");
    assert!(opened.stale);
    let second = kms.seal(PLAIN, CONTEXT, &mut counting, NOW).expect("ready");
    assert!(!kms.open(&second, CONTEXT).expect("known").stale);
}

#[test]
fn without_word_from_the_service_writes_end_and_reads_go_on() {
    let kms = ready("key-1");
    let late = NOW + Kms::PATIENCE;
    let stored = kms.seal(PLAIN, CONTEXT, &mut counting, late).expect("just in time");
    let later = late + Duration::from_secs(1);
    assert!(kms.seal(PLAIN, CONTEXT, &mut counting, later).is_err());
    assert!(kms.open(&stored, CONTEXT).is_ok());
    assert!(matches!(kms.observe(&status("key-1"), &mut counting, later), Ok(Call::Nothing)));
    assert!(kms.seal(PLAIN, CONTEXT, &mut counting, later).is_ok());
}

#[test]
fn a_service_that_is_not_well_is_said_to_be_so() {
    let kms = kms();
    assert!(kms.seal(PLAIN, CONTEXT, &mut counting, NOW).is_err() && kms.open(&hex(FROM_SEED), CONTEXT).is_err());
    let bad = Status { version: "v1".into(), healthz: "down".into(), key_id: "k".into() };
    assert_eq!(
        kms.observe(&bad, &mut counting, NOW).expect_err("not well"),
        "kmsv2 Provider k is not healthy, error: [got unexpected healthz status: down, expected KMSv2 API version v2, got v1]"
    );
    assert!(kms.observe(&status(""), &mut counting, NOW).is_err());
    let Ok(Call::Encrypt(seed)) = kms.observe(&status("key-1"), &mut counting, NOW) else { panic!("a first key") };
    assert!(kms.install(&status("key-1"), &seed, wrapped("key-2"), NOW).is_err(), "it changed its mind");
    assert!(kms.install(&status(""), &seed, wrapped(""), NOW).is_err(), "a key without a name");
}

#[test]
fn few_data_keys_are_kept() {
    let mut cache = Cache::default();
    let key = || Arc::new(DataKey::new(Source::Seed, &[0; 32]).expect("32 bytes"));
    for number in 0..=CACHED {
        cache.put(number.to_be_bytes().to_vec(), key());
        assert!(cache.get(&0_usize.to_be_bytes()).is_some(), "the first is used all the time");
    }
    assert_eq!(cache.keys.len(), CACHED);
    assert!(cache.get(&1_usize.to_be_bytes()).is_none());
}
