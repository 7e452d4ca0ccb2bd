//! Controllers at work while a server or a member of the store is killed: nothing acknowledged is lost, and what a client library
//! keeps of the cluster comes to be what the cluster is.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use futures::StreamExt as _;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::{DeleteParams, ListParams, Patch, PatchParams, PostParams};
use kube::runtime::reflector::{self, Store};
use kube::runtime::{WatchStreamExt as _, watcher};
use kube::{Api, Client, ResourceExt as _};
use serde_json::json;
use tests_api::config_map;
use tests_api::rig::{Cluster, Options, StoreKind};
use tests_api::stage::{client, eventually};
use tokio::task::JoinHandle;

/// Writers at work at a time.
const WRITERS: usize = 4;

/// What a writer knows of an object: what it must be, or what it may be while a write has no answer.
type Known = BTreeMap<String, Vec<Option<String>>>;

/// Creates, changes and deletes objects of its own until told to stop.
async fn write(api: Api<ConfigMap>, writer: usize, stop: Arc<AtomicBool>) -> Known {
    let mut known = Known::new();
    for number in 0.. {
        let name = format!("w{writer}-{number:05}");
        let object = serde_json::from_value(config_map(&name, "made")).unwrap();
        let made = api.create(&PostParams::default(), &object).await;
        learn(&mut known, &name, Some("made"), made.is_ok());
        let patch = Patch::Merge(json!({ "data": { "k": "changed" } }));
        let changed = api.patch(&name, &PatchParams::default(), &patch).await;
        learn(&mut known, &name, Some("changed"), changed.is_ok());
        if number % 3 == 0 {
            let deleted = api.delete(&name, &DeleteParams::default()).await;
            learn(&mut known, &name, None, deleted.is_ok());
        }
        if stop.load(Ordering::Relaxed) {
            break;
        }
        if made.is_err() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
    known
}

/// After a write that was acknowledged an object is what was written; after one that was not it may also be what it was.
fn learn(known: &mut Known, name: &str, value: Option<&str>, acknowledged: bool) {
    let may_be = known.entry(name.to_owned()).or_insert_with(|| vec![None]);
    if acknowledged {
        may_be.clear();
    }
    may_be.push(value.map(str::to_owned));
}

/// A client library's copy of all objects of the namespace, kept up in the background.
struct Copy {
    store: Store<ConfigMap>,
    worker: JoinHandle<()>,
    relists: Arc<AtomicUsize>,
}

fn copy(client: Client, config: watcher::Config) -> Copy {
    let (store, writer) = reflector::store();
    let relists = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&relists);
    let worker = tokio::spawn(async move {
        let events = watcher(Api::<ConfigMap>::namespaced(client, "default"), config).default_backoff();
        let mut events = std::pin::pin!(reflector::reflector(writer, events));
        while let Some(event) = events.next().await {
            if matches!(event, Ok(watcher::Event::Init)) {
                counted.fetch_add(1, Ordering::Relaxed);
            }
        }
    });
    Copy { store, worker, relists }
}

/// Names and versions, in order.
fn contents<'a>(objects: impl Iterator<Item = &'a ConfigMap>) -> BTreeMap<String, String> {
    objects.map(|one| (one.name_any(), one.resource_version().unwrap_or_default())).collect()
}

impl Copy {
    fn contents(&self) -> BTreeMap<String, String> {
        let state = self.store.state();
        contents(state.iter().map(AsRef::as_ref))
    }
}

