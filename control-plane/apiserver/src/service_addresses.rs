//! Cluster addresses and node ports: two Services never hold the same, whichever server wrote them.
//!
//! The truth is in the store: a Service is written in one transaction with a key for each address and port it takes, and
//! that fails if such a key exists. What this server remembers is only a hint, so that choices rarely collide.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};

use apiserver_core::Object;
use apiserver_core::kinds::service::{Cidr, ClusterIps};
use apiserver_core::resource::STORE_ROOT;
use bytes::Bytes;
use serde_json::{Value, json};

use crate::app::App;
use crate::options::Ipv4Range;
use crate::store_client::Claim;

/// Where keys of held addresses begin: also where upstream stores the object kind that stands for them.
const ADDRESSES: &str = "ipaddresses/";
/// Where keys of held node ports begin.
const NODE_PORTS: &str = "ranges/servicenodeports/";

/// What Services hold, as far as this server has seen.
pub(crate) struct ServiceAddresses(Mutex<ClusterIps>);

impl ServiceAddresses {
    /// Nothing is held yet.
    pub(crate) fn new(range: Ipv4Range, node_ports: (u16, u16)) -> Self {
        let ranges = Cidr::parse(&range.to_string()).into_iter().collect();
        Self(Mutex::new(ClusterIps::new(ranges, node_ports)))
    }

