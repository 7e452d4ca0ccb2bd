//! Lists in chunks.

use futures::StreamExt as _;
use k8s_openapi::api::core::v1::PodTemplate;
use kube::Error;
use kube::api::{Api, ListParams, PostParams};
use kube::core::ObjectList;
use serde_json::json;
use tests_api::behaviours;
use tests_api::stage::{Stage, eventually};

behaviours!(chunks_are_one_list_at_one_version, a_list_goes_on_after_its_version_is_forgotten);

const TOTAL: u32 = 400;

fn name(number: u32) -> String {
    format!("template-{number:04}")
}

async fn templates(stage: &Stage) -> Api<PodTemplate> {
    let api = stage.api::<PodTemplate>();
    let each = futures::stream::iter(0..TOTAL).for_each_concurrent(20, async |number| {
        let body = json!({
            "metadata": { "name": name(number) },
            "template": { "spec": { "containers": [{ "name": "test", "image": "test2" }] } },
        });
        api.create(&PostParams::default(), &serde_json::from_value(body).unwrap()).await.unwrap();
    });
    each.await;
    api
}

/// Checks a chunk that begins with the template of number `found`. Returns the number after it, and the token for the next.
fn check(list: &ObjectList<PodTemplate>, limit: u32, found: u32) -> (u32, Option<String>) {
    let count = list.items.len() as u32;
    assert!(count <= limit, "{count} of {limit}");
    for (number, template) in (found..).zip(&list.items) {
        assert_eq!(template.metadata.name, Some(name(number)));
    }
    let token = list.metadata.continue_.clone().filter(|token| !token.is_empty());
    let remaining = list.metadata.remaining_item_count.map(|remaining| remaining as u32);
    assert_eq!(remaining, token.is_some().then_some(TOTAL - found - count));
    (found + count, token)
}

async fn chunks_are_one_list_at_one_version(stage: Stage) {
    let api = templates(&stage).await;
    for limit in [17, 40, 399] {
        let (mut found, mut version, mut params) = (0, None, ListParams::default().limit(limit));
        loop {
            let list = api.list(&params).await.unwrap();
            assert_eq!(
                version.get_or_insert_with(|| list.metadata.resource_version.clone()),
                &list.metadata.resource_version
            );
            let token;
            (found, token) = check(&list, limit, found);
            let Some(token) = token else { break };
            // What is written between two chunks is in none of them.
            stage
                .raw()
                .post(&stage.core("configmaps"), &tests_api::config_map(&format!("c-{limit}-{found}"), "1"))
                .await;
            params = params.continue_token(&token);
        }
        assert_eq!(found, TOTAL);
    }
    let all = api.list(&ListParams::default().limit(TOTAL + 1)).await.unwrap();
    assert_eq!(check(&all, TOTAL + 1, 0), (TOTAL, None));
}

async fn a_list_goes_on_after_its_version_is_forgotten(stage: Stage) {
    let api = templates(&stage).await;
    let limit = TOTAL / 10;
    let params = ListParams::default().limit(limit);
    let list = api.list(&params).await.unwrap();
    let first_version = list.metadata.resource_version.clone();
    let (found, token) = check(&list, limit, 0);
    let params = params.continue_token(&token.unwrap());
    let maps = stage.sampled("ConfigMap").await;
    maps.create(&maps.sample("clock")).await;
    let expired = eventually("the version to be forgotten", async || {
        // Time alone forgets nothing where nobody writes.
        maps.update("clock", |map| map["data"]["k"] = json!(format!("{:?}", std::time::Instant::now()))).await;
        match api.list(&params).await {
            Ok(_) => None,
            Err(Error::Api(problem)) => Some(problem),
            Err(error) => panic!("{error}"),
        }
    })
    .await;
    assert_eq!((expired.code, expired.reason.as_str()), (410, "Expired"), "{expired:?}");
    let token = expired.metadata.and_then(|metadata| metadata.continue_).filter(|token| !token.is_empty());
    // The list goes on as what is there now, at one version from here on.
    let mut params = params.continue_token(&token.expect("a token to go on with"));
    let (mut found, mut version) = (found, None);
    loop {
        let list = api.list(&params).await.unwrap();
        assert_ne!(list.metadata.resource_version, first_version);
        assert_eq!(
            version.get_or_insert_with(|| list.metadata.resource_version.clone()),
            &list.metadata.resource_version
        );
        let token;
        (found, token) = check(&list, limit, found);
        let Some(token) = token else { break };
        params = params.continue_token(&token);
    }
    assert_eq!(found, TOTAL);
}
