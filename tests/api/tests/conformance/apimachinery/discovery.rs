//! Discovery, group by group.

use tests_api::behaviours;
use tests_api::stage::Stage;

behaviours!(each_group_prefers_a_version_it_has, each_version_has_its_resources);

async fn each_group_prefers_a_version_it_has(stage: Stage) {
    let groups = stage.client.list_api_groups().await.unwrap().groups;
    assert!(groups.len() > 15, "{}", groups.len());
    for listed in groups {
        let group = stage.raw().get(&format!("/apis/{}", listed.name)).await.json();
        let preferred = listed.preferred_version.as_ref().unwrap_or_else(|| panic!("{} prefers nothing", listed.name));
        assert_eq!(group["preferredVersion"]["groupVersion"], preferred.group_version);
        assert!(listed.versions.contains(preferred), "{listed:?}");
        assert_eq!(group["versions"].as_array().unwrap().len(), listed.versions.len());
    }
}

async fn each_version_has_its_resources(stage: Stage) {
    for group in stage.client.list_api_groups().await.unwrap().groups {
        for version in group.versions {
            let found = stage.client.list_api_group_resources(&version.group_version).await.unwrap();
            assert_eq!(found.group_version, version.group_version);
            assert!(!found.resources.is_empty(), "{}", version.group_version);
            for resource in found.resources {
                assert!(!resource.kind.is_empty() && !resource.verbs.is_empty(), "{resource:?}");
            }
        }
    }
    let core = stage.client.list_core_api_versions().await.unwrap();
    assert_eq!(core.versions, ["v1"]);
    assert!(stage.client.list_core_api_resources("v1").await.unwrap().resources.len() > 20);
}
