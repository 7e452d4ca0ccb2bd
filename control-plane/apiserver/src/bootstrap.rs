//! What a fresh server makes itself: the system namespaces, and the `kubernetes` Service with its endpoints.
//!
//! Several servers share the Service: each keeps a record of its address alive on a lease, and the endpoints are the
//! addresses of all records.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use apiserver_core::engine::{Prepared, Updated, prepare_update};
use apiserver_core::{Object, Status};
use backoff::Backoff;
use bytes::Bytes;
use serde_json::{Value, json};

use crate::app::App;
use crate::store_client::StoreError;
use crate::writes::{self, Writer};

/// Namespaces every cluster has.
const NAMESPACES: [&str; 4] = ["default", "kube-system", "kube-public", "kube-node-lease"];
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
        ensure(app, "namespaces", None, json!({ "metadata": { "name": name } })).await?;
    }
    ensure(app, "services", Some("default"), service(app, port)).await?;
    let lease = app.store.grant(RECORD_TTL).await?;
    app.store.put(&record_key(app.options.advertise), Bytes::from_static(b"{}"), lease).await?;
    endpoints(app, port).await
}

/// Creates an object unless the cache shows that it is there.
async fn ensure(
    app: &Arc<App>,
    plural: &str,
    namespace: Option<&str>,
    mut object: Value,
) -> Result<(), BootstrapError> {
    let Some(row) = app.core_row(plural) else { return Ok(()) };
    let name = object["metadata"]["name"].as_str().unwrap_or_default().to_owned();
    if app.cache(row).is_some_and(|cache| cache.get(&row.key(namespace, &name)).is_some()) {
        return Ok(());
    }
    object["apiVersion"] = row.api_version().into();
    object["kind"] = row.kind.clone().into();
    let Some(object) = Object::from_value(object) else { return Ok(()) };
    writes::ensure(app, row, namespace, object)
        .await
        .map_err(|source| BootstrapError::Object { what: format!("{plural} {name}"), source })
}

/// The Service clients inside the cluster reach the API by. Its address is the first of the range.
fn service(app: &App, port: u16) -> Value {
    let address = app.options.service_range.at(0).to_string();
    json!({
        "metadata": {
            "name": "kubernetes",
            "labels": { "component": "apiserver", "provider": "kubernetes" },
        },
        "spec": {
            "type": "ClusterIP",
            "clusterIP": address,
            "clusterIPs": [address],
            "ipFamilies": ["IPv4"],
            "ipFamilyPolicy": "SingleStack",
            "sessionAffinity": "None",
            "ports": [{ "name": "https", "port": 443, "protocol": "TCP", "targetPort": port }],
        },
    })
}

fn record_key(address: IpAddr) -> String {
    format!("{SERVERS}{address}")
}

/// Makes the endpoints of the Service the addresses of all servers.
async fn endpoints(app: &Arc<App>, port: u16) -> Result<(), BootstrapError> {
    let Some(row) = app.core_row("endpoints") else { return Ok(()) };
    let records = app.store.list(SERVERS, SERVERS, 0, 0).await?;
    let addresses: BTreeSet<String> = records
        .kvs
        .iter()
        .filter_map(|kv| std::str::from_utf8(&kv.key).ok()?.strip_prefix(SERVERS)?.parse::<IpAddr>().ok())
        // A machine without a network has no address that others could use.
        .filter(|address| !address.is_loopback())
        .map(|address| address.to_string())
        .collect();
    let subsets = subsets(&addresses, port);
    let metadata = json!({
        "name": "kubernetes",
        "labels": { "endpointslice.kubernetes.io/skip-mirror": "true" },
    });
    ensure(app, "endpoints", Some("default"), json!({ "metadata": metadata, "subsets": subsets })).await?;
    let user = writes::own_user();
    let writer = Writer { app, row, user: &user, dry_run: false };
    let failed = |source| BootstrapError::Object { what: "endpoints kubernetes".to_owned(), source };
    writer
        .change(
            &row.key(Some("default"), "kubernetes"),
            || Status::not_found(row, "kubernetes"),
            |old, context| {
                if old.at(&["subsets"]).unwrap_or(&Value::Null) == &subsets {
                    return Ok(Updated::Unchanged(Prepared { object: without_version(old), warnings: Vec::new() }));
                }
                let mut new = old.clone();
                new.set(&["subsets"], subsets.clone());
                prepare_update(row, None, old, new, context)
            },
        )
        .await
        .map(|_| ())
        .map_err(failed)
}

fn without_version(object: &Object) -> Object {
    let mut object = object.clone();
    object.remove(&["metadata", "resourceVersion"]);
    object
}

fn subsets(addresses: &BTreeSet<String>, port: u16) -> Value {
    if addresses.is_empty() {
        return json!([]);
    }
    let addresses: Vec<Value> = addresses.iter().map(|address| json!({ "ip": address })).collect();
    json!([{ "addresses": addresses, "ports": [{ "name": "https", "port": port, "protocol": "TCP" }] }])
}
