//! Cluster addresses and node ports: two Services never hold the same, whichever server wrote them.
//!
//! The truth is in the store: a Service is written in one transaction with a key for each address and port it takes, and
//! that fails if such a key exists. So a write that fails takes nothing, and nothing is held by a Service that is not there.
//! The key of an address is that of its `IPAddress` object. What this server remembers is only a hint, so that choices rarely
//! collide.

pub(crate) mod repair;

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};

use apiserver_core::Object;
use apiserver_core::kinds::service::{Cidr, ClusterIps, held_addresses, held_ports};
use apiserver_core::resource::STORE_ROOT;
use bytes::Bytes;
use serde_json::{Value, json};

use crate::app::App;
use crate::cache::{Cache, CachedObject};
use crate::store_client::Claim;

/// Where the objects that stand for addresses are.
const ADDRESSES: &str = "ipaddresses/";
/// Where keys of held node ports begin.
const NODE_PORTS: &str = "ranges/servicenodeports/";
/// Who made an `IPAddress`: those of others are left alone.
const MANAGER: (&str, &str) = ("ipaddress.kubernetes.io/managed-by", "ipallocator.k8s.io");
const FAMILY: &str = "ipaddress.kubernetes.io/ip-family";
const GROUP: &str = "networking.k8s.io";
/// News taken from a cache at once.
const BATCH: usize = 256;

/// What Services may hold and do hold, as far as this server has seen.
pub(crate) struct ServiceAddresses(Mutex<ClusterIps>);

impl ServiceAddresses {
    /// Nothing is held yet.
    pub(crate) fn new(ranges: Vec<Cidr>, node_ports: (u16, u16)) -> Self {
        Self(Mutex::new(ClusterIps::new(ranges, node_ports)))
    }

