//! POST of an Eviction: deletes a pod if its disruption budget allows it.

use std::sync::Arc;

use admission::Operation;
use apiserver_core::decode::decode_object;
use apiserver_core::engine::prepare_update;
use apiserver_core::eviction::{self, Verdict};
use apiserver_core::options::{DeleteOptions, Write, WriteOptions};
use apiserver_core::{Object, Status};
use http::StatusCode;
use serde_json::json;

use super::remove;
use crate::admission::{Admitted, Wishes};
use crate::app::App;
use crate::call::Call;
use crate::http::respond::{self, Answer};
use crate::writes::Writer;

/// Evicts the pod the path names.
pub(super) async fn evict(app: &Arc<App>, call: &Call) -> Result<Answer, Status> {
    let options = WriteOptions::parse(Write::Create, &call.query)?;
    let (format, body) = call.text(call.definition()).await?;
    let decoded = decode_object(&call.row, call.subresource(), format, &body, options.field_validation)?;
    call.warn(decoded.warnings);
    let mut eviction = decoded.object;
    let pod = call.target.name.as_str();
    if eviction.name().is_some_and(|name| name != pod) {
        return Err(Status::bad_request("name in URL does not match name in Eviction object"));
    }
    let admitted = Admitted { call, wishes: Wishes::Write(&options) };
    admitted.mutate(app, Operation::Create, &mut eviction, None).await?;
    admitted.validate(app, Operation::Create, Some(&eviction), None).await?;
    let wishes = eviction.at(&["deleteOptions"]).map(ToString::to_string).unwrap_or_default();
    let mut wishes = DeleteOptions::parse(wishes.as_bytes(), &[])?;
    wishes.dry_run |= options.dry_run;

    let writer =
        Writer { app, row: &call.row, user: &call.user, dry_run: wishes.dry_run, manager: None, admitted: None };
    let current = writer.live(&call.key(), "get").await?.ok_or_else(|| Status::not_found(&call.row, pod))?;
    match eviction::judge(&current.object, &budgets(app, call).await?)? {
        Verdict::Free => {}
        Verdict::FreeAsItIs => wishes.precondition_resource_version = Some(current.revision.to_string()),
        Verdict::Ask(budget) => spend(app, call, &budget, pod, wishes.dry_run).await?,
    }
    remove::remove(app, call, &call.key(), pod, &wishes, None).await?;
    let status = json!({ "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "code": 201 });
    Ok(respond::status(StatusCode::CREATED, &status, call.form))
}

/// The budgets of the namespace, those that were just made here among them. Beyond that the cache's word will do: the budget
/// that is spent from is read anew.
async fn budgets(app: &App, call: &Call) -> Result<Vec<Object>, Status> {
    let Some(row) = app.registry.lookup("policy", "v1", "poddisruptionbudgets") else { return Ok(Vec::new()) };
    let Some(cache) = app.cache(row) else { return Ok(Vec::new()) };
    let behind = |_| Status::timeout("the disruption budgets are not known yet", 1);
    cache.reach_own_writes().await.map_err(behind)?;
    let prefix = row.key_prefix(call.namespace());
    // A budget nobody can read may be one that forbids it.
    let budgets = cache.snapshot().range(&prefix, &prefix).map(|cached| cached.tree()).collect::<Result<_, _>>();
    budgets.map_err(Status::internal)
}

/// Takes one disruption from a budget.
async fn spend(app: &Arc<App>, call: &Call, budget: &str, pod: &str, dry_run: bool) -> Result<(), Status> {
    let Some(row) = app.registry.lookup("policy", "v1", "poddisruptionbudgets") else { return Ok(()) };
    let writer = Writer { app, row, user: &call.user, dry_run, manager: None, admitted: None };
    writer
        .change(
            &row.key(call.namespace(), budget),
            || Status::not_found(row, budget),
            |old, context| {
                let spent = eviction::spend(row, old, pod, context)?;
                prepare_update(row, Some("status"), old, spent, context)
            },
        )
        .await
        .map(|_| ())
}
