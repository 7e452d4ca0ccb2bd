use serde_json::{Value, json};

use crate::engine::Updated;
use crate::kinds::testing::{context, create, create_errors, row, try_update, update_errors};

fn job(changes: &Value) -> Value {
    let mut body = json!({ "spec": { "template": {
        "spec": { "restartPolicy": "Never", "containers": [{ "name": "c", "image": "i:1" }] },
    } } });
    for (name, value) in changes.as_object().into_iter().flatten() {
        body["spec"][name] = value.clone();
    }
    body
}

fn cron(changes: &Value) -> Value {
    let mut body = json!({ "spec": { "schedule": "0 3 * * *", "jobTemplate": job(&json!({})) } });
    for (name, value) in changes.as_object().into_iter().flatten() {
        body["spec"][name] = value.clone();
    }
    body
}

fn job_errors(changes: &Value) -> Vec<String> {
    create_errors(&row("batch", "jobs"), job(changes))
}

#[test]
fn a_job_selects_its_own_pods() {
    let uid = context().uid;
    let made = create(&row("batch", "jobs"), job(&json!({})));
    assert_eq!(
        made.at(&["spec", "selector"]),
        Some(&json!({ "matchLabels": { "batch.kubernetes.io/controller-uid": uid } }))
    );
    assert_eq!(
        made.at(&["spec", "template", "metadata", "labels"]),
        Some(&json!({
            "batch.kubernetes.io/controller-uid": uid, "batch.kubernetes.io/job-name": "a", "controller-uid": uid, "job-name": "a",
        }))
    );
    assert_eq!(made.generation(), Some(1));
    let spec = made.at(&["spec"]).expect("a spec");
    for (name, value) in [
        ("completions", json!(1)),
        ("parallelism", json!(1)),
        ("backoffLimit", json!(6)),
        ("completionMode", json!("NonIndexed")),
        ("suspend", json!(false)),
        ("manualSelector", json!(false)),
        ("podReplacementPolicy", json!("TerminatingOrFailed")),
    ] {
        assert_eq!(spec[name], value, "{name}");
    }
}

#[test]
fn a_selector_of_ones_own_must_be_asked_for() {
    let own = json!({ "selector": { "matchLabels": { "a": "b" } } });
    let refused = job_errors(&own);
    assert!(refused[0].ends_with("`selector` not auto-generated"), "{refused:?}");
    let mut manual = job(&json!({ "manualSelector": true, "selector": { "matchLabels": { "a": "b" } } }));
    manual["spec"]["template"]["metadata"] = json!({ "labels": { "a": "b" } });
    let made = create(&row("batch", "jobs"), manual);
    assert_eq!(made.at(&["spec", "selector"]), Some(&json!({ "matchLabels": { "a": "b" } })));
    assert_eq!(job_errors(&json!({ "manualSelector": true })), ["spec.selector: Required value"]);
}

#[test]
fn pods_of_a_job_end() {
    let template = |policy: &str| json!({ "template": { "spec": { "restartPolicy": policy, "containers": [{ "name": "c", "image": "i" }] } } });
    assert_eq!(
        job_errors(&template("Always")),
        ["spec.template.spec.restartPolicy: Required value: valid values: \"OnFailure\", \"Never\""]
    );
    assert!(job_errors(&template("OnFailure")).is_empty());
}

#[test]
fn numbered_jobs_say_how_many() {
    assert_eq!(
        job_errors(&json!({ "completionMode": "Indexed", "parallelism": 100_001 })),
        [
            "spec.completions: Required value: when completion mode is Indexed",
            "spec.parallelism: Invalid value: 100001: must be less than or equal to 100000 when completion mode is Indexed",
        ]
    );
    assert_eq!(
        job_errors(&json!({ "maxFailedIndexes": 1, "completionMode": "Wild", "backoffLimit": -1 })),
        [
            "spec.backoffLimit: Invalid value: -1: must be greater than or equal to 0",
            "spec.completionMode: Unsupported value: \"Wild\": supported values: \"NonIndexed\", \"Indexed\"",
            "spec.completionMode: Required value: when maxFailedIndexes is specified: the completion mode must be Indexed",
            "spec.backoffLimitPerIndex: Required value: when maxFailedIndexes is specified",
        ]
    );
}

#[test]
fn failure_policies_are_checked() {
    let policy = json!({ "podFailurePolicy": { "rules": [
        { "action": "Shrug", "onExitCodes": { "operator": "In", "values": [3, 0], "containerName": "x" } },
        { "action": "Ignore" },
        { "action": "Count", "onPodConditions": [{ "type": "DisruptionTarget" }] },
    ] } });
    assert_eq!(
        job_errors(&policy),
        [
            "spec.podFailurePolicy.rules[0].action: Unsupported value: \"Shrug\": supported values: \"Count\", \"FailIndex\", \"FailJob\", \"Ignore\"",
            "spec.podFailurePolicy.rules[0].onExitCodes.containerName: Invalid value: \"x\": must be one of the container or initContainer names in the pod template",
            "spec.podFailurePolicy.rules[0].onExitCodes.values[1]: Invalid value: 0: must not be 0 for the In operator",
            "spec.podFailurePolicy.rules[0].onExitCodes.values: Invalid value: [3,0]: must be ordered",
            "spec.podFailurePolicy.rules[1]: Invalid value: {\"action\":\"Ignore\"}: specifying one of OnExitCodes and OnPodConditions is required",
        ]
    );
}

