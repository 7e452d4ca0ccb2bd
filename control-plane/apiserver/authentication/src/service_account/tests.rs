use ring::rand::SystemRandom;
use serde_json::json;

use super::*;
use crate::key::SigningKey;

const KEY: &str = include_str!("../../tests/keys/p256.pem");
const OTHER: &str = include_str!("../../tests/keys/p256-sec1.pem");
const NOW: i64 = 1_800_000_000;

fn key(pem: &str) -> SigningKey {
    SigningKey::read(pem.as_bytes(), &SystemRandom::new()).expect("a key")
}

fn texts(all: &[&str]) -> Vec<String> {
    all.iter().map(|&one| one.to_owned()).collect()
}

fn verifier() -> Verifier {
    let verifier = Verifier {
        issuers: texts(&["https://new.test", "https://old.test"]),
        audiences: texts(&["api", "https://new.test"]),
        lookup: true,
        ..Verifier::default()
    };
    verifier.with_keys(vec![key(KEY).public().clone()])
}

fn relic() -> Relic {
    let reference = |name: &str| Reference { name: name.into(), uid: format!("{name}-uid") };
    Relic {
        namespace: "ns".into(),
        account: reference("sa"),
        pod: Some(reference("pod")),
        secret: None,
        node: Some(reference("node")),
    }
}

fn token(key: &SigningKey, relic: &Relic, change: impl FnOnce(&mut Map<String, Value>)) -> String {
    let audiences = texts(&["api"]);
    let grant = Grant {
        issuer: "https://new.test",
        audiences: &audiences,
        relic,
        id: "the-id",
        now: NOW,
        expires_after: 600,
        warn_after: Some(60),
    };
    let mut claims = grant.claims();
    change(&mut claims);
    key.sign(&claims, &SystemRandom::new()).expect("a token")
}

fn seen(name: &str) -> Seen {
    Seen { uid: format!("{name}-uid"), ..Seen::default() }
}

fn found() -> Found {
    [(Kind::ServiceAccount, seen("sa")), (Kind::Pod, seen("pod"))].into()
}

fn judge(token: &str, found: &Found, now: i64) -> Result<(Identity, Remarks), String> {
    let verifier = verifier();
    let opened = verifier.open(token, &verifier.audiences).map_err(|refused| refused.0)?.ok_or("not ours")?;
    let (identity, remarks) = verifier.judge(opened, found, now);
    identity.map(|identity| (identity, remarks)).map_err(|refused| refused.0)
}

#[test]
fn a_token_tells_its_account_and_where_it_was_given_out() {
    let (identity, remarks) = judge(&token(&key(KEY), &relic(), |_| ()), &found(), NOW).expect("a user");
    let user = identity.user;
    assert_eq!((user.name.as_str(), user.uid.as_str()), ("system:serviceaccount:ns:sa", "sa-uid"));
    assert_eq!(user.groups, ["system:serviceaccounts", "system:serviceaccounts:ns"]);
    let extra: Vec<(&str, &str)> =
        user.extra.iter().map(|(name, values)| (name.as_str(), values[0].as_str())).collect();
    assert_eq!(
        extra,
        [
            ("authentication.kubernetes.io/credential-id", "JTI=the-id"),
            ("authentication.kubernetes.io/node-name", "node"),
            ("authentication.kubernetes.io/node-uid", "node-uid"),
            ("authentication.kubernetes.io/pod-name", "pod"),
            ("authentication.kubernetes.io/pod-uid", "pod-uid"),
        ]
    );
    assert_eq!((identity.audiences, remarks.stale), (texts(&["api"]), Some(false)));
}

#[test]
fn a_token_is_good_in_its_time() {
    let good = token(&key(KEY), &relic(), |_| ());
    let at = |now| judge(&good, &found(), now).map(|(_, remarks)| remarks.stale);
    assert_eq!(at(NOW - 60), Ok(Some(false)));
    assert_eq!(at(NOW - 61), Err("service account token is not valid yet".into()));
    assert_eq!(at(NOW + 61), Ok(Some(true)));
    assert_eq!(at(NOW + 660), Ok(Some(true)));
    assert_eq!(at(NOW + 661), Err("service account token has expired".into()));
    let eternal = token(&key(KEY), &relic(), |claims| claims["exp"] = "never".into());
    assert!(judge(&eternal, &found(), NOW).is_err());
}

