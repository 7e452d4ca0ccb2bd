//! Config maps that are not to change.

use tests_api::behaviours;
use tests_api::stage::{Stage, stay_as_they_are};

behaviours!(immutable_maps_stay_as_they_are);

async fn immutable_maps_stay_as_they_are(stage: Stage) {
    stay_as_they_are(&stage, "ConfigMap").await;
}
