use serde_json::json;

use super::*;
use crate::level::Version;

const PREFIXED: [&str; 3] = ["enforce", "audit", "warn"];

fn namespace(labels: &[(&str, &str)]) -> Value {
    let labels: serde_json::Map<String, Value> =
        labels.iter().map(|(key, value)| (format!("{PREFIX}{key}"), json!(value))).collect();
    json!({"metadata": {"name": "n", "labels": labels}})
}

fn exempting() -> PodSecurity {
    let text = "{apiVersion: pod-security.admission.config.k8s.io/v1, kind: PodSecurityConfiguration, exemptions: \
        {usernames: [root], namespaces: [n-exempt], runtimeClasses: [kata]}}";
    PodSecurity::new(Configuration::read(text).expect("a good file"))
}

fn request<'a>(resource: &'a str, object: &'a Value, old: Option<&'a Value>) -> Request<'a> {
    let group = match resource {
        "deployments" | "daemonsets" => "apps",
        "jobs" | "cronjobs" => "batch",
        _ => "",
    };
    let operation = if old.is_some() { Operation::Update } else { Operation::Create };
    Request { operation, group, resource, subresource: "", namespace: "n", user: "u", object, old }
}

fn annotation<'a>(answer: &'a Answer, key: &str) -> Option<&'a str> {
    answer.annotations.get(&format!("pod-security.kubernetes.io/{key}")).map(String::as_str)
}

fn privileged_pod() -> Value {
    json!({"metadata": {"name": "p"}, "spec": {"containers": [{"name": "c", "image": "i", "securityContext": {"privileged": true}}]}})
}

const TOLD: &str =
    "PodSecurity \"baseline:latest\": privileged (container \"c\" must not set securityContext.privileged=true)";

fn evaluation(decision: Decision, level: Level, mode: Mode) -> Record {
    Record::Evaluation { decision, policy: LevelVersion { level, version: Version::Latest }, mode }
}

#[test]
fn it_looks_at_pods_what_makes_them_and_namespaces() {
    for (group, resource, expected) in [
        ("", "pods", true),
        ("", "namespaces", true),
        ("", "replicationcontrollers", true),
        ("", "podtemplates", true),
        ("apps", "deployments", true),
        ("batch", "cronjobs", true),
        ("", "deployments", false),
        ("", "services", false),
        ("extensions", "deployments", false),
    ] {
        assert_eq!(PodSecurity::handles(group, resource), expected, "{group}/{resource}");
    }
}

#[test]
fn each_mode_does_its_own() {
    let security = PodSecurity::default();
    let pod = privileged_pod();
    for mode in PREFIXED {
        let namespace = namespace(&[(mode, "baseline")]);
        let answer = security.admit(&request("pods", &pod, None), Ok(&namespace));
        let expected = Denial::Forbidden(format!("violates {TOLD}"));
        assert_eq!(answer.denial, (mode == "enforce").then_some(expected), "{mode}");
        let told = format!("would violate {TOLD}");
        assert_eq!(answer.warnings, if mode == "warn" { vec![told.clone()] } else { vec![] }, "{mode}");
        assert_eq!(annotation(&answer, "audit-violations"), (mode == "audit").then_some(told.as_str()), "{mode}");
        let enforced = if mode == "enforce" { "baseline:latest" } else { "privileged:latest" };
        assert_eq!(annotation(&answer, "enforce-policy"), Some(enforced));
        let enforce = match mode {
            "enforce" => evaluation(Decision::Deny, Level::Baseline, Mode::Enforce),
            _ => evaluation(Decision::Allow, Level::Privileged, Mode::Enforce),
        };
        let other = match mode {
            "audit" => vec![evaluation(Decision::Deny, Level::Baseline, Mode::Audit)],
            "warn" => vec![evaluation(Decision::Deny, Level::Baseline, Mode::Warn)],
            _ => vec![],
        };
        assert_eq!(answer.records, [vec![enforce], other].concat(), "{mode}");
    }
}

#[test]
fn who_is_refused_is_noted_but_not_warned() {
    let namespace = namespace(&[("enforce", "baseline"), ("audit", "baseline"), ("warn", "baseline")]);
    let answer = PodSecurity::default().admit(&request("pods", &privileged_pod(), None), Ok(&namespace));
    assert!(answer.denial.is_some() && answer.warnings.is_empty());
    assert!(annotation(&answer, "audit-violations").is_some());
}

#[test]
fn where_everything_is_allowed_nothing_is_looked_at() {
    let namespace = namespace(&[("enforce", "privileged"), ("enforce-version", "v1.3")]);
    let answer = PodSecurity::default().admit(&request("pods", &privileged_pod(), None), Ok(&namespace));
    assert_eq!(annotation(&answer, "enforce-policy"), Some("privileged:latest"));
    assert!(answer.denial.is_none() && answer.warnings.is_empty() && answer.annotations.len() == 1);
    assert_eq!(answer.records.len(), 1);
}

