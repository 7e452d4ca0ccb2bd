use ring::rand::SystemRandom;
use serde_json::json;

use super::*;
use crate::configuration::Configuration;
use crate::key::{SigningKey, key_set, read_key_set};

const NOW: i64 = 1_800_000_000;

fn issuer() -> Issuer {
    let text = r#"{"apiVersion":"apiserver.config.k8s.io/v1","kind":"AuthenticationConfiguration","jwt":[{
        "issuer":{"url":"https://one.test","audiences":["a","b"],"audienceMatchPolicy":"MatchAny"},
        "claimValidationRules":[{"claim":"hd","requiredValue":"acme"}],
        "claimMappings":{"username":{"claim":"email","prefix":"one:"},"groups":{"claim":"teams","prefix":"one:"},"uid":{"claim":"sub"}}}]}"#;
    Configuration::read(text.as_bytes(), &[]).expect("a configuration").issuers.remove(0)
}

fn claims(change: impl FnOnce(&mut Map<String, Value>)) -> Map<String, Value> {
    let claims = json!({
        "iss": "https://one.test", "aud": ["x", "b"], "exp": NOW, "nbf": NOW + 300, "sub": "7", "email": "ann@acme.test",
        "email_verified": true, "teams": ["dev", "ops"], "hd": "acme", "jti": "j",
    });
    let mut claims = claims.as_object().expect("claims").clone();
    change(&mut claims);
    claims
}

#[test]
fn claims_name_a_user() {
    let known = user(&issuer(), &claims(|_| ()), NOW).expect("a user");
    assert_eq!((known.name.as_str(), known.uid.as_str()), ("one:ann@acme.test", "7"));
    assert_eq!(known.groups, ["one:dev", "one:ops"]);
    assert_eq!(known.extra[CREDENTIAL_ID], ["JTI=j"]);
    let one = user(&issuer(), &claims(|claims| claims["teams"] = "dev".into()), NOW).expect("a user");
    assert_eq!(one.groups, ["one:dev"]);
}

#[test]
fn claims_that_say_something_else_are_refused() {
    for (claim, value, why) in [
        ("aud", json!(["x"]), "oidc: verify token: oidc: expected audience in [\"a\", \"b\"] got [\"x\"]"),
        ("exp", json!(NOW - 1), "token is expired"),
        ("exp", json!(null), "token is expired"),
        ("nbf", json!(NOW + 301), "before the nbf"),
        ("email_verified", json!(false), "oidc: email not verified"),
        ("email_verified", json!("true"), "oidc: email not verified"),
        ("email", json!(null), "oidc: parse username claims \"email\""),
        ("email", json!(""), "oidc: parse username claims \"email\""),
        ("teams", json!([1]), "oidc: parse groups claim \"teams\""),
        ("teams", json!({}), "oidc: parse groups claim \"teams\""),
        ("sub", json!(7), "oidc: error parsing uid claim"),
        ("hd", json!("other"), "required claim hd value does not match. Got = other, want = acme"),
        ("hd", json!(["acme"]), "oidc: parse claim hd"),
    ] {
        let changed = claims(|claims| {
            claims.insert(claim.to_owned(), value);
        });
        let refused = user(&issuer(), &changed, NOW).expect_err(why);
        assert!(refused.0.contains(why), "{}", refused.0);
    }
    let without = claims(|claims| {
        claims.remove("hd");
    });
    assert_eq!(
        user(&issuer(), &without, NOW),
        Err(Refused::because("oidc: required claim hd not present in ID token"))
    );
}

#[test]
fn only_the_keys_of_the_issuer_sign() {
    let random = SystemRandom::new();
    let key = |pem: &str| SigningKey::read(pem.as_bytes(), &random).expect("a key");
    let (rsa, curve) = (key(include_str!("../../tests/keys/rsa.pem")), key(include_str!("../../tests/keys/p256.pem")));
    let keys = read_key_set(&key_set(std::slice::from_ref(rsa.public()))).expect("a set");
    let signed = rsa.sign(&claims(|_| ()), &random).expect("a token");
    let token = Token::parse(&signed).expect("a token");
    assert!(is_of(&issuer(), &token));
    assert!(matches!(check(&issuer(), &token, &keys), Ok(Checked::Signed(_))));
    assert_eq!(check(&issuer(), &token, &[]), Ok(Checked::UnknownKey));
    let only = Issuer { algorithms: vec![crate::jose::Algorithm::Es256], ..issuer() };
    assert!(check(&only, &token, &keys).is_err());
    let other = curve.sign(&claims(|_| ()), &random).expect("a token");
    assert_eq!(check(&issuer(), &Token::parse(&other).expect("a token"), &keys), Ok(Checked::UnknownKey));
}
