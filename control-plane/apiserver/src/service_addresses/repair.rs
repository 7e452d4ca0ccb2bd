//! Puts right what Services hold on paper and what they hold in fact: addresses and ports that nobody has any more are freed, and
//! those that a Service has without a record get one. Both come from outside: from another program that writes to the same store,
//! or from somebody who deleted an `IPAddress`.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use apiserver_core::Object;
use apiserver_core::kinds::service::{held_addresses, held_ports};
use apiserver_core::resource::STORE_ROOT;
use apiserver_core::time;
use bytes::Bytes;
use serde_json::Value;

use super::{ADDRESSES, GROUP, MANAGER, NODE_PORTS, record, reference};
use crate::app::App;
use crate::cache::{Cache, Cursor};
use crate::hooks::Hook;
use crate::store_client::{Change, Put, StoreError};

/// How often the two are compared. What is wrong does no harm in between: it only makes an address or port unusable.
const INTERVAL: Duration = Duration::from_secs(10);
/// A record may be older than its Service: other servers make it first. Longer than any write takes.
const GRACE_SECONDS: i64 = 60;

/// Compares until the task is dropped.
pub(crate) async fn run(app: Arc<App>) {
    let cache =
        |group: &str, plural: &str| app.registry.lookup(group, "v1", plural).and_then(|row| app.cache(row)).cloned();
    let (Some(services), Some(addresses)) = (cache("", "services"), cache(GROUP, "ipaddresses")) else { return };
    services.ready().await;
    addresses.ready().await;
    let mut compared: Option<[Cursor; 2]> = None;
    loop {
        let caches = [&services, &addresses];
        let same = compared
            .as_mut()
            .is_some_and(|cursors| caches.into_iter().zip(cursors).all(|(cache, at)| is_still(cache, at)));
        if !same {
            let cursors = caches.map(|cache| cache.snapshot_and_cursor().1);
            match round(&app, &services, &addresses).await {
                Ok(complete) => {
                    app.hooks.done(Hook::ServiceRepair);
                    compared = complete.then_some(cursors);
                }
                Err(error) => {
                    tracing::info!(error = %chain::Chain(&error), "addresses and ports could not be compared");
                }
            }
        }
        tokio::time::sleep(INTERVAL).await;
    }
}

/// Whether nothing happened in a cache since a position.
fn is_still(cache: &Cache, at: &mut Cursor) -> bool {
    cache.events(at, 1).is_ok_and(|batch| batch.events.is_empty())
}

/// Compares once. Returns whether nothing is left to look at later.
async fn round(app: &App, services: &Cache, addresses: &Cache) -> Result<bool, StoreError> {
    let snapshot = services.snapshot();
    let all: Vec<Object> = snapshot.range(STORE_ROOT, STORE_ROOT).filter_map(|object| object.tree().ok()).collect();
    let holders: BTreeMap<IpAddr, &Object> = all
        .iter()
        .flat_map(|service| held_addresses(service).into_iter().map(move |address| (address, service)))
        .collect();
    let mut complete = true;
    let prefix = format!("{STORE_ROOT}{ADDRESSES}");
    let mut recorded = BTreeSet::new();
    let known = addresses.snapshot();
    for object in known.range(&prefix, &prefix) {
        let Some(address) = object.key.strip_prefix(&prefix).and_then(|name| name.parse::<IpAddr>().ok()) else {
            continue;
        };
        recorded.insert(address);
        if holders.contains_key(&address) || object.label(MANAGER.0) != Some(MANAGER.1) {
            continue;
        }
        complete &= free_address(app, &object.key, address).await?;
    }
    for (address, service) in holders.iter().filter(|(address, _)| !recorded.contains(address)) {
        restore(app, &format!("{prefix}{address}"), service, |service| held_addresses(service).contains(address))
            .await?;
    }
    repair_ports(app, &all).await?;
    Ok(complete)
}

