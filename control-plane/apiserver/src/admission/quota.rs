//! Quotas of namespaces: what is used is kept in their status, exactly, however many requests come at once.
//!
//! ```text
//!   requests of a namespace ─> its desk ─> one batch at a time: charge all, write each quota once if nobody else did
//! ```
//!
//! Whoever holds the desk serves all who wait at it. Other servers are told apart by the revision of a quota: a write that
//! finds another one is decided anew on what is there.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use admission::quota::{Charge, Evaluator, Limited, Quota, charge};
use admission::{Attributes, Notes, Operation};
use apiserver_core::engine::{Updated, prepare_update};
use apiserver_core::user::User;
use apiserver_core::{Object, Resource, Status};
use serde_json::Value;
use tokio::sync::oneshot;

use crate::app::App;
use crate::store_client::Commit;
use crate::writes::{self, Current, OWN_MANAGER, Writer};

/// How long a request waits to be charged; upstream's.
const PATIENCE: Duration = Duration::from_secs(10);
/// How often a quota is charged anew because another server or the controller wrote it.
const TRIES: u32 = 16;

/// All desks.
pub(super) struct Quotas {
    limited: Vec<Limited>,
    desks: Mutex<HashMap<String, Arc<Desk>>>,
}

/// Where the requests of a namespace are charged.
#[derive(Default)]
struct Desk {
    waiting: Mutex<Vec<Waiting>>,
    turn: tokio::sync::Mutex<()>,
}

/// A request that waits to be charged.
struct Waiting {
    request: Arc<Request>,
    answer: oneshot::Sender<Result<(), Status>>,
}