#[test]
fn wrong_labels_enforce_restricted() {
    let namespace = namespace(&[("enforce", "strict"), ("warn", "strict")]);
    let answer = PodSecurity::default().admit(&request("pods", &privileged_pod(), None), Ok(&namespace));
    let Some(Denial::Forbidden(text)) = &answer.denial else { panic!("{answer:?}") };
    assert!(text.starts_with("violates PodSecurity \"restricted:latest\": privileged ("), "{text}");
    let level = "must be one of privileged, baseline, restricted";
    assert_eq!(
        annotation(&answer, "error"),
        Some(
            format!(
                "Failed to parse policy: [metadata.labels[pod-security.kubernetes.io/enforce]: Invalid value: \"strict\": \
                 {level}, metadata.labels[pod-security.kubernetes.io/warn]: Invalid value: \"strict\": {level}]"
            )
            .as_str()
        )
    );
    assert_eq!(answer.records[0], Record::Error { fatal: false });
}

#[test]
fn exempt_requests_are_let_through_and_noted() {
    let security = exempting();
    let namespace = namespace(&[("enforce", "restricted"), ("warn", "restricted")]);
    let mut pod = privileged_pod();
    for (reason, change) in [
        ("user", Box::new(|request: &mut Request<'_>| request.user = "root") as Box<dyn Fn(&mut Request<'_>)>),
        ("namespace", Box::new(|request| request.namespace = "n-exempt")),
    ] {
        for resource in ["pods", "deployments"] {
            let object = json!({"spec": {"template": pod}});
            let mut request = request(resource, if resource == "pods" { &pod } else { &object }, None);
            change(&mut request);
            let answer = security.admit(&request, Ok(&namespace));
            assert_eq!(annotation(&answer, "exempt"), Some(reason), "{resource}");
            assert_eq!((answer.denial, answer.warnings, answer.records), (None, vec![], vec![Record::Exemption]));
        }
    }
    pod["spec"]["runtimeClassName"] = json!("kata");
    let answer = security.admit(&request("pods", &pod, None), Ok(&namespace));
    assert_eq!((annotation(&answer, "exempt"), &answer.denial), (Some("runtimeClass"), &None));
    pod["spec"]["runtimeClassName"] = json!("other");
    assert!(security.admit(&request("pods", &pod, None), Ok(&namespace)).denial.is_some());
}

#[test]
fn updates_without_significance_pass() {
    let namespace = namespace(&[("enforce", "baseline")]);
    let (old, mut new) = (privileged_pod(), privileged_pod());
    new["metadata"]["labels"] = json!({"a": "b"});
    let security = PodSecurity::default();
    assert_eq!(security.admit(&request("pods", &new, Some(&old)), Ok(&namespace)), Answer::default());
    new["spec"]["containers"][0]["image"] = json!("other");
    assert!(security.admit(&request("pods", &new, Some(&old)), Ok(&namespace)).denial.is_some());
    for (subresource, looked_at) in
        [("status", false), ("binding", false), ("exec", false), ("ephemeralcontainers", true), ("resize", true)]
    {
        let request = Request { subresource, ..request("pods", &new, Some(&old)) };
        assert_eq!(security.admit(&request, Ok(&namespace)).denial.is_some(), looked_at, "{subresource}");
    }
}

#[test]
fn workloads_are_warned_of_and_never_refused() {
    let namespace = namespace(&[("enforce", "baseline"), ("warn", "baseline"), ("audit", "baseline")]);
    let told = format!("would violate {TOLD}");
    for (resource, object) in [
        ("replicationcontrollers", json!({"spec": {"template": privileged_pod()}})),
        ("deployments", json!({"spec": {"template": privileged_pod()}})),
        ("jobs", json!({"spec": {"template": privileged_pod()}})),
        ("podtemplates", json!({"template": privileged_pod()})),
        ("cronjobs", json!({"spec": {"jobTemplate": {"spec": {"template": privileged_pod()}}}})),
    ] {
        let answer = PodSecurity::default().admit(&request(resource, &object, None), Ok(&namespace));
        assert_eq!((&answer.denial, &answer.warnings), (&None, &vec![told.clone()]), "{resource}");
        assert_eq!(annotation(&answer, "audit-violations"), Some(told.as_str()), "{resource}");
        assert_eq!(annotation(&answer, "enforce-policy"), None, "{resource}");
        let scale = Request { subresource: "scale", ..request(resource, &object, None) };
        assert_eq!(PodSecurity::default().admit(&scale, Ok(&namespace)), Answer::default());
    }
    let without = json!({"spec": {"template": null}});
    let answer = PodSecurity::default().admit(&request("replicationcontrollers", &without, None), Ok(&namespace));
    assert_eq!(answer, Answer::default());
}