/// Frees an address that no Service is known to have, unless the one it names has it after all. Returns whether that is settled.
async fn free_address(app: &App, key: &str, address: IpAddr) -> Result<bool, StoreError> {
    let (Some(found), _) = app.store.get(key).await? else { return Ok(true) };
    let Ok(record) = Object::from_stored(&found.value) else { return Ok(true) };
    let made = record.creation_timestamp().and_then(time::parse).map_or(0, jiff::Timestamp::as_second);
    if jiff::Timestamp::now().as_second() - made < GRACE_SECONDS {
        return Ok(false);
    }
    if let Some(service) = parent(app, record.at(&["spec", "parentRef"])).await?
        && held_addresses(&service).contains(&address)
    {
        return Ok(true);
    }
    tracing::info!(%address, "an address is freed that no Service has");
    remove(app, key, found.mod_revision).await?;
    Ok(true)
}

/// Frees ports that no Service has, and records those that one has.
async fn repair_ports(app: &App, services: &[Object]) -> Result<(), StoreError> {
    let prefix = format!("{STORE_ROOT}{NODE_PORTS}");
    let holders: BTreeMap<u16, &Object> =
        services.iter().flat_map(|service| held_ports(service).into_iter().map(move |port| (port, service))).collect();
    let mut recorded = BTreeSet::new();
    for kv in app.store.list(&prefix, &prefix, 0, 0).await?.kvs {
        let Ok(key) = std::str::from_utf8(&kv.key) else { continue };
        let port = key.strip_prefix(&prefix).and_then(|name| name.parse::<u16>().ok());
        if let Some(port) = port.filter(|port| holders.contains_key(port)) {
            recorded.insert(port);
            continue;
        }
        // Ours are written together with their Service, so that it is there if it is anywhere.
        let record: Value = serde_json::from_slice(&kv.value).unwrap_or_default();
        let service = parent(app, record.get("parentRef")).await?;
        if port.is_none_or(|port| !service.is_some_and(|service| held_ports(&service).contains(&port))) {
            tracing::info!(key, "a node port is freed that no Service has");
            remove(app, key, kv.mod_revision).await?;
        }
    }
    for (port, service) in holders.iter().filter(|(port, _)| !recorded.contains(port)) {
        restore(app, &format!("{prefix}{port}"), service, |service| held_ports(service).contains(port)).await?;
    }
    Ok(())
}

/// The Service a record names, as of now.
async fn parent(app: &App, reference: Option<&Value>) -> Result<Option<Object>, StoreError> {
    let text =
        |name: &str| reference.and_then(|reference| reference.get(name)).and_then(Value::as_str).unwrap_or_default();
    match app.core_row("services") {
        Some(row) if text("resource") == "services" => {
            let (found, _) = app.store.get(&row.key(Some(text("namespace")), text("name"))).await?;
            Ok(found.and_then(|found| Object::from_stored(&found.value).ok()))
        }
        Some(_) | None => Ok(None),
    }
}

/// Makes a record that is missing, if the Service still has what it is about. One that is there by now stays.
async fn restore(app: &App, key: &str, service: &Object, has: impl Fn(&Object) -> bool) -> Result<(), StoreError> {
    let reference = reference(service);
    if !parent(app, Some(&reference)).await?.is_some_and(|live| has(&live)) {
        return Ok(());
    }
    tracing::info!(key, "a record is made anew of what a Service has");
    let value = Bytes::from(record(key, &reference).to_string());
    let change = Change {
        key: key.to_owned(),
        expected: 0,
        put: Some(Put { value, lease: 0 }),
        claims: Vec::new(),
        released: Vec::new(),
    };
    app.store.commit(&change).await.map(drop)
}

/// Removes a key that is still as it was.
async fn remove(app: &App, key: &str, revision: i64) -> Result<(), StoreError> {
    let change =
        Change { key: key.to_owned(), expected: revision, put: None, claims: Vec::new(), released: Vec::new() };
    app.store.commit(&change).await.map(drop)
}
