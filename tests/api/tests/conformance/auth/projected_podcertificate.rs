//! Certificates in volumes: how long they may last.

use serde_json::json;
use tests_api::behaviours;
use tests_api::stage::Stage;

behaviours!(a_life_too_long_is_refused, a_life_too_short_is_refused);

async fn refused(stage: &Stage, seconds: u32) -> String {
    let pods = stage.sampled("Pod").await;
    let mut pod = pods.sample("inspector");
    pod["spec"]["volumes"] = json!([{ "name": "tls", "projected": { "sources": [{ "podCertificate": {
        "signerName": "example.com/tests", "keyType": "ECDSAP256", "credentialBundlePath": "bundle.pem",
        "maxExpirationSeconds": seconds,
    } }] } }]);
    let problem = pods.try_create(&pod).await.expect_err("it is refused");
    assert_eq!((problem.code, problem.reason.as_str()), (422, "Invalid"));
    pod["spec"]["volumes"][0]["projected"]["sources"][0]["podCertificate"]["maxExpirationSeconds"] = json!(3600);
    pods.create(&pod).await;
    problem.message
}

async fn a_life_too_long_is_refused(stage: Stage) {
    let message = refused(&stage, 91 * 24 * 60 * 60 + 1).await;
    assert!(message.contains("if provided, maxExpirationSeconds must be <= 7862400"), "{message}");
}

async fn a_life_too_short_is_refused(stage: Stage) {
    let message = refused(&stage, 3599).await;
    assert!(message.contains("if provided, maxExpirationSeconds must be >= 3600"), "{message}");
}
