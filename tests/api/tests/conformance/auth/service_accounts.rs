//! Service accounts as objects.

use serde_json::json;
use tests_api::behaviours;
use tests_api::stage::{Endpoints, Stage};

behaviours!(accounts_have_a_life, accounts_are_updated);

async fn accounts_have_a_life(stage: Stage) {
    let accounts = Endpoints::of(&stage, "ServiceAccount").await;
    accounts.change(json!({ "automountServiceAccountToken": false })).have_a_life().await;
}

async fn accounts_are_updated(stage: Stage) {
    let accounts = stage.sampled("ServiceAccount").await;
    accounts.create(&accounts.sample("one")).await;
    let updated = accounts.update("one", |account| account["automountServiceAccountToken"] = json!(true)).await;
    assert_eq!(updated["automountServiceAccountToken"], true);
    assert_eq!(accounts.get("one").await["automountServiceAccountToken"], true);
}