#[test]
fn only_our_keys_issuers_and_audiences_are_taken() {
    let change = |name: &'static str, value: Value| {
        token(&key(KEY), &relic(), move |claims| {
            claims.insert(name.to_owned(), value);
        })
    };
    assert!(judge(&change("iss", "https://old.test".into()), &found(), NOW).is_ok());
    for foreign in [json!("https://evil.test"), json!("https://new.test/"), json!(["https://new.test"]), json!(null)] {
        assert_eq!(judge(&change("iss", foreign), &found(), NOW), Err("not ours".into()));
    }
    assert_eq!(
        judge(&change("aud", json!(["vault"])), &found(), NOW),
        Err("token audiences [\"vault\"] is invalid for the target audiences [\"api\", \"https://new.test\"]".into())
    );
    // A token without an audience is for this server.
    assert!(judge(&change("aud", json!([])), &found(), NOW).is_ok());
    assert_eq!(
        judge(&token(&key(OTHER), &relic(), |_| ()), &found(), NOW),
        Err("invalid signature, no keys found".into())
    );
}

#[test]
fn a_key_id_chooses_a_key_and_nothing_else() {
    use crate::jose::encode;
    let good = token(&key(KEY), &relic(), |_| ());
    let (_, rest) = good.split_once('.').expect("a header");
    for (kid, why) in [
        (json!(key(OTHER).public().id()), "invalid signature, no keys found"),
        (json!("../../dev/null"), "invalid signature, no keys found"),
        (json!(key(KEY).public().id()), "go-jose/go-jose: error in cryptographic primitive"),
        (json!(""), "go-jose/go-jose: error in cryptographic primitive"),
    ] {
        // The header is signed, too: another one breaks the signature.
        let header = json!({ "kid": kid, "typ": "JWT", "alg": "ES256" }).to_string();
        assert_eq!(judge(&format!("{}.{rest}", encode(header)), &found(), NOW), Err(why.into()));
    }
    let numbered = format!("{}.{rest}", encode(r#"{"alg":"ES256","kid":7}"#));
    assert_eq!(judge(&numbered, &found(), NOW), Err("not ours".into()));
}

#[test]
fn a_token_ends_with_what_it_is_bound_to() {
    let good = token(&key(KEY), &relic(), |_| ());
    let with = |kind, seen: Option<Seen>| {
        let mut all = found();
        match seen {
            Some(seen) => all.insert(kind, seen),
            None => all.remove(&kind),
        };
        judge(&good, &all, NOW).map(|_| ())
    };
    let deleted = |name: &str, ago| Seen { deleted: Some(NOW - ago), ..seen(name) };
    let invalidated = Err("service account token has been invalidated".to_owned());
    assert_eq!(with(Kind::ServiceAccount, None), Err("serviceaccounts \"sa\" not found".into()));
    assert_eq!(with(Kind::ServiceAccount, Some(deleted("sa", 60))), Ok(()));
    assert_eq!(
        with(Kind::ServiceAccount, Some(deleted("sa", 61))),
        Err("service account ns/sa has been deleted".into())
    );
    assert_eq!(
        with(Kind::ServiceAccount, Some(seen("new"))),
        Err("service account UID (new-uid) does not match claim (sa-uid)".into())
    );
    assert_eq!(with(Kind::Pod, None), invalidated);
    assert_eq!(with(Kind::Pod, Some(deleted("pod", 60))), Ok(()));
    assert_eq!(with(Kind::Pod, Some(deleted("pod", 61))), invalidated);
    assert_eq!(
        with(Kind::Pod, Some(seen("new"))),
        Err("pod UID (new-uid) does not match service account pod ref claim (pod-uid)".into())
    );
    let on_node = token(&key(KEY), &Relic { pod: None, ..relic() }, |_| ());
    assert_eq!(judge(&on_node, &found(), NOW).map(|_| ()), invalidated);
    let nodes: Found = [(Kind::ServiceAccount, seen("sa")), (Kind::Node, seen("node"))].into();
    assert!(judge(&on_node, &nodes, NOW).is_ok());
    let in_secret =
        Relic { pod: None, node: None, secret: Some(Reference { name: "s".into(), uid: "s-uid".into() }), ..relic() };
    let in_secret = token(&key(KEY), &in_secret, |_| ());
    assert_eq!(judge(&in_secret, &nodes, NOW).map(|_| ()), invalidated);
}

fn legacy_claims() -> Map<String, Value> {
    let claims = json!({
        "iss": LEGACY_ISSUER, "sub": "system:serviceaccount:ns:sa",
        "kubernetes.io/serviceaccount/namespace": "ns",
        "kubernetes.io/serviceaccount/secret.name": "s",
        "kubernetes.io/serviceaccount/service-account.name": "sa",
        "kubernetes.io/serviceaccount/service-account.uid": "sa-uid",
    });
    claims.as_object().expect("claims").clone()
}

#[test]
fn a_legacy_token_is_the_one_in_its_secret() {
    let sign = |claims: &Map<String, Value>| key(KEY).sign(claims, &SystemRandom::new()).expect("a token");
    let legacy = sign(&legacy_claims());
    let held = Seen { token: legacy.clone().into_bytes(), ..seen("s") };
    let all = |held: Seen, owner: Seen| Found::from([(Kind::Secret, held), (Kind::ServiceAccount, owner)]);
    let (identity, remarks) = judge(&legacy, &all(held.clone(), seen("sa")), NOW).expect("a user");
    assert_eq!(identity.user.name, "system:serviceaccount:ns:sa");
    assert!(identity.user.extra.is_empty());
    let tracked = remarks.tracked.expect("a secret to note it in");
    assert_eq!((tracked.day.as_deref(), tracked.generated), (Some("2027-01-15"), false));
    // Noted already, or by a server whose clock is ahead.
    for day in ["2027-01-15", "2027-01-16"] {
        let labels = [(LAST_USED.to_owned(), day.to_owned())].into();
        let (_, remarks) = judge(&legacy, &all(Seen { labels, ..held.clone() }, seen("sa")), NOW).expect("a user");
        assert_eq!(remarks.tracked.expect("a secret").day, None);
    }
    let owner = Seen { secrets: texts(&["s"]), ..seen("sa") };
    assert_eq!(judge(&legacy, &all(held.clone(), owner), NOW).expect("a user").1.warnings.len(), 1);
    let labels = [("kubernetes.io/legacy-token-invalid-since".to_owned(), "2027-01-01".to_owned())].into();
    let invalid = judge(&legacy, &all(Seen { labels, ..held.clone() }, seen("sa")), NOW);
    assert!(
        invalid.unwrap_err().starts_with("the token in secret ns/s for service account ns/sa has been marked invalid.")
    );
    let gone = Seen { deleted: Some(NOW + 30), ..held.clone() };
    for (found, why) in [
        (all(gone, seen("sa")), "Token has been invalidated"),
        (all(Seen { token: b"other".to_vec(), ..held.clone() }, seen("sa")), "Token does not match server's copy"),
        (all(held.clone(), seen("new")), "ServiceAccount UID (new-uid) does not match claim (sa-uid)"),
        (all(held.clone(), Seen { deleted: Some(NOW), ..seen("sa") }), "ServiceAccount ns/sa has been deleted"),
        (Found::from([(Kind::Secret, held)]), "serviceaccounts \"sa\" not found"),
    ] {
        assert_eq!(judge(&legacy, &found, NOW).map(|_| ()), Err(why.to_owned()));
    }
    for (claim, why) in [
        ("sub", "sub claim is missing"),
        ("kubernetes.io/serviceaccount/namespace", "namespace claim is missing"),
        ("kubernetes.io/serviceaccount/secret.name", "secretName claim is missing"),
    ] {
        let mut claims = legacy_claims();
        claims.remove(claim);
        assert_eq!(judge(&sign(&claims), &Found::new(), NOW).map(|_| ()), Err(why.to_owned()));
    }
    let mut claims = legacy_claims();
    claims["sub"] = "system:serviceaccount:kube-system:admin".into();
    assert_eq!(judge(&sign(&claims), &Found::new(), NOW).map(|_| ()), Err("sub claim is invalid".to_owned()));
}