#[test]
fn without_a_namespace_pods_are_refused_and_workloads_pass() {
    let pod = privileged_pod();
    let answer = PodSecurity::default().admit(&request("pods", &pod, None), Err("not found"));
    assert_eq!(answer.denial, Some(Denial::Internal("failed to lookup namespace \"n\"".into())));
    assert_eq!(
        annotation(&answer, "error"),
        Some("Internal error occurred: failed to lookup namespace \"n\": not found")
    );
    let answer = PodSecurity::default().admit(&request("jobs", &pod, None), Err("not found"));
    assert_eq!(answer.denial, None);
    assert_eq!(annotation(&answer, "error"), Some("failed to lookup namespace \"n\": not found"));
    assert_eq!(answer.records, [Record::Error { fatal: true }]);
}

#[test]
fn labels_of_a_namespace_must_be_right_unless_they_were_wrong_already() {
    let security = PodSecurity::default();
    let wrong = namespace(&[("enforce", "strict")]);
    let refused = |answer: &Answer| matches!(answer.denial, Some(Denial::Invalid(_)));
    assert!(refused(&security.admit(&request("namespaces", &wrong, None), Err(""))));
    assert!(refused(&security.admit(&request("namespaces", &wrong, Some(&namespace(&[]))), Err(""))));
    assert_eq!(security.admit(&request("namespaces", &wrong, Some(&wrong)), Err("")), Answer::default());
    let more = namespace(&[("enforce", "strict"), ("warn-version", "1")]);
    assert!(refused(&security.admit(&request("namespaces", &more, Some(&wrong)), Err(""))));
    let status = Request { subresource: "status", ..request("namespaces", &wrong, None) };
    assert_eq!(security.admit(&status, Err("")), Answer::default());
}

#[test]
fn a_stricter_namespace_has_its_pods_looked_at() {
    for (old, new, expected) in [
        (vec![], vec![("enforce", "baseline")], Some("baseline:latest")),
        (vec![("enforce", "baseline")], vec![("enforce", "restricted")], Some("restricted:latest")),
        (vec![("enforce", "restricted")], vec![("enforce", "baseline")], None),
        (vec![("enforce", "baseline")], vec![("enforce", "privileged"), ("enforce-version", "v1.1")], None),
        (vec![("enforce", "baseline")], vec![("enforce", "baseline"), ("warn", "restricted")], None),
        (
            vec![("enforce", "restricted")],
            vec![("enforce", "baseline"), ("enforce-version", "v1.1")],
            Some("baseline:v1.1"),
        ),
    ] {
        let (old, new) = (namespace(&old), namespace(&new));
        let answer = exempting().admit(&request("namespaces", &new, Some(&old)), Err(""));
        assert!(answer.denial.is_none() && answer.warnings.is_empty());
        let existing = answer.existing.map(|existing| {
            assert_eq!(existing.namespace(), "n");
            assert!(existing.exempt_classes.contains("kata"));
            existing.policy.to_string()
        });
        assert_eq!(existing.as_deref(), expected, "{new}");
    }
}

#[test]
fn labels_of_an_exempt_namespace_are_said_to_be_ignored() {
    let security = exempting();
    let plain = namespace(&[]);
    for (labels, expected) in [
        (vec![("enforce", "baseline")], Some("enforce=baseline:latest")),
        (
            vec![
                ("enforce", "restricted"),
                ("enforce-version", "v1.20"),
                ("audit", "baseline"),
                ("warn", "privileged"),
            ],
            Some("enforce=restricted:v1.20, audit=baseline:latest"),
        ),
        (vec![("enforce", "privileged")], None),
        (vec![], None),
    ] {
        let object = namespace(&labels);
        for old in [None, Some(&plain)] {
            let request = Request { namespace: "n-exempt", ..request("namespaces", &object, old) };
            let answer = security.admit(&request, Err(""));
            let expected: Vec<String> = expected
                .iter()
                .map(|policy| {
                    format!(
                        "namespace \"n-exempt\" is exempt from Pod Security, and the policy ({policy}) will be ignored"
                    )
                })
                .collect();
            assert_eq!((answer.warnings, answer.existing), (expected, None), "{labels:?}");
        }
    }
}

#[test]
fn metrics_name_the_request() {
    let object = json!({});
    assert_eq!(request("pods", &object, None).labels(), ["create", "pod", ""]);
    assert_eq!(request("namespaces", &object, Some(&object)).labels(), ["update", "namespace", ""]);
    let scale = Request { subresource: "scale", ..request("deployments", &object, Some(&object)) };
    assert_eq!(scale.labels(), ["update", "controller", "scale"]);
}