#[test]
fn what_a_job_does_is_fixed() {
    let row = row("batch", "jobs");
    let uid = context().uid;
    let stored = |changes: &Value| {
        let mut body = job(changes);
        body["spec"]["selector"] = json!({ "matchLabels": { "batch.kubernetes.io/controller-uid": uid } });
        body["spec"]["template"]["metadata"] = json!({ "labels": {
            "batch.kubernetes.io/controller-uid": uid, "batch.kubernetes.io/job-name": "a", "controller-uid": uid, "job-name": "a",
        } });
        body
    };
    let two = json!({ "completions": 2 });
    assert_eq!(
        update_errors(&row, None, job(&json!({})), stored(&two)),
        ["spec.completions: Invalid value: 2: field is immutable"]
    );
    let mut image = stored(&json!({ "completions": 1 }));
    image["spec"]["template"]["spec"]["containers"][0]["image"] = json!("i:2");
    let refused = update_errors(&row, None, job(&json!({})), image);
    assert!(
        refused[0].starts_with("spec.template: Invalid value: {") && refused[0].ends_with("field is immutable"),
        "{refused:?}"
    );
    // Before it starts, a suspended job can still be sent elsewhere.
    let suspended = json!({ "suspend": true });
    let mut placed = stored(&json!({ "suspend": true, "completions": 1 }));
    placed["spec"]["template"]["spec"]["nodeSelector"] = json!({ "zone": "a" });
    assert!(update_errors(&row, None, job(&suspended), placed.clone()).is_empty());
    assert_eq!(update_errors(&row, None, job(&json!({})), placed).len(), 1);
    let indexed = json!({ "completionMode": "Indexed", "completions": 2, "parallelism": 2 });
    let grown = json!({ "completionMode": "Indexed", "completions": 3, "parallelism": 3 });
    assert!(update_errors(&row, None, job(&indexed), stored(&grown)).is_empty());
}

#[test]
fn a_job_is_shown_with_its_progress() {
    let row = row("batch", "jobs");
    let status = json!({
        "succeeded": 1, "startTime": "2026-08-01T09:59:00Z", "completionTime": "2026-08-01T09:59:30Z",
        "conditions": [{ "type": "Complete", "status": "True" }],
    });
    let mut new = job(&json!({}));
    new["status"] = status.clone();
    let Ok(Updated::Store(prepared)) = try_update(&row, Some("status"), job(&json!({})), new) else {
        panic!("a valid change")
    };
    let cells = row.strategy.cells(&prepared.object, context().now);
    assert_eq!(cells[..5], ["a", "Complete", "1/1", "30s", "0s"]);
    assert_eq!(prepared.object.generation(), Some(1));
    let mut early = job(&json!({}));
    early["status"] = json!({ "completionTime": "2026-08-01T09:59:30Z" });
    assert_eq!(
        update_errors(&row, Some("status"), job(&json!({})), early),
        [
            "status.completionTime: Invalid value: \"2026-08-01T09:59:30Z\": cannot set completionTime when there is no Complete=True condition"
        ]
    );
}

#[test]
fn a_cron_job_has_its_defaults() {
    let row = row("batch", "cronjobs");
    let made = create(&row, cron(&json!({})));
    let spec = made.at(&["spec"]).expect("a spec");
    for (name, value) in [
        ("concurrencyPolicy", json!("Allow")),
        ("suspend", json!(false)),
        ("successfulJobsHistoryLimit", json!(3)),
        ("failedJobsHistoryLimit", json!(1)),
    ] {
        assert_eq!(spec[name], value, "{name}");
    }
    let template = &spec["jobTemplate"]["spec"];
    assert_eq!(template["template"]["spec"]["dnsPolicy"], "ClusterFirst");
    assert_eq!(template.get("completions"), None, "its jobs get theirs when they are made");
    assert_eq!(
        row.strategy.cells(&made, context().now),
        [
            json!("a"),
            json!("0 3 * * *"),
            json!("<none>"),
            json!("False"),
            json!(0),
            json!("<none>"),
            json!("0s"),
            json!("c"),
            json!("i:1"),
            json!("<none>"),
        ]
    );
}

#[test]
fn cron_jobs_are_checked() {
    let row = row("batch", "cronjobs");
    assert_eq!(
        create_errors(
            &row,
            cron(&json!({ "schedule": "61 * * * *", "concurrencyPolicy": "Race", "timeZone": "local" }))
        ),
        [
            "spec.schedule: Invalid value: \"61 * * * *\": end of range (61) above maximum (59): 61",
            "spec.timeZone: Invalid value: \"local\": timeZone must be an explicit time zone as defined in https://www.iana.org/time-zones",
            "spec.concurrencyPolicy: Unsupported value: \"Race\": supported values: \"Allow\", \"Forbid\", \"Replace\"",
        ]
    );
    let mut long = cron(&json!({}));
    long["metadata"] = json!({ "name": "a".repeat(53) });
    assert_eq!(
        create_errors(&row, long),
        [format!("metadata.name: Invalid value: \"{}\": must be no more than 52 characters", "a".repeat(53))]
    );
    let always = json!({ "jobTemplate": { "spec": { "template": { "spec": { "containers": [{ "name": "c", "image": "i" }] } } } } });
    assert_eq!(
        create_errors(&row, cron(&always)),
        ["spec.jobTemplate.spec.template.spec.restartPolicy: Required value: valid values: \"OnFailure\", \"Never\""]
    );
}
