//! Kubernetes' functions.

use std::sync::Arc;

use cel::{Limits, Type};

use super::Rules;
use crate::{authorizer_value, environments, request_resource_value};

fn run(text: &str) -> (Result<String, String>, u64) {
    let environment = environments::base()
        .variable("authorizer", Type::opaque("kubernetes.authorization.Authorizer"))
        .variable("authorizer.requestResource", Type::opaque("kubernetes.authorization.ResourceCheck"));
    let program = match environment.compile(text) {
        Ok(program) => program,
        Err(issues) => return (Err(issues.to_string()), 0),
    };
    let rules = Arc::new(Rules);
    let values = [authorizer_value(rules.clone()), request_resource_value(rules, super::deployments())];
    let outcome = program.evaluate(values.as_slice(), Limits { cost: crate::PER_EXPRESSION, interrupt: None });
    let value =
        outcome.value.map(|value| value.to_json().map_or_else(|| format!("{value:?}"), |json| json.to_string()));
    (value.map_err(|why| why.to_string()), outcome.cost)
}

#[track_caller]
fn is(text: &str, wanted: &str) {
    assert_eq!(run(text).0.as_deref(), Ok(wanted), "{text}");
}

#[track_caller]
fn fails(text: &str, wanted: &str) {
    assert_eq!(run(text).0.as_ref().map_err(String::as_str), Err(wanted), "{text}");
}

