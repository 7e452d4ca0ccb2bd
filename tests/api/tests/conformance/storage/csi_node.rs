//! What drivers say of nodes, as objects.

use tests_api::behaviours;
use tests_api::stage::{Endpoints, Stage};

behaviours!(nodes);

async fn nodes(stage: Stage) {
    Endpoints::of(&stage, "CSINode").await.work().await;
}
