//! What the server says it is.

use tests_api::behaviours;
use tests_api::stage::Stage;

behaviours!(major_and_minor_are_numbers);

async fn major_and_minor_are_numbers(stage: Stage) {
    let version = stage.client.apiserver_version().await.unwrap();
    let (major, minor): (u32, u32) = (version.major.parse().unwrap(), version.minor.parse().unwrap());
    assert!(version.git_version.starts_with(&format!("v{major}.{minor}.")), "{version:?}");
}