/// Writers and watchers at work, a fault now and then, and the reckoning.
async fn under_load(cluster: &mut Cluster, faults: usize, fault: impl AsyncFn(&mut Cluster, usize)) {
    let client = client(cluster).await;
    let stop = Arc::new(AtomicBool::new(false));
    let api: Api<ConfigMap> = Api::default_namespaced(client.clone());
    let copies = [
        watcher::Config::default(),
        watcher::Config::default().streaming_lists(),
        watcher::Config::default().page_size(50),
    ]
    .map(|config| copy(client.clone(), config));
    let writers: Vec<_> =
        (0..WRITERS).map(|writer| tokio::spawn(write(api.clone(), writer, Arc::clone(&stop)))).collect();
    for number in 0..faults {
        tokio::time::sleep(Duration::from_millis(700)).await;
        fault(cluster, number).await;
    }
    tokio::time::sleep(Duration::from_millis(700)).await;
    stop.store(true, Ordering::Relaxed);
    let mut known = Known::new();
    for writer in writers {
        known.append(&mut writer.await.unwrap());
    }
    cluster.ready().await;
    let objects = api.list(&ListParams::default()).await.unwrap().items;
    let values: BTreeMap<String, Option<String>> =
        objects.iter().map(|one| (one.name_any(), one.data.as_ref().and_then(|data| data.get("k").cloned()))).collect();
    let acknowledged = known.values().filter(|may_be| may_be.len() == 1).count();
    assert!(acknowledged > 40, "only {acknowledged} objects were written without a doubt");
    for (name, may_be) in &known {
        let value = values.get(name).cloned().flatten();
        assert!(may_be.contains(&value), "{name} is {value:?} and may be {may_be:?}");
    }
    assert!(values.keys().all(|name| known.contains_key(name)), "objects that nobody made");
    let wanted = contents(objects.iter());
    for copy in &copies {
        eventually("a copy to be what the cluster is", async || (copy.contents() == wanted).then_some(())).await;
        assert!(!copy.worker.is_finished());
        copy.worker.abort();
    }
}

async fn kill_the_server(cluster: &mut Cluster, _: usize) {
    cluster.restart_server().await;
}

async fn kill_a_member(cluster: &mut Cluster, number: usize) {
    let index = number % cluster.store.size();
    cluster.store.member(index).kill();
    // The others go on by themselves.
    tokio::time::sleep(Duration::from_secs(1)).await;
    tokio::task::block_in_place(|| cluster.store.restart_member(index));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_server_is_found_again() {
    let mut cluster = Cluster::start(StoreKind::Orlop).await;
    under_load(&mut cluster, 3, kill_the_server).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_server_on_etcd_is_found_again() {
    let mut cluster = Cluster::start(StoreKind::Etcd).await;
    under_load(&mut cluster, 3, kill_the_server).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_member_is_not_missed() {
    let mut cluster = Cluster::start(StoreKind::ThreeMembers).await;
    under_load(&mut cluster, 3, kill_a_member).await;
    assert!(cluster.server().ended().is_none());
}

/// A server that was away while the store forgot what happened tells its watchers so, and they list again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn watchers_of_a_forgotten_past_list_again() {
    let flags = vec!["--etcd-compaction-interval=300ms".to_owned()];
    let mut cluster = Cluster::start(Options { store: StoreKind::Orlop, flags }).await;
    let other = cluster.another_server("other").await;
    let copy = copy(client(&cluster).await, watcher::Config::default());
    let maps = tests_api::CONFIG_MAPS;
    for number in 0..20 {
        let made = other.client.post(maps, &config_map(&format!("before-{number}"), "1")).await;
        assert_eq!(made.code, 201);
    }
    eventually("the copy to be whole", async || (copy.contents().len() == 20).then_some(())).await;
    assert_eq!(copy.relists.load(Ordering::Relaxed), 1);
    cluster.server().kill();
    for number in 0..20 {
        assert_eq!(other.client.post(maps, &config_map(&format!("after-{number}"), "1")).await.code, 201);
        assert_eq!(other.client.delete(&format!("{maps}/before-{number}")).await.code, 200);
        tokio::time::sleep(Duration::from_millis(60)).await;
    }
    cluster.restart_server().await;
    let wanted: Vec<String> = tests_api::names(&cluster.admin().get(maps).await.json());
    assert_eq!(wanted.len(), 20);
    eventually("the copy to be what the cluster is", async || {
        copy.contents().into_keys().eq(wanted.iter().cloned()).then_some(())
    })
    .await;
    assert_eq!(copy.relists.load(Ordering::Relaxed), 2);
    copy.worker.abort();
}
