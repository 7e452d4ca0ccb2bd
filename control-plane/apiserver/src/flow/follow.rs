//! Keeping up with the objects: what they say comes into force, what they should say is written into them.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use apiserver_core::engine::{Prepared, Updated, prepare_update};
use apiserver_core::flow::{Configuration, DANGLING, GROUP, LEVELS, Level, SCHEMAS, Upkeep, dangling, upkeep};
use apiserver_core::kinds::flow_control::{flow_schemas, priority_levels};
use apiserver_core::resource::STORE_ROOT;
use apiserver_core::{Object, Resource, Status};
use serde_json::Value;
use tokio::time::{Instant, MissedTickBehavior};

use super::Flow;
use crate::app::App;
use crate::cache::{Cache, Cursor};
use crate::writes::{self, Writer};

/// How often seats are lent anew; upstream's.
const LEND: Duration = Duration::from_secs(10);
/// How often the server looks after its own objects; upstream's.
const UPKEEP: Duration = Duration::from_mins(1);
/// Between two writes of one status: whoever else writes it must not make this server write as often as it can.
const STATUS: Duration = Duration::from_secs(10);
/// Before what could not be written is tried again.
const AGAIN: Duration = Duration::from_secs(1);
/// Who writes statuses, and who writes specs.
const CONSUMER: &str = "api-priority-and-fairness-config-consumer-v1";
const PRODUCER: &str = "api-priority-and-fairness-config-producer-v1";

/// One of the two kinds.
struct Kind {
    row: Arc<Resource>,
    cache: Arc<Cache>,
}

/// Follows both kinds until the task is dropped.
pub(crate) async fn follow(app: Arc<App>, flow: Arc<Flow>) {
    let kind = |plural: &str| {
        let row = Arc::clone(app.registry.lookup(GROUP, "v1", plural)?);
        Some(Kind { cache: Arc::clone(app.cache(&row)?), row })
    };
    let (Some(levels), Some(schemas)) = (kind(LEVELS), kind(SCHEMAS)) else { return };
    levels.cache.ready().await;
    schemas.cache.ready().await;
    tokio::join!(
        put_in_force(&flow, &levels, &schemas),
        tell(&app, &levels, &schemas),
        look_after(&app, &levels, &schemas),
    );
}

/// The one task that replaces what is in force, so that nothing old comes back.
async fn put_in_force(flow: &Flow, levels: &Kind, schemas: &Kind) {
    let mut ticks = tokio::time::interval(LEND);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        let (all_levels, level_cursor) = levels.objects();
        let (all_schemas, schema_cursor) = schemas.objects();
        flow.replace(Configuration::of(&all_levels, &all_schemas));
        loop {
            tokio::select! {
                () = levels.changed(level_cursor) => break,
                () = schemas.changed(schema_cursor) => break,
                _ = ticks.tick() => flow.adjust(),
            }
        }
    }
}

/// Keeps the condition of each schema that says whether its level is there.
async fn tell(app: &Arc<App>, levels: &Kind, schemas: &Kind) {
    // A level that is only just being made is not missing.
    if app.bootstrapped.subscribe().wait_for(|done| *done).await.is_err() {
        return;
    }
    let mut told: HashMap<String, Instant> = HashMap::new();
    loop {
        let (all_levels, level_cursor) = levels.objects();
        let (all_schemas, schema_cursor) = schemas.objects();
        let found: BTreeSet<String> = all_levels.iter().filter_map(Level::read).map(|level| level.name).collect();
        told.retain(|_, when| when.elapsed() < STATUS);
        let mut again = None;
        for schema in &all_schemas {
            let name = schema.name().unwrap_or_default();
            let level = schema.text(&["spec", "priorityLevelConfiguration", "name"]).unwrap_or_default();
            if dangling(schema, found.contains(level)).is_none() {
                continue;
            }
            if told.contains_key(name) {
                again = Some(STATUS);
                continue;
            }
            told.insert(name.to_owned(), Instant::now());
            if let Err(status) = write_status(app, &schemas.row, name, &found).await {
                tracing::info!(schema = name, %status, "the status of a flow schema could not be written");
                told.remove(name);
                again = again.or(Some(AGAIN));
            }
        }
        let pause = async {
            match again {
                Some(pause) => tokio::time::sleep(pause).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = levels.changed(level_cursor) => {}
            () = schemas.changed(schema_cursor) => {}
            () = pause => {}
        }
    }
}

async fn write_status(app: &App, row: &Resource, name: &str, found: &BTreeSet<String>) -> Result<(), Status> {
    change(app, row, name, CONSUMER, Some("status"), |old, now| {
        let level = old.text(&["spec", "priorityLevelConfiguration", "name"]).unwrap_or_default();
        let mut condition = dangling(old, found.contains(level))?;
        condition["lastTransitionTime"] = apiserver_core::time::seconds(now).into();
        let mut conditions: Vec<Value> = old.list(&["status", "conditions"]).to_vec();
        conditions.retain(|one| one["type"] != DANGLING);
        conditions.push(condition);
        let mut new = old.clone();
        new.set(&["status", "conditions"], conditions);
        Some(new)
    })
    .await
}

/// Keeps the server's own objects.
async fn look_after(app: &Arc<App>, levels: &Kind, schemas: &Kind) {
    if app.bootstrapped.subscribe().wait_for(|done| *done).await.is_err() {
        return;
    }
    let mut ticks = tokio::time::interval(UPKEEP);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        // Levels first: a schema is not to be without its level.
        for (kind, wants) in [(levels, priority_levels()), (schemas, flow_schemas())] {
            for todo in upkeep(&wants, &kind.objects().0) {
                if let Err(status) = kind.keep(app, &wants, todo).await {
                    tracing::info!(resource = %kind.row.plural, %status, "an object of the server could not be kept");
                }
            }
        }
    }
}

