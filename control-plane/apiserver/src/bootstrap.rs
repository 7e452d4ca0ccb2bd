//! What a fresh server makes itself: the system namespaces, the system's priority classes, the default range of addresses, the
//! levels and flows of requests, the rows of what it serves, and the `kubernetes` Service with its endpoints.
//!
//! Several servers share the Service: each keeps a record of its address alive on a lease, and the endpoints are the
//! addresses of all records.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use apiserver_core::engine::{Prepared, Updated, prepare_update};
use apiserver_core::kinds::service::Cidr;
use apiserver_core::kinds::{api_service, flow_control};
use apiserver_core::{Object, Resource, Status};
use backoff::Backoff;
use bytes::Bytes;
use futures::{TryStreamExt as _, stream};
use serde_json::{Value, json};

use crate::app::App;
use crate::store_client::StoreError;
use crate::writes::{self, Writer};

/// Namespaces every cluster has.
const NAMESPACES: [&str; 4] = ["default", "kube-system", "kube-public", "kube-node-lease"];
/// Priority classes every cluster has: of pods without which it, or one of its nodes, does not work.
const PRIORITIES: [(&str, i64, &str); 2] = [
    (
        "system-node-critical",
        2_000_001_000,
        "Used for system critical pods that must not be moved from their current node.",
    ),
    (
        "system-cluster-critical",
        2_000_000_000,
        "Used for system critical pods that must run in the cluster, but can be moved to another node if necessary.",
    ),
];
/// The range of addresses every cluster has.
const DEFAULT_RANGE: &str = "kubernetes";
/// Objects made at once: enough to share the store's flushes, few enough to leave room for others.
const AT_ONCE: usize = 16;
const FLOW_CONTROL: &str = "flowcontrol.apiserver.k8s.io";
/// Where the records of servers are.
const SERVERS: &str = "/registry/masterleases/";
/// How long a record outlives its server.
const RECORD_TTL: Duration = Duration::from_secs(15);
/// How often the record is renewed and the endpoints are compared with the records.
const RECONCILE: Duration = Duration::from_secs(10);