    /// Calls `use_them` with what is held.
    pub(crate) fn with<T>(&self, use_them: impl FnOnce(&ClusterIps) -> T) -> T {
        use_them(&self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// A Service changed from `old` to `new`.
    pub(crate) fn replaced(&self, old: Option<&Object>, new: Option<&Object>) {
        let mut held = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(old) = old {
            held.forget(old);
        }
        if let Some(new) = new {
            held.observe(new);
        }
    }

    /// A claim turned out to be held by a Service not seen yet.
    pub(crate) fn taken(&self, claim: &str) {
        let Some(holder) = stand_in(claim) else { return };
        self.replaced(None, Some(&holder));
    }

    /// Follows the Services of all servers until the task is dropped.
    pub(crate) async fn follow(app: Arc<App>) {
        let Some(cache) = app.core_row("services").and_then(|row| app.cache(row)).cloned() else { return };
        cache.ready().await;
        let mut changes = cache.changes();
        loop {
            let (snapshot, mut cursor) = cache.snapshot_and_cursor();
            for object in snapshot.range(STORE_ROOT, STORE_ROOT) {
                app.addresses.replaced(None, object.tree().ok().as_ref());
            }
            loop {
                changes.borrow_and_update();
                // An overrun means a new list: begin again from it.
                let Ok(batch) = cache.events(&mut cursor, 256) else { break };
                for event in &batch.events {
                    let tree = |object: &Option<Arc<crate::cache::CachedObject>>| object.as_ref()?.tree().ok();
                    app.addresses.replaced(tree(&event.previous).as_ref(), tree(&event.object).as_ref());
                }
                if batch.events.is_empty() && changes.changed().await.is_err() {
                    return;
                }
            }
        }
    }
}

/// The keys a change from `old` to `new` must take and gives back.
pub(crate) fn claims(old: Option<&Object>, new: Option<&Object>) -> (Vec<Claim>, Vec<String>) {
    let held = old.map(keys).unwrap_or_default();
    let wanted = new.map(keys).unwrap_or_default();
    let holder = new.map(|new| {
        let name = new.name().unwrap_or_default();
        let namespace = new.namespace().unwrap_or_default();
        json!({ "group": "", "resource": "services", "namespace": namespace, "name": name })
    });
    let taken = wanted
        .difference(&held)
        .map(|key| Claim { key: key.clone(), value: Bytes::from(record(key, holder.as_ref()).to_string()) });
    (taken.collect(), held.difference(&wanted).cloned().collect())
}

/// The keys a Service holds.
fn keys(service: &Object) -> BTreeSet<String> {
    let mut keys = BTreeSet::new();
    let listed = service.list(&["spec", "clusterIPs"]).iter().filter_map(Value::as_str);
    for address in listed.chain(service.text(&["spec", "clusterIP"])) {
        // "None" stands for a Service without an address.
        if let Ok(address) = address.parse::<IpAddr>() {
            keys.insert(format!("{STORE_ROOT}{ADDRESSES}{address}"));
        }
    }
    for port in service.list(&["spec", "ports"]) {
        let number = port.get("nodePort").and_then(Value::as_u64).filter(|number| *number > 0);
        if let Some(number) = number {
            let protocol = port.get("protocol").and_then(Value::as_str).unwrap_or("TCP");
            keys.insert(format!("{STORE_ROOT}{NODE_PORTS}{protocol}-{number}"));
        }
    }
    keys
}

/// What is stored under a key: for addresses the object that upstream has for them.
fn record(key: &str, holder: Option<&Value>) -> Value {
    match key.strip_prefix(STORE_ROOT).and_then(|key| key.strip_prefix(ADDRESSES)) {
        Some(address) => {
            let family = if address.contains(':') { "IPv6" } else { "IPv4" };
            json!({
                "apiVersion": "networking.k8s.io/v1",
                "kind": "IPAddress",
                "metadata": {
                    "name": address,
                    "uid": crate::writes::uuid(),
                    "creationTimestamp": jiff::Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string(),
                    "labels": {
                        "ipaddress.kubernetes.io/ip-family": family,
                        "ipaddress.kubernetes.io/managed-by": "ipallocator.k8s.io",
                    },
                },
                "spec": { "parentRef": holder },
            })
        }
        None => json!({ "parentRef": holder }),
    }
}

/// A Service that holds just what a claim stands for.
fn stand_in(claim: &str) -> Option<Object> {
    let key = claim.strip_prefix(STORE_ROOT)?;
    let spec = if let Some(address) = key.strip_prefix(ADDRESSES) {
        json!({ "clusterIP": address, "clusterIPs": [address] })
    } else {
        let (protocol, port) = key.strip_prefix(NODE_PORTS)?.split_once('-')?;
        json!({ "type": "NodePort", "ports": [{ "protocol": protocol, "nodePort": port.parse::<u16>().ok()? }] })
    };
    Object::from_value(json!({ "apiVersion": "v1", "kind": "Service", "metadata": {}, "spec": spec }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn service(spec: &Value) -> Object {
        let metadata = json!({ "name": "web", "namespace": "shop" });
        Object::from_value(json!({ "metadata": metadata, "spec": spec })).unwrap()
    }

    #[test]
    fn a_change_takes_what_is_new_and_gives_back_what_is_not_needed() {
        let old = service(&json!({
            "clusterIP": "10.0.0.5", "clusterIPs": ["10.0.0.5"], "ports": [{ "nodePort": 30001 }, { "nodePort": 30002 }],
        }));
        let new = service(
            &json!({ "clusterIP": "10.0.0.5", "clusterIPs": ["10.0.0.5"], "ports": [{ "nodePort": 30002 }, { "protocol": "UDP", "nodePort": 30002 }] }),
        );
        let (taken, given) = claims(Some(&old), Some(&new));
        let taken: Vec<_> = taken.into_iter().map(|claim| claim.key).collect();
        assert_eq!(taken, ["/registry/ranges/servicenodeports/UDP-30002"]);
        assert_eq!(given, ["/registry/ranges/servicenodeports/TCP-30001"]);
        let (taken, given) = claims(Some(&new), None);
        assert!(taken.is_empty());
        assert_eq!(given.len(), 3);
    }

    #[test]
    fn a_headless_service_takes_no_address() {
        let headless = service(&json!({ "clusterIP": "None", "clusterIPs": ["None"] }));
        assert!(claims(None, Some(&headless)).0.is_empty());
    }

    #[test]
    fn a_claim_names_what_it_stands_for() {
        let address = stand_in("/registry/ipaddresses/10.0.0.9").unwrap();
        assert_eq!(address.text(&["spec", "clusterIP"]), Some("10.0.0.9"));
        assert!(stand_in("/registry/ranges/servicenodeports/TCP-30000").is_some());
        assert!(stand_in("/registry/pods/x").is_none());
    }
}
