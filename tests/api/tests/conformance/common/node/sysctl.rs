//! Kernel parameters of pods.

use serde_json::json;
use tests_api::behaviours;
use tests_api::stage::Stage;

behaviours!(bad_names_are_refused);

async fn bad_names_are_refused(stage: Stage) {
    let pods = stage.sampled("Pod").await;
    let mut pod = pods.sample("tuned");
    let set = |name: &str| json!({ "name": name, "value": "42" });
    pod["spec"]["securityContext"]["sysctls"] =
        json!([set("foo-"), set("kernel.shmmax"), set("safe-and-unsafe"), set("bar..")]);
    let problem = pods.try_create(&pod).await.expect_err("it is refused");
    for bad in ["foo-", "bar.."] {
        assert!(problem.message.contains(&format!("Invalid value: \"{bad}\"")), "{}", problem.message);
    }
    for good in ["safe-and-unsafe", "kernel.shmmax"] {
        assert!(!problem.message.contains(good), "{}", problem.message);
    }
}
