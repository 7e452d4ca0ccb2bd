use super::*;

const GOOD: &str = r#"
apiVersion: apiserver.config.k8s.io/v1
kind: AuthenticationConfiguration
jwt:
- issuer:
    url: https://one.test
    audiences: [a, b]
    audienceMatchPolicy: MatchAny
  claimValidationRules:
  - claim: hd
    requiredValue: acme
  claimMappings:
    username: { claim: email, prefix: "one:" }
    groups: { claim: groups, prefix: "" }
    uid: { claim: sub }
- issuer:
    url: https://two.test/realm
    discoveryURL: https://inside.test/realm/config
    audiences: [c]
  claimMappings:
    username: { claim: sub, prefix: "" }
anonymous:
  enabled: true
  conditions:
  - path: /livez
"#;

fn read(text: &str) -> Result<Configuration, String> {
    Configuration::read(text.as_bytes(), &["https://own.test".to_owned()]).map_err(|bad| bad.to_string())
}

#[test]
fn a_file_names_issuers_and_paths() {
    let read = read(GOOD).expect("a configuration");
    let [one, two] = read.issuers.as_slice() else { panic!("two issuers: {read:?}") };
    assert_eq!(one.audiences, ["a", "b"]);
    assert_eq!(one.user, Claim { name: "email".into(), prefix: "one:".into() });
    assert_eq!((one.uid.as_deref(), one.required["hd"].as_str()), (Some("sub"), "acme"));
    assert_eq!((two.discovery_url.as_deref(), &two.groups), (Some("https://inside.test/realm/config"), &None));
    let anonymous = read.anonymous.expect("paths");
    assert!(anonymous.lets_in("/livez") && !anonymous.lets_in("/livez/") && !anonymous.lets_in("/readyz"));
}

#[test]
fn every_bad_field_is_named() {
    for (from, to, why) in [
        (
            "url: https://one.test",
            "url: http://one.test",
            "jwt[0].issuer.url: Invalid value: \"http://one.test\": URL scheme must be https",
        ),
        ("url: https://one.test", "url: https://a:b@one.test", "URL must not contain a username or password"),
        ("url: https://one.test", "url: https://one.test?a=b", "URL must not contain a query"),
        (
            "url: https://one.test",
            "url: https://own.test",
            "URL must not overlap with disallowed issuers: [https://own.test]",
        ),
        (
            "url: https://one.test",
            "url: https://two.test/realm",
            "jwt[1].issuer.url: Duplicate value: \"https://two.test/realm\"",
        ),
        ("url: https://one.test", "url: ''", "jwt[0].issuer.url: Required value: URL is required"),
        (
            "discoveryURL: https://inside.test/realm/config",
            "discoveryURL: https://two.test/realm/",
            "discoveryURL must be different from URL",
        ),
        (
            "audiences: [c]",
            "audiences: []",
            "jwt[1].issuer.audiences: Required value: at least one jwt[*].audiences is required",
        ),
        (
            "audienceMatchPolicy: MatchAny",
            "audienceMatchPolicy: All",
            "audienceMatchPolicy must be MatchAny for multiple audiences",
        ),
        ("audiences: [a, b]", "audiences: [a, a]", "jwt[0].issuer.audiences[1]: Duplicate value: \"a\""),
        (
            "audiences: [c]",
            "audiences: [c]\n    certificateAuthority: none",
            "jwt[1].issuer.certificateAuthority: Invalid value: \"<omitted>\"",
        ),
        (
            "{ claim: sub, prefix: \"\" }",
            "{ claim: sub }",
            "jwt[1].claimMappings.username.prefix: Required value: prefix is required when claim is set.",
        ),
        (
            "{ claim: sub, prefix: \"\" }",
            "{}",
            "jwt[1].claimMappings.username: Required value: claim or expression is required",
        ),
        (
            "{ claim: sub, prefix: \"\" }",
            "{ expression: claims.sub }",
            "jwt[1].claimMappings.username.expression: Forbidden: CEL expressions are not supported by this server",
        ),
        ("requiredValue: acme", "expression: claims.hd", "claim and expression can't both be set"),
        ("enabled: true", "enabled: false", "anonymous.conditions: Invalid value"),
        (
            "apiserver.config.k8s.io/v1",
            "apiserver.config.k8s.io/v9",
            "no kind \"AuthenticationConfiguration\" is registered for version",
        ),
        ("anonymous:", "anonymouse:", "anonymouse"),
    ] {
        assert!(GOOD.contains(from), "{from}");
        let refused = read(&GOOD.replacen(from, to, 1)).expect_err(to);
        assert!(refused.contains(why), "{to}: {refused}");
    }
    assert!(read("").is_err() && read("[]").is_err());
    assert!(Configuration::read(b"\xff", &[]).is_err());
}
