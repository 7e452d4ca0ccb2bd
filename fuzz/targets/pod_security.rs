//! Pods, templates and namespaces of any shape, judged by every level.

#![no_main]

use libfuzzer_sys::fuzz_target;
use pod_security::{Level, LevelVersion, Operation, PodSecurity, Request, Version, evaluate};
use serde_json::Value;

fuzz_target!(|data: &[u8]| {
    let [minor, operation, body @ ..] = data else { return };
    let Ok(object) = serde_json::from_slice::<Value>(body) else { return };
    let by = |level| LevelVersion { level, version: Version::Minor(u64::from(*minor)) };
    assert!(evaluate(by(Level::Privileged), &object).is_allowed());
    for level in [Level::Baseline, Level::Restricted] {
        let verdict = evaluate(by(level), &object);
        assert_eq!(verdict.is_allowed(), verdict.to_string().is_empty());
    }
    let security = PodSecurity::default();
    for resource in ["pods", "namespaces", "podtemplates", "replicationcontrollers"] {
        let request = Request {
            operation: if *operation % 2 == 0 { Operation::Create } else { Operation::Update },
            group: "",
            resource,
            subresource: "",
            namespace: "n",
            user: "u",
            object: &object,
            old: Some(&object),
        };
        let answer = security.admit(&request, Ok(&object));
        if let Some(existing) = answer.existing {
            existing.warnings([&object], || true);
        }
    }
});
