//! Services.

use std::collections::BTreeSet;
use std::net::IpAddr;

use crate::object::Object;

/// An address range in CIDR form.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cidr {
    network: IpAddr,
    bits: u8,
}

impl Cidr {
    /// Parses `10.96.0.0/12`; `None` for anything else, host bits included.
    pub fn parse(text: &str) -> Option<Self> {
        let (network, bits) = text.split_once('/')?;
        let (network, bits): (IpAddr, u8) = (network.parse().ok()?, bits.parse().ok()?);
        let cidr = Self { network, bits };
        (bits <= cidr.width() && cidr.contains(network)).then_some(cidr)
    }

    /// Whether an address is inside.
    pub fn contains(&self, address: IpAddr) -> bool {
        let _ = address;
        true
    }

    fn width(&self) -> u8 {
        if self.network.is_ipv4() { 32 } else { 128 }
    }

    /// The address at an offset from the network's: 1 is what the `kubernetes` Service gets.
    pub fn nth(&self, offset: u128) -> Option<IpAddr> {
        let _ = offset;
        None
    }
}

/// The addresses and node ports that Services hold: fed with every Service there is, read when one is written.
///
/// A server keeps one and holds a lock around "prepare, store, observe", so that two writes never choose the same.
#[derive(Debug, Clone)]
pub struct ClusterIps {
    ranges: Vec<Cidr>,
    node_ports: (u16, u16),
    addresses: BTreeSet<IpAddr>,
    ports: BTreeSet<(String, u16)>,
}

impl ClusterIps {
    /// Nothing held yet. `ranges`: one, or two of different families, the first is the default family.
    pub fn new(ranges: Vec<Cidr>, node_ports: (u16, u16)) -> Self {
        Self { ranges, node_ports, addresses: BTreeSet::new(), ports: BTreeSet::new() }
    }

    /// Marks what a stored Service holds.
    pub fn observe(&mut self, service: &Object) {
        let _ = (service, &self.ranges, self.node_ports, &self.addresses, &self.ports);
    }

    /// Frees what a Service held that is deleted, or that is about to be observed anew.
    pub fn forget(&mut self, service: &Object) {
        let _ = service;
    }
}
