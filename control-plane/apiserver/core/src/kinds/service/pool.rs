//! The addresses and node ports of the cluster: what there is, and what is known to be taken.

use std::collections::BTreeSet;
use std::net::IpAddr;

use serde_json::Value;

use super::cidr::{Cidr, family};
use super::held::Held;
use super::{Kind, port_number, ports};
use crate::object::Object;

/// The part of a range that is only used when all else is taken is bounded by this, so that few static choices collide.
const STATIC_LIMIT: u128 = 256;

/// What Services may be given, and what is taken as far as this server knows.
///
/// What is taken is a hint, fed by news that may come twice and late: whether something is free is for the store to say, where each
/// address and each port is a key that only one Service can make. The hint makes it rare that the store says no.
#[derive(Debug, Clone)]
pub struct ClusterIps {
    families: Vec<&'static str>,
    ranges: Vec<Cidr>,
    node_ports: (u16, u16),
    addresses: Held<IpAddr>,
    ports: Held<u16>,
}

impl ClusterIps {
    /// Nothing taken yet. `ranges`: one, or two of different families, the first is the default family. `node_ports`: first and last.
    pub fn new(ranges: Vec<Cidr>, node_ports: (u16, u16)) -> Self {
        let families = ranges.iter().map(Cidr::family).collect();
        Self { families, ranges, node_ports, addresses: Held::new(), ports: Held::new() }
    }

    /// Replaces the ranges addresses are given from. The families stay those the cluster was made with.
    pub fn set_ranges(&mut self, ranges: Vec<Cidr>) {
        self.ranges = ranges;
    }

    /// A stored Service holds its ports.
    pub fn observe(&mut self, service: &Object) {
        for port in held_ports(service) {
            self.ports.take(port, service.uid().unwrap_or_default(), version(service));
        }
    }

    /// A Service is gone, or about to be observed anew: given as it was last, with its resource version.
    pub fn forget(&mut self, service: &Object) {
        for port in held_ports(service) {
            self.ports.release(&port, service.uid().unwrap_or_default(), version(service));
        }
    }

    /// An `IPAddress` is stored: its name is taken.
    pub fn observe_address(&mut self, address: &Object) {
        if let Some(key) = address.name().and_then(|name| name.parse().ok()) {
            self.addresses.take(key, address.uid().unwrap_or_default(), version(address));
        }
    }

    /// An `IPAddress` is gone: given as it was last, with its resource version.
    pub fn forget_address(&mut self, address: &Object) {
        if let Some(key) = address.name().and_then(|name| name.parse().ok()) {
            self.addresses.release(&key, address.uid().unwrap_or_default(), version(address));
        }
    }

    /// This server wrote a Service: what it gave back is free, whatever news say, and what it took is taken.
    pub fn wrote(&mut self, old: Option<&Object>, new: Option<&Object>) {
        let addresses = |service: Option<&Object>| service.map(held_addresses).unwrap_or_default();
        let ports = |service: Option<&Object>| service.map(held_ports).unwrap_or_default();
        let before = old.and_then(version);
        for address in addresses(old).difference(&addresses(new)) {
            self.addresses.free(address, before);
        }
        for port in ports(old).difference(&ports(new)) {
            self.ports.free(port, before);
        }
        let uid = new.and_then(Object::uid).unwrap_or_default();
        for address in addresses(new).difference(&addresses(old)) {
            self.addresses.take(*address, uid, None);
        }
        for port in ports(new).difference(&ports(old)) {
            self.ports.take(*port, uid, None);
        }
    }

    /// The store said that an address (or a port, as text) is taken.
    pub fn refused(&mut self, name: &str) {
        if let Ok(port) = name.parse::<u16>() {
            self.ports.take(port, "", None);
        } else if let Ok(address) = name.parse::<IpAddr>() {
            self.addresses.take(address, "", None);
        }
    }

    /// Addresses that are taken as far as is known.
    pub fn taken_addresses(&self) -> impl Iterator<Item = IpAddr> {
        self.addresses.keys().copied()
    }

    /// The first and the last node port.
    pub fn node_ports(&self) -> (u16, u16) {
        self.node_ports
    }

    /// The families the cluster has, the default one first.
    pub(super) fn families(&self) -> &[&'static str] {
        &self.families
    }

    /// Whether some range of the cluster gives this address.
    pub(super) fn gives(&self, address: IpAddr) -> bool {
        self.families.contains(&family(address)) && self.ranges.iter().any(|range| range.gives(address))
    }

    /// A free address of a family. The search starts where the seed says; the lower part of a range, where people choose by hand,
    /// comes last.
    pub(super) fn free_address(&self, family: &str, seed: u64) -> Option<IpAddr> {
        let ranges: Vec<&Cidr> = self.ranges.iter().filter(|range| range.family() == family).collect();
        let count = ranges.len();
        let first = usize::try_from(seed.rotate_right(32) % (count.max(1) as u64)).unwrap_or(0);
        (0..count).find_map(|step| self.free_in(ranges[(first + step) % count], seed))
    }

    fn free_in(&self, range: &Cidr, seed: u64) -> Option<IpAddr> {
        let usable = range.usable();
        let low = (usable / 16).clamp(16, STATIC_LIMIT).min(usable);
        let search = |from: u128, count: u128| {
            // Each step either finds a free address or meets a taken one, so the search is as long as the taken ones are many.
            (0..count)
                .filter_map(|step| range.nth(1 + from + (u128::from(seed) % count + step) % count))
                .find(|address| !self.addresses.contains(address))
        };
        search(low, usable - low).or_else(|| search(0, low))
    }

    /// A free port that is not among `others` either.
    pub(super) fn free_port(&self, others: &BTreeSet<u16>, seed: u64) -> Option<u16> {
        let (first, last) = self.node_ports;
        let count = u64::from(last - first) + 1;
        // The first ports are left to people, as with addresses.
        let low = (count / 32).clamp(16, 128).min(count);
        let free = |port: &u16| !others.contains(port) && !self.ports.contains(port);
        let search = |from: u64, count: u64| {
            (0..count)
                .filter_map(|step| u16::try_from(u64::from(first) + from + (seed % count + step) % count).ok())
                .find(&free)
        };
        search(low, count - low).or_else(|| search(0, low))
    }
}

/// The addresses a Service holds.
pub fn held_addresses(service: &Object) -> BTreeSet<IpAddr> {
    if Kind::of(service) == Kind::ExternalName {
        return BTreeSet::new();
    }
    let single = service.text(&["spec", "clusterIP"]).into_iter();
    single
        .chain(service.list(&["spec", "clusterIPs"]).iter().filter_map(Value::as_str))
        .filter_map(|text| text.parse().ok())
        .collect()
}

/// The node ports a Service holds. A number is held as a whole, whatever the protocol.
pub fn held_ports(service: &Object) -> BTreeSet<u16> {
    let health = service.integer(&["spec", "healthCheckNodePort"]);
    ports(service)
        .iter()
        .map(|port| port_number(port, "nodePort"))
        .chain(health)
        .filter_map(|port| u16::try_from(port).ok().filter(|port| *port > 0))
        .collect()
}

fn version(object: &Object) -> Option<u64> {
    object.resource_version()?.parse().ok()
}
