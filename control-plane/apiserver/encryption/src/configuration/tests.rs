use super::*;

fn read(rules: &str) -> Result<Configuration, Error> {
    Configuration::read(&format!(
        "apiVersion: apiserver.config.k8s.io/v1\nkind: EncryptionConfiguration\nresources: {rules}\n"
    ))
}

fn faults(rules: &str) -> Vec<String> {
    match read(rules) {
        Err(Error::Invalid(errors)) => errors.as_slice().iter().map(ToString::to_string).collect(),
        other => panic!("{rules}: {other:?}"),
    }
}

const KEY: &str = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";

#[test]
fn a_file_is_read() {
    let read = read(&format!(
        "[{{resources: [secrets, configmaps], providers: [{{aesgcm: {{keys: [{{name: a, secret: {KEY}}}]}}}}, {{identity: {{}}}}]}}, \
         {{resources: ['*.apps'], providers: [{{kms: {{apiVersion: v2, name: k, endpoint: 'unix:///k.sock', timeout: 1m30s}}}}]}}]"
    ))
    .expect("a good file");
    assert_eq!(read.rules.len(), 2);
    assert_eq!(read.rules[0].resources[1].resource, "configmaps");
    let [Provider::AesGcm(keys), Provider::Identity] = read.rules[0].providers.as_slice() else { panic!("{read:?}") };
    assert_eq!((keys[0].name.as_str(), keys[0].secret.len()), ("a", 32));
    let [Provider::Kms(kms)] = read.rules[1].providers.as_slice() else { panic!("{read:?}") };
    assert_eq!((kms.name.as_str(), kms.timeout), ("k", Duration::from_secs(90)));
    let shown = format!("{read:?}");
    assert!(shown.contains("Key { name: \"a\", .. }"), "a secret is not shown: {shown}");
}

#[test]
fn mistakes_are_named_as_upstream_names_them() {
    let provider = |provider: &str| format!("[{{resources: [secrets], providers: [{provider}]}}]");
    let at = "resources[0].providers[0]";
    let key = format!("{{name: a, secret: {KEY}}}");
    for (rules, expected) in [
        ("[]".to_owned(), vec!["resources: Required value: at least one resources is required".to_owned()]),
        (
            "[{}]".to_owned(),
            vec![
                "resources[0].resources: Required value: at least one resources[0].resources is required".to_owned(),
                "resources[0].providers: Required value: at least one resources[0].providers is required".to_owned(),
            ],
        ),
        (
            provider("{}"),
            vec![format!(
                "{at}: Invalid value: \"REDACTED\": provider does not contain any of the expected providers: KMS, AESGCM, AESCBC, \
                 Secretbox, Identity"
            )],
        ),
        (
            provider(&format!("{{identity: {{}}, aesgcm: {{keys: [{key}]}}}}")),
            vec![format!(
                "{at}: Invalid value: \"REDACTED\": more than one provider specified in a single element, should split into \
                 different list elements"
            )],
        ),
        (provider("{aescbc: {}}"), vec![format!("{at}.aescbc.keys: Required value: at least one keys is required")]),
        (
            provider("{aesgcm: {keys: [{}, {name: b, secret: '!'}, {name: c, secret: AAA=}]}}"),
            vec![
                format!("{at}.aesgcm.keys[0].name: Required value: name is a mandatory field for a key"),
                format!("{at}.aesgcm.keys[0].secret: Required value: secret is a mandatory field for a key"),
                format!("{at}.aesgcm.keys[1].secret: Invalid value: \"REDACTED\": secrets must be base64 encoded"),
                format!(
                    "{at}.aesgcm.keys[2].secret: Invalid value: \"REDACTED\": secret is not of the expected length, got 2, \
                     expected one of [16 24 32]"
                ),
            ],
        ),
        (
            provider("{secretbox: {keys: [{name: a, secret: AAECAwQFBgcICQoLDA0ODw==}]}}"),
            vec![format!(
                "{at}.secretbox.keys[0].secret: Invalid value: \"REDACTED\": secret is not of the expected length, got 16, \
                 expected one of [32]"
            )],
        ),
        (
            provider("{kms: {apiVersion: v2, name: 'a:b', endpoint: 'tcp://x', timeout: 0s, cachesize: 5}}"),
            vec![
                format!("{at}.kms.name: Invalid value: \"a:b\": invalid KMS provider name a:b, must not contain ':'"),
                format!("{at}.kms.timeout: Invalid value: \"0s\": timeout should be a positive value"),
                format!(
                    "{at}.kms.endpoint: Invalid value: \"tcp://x\": unsupported scheme \"tcp\" for KMS provider, only unix is \
                     supported"
                ),
                format!("{at}.kms.cachesize: Invalid value: 5: cachesize is not supported in v2"),
            ],
        ),
        (
            provider("{kms: {apiVersion: v3}}"),
            vec![
                format!("{at}.kms.name: Required value: name is a mandatory field for a provider"),
                format!("{at}.kms.endpoint: Invalid value: \"\": endpoint is a mandatory field for a kms"),
                format!(
                    "{at}.kms.apiVersion: Invalid value: \"v3\": unsupported apiVersion apiVersion for KMS provider, only v1 and \
                     v2 are supported"
                ),
            ],
        ),
        (
            provider("{kms: {apiVersion: v2, name: a, endpoint: 'unix:///a'}}, {kms: {apiVersion: v2, name: a, endpoint: 'unix:///b'}}"),
            vec![
                "resources[0].providers[1].kms.name: Invalid value: \"a\": duplicate KMS provider name a, names must be unique"
                    .to_owned(),
            ],
        ),
    ] {
        assert_eq!(faults(&rules), expected, "{rules}");
    }
}

#[test]
fn the_first_protocol_of_key_services_is_refused() {
    for version in ["", "apiVersion: v1, "] {
        let rules =
            format!("[{{resources: [secrets], providers: [{{kms: {{{version}name: a, endpoint: 'unix:///a'}}}}]}}]");
        let error = read(&rules).expect_err("refused");
        assert!(matches!(error, Error::Refused(_)), "{error:?}");
        assert!(error.to_string().contains("KMSv1 is deprecated"), "{error}");
    }
}

#[test]
fn typing_errors_do_not_pass() {
    let error = read("[{resource: [secrets], providers: [{identity: {}}]}]").expect_err("refused").to_string();
    assert_eq!(error, "error while parsing file: strict decoding error: unknown field \"resources[0].resource\"");
    let error = read("[{resources: [secrets], providers: [{aesgmc: {keys: []}}]}]").expect_err("refused").to_string();
    assert!(error.contains("\"resources[0].providers[0].aesgmc\""), "{error}");
    assert!(matches!(Configuration::read(""), Err(Error::Document(_))), "an empty file is no configuration");
}
