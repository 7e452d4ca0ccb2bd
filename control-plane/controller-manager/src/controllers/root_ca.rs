//! Publishes the certificates that verify the API server in every namespace.

use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use controller_manager_core::queue::Outcome;
use controller_manager_core::root_ca::{self, Step};
use controller_manager_core::selection::Name;
use futures::future::BoxFuture;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::Api;
use kube::api::PostParams;

use super::{Context, PACE};
use crate::api_server::{ApiError, ApiServer};
use crate::informer::Key;

pub(super) const NAME: Name =
    Name { full: "root-ca-certificate-publisher-controller", old: "root-ca-cert-publisher", on_by_default: true };

/// Namespaces that are served at the same time; see the service account controller.
const CONCURRENCY: usize = 4;

pub(super) fn start(context: &Context) -> BoxFuture<'static, ()> {
    let Some(mut bundle) = context.surroundings.root_ca.clone() else {
        tracing::warn!(controller = NAME.full, "nothing to publish: --root-ca-file is not given");
        return Box::pin(std::future::pending());
    };
    let worker = context.worker::<String>(NAME, PACE);
    let namespaces = context.namespaces();
    // What is published is kept as a number: ten thousand copies of the same text would be a waste.
    let maps = context.informer("metadata.name=kube-root-ca.crt", |map: &ConfigMap| root_ca::published(map).map(hash));
    let queue = worker.clone();
    namespaces.on_change(move |key, state| {
        if state.is_some_and(|state| state.active) {
            queue.add(key.name.clone());
        }
    });
    let queue = worker.clone();
    maps.on_change(move |key, _| queue.add(key.namespace.clone()));
    let api = context.api();
    Box::pin(async move {
        namespaces.complete().await;
        maps.complete().await;
        let current = bundle.clone();
        let work = worker.run(CONCURRENCY, |namespace: String| {
            let active = namespaces.get(&Key::new("", &namespace)).is_some_and(|state| state.active);
            let published = maps.get(&Key::new(&namespace, root_ca::NAME)).flatten();
            let bundle = Arc::clone(&current.borrow());
            let api = api.clone();
            async move {
                if active && published != Some(hash(&bundle)) {
                    publish(&api, &namespace, &bundle).await?;
                }
                Ok(Outcome::Done)
            }
        });
        let renew = async {
            while bundle.changed().await.is_ok() {
                for key in namespaces.keys() {
                    worker.add(key.name);
                }
            }
            // The file is followed no longer: the program ends.
            std::future::pending::<()>().await;
        };
        futures::join!(work, renew);
    })
}

async fn publish(api: &ApiServer, namespace: &str, bundle: &str) -> Result<(), ApiError> {
    let maps: Api<ConfigMap> = Api::namespaced(api.client(), namespace);
    let found = api.within(maps.get_opt(root_ca::NAME)).await?;
    let written = match root_ca::decide(namespace, true, found.as_ref(), bundle) {
        Step::Nothing => return Ok(()),
        Step::Create(map) => api.within(maps.create(&PostParams::default(), &map)).await,
        Step::Update(map) => api.within(maps.replace(root_ca::NAME, &PostParams::default(), &map)).await,
    };
    match written {
        Ok(_) => Ok(()),
        // The namespace, or the map, went away meanwhile; whatever comes next is told by the watch.
        Err(error) if error.is_not_found() || error.is_namespace_terminating() => Ok(()),
        Err(error) => Err(error),
    }
}

fn hash(text: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    text.hash(&mut hasher);
    hasher.finish()
}