    /// Calls `use_them` with what is held.
    pub(crate) fn with<T>(&self, use_them: impl FnOnce(&ClusterIps) -> T) -> T {
        use_them(&self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn change(&self, change: impl FnOnce(&mut ClusterIps)) {
        change(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner));
    }

    /// This server wrote a Service.
    pub(crate) fn wrote(&self, old: Option<&Object>, new: Option<&Object>) {
        self.change(|held| held.wrote(old, new));
    }

    /// The store refused a claim. Returns the address or the port it stands for.
    pub(crate) fn refused(&self, claim: &str) -> Option<String> {
        let key = claim.strip_prefix(STORE_ROOT)?;
        let name = key.strip_prefix(ADDRESSES).or_else(|| key.strip_prefix(NODE_PORTS))?;
        self.change(|held| held.refused(name));
        Some(name.to_owned())
    }
}

/// Follows Services, addresses and ranges as all servers write them, until the task is dropped.
pub(crate) async fn follow(app: Arc<App>) {
    let cache =
        |group: &str, plural: &str| app.registry.lookup(group, "v1", plural).and_then(|row| app.cache(row)).cloned();
    let (Some(services), Some(addresses), Some(ranges)) =
        (cache("", "services"), cache(GROUP, "ipaddresses"), cache(GROUP, "servicecidrs"))
    else {
        return;
    };
    tokio::join!(
        each_change(&services, |old, new| {
            app.addresses.change(|held| {
                if let Some(old) = old {
                    held.forget(&old);
                }
                if let Some(new) = new {
                    held.observe(&new);
                }
            });
        }),
        each_change(&addresses, |old, new| {
            app.addresses.change(|held| match (old, new) {
                (_, Some(new)) => held.observe_address(&new),
                (Some(old), None) => held.forget_address(&old),
                (None, None) => {}
            });
        }),
        each_change(&ranges, |_, _| {
            let ready = ready_ranges(&ranges);
            app.addresses.change(|held| held.set_ranges(ready));
        }),
    );
}

/// Calls `tell` for every object there is and then for every change, with what was and what is.
async fn each_change(cache: &Arc<Cache>, tell: impl Fn(Option<Object>, Option<Object>)) {
    cache.ready().await;
    let mut changes = cache.changes();
    loop {
        let (snapshot, mut cursor) = cache.snapshot_and_cursor();
        for object in snapshot.range(STORE_ROOT, STORE_ROOT) {
            tell(None, object.tree().ok());
        }
        loop {
            changes.borrow_and_update();
            // An overrun means a new list: begin again from it.
            let Ok(batch) = cache.events(&mut cursor, BATCH) else { break };
            for event in &batch.events {
                let tree = |object: &Option<Arc<CachedObject>>| object.as_ref()?.tree().ok();
                tell(tree(&event.previous), tree(&event.object));
            }
            if batch.events.is_empty() && changes.changed().await.is_err() {
                return;
            }
        }
    }
}

/// The ranges addresses are given from: those that are not going away, and that nobody says are not ready.
fn ready_ranges(cache: &Cache) -> Vec<Cidr> {
    let snapshot = cache.snapshot();
    let objects = snapshot.range(STORE_ROOT, STORE_ROOT).filter_map(|object| object.tree().ok());
    objects
        .filter(|range| {
            let ready = range.list(&["status", "conditions"]).iter().find(|one| one["type"] == "Ready");
            range.deletion_timestamp().is_none() && ready.is_none_or(|one| one["status"] == "True")
        })
        .flat_map(|range| {
            let texts: Vec<Option<Cidr>> =
                range.list(&["spec", "cidrs"]).iter().map(|one| one.as_str().and_then(Cidr::parse)).collect();
            texts.into_iter().flatten()
        })
        .collect()
}

/// The keys a change from `old` to `new` must take and gives back.
pub(crate) fn claims(old: Option<&Object>, new: Option<&Object>) -> (Vec<Claim>, Vec<String>) {
    let held = old.map(keys).unwrap_or_default();
    let wanted = new.map(keys).unwrap_or_default();
    let holder = new.map(reference).unwrap_or_default();
    let taken = wanted
        .difference(&held)
        .map(|key| Claim { key: key.clone(), value: Bytes::from(record(key, &holder).to_string()) });
    (taken.collect(), held.difference(&wanted).cloned().collect())
}

/// How an `IPAddress` names the Service that has it.
fn reference(service: &Object) -> Value {
    json!({
        "resource": "services", "namespace": service.namespace().unwrap_or_default(),
        "name": service.name().unwrap_or_default(),
    })
}

/// The keys a Service holds.
fn keys(service: &Object) -> BTreeSet<String> {
    let addresses = held_addresses(service).into_iter().map(|address| format!("{STORE_ROOT}{ADDRESSES}{address}"));
    let ports = held_ports(service).into_iter().map(|port| format!("{STORE_ROOT}{NODE_PORTS}{port}"));
    addresses.chain(ports).collect()
}

/// What is stored under a key: for addresses the object that stands for them.
fn record(key: &str, holder: &Value) -> Value {
    let Some(address) = key.strip_prefix(STORE_ROOT).and_then(|key| key.strip_prefix(ADDRESSES)) else {
        return json!({ "parentRef": holder });
    };
    let family = if address.contains(':') { "IPv6" } else { "IPv4" };
    json!({
        "apiVersion": "networking.k8s.io/v1",
        "kind": "IPAddress",
        "metadata": {
            "name": address,
            "uid": crate::writes::uuid(),
            "creationTimestamp": apiserver_core::time::seconds(jiff::Timestamp::now()),
            "labels": { (FAMILY): family, (MANAGER.0): MANAGER.1 },
        },
        "spec": { "parentRef": holder },
    })
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
        let new = service(&json!({
            "clusterIP": "10.0.0.5", "clusterIPs": ["10.0.0.5"], "healthCheckNodePort": 30003,
            "ports": [{ "nodePort": 30002 }, { "protocol": "UDP", "nodePort": 30002 }],
        }));
        let (taken, given) = claims(Some(&old), Some(&new));
        let taken: Vec<_> = taken.into_iter().map(|claim| claim.key).collect();
        assert_eq!(taken, ["/registry/ranges/servicenodeports/30003"]);
        assert_eq!(given, ["/registry/ranges/servicenodeports/30001"]);
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
    fn a_refused_claim_is_known_by_what_it_stands_for() {
        let addresses = ServiceAddresses::new(Cidr::parse("10.0.0.0/24").into_iter().collect(), (30000, 30010));
        assert_eq!(addresses.refused("/registry/ipaddresses/10.0.0.9").as_deref(), Some("10.0.0.9"));
        assert_eq!(addresses.refused("/registry/ranges/servicenodeports/30000").as_deref(), Some("30000"));
        assert_eq!(addresses.refused("/registry/pods/x"), None);
        assert_eq!(addresses.with(|held| held.taken_addresses().count()), 1);
    }
}
