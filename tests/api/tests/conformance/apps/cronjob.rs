//! Cron jobs as objects.

use serde_json::json;
use tests_api::behaviours;
use tests_api::stage::{Endpoints, Stage};

behaviours!(cron_jobs);

async fn cron_jobs(stage: Stage) {
    let status = json!({ "status": { "lastScheduleTime": "2026-01-02T03:04:05Z" } });
    let jobs = Endpoints::of(&stage, "CronJob").await.change(json!({ "spec": { "suspend": true } }));
    jobs.part("status", status).work().await;
}
