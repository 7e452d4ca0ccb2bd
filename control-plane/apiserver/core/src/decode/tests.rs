use super::*;
use crate::registry::Registry;

fn decode(plural: &str, body: &str, validation: FieldValidation) -> Result<Decoded, String> {
    let registry = Registry::built_in();
    let resource = registry.lookup("", "v1", plural).expect("a built-in resource");
    decode_object(resource, None, Format::Json, body.as_bytes(), validation).map_err(|status| {
        assert_eq!(status.code, 400);
        status.message
    })
}

#[test]
fn unknown_and_duplicate_fields_are_named_with_their_paths() {
    let body = r#"{"metadata":{"name":"a","foo":1},"spec":{"containers":[{"name":"c","name":"d","imagee":"x"}],"bar":{"x":1}}}"#;
    let strict = decode("pods", body, FieldValidation::Strict);
    assert_eq!(
        strict,
        Err("Pod in version \"v1\" cannot be handled as a Pod: strict decoding error: unknown field \"metadata.foo\", \
             duplicate field \"spec.containers[0].name\", unknown field \"spec.containers[0].imagee\", unknown field \"spec.bar\""
            .into())
    );
    let warned = decode("pods", body, FieldValidation::Warn).expect("warnings are no errors");
    assert_eq!(warned.warnings.len(), 4);
    assert_eq!(warned.object.at(&["spec", "bar"]), None);
    assert_eq!(decode("pods", body, FieldValidation::Ignore).map(|decoded| decoded.warnings), Ok(vec![]));
}

#[test]
fn duplicate_keys_of_maps_are_found_in_the_text() {
    let body = r#"{"data":{"a":"1","a":"2"}}"#;
    assert_eq!(
        decode("configmaps", body, FieldValidation::Warn).map(|decoded| decoded.warnings),
        Ok(vec!["duplicate field \"data.a\"".into()])
    );
}

#[test]
fn wrong_types_are_refused_in_upstreams_words() {
    for (plural, body, wanted) in [
        (
            "configmaps",
            r#"{"data":{"a":1}}"#,
            "ConfigMap in version \"v1\" cannot be handled as a ConfigMap: json: cannot unmarshal number into Go struct field ConfigMap.data of type string",
        ),
        (
            "pods",
            r#"{"spec":{"containers":[{"env":[{"name":"a","value":1}]}]}}"#,
            "Pod in version \"v1\" cannot be handled as a Pod: json: cannot unmarshal number into Go struct field EnvVar.spec.containers.env.value of type string",
        ),
        (
            "pods",
            r#"{"spec":{"containers":"x"}}"#,
            "Pod in version \"v1\" cannot be handled as a Pod: json: cannot unmarshal string into Go struct field PodSpec.spec.containers of type []v1.Container",
        ),
        (
            "services",
            r#"{"spec":{"ports":[{"port":99999999999}]}}"#,
            "Service in version \"v1\" cannot be handled as a Service: json: cannot unmarshal number 99999999999 into Go struct field ServicePort.spec.ports.port of type int32",
        ),
        (
            "secrets",
            r#"{"data":{"a":"!"}}"#,
            "Secret in version \"v1\" cannot be handled as a Secret: illegal base64 data at input byte 0",
        ),
        (
            "pods",
            r#"{"spec":{"containers":[{"resources":{"limits":{"cpu":"one"}}}]}}"#,
            "Pod in version \"v1\" cannot be handled as a Pod: quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'",
        ),
        (
            "configmaps",
            "[]",
            "ConfigMap in version \"v1\" cannot be handled as a ConfigMap: json: cannot unmarshal array into Go value of type v1.ConfigMap",
        ),
        (
            "configmaps",
            "{\"a\"",
            "the object provided is unrecognized (must be of type ConfigMap): couldn't get version/kind; json parse error: ",
        ),
        (
            "configmaps",
            r#"{"apiVersion":"v2"}"#,
            "the API version in the data (v2) does not match the expected API version (v1)",
        ),
        ("configmaps", r#"{"kind":"Foo"}"#, "Foo in version \"v1\" cannot be handled as a ConfigMap: "),
    ] {
        let message = decode(plural, body, FieldValidation::Ignore).err().unwrap_or_default();
        assert!(message.starts_with(wanted), "{message}");
    }
}

#[test]
fn the_tree_is_normal() {
    let body = r#"{"metadata":{"labels":{},"name":"a","creationTimestamp":null,"annotations":{"a":null}},"spec":{"containers":[{"name":"c","resources":{"limits":{"cpu":"1000m"}}}],"volumes":[{"name":"v","emptyDir":{}}],"tolerations":[]}}"#;
    let object = decode("pods", body, FieldValidation::Strict).map(|decoded| decoded.object.into_value());
    assert_eq!(
        object,
        Ok(serde_json::json!({
            "apiVersion": "v1", "kind": "Pod",
            "metadata": { "name": "a", "annotations": { "a": "" } },
            "spec": {
                "containers": [{ "name": "c", "resources": { "limits": { "cpu": "1" } } }],
                "volumes": [{ "name": "v", "emptyDir": {} }],
            },
        }))
    );
}

#[test]
fn yaml_is_read_as_json_is() {
    let registry = Registry::built_in();
    let resource = registry.lookup("", "v1", "configmaps").expect("a built-in resource");
    let body = b"metadata:\n  name: a\ndata:\n  k: \"1\"\nfoo: 2\n";
    let decoded = decode_object(resource, None, Format::Yaml, body, FieldValidation::Warn).expect("good YAML");
    assert_eq!(decoded.object.at(&["data", "k"]).and_then(Value::as_str), Some("1"));
    assert_eq!(decoded.warnings, ["unknown field \"foo\""]);
    assert!(decode_object(resource, None, Format::Yaml, b"a: [", FieldValidation::Warn).is_err());
    let deep = "[".repeat(100_000);
    assert!(decode_object(resource, None, Format::Yaml, deep.as_bytes(), FieldValidation::Warn).is_err());
    assert!(decode_object(resource, None, Format::Json, deep.as_bytes(), FieldValidation::Warn).is_err());
}