/// What of a request decides what it is charged with.
struct Request {
    row: Arc<Resource>,
    evaluator: Evaluator,
    operation: Operation,
    subresource: Option<String>,
    namespace: String,
    name: Option<String>,
    object: Object,
    old: Option<Object>,
    user: User,
    dry_run: bool,
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Quotas {
    /// No desk is open yet.
    pub(super) fn new(limited: Vec<Limited>) -> Self {
        Self { limited, desks: Mutex::default() }
    }

    /// Whether a request can change what is used.
    pub(super) fn concern(attributes: &Attributes<'_>) -> bool {
        attributes.namespace.is_some()
            && Evaluator::of(attributes.resource).is_some_and(|evaluator| evaluator.handles(attributes))
    }

    /// Charges a request to the quotas of its namespace.
    pub(super) async fn evaluate(
        &self,
        app: &App,
        attributes: &Attributes<'_>,
        object: Option<&Object>,
    ) -> Result<(), Status> {
        let (Some(object), Some(namespace)) = (object, attributes.namespace) else { return Ok(()) };
        let Some(evaluator) = Evaluator::of(attributes.resource) else { return Ok(()) };
        let Some(row) = app.core_row("resourcequotas") else { return Ok(()) };
        let quotas = cached(app, row, namespace).await?;
        if quotas.is_empty() && self.limited.is_empty() {
            return Ok(());
        }
        let resource = attributes.resource;
        let Some(own) = app.registry.lookup(&resource.group, &resource.version, &resource.plural) else {
            return Ok(());
        };
        let request = Arc::new(Request {
            row: Arc::clone(own),
            evaluator,
            operation: attributes.operation,
            subresource: attributes.subresource.map(str::to_owned),
            namespace: namespace.to_owned(),
            name: attributes.name.map(str::to_owned),
            object: object.clone(),
            old: attributes.old.cloned(),
            user: attributes.user.clone(),
            dry_run: attributes.dry_run,
        });
        let charged = tokio::time::timeout(PATIENCE, self.queue(app, row, &request)).await;
        charged.unwrap_or_else(|_| Err(Status::internal("resource quota evaluation timed out")))
    }

    async fn queue(&self, app: &App, row: &Arc<Resource>, request: &Arc<Request>) -> Result<(), Status> {
        let desk = Arc::clone(locked(&self.desks).entry(request.namespace.clone()).or_default());
        let outcome = loop {
            let (answer, charged) = oneshot::channel();
            locked(&desk.waiting).push(Waiting { request: Arc::clone(request), answer });
            {
                let _turn = desk.turn.lock().await;
                // Empty if whoever was here before served this request, too.
                let batch = std::mem::take(&mut *locked(&desk.waiting));
                if !batch.is_empty() {
                    self.serve(app, row, batch).await;
                }
            }
            // Without an answer whoever served it has gone away: again.
            if let Ok(outcome) = charged.await {
                break outcome;
            }
        };
        let mut desks = locked(&self.desks);
        // The map's and this one: nobody else is at the desk.
        if Arc::strong_count(&desk) == 2 {
            desks.remove(&request.namespace);
        }
        outcome
    }

    /// Charges everyone, writes what changed, and answers.
    async fn serve(&self, app: &App, row: &Arc<Resource>, batch: Vec<Waiting>) {
        let namespace = batch[0].request.namespace.clone();
        let outcomes = match cached(app, row, &namespace).await {
            Ok(quotas) => self.settle(app, row, &batch, quotas).await,
            Err(status) => batch.iter().map(|_| Err(status.clone())).collect(),
        };
        for (waiting, outcome) in batch.into_iter().zip(outcomes) {
            // Whoever does not wait any more does not want to know.
            let _ = waiting.answer.send(outcome);
        }
    }

    async fn settle(
        &self,
        app: &App,
        row: &Arc<Resource>,
        batch: &[Waiting],
        mut quotas: Vec<Current>,
    ) -> Vec<Result<(), Status>> {
        let mut outcomes: Vec<Result<(), Status>> = batch.iter().map(|_| Ok(())).collect();
        let mut open: Vec<usize> = (0..batch.len()).collect();
        for _ in 0..TRIES {
            let mut running: Vec<Quota> = quotas.iter().map(|quota| Quota::of(&quota.object)).collect();
            let now = jiff::Timestamp::now();
            open.retain(|&index| match self.charge(&mut running, &batch[index].request, now) {
                Ok(changed) => changed,
                Err(status) => {
                    outcomes[index] = Err(status);
                    false
                }
            });
            if open.is_empty() {
                return outcomes;
            }
            // Those that were written are behind us; what others wrote meanwhile is charged anew.
            let mut again = Vec::new();
            for (current, charged) in quotas.into_iter().zip(running) {
                match write(app, row, &current, &charged.used()).await {
                    Ok(Written::Done) => {}
                    Ok(Written::Conflict(found)) => again.extend(found),
                    Err(status) => {
                        for &index in &open {
                            outcomes[index] = Err(status.clone());
                        }
                        return outcomes;
                    }
                }
            }
            if again.is_empty() {
                return outcomes;
            }
            quotas = again;
        }
        for index in open {
            outcomes[index] = Err(Status::timeout("the quota is changed by too many at once", 1));
        }
        outcomes
    }

    /// Charges one request. What is only tried is charged to nobody.
    fn charge(&self, quotas: &mut [Quota], request: &Request, now: jiff::Timestamp) -> Result<bool, Status> {
        let notes = Notes::default();
        let attributes = Attributes {
            operation: request.operation,
            resource: &request.row,
            subresource: request.subresource.as_deref(),
            namespace: Some(&request.namespace),
            name: request.name.as_deref(),
            old: request.old.as_ref(),
            options: &Value::Null,
            user: &request.user,
            dry_run: request.dry_run,
            notes: &notes,
        };
        let asked = Charge { attributes: &attributes, evaluator: request.evaluator, object: &request.object, now };
        if request.dry_run {
            return charge(&mut quotas.to_vec(), &asked, &self.limited).map(|_| false);
        }
        charge(quotas, &asked, &self.limited)
    }
}

/// The quotas of a namespace, with everything this server wrote.
async fn cached(app: &App, row: &Arc<Resource>, namespace: &str) -> Result<Vec<Current>, Status> {
    let Some(cache) = app.cache(row) else { return Ok(Vec::new()) };
    cache.reach_own_writes().await.map_err(|_| Status::timeout("the quotas are not known yet", 1))?;
    let prefix = row.key_prefix(Some(namespace));
    let snapshot = cache.snapshot();
    let found = snapshot.range(&prefix, &prefix).map(|cached| {
        let object = cached.tree().map_err(Status::internal)?;
        Ok(Current { object, revision: cached.revision, live: false })
    });
    found.collect()
}

/// What became of a write.
enum Written {
    /// It took effect, or was not needed.
    Done,
    /// Somebody else wrote; this is what is there, if anything.
    Conflict(Option<Current>),
}

async fn write(app: &App, row: &Resource, current: &Current, used: &Value) -> Result<Written, Status> {
    if current.object.at(&["status", "used"]) == Some(used) {
        return Ok(Written::Done);
    }
    let user = writes::own_user();
    let writer = Writer { app, row, user: &user, dry_run: false, manager: Some(OWN_MANAGER), admitted: None };
    let updated = writer.with_context(|context| {
        let mut new = current.object.clone();
        new.set(&["status", "used"], used.clone());
        prepare_update(row, Some("status"), &current.object, new, context)
    })?;
    let Updated::Store(prepared) = updated else { return Ok(Written::Done) };
    let key = row.key(current.object.namespace(), current.object.name().unwrap_or_default());
    match writer.put(&key, Some(current), &prepared.object).await? {
        Commit::Done { .. } => Ok(Written::Done),
        Commit::Conflict { current } => Ok(Written::Conflict(current.map(|kv| writes::read(row, &kv)).transpose()?)),
        Commit::Taken { .. } => Err(Status::internal("a quota claimed an address")),
    }
}
