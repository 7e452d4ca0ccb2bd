mod each;

use serde_json::json;

use super::*;

fn by(level: Level, minor: u64) -> LevelVersion {
    LevelVersion { level, version: Version::Minor(minor) }
}

const LATEST: LevelVersion = LevelVersion { level: Level::Restricted, version: Version::Latest };

/// What one check says at a version, if anything; the pod is given by its spec.
fn says(check: &str, minor: u64, spec: impl Into<Value>) -> Option<String> {
    let spec = spec.into();
    says_of(check, minor, &json!({"metadata": {}, "spec": spec}))
}

fn says_of(check: &str, minor: u64, pod: &Value) -> Option<String> {
    let found = CHECKS.iter().find(|one| one.id == check).unwrap_or_else(|| panic!("{check}"));
    let violation = found.test(found.level, minor)?(Pod::new(pod))?;
    Some(format!("{} ({})", violation.reason, violation.detail))
}

fn expect(check: &str, minor: u64, spec: impl Into<Value>, expected: &str) {
    let spec = spec.into();
    assert_eq!(says(check, minor, spec.clone()).as_deref(), Some(expected), "{check} v1.{minor} of {spec}");
}

fn pass(check: &str, minor: u64, spec: impl Into<Value>) {
    let spec = spec.into();
    assert_eq!(says(check, minor, spec.clone()), None, "{check} v1.{minor} of {spec}");
}

/// Containers `a` and `b` with these security contexts.
fn with(first: impl Into<Value>, second: impl Into<Value>) -> Value {
    let (first, second) = (first.into(), second.into());
    json!({"containers": [{"name": "a", "securityContext": first}, {"name": "b", "securityContext": second}]})
}

#[test]
fn checks_are_told_in_order_of_level_and_name() {
    assert!(CHECKS.is_sorted_by_key(|check| (check.level, check.id)));
    for check in &CHECKS {
        assert!(check.since.is_sorted_by_key(|(since, _)| *since), "{}", check.id);
        assert!(check.since.iter().all(|(since, _)| *since <= NEWEST), "{}", check.id);
    }
    assert!(CHECKS.iter().any(|check| check.since.iter().any(|(since, _)| *since == NEWEST)));
}

#[test]
fn restricted_replaces_what_it_looks_at_more_closely() {
    let applied = |level, minor| -> Vec<&str> {
        CHECKS.iter().filter(|check| check.test(level, minor).is_some()).map(|check| check.id).collect()
    };
    assert!(applied(Level::Privileged, 37).is_empty());
    assert_eq!(applied(Level::Baseline, 0).len(), 11);
    assert_eq!(applied(Level::Baseline, 34).len(), 12);
    let expected: [(u64, &[&str]); 7] = [
        (0, &["capabilities_baseline", "procMount", "seccompProfile_baseline", "restrictedVolumes", "runAsNonRoot"]),
        (8, &["allowPrivilegeEscalation", "capabilities_baseline", "procMount", "seccompProfile_baseline"]),
        (19, &["capabilities_baseline", "procMount", "seccompProfile_restricted"]),
        (22, &["capabilities_restricted", "procMount", "seccompProfile_restricted"]),
        (23, &["capabilities_restricted", "procMount", "runAsUser"]),
        (34, &["hostProbesAndHostLifecycle", "procMount"]),
        (35, &["hostProbesAndHostLifecycle", "procMount_restricted"]),
    ];
    for (minor, some) in expected {
        let applied = applied(Level::Restricted, minor);
        assert!(some.iter().all(|id| applied.contains(id)), "v1.{minor}: {applied:?}");
        assert!(!applied.contains(&"hostPathVolumes"), "v1.{minor}: {applied:?}");
        for (old, new) in [
            ("capabilities_baseline", "capabilities_restricted"),
            ("procMount", "procMount_restricted"),
            ("seccompProfile_baseline", "seccompProfile_restricted"),
        ] {
            assert_ne!(applied.contains(&old), applied.contains(&new), "v1.{minor}: one of {old} and {new}");
        }
    }
}

#[test]
fn versions_to_come_are_the_newest() {
    let pod = json!({"spec": {"securityContext": {"sysctls": [{"name": "net.ipv4.tcp_notsent_lowat"}]}}});
    assert!(!evaluate(by(Level::Baseline, 36), &pod).is_allowed());
    for minor in [37, 38, u64::MAX] {
        assert!(evaluate(by(Level::Baseline, minor), &pod).is_allowed(), "v1.{minor}");
    }
}

#[test]
fn a_plain_pod_is_told_what_restricted_wants() {
    let pod = json!({"metadata": {"name": "p"}, "spec": {"containers": [{"name": "x", "image": "i"}]}});
    let verdict = evaluate(LATEST, &pod);
    assert_eq!(
        verdict.to_string(),
        "allowPrivilegeEscalation != false (container \"x\" must set securityContext.allowPrivilegeEscalation=false), \
         unrestricted capabilities (container \"x\" must set securityContext.capabilities.drop=[\"ALL\"]), \
         runAsNonRoot != true (pod or container \"x\" must set securityContext.runAsNonRoot=true), \
         seccompProfile (pod or container \"x\" must set securityContext.seccompProfile.type to \"RuntimeDefault\" or \
         \"Localhost\")"
    );
    assert_eq!(
        verdict.reasons(),
        "allowPrivilegeEscalation != false, unrestricted capabilities, runAsNonRoot != true, seccompProfile"
    );
    assert!(evaluate(by(Level::Baseline, 37), &pod).is_allowed());
    let ids: Vec<&str> = verdict.checks().collect();
    assert_eq!(ids[0], "allowPrivilegeEscalation");
}

#[test]
fn a_hardened_pod_passes_every_version() {
    let context =
        json!({"allowPrivilegeEscalation": false, "capabilities": {"drop": ["ALL"], "add": ["NET_BIND_SERVICE"]}});
    let pod = json!({"spec": {
        "securityContext": {"runAsNonRoot": true, "runAsUser": 1000, "seccompProfile": {"type": "RuntimeDefault"}},
        "initContainers": [{"name": "i", "securityContext": context}],
        "containers": [{"name": "c", "securityContext": context, "ports": [{"containerPort": 80}]}],
        "volumes": [{"name": "v", "emptyDir": {}}, {"name": "w", "image": {"reference": "r"}}],
    }});
    for minor in 0..=NEWEST {
        let verdict = evaluate(by(Level::Restricted, minor), &pod);
        assert!(verdict.is_allowed(), "v1.{minor}: {verdict}");
    }
}

#[test]
fn privileged_allows_everything() {
    let pod =
        json!({"spec": {"hostPID": true, "containers": [{"name": "a", "securityContext": {"privileged": true}}]}});
    assert!(evaluate(by(Level::Privileged, 37), &pod).is_allowed());
    assert_eq!(evaluate(by(Level::Baseline, 37), &pod).reasons(), "host namespaces, privileged");
}
