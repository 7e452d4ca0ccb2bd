//! The `kubernetes` Service, by which clients inside the cluster reach the API, and its endpoints: the addresses of all servers.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use apiserver_core::Resource;
use apiserver_core::kinds::service::Cidr;
use bytes::Bytes;
use serde_json::{Value, json};

use super::{BootstrapError, adjust, ensure};
use crate::app::App;

/// Where the records of servers are.
const SERVERS: &str = "/registry/masterleases/";
/// How long a record outlives its server.
const RECORD_TTL: Duration = Duration::from_secs(15);

/// Keeps the record of this server, and makes the Service lead to all that have one.
pub(super) async fn keep(app: &Arc<App>, port: u16) -> Result<(), BootstrapError> {
    ensure(app, app.core_row("services"), Some("default"), service(app, port)).await?;
    let lease = app.store.grant(RECORD_TTL).await?;
    app.store.put(&record_key(app.options.advertise), Bytes::from_static(b"{}"), lease).await?;
    endpoints(app, port).await
}

/// Takes this server's address out of the endpoints.
pub(super) async fn leave(app: &Arc<App>, port: u16) -> Result<(), BootstrapError> {
    app.store.remove(&record_key(app.options.advertise)).await?;
    endpoints(app, port).await
}

/// The Service. Its address is the first of the range.
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
        set(app, row, labels, &json!({ "subsets": subsets(&addresses, port) })).await?;
    }
    if let Some(row) = app.registry.lookup("discovery.k8s.io", "v1", "endpointslices") {
        let labels = json!({ "kubernetes.io/service-name": "kubernetes" });
        set(app, row, labels, &slice(&addresses, app.options.advertise, port)).await?;
    }
    Ok(())
}

/// Makes the members of the object `kubernetes` in the namespace `default` those of `content`.
async fn set(app: &Arc<App>, row: &Arc<Resource>, labels: Value, content: &Value) -> Result<(), BootstrapError> {
    let mut fresh = content.clone();
    fresh["metadata"] = json!({ "name": "kubernetes", "labels": labels });
    ensure(app, Some(row), Some("default"), fresh).await?;
    let members = || content.as_object().into_iter().flatten();
    adjust(app, row, Some("default"), "kubernetes", |old, _| {
        if members().all(|(name, value)| old.at(&[name]).unwrap_or(&Value::Null) == value) {
            return None;
        }
        let mut new = old.clone();
        for (name, value) in members() {
            new.set(&[name], value.clone());
        }
        Some(new)
    })
    .await
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
