//! Classes of attributes as objects.

use tests_api::behaviours;
use tests_api::stage::{Endpoints, Stage};

behaviours!(classes);

async fn classes(stage: Stage) {
    Endpoints::of(&stage, "VolumeAttributesClass").await.work().await;
}
