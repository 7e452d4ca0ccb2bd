//! Tokens of requests: of service accounts, of providers, and those that let machines join.

#![no_main]

use std::sync::LazyLock;

use authentication::bearer;
use authentication::bootstrap_token::BootstrapToken;
use authentication::configuration::Configuration;
use authentication::jose::{Token, encode};
use authentication::key::{PublicKey, read_key_set};
use authentication::oidc;
use authentication::service_account::Verifier;
use libfuzzer_sys::fuzz_target;

const KEYS: &str = r#"{"keys":[{"kty":"EC","crv":"P-256","kid":"k",
    "x":"MKBCTNIcKUSDii11ySs3526iDZ8AiTo7Tu6KPAqv7D4","y":"4Etl6SRW2YiLUrN5vfvVHuhp7x8PxltmWWlbbM4IFyM"}]}"#;
const CONFIGURATION: &str = r#"{"apiVersion":"apiserver.config.k8s.io/v1","kind":"AuthenticationConfiguration","jwt":[{
    "issuer":{"url":"https://a","audiences":["a"]},"claimMappings":{"username":{"claim":"sub","prefix":""}}}]}"#;

static KEY: LazyLock<PublicKey> = LazyLock::new(|| {
    let set = serde_json::from_str(KEYS).expect("JSON");
    read_key_set(&set).expect("a set").remove(0).key
});
static VERIFIER: LazyLock<Verifier> = LazyLock::new(|| {
    let verifier = Verifier { issuers: vec!["a".into()], audiences: vec!["a".into()], lookup: true, ..Verifier::default() };
    verifier.with_keys(vec![KEY.clone()])
});
static CONFIGURED: LazyLock<Configuration> =
    LazyLock::new(|| Configuration::read(CONFIGURATION.as_bytes(), &[]).expect("a configuration"));

fuzz_target!(|text: &str| {
    let _ = bearer::from_header(text);
    let _ = bearer::from_protocols(&[text]);
    let _ = BootstrapToken::parse(text).map(|token| token.secret_name());
    let _ = Configuration::read(text.as_bytes(), &[]);
    let _ = serde_json::from_str(text).ok().and_then(|set| read_key_set(&set));
    // As it is, and as claims behind a header that is well made.
    let wrapped = format!("{}.{}.{}", encode(r#"{"alg":"ES256"}"#), encode(text), encode([0; 64]));
    for token in [text, &wrapped] {
        let opened = VERIFIER.open(token, &VERIFIER.audiences);
        assert!(!matches!(opened, Ok(Some(_))), "nobody signed it");
        let Some(parsed) = Token::parse(token) else { continue };
        assert!(!parsed.is_signed_by(&KEY), "nobody signed it");
        let _ = oidc::user(&CONFIGURED.issuers[0], parsed.claims(), 1_800_000_000);
    }
});
