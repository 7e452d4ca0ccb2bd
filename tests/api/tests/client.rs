//! A client library, as controllers use it: kube-rs with typed objects, a reflector and a watcher.

use futures::{StreamExt, TryStreamExt};
use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::{DeleteParams, ListParams, Patch, PatchParams, PostParams};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::runtime::{WatchStreamExt as _, watcher};
use kube::{Api, Client, Config};
use serde_json::json;
use tests_api::on_every_store;
use tests_api::rig::Cluster;

on_every_store!(typed_objects_round_trip, watchers_list_and_follow);

async fn client(cluster: &Cluster) -> Client {
    let kubeconfig = Kubeconfig::read_from(cluster.kubeconfig()).unwrap();
    let config = Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await.unwrap();
    Client::try_from(config).unwrap()
}

fn map(name: &str, value: &str) -> ConfigMap {
    serde_json::from_value(json!({ "metadata": { "name": name }, "data": { "k": value } })).unwrap()
}

async fn typed_objects_round_trip(cluster: Cluster) {
    let api: Api<ConfigMap> = Api::default_namespaced(client(&cluster).await);
    let made = api.create(&PostParams::default(), &map("a", "1")).await.unwrap();
    let mut changed = made.clone();
    changed.data.get_or_insert_default().insert("k".to_owned(), "2".to_owned());
    let changed = api.replace("a", &PostParams::default(), &changed).await.unwrap();
    let stale = api.replace("a", &PostParams::default(), &made).await.unwrap_err();
    let kube::Error::Api(status) = stale else { panic!("{stale}") };
    assert_eq!((status.code, status.reason.as_str()), (409, "Conflict"));
    let patch = Patch::Merge(json!({ "metadata": { "labels": { "x": "y" } } }));
    api.patch("a", &PatchParams::default(), &patch).await.unwrap();
    let listed = api.list(&ListParams::default().labels("x=y")).await.unwrap();
    assert_eq!(listed.items.len(), 1);
    assert_eq!(listed.items[0].data, changed.data);
    let metadata = api.list_metadata(&ListParams::default()).await.unwrap();
    assert_eq!(metadata.items.len(), 1);
    api.delete("a", &DeleteParams::default()).await.unwrap();
    assert!(api.get_opt("a").await.unwrap().is_none());
}

async fn watchers_list_and_follow(cluster: Cluster) {
    let api: Api<ConfigMap> = Api::default_namespaced(client(&cluster).await);
    api.create(&PostParams::default(), &map("a", "1")).await.unwrap();
    for config in [watcher::Config::default(), watcher::Config::default().streaming_lists()] {
        let mut stream = watcher(api.clone(), config).default_backoff().boxed();
        let mut seen = Vec::new();
        while let Some(event) = stream.try_next().await.unwrap() {
            match event {
                watcher::Event::InitApply(object) => seen.push(object.metadata.name.unwrap()),
                watcher::Event::InitDone => break,
                watcher::Event::Init | watcher::Event::Apply(_) | watcher::Event::Delete(_) => {}
            }
        }
        assert_eq!(seen, ["a"]);
        api.create(&PostParams::default(), &map("b", "1")).await.unwrap();
        let event = stream.try_next().await.unwrap().unwrap();
        let watcher::Event::Apply(object) = event else { panic!("{event:?}") };
        assert_eq!(object.metadata.name.as_deref(), Some("b"));
        api.delete("b", &DeleteParams::default()).await.unwrap();
        let event = stream.try_next().await.unwrap().unwrap();
        assert!(matches!(event, watcher::Event::Delete(_)), "{event:?}");
    }
}