#[derive(Debug, thiserror::Error)]
enum BootstrapError {
    #[error("make {what}")]
    Object {
        what: String,
        #[source]
        source: Status,
    },
    #[error("keep the record of this server")]
    Record(#[from] StoreError),
}

/// Makes what is missing, then keeps the endpoints right until the task is dropped. `port` is the one listened on.
pub(crate) async fn run(app: Arc<App>, port: u16) {
    for cache in app.caches() {
        cache.ready().await;
    }
    let mut backoff = Backoff::new(Duration::from_millis(50), Duration::from_secs(5));
    loop {
        let pause = match round(&app, port).await {
            Ok(()) => {
                app.bootstrapped.send_replace(true);
                backoff.reset();
                RECONCILE
            }
            Err(BootstrapError::Record(StoreError::NoSpace(_))) => {
                // The objects are there. Whoever wants to read, or to delete what fills the store, must get in.
                tracing::warn!("the store has no space for the record of this server");
                app.bootstrapped.send_replace(true);
                RECONCILE
            }
            Err(error) => {
                tracing::warn!(error = %chain::Chain(&error), "the objects of the system are not complete");
                backoff.next_delay(rand::random())
            }
        };
        tokio::time::sleep(pause).await;
    }
}

/// Takes this server's address out of the endpoints: it is going away in good order.
pub(crate) async fn leave(app: &Arc<App>, port: u16) {
    let gone = app.store.remove(&record_key(app.options.advertise)).await.map_err(BootstrapError::from);
    let left = match gone {
        Ok(()) => endpoints(app, port).await,
        Err(error) => Err(error),
    };
    if let Err(error) = left {
        tracing::info!(error = %chain::Chain(&error), "the address of this server stays until its record expires");
    }
}

async fn round(app: &Arc<App>, port: u16) -> Result<(), BootstrapError> {
    for name in NAMESPACES {
        ensure(app, app.core_row("namespaces"), None, json!({ "metadata": { "name": name } })).await?;
    }
    let priorities = app.registry.lookup("scheduling.k8s.io", "v1", "priorityclasses");
    for (name, value, description) in PRIORITIES {
        let class = json!({ "metadata": { "name": name }, "value": value, "description": description });
        ensure(app, priorities, None, class).await?;
    }
    default_range(app).await?;
    ensure(app, app.core_row("services"), Some("default"), service(app, port)).await?;
    system_objects(app).await?;
    let lease = app.store.grant(RECORD_TTL).await?;
    app.store.put(&record_key(app.options.advertise), Bytes::from_static(b"{}"), lease).await?;
    endpoints(app, port).await
}

/// Makes the levels and flows of requests, and the rows of what is served: many at once, so that a fresh cluster is soon ready.
async fn system_objects(app: &Arc<App>) -> Result<(), BootstrapError> {
    let row = |group: &str, plural: &str| app.registry.lookup(group, "v1", plural);
    let objects = [
        (row(FLOW_CONTROL, "prioritylevelconfigurations"), flow_control::priority_levels()),
        (row(FLOW_CONTROL, "flowschemas"), flow_control::flow_schemas()),
        (row("apiregistration.k8s.io", "apiservices"), api_service::local(&app.registry)),
    ];
    let all = objects.into_iter().flat_map(|(row, objects)| objects.into_iter().map(move |object| Ok((row, object))));
    stream::iter(all).try_for_each_concurrent(AT_ONCE, |(row, object)| ensure(app, row, None, object)).await
}

/// Makes the range of addresses the command line names, ready for use. A cluster that has gained its second family gains it here.
async fn default_range(app: &Arc<App>) -> Result<(), BootstrapError> {
    let Some(row) = app.registry.lookup("networking.k8s.io", "v1", "servicecidrs") else { return Ok(()) };
    let cidrs: Vec<String> = app.options.service_ranges.iter().map(ToString::to_string).collect();
    ensure(app, Some(row), None, json!({ "metadata": { "name": DEFAULT_RANGE }, "spec": { "cidrs": cidrs } })).await?;
    let user = writes::own_user();
    let writer = Writer { app, row, user: &user, dry_run: false, manager: Some(writes::OWN_MANAGER) };
    let absent = || Status::not_found(row, DEFAULT_RANGE);
    let failed = |source| BootstrapError::Object { what: format!("servicecidrs {DEFAULT_RANGE}"), source };
    let unchanged =
        |old: &Object| Ok(Updated::Unchanged(Prepared { object: without_version(old), warnings: Vec::new() }));
    writer
        .change(&row.key(None, DEFAULT_RANGE), absent, |old, context| {
            let had = old.list(&["spec", "cidrs"]);
            if had.len() != 1 || cidrs.len() != 2 || had[0] != *cidrs[0] {
                return unchanged(old);
            }
            let mut new = old.clone();
            new.set(&["spec", "cidrs"], cidrs.clone());
            prepare_update(row, None, old, new, context)
        })
        .await
        .map_err(failed)?;
    writer
        .change(&row.key(None, DEFAULT_RANGE), absent, |old, context| {
            // Of a range that is not the one of the command line nobody here knows whether it is ready.
            let ours =
                old.list(&["spec", "cidrs"]).iter().map(Value::as_str).eq(cidrs.iter().map(|one| Some(one.as_str())));
            if !ours || old.list(&["status", "conditions"]).iter().any(|one| one["type"] == "Ready") {
                return unchanged(old);
            }
            let mut conditions = old.list(&["status", "conditions"]).to_vec();
            conditions.push(json!({
                "type": "Ready", "status": "True", "reason": "", "message": "Kubernetes default Service CIDR is ready",
                "lastTransitionTime": apiserver_core::time::seconds(context.now),
            }));
            let mut new = old.clone();
            new.set(&["status", "conditions"], conditions);
            prepare_update(row, Some("status"), old, new, context)
        })
        .await
        .map(|_| ())
        .map_err(failed)
}

/// Creates an object unless the cache shows that it is there.
async fn ensure(
    app: &Arc<App>,
    row: Option<&Arc<Resource>>,
    namespace: Option<&str>,
    mut object: Value,
) -> Result<(), BootstrapError> {
    let Some(row) = row else { return Ok(()) };
    let name = object["metadata"]["name"].as_str().unwrap_or_default().to_owned();
    if app.cache(row).is_some_and(|cache| cache.get(&row.key(namespace, &name)).is_some()) {
        return Ok(());
    }
    object["apiVersion"] = row.api_version().into();
    object["kind"] = row.kind.clone().into();
    let Some(object) = Object::from_value(object) else { return Ok(()) };
    writes::ensure(app, row, namespace, object)
        .await
        .map_err(|source| BootstrapError::Object { what: format!("{} {name}", row.plural), source })
}

/// The Service clients inside the cluster reach the API by. Its address is the first of the range.
fn service(app: &App, port: u16) -> Value {
    let range = app.options.service_ranges.first();
    let address = range.and_then(|range| range.nth(1)).map(|address| address.to_string()).unwrap_or_default();
    let family = range.map_or("IPv4", Cidr::family);
    json!({
        "metadata": {
            "name": "kubernetes",
            "labels": { "component": "apiserver", "provider": "kubernetes" },
        },
        "spec": {
            "type": "ClusterIP",
            "clusterIP": address,
            "clusterIPs": [address],
            "ipFamilies": [family],
            "ipFamilyPolicy": "SingleStack",
            "sessionAffinity": "None",
            "ports": [{ "name": "https", "port": 443, "protocol": "TCP", "targetPort": port }],
        },
    })
}

fn record_key(address: IpAddr) -> String {
    format!("{SERVERS}{address}")
}

/// Makes the endpoints of the Service, in both their forms, the addresses of all servers.
async fn endpoints(app: &Arc<App>, port: u16) -> Result<(), BootstrapError> {
    let records = app.store.list(SERVERS, SERVERS, 0, 0).await?;
    let addresses: BTreeSet<IpAddr> = records
        .kvs
        .iter()
        .filter_map(|kv| std::str::from_utf8(&kv.key).ok()?.strip_prefix(SERVERS)?.parse::<IpAddr>().ok())
        // A machine without a network has no address that others could use.
        .filter(|address| !address.is_loopback())
        .collect();
    if let Some(row) = app.core_row("endpoints") {
        // The slice is written here, too: nobody else is to make one out of these.
        let labels = json!({ "endpointslice.kubernetes.io/skip-mirror": "true" });
        keep(app, row, labels, &json!({ "subsets": subsets(&addresses, port) })).await?;
    }
    if let Some(row) = app.registry.lookup("discovery.k8s.io", "v1", "endpointslices") {
        let labels = json!({ "kubernetes.io/service-name": "kubernetes" });
        keep(app, row, labels, &slice(&addresses, app.options.advertise, port)).await?;
    }
    Ok(())
}

/// Makes the members of the object `kubernetes` in the namespace `default` those of `content`.
async fn keep(app: &Arc<App>, row: &Arc<Resource>, labels: Value, content: &Value) -> Result<(), BootstrapError> {
    let mut fresh = content.clone();
    fresh["metadata"] = json!({ "name": "kubernetes", "labels": labels });
    ensure(app, Some(row), Some("default"), fresh).await?;
    let members = || content.as_object().into_iter().flatten();
    let user = writes::own_user();
    let writer = Writer { app, row, user: &user, dry_run: false, manager: Some(writes::OWN_MANAGER) };
    writer
        .change(
            &row.key(Some("default"), "kubernetes"),
            || Status::not_found(row, "kubernetes"),
            |old, context| {
                if members().all(|(name, value)| old.at(&[name]).unwrap_or(&Value::Null) == value) {
                    return Ok(Updated::Unchanged(Prepared { object: without_version(old), warnings: Vec::new() }));
                }
                let mut new = old.clone();
                for (name, value) in members() {
                    new.set(&[name], value.clone());
                }
                prepare_update(row, None, old, new, context)
            },
        )
        .await
        .map(|_| ())
        .map_err(|source| BootstrapError::Object { what: format!("{} kubernetes", row.plural), source })
}

fn without_version(object: &Object) -> Object {
    let mut object = object.clone();
    object.remove(&["metadata", "resourceVersion"]);
    object
}

fn subsets(addresses: &BTreeSet<IpAddr>, port: u16) -> Value {
    if addresses.is_empty() {
        return json!([]);
    }
    let addresses: Vec<Value> = addresses.iter().map(|address| json!({ "ip": address.to_string() })).collect();
    json!([{ "addresses": addresses, "ports": [{ "name": "https", "port": port, "protocol": "TCP" }] }])
}

/// A slice holds addresses of one family: that of this server's own.
fn slice(addresses: &BTreeSet<IpAddr>, own: IpAddr, port: u16) -> Value {
    let endpoints: Vec<Value> = addresses
        .iter()
        .filter(|address| address.is_ipv4() == own.is_ipv4())
        .map(|address| json!({ "addresses": [address.to_string()], "conditions": { "ready": true } }))
        .collect();
    json!({
        "addressType": if own.is_ipv4() { "IPv4" } else { "IPv6" },
        "endpoints": endpoints,
        "ports": [{ "name": "https", "port": port, "protocol": "TCP" }],
    })
}
