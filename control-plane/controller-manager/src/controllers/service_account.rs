//! Gives every namespace its `default` ServiceAccount.

use controller_manager_core::default_account;
use controller_manager_core::queue::Outcome;
use controller_manager_core::selection::Name;
use futures::future::BoxFuture;
use k8s_openapi::api::core::v1::ServiceAccount;
use kube::Api;
use kube::api::PostParams;
use kube::core::PartialObjectMeta;

use super::{Context, PACE};
use crate::api_server::{ApiError, ApiServer};
use crate::informer::Key;

pub(super) const NAME: Name = Name { full: "serviceaccount-controller", old: "serviceaccount", on_by_default: true };

/// Namespaces that are served at the same time. One after the other would be slow after a restore, more only queue up
/// at the API server.
const CONCURRENCY: usize = 4;

pub(super) fn start(context: &Context) -> BoxFuture<'static, ()> {
    let worker = context.worker::<String>(NAME, PACE);
    let namespaces = context.namespaces();
    let accounts = context.informer("metadata.name=default", |_: &PartialObjectMeta<ServiceAccount>| ());
    let queue = worker.clone();
    namespaces.on_change(move |key, state| {
        if state.is_some_and(|state| state.active) {
            queue.add(key.name.clone());
        }
    });
    let queue = worker.clone();
    accounts.on_change(move |key, account| {
        if account.is_none() {
            queue.add(key.namespace.clone());
        }
    });
    let api = context.api();
    Box::pin(async move {
        namespaces.complete().await;
        accounts.complete().await;
        let reconcile = |namespace: String| {
            let active = namespaces.get(&Key::new("", &namespace)).is_some_and(|state| state.active);
            let exists = accounts.get(&Key::new(&namespace, default_account::NAME)).is_some();
            let api = api.clone();
            async move {
                if default_account::is_missing(active, exists) {
                    create(&api, &namespace).await?;
                }
                Ok(Outcome::Done)
            }
        };
        worker.run(CONCURRENCY, reconcile).await;
    })
}

async fn create(api: &ApiServer, namespace: &str) -> Result<(), ApiError> {
    let accounts: Api<ServiceAccount> = Api::namespaced(api.client(), namespace);
    let account = default_account::desired(namespace);
    match api.within(accounts.create(&PostParams::default(), &account)).await {
        Ok(_) => Ok(()),
        // Somebody was faster, or the namespace is on its way out: both are fine.
        Err(error) if error.is_already_exists() || error.is_not_found() || error.is_namespace_terminating() => Ok(()),
        Err(error) => Err(error),
    }
}