impl Kind {
    /// The objects there are, and the position behind the last change.
    fn objects(&self) -> (Vec<Object>, Cursor) {
        let (snapshot, cursor) = self.cache.snapshot_and_cursor();
        (snapshot.range(STORE_ROOT, STORE_ROOT).filter_map(|object| object.tree().ok()).collect(), cursor)
    }

    /// Waits for a change behind a position.
    async fn changed(&self, mut cursor: Cursor) {
        let mut changes = self.cache.changes();
        loop {
            changes.borrow_and_update();
            match self.cache.events(&mut cursor, 1) {
                Ok(batch) if batch.events.is_empty() => {}
                // An overrun means a new list: there may be a change in it.
                Ok(_) | Err(_) => return,
            }
            // The sender lives as long as the cache.
            if changes.changed().await.is_err() {
                return std::future::pending().await;
            }
        }
    }

    async fn keep(&self, app: &Arc<App>, wants: &[Value], todo: Upkeep) -> Result<(), Status> {
        match todo {
            // What is missing is made with the other objects of the system.
            Upkeep::Create(_) => Ok(()),
            Upkeep::Replace(object) => {
                let name = object.name().unwrap_or_default();
                let wanted: Vec<Value> = wants.iter().filter(|one| one["metadata"]["name"] == name).cloned().collect();
                change(app, &self.row, name, PRODUCER, None, |old, _| {
                    upkeep(&wanted, [old]).into_iter().find_map(|todo| match todo {
                        Upkeep::Replace(new) => Some(new),
                        Upkeep::Create(_) | Upkeep::Remove(_) => None,
                    })
                })
                .await
            }
            Upkeep::Remove(name) => {
                let user = writes::own_user();
                let writer = Writer { app, row: &self.row, user: &user, dry_run: false, manager: None, admitted: None };
                let key = self.row.key(None, &name);
                match writer.live(&key, "delete").await? {
                    Some(current) if current.object.finalizers().next().is_none() => {
                        tracing::info!(resource = %self.row.plural, name, "an object of an older server is removed");
                        writer.delete(&key, &current).await.map(drop)
                    }
                    Some(_) | None => Ok(()),
                }
            }
        }
    }
}

/// Changes an object into what `decide` makes of it; one that is gone, or that `decide` lets be, stays so.
async fn change(
    app: &App,
    row: &Resource,
    name: &str,
    manager: &str,
    subresource: Option<&str>,
    decide: impl Fn(&Object, jiff::Timestamp) -> Option<Object>,
) -> Result<(), Status> {
    let user = writes::own_user();
    let writer = Writer { app, row, user: &user, dry_run: false, manager: Some(manager), admitted: None };
    let absent = || Status::not_found(row, name);
    let outcome = writer
        .change(&row.key(None, name), absent, |old, context| {
            if let Some(new) = decide(old, context.now) {
                return prepare_update(row, subresource, old, new, context);
            }
            let mut object = old.clone();
            object.remove(&["metadata", "resourceVersion"]);
            Ok(Updated::Unchanged(Prepared { object, warnings: Vec::new() }))
        })
        .await;
    match outcome {
        Err(status) if status.code == 404 => Ok(()),
        outcome => outcome.map(drop),
    }
}
