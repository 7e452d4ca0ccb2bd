//! Keeps the roles that are the sum of others.

use std::sync::Arc;

use controller_manager_core::queue::Outcome;
use controller_manager_core::role_aggregation::{Role, gathered};
use controller_manager_core::selection::Name;
use futures::future::BoxFuture;
use k8s_openapi::api::rbac::v1::{ClusterRole, PolicyRule};
use kube::Api;
use kube::api::{Patch, PatchParams};
use serde_json::json;

use super::{Context, PACE};
use crate::api_server::{ApiError, ApiServer};
use crate::informer::Informer;

pub(super) const NAME: Name =
    Name { full: "clusterrole-aggregation-controller", old: "clusterrole-aggregation", on_by_default: true };

pub(super) fn start(context: &Context) -> BoxFuture<'static, ()> {
    // Whatever role changes may be part of any sum: all sums are one piece of work.
    let worker = context.worker::<()>(NAME, PACE);
    let roles = context.informer("", |role: &ClusterRole| Arc::new(Role::of(role)));
    let queue = worker.clone();
    roles.on_change(move |_, _| queue.add(()));
    let api = context.api();
    Box::pin(async move {
        roles.complete().await;
        let reconcile = |()| {
            let wanted = wanted(&roles);
            let api = api.clone();
            async move {
                for (name, rules) in wanted {
                    apply(&api, &name, &rules).await?;
                }
                Ok(Outcome::Done)
            }
        };
        worker.run(1, reconcile).await;
    })
}

/// The sums that are not what they should be, and what they should be.
fn wanted(roles: &Informer<Arc<Role>>) -> Vec<(String, Vec<PolicyRule>)> {
    let all: Vec<(String, Arc<Role>)> =
        roles.keys().into_iter().filter_map(|key| Some((key.name.clone(), roles.get(&key)?))).collect();
    let others: Vec<(&str, &Role)> = all.iter().map(|(name, role)| (name.as_str(), &**role)).collect();
    all.iter().filter_map(|(name, role)| Some((name.clone(), gathered(name, role, &others)?))).collect()
}

async fn apply(api: &ApiServer, name: &str, rules: &[PolicyRule]) -> Result<(), ApiError> {
    let roles: Api<ClusterRole> = Api::all(api.client());
    let applied = json!({
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole", "metadata": { "name": name }, "rules": rules,
    });
    let parameters = PatchParams::apply(NAME.full).force();
    api.within(roles.patch(name, &parameters, &Patch::Apply(&applied))).await.map(drop)
}