#[test]
fn lists_urls_and_patterns() {
    for (text, wanted) in [
        ("[1, 2, 2].isSorted() && !['b', 'a'].isSorted()", "true"),
        ("[3, 1, 2].min() + [3, 1, 2].max()", "4"),
        ("['b', 'a'].min()", "\"a\""),
        ("[1.5, 2.5].sum()", "4.0"),
        ("[1, 2, 1].indexOf(1) + [1, 2, 1].lastIndexOf(1)", "2"),
        ("'abab'.indexOf('b') + 'abab'.lastIndexOf('b')", "4"),
        ("url('https://example.com:80/a%20b?x=1&x=2&y=').getScheme()", "\"https\""),
        ("url('https://example.com:80/').getHost()", "\"example.com:80\""),
        ("url('https://[::1]:80/').getHostname()", "\"::1\""),
        ("url('https://example.com:80/').getPort()", "\"80\""),
        ("url('https://example.com/a%20b').getEscapedPath()", "\"/a%20b\""),
        ("url('https://example.com/?x=1&x=2&y=').getQuery()", r#"{"x":["1","2"],"y":[""]}"#),
        ("isURL('https://example.com') && !isURL('../a') && !isURL('https://a b/')", "true"),
        (r"'abc 123 45'.find('[0-9]+')", "\"123\""),
        (r"'123 456'.findAll('[0-9]+')", r#"["123","456"]"#),
        (r"'123 456'.findAll('[0-9]+', 1)", r#"["123"]"#),
    ] {
        is(text, wanted);
    }
    fails("[1].filter(x, x > 1).min()", "min called on empty list");
    fails(
        "url('relative')",
        "URL parse error during conversion from string: parse \"relative\": invalid URI for request",
    );
}

#[test]
fn quantities_and_versions() {
    for (text, wanted) in [
        ("quantity('1.5Gi').isGreaterThan(quantity('1G'))", "true"),
        ("quantity('500m').add(quantity('1500m')).asInteger()", "2"),
        ("quantity('2').sub(1).compareTo(quantity('1'))", "0"),
        ("quantity('50k') == quantity('50000')", "true"),
        ("quantity('-3').sign()", "-1"),
        ("quantity('1500m').isInteger()", "false"),
        ("quantity('1500m').asApproximateFloat()", "1.5"),
        ("isQuantity('1Mi') && !isQuantity('1x')", "true"),
        ("semver('1.2.3').isLessThan(semver('1.10.0')) && semver('1.0.0-rc.1').isLessThan(semver('1.0.0'))", "true"),
        ("semver('v01.1', true).compareTo(semver('1.1.0'))", "0"),
        ("isSemver('v1.0') || !isSemver('v1.0', true)", "false"),
        ("semver('1.2.3').major() + semver('1.2.3').minor() + semver('1.2.3').patch()", "6"),
    ] {
        is(text, wanted);
    }
    fails("quantity('1500m').asInteger()", "cannot convert value to integer");
}

#[test]
fn networks() {
    for text in [
        "ip('192.168.0.1').family() + ip('::1').family() == 10",
        "isIP('::1') && !isIP('::ffff:1.2.3.4') && !isIP('1.2.3') && !isIP('fe80::1%eth0')",
        "ip.isCanonical('2001:db8::1') && !ip.isCanonical('2001:DB8::1')",
        "ip('127.0.0.1').isLoopback() && ip('0.0.0.0').isUnspecified() && ip('169.254.1.1').isLinkLocalUnicast()",
        "ip('224.0.0.5').isLinkLocalMulticast() && ip('8.8.8.8').isGlobalUnicast()",
        "string(ip('2001:db8:0::1')) == '2001:db8::1'",
        "cidr('192.168.0.0/24').containsIP('192.168.0.1') && cidr('192.168.0.0/24').containsIP(ip('192.168.0.255'))",
        "!cidr('192.168.0.0/24').containsIP('192.168.1.0')",
        "cidr('10.0.0.0/8').containsCIDR('10.1.0.0/16') && !cidr('10.1.0.0/16').containsCIDR(cidr('10.0.0.0/8'))",
        "string(cidr('192.168.1.5/24').masked()) + string(cidr('192.168.1.5/24').ip()) == '192.168.1.0/24192.168.1.5'",
        "cidr('::/0').prefixLength() == 0 && cidr('::/0').containsIP('::1')",
        "isCIDR('10.0.0.0/8') && !isCIDR('10.0.0.0/33') && !isCIDR('10.0.0.0')",
        "ip('1.2.3.4') == ip('1.2.3.4') && type(ip('1.2.3.4')) == net.IP",
    ] {
        is(text, "true");
    }
}

#[test]
fn formats() {
    for (format, text, right) in [
        ("dns1123Label", "a-b", true),
        ("dns1123Label", "A", false),
        ("dns1123LabelPrefix", "a-", true),
        ("uuid", "123e4567-e89b-12d3-a456-426614174000", true),
        ("date", "2024-02-30", false),
        ("datetime", "2024-02-28T00:00:00Z", true),
        ("byte", "aGVsbG8=", true),
        ("uri", "https://example.com", true),
    ] {
        is(&format!("format.{format}().validate('{text}').hasValue()"), &(!right).to_string());
        is(&format!("format.named('{format}').value() == format.{format}()"), "true");
    }
    is("format.named('nowhere').hasValue()", "false");
}

#[test]
fn authorizers() {
    for (text, wanted) in [
        ("authorizer.group('apps').resource('deployments').namespace('a').name('b').check('get').allowed()", "true"),
        ("authorizer.requestResource.check('delete').allowed()", "false"),
        ("authorizer.requestResource.subresource('scale').check('get').reason()", "\"asked for get\""),
        ("authorizer.serviceAccount('default', 'me').path('/healthz').check('delete').allowed()", "true"),
        ("authorizer.path('/broken').check('get').error()", "\"broken\""),
    ] {
        is(text, wanted);
    }
    fails("authorizer.path('').check('get').allowed()", "path must not be empty");
    let once = "authorizer.path('/a').check('get').allowed()";
    let (value, cost) = run(&format!("{once} && {once} && {once}"));
    assert_eq!(value, Err("operation cancelled: actual cost limit exceeded".to_owned()));
    assert!(cost > 1_000_000);
}

#[test]
fn places_have_their_variables() {
    let holds = |environment: cel::Environment, text: &str| {
        let checked = environment.check(text);
        assert!(checked.is_ok(), "{checked:?}");
    };
    holds(environments::authorization(), "request.resourceAttributes.namespace == 'a' && 'x' in request.groups");
    holds(environments::claims(), "claims.email_verified == true && claims.sub.startsWith('a')");
    holds(environments::user(), "!user.username.startsWith('system:')");
    let mut types = environments::Types::default();
    let schema = serde_json::json!({"type": "object", "properties": {
        "replicas": {"type": "integer"},
        "max-surge": {"x-kubernetes-int-or-string": true},
        "labels": {"type": "object", "additionalProperties": {"type": "string"}},
    }});
    let of = environments::declare("Thing", &schema, &mut types);
    let environment = environments::schema(&of, types, false);
    holds(environment.clone(), "self.replicas > oldSelf.replicas && self.labels.all(k, self.labels[k] != '')");
    holds(environment.clone(), "type(self.max__dash__surge) == int");
    assert!(environment.check("self.nowhere").is_err());
}
